//! Leaves: everything about a relay that its trie needs, hashed before it gets there.

use sha2::{Digest as _, Sha256};

use super::digest::LEAF;
use super::{Digest, Path, TrieError};

/// Most bytes of a leaf's value. A proof carries the value in a transaction, and blocks hold a few MiB at most; frames
/// of relays are bounded by 15 MiB long before that.
const VALUE_MAX: usize = 32 << 20;

/// The bytes of a leaf and their hash: relay bytes and relay hash.
#[derive(Clone, Copy, Debug)]
pub struct Value<'a> {
    bytes: &'a [u8],
    key: [u8; 32],
}

/// A leaf that is ready to be inserted. All hashing that concerns it alone is done, so many can be prepared at once on
/// many threads, and inserting takes a fraction of a microsecond.
#[derive(Clone, Copy, Debug)]
pub struct Leaf<'a> {
    value: &'a [u8],
    path: Path,
    digest: Digest,
}

impl<'a> Value<'a> {
    /// Hashes the bytes.
    ///
    /// # Errors
    /// When they are longer than 32 MiB.
    pub fn new(bytes: &'a [u8]) -> Result<Self, TrieError> {
        if bytes.len() > VALUE_MAX {
            return Err(TrieError::ValueTooLong {
                found: bytes.len(),
                max: VALUE_MAX,
            });
        }
        Ok(Self {
            bytes,
            key: Sha256::digest(bytes).into(),
        })
    }

    /// SHA-256 of the bytes: the relay hash, which is compared with the difficulty's target.
    #[must_use]
    pub const fn key(&self) -> &[u8; 32] {
        &self.key
    }
}

impl<'a> Leaf<'a> {
    /// The leaf of this value. `weight` is in compute units.
    #[must_use]
    pub fn new(value: Value<'a>, weight: u64) -> Self {
        let path = Sha256::digest(value.key).into();
        Self {
            value: value.bytes,
            path,
            digest: leaf_digest(&path, value.bytes, weight),
        }
    }

    /// Where the leaf is in the trie.
    #[must_use]
    pub const fn path(&self) -> &Path {
        &self.path
    }

    /// The leaf's digest: the root of a trie that holds nothing else.
    #[must_use]
    pub const fn digest(&self) -> &Digest {
        &self.digest
    }

    pub(super) const fn value(&self) -> &'a [u8] {
        self.value
    }
}

/// The path of a value.
pub(super) fn path_of(value: &[u8]) -> Path {
    Sha256::digest(Sha256::digest(value)).into()
}

/// A leaf's value as it is hashed: the bytes, the weight, and the count, which is 1.
pub(super) fn weighted(value: &[u8], weight: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(value.len() + 16);
    bytes.extend_from_slice(value);
    bytes.extend_from_slice(&weight.to_be_bytes());
    bytes.extend_from_slice(&1_u64.to_be_bytes());
    bytes
}

/// The encoding of a leaf, from its weighted value.
pub(super) fn encode_leaf(path: &Path, weighted: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(33 + weighted.len());
    bytes.push(LEAF);
    bytes.extend_from_slice(path);
    bytes.extend_from_slice(weighted);
    bytes
}

fn leaf_digest(path: &Path, value: &[u8], weight: u64) -> Digest {
    let mut head = [LEAF; 33];
    head[1..].copy_from_slice(path);
    let mut tail = [0; 16];
    tail[..8].copy_from_slice(&weight.to_be_bytes());
    tail[15] = 1;
    let hash = Sha256::new()
        .chain_update(head)
        .chain_update(value)
        .chain_update(tail)
        .finalize();
    Digest::leaf(&hash.into(), weight)
}
