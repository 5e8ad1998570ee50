//! Taking a relayer out of service without losing anything that it accepted.
//!
//! A process that does not know yet that a relayer is being deleted may accept a transaction for it. So the lane is
//! closed first, by a record that every acceptance requires to be absent: from then on no process accepts anything,
//! and what is unfinished can be counted. Only a lane with nothing unfinished loses its relayer. A process that dies
//! in between leaves a closed lane with a relayer; after a while anybody may open it again.

use std::time::Duration;

use baton_coord::{
    Batch, CommitError, Entry, Epoch, HolderId, Key, Position, Precondition, SCAN_LIMIT_MAX, Scan,
    StoreError, Version,
};
use baton_lanes::record::{Record, decode, encode, key};
use baton_model::{LaneId, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use crate::SharedStore;

/// The record's key within the relayer's lane.
const CLOSED: &[u8] = b"z";
/// How long whoever closed a lane has to finish; beyond, it is taken for dead. Finishing takes a few commits, each of
/// which the store answers within seconds.
const ABANDONED: Duration = Duration::from_secs(60);
/// Counts go up to this.
const COUNT_MAX: usize = 1024;
/// How long the baton of a lane that is to be cleared is kept without renewal: clearing stops when it runs out.
const CLEAR_LEASE: Duration = Duration::from_secs(60);
/// How often a baton that somebody still holds is asked for.
const ACQUIRE_RETRY: Duration = Duration::from_millis(100);

#[derive(Serialize, Deserialize)]
struct Closed {
    at: Timestamp,
}

impl Record for Closed {
    const WHAT: &'static str = "closed lane";
}

/// What a lane has not finished; each count goes up to 1024.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// Transactions that have not ended.
    pub open: usize,
    /// Nonces in use.
    pub slots: usize,
    /// Inbox entries that were not taken in.
    pub inbox: usize,
}

impl Unfinished {
    /// Whether there is nothing.
    pub const fn is_nothing(self) -> bool {
        self.open == 0 && self.slots == 0 && self.inbox == 0
    }
}

/// What a lane has not finished.
///
/// # Errors
/// When the store cannot be read.
pub async fn unfinished(store: &SharedStore, lane: &LaneId) -> Result<Unfinished, StoreError> {
    // The inbox first: what is taken in meanwhile is then counted as open.
    let inbox = store
        .read(lane, Position(0), COUNT_MAX, Duration::ZERO)
        .await?;
    let open = store
        .scan(lane, &Scan::prefix(key::OPEN, COUNT_MAX))
        .await?;
    let slots = store
        .scan(lane, &Scan::prefix(key::SLOTS, COUNT_MAX))
        .await?;
    Ok(Unfinished {
        open: open.len(),
        slots: slots.len(),
        inbox: inbox.len(),
    })
}

/// The condition of every batch that gives a lane work.
pub(crate) fn closed() -> Precondition {
    Precondition::Absent(Key::from_static(CLOSED))
}

/// How a lane is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closing {
    /// Whose closing it is: that of whoever wrote this version.
    pub(crate) version: Version,
    /// Since when; the beginning of time when its record cannot be read.
    at: Timestamp,
}

impl Closing {
    /// Whether whoever closed the lane has had time enough.
    pub(crate) const fn is_abandoned(self, now: Timestamp) -> bool {
        now.since(self.at).as_millis() >= ABANDONED.as_millis()
    }
}

/// Whether a lane is closed, and how.
pub(crate) async fn closing(
    store: &SharedStore,
    lane: &LaneId,
) -> Result<Option<Closing>, StoreError> {
    let found = store.get(lane, &Key::from_static(CLOSED)).await?;
    Ok(found.map(|entry: Entry| Closing {
        version: entry.version,
        at: decode::<Closed>(&entry.value)
            .map_or_else(|_| Timestamp::default(), |closed| closed.at),
    }))
}

