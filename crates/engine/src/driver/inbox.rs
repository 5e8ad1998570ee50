//! Reads a lane's inbox, woken at once when something arrives.

use std::time::Duration;

use baton_coord::{LogEntry, Position};
use baton_lanes::record::{self, InboxRecord, key};
use baton_lanes::{Command, Input};
use baton_model::LaneId;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use tokio::sync::{mpsc, watch};

use super::load::{LoadError, get};
use crate::SharedStore;

/// Entries taken in at a time.
const PAGE: usize = 1024;
/// Records read at a time.
const CONCURRENT: usize = 64;
/// How long to wait for an entry before asking again: bounds what a lost wake-up costs.
const WAIT: Duration = Duration::from_secs(10);
/// Requests without a nonce that a lane keeps in memory, about 1 KiB each; the others stay in the log.
const QUEUED_MAX: usize = 20_000;

/// Reads entries after a position, for as long as the lane runs, and pauses while it has enough.
pub(super) async fn read_inbox(
    store: SharedStore,
    lane: LaneId,
    mut after: Position,
    mut queued: watch::Receiver<usize>,
    inputs: mpsc::Sender<Vec<Input>>,
) -> LoadError {
    loop {
        if queued
            .wait_for(|queued| *queued < QUEUED_MAX)
            .await
            .is_err()
        {
            std::future::pending::<()>().await;
        }
        let entries = match store.read(&lane, after, PAGE, WAIT).await {
            Ok(entries) => entries,
            Err(error) => return LoadError::Store(error),
        };
        let Some(last) = entries.last().map(|entry| entry.position) else {
            continue;
        };
        let commands = stream::iter(entries)
            .map(|entry| command(&store, &lane, entry))
            .buffered(CONCURRENT)
            .try_collect::<Vec<Input>>();
        match commands.await {
            Ok(batch) => {
                after = last;
                if inputs.send(batch).await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
            Err(error) => return error,
        }
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
