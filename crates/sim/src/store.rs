//! The store as one process reaches it: the reference model behind a connection that fails.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use baton_coord::memory::MemoryStore;
use baton_coord::{
    Acquired, Batch, CommitError, Committed, Entry, Epoch, HolderId, Key, Lease, LeaseError, Log,
    LogEntry, Position, Scan, StoreError, Table, Wake, WakeEvent, Wakeups,
};
use baton_model::LaneId;
use tokio::time::{Instant, sleep, timeout_at};

use crate::fault::{Effect, Fault};
use crate::gate::{Gate, lock};

/// How long a store stalls, in milliseconds: longer than the wait for an answer, too.
const STALL_MS: RangeInclusive<u64> = 500..=15_000;
/// How late a commit is applied, in milliseconds: after its lease has run out, too.
const LATE_MS: RangeInclusive<u64> = 50..=30_000;

/// One process's connection.
pub(crate) struct SimStore {
    pub(crate) gate: Arc<Gate>,
    pub(crate) inner: MemoryStore,
}

/// Who listens to what. Wakes in the order of subscription, so that a run can be replayed.
#[derive(Default)]
pub(crate) struct Topics(BTreeMap<String, Vec<Weak<Ear>>>);

/// One subscriber.
#[derive(Default)]
struct Ear {
    heard: Mutex<Heard>,
}

#[derive(Default)]
struct Heard {
    published: bool,
    waker: Option<Waker>,
}

struct Subscription(Arc<Ear>);

/// The topic of appends to a lane's log.
pub(crate) fn appended(lane: &LaneId) -> String {
    format!("appended/{lane}")
}

impl Topics {
    pub(crate) fn publish(&mut self, topic: &str) {
        let Some(ears) = self.0.get_mut(topic) else {
            return;
        };
        ears.retain(|ear| ear.strong_count() > 0);
        for ear in ears.iter().filter_map(Weak::upgrade) {
            let mut heard = lock(&ear.heard);
            heard.published = true;
            if let Some(waker) = heard.waker.take() {
                waker.wake();
            }
        }
    }

    fn subscribe(&mut self, topic: &str) -> Subscription {
        let ear = Arc::new(Ear::default());
        let ears = self.0.entry(topic.to_owned()).or_default();
        ears.push(Arc::downgrade(&ear));
        Subscription(ear)
    }
}

