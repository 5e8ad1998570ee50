//! The checks that every backend makes before it looks at its data.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::{Batch, CommitError, Key, Precondition, Scan, StoreError};

/// Longest key in bytes: keys are composed of short prefixes, ids, addresses and numbers.
pub const KEY_BYTES_MAX: usize = 512;
/// Largest value in bytes: a signed transaction of 128 KiB (geth's limit) as a record, with room
/// for its history.
pub const VALUE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most operations in one batch: bounds how long one commit can hold up the others.
pub const BATCH_OPS_MAX: usize = 16 * 1024;
/// Most bytes of keys and values in one batch: four of the largest values; bounds the memory of a
/// commit queue.
pub const BATCH_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most entries that one scan or read returns: callers page.
pub const SCAN_LIMIT_MAX: usize = 4 * 1024;
/// Most keys that a scan passes over: a page number far out costs as much as reading up to it.
pub const SCAN_SKIP_MAX: usize = 1024 * 1024;
/// Longest wait of one read: whoever waits longer asks again, so that no task hangs on a store for
/// good.
pub const READ_WAIT_MAX: Duration = Duration::from_secs(3600);
/// Longest topic of a wake-up in bytes: a service prefix and a lane.
pub const TOPIC_BYTES_MAX: usize = 256;
/// Longest lease: a holder that dies silently blocks its lane for this long.
pub const LEASE_TTL_MAX: Duration = Duration::from_secs(3600);

impl Batch {
    /// Bytes of keys and values that this batch carries.
    pub fn bytes(&self) -> usize {
        let required = self.require.iter().map(|rule| rule.key().len());
        let puts = self.puts.iter().map(|(key, value)| key.len() + value.len());
        let deletes = self.deletes.iter().map(Key::len);
        let appends = self.appends.iter().map(|value| value.len());
        required.chain(puts).chain(deletes).chain(appends).sum()
    }

    /// Checks the limits and that no key is written twice.
    ///
    /// # Errors
    /// [`CommitError::Invalid`] with the rule and the value that breaks it.
    pub fn check(&self) -> Result<(), CommitError> {
        self.first_fault()
            .map_or(Ok(()), |reason| Err(CommitError::Invalid { reason }))
    }

    fn first_fault(&self) -> Option<String> {
        if self.operations() > BATCH_OPS_MAX {
            return Some(format!(
                "batch has {} operations, at most {BATCH_OPS_MAX} are allowed (BATCH_OPS_MAX)",
                self.operations()
            ));
        }
        if self.bytes() > BATCH_BYTES_MAX {
            return Some(format!(
                "batch has {} bytes, at most {BATCH_BYTES_MAX} are allowed (BATCH_BYTES_MAX)",
                self.bytes()
            ));
        }
        let required = self.require.iter().enumerate();
        let puts = self.puts.iter().map(|(key, _)| key).enumerate();
        let named = required
            .map(|(i, rule)| ("require", i, rule.key()))
            .chain(puts.map(|(i, key)| ("puts", i, key)))
            .chain(
                self.deletes
                    .iter()
                    .enumerate()
                    .map(|(i, key)| ("deletes", i, key)),
            );
        for (field, index, key) in named {
            if let Some(fault) = key_fault(key) {
                return Some(format!("{field}[{index}]: {fault}"));
            }
        }
        let values = self.puts.iter().map(|(_, value)| value).enumerate();
        let values = values.map(|(i, value)| ("puts", i, value)).chain(
            self.appends
                .iter()
                .enumerate()
                .map(|(i, value)| ("appends", i, value)),
        );
        for (field, index, value) in values {
            if value.len() > VALUE_BYTES_MAX {
                return Some(format!(
                    "{field}[{index}]: value has {} bytes, at most {VALUE_BYTES_MAX} are allowed \
                     (VALUE_BYTES_MAX)",
                    value.len()
                ));
            }
        }
        let mut written = BTreeSet::new();
        let twice = self
            .puts
            .iter()
            .map(|(key, _)| key)
            .chain(&self.deletes)
            .find(|key| !written.insert(*key))?;
        Some(format!("key \"{}\" is written twice", twice.escape_ascii()))
    }
}

impl Precondition {
    /// The key that it is about.
    pub const fn key(&self) -> &Key {
        match self {
            Self::Absent(key) | Self::At(key, _) => key,
        }
    }
}

impl Scan {
    /// Checks the limits.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] with the rule and the value that breaks it.
    pub fn check(&self) -> Result<(), StoreError> {
        check_limit(self.limit)?;
        if self.skip > SCAN_SKIP_MAX {
            return Err(StoreError::Invalid {
                reason: format!(
                    "skip is {}, at most {SCAN_SKIP_MAX} is allowed (SCAN_SKIP_MAX)",
                    self.skip
                ),
            });
        }
        for (field, key) in [
            ("prefix", Some(&self.prefix)),
            ("after", self.after.as_ref()),
        ] {
            let length = key.map_or(0, Key::len);
            if length > KEY_BYTES_MAX {
                return Err(StoreError::Invalid {
                    reason: format!(
                        "{field} has {length} bytes, at most {KEY_BYTES_MAX} are allowed \
                         (KEY_BYTES_MAX)"
                    ),
                });
            }
        }
        Ok(())
    }
}

/// Checks the number of entries asked for.
///
/// # Errors
/// [`StoreError::Invalid`] unless it is 1 to [`SCAN_LIMIT_MAX`].
pub fn check_limit(limit: usize) -> Result<(), StoreError> {
    if (1..=SCAN_LIMIT_MAX).contains(&limit) {
        return Ok(());
    }
    Err(StoreError::Invalid {
        reason: format!("limit is {limit}, 1 to {SCAN_LIMIT_MAX} is allowed (SCAN_LIMIT_MAX)"),
    })
}

/// Checks the key of a read.
///
/// # Errors
/// [`StoreError::Invalid`] unless it has 1 to [`KEY_BYTES_MAX`] bytes.
pub fn check_key(key: &Key) -> Result<(), StoreError> {
    key_fault(key).map_or(Ok(()), |reason| Err(StoreError::Invalid { reason }))
}

/// Checks how long a lease is asked for.
///
/// # Errors
/// [`StoreError::Invalid`] unless it is one millisecond to [`LEASE_TTL_MAX`].
pub fn check_ttl(ttl: Duration) -> Result<(), StoreError> {
    if (Duration::from_millis(1)..=LEASE_TTL_MAX).contains(&ttl) {
        return Ok(());
    }
    Err(StoreError::Invalid {
        reason: format!("ttl is {ttl:?}, 1ms to {LEASE_TTL_MAX:?} is allowed (LEASE_TTL_MAX)"),
    })
}

/// Checks the topic of a wake-up.
///
/// # Errors
/// [`StoreError::Invalid`] unless it has 1 to [`TOPIC_BYTES_MAX`] bytes.
pub fn check_topic(topic: &str) -> Result<(), StoreError> {
    if (1..=TOPIC_BYTES_MAX).contains(&topic.len()) {
        return Ok(());
    }
    Err(StoreError::Invalid {
        reason: format!(
            "topic has {} bytes, 1 to {TOPIC_BYTES_MAX} are allowed (TOPIC_BYTES_MAX)",
            topic.len()
        ),
    })
}

fn key_fault(key: &Key) -> Option<String> {
    (!(1..=KEY_BYTES_MAX).contains(&key.len())).then(|| {
        format!(
            "key has {} bytes, 1 to {KEY_BYTES_MAX} are allowed (KEY_BYTES_MAX)",
            key.len()
        )
    })
}
