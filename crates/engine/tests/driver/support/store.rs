//! One process's view of a store, through a network that loses, delays and repeats.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use baton_coord::{
    Acquired, Batch, CommitError, Committed, Entry, Epoch, HolderId, Key, Lease, LeaseError, Log,
    LogEntry, Position, Scan, Store, StoreError, Table, Wake, Wakeups,
};
use baton_model::LaneId;
use tokio::time::Instant;

/// What goes wrong with a fenced commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CommitFault {
    /// It is applied; the answer is lost.
    LoseReply,
    /// It is not applied.
    Unavailable,
    /// It is applied when the test says so; the answer is lost.
    Late,
    /// No answer, ever; not applied.
    Hang,
}

/// How the process reaches the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    Up,
    /// Every operation fails.
    Down,
    /// No operation is answered.
    Silent,
    /// Only leases are not answered.
    LeasesSilent,
}

/// Who may act, as the store sees it; shared by all processes.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Option<(String, Instant)>>);

impl Ledger {
    /// Panics when a process acts that does not hold the lease.
    pub(crate) fn assert_holder(&self, process: &str, what: &str) {
        let holder = self.0.lock().unwrap().clone();
        let now = Instant::now();
        assert!(
            holder
                .as_ref()
                .is_some_and(|(holder, until)| holder == process && now < *until),
            "{process} did {what} at {now:?}, but the holder is {holder:?}"
        );
    }

    fn set(&self, holder: Option<(&str, Duration)>) {
        *self.0.lock().unwrap() =
            holder.map(|(process, ttl)| (process.to_owned(), Instant::now() + ttl));
    }
}

/// A process's connection.
pub(crate) struct FaultyStore {
    pub(crate) inner: Arc<dyn Store>,
    process: String,
    ledger: Arc<Ledger>,
    link: Mutex<Link>,
    faults: Mutex<VecDeque<CommitFault>>,
    late: Mutex<Vec<Batch>>,
    /// Fenced batches that were applied.
    applied: Mutex<Vec<Batch>>,
}

impl FaultyStore {
    pub(crate) fn new(inner: Arc<dyn Store>, process: &str, ledger: Arc<Ledger>) -> Self {
        Self {
            inner,
            process: process.to_owned(),
            ledger,
            link: Mutex::new(Link::Up),
            faults: Mutex::default(),
            late: Mutex::default(),
            applied: Mutex::default(),
        }
    }

    pub(crate) fn set_link(&self, link: Link) {
        *self.link.lock().unwrap() = link;
    }

    pub(crate) fn fail_commits(&self, fault: CommitFault, count: usize) {
        let faults = std::iter::repeat_n(fault, count);
        self.faults.lock().unwrap().extend(faults);
    }

    pub(crate) fn faults_left(&self) -> usize {
        self.faults.lock().unwrap().len()
    }

    /// Lets the late commits arrive; says how they ended.
    pub(crate) async fn apply_late(&self) -> Vec<Result<Committed, CommitError>> {
        let late = std::mem::take(&mut *self.late.lock().unwrap());
        let mut ended = Vec::new();
        for batch in late {
            ended.push(self.inner.commit(batch).await);
        }
        ended
    }

    pub(crate) fn applied(&self) -> Vec<Batch> {
        self.applied.lock().unwrap().clone()
    }

    async fn reach(&self, for_lease: bool) -> Result<(), StoreError> {
        let link = *self.link.lock().unwrap();
        match link {
            Link::Up => Ok(()),
            Link::LeasesSilent if !for_lease => Ok(()),
            Link::Down => Err(StoreError::Unavailable {
                reason: "scripted".to_owned(),
            }),
            Link::Silent | Link::LeasesSilent => std::future::pending().await,
        }
    }

    async fn apply(&self, batch: Batch) -> Result<Committed, CommitError> {
        let committed = self.inner.commit(batch.clone()).await?;
        if batch.fence.is_some() {
            self.applied.lock().unwrap().push(batch);
        }
        Ok(committed)
    }
}

#[async_trait]
impl Lease for FaultyStore {
    async fn acquire(
        &self,
        lane: &LaneId,
        holder: &HolderId,
        ttl: Duration,
    ) -> Result<Acquired, LeaseError> {
        self.reach(true).await?;
        let acquired = self.inner.acquire(lane, holder, ttl).await?;
        self.ledger.set(Some((&self.process, ttl)));
        Ok(acquired)
    }

    async fn renew(&self, lane: &LaneId, epoch: Epoch, ttl: Duration) -> Result<(), LeaseError> {
        self.reach(true).await?;
        self.inner.renew(lane, epoch, ttl).await?;
        self.ledger.set(Some((&self.process, ttl)));
        Ok(())
    }

    async fn release(&self, lane: &LaneId, epoch: Epoch) -> Result<(), LeaseError> {
        self.reach(true).await?;
        self.inner.release(lane, epoch).await?;
        self.ledger.set(None);
        Ok(())
    }
}

#[async_trait]
impl Table for FaultyStore {
    async fn get(&self, lane: &LaneId, key: &Key) -> Result<Option<Entry>, StoreError> {
        self.reach(false).await?;
        self.inner.get(lane, key).await
    }

    async fn scan(&self, lane: &LaneId, scan: &Scan) -> Result<Vec<Entry>, StoreError> {
        self.reach(false).await?;
        self.inner.scan(lane, scan).await
    }

    async fn commit(&self, batch: Batch) -> Result<Committed, CommitError> {
        let reason = "scripted".to_owned();
        if self.reach(false).await.is_err() {
            return Err(CommitError::Unavailable { reason });
        }
        let fault = match batch.fence {
            Some(_) => self.faults.lock().unwrap().pop_front(),
            None => None,
        };
        match fault {
            None => self.apply(batch).await,
            Some(CommitFault::LoseReply) => {
                self.apply(batch).await?;
                Err(CommitError::Unknown { reason })
            }
            Some(CommitFault::Unavailable) => Err(CommitError::Unavailable { reason }),
            Some(CommitFault::Late) => {
                self.late.lock().unwrap().push(batch);
                Err(CommitError::Unknown { reason })
            }
            Some(CommitFault::Hang) => std::future::pending().await,
        }
    }
}

#[async_trait]
impl Log for FaultyStore {
    async fn read(
        &self,
        lane: &LaneId,
        after: Position,
        limit: usize,
        wait: Duration,
    ) -> Result<Vec<LogEntry>, StoreError> {
        self.reach(false).await?;
        self.inner.read(lane, after, limit, wait).await
    }

    async fn last(&self, lane: &LaneId) -> Result<Position, StoreError> {
        self.reach(false).await?;
        self.inner.last(lane).await
    }
}

#[async_trait]
impl Wake for FaultyStore {
    async fn publish(&self, topic: &str) -> Result<(), StoreError> {
        self.reach(false).await?;
        self.inner.publish(topic).await
    }

    async fn subscribe(&self, topic: &str) -> Result<Box<dyn Wakeups>, StoreError> {
        self.reach(false).await?;
        self.inner.subscribe(topic).await
    }
}