#[async_trait]
impl Wakeups for Subscription {
    async fn next(&mut self) -> Option<WakeEvent> {
        std::future::poll_fn(|cx| {
            let mut heard = lock(&self.0.heard);
            if std::mem::take(&mut heard.published) {
                return Poll::Ready(Some(WakeEvent::Published));
            }
            heard.waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }
}

impl SimStore {
    async fn begin_read(&self) -> Result<(), StoreError> {
        self.gate.enter(Effect::Read).await;
        if let Some(millis) = self.gate.delay(Fault::ReadSlow, &STALL_MS) {
            sleep(Duration::from_millis(millis)).await;
        }
        if self.gate.strikes(Fault::ReadRefused) {
            return Err(unavailable());
        }
        Ok(())
    }

    /// An operation on a lease, which may have its effect without an answer, or neither.
    async fn lease<T>(
        &self,
        what: &str,
        operation: impl Future<Output = Result<T, LeaseError>> + Send,
    ) -> Result<T, LeaseError> {
        self.gate.enter(Effect::Lease).await;
        if self.gate.strikes(Fault::LeaseRefused) {
            return Err(unavailable().into());
        }
        let result = operation.await;
        let outcome = if result.is_ok() { "given" } else { "not given" };
        self.gate.say(|| format!("{what}: {outcome}"));
        let lost = self.gate.strikes(Fault::LeaseReplyLost);
        self.gate.leave(Effect::Lease).await;
        if lost {
            return Err(unavailable().into());
        }
        result
    }
}

#[async_trait]
impl Lease for SimStore {
    async fn acquire(
        &self,
        lane: &LaneId,
        holder: &HolderId,
        ttl: Duration,
    ) -> Result<Acquired, LeaseError> {
        self.lease("acquire", self.inner.acquire(lane, holder, ttl))
            .await
    }

    async fn renew(&self, lane: &LaneId, epoch: Epoch, ttl: Duration) -> Result<(), LeaseError> {
        self.lease("renew", self.inner.renew(lane, epoch, ttl))
            .await
    }

    async fn release(&self, lane: &LaneId, epoch: Epoch) -> Result<(), LeaseError> {
        self.lease("release", self.inner.release(lane, epoch)).await
    }
}

#[async_trait]
impl Table for SimStore {
    async fn get(&self, lane: &LaneId, key: &Key) -> Result<Option<Entry>, StoreError> {
        self.begin_read().await?;
        let found = self.inner.get(lane, key).await;
        self.gate.leave(Effect::Read).await;
        found
    }

    async fn scan(&self, lane: &LaneId, scan: &Scan) -> Result<Vec<Entry>, StoreError> {
        self.begin_read().await?;
        let found = self.inner.scan(lane, scan).await;
        self.gate.leave(Effect::Read).await;
        found
    }

    async fn commit(&self, batch: Batch) -> Result<Committed, CommitError> {
        self.gate.enter(Effect::Commit).await;
        if self.gate.strikes(Fault::CommitRefused) {
            let reason = "simulated".to_owned();
            return Err(CommitError::Unavailable { reason });
        }
        if let Some(millis) = self.gate.delay(Fault::CommitLate, &LATE_MS) {
            let mut world = self.gate.world();
            let at_ms = world.now_ms + millis;
            world.say(Some(self.gate.process), || {
                format!("commit applied at {at_ms}")
            });
            world.late_commits.push((at_ms, batch));
            return Err(unknown());
        }
        if let Some(millis) = self.gate.delay(Fault::CommitStalled, &STALL_MS) {
            sleep(Duration::from_millis(millis)).await;
        }
        let committed = self.gate.world().commit(Some(self.gate.process), &batch);
        let lost = self.gate.strikes(Fault::CommitReplyLost);
        self.gate.leave(Effect::Commit).await;
        if lost {
            return Err(unknown());
        }
        committed
    }
}

#[async_trait]
impl Log for SimStore {
    async fn read(
        &self,
        lane: &LaneId,
        after: Position,
        limit: usize,
        wait: Duration,
    ) -> Result<Vec<LogEntry>, StoreError> {
        let deadline = Instant::now() + wait;
        // Listens before it looks, so that an append between the two is heard.
        let mut appends = self.gate.world().topics.subscribe(&appended(lane));
        self.begin_read().await?;
        loop {
            let found = self.inner.read(lane, after, limit, Duration::ZERO).await?;
            if !found.is_empty() || Instant::now() >= deadline {
                self.gate.leave(Effect::Read).await;
                return Ok(found);
            }
            // Time out or not, the log is looked at again.
            let _: Result<Option<WakeEvent>, _> = timeout_at(deadline, appends.next()).await;
        }
    }

    async fn last(&self, lane: &LaneId) -> Result<Position, StoreError> {
        self.begin_read().await?;
        let last = self.inner.last(lane).await;
        self.gate.leave(Effect::Read).await;
        last
    }
}

#[async_trait]
impl Wake for SimStore {
    async fn publish(&self, topic: &str) -> Result<(), StoreError> {
        self.gate.enter(Effect::Publish).await;
        if !self.gate.strikes(Fault::WakeLost) {
            self.gate.world().topics.publish(topic);
        }
        self.gate.leave(Effect::Publish).await;
        Ok(())
    }

    async fn subscribe(&self, topic: &str) -> Result<Box<dyn Wakeups>, StoreError> {
        let ear = self.gate.world().topics.subscribe(topic);
        Ok(Box::new(ear))
    }
}

fn unavailable() -> StoreError {
    StoreError::Unavailable {
        reason: "simulated".to_owned(),
    }
}

fn unknown() -> CommitError {
    CommitError::Unknown {
        reason: "simulated".to_owned(),
    }
}
