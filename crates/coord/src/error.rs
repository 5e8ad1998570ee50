//! How stores fail.

use baton_model::{Blame, Classified, Retry};
use bytes::Bytes;

use crate::{Epoch, Position};

/// Why a batch was not, or perhaps not, applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// Another holder has taken the lane: nothing was applied and nothing of this epoch ever will
    /// be.
    #[error("epoch {given} is stale, the lane is at {current}")]
    Fenced {
        /// The epoch of the batch.
        given: Epoch,
        /// The lane's epoch.
        current: Epoch,
    },
    /// A precondition did not hold: nothing was applied.
    #[error("precondition {index} does not hold")]
    Precondition {
        /// Its place in `Batch::require`.
        index: usize,
        /// The key it names.
        key: Bytes,
    },
    /// The batch breaks a limit or is malformed: nothing was applied.
    #[error("batch refused: {reason}")]
    Invalid {
        /// Which rule, and the value that breaks it.
        reason: String,
    },
    /// The store cannot answer; nothing was applied.
    #[error("store unavailable: {reason}")]
    Unavailable {
        /// What went wrong.
        reason: String,
    },
    /// The store did not answer: the batch may or may not have been applied, or may yet be.
    #[error("outcome of the commit is unknown: {reason}")]
    Unknown {
        /// What went wrong.
        reason: String,
    },
}

impl CommitError {
    /// The answer to a batch that trims what is not in the log yet.
    pub fn trim_past_end(trim: Position, last: Position) -> Self {
        Self::Invalid {
            reason: format!("trim is {}, the log's last entry is at {}", trim.0, last.0),
        }
    }
}

impl Classified for CommitError {
    fn blame(&self) -> Blame {
        match self {
            Self::Fenced { .. } | Self::Precondition { .. } => Blame::Internal,
            Self::Invalid { .. } => Blame::Internal,
            Self::Unavailable { .. } | Self::Unknown { .. } => Blame::Operator,
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Fenced { .. } | Self::Precondition { .. } | Self::Invalid { .. } => Retry::Never,
            Self::Unavailable { .. } => Retry::Safe,
            Self::Unknown { .. } => Retry::Unknown,
        }
    }
}

/// Why a read or a store-wide operation failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The store cannot answer now.
    #[error("store unavailable: {reason}")]
    Unavailable {
        /// What went wrong.
        reason: String,
    },
    /// What is stored is not what was written: damaged, truncated, or sealed under a key that is
    /// not known.
    #[error("store damaged: {reason}")]
    Damaged {
        /// Where, and what is wrong.
        reason: String,
    },
    /// The question breaks a limit.
    #[error("read refused: {reason}")]
    Invalid {
        /// Which rule, and the value that breaks it.
        reason: String,
    },
}

impl Classified for StoreError {
    fn blame(&self) -> Blame {
        match self {
            Self::Unavailable { .. } | Self::Damaged { .. } => Blame::Operator,
            Self::Invalid { .. } => Blame::Internal,
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Unavailable { .. } => Retry::Safe,
            Self::Damaged { .. } | Self::Invalid { .. } => Retry::Never,
        }
    }
}
