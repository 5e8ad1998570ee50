//! The contract that every part of Baton stands on: leases, tables, logs and wake-ups.
//!
//! A **lane** is a named space of keys and one log. Whoever holds the lane's lease (the baton) has an **epoch**; batches
//! carry it as a fence, and a store refuses a batch whose epoch is not the lane's current one in the same atomic step
//! that would have applied it. So a holder that was paused past its lease can think what it likes: it cannot write.

mod batch;
mod error;
mod lease;
mod store;

pub use batch::{Batch, Committed, Key, Precondition};
pub use error::{CommitError, StoreError};
pub use lease::{Acquired, Epoch, HolderId, Lease, LeaseError};
pub use store::{
    Entry, Log, LogEntry, Position, Scan, Store, Table, Version, Wake, WakeEvent, Wakeups,
};

/// Longest key in bytes: keys are composed of short prefixes, ids, addresses and numbers.
pub const KEY_BYTES_MAX: usize = 512;
/// Largest value in bytes: a signed transaction of 128 KiB (geth's limit) as a record, with room for its history.
pub const VALUE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most operations in one batch: bounds how long one commit can hold up the others.
pub const BATCH_OPS_MAX: usize = 16 * 1024;
/// Most entries that one scan or read returns: callers page.
pub const SCAN_LIMIT_MAX: usize = 4 * 1024;
