//! Tables, logs and wake-ups.

use std::time::Duration;

use async_trait::async_trait;
use baton_model::LaneId;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{Batch, CommitError, Committed, Key, Lease, StoreError};

/// The state of a value. Every commit to a lane gives the values it puts a version higher than all
/// before in that lane, also across deletes, so a version never stands for two values.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Version(pub u64);

/// A place in a lane's log. The first entry is at 1; positions rise by one and are never reused,
/// also after a trim.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Position(pub u64);

/// A stored value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub key: Key,
    /// Its state.
    pub version: Version,
    /// Its content.
    pub value: Bytes,
}

/// An entry of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Where it stands.
    pub position: Position,
    /// Its content.
    pub value: Bytes,
}

/// Which keys of a lane to read, in the order of their bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// Only keys that begin with this.
    pub prefix: Key,
    /// Only keys beyond this one in the direction of the scan.
    pub after: Option<Key>,
    /// Pass over this many matching keys first.
    pub skip: usize,
    /// At most this many, 1 to [`crate::SCAN_LIMIT_MAX`].
    pub limit: usize,
    /// From the last key to the first.
    pub reverse: bool,
}

impl Scan {
    /// The first `limit` keys with a prefix.
    pub fn prefix(prefix: impl Into<Key>, limit: usize) -> Self {
        Self {
            prefix: prefix.into(),
            after: None,
            skip: 0,
            limit,
            reverse: false,
        }
    }
}

/// Values by key.
#[async_trait]
pub trait Table: Send + Sync {
    /// The value of a key. Sees every commit that was answered before.
    async fn get(&self, lane: &LaneId, key: &Key) -> Result<Option<Entry>, StoreError>;

    /// Keys in order, from one consistent state.
    async fn scan(&self, lane: &LaneId, scan: &Scan) -> Result<Vec<Entry>, StoreError>;

    /// Applies a batch atomically and durably, or says why not. Commits to one lane are applied in
    /// the order in which `commit` was called by one task.
    async fn commit(&self, batch: Batch) -> Result<Committed, CommitError>;
}

/// The lane's log. Appends and trims are part of a [`Batch`].
#[async_trait]
pub trait Log: Send + Sync {
    /// Up to `limit` entries after a position, in order. When there are none, waits up to `wait`
    /// for one, at most [`crate::limits::READ_WAIT_MAX`].
    async fn read(
        &self,
        lane: &LaneId,
        after: Position,
        limit: usize,
        wait: Duration,
    ) -> Result<Vec<LogEntry>, StoreError>;

    /// The position of the last entry ever appended, [`Position`] 0 if there was none. Trimming
    /// does not change it.
    async fn last(&self, lane: &LaneId) -> Result<Position, StoreError>;
}

/// What a subscriber hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WakeEvent {
    /// Something was published.
    Published,
    /// Wake-ups may have been lost: look at everything.
    Lagged,
}

/// A running subscription.
#[async_trait]
pub trait Wakeups: Send {
    /// The next wake-up; `None` when the store has closed. Several publications may be heard as
    /// one.
    async fn next(&mut self) -> Option<WakeEvent>;
}

/// Best-effort wake-ups. Losing one costs latency, never correctness.
#[async_trait]
pub trait Wake: Send + Sync {
    /// Wakes whoever subscribed to a topic.
    async fn publish(&self, topic: &str) -> Result<(), StoreError>;

    /// Hears publications from now on.
    async fn subscribe(&self, topic: &str) -> Result<Box<dyn Wakeups>, StoreError>;
}

/// A whole backend.
pub trait Store: Lease + Table + Log + Wake {}

impl<S: Lease + Table + Log + Wake> Store for S {}
