//! The reference model: a store in memory, as simple as the contract allows.
//!
//! Tests compare backends with it and the simulator runs on it. It keeps nothing when it is
//! dropped, so it is no backend for production.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use baton_model::{LaneId, Timestamp};
use bytes::Bytes;
use tokio::time::Instant;

use crate::limits::{READ_WAIT_MAX, check_key, check_limit, check_topic, check_ttl};
use crate::{
    Acquired, Admin, Batch, Clock, CommitError, Committed, Entry, Epoch, HolderId, Key, Lease,
    LeaseError, Log, LogEntry, Position, Precondition, Scan, StoreError, Table, Topics, Version,
    Wake, Wakeups,
};

/// A store in memory. Clones share their content.
#[derive(Clone)]
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    lanes: Arc<Mutex<BTreeMap<LaneId, Lane>>>,
    appended: Arc<Topics>,
    topics: Arc<Topics>,
}

/// What a store held at one time.
#[derive(Clone, Debug)]
pub struct Snapshot(BTreeMap<LaneId, Lane>);

#[derive(Clone, Debug, Default)]
struct Lane {
    epoch: Epoch,
    holder: Option<(HolderId, Timestamp)>,
    version: Version,
    values: BTreeMap<Key, (Version, Bytes)>,
    last: Position,
    log: BTreeMap<Position, Bytes>,
}

