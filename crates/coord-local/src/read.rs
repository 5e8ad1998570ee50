//! Reads, from the last durable state.

use std::ops::Range;
use std::sync::Arc;

use baton_coord::{Entry, Key, LogEntry, Position, Scan, StoreError};
use baton_model::LaneId;
use bytes::Bytes;
use fjall::{Database, Guard, Keyspace, Readable};

use crate::directory::Directory;
use crate::error::{damaged, read_error};
use crate::keys::{self, LaneRecord, STORE_KEY};
use crate::record::StoreRecord;

/// Reads one store. A snapshot of the underlying store holds only groups that are durable.
#[derive(Clone)]
pub(crate) struct Reader {
    pub(crate) database: Database,
    pub(crate) space: Keyspace,
    /// Keeps the directory locked until the files above are closed: fields are dropped in order.
    pub(crate) _directory: Arc<Directory>,
}

impl Reader {
    /// The store's own record, `None` if it was never written to.
    pub(crate) fn store_record(&self) -> Result<Option<StoreRecord>, StoreError> {
        let stored = self.get(STORE_KEY)?;
        stored
            .as_deref()
            .map(StoreRecord::decode)
            .transpose()
            .map_err(damaged)
    }

    pub(crate) fn value(&self, lane: &LaneId, key: &Key) -> Result<Option<Entry>, StoreError> {
        let Some(stored) = self.get(&keys::value_key(lane, key))? else {
            return Ok(None);
        };
        entry(lane, key.clone(), &stored).map(Some)
    }

    pub(crate) fn scan(&self, lane: &LaneId, scan: &Scan) -> Result<Vec<Entry>, StoreError> {
        let mut range = keys::values_with(lane, &scan.prefix);
        if let Some(after) = &scan.after {
            let mut after = keys::value_key(lane, after);
            if scan.reverse {
                range.end = range.end.min(after);
            } else {
                // The key right behind `after`.
                after.push(0);
                range.start = range.start.max(after);
            }
        }
        let read = |guard: Guard| {
            let (key, stored) = guard.into_inner().map_err(|e| read_error(&e))?;
            let name = Bytes::copy_from_slice(keys::name_of(lane, &key));
            entry(lane, name, &stored)
        };
        let Some(found) = self.range(range) else {
            return Ok(Vec::new());
        };
        if scan.reverse {
            found
                .rev()
                .skip(scan.skip)
                .take(scan.limit)
                .map(read)
                .collect()
        } else {
            found.skip(scan.skip).take(scan.limit).map(read).collect()
        }
    }

    pub(crate) fn entries(
        &self,
        lane: &LaneId,
        after: Position,
        limit: usize,
    ) -> Result<Vec<LogEntry>, StoreError> {
        let record = self.lane_record(lane)?;
        let after = after.max(record.trimmed);
        if after >= record.last {
            return Ok(Vec::new());
        }
        let start = keys::log_key(lane, Position(after.0 + 1));
        let mut end = keys::log_key(lane, record.last);
        end.push(0);
        let Some(found) = self.range(start..end) else {
            return Ok(Vec::new());
        };
        let mut entries = Vec::new();
        for (guard, expected) in found.take(limit).zip(after.0 + 1..) {
            let (key, stored) = guard.into_inner().map_err(|e| read_error(&e))?;
            // A trim between the two reads may have removed the first ones, but never makes a hole.
            let position = keys::position_of(&key).unwrap_or_default();
            if position.0 != expected && !entries.is_empty() {
                return Err(damaged(format!(
                    "lane {lane}: log entry {expected} is missing"
                )));
            }
            entries.push(LogEntry {
                position,
                value: Bytes::copy_from_slice(&stored),
            });
        }
        Ok(entries)
    }

    pub(crate) fn last(&self, lane: &LaneId) -> Result<Position, StoreError> {
        Ok(self.lane_record(lane)?.last)
    }

    pub(crate) fn lanes(
        &self,
        after: Option<&LaneId>,
        limit: usize,
    ) -> Result<Vec<LaneId>, StoreError> {
        let Some(found) = self.range(keys::lanes_beyond(after)) else {
            return Ok(Vec::new());
        };
        let read = |guard: Guard| {
            let (key, _) = guard.into_inner().map_err(|e| read_error(&e))?;
            keys::lane_of(&key).ok_or_else(|| {
                damaged(format!(
                    "\"{}\" is not the name of a lane",
                    key.escape_ascii()
                ))
            })
        };
        found.take(limit).map(read).collect()
    }

    fn lane_record(&self, lane: &LaneId) -> Result<LaneRecord, StoreError> {
        let stored = self.get(&keys::lane_key(lane))?;
        let record = stored.as_deref().map(LaneRecord::decode).transpose();
        let record = record.map_err(|fault| damaged(format!("lane {lane}: {fault}")))?;
        Ok(record.unwrap_or_default())
    }

    fn get(&self, key: &[u8]) -> Result<Option<fjall::UserValue>, StoreError> {
        self.database
            .snapshot()
            .get(&self.space, key)
            .map_err(|e| read_error(&e))
    }

    /// The range from one consistent state, `None` if it is empty by its bounds.
    fn range(&self, range: Range<Vec<u8>>) -> Option<fjall::Iter> {
        (range.start < range.end).then(|| self.database.snapshot().range(&self.space, range))
    }
}

fn entry(lane: &LaneId, key: Key, stored: &[u8]) -> Result<Entry, StoreError> {
    let (version, value) = keys::split_value(stored)
        .ok_or_else(|| damaged(format!("lane {lane}: a value has no version")))?;
    Ok(Entry {
        key,
        version,
        value: Bytes::copy_from_slice(value),
    })
}