/// Closes a lane that is open, or that is closed in a way that may be taken over: from now on nobody gives it work.
/// `None` when somebody else was faster.
pub(crate) async fn close(
    store: &SharedStore,
    lane: &LaneId,
    now: Timestamp,
    over: Option<Closing>,
) -> Result<Option<Closing>, CommitError> {
    let mut batch = Batch::new(lane.clone());
    batch.require.push(match over {
        None => closed(),
        Some(over) => over.holds(),
    });
    let record = encode(&Closed { at: now }).into();
    batch.puts.push((Key::from_static(CLOSED), record));
    match store.commit(batch).await {
        Ok(committed) => Ok(Some(Closing {
            version: committed.version,
            at: now,
        })),
        Err(CommitError::Precondition { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Opens a lane again, if it is still closed in this way.
pub(crate) async fn reopen(
    store: &SharedStore,
    lane: &LaneId,
    closing: Closing,
) -> Result<(), CommitError> {
    let mut batch = Batch::new(lane.clone());
    batch.require.push(closing.holds());
    batch.deletes.push(Key::from_static(CLOSED));
    match store.commit(batch).await {
        Ok(_) | Err(CommitError::Precondition { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

impl Closing {
    /// The condition that the lane is closed in this way and no other.
    const fn holds(self) -> Precondition {
        Precondition::At(Key::from_static(CLOSED), self.version)
    }
}

/// Removes everything of a lane but the record that closes it, for as long as it is closed in this way. Waits for its
/// baton, so that nobody writes any more. False when the baton was not given within `wait`, or the store failed, or
/// somebody opened the lane: then it has to be done again, or must not be.
pub(crate) async fn clear(
    store: &SharedStore,
    lane: &LaneId,
    closing: Closing,
    holder: &HolderId,
    wait: Duration,
) -> bool {
    let deadline = Instant::now() + wait;
    let acquired = loop {
        match store.acquire(lane, holder, CLEAR_LEASE).await {
            Ok(acquired) => break acquired,
            Err(_) if Instant::now() < deadline => sleep(ACQUIRE_RETRY).await,
            Err(error) => {
                tracing::warn!(%lane, %error, "a lane that was given up could not be cleared");
                return false;
            }
        }
    };
    let cleared = remove_all(store, lane, closing, acquired.epoch).await;
    if let Err(error) = store.release(lane, acquired.epoch).await {
        tracing::debug!(%lane, %error, "the baton of a cleared lane runs out by itself");
    }
    match cleared {
        Ok(()) => true,
        Err(reason) => {
            tracing::warn!(%lane, reason, "a lane that was given up could not be cleared");
            false
        }
    }
}

async fn remove_all(
    store: &SharedStore,
    lane: &LaneId,
    closing: Closing,
    epoch: Epoch,
) -> Result<(), String> {
    loop {
        let scan = Scan::prefix("", SCAN_LIMIT_MAX);
        let found = store.scan(lane, &scan).await.map_err(|e| e.to_string())?;
        let last = store.last(lane).await.map_err(|e| e.to_string())?;
        let mut batch = Batch::new(lane.clone()).fenced(epoch);
        batch.require.push(closing.holds());
        let names = found.into_iter().map(|entry| entry.key);
        batch.deletes = names.filter(|name| name.as_ref() != CLOSED).collect();
        if batch.deletes.is_empty() {
            return Ok(());
        }
        batch.trim = Some(last).filter(|last| last.0 > 0);
        store.commit(batch).await.map_err(|e| e.to_string())?;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use baton_coord::ManualClock;
    use baton_coord::memory::MemoryStore;

    use super::*;

    const WAIT: Duration = Duration::from_secs(1);

    fn store() -> (SharedStore, LaneId) {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(0)));
        let lane = LaneId::new("tx/shop").unwrap();
        (Arc::new(MemoryStore::new(clock)), lane)
    }

    async fn work(store: &SharedStore, lane: &LaneId) -> Result<(), CommitError> {
        let mut batch = Batch::new(lane.clone());
        batch.require.push(closed());
        batch.puts.push(("r/1".into(), "request".into()));
        batch.appends.push("accept".into());
        store.commit(batch).await.map(drop)
    }

    fn holder() -> HolderId {
        HolderId("test".to_owned())
    }

    #[tokio::test]
    async fn one_closes_and_nobody_works_until_it_opens() {
        let (store, lane) = store();
        let now = Timestamp::from_millis(5);
        let first = close(&store, &lane, now, None).await.unwrap().unwrap();
        assert_eq!(closing(&store, &lane).await.unwrap(), Some(first));
        assert_eq!(close(&store, &lane, now, None).await.unwrap(), None);
        assert!(work(&store, &lane).await.is_err());
        // Whoever takes it over is the one that may open it.
        let second = close(&store, &lane, now, Some(first))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(close(&store, &lane, now, Some(first)).await.unwrap(), None);
        reopen(&store, &lane, first).await.unwrap();
        assert!(work(&store, &lane).await.is_err());
        reopen(&store, &lane, second).await.unwrap();
        work(&store, &lane).await.unwrap();
    }

    /// A clearing that was late meets the work of a successor.
    #[tokio::test]
    async fn only_what_is_closed_in_the_same_way_is_cleared() {
        let (store, lane) = store();
        let now = Timestamp::from_millis(5);
        work(&store, &lane).await.unwrap();
        let first = close(&store, &lane, now, None).await.unwrap().unwrap();
        assert!(clear(&store, &lane, first, &holder(), WAIT).await);
        assert!(unfinished(&store, &lane).await.unwrap().is_nothing());
        reopen(&store, &lane, first).await.unwrap();
        work(&store, &lane).await.unwrap();
        assert!(!clear(&store, &lane, first, &holder(), WAIT).await);
        let second = close(&store, &lane, now, None).await.unwrap().unwrap();
        assert!(!clear(&store, &lane, first, &holder(), WAIT).await);
        assert_eq!(unfinished(&store, &lane).await.unwrap().inbox, 1);
        assert!(clear(&store, &lane, second, &holder(), WAIT).await);
        assert!(unfinished(&store, &lane).await.unwrap().is_nothing());
    }
}
