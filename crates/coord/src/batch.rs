//! What is written, atomically.

use baton_model::LaneId;
use bytes::Bytes;

use crate::{Epoch, Position, Version};

/// The name of a value within a lane. Order is the order of the bytes.
pub type Key = Bytes;

/// What must hold before a batch is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// The key has no value.
    Absent(Key),
    /// The key's value has this version.
    At(Key, Version),
}

/// One atomic change of one lane. Either all of it is applied, durably, or none of it.
///
/// Checks come first (fence, then preconditions in order), then puts, deletes, appends and the
/// trim. A key may occur in `puts` or in `deletes` once, not in both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The lane that this batch changes.
    pub lane: LaneId,
    /// The epoch under which the writer acts. `None` writes without holding the baton: only for
    /// records that no holder writes before it was told of them through the log.
    pub fence: Option<Epoch>,
    /// What must hold.
    pub require: Vec<Precondition>,
    /// Values to set.
    pub puts: Vec<(Key, Bytes)>,
    /// Keys to remove; a key without a value is no error.
    pub deletes: Vec<Key>,
    /// Entries to append to the lane's log, in order.
    pub appends: Vec<Bytes>,
    /// Remove the log's entries up to and including this position, which may be one that this batch
    /// appends. A position beyond the last entry is refused as [`crate::CommitError::Invalid`].
    pub trim: Option<Position>,
}

impl Batch {
    /// An empty batch for a lane, without a fence.
    pub const fn new(lane: LaneId) -> Self {
        Self {
            lane,
            fence: None,
            require: Vec::new(),
            puts: Vec::new(),
            deletes: Vec::new(),
            appends: Vec::new(),
            trim: None,
        }
    }

    /// The same batch under a fence.
    #[must_use]
    pub const fn fenced(mut self, epoch: Epoch) -> Self {
        self.fence = Some(epoch);
        self
    }

    /// Number of operations: preconditions, puts, deletes, appends, trim.
    pub fn operations(&self) -> usize {
        self.require.len()
            + self.puts.len()
            + self.deletes.len()
            + self.appends.len()
            + usize::from(self.trim.is_some())
    }
}

/// What a commit gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The version that every value put by the batch now has.
    pub version: Version,
    /// The position of the last entry appended; `None` if nothing was.
    pub last: Option<Position>,
}