impl MemoryStore {
    /// An empty store that tells the time by `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            lanes: Arc::default(),
            appended: Arc::new(Topics::new()),
            topics: Arc::new(Topics::new()),
        }
    }

    /// What it holds now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot(self.lock().clone())
    }

    /// Goes back to what it held, as a backend that has lost its last writes: values and logs are as they were, while
    /// epochs and versions go on rising and nobody holds a lane.
    pub fn restore(&self, snapshot: &Snapshot) {
        for (name, lane) in self.lock().iter_mut() {
            let old = snapshot.0.get(name).cloned().unwrap_or_default();
            *lane = Lane {
                epoch: Epoch(lane.epoch.0 + 1),
                holder: None,
                version: lane.version,
                ..old
            };
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<LaneId, Lane>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn entries_after(&self, lane: &LaneId, after: Position, limit: usize) -> Vec<LogEntry> {
        let Some(next) = after.0.checked_add(1) else {
            return Vec::new();
        };
        self.lock().get(lane).map_or_else(Vec::new, |lane| {
            lane.log
                .range(Position(next)..)
                .take(limit)
                .map(|(position, value)| LogEntry {
                    position: *position,
                    value: value.clone(),
                })
                .collect()
        })
    }
}

impl Snapshot {
    /// Keys and values of a lane, in order.
    pub fn entries(&self, lane: &LaneId) -> impl Iterator<Item = (&Key, &Bytes)> {
        let values = self.0.get(lane).into_iter().flat_map(|lane| &lane.values);
        values.map(|(key, (_, value))| (key, value))
    }
}

impl Lane {
    fn check(&self, batch: &Batch) -> Result<(), CommitError> {
        if let Some(given) = batch.fence
            && (given != self.epoch || self.holder.is_none())
        {
            return Err(CommitError::Fenced {
                given,
                current: self.epoch,
            });
        }
        for (index, rule) in batch.require.iter().enumerate() {
            let version = self.values.get(rule.key()).map(|(version, _)| *version);
            let holds = match rule {
                Precondition::Absent(_) => version.is_none(),
                Precondition::At(_, expected) => version == Some(*expected),
            };
            if !holds {
                let key = rule.key().clone();
                return Err(CommitError::Precondition { index, key });
            }
        }
        let last = self.last.0 + batch.appends.len() as u64;
        match batch.trim {
            Some(trim) if trim.0 > last => Err(CommitError::trim_past_end(trim, Position(last))),
            Some(_) | None => Ok(()),
        }
    }

    fn apply(&mut self, batch: Batch) -> Committed {
        self.version.0 += 1;
        for (key, value) in batch.puts {
            self.values.insert(key, (self.version, value));
        }
        for key in batch.deletes {
            self.values.remove(&key);
        }
        let appended = !batch.appends.is_empty();
        for value in batch.appends {
            self.last.0 += 1;
            self.log.insert(self.last, value);
        }
        if let Some(trim) = batch.trim {
            self.log.retain(|position, _| *position > trim);
        }
        Committed {
            version: self.version,
            last: appended.then_some(self.last),
        }
    }

    /// The live lease of this epoch, or why there is none.
    fn live(&mut self, epoch: Epoch, now: Timestamp) -> Result<&mut Timestamp, LeaseError> {
        match &mut self.holder {
            Some((_, expires)) if self.epoch == epoch && now < *expires => Ok(expires),
            Some(_) | None => Err(LeaseError::Lost),
        }
    }
}

#[async_trait]
impl Lease for MemoryStore {
    async fn acquire(
        &self,
        lane: &LaneId,
        holder: &HolderId,
        ttl: Duration,
    ) -> Result<Acquired, LeaseError> {
        check_ttl(ttl)?;
        let now = self.clock.now();
        let mut lanes = self.lock();
        let lane = lanes.entry(lane.clone()).or_default();
        if let Some((other, expires)) = &lane.holder
            && other != holder
            && now < *expires
        {
            return Err(LeaseError::Held {
                holder: other.clone(),
                remaining: expires.since(now),
            });
        }
        lane.epoch.0 += 1;
        lane.holder = Some((holder.clone(), now.saturating_add(ttl)));
        Ok(Acquired { epoch: lane.epoch })
    }

    async fn renew(&self, lane: &LaneId, epoch: Epoch, ttl: Duration) -> Result<(), LeaseError> {
        check_ttl(ttl)?;
        let now = self.clock.now();
        let mut lanes = self.lock();
        let lane = lanes.get_mut(lane).ok_or(LeaseError::Lost)?;
        *lane.live(epoch, now)? = now.saturating_add(ttl);
        Ok(())
    }

    async fn release(&self, lane: &LaneId, epoch: Epoch) -> Result<(), LeaseError> {
        let mut lanes = self.lock();
        let lane = lanes.get_mut(lane).ok_or(LeaseError::Lost)?;
        if lane.epoch != epoch || lane.holder.take().is_none() {
            return Err(LeaseError::Lost);
        }
        Ok(())
    }
}

#[async_trait]
impl Table for MemoryStore {
    async fn get(&self, lane: &LaneId, key: &Key) -> Result<Option<Entry>, StoreError> {
        check_key(key)?;
        let lanes = self.lock();
        let found = lanes.get(lane).and_then(|lane| lane.values.get(key));
        Ok(found.map(|(version, value)| entry(key, *version, value)))
    }

    async fn scan(&self, lane: &LaneId, scan: &Scan) -> Result<Vec<Entry>, StoreError> {
        scan.check()?;
        let lanes = self.lock();
        let Some(lane) = lanes.get(lane) else {
            return Ok(Vec::new());
        };
        let beyond = |key: &Key| match &scan.after {
            Some(after) if scan.reverse => key < after,
            Some(after) => key > after,
            None => true,
        };
        let mut found: Vec<Entry> = lane
            .values
            .iter()
            .filter(|(key, _)| key.starts_with(&scan.prefix) && beyond(key))
            .map(|(key, (version, value))| entry(key, *version, value))
            .collect();
        if scan.reverse {
            found.reverse();
        }
        Ok(found.into_iter().skip(scan.skip).take(scan.limit).collect())
    }

    async fn commit(&self, batch: Batch) -> Result<Committed, CommitError> {
        batch.check()?;
        let name = batch.lane.clone();
        let committed = {
            let mut lanes = self.lock();
            lanes.get(&name).unwrap_or(&Lane::default()).check(&batch)?;
            lanes.entry(name.clone()).or_default().apply(batch)
        };
        if committed.last.is_some() {
            self.appended.publish(name.as_str());
        }
        Ok(committed)
    }
}

#[async_trait]
impl Log for MemoryStore {
    async fn read(
        &self,
        lane: &LaneId,
        after: Position,
        limit: usize,
        wait: Duration,
    ) -> Result<Vec<LogEntry>, StoreError> {
        check_limit(limit)?;
        let deadline = Instant::now() + wait.min(READ_WAIT_MAX);
        // Listens before it looks, so that an append between the two is heard.
        let mut appended = self.appended.subscribe(lane.as_str());
        loop {
            let found = self.entries_after(lane, after, limit);
            if !found.is_empty() {
                return Ok(found);
            }
            match tokio::time::timeout_at(deadline, appended.next()).await {
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return Ok(found),
            }
        }
    }

    async fn last(&self, lane: &LaneId) -> Result<Position, StoreError> {
        Ok(self.lock().get(lane).map_or(Position(0), |lane| lane.last))
    }
}

#[async_trait]
impl Wake for MemoryStore {
    async fn publish(&self, topic: &str) -> Result<(), StoreError> {
        check_topic(topic)?;
        self.topics.publish(topic);
        Ok(())
    }

    async fn subscribe(&self, topic: &str) -> Result<Box<dyn Wakeups>, StoreError> {
        check_topic(topic)?;
        Ok(Box::new(self.topics.subscribe(topic)))
    }
}

#[async_trait]
impl Admin for MemoryStore {
    async fn lanes(&self, after: Option<&LaneId>, limit: usize) -> Result<Vec<LaneId>, StoreError> {
        check_limit(limit)?;
        let lanes = self.lock();
        let beyond = lanes
            .keys()
            .filter(|lane| after.is_none_or(|after| *lane > after));
        Ok(beyond.take(limit).cloned().collect())
    }
}

fn entry(key: &Key, version: Version, value: &Bytes) -> Entry {
    Entry {
        key: key.clone(),
        version,
        value: value.clone(),
    }
}
