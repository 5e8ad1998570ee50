//! Reads a lane's inbox, woken at once when something arrives.

use std::time::Duration;

use baton_coord::{LogEntry, Position};
use baton_lanes::record::{self, InboxRecord, key};
use baton_lanes::{Command, Input};
use baton_model::LaneId;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::load::{LoadError, get, persist};
use crate::SharedStore;

/// Entries taken in at a time.
const PAGE: usize = 512;
/// Records read at a time.
const CONCURRENT: usize = 64;
/// Least time from one page that was not full to the next: what comes meanwhile is taken in, signed, stored and offered
/// together, which costs far less than each alone. The first entry after a pause is taken in at once.
const PACE: Duration = Duration::from_millis(4);
/// How long to wait for an entry before asking again: bounds what a lost wake-up costs.
const WAIT: Duration = Duration::from_secs(10);
/// Requests without a nonce that a lane keeps in memory; the others stay in the log.
const QUEUED_MAX: usize = 20_000;
/// Bytes of their calls. A request holds its call twice, so this is half a gibibyte at most.
const QUEUED_BYTES_MAX: usize = 256 << 20;

/// How much a lane has to do already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    /// Requests without a nonce.
    pub(super) queued: usize,
    /// Bytes of the calls of all open requests.
    pub(super) bytes: usize,
}

impl Load {
    const fn has_room(&self) -> bool {
        self.queued < QUEUED_MAX && self.bytes < QUEUED_BYTES_MAX
    }
}

/// Where a lane's inbox is read.
pub(super) struct Inbox {
    pub(super) store: SharedStore,
    pub(super) lane: LaneId,
    /// The last entry that was taken in.
    pub(super) after: Position,
    pub(super) load: watch::Receiver<Load>,
    /// Least time from one page to the next, if more than [`PACE`].
    pub(super) pace: Duration,
}

impl Inbox {
    /// Reads entries for as long as the lane runs, and pauses while it has enough. An error ends it.
    pub(super) async fn read(mut self, entries: mpsc::Sender<Result<Vec<Input>, LoadError>>) {
        while self.load.wait_for(Load::has_room).await.is_ok() {
            let page = match self.page().await {
                Ok(page) if page.is_empty() => continue,
                page => page,
            };
            let read = Instant::now();
            let failed = page.is_err();
            let full = page.as_ref().is_ok_and(|page| page.len() >= PAGE);
            if entries.send(page).await.is_err() || failed {
                return;
            }
            if !full {
                sleep_until(read + self.pace.max(PACE)).await;
            }
        }
    }

    async fn page(&mut self) -> Result<Vec<Input>, LoadError> {
        let Self { store, lane, .. } = &*self;
        let entries = persist(|| store.read(lane, self.after, PAGE, WAIT)).await?;
        let last = entries.last().map(|entry| entry.position);
        let commands = stream::iter(entries)
            .map(|entry| command(store, lane, entry))
            .buffered(CONCURRENT)
            .try_collect::<Vec<Input>>()
            .await?;
        self.after = last.unwrap_or(self.after);
        Ok(commands)
    }
}

async fn command(store: &SharedStore, lane: &LaneId, entry: LogEntry) -> Result<Input, LoadError> {
    let position = entry.position.0;
    let name = || format!("inbox/{position}");
    let record: InboxRecord = record::decode(&entry.value).map_err(|source| LoadError::Record {
        key: name(),
        source,
    })?;
    let command = match record {
        InboxRecord::Accept { id } => {
            let request = get(store, lane, key::request(id)).await?;
            let reason = "the accepted request is missing";
            let missing = || LoadError::Damaged {
                key: name(),
                reason,
            };
            Command::Accept(Box::new(request.ok_or_else(missing)?))
        }
        InboxRecord::Cancel { id, command } => Command::Cancel { id, command },
        InboxRecord::Replace { id, command, spec } => Command::Replace {
            id,
            command,
            spec: Box::new(spec),
        },
    };
    Ok(Input::Inbox { position, command })
}
