//! What the writer knows of each lane: its record and its lease.
//!
//! Leases live in memory only. A store is open in one process at a time, so whoever held a lease
//! before this process started is gone for certain and delays nobody. The epoch is durable before
//! an acquisition is answered, so epochs never repeat across restarts.

use std::collections::BTreeMap;
use std::time::Duration;

use baton_coord::{Epoch, HolderId, LeaseError};
use baton_model::{LaneId, Timestamp};
use fjall::{Readable, Snapshot};

use crate::error::{damaged, read_error};
use crate::keys::{LaneRecord, lane_key};
use baton_coord::StoreError;

/// Most lanes without a lease whose records are kept in memory, about 20 MiB.
const LANES_KEPT_MAX: usize = 64 * 1024;

/// All lanes in use.
#[derive(Debug, Default)]
pub(crate) struct Lanes(BTreeMap<LaneId, Lane>);

/// A lane in use.
#[derive(Clone, Debug)]
pub(crate) struct Lane {
    pub(crate) record: LaneRecord,
    /// Whether the store has a record of the lane.
    pub(crate) recorded: bool,
    holder: Option<(HolderId, Timestamp)>,
}

impl Lanes {
    /// The lane, read from the store if it is not known yet.
    pub(crate) fn load(
        &mut self,
        space: &fjall::Keyspace,
        snapshot: &Snapshot,
        lane: &LaneId,
    ) -> Result<&mut Lane, StoreError> {
        if !self.0.contains_key(lane) {
            let stored = snapshot
                .get(space, lane_key(lane))
                .map_err(|e| read_error(&e))?;
            let record = stored.as_deref().map(LaneRecord::decode).transpose();
            let record = record.map_err(|fault| damaged(format!("lane {lane}: {fault}")))?;
            let known = Lane {
                record: record.unwrap_or_default(),
                recorded: record.is_some(),
                holder: None,
            };
            self.0.insert(lane.clone(), known);
        }
        Ok(self.0.get_mut(lane).expect("the lane was inserted above"))
    }

    /// Forgets what can be read again when too much is kept.
    pub(crate) fn shed(&mut self) {
        if self.0.len() > LANES_KEPT_MAX {
            self.0.retain(|_, lane| lane.holder.is_some());
        }
    }
}

impl Lane {
    /// Whether a batch under this epoch may be applied.
    pub(crate) fn admits(&self, fence: Option<Epoch>) -> Result<(), Epoch> {
        match fence {
            Some(epoch) if epoch != self.record.epoch || self.holder.is_none() => {
                Err(self.record.epoch)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Gives the lane to `holder` under a new epoch, which must be recorded before it is told.
    pub(crate) fn acquire(
        &mut self,
        holder: &HolderId,
        ttl: Duration,
        now: Timestamp,
    ) -> Result<Epoch, LeaseError> {
        if let Some((other, expires)) = &self.holder
            && other != holder
            && now < *expires
        {
            return Err(LeaseError::Held {
                holder: other.clone(),
                remaining: expires.since(now),
            });
        }
        self.record.epoch.0 += 1;
        self.holder = Some((holder.clone(), now.saturating_add(ttl)));
        Ok(self.record.epoch)
    }

    /// Extends a lease that has not run out.
    pub(crate) fn renew(
        &mut self,
        epoch: Epoch,
        ttl: Duration,
        now: Timestamp,
    ) -> Result<(), LeaseError> {
        match &mut self.holder {
            Some((_, expires)) if self.record.epoch == epoch && now < *expires => {
                *expires = now.saturating_add(ttl);
                Ok(())
            }
            Some(_) | None => Err(LeaseError::Lost),
        }
    }

    /// Ends a lease.
    pub(crate) fn release(&mut self, epoch: Epoch) -> Result<(), LeaseError> {
        if self.record.epoch != epoch || self.holder.take().is_none() {
            return Err(LeaseError::Lost);
        }
        Ok(())
    }
}
