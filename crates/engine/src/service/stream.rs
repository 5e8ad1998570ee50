//! What happens to a relayer and its transactions, as it happens.
//!
//! A stream reads the relayer's events, which the lane's driver numbered and wrote with the changes themselves; so it
//! is served by any replica, and can be resumed at any other, behind the last number that was heard.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use baton_coord::{Scan, Wakeups};
use baton_lanes::record::decode;
use baton_model::{LaneId, RequestId, Timestamp};
use futures_util::stream::{self, Stream};
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, sleep, timeout_at};

use super::Service;
use super::error::ServiceError;
use super::validate::rfc3339;
use crate::events::{EVENTS, EventChunk, Happened, key};
use crate::{SharedStore, changed_topic};

/// Chunks read at a time.
const PAGE: usize = 64;
/// How often to look without being woken.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// Shortest time between two looks: many changes are one look.
const LOOK_PAUSE: Duration = Duration::from_millis(50);
/// How long a stream lasts. Then its caller comes again, and with a key that was revoked it comes in vain.
const LIFE: Duration = Duration::from_secs(3600);

/// One message of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The number to resume behind; none of a message that is no event of the relayer's.
    pub number: Option<u64>,
    /// Its name.
    pub name: &'static str,
    /// What it says.
    pub data: Value,
}

/// A stream under way.
struct Listening {
    store: SharedStore,
    lane: LaneId,
    relayer: String,
    transaction: Option<RequestId>,
    /// The last event that was told, or passed over.
    last: u64,
    /// Whether the one that follows must be looked for a gap before it.
    is_resumed: bool,
    waiting: VecDeque<Told>,
    changes: Box<dyn Wakeups>,
    ends_at: Instant,
    stop: watch::Receiver<bool>,
    _permit: OwnedSemaphorePermit,
}

impl Service {
    /// What happens to a relayer from now on, or behind the event with a number; of one transaction only, if it is
    /// given. It ends after an hour, or when the process stops.
    ///
    /// # Errors
    /// [`ServiceError::Unavailable`] when there are too many streams, [`ServiceError::NotSupported`] when they are
    /// turned off.
    pub async fn events(
        &self,
        relayer: &str,
        transaction: Option<&str>,
        after: Option<u64>,
    ) -> Result<impl Stream<Item = Told> + Send + use<>, ServiceError> {
        let relayer = &self.relayer(relayer)?.relayer;
        if !self.options.has_streams {
            let text = "Streams of events are turned off: BATON_EVENTS_KEPT is 0";
            return Err(ServiceError::NotSupported(text));
        }
        let transaction = match transaction {
            Some(id) => Some(self.record(relayer, id).await?.id),
            None => None,
        };
        let permit = Arc::clone(&self.streams).try_acquire_owned();
        let permit = permit.map_err(|_| {
            let text = format!("there are {} streams already", self.options.streams_max);
            ServiceError::Unavailable(text)
        })?;
        let lane = relayer.lane();
        // Listens before it looks, so that no change falls in between.
        let changes = self.store.subscribe(&changed_topic(&lane)).await?;
        let newest = newest(&self.store, &lane).await?;
        let mut waiting = VecDeque::new();
        // Numbers that are not there yet were given by a store that has fallen back since.
        let last = match after {
            Some(after) if after > newest => {
                waiting.push_back(gap(after, newest + 1));
                newest
            }
            Some(after) => after,
            None => newest,
        };
        let listening = Listening {
            store: SharedStore::clone(&self.store),
            lane,
            relayer: relayer.id.to_string(),
            transaction,
            last,
            is_resumed: after.is_some(),
            waiting,
            changes,
            ends_at: Instant::now() + LIFE,
            stop: self.stop.clone(),
            _permit: permit,
        };
        Ok(stream::unfold(listening, |mut listening| async move {
            let told = listening.next().await?;
            Some((told, listening))
        }))
    }
}

impl Listening {
    /// The next message; `None` when the stream ends.
    async fn next(&mut self) -> Option<Told> {
        loop {
            if let Some(told) = self.waiting.pop_front() {
                return Some(told);
            }
            if Instant::now() >= self.ends_at || *self.stop.borrow() {
                return None;
            }
            match self.read().await {
                Ok(true) => {}
                Ok(false) => self.wait().await,
                Err(error) => {
                    tracing::warn!(relayer_id = self.relayer, %error, "a stream cannot be read on");
                    return None;
                }
            }
        }
    }

    /// Reads what follows; false when there is nothing.
    async fn read(&mut self) -> Result<bool, ServiceError> {
        let mut scan = Scan::prefix(EVENTS, PAGE);
        scan.after = Some(key(self.last).into());
        let page = self.store.scan(&self.lane, &scan).await?;
        for entry in &page {
            let chunk: EventChunk = decode(&entry.value)
                .map_err(|error| ServiceError::Defect(format!("events: {error}")))?;
            if std::mem::take(&mut self.is_resumed) && chunk.first > self.last + 1 {
                self.waiting.push_back(gap(self.last, chunk.first));
            }
            for (number, happened) in (chunk.first..).zip(chunk.events) {
                if number > self.last {
                    self.last = number;
                    self.tell(number, chunk.at, happened);
                }
            }
        }
        Ok(!page.is_empty())
    }

    fn tell(&mut self, number: u64, at: Timestamp, happened: Happened) {
        let name = happened.name();
        let mut data = json!({
            "number": number,
            "relayer_id": self.relayer,
            "timestamp": rfc3339(at),
        });
        match happened {
            Happened::Status(id, _) if self.transaction.is_some_and(|only| only != id) => return,
            Happened::Status(id, status) => {
                data["transaction_id"] = json!(id.to_string());
                data["status"] = json!(status.as_str());
            }
            Happened::Disabled(_) | Happened::Enabled if self.transaction.is_some() => return,
            Happened::Disabled(reason) => {
                data["state"] = json!("disabled");
                data["reason"] = json!(reason);
            }
            Happened::Enabled => data["state"] = json!("enabled"),
        }
        self.waiting.push_back(Told {
            number: Some(number),
            name,
            data,
        });
    }

    async fn wait(&mut self) {
        sleep(LOOK_PAUSE).await;
        let look_again = (Instant::now() + LOOK_AGAIN).min(self.ends_at);
        tokio::select! {
            stopped = self.stop.changed() => if stopped.is_err() {
                // Nobody can stop it any more.
                sleep(LOOK_PAUSE).await;
            },
            heard = timeout_at(look_again, self.changes.next()) => if let Ok(None) = heard {
                // The store closed its wake-ups; only time can tell.
                tokio::time::sleep_until(look_again).await;
            },
        }
    }
}

/// Number of the newest event; 0 when there is none.
async fn newest(store: &SharedStore, lane: &LaneId) -> Result<u64, ServiceError> {
    let mut scan = Scan::prefix(EVENTS, 1);
    scan.reverse = true;
    let page = store.scan(lane, &scan).await?;
    let number = page.first().and_then(|e| crate::events::number_in(&e.key));
    Ok(number.unwrap_or(0))
}

/// Says that events are missing: those behind `after`, up to the one before `next`.
fn gap(after: u64, next: u64) -> Told {
    Told {
        number: None,
        name: "gap",
        data: json!({ "after": after, "next": next }),
    }
}
