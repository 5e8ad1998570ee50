//! The one thread that writes.
//!
//! It takes whatever has queued up, checks each batch against the state that the ones before it
//! leave, writes all that hold as one atomic, flushed write of the underlying store, and hands them
//! over to be answered (see [`crate::answers`]). The cost of a flush is shared by the whole group.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{SendError, SyncSender};
use std::time::Duration;

use baton_coord::{
    Batch, Clock, CommitError, Committed, Epoch, HolderId, LeaseError, Position, Precondition,
    StoreError, Topics, Version,
};
use baton_model::LaneId;
use fjall::{Keyspace, PersistMode, Readable, Snapshot, UserKey, UserValue};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::Instant;

use crate::answers::{self, Answer, Durable, Stopped};
use crate::error::{damaged, read_error};
use crate::keys::{self, STORE_KEY};
use crate::lanes::Lanes;
use crate::pace::Pace;
use crate::read::Reader;
use crate::record::StoreRecord;

/// Most operations in one group: bounds how long its first batch waits for the others.
const GROUP_OPS_MAX: usize = 32 * 1024;
/// Most bytes in one group: bounds the memory of the write in preparation.
const GROUP_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most trimmed entries that one batch removes from the disk; the rest goes with the lane's next
/// batches.
const SWEEP_MAX: u64 = 4 * 1024;

/// Something for the writer to do.
pub(crate) enum Job {
    Commit {
        batch: Batch,
        /// Its share of the queue's memory.
        room: OwnedSemaphorePermit,
        answer: oneshot::Sender<Result<Committed, CommitError>>,
    },
    Acquire {
        lane: LaneId,
        holder: HolderId,
        ttl: Duration,
        answer: oneshot::Sender<Result<Epoch, LeaseError>>,
    },
    Renew {
        lane: LaneId,
        epoch: Epoch,
        ttl: Duration,
        answer: oneshot::Sender<Result<(), LeaseError>>,
    },
    Release {
        lane: LaneId,
        epoch: Epoch,
        answer: oneshot::Sender<Result<(), LeaseError>>,
    },
}

/// The writer and all that only it touches.
pub(crate) struct Writer {
    pub(crate) reader: Reader,
    pub(crate) record: StoreRecord,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) lanes: Lanes,
    pub(crate) pace: Pace,
    pub(crate) appended: Arc<Topics>,
    /// Where durable groups go to be answered.
    pub(crate) durable: SyncSender<Durable>,
    pub(crate) stopped: Stopped,
}

/// A group in preparation.
struct Group {
    snapshot: Snapshot,
    /// What it writes, `None` for what it removes. One entry for each key, however many batches of
    /// the group change it: all entries of one write of the underlying store have the same age, so
    /// it could not tell which is the last. In order, which the underlying store takes in faster.
    writes: BTreeMap<UserKey, Option<UserValue>>,
    answers: Vec<Answer>,
    operations: usize,
    bytes: usize,
}

