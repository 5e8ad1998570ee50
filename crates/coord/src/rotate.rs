//! Bringing a store under its active key.

use std::collections::BTreeMap;
use std::time::Duration;

use baton_model::{Blame, Classified, LaneId, Retry};

use crate::keyring::KeyId;
use crate::sealed::key_of;
use crate::{
    Admin, Batch, CommitError, Entry, Log, Position, Precondition, Scan, Sealed, StoreError, Table,
    VALUE_BYTES_MAX,
};

/// Values read at a time. They are rewritten in batches of at most [`BATCH_BYTES`].
const PAGE: usize = 64;
/// Bytes rewritten in one batch: one value of the largest size fits.
const BATCH_BYTES: usize = VALUE_BYTES_MAX;
/// Log entries looked at in one read.
const LOG_PAGE: usize = 256;

/// What a rotation found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rotated {
    /// Lanes looked at.
    pub lanes: u64,
    /// Values rewritten under the active key.
    pub rewritten: u64,
    /// Values that were under the active key already.
    pub current: u64,
    /// Log entries that are still under an old key, by key. Logs only grow and are trimmed, so
    /// their entries are not rewritten: an old key is needed until the lanes that hold such entries
    /// have worked them off.
    pub log_entries_under: BTreeMap<KeyId, u64>,
}

/// Why a rotation stopped. What it did stays done; the next one goes on from there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RotateError {
    /// A value could not be read.
    #[error(transparent)]
    Read(#[from] StoreError),
    /// A value could not be rewritten.
    #[error(transparent)]
    Write(#[from] CommitError),
}

impl Classified for RotateError {
    fn blame(&self) -> Blame {
        match self {
            Self::Read(error) => error.blame(),
            Self::Write(error) => error.blame(),
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Read(error) => error.retry(),
            // Rewriting the same value twice does no harm.
            Self::Write(error) => match error.retry() {
                Retry::Unknown | Retry::Safe => Retry::Safe,
                Retry::Never => Retry::Never,
            },
        }
    }
}

impl<S: Table + Log + Admin> Sealed<S> {
    /// Rewrites every value of every lane that is not under the active key, in bounded batches, and
    /// counts the log entries that are under old keys. Values get new versions, so holders of lanes
    /// must not be running. After an interruption, call it again: what is done is passed over.
    ///
    /// # Errors
    /// The first value that cannot be read or rewritten; see [`RotateError`].
    pub async fn rotate(&self) -> Result<Rotated, RotateError> {
        let mut done = Rotated::default();
        let mut after: Option<LaneId> = None;
        loop {
            let lanes = self.inner.lanes(after.as_ref(), PAGE).await?;
            let Some(last) = lanes.last().cloned() else {
                return Ok(done);
            };
            for lane in &lanes {
                self.rotate_values(lane, &mut done).await?;
                self.count_log(lane, &mut done).await?;
                done.lanes += 1;
            }
            after = Some(last);
        }
    }

    async fn rotate_values(&self, lane: &LaneId, done: &mut Rotated) -> Result<(), RotateError> {
        let mut scan = Scan::prefix("", PAGE);
        loop {
            let page = self.inner.scan(lane, &scan).await?;
            let Some(last) = page.last().map(|entry| entry.key.clone()) else {
                return Ok(());
            };
            let (current, old): (Vec<Entry>, Vec<Entry>) = page
                .into_iter()
                .partition(|entry| key_of(&entry.value) == Some(self.keys.active()));
            done.current += current.len() as u64;
            let mut batch = Batch::new(lane.clone());
            for entry in old {
                if !batch.puts.is_empty() && batch.bytes() + entry.value.len() > BATCH_BYTES {
                    let full = std::mem::replace(&mut batch, Batch::new(lane.clone()));
                    self.rewrite(full, done).await?;
                }
                let entry = self.open_entry(lane, entry)?;
                // A writer that came in between wins: what it wrote is under the active key.
                batch
                    .require
                    .push(Precondition::At(entry.key.clone(), entry.version));
                batch.puts.push((entry.key, entry.value));
            }
            if !batch.puts.is_empty() {
                self.rewrite(batch, done).await?;
            }
            scan.after = Some(last);
        }
    }

    async fn rewrite(&self, mut batch: Batch, done: &mut Rotated) -> Result<(), RotateError> {
        while !batch.puts.is_empty() {
            let sealed = self.seal_batch(batch.clone())?;
            match self.inner.commit(sealed).await {
                Ok(_) => {
                    done.rewritten += batch.puts.len() as u64;
                    return Ok(());
                }
                Err(CommitError::Precondition { index, .. }) => {
                    batch.require.remove(index);
                    batch.puts.remove(index);
                    done.current += 1;
                }
                Err(
                    error @ (CommitError::Fenced { .. }
                    | CommitError::Invalid { .. }
                    | CommitError::Unavailable { .. }
                    | CommitError::Unknown { .. }),
                ) => return Err(error.into()),
            }
        }
        Ok(())
    }

    async fn count_log(&self, lane: &LaneId, done: &mut Rotated) -> Result<(), RotateError> {
        let mut after = Position(0);
        loop {
            let page = self
                .inner
                .read(lane, after, LOG_PAGE, Duration::ZERO)
                .await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = last.position;
            for entry in &page {
                let id = key_of(&entry.value).filter(|id| *id != self.keys.active());
                if let Some(id) = id {
                    *done.log_entries_under.entry(id).or_default() += 1;
                }
            }
        }
    }
}
