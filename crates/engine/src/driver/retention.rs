//! Finds finished requests whose time has come.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use baton_coord::Scan;
use baton_lanes::record::{RequestRecord, key};
use baton_model::{RequestId, Timestamp};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::LaneContext;
use super::load::{LoadError, get, persist};

/// Requests removed in one go: bounds the size of the commit that removes them.
const BATCH: usize = 1000;
/// Records read at a time.
const CONCURRENT: usize = 64;
/// How often they are looked for.
const PERIOD: Duration = Duration::from_secs(30);
/// How often while there are more than one batch: a lane that accepts a thousand requests a second also has to forget
/// so many.
const PERIOD_BUSY: Duration = Duration::from_secs(1);

/// Looks for requests to forget, beside the lane: a store that is slow does not hold it up.
pub(super) struct Retention {
    context: Arc<LaneContext>,
    next: Instant,
    search: JoinSet<Result<Vec<RequestRecord>, LoadError>>,
    /// What the last search found. Until it is durably gone it is found again, and must not be counted out twice.
    told: BTreeSet<RequestId>,
}

impl Retention {
    pub(super) fn new(context: &Arc<LaneContext>) -> Self {
        Self {
            context: Arc::clone(context),
            next: Instant::now(),
            search: JoinSet::new(),
            told: BTreeSet::new(),
        }
    }

    /// The next requests to forget, the oldest first. May be dropped and called again.
    pub(super) async fn next(&mut self) -> Vec<RequestRecord> {
        loop {
            if self.search.is_empty() {
                sleep_until(self.next).await;
                let context = Arc::clone(&self.context);
                let now = context.clock.now();
                self.search.spawn(async move { due(&context, now).await });
            }
            let found = match self.search.join_next().await {
                Some(Ok(Ok(found))) => found,
                Some(Ok(Err(error))) => {
                    tracing::warn!(%error, "cannot look for old requests; trying again later");
                    Vec::new()
                }
                Some(Err(error)) => {
                    tracing::error!(%error, "the search for old requests ended badly");
                    Vec::new()
                }
                None => Vec::new(),
            };
            let full = found.len() >= BATCH;
            self.next = Instant::now() + if full { PERIOD_BUSY } else { PERIOD };
            let ids = found.iter().map(|record| record.id).collect();
            let told = std::mem::replace(&mut self.told, ids);
            let fresh: Vec<RequestRecord> = found
                .into_iter()
                .filter(|record| !told.contains(&record.id))
                .collect();
            if !fresh.is_empty() {
                return fresh;
            }
        }
    }
}

/// Up to a batch of finished requests that are to be removed by now.
async fn due(context: &LaneContext, now: Timestamp) -> Result<Vec<RequestRecord>, LoadError> {
    let (store, lane) = (&context.store, &context.relayer.lane());
    let scan = Scan::prefix(key::EXPIRY.as_bytes(), BATCH);
    let entries = persist(|| store.scan(lane, &scan)).await?;
    let ids: Vec<RequestId> = entries
        .iter()
        .filter_map(|entry| key::id_of(&entry.key).map(|id| (&entry.key, id)))
        .take_while(|(found, id)| found.as_ref() < key::expiry(now, *id).as_bytes())
        .map(|(_, id)| id)
        .collect();
    let records = stream::iter(ids)
        .map(|id| get::<RequestRecord>(store, lane, key::request(id)))
        .buffered(CONCURRENT)
        .try_collect::<Vec<Option<RequestRecord>>>();
    Ok(records.await?.into_iter().flatten().collect())
}
