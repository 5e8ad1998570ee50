//! The reference store, with faults on demand.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use baton_coord::memory::MemoryStore;
use baton_coord::{
    Acquired, Batch, Clock, CommitError, Committed, Entry, Epoch, HolderId, Key, Lease, LeaseError,
    Log, LogEntry, Position, Scan, StoreError, Table, Wake, Wakeups,
};
use baton_model::LaneId;
use tokio::sync::Notify;

/// What happens to a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is applied, and the answer is lost.
    ReplyLost,
    /// It is lost, and nobody can tell.
    RequestLost,
    /// It is applied, and no answer ever comes.
    AppliedHangs,
    /// It is lost, and no answer ever comes.
    LostHangs,
    /// The store says that it cannot.
    Refused,
}

/// A store that fails as it is told.
pub(crate) struct FaultyStore {
    inner: MemoryStore,
    /// Faults of the next commits, in order.
    commits: Mutex<VecDeque<Fault>>,
    reads_fail: Mutex<bool>,
    publishes_fail: Mutex<bool>,
    gate: Mutex<Option<Gate>>,
}

/// Stops one scan half-way.
#[derive(Clone, Default)]
pub(crate) struct Gate {
    reached: Arc<Notify>,
    opened: Arc<Notify>,
}

impl Gate {
    /// Waits until a scan has come to the gate.
    pub(crate) async fn reached(&self) {
        self.reached.notified().await;
    }

    pub(crate) fn open(&self) {
        self.opened.notify_one();
    }
}

impl FaultyStore {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            inner: MemoryStore::new(clock),
            commits: Mutex::default(),
            reads_fail: Mutex::default(),
            publishes_fail: Mutex::default(),
            gate: Mutex::default(),
        }
    }

    /// The next commits of callers without a baton fail like this.
    pub(crate) fn fail_commits(&self, faults: impl IntoIterator<Item = Fault>) {
        *self.commits.lock().unwrap() = faults.into_iter().collect();
    }

    pub(crate) fn fail_reads(&self, fail: bool) {
        *self.reads_fail.lock().unwrap() = fail;
    }

    pub(crate) fn fail_publishes(&self, fail: bool) {
        *self.publishes_fail.lock().unwrap() = fail;
    }

    /// The next scan waits at a gate before it looks.
    pub(crate) fn stop_next_scan(&self) -> Gate {
        self.gate.lock().unwrap().insert(Gate::default()).clone()
    }

    /// Number of keys with a prefix.
    pub(crate) async fn count(&self, lane: &LaneId, prefix: &'static str) -> usize {
        let scan = Scan::prefix(prefix, 4096);
        self.inner.scan(lane, &scan).await.unwrap().len()
    }

    fn check_read(&self) -> Result<(), StoreError> {
        if *self.reads_fail.lock().unwrap() {
            return Err(unavailable());
        }
        Ok(())
    }
}

fn unavailable() -> StoreError {
    StoreError::Unavailable {
        reason: "the cable is out".to_owned(),
    }
}

fn unknown() -> CommitError {
    CommitError::Unknown {
        reason: "the connection broke".to_owned(),
    }
}

#[async_trait]
impl Table for FaultyStore {
    async fn get(&self, lane: &LaneId, key: &Key) -> Result<Option<Entry>, StoreError> {
        self.check_read()?;
        // A real store takes its time, and others get theirs.
        tokio::task::yield_now().await;
        self.inner.get(lane, key).await
    }

    async fn scan(&self, lane: &LaneId, scan: &Scan) -> Result<Vec<Entry>, StoreError> {
        self.check_read()?;
        let gate = self.gate.lock().unwrap().take();
        if let Some(gate) = gate {
            gate.reached.notify_one();
            gate.opened.notified().await;
        }
        self.inner.scan(lane, scan).await
    }

    async fn commit(&self, batch: Batch) -> Result<Committed, CommitError> {
        tokio::task::yield_now().await;
        let fault = match batch.fence {
            Some(_) => None,
            None => self.commits.lock().unwrap().pop_front(),
        };
        match fault {
            None => self.inner.commit(batch).await,
            Some(Fault::ReplyLost) => {
                self.inner.commit(batch).await?;
                Err(unknown())
            }
            Some(Fault::RequestLost) => Err(unknown()),
            Some(Fault::AppliedHangs) => {
                self.inner.commit(batch).await?;
                std::future::pending().await
            }
            Some(Fault::LostHangs) => std::future::pending().await,
            Some(Fault::Refused) => Err(CommitError::Unavailable {
                reason: "the disk is full".to_owned(),
            }),
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
        self.check_read()?;
        self.inner.read(lane, after, limit, wait).await
    }

    async fn last(&self, lane: &LaneId) -> Result<Position, StoreError> {
        self.check_read()?;
        self.inner.last(lane).await
    }
}

#[async_trait]
impl Wake for FaultyStore {
    async fn publish(&self, topic: &str) -> Result<(), StoreError> {
        if *self.publishes_fail.lock().unwrap() {
            return Err(unavailable());
        }
        self.inner.publish(topic).await
    }

    async fn subscribe(&self, topic: &str) -> Result<Box<dyn Wakeups>, StoreError> {
        self.check_read()?;
        self.inner.subscribe(topic).await
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
        self.inner.acquire(lane, holder, ttl).await
    }

    async fn renew(&self, lane: &LaneId, epoch: Epoch, ttl: Duration) -> Result<(), LeaseError> {
        self.inner.renew(lane, epoch, ttl).await
    }

    async fn release(&self, lane: &LaneId, epoch: Epoch) -> Result<(), LeaseError> {
        self.inner.release(lane, epoch).await
    }
}
