//! One suite for every backend: what the contract promises, as checks.
//!
//! A backend's tests call [`run`] and [`model::compare`]. Checks panic with what they expected.

mod batches;
mod concurrency;
mod leases;
mod limits;
mod logs;
pub mod model;
mod scans;
mod wakes;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use baton_model::LaneId;
use bytes::Bytes;

use crate::{
    Admin, Batch, CommitError, Committed, Epoch, HolderId, Key, Lease, LogEntry, ManualClock,
    Position, Scan, Store, Table,
};

/// How long a check waits for something that must happen at once. Generous, because machines are
/// busy; it is only ever waited out by a check that fails.
const PATIENCE: Duration = Duration::from_secs(20);
const TTL: Duration = Duration::from_secs(10);

/// A backend to check.
#[async_trait]
pub trait Backend: Send + Sync {
    /// Its store.
    type Store: Store + Admin + Clone + 'static;

    /// An empty store, and the clock that decides when its leases run out.
    async fn fresh(&self) -> (Self::Store, Arc<ManualClock>);

    /// Ends the process that has the store open, as far as the store can tell, and opens it again.
    /// `None` if the backend does not outlive its process.
    async fn restart(&self, store: Self::Store) -> Option<Self::Store>;
}

/// Runs every check, each on a store of its own.
pub async fn run<B: Backend>(backend: &B) {
    batches::run(backend).await;
    limits::run(backend).await;
    scans::run(backend).await;
    logs::run(backend).await;
    leases::run(backend).await;
    wakes::run(backend).await;
    concurrency::run(backend).await;
}

pub(crate) fn lane(name: &str) -> LaneId {
    LaneId::new(name).expect("a check names a valid lane")
}

pub(crate) fn key(name: &str) -> Key {
    Key::copy_from_slice(name.as_bytes())
}

pub(crate) fn holder(name: &str) -> HolderId {
    HolderId(name.to_owned())
}

pub(crate) fn put(lane: &LaneId, name: &str, value: &str) -> Batch {
    let mut batch = Batch::new(lane.clone());
    batch.puts.push((key(name), text(value)));
    batch
}

pub(crate) fn append(lane: &LaneId, values: &[&str]) -> Batch {
    let mut batch = Batch::new(lane.clone());
    batch.appends = values.iter().map(|value| text(value)).collect();
    batch
}

pub(crate) fn text(value: &str) -> Bytes {
    Bytes::copy_from_slice(value.as_bytes())
}

pub(crate) async fn committed<S: Table>(store: &S, batch: Batch) -> Committed {
    store.commit(batch).await.expect("the batch is committed")
}

pub(crate) async fn refused<S: Table>(store: &S, batch: Batch) -> CommitError {
    store.commit(batch).await.expect_err("the batch is refused")
}

pub(crate) async fn value<S: Table>(store: &S, lane: &LaneId, name: &str) -> Option<Bytes> {
    let found = store.get(lane, &key(name)).await.expect("the store reads");
    found.map(|entry| entry.value)
}

pub(crate) async fn names<S: Table>(store: &S, lane: &LaneId, scan: &Scan) -> Vec<String> {
    let found = store.scan(lane, scan).await.expect("the store scans");
    let name = |key: &Key| String::from_utf8_lossy(key).into_owned();
    found.iter().map(|entry| name(&entry.key)).collect()
}

pub(crate) async fn entries<S: Store>(store: &S, lane: &LaneId, after: u64) -> Vec<LogEntry> {
    let read = store
        .read(lane, Position(after), 1000, Duration::ZERO)
        .await;
    read.expect("the store reads its log")
}

pub(crate) async fn acquired<S: Lease>(store: &S, lane: &LaneId, by: &str) -> Epoch {
    let acquired = store.acquire(lane, &holder(by), TTL).await;
    acquired.expect("the lane is free").epoch
}

/// Fails instead of hanging.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(done) => done,
        Err(_) => panic!("{what}: still waiting after {PATIENCE:?}"),
    }
}