impl Writer {
    /// Works until every sender is gone and the queue is empty.
    pub(crate) fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(first) = jobs.blocking_recv() {
            self.gather(jobs.len() + 1);
            let (began, mut taken) = (Instant::now(), 1);
            let mut group = self.begin_group();
            self.prepare(&mut group, first);
            while group.operations < GROUP_OPS_MAX && group.bytes < GROUP_BYTES_MAX {
                match jobs.try_recv() {
                    Ok(job) => self.prepare(&mut group, job),
                    Err(_) => break,
                }
                taken += 1;
            }
            self.pace.began(began, taken);
            self.finish(group);
            self.lanes.shed();
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a thread of its own, which has nothing else to do until the next group"
    )]
    fn gather(&self, waiting: usize) {
        std::thread::sleep(self.pace.wait(Instant::now(), waiting));
    }

    fn begin_group(&self) -> Group {
        Group {
            snapshot: self.reader.database.snapshot(),
            writes: BTreeMap::new(),
            answers: Vec::new(),
            operations: 0,
            bytes: 0,
        }
    }

    fn prepare(&mut self, group: &mut Group, job: Job) {
        group.operations += 1;
        match job {
            Job::Commit {
                batch,
                room,
                answer,
            } => self.prepare_commit(group, &batch, room, answer),
            Job::Acquire {
                lane,
                holder,
                ttl,
                answer,
            } => match self.stage_acquire(group, &lane, &holder, ttl) {
                Ok(epoch) => group.answers.push(Answer::Acquired { epoch, answer }),
                Err(error) => drop(answer.send(Err(error))),
            },
            Job::Renew {
                lane,
                epoch,
                ttl,
                answer,
            } => {
                let now = self.clock.now();
                let lane = self.lanes.load(&self.reader.space, &group.snapshot, &lane);
                let renewed = lane.map_err(LeaseError::from);
                drop(answer.send(renewed.and_then(|lane| lane.renew(epoch, ttl, now))));
            }
            Job::Release {
                lane,
                epoch,
                answer,
            } => {
                let lane = self.lanes.load(&self.reader.space, &group.snapshot, &lane);
                let released = lane.map_err(LeaseError::from);
                drop(answer.send(released.and_then(|lane| lane.release(epoch))));
            }
        }
    }

    fn prepare_commit(
        &mut self,
        group: &mut Group,
        batch: &Batch,
        room: OwnedSemaphorePermit,
        answer: oneshot::Sender<Result<Committed, CommitError>>,
    ) {
        let lane = batch.lane.clone();
        let staged = match self.check(group, batch) {
            Ok(()) => self.stage_commit(group, batch),
            Err(error) => Err(error),
        };
        match staged {
            Ok(committed) => group.answers.push(Answer::Committed {
                lane,
                committed,
                answer,
                room,
            }),
            Err(error) => group.answers.push(Answer::Refused { error, answer }),
        }
    }

    fn check(&mut self, group: &Group, batch: &Batch) -> Result<(), CommitError> {
        if let Some(reason) = self.stopped.get() {
            return Err(CommitError::Unavailable {
                reason: reason.clone(),
            });
        }
        let lane = self
            .lanes
            .load(&self.reader.space, &group.snapshot, &batch.lane);
        let lane = lane.map_err(|error| unavailable(&error))?;
        if let (Some(given), Err(current)) = (batch.fence, lane.admits(batch.fence)) {
            return Err(CommitError::Fenced { given, current });
        }
        let end = Position(lane.record.last.0 + batch.appends.len() as u64);
        for (index, rule) in batch.require.iter().enumerate() {
            let version = group.version(&self.reader.space, &batch.lane, rule.key());
            let version = version.map_err(|error| unavailable(&error))?;
            let holds = match rule {
                Precondition::Absent(_) => version.is_none(),
                Precondition::At(_, expected) => version == Some(*expected),
            };
            if !holds {
                let key = rule.key().clone();
                return Err(CommitError::Precondition { index, key });
            }
        }
        match batch.trim {
            Some(trim) if trim > end => Err(CommitError::trim_past_end(trim, end)),
            Some(_) | None => Ok(()),
        }
    }

    /// Adds a batch that holds to the group. From here on it is part of the state that later
    /// batches are checked against.
    fn stage_commit(&mut self, group: &mut Group, batch: &Batch) -> Result<Committed, CommitError> {
        let lane = self
            .lanes
            .load(&self.reader.space, &group.snapshot, &batch.lane);
        let lane = lane.map_err(|error| unavailable(&error))?;
        self.record.commits += 1;
        let version = Version(self.record.commits);
        group.operations += batch.require.len();
        group.bytes += batch.bytes();
        let before = lane.record;
        for (key, value) in &batch.puts {
            let value = keys::stored_value(version, value);
            group.put(keys::value_key(&batch.lane, key), value);
        }
        for key in &batch.deletes {
            group.delete(keys::value_key(&batch.lane, key));
        }
        for value in &batch.appends {
            lane.record.last.0 += 1;
            let key = keys::log_key(&batch.lane, lane.record.last);
            group.put(key, value.as_ref());
        }
        if let Some(trim) = batch.trim {
            lane.record.trimmed = lane.record.trimmed.max(trim);
        }
        let sweep = (lane.record.trimmed.0 - lane.record.swept.0).min(SWEEP_MAX);
        for _ in 0..sweep {
            lane.record.swept.0 += 1;
            group.delete(keys::log_key(&batch.lane, lane.record.swept));
        }
        if lane.record != before || !lane.recorded {
            lane.recorded = true;
            group.put(keys::lane_key(&batch.lane), lane.record.encode());
        }
        Ok(Committed {
            version,
            last: (!batch.appends.is_empty()).then_some(lane.record.last),
        })
    }

    fn stage_acquire(
        &mut self,
        group: &mut Group,
        name: &LaneId,
        holder: &HolderId,
        ttl: Duration,
    ) -> Result<Epoch, LeaseError> {
        if let Some(reason) = self.stopped.get() {
            return Err(LeaseError::Store(StoreError::Unavailable {
                reason: reason.clone(),
            }));
        }
        let now = self.clock.now();
        let lane = self.lanes.load(&self.reader.space, &group.snapshot, name)?;
        let epoch = lane.acquire(holder, ttl, now)?;
        lane.recorded = true;
        group.put(keys::lane_key(name), lane.record.encode());
        Ok(epoch)
    }

    /// Makes the group durable and hands it over to be answered.
    fn finish(&mut self, mut group: Group) {
        if group.writes.is_empty() {
            answers::tell(group.answers, &self.appended);
            return;
        }
        self.record.groups += 1;
        group.put(STORE_KEY.to_vec(), self.record.encode().to_vec());
        if let Err(error) = self.write(group.writes) {
            answers::fail(
                group.answers,
                answers::stop(&self.stopped, &error.to_string()),
            );
            return;
        }
        let durable = Durable {
            number: self.record.groups,
            answers: group.answers,
        };
        if let Err(SendError(durable)) = self.durable.send(durable) {
            answers::fail(
                durable.answers,
                answers::stop(&self.stopped, "nobody answers"),
            );
        }
    }

    fn write(&self, writes: BTreeMap<UserKey, Option<UserValue>>) -> Result<(), fjall::Error> {
        let mut batch = self
            .reader
            .database
            .batch()
            .durability(Some(PersistMode::SyncData));
        for (key, value) in writes {
            match value {
                Some(value) => batch.insert(&self.reader.space, key, value),
                None => batch.remove(&self.reader.space, key),
            }
        }
        batch.commit()
    }
}

impl Group {
    fn put(&mut self, key: Vec<u8>, value: impl Into<UserValue>) {
        self.operations += 1;
        self.writes.insert(UserKey::from(key), Some(value.into()));
    }

    fn delete(&mut self, key: Vec<u8>) {
        self.operations += 1;
        self.writes.insert(UserKey::from(key), None);
    }

    /// The version of a value as the batches before in this group leave it.
    fn version(
        &self,
        space: &Keyspace,
        lane: &LaneId,
        key: &[u8],
    ) -> Result<Option<Version>, StoreError> {
        let key = keys::value_key(lane, key);
        let stored = match self.writes.get(key.as_slice()) {
            Some(staged) => staged.clone(),
            None => self.snapshot.get(space, &key).map_err(|e| read_error(&e))?,
        };
        match stored.as_deref().map(keys::split_value) {
            Some(Some((version, _))) => Ok(Some(version)),
            Some(None) => Err(damaged(format!("lane {lane}: a value has no version"))),
            None => Ok(None),
        }
    }
}

/// The state that a batch is checked against could not be read: nothing was applied.
fn unavailable(error: &StoreError) -> CommitError {
    CommitError::Unavailable {
        reason: error.to_string(),
    }
}
