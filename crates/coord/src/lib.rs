//! The contract that every part of Baton stands on: leases, tables, logs and wake-ups.
//!
//! A **lane** is a named space of keys and one log. Whoever holds the lane's lease (the baton) has
//! an **epoch**; batches carry it as a fence, and a store refuses a batch whose epoch is not the
//! lane's current one in the same atomic step that would have applied it. So a holder that was
//! paused past its lease can think what it likes: it cannot write.

mod admin;
mod batch;
mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
mod keyring;
mod lease;
pub mod limits;
pub mod memory;
mod rotate;
mod sealed;
mod store;
mod topics;

pub use admin::Admin;
pub use batch::{Batch, Committed, Key, Precondition};
pub use clock::{Clock, ManualClock};
pub use error::{CommitError, StoreError};
pub use keyring::{KeyError, KeyId, KeyName, Keyring};
pub use lease::{Acquired, Epoch, HolderId, Lease, LeaseError};
pub use limits::{BATCH_BYTES_MAX, BATCH_OPS_MAX, KEY_BYTES_MAX, SCAN_LIMIT_MAX, VALUE_BYTES_MAX};
pub use rotate::{RotateError, Rotated};
pub use sealed::{Entropy, EntropyError, SEAL_BYTES, Sealed, key_of};
pub use store::{
    Entry, Log, LogEntry, Position, Scan, Store, Table, Version, Wake, WakeEvent, Wakeups,
};
pub use topics::{Topic, Topics};
