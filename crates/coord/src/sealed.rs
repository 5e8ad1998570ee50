//! Encryption of values before a backend sees them.
//!
//! ```text
//! sealed value = format (1 byte) | key id (4) | nonce (12, random) | AES-256-GCM text | tag (16)
//! ```
//!
//! The associated data is the lane and the key, or the lane alone for an entry of its log, so a
//! value that was moved to another name does not open. Names of lanes and keys, positions and
//! versions are not encrypted. Not detected: putting back an older value of the same key, and
//! exchanging entries within one log.

use std::sync::Arc;
use std::time::Duration;

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{Aead, Nonce, Payload};
use async_trait::async_trait;
use baton_model::LaneId;
use bytes::Bytes;

use crate::keyring::{KEY_ID_BYTES, KeyId, Keyring};
use crate::{
    Acquired, Admin, Batch, CommitError, Committed, Entry, Epoch, HolderId, Key, Lease, LeaseError,
    Log, LogEntry, Position, Scan, StoreError, Table, VALUE_BYTES_MAX, Wake, Wakeups,
};

/// First byte of a sealed value. No text or JSON begins with it, so that a value written without
/// encryption is told apart.
const FORMAT: u8 = 0xb1;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
const HEADER_BYTES: usize = 1 + KEY_ID_BYTES + NONCE_BYTES;
/// Bytes by which a sealed value is longer than what is in it.
pub const SEAL_BYTES: usize = HEADER_BYTES + TAG_BYTES;

/// Fills a buffer with random bytes from the operating system or, in a simulation, from a seed.
/// Nonces are random, so one key must not seal more than 2^32 values (NIST SP 800-38D): rotate
/// before that.
pub type Entropy = Arc<dyn Fn(&mut [u8]) -> Result<(), EntropyError> + Send + Sync>;

/// The source of randomness failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no randomness: {0}")]
pub struct EntropyError(pub String);

/// A store whose values and log entries are encrypted. Clones share the keys.
#[derive(Clone)]
pub struct Sealed<S> {
    pub(crate) inner: S,
    pub(crate) keys: Arc<Keyring>,
    entropy: Entropy,
}

impl<S> Sealed<S> {
    /// Encrypts what goes into `inner`, and decrypts what comes out.
    pub fn new(inner: S, keys: Arc<Keyring>, entropy: Entropy) -> Self {
        Self {
            inner,
            keys,
            entropy,
        }
    }

    /// The store below.
    pub const fn inner(&self) -> &S {
        &self.inner
    }

    /// Seals all values of a batch.
    pub(crate) fn seal_batch(&self, mut batch: Batch) -> Result<Batch, CommitError> {
        batch.check()?;
        for (key, value) in &mut batch.puts {
            *value = self.seal(&value_name(&batch.lane, key), value)?;
        }
        for value in &mut batch.appends {
            *value = self.seal(&log_name(&batch.lane), value)?;
        }
        Ok(batch)
    }

    fn seal(&self, name: &[u8], value: &[u8]) -> Result<Bytes, CommitError> {
        if value.len() > VALUE_BYTES_MAX - SEAL_BYTES {
            return Err(CommitError::Invalid {
                reason: format!(
                    "value has {} bytes, at most {} are allowed with encryption \
                     (VALUE_BYTES_MAX less the header)",
                    value.len(),
                    VALUE_BYTES_MAX - SEAL_BYTES
                ),
            });
        }
        let unavailable = |reason: String| CommitError::Unavailable { reason };
        let mut nonce = [0; NONCE_BYTES];
        (self.entropy)(&mut nonce).map_err(|error| unavailable(error.to_string()))?;
        let id = self.keys.active();
        let cipher = self
            .keys
            .cipher(id)
            .expect("a keyring holds its active key");
        let payload = Payload {
            msg: value,
            aad: name,
        };
        let sealed = cipher
            .encrypt(&Nonce::<Aes256Gcm>::from(nonce), payload)
            .map_err(|_| unavailable("the cipher refused to encrypt".to_owned()))?;
        let mut bytes = Vec::with_capacity(HEADER_BYTES + sealed.len());
        bytes.push(FORMAT);
        bytes.extend_from_slice(&id.0);
        bytes.extend_from_slice(&nonce);
        bytes.extend_from_slice(&sealed);
        Ok(Bytes::from(bytes))
    }

    pub(crate) fn open_entry(&self, lane: &LaneId, entry: Entry) -> Result<Entry, StoreError> {
        let name = value_name(lane, &entry.key);
        let what = || format!("lane {lane}, key \"{}\"", entry.key.escape_ascii());
        let value = self.open(&name, &entry.value, what)?;
        Ok(Entry { value, ..entry })
    }

