//! Why a store does not open, and how the underlying store's failures are told.

use std::io;
use std::path::PathBuf;

use baton_coord::StoreError;
use baton_model::{Blame, Classified, Retry};

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the directory.
    #[error("store {} is in use by {holder}", directory.display())]
    InUse {
        /// The store's directory.
        directory: PathBuf,
        /// Process id, host and start time, as the other process wrote them.
        holder: String,
    },
    /// The directory has content, but not that of a store.
    #[error(
        "{} is not a store: it holds {found:?} but no file {:?}; name an empty or new directory, \
         or restore the missing file",
        directory.display(),
        crate::directory::MARKER
    )]
    NotAStore {
        /// The directory.
        directory: PathBuf,
        /// One of the names in it.
        found: String,
    },
    /// The store was written by a version of Baton that this one does not know.
    #[error(
        "store {} has format {found:?}, this version of Baton reads {:?}",
        directory.display(),
        crate::directory::FORMAT
    )]
    Format {
        /// The store's directory.
        directory: PathBuf,
        /// What the marker file says.
        found: String,
    },
    /// A part of the store is gone, or is not what was written.
    #[error("store {} is damaged: {reason}; restore it from a backup", directory.display())]
    Damaged {
        /// The store's directory.
        directory: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The file system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

impl Classified for OpenError {
    fn blame(&self) -> Blame {
        Blame::Operator
    }

    fn retry(&self) -> Retry {
        match self {
            Self::InUse { .. } | Self::Io { .. } => Retry::Safe,
            Self::NotAStore { .. } | Self::Format { .. } | Self::Damaged { .. } => Retry::Never,
        }
    }
}

/// Whether a failure of the underlying store means that its files are not what was written, as
/// opposed to that they could not be reached.
pub(crate) fn is_damage(error: &fjall::Error) -> bool {
    match io_cause(error) {
        // Reading past the end or before the start of a file that has been cut off, or finding it
        // gone, or another where one was to be made.
        Some(io) => matches!(
            io.kind(),
            io::ErrorKind::UnexpectedEof
                | io::ErrorKind::InvalidInput
                | io::ErrorKind::NotFound
                | io::ErrorKind::AlreadyExists
                | io::ErrorKind::InvalidData
        ),
        None => !matches!(error, fjall::Error::Poisoned | fjall::Error::Locked),
    }
}

/// A failed read of the underlying store.
pub(crate) fn read_error(error: &fjall::Error) -> StoreError {
    if is_damage(error) {
        damaged(error.to_string())
    } else {
        StoreError::Unavailable {
            reason: error.to_string(),
        }
    }
}

/// Stored bytes that are not what was written.
pub(crate) fn damaged(reason: impl Into<String>) -> StoreError {
    StoreError::Damaged {
        reason: reason.into(),
    }
}

fn io_cause(error: &fjall::Error) -> Option<&io::Error> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref() {
            return Some(io);
        }
        cause = error.source();
    }
    None
}
