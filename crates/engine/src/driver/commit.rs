//! The writes of one tenure: each is applied exactly once and in order, whatever the store says about them.
//!
//! A commit without an answer may be applied at any later time, also behind those that followed it, and would then take
//! newer records back to older ones. So every batch demands the link that the one before it left, and replaces it: a
//! batch that comes twice, or late, finds another link and is refused.

use std::sync::Arc;
use std::time::Duration;

use baton_coord::{Batch, CommitError, Entry, Epoch, Key, Position, Precondition, Version};
use baton_lanes::Changes;
use baton_model::{Classified, Retry};
use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::LaneContext;
use super::load::{LoadError, persist};
use super::tell::Teller;
use crate::changed_topic;
use crate::webhooks::Bell;

/// Key of the link. Its value, `<epoch>/<stage>/<number>`, names the commit that wrote it and the number of the next
/// event.
static LINK: Key = Bytes::from_static(b"w");

/// Pause before a commit that failed is repeated.
const RETRY: Duration = Duration::from_millis(100);

/// Longest wait for an answer to one commit; then it is repeated. A store under load takes seconds, not tens of them.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Wake-ups under way: more only pile up behind a store that does not take them, and losing one costs latency only.
const WAKES_MAX: usize = 4;

/// Commits after a pause that follow each other at once: a request that is taken in, signed and offered makes as many.
const BURST: u32 = 3;

/// How a commit ended.
#[derive(Debug)]
pub(super) enum CommitEnd {
    /// Durable: the number of the stage.
    Durable(u64),
    /// The lane has another holder, or may have.
    Fenced,
    /// The store will never take it: a defect, or a damaged store.
    Refused(CommitError),
}

/// The commits of one tenure, one at a time.
pub(super) struct Commits {
    context: Arc<LaneContext>,
    epoch: Epoch,
    /// Version of the link that the last commit left; `None` before the first one of the lane.
    link: Option<Version>,
    teller: Teller,
    running: JoinSet<Result<(u64, Version), CommitEnd>>,
    wakes: JoinSet<()>,
    /// Least time from one commit to the next, on average.
    interval: Duration,
    /// When as many commits have been made as the interval allows.
    spent_until: Instant,
}

impl Commits {
    /// Begins behind what is durable. The baton must be held: nobody writes under an older epoch any more.
    pub(super) async fn begin(
        context: &Arc<LaneContext>,
        epoch: Epoch,
        bell: Arc<Bell>,
    ) -> Result<Self, LoadError> {
        let lane = context.relayer.lane();
        let link = persist(|| context.store.get(&lane, &LINK)).await?;
        let next = link.as_ref().and_then(|entry| next_event(&entry.value));
        let teller = Teller::begin(context, epoch, bell, next).await?;
        Ok(Self {
            teller,
            context: Arc::clone(context),
            epoch,
            link: link.map(|entry| entry.version),
            running: JoinSet::new(),
            wakes: JoinSet::new(),
            interval: context.options.pace / 2,
            spent_until: Instant::now(),
        })
    }

    /// Whether none is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    /// When the next one may be started.
    pub(super) fn due_at(&self) -> Instant {
        let allowed = self.interval * (BURST - 1);
        self.spent_until
            .checked_sub(allowed)
            .unwrap_or(self.spent_until)
    }

    /// Starts a commit. None may be under way.
    pub(super) fn start(&mut self, changes: Changes) {
        self.spent_until = self.spent_until.max(Instant::now()) + self.interval;
        let stage = changes.stage;
        let mut batch = Batch::new(self.context.relayer.lane()).fenced(self.epoch);
        batch.require.push(match self.link {
            Some(version) => Precondition::At(LINK.clone(), version),
            None => Precondition::Absent(LINK.clone()),
        });
        let puts = changes.puts.into_iter();
        batch.puts = puts.map(|(k, v)| (k.into(), Bytes::from(v))).collect();
        batch.deletes = changes.deletes.into_iter().map(Bytes::from).collect();
        batch.trim = changes.trim.map(Position);
        let alarms = changes.alarms.as_deref();
        self.teller.tell(&changes.statuses, alarms, &mut batch);
        let next = self.teller.next();
        let link = Bytes::from(format!("{}/{stage}/{next}", self.epoch));
        batch.puts.push((LINK.clone(), link.clone()));
        let write = Write {
            context: Arc::clone(&self.context),
            batch,
            link,
        };
        let running = async move { write.run().await.map(|version| (stage, version)) };
        self.running.spawn(running);
    }