    fn open_log_entry(&self, lane: &LaneId, entry: &LogEntry) -> Result<LogEntry, StoreError> {
        let position = entry.position;
        let what = || format!("lane {lane}, log entry {}", position.0);
        let value = self.open(&log_name(lane), &entry.value, what)?;
        Ok(LogEntry { position, value })
    }

    fn open(
        &self,
        name: &[u8],
        stored: &Bytes,
        what: impl Fn() -> String,
    ) -> Result<Bytes, StoreError> {
        let damaged = |fault: String| StoreError::Damaged {
            reason: format!("{}: {fault}", what()),
        };
        let (id, nonce, sealed) = split(stored).ok_or_else(|| {
            damaged(
                "the value is not encrypted, but the store was opened with an encryption key; \
                 open it without one, or start with an empty store"
                    .to_owned(),
            )
        })?;
        let cipher = self.keys.cipher(id).ok_or_else(|| {
            damaged(format!(
                "encrypted under key {id}, which is not among the keys given; add it as an old key"
            ))
        })?;
        let payload = Payload {
            msg: sealed,
            aad: name,
        };
        let value = cipher.decrypt(&Nonce::<Aes256Gcm>::from(nonce), payload);
        let fault = || format!("does not open under key {id}: altered, or moved from another key");
        value.map(Bytes::from).map_err(|_| damaged(fault()))
    }
}

/// The id of the key that a value is sealed under as it is stored, `None` if it is not sealed.
pub fn key_of(stored: &[u8]) -> Option<KeyId> {
    split(stored).map(|(id, _, _)| id)
}

fn split(stored: &[u8]) -> Option<(KeyId, [u8; NONCE_BYTES], &[u8])> {
    if stored.len() < SEAL_BYTES {
        return None;
    }
    let rest = stored.strip_prefix(&[FORMAT])?;
    let (id, rest) = rest.split_first_chunk::<KEY_ID_BYTES>()?;
    let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>()?;
    Some((KeyId(*id), *nonce, sealed))
}

/// A lane's name never holds a zero byte, so no two of these are the same.
fn value_name(lane: &LaneId, key: &[u8]) -> Vec<u8> {
    [lane.as_str().as_bytes(), b"\0key\0", key].concat()
}

fn log_name(lane: &LaneId) -> Vec<u8> {
    [lane.as_str().as_bytes(), b"\0log"].concat()
}

#[async_trait]
impl<S: Lease> Lease for Sealed<S> {
    async fn acquire(
        &self,
        lane: &LaneId,
        holder: &HolderId,
        ttl: Duration,
    ) -> Result<Acquired, LeaseError> {
        self.inner.acquire(lane, holder, ttl).await
    }

    async fn renew(&self, lane: &LaneId, epoch: Epoch, ttl: Duration) -> Result<(), LeaseError> {
        self.inner.renew(lane, epoch, ttl).await
    }

    async fn release(&self, lane: &LaneId, epoch: Epoch) -> Result<(), LeaseError> {
        self.inner.release(lane, epoch).await
    }
}

#[async_trait]
impl<S: Table> Table for Sealed<S> {
    async fn get(&self, lane: &LaneId, key: &Key) -> Result<Option<Entry>, StoreError> {
        let found = self.inner.get(lane, key).await?;
        found.map(|entry| self.open_entry(lane, entry)).transpose()
    }

    async fn scan(&self, lane: &LaneId, scan: &Scan) -> Result<Vec<Entry>, StoreError> {
        let found = self.inner.scan(lane, scan).await?;
        found
            .into_iter()
            .map(|entry| self.open_entry(lane, entry))
            .collect()
    }

    async fn commit(&self, batch: Batch) -> Result<Committed, CommitError> {
        self.inner.commit(self.seal_batch(batch)?).await
    }
}

#[async_trait]
impl<S: Log> Log for Sealed<S> {
    async fn read(
        &self,
        lane: &LaneId,
        after: Position,
        limit: usize,
        wait: Duration,
    ) -> Result<Vec<LogEntry>, StoreError> {
        let found = self.inner.read(lane, after, limit, wait).await?;
        found
            .iter()
            .map(|entry| self.open_log_entry(lane, entry))
            .collect()
    }

    async fn last(&self, lane: &LaneId) -> Result<Position, StoreError> {
        self.inner.last(lane).await
    }
}

#[async_trait]
impl<S: Wake> Wake for Sealed<S> {
    async fn publish(&self, topic: &str) -> Result<(), StoreError> {
        self.inner.publish(topic).await
    }

    async fn subscribe(&self, topic: &str) -> Result<Box<dyn Wakeups>, StoreError> {
        self.inner.subscribe(topic).await
    }
}

#[async_trait]
impl<S: Admin> Admin for Sealed<S> {
    async fn lanes(&self, after: Option<&LaneId>, limit: usize) -> Result<Vec<LaneId>, StoreError> {
        self.inner.lanes(after, limit).await
    }
}