    /// The end of the commit under way; pending while there is none. May be dropped and called again.
    pub(super) async fn next(&mut self) -> CommitEnd {
        let Some(ended) = self.running.join_next().await else {
            return std::future::pending().await;
        };
        match ended {
            Ok(Ok((stage, version))) => {
                self.link = Some(version);
                self.teller.told();
                self.wake();
                CommitEnd::Durable(stage)
            }
            Ok(Err(end)) => end,
            Err(error) => CommitEnd::Refused(CommitError::Unknown {
                reason: format!("the task that commits ended: {error}"),
            }),
        }
    }

    /// Waits for the commit under way, so that nothing is left half told when the baton is given back.
    pub(super) async fn finish(mut self) {
        while self.running.join_next().await.is_some() {}
    }

    fn wake(&mut self) {
        while self.wakes.try_join_next().is_some() {}
        if self.wakes.len() >= WAKES_MAX {
            return;
        }
        let context = Arc::clone(&self.context);
        self.wakes.spawn(async move {
            let topic = changed_topic(&context.relayer.lane());
            if let Err(error) = context.store.publish(&topic).await {
                tracing::debug!(%error, "a wake-up was lost");
            }
        });
    }
}

/// The number of the next event in a link; links of releases that told of nothing have none.
fn next_event(link: &[u8]) -> Option<u64> {
    let mut parts = std::str::from_utf8(link).ok()?.split('/');
    parts.nth(2)?.parse().ok()
}

/// A commit under way.
struct Write {
    context: Arc<LaneContext>,
    batch: Batch,
    link: Bytes,
}

impl Write {
    /// Repeats until the outcome is known. The lease ends it otherwise.
    async fn run(self) -> Result<Version, CommitEnd> {
        let started = Instant::now();
        let mut repeated = false;
        let version = loop {
            let commit = timeout(ANSWER_MAX, self.context.store.commit(self.batch.clone())).await;
            let error = match commit {
                Ok(Ok(committed)) => break committed.version,
                Ok(Err(CommitError::Fenced { .. })) => return Err(CommitEnd::Fenced),
                Ok(Err(CommitError::Precondition { .. })) if repeated => {
                    break self.applied().await?;
                }
                Ok(Err(error)) if error.retry() == Retry::Never => {
                    return Err(CommitEnd::Refused(error));
                }
                Ok(Err(error)) => error,
                Err(_) => CommitError::Unknown {
                    reason: format!("no answer within {ANSWER_MAX:?}"),
                },
            };
            tracing::warn!(lane = %self.batch.lane, %error, "cannot commit; trying again");
            self.context.status.count_retried_commit();
            repeated = true;
            sleep(RETRY).await;
        };
        let seconds = started.elapsed().as_secs_f64();
        self.context.status.observe_commit(seconds);
        Ok(version)
    }

    /// The version that the batch was applied with, if the link says so.
    async fn applied(&self) -> Result<Version, CommitEnd> {
        let store = &self.context.store;
        match persist(|| store.get(&self.batch.lane, &LINK)).await {
            Ok(Some(Entry { value, version, .. })) if value == self.link => Ok(version),
            // Only another holder can have written it.
            Ok(_) => Err(CommitEnd::Fenced),
            Err(error) => Err(CommitEnd::Refused(CommitError::Unknown {
                reason: error.to_string(),
            })),
        }
    }
}
