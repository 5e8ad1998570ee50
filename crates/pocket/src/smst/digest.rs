//! Digests of nodes, and how they are computed.

use std::fmt;

use sha2::block_api::compress256;
use sha2::{Digest as _, Sha256};

use super::{Path, bit};

/// Bytes of a digest: 32 of hash, 8 of sum, 8 of count.
pub const DIGEST_LEN: usize = 48;

/// First byte of a leaf's encoding.
pub(super) const LEAF: u8 = 0;
/// First byte of an inner node's encoding.
pub(super) const INNER: u8 = 1;
/// First byte of an extension's encoding.
pub(super) const EXTENSION: u8 = 2;

/// Bytes of an inner node's encoding: prefix, two digests, sum, count.
pub(super) const INNER_LEN: usize = 1 + 2 * DIGEST_LEN + 16;
/// Bytes of an extension's encoding: prefix, first and last bit, path, the child's digest, sum, count.
pub(super) const EXTENSION_LEN: usize = 3 + 32 + DIGEST_LEN + 16;

/// The state that SHA-256 starts from.
const SHA256_START: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// What a node hashes to: the hash, the sum of the weights below it, and the count of leaves. A trie's root is the
/// digest of its topmost node.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; DIGEST_LEN]);

/// Why bytes are not a digest, or a digest not one that can be claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// Wrong length.
    #[error("root: {found} bytes, it must be {DIGEST_LEN}")]
    Length {
        /// How many bytes were given.
        found: usize,
    },
    /// The trie is empty.
    #[error("root: count is 0, a claim needs at least one relay")]
    NoLeaf,
    /// Nothing was earned.
    #[error("root: sum is 0, a claim needs compute units")]
    NoSum,
}

impl Digest {
    /// The digest of nothing: an empty trie, or the empty side of a node.
    pub const EMPTY: Self = Self([0; DIGEST_LEN]);

    /// The digest made of these bytes.
    #[must_use]
    pub const fn new(bytes: [u8; DIGEST_LEN]) -> Self {
        Self(bytes)
    }

    /// All bytes, as they stand in a claim.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; DIGEST_LEN] {
        &self.0
    }

    /// The hash alone.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.copy_from_slice(&self.0[..32]);
        hash
    }

    /// Sum of the weights, in compute units.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.number(32)
    }

    /// Number of leaves.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.number(40)
    }

    /// Whether this is [`Self::EMPTY`].
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::EMPTY
    }

    /// What the chain asks of a claimed root by itself.
    ///
    /// # Errors
    /// When the count or the sum is 0.
    pub fn check_claimable(&self) -> Result<(), DigestError> {
        if self.count() == 0 {
            return Err(DigestError::NoLeaf);
        }
        if self.sum() == 0 {
            return Err(DigestError::NoSum);
        }
        Ok(())
    }

    /// The digest of an inner node.
    pub(super) fn inner(left: &Self, right: &Self) -> Self {
        let encoding = encode_inner(left, right);
        let mut blocks = [[0; 64]; 2];
        blocks[0].copy_from_slice(&encoding[..64]);
        blocks[1][..INNER_LEN - 64].copy_from_slice(&encoding[64..]);
        blocks[1][INNER_LEN - 64] = 0x80;
        blocks[1][56..].copy_from_slice(&(INNER_LEN as u64 * 8).to_be_bytes());
        let mut state = SHA256_START;
        compress256(&mut state, &blocks);
        let mut digest = [0; DIGEST_LEN];
        for (bytes, word) in digest.chunks_exact_mut(4).zip(state) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
        digest[32..].copy_from_slice(&encoding[INNER_LEN - 16..]);
        Self(digest)
    }

    /// The digest of a leaf whose encoding ends in `sum` and the count 1.
    pub(super) const fn leaf(hash: &[u8; 32], sum: u64) -> Self {
        let mut digest = [0; DIGEST_LEN];
        let sum = sum.to_be_bytes();
        let mut index = 0;
        while index < 32 {
            digest[index] = hash[index];
            index += 1;
        }
        while index < 40 {
            digest[index] = sum[index - 32];
            index += 1;
        }
        digest[DIGEST_LEN - 1] = 1;
        Self(digest)
    }

    /// The digest of any leaf or inner node's encoding, which must be at least 16 bytes long.
    pub(super) fn of_encoding(encoding: &[u8]) -> Self {
        let mut digest = [0; DIGEST_LEN];
        digest[..32].copy_from_slice(&Sha256::digest(encoding));
        digest[32..].copy_from_slice(&encoding[encoding.len() - 16..]);
        Self(digest)
    }

    /// The digest of the chain of inner nodes that an extension from bit `start` up to, not including, bit `end`
    /// stands for; `self` is the node at its end.
    pub(super) fn lifted(self, path: &Path, start: usize, end: usize) -> Self {
        (start..end).rev().fold(self, |below, index| {
            if bit(path, index) {
                Self::inner(&Self::EMPTY, &below)
            } else {
                Self::inner(&below, &Self::EMPTY)
            }
        })
    }

    /// The digest of a place whose two sides are these. A leaf that is alone stands where it is alone, so it passes
    /// through unchanged.
    pub(super) fn joined(left: &Self, right: &Self) -> Self {
        match (left.count(), right.count()) {
            (0, 0) => Self::EMPTY,
            (1, 0) => *left,
            (0, 1) => *right,
            _ => Self::inner(left, right),
        }
    }

    fn number(&self, at: usize) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.0[at..at + 8]);
        u64::from_be_bytes(bytes)
    }
}

/// The encoding of an inner node. Sums wrap, as the chain's do.
pub(super) fn encode_inner(left: &Digest, right: &Digest) -> [u8; INNER_LEN] {
    let mut encoding = [0; INNER_LEN];
    encoding[0] = INNER;
    encoding[1..=DIGEST_LEN].copy_from_slice(&left.0);
    encoding[1 + DIGEST_LEN..1 + 2 * DIGEST_LEN].copy_from_slice(&right.0);
    let sum = left.sum().wrapping_add(right.sum());
    let count = left.count().wrapping_add(right.count());
    encoding[INNER_LEN - 16..INNER_LEN - 8].copy_from_slice(&sum.to_be_bytes());
    encoding[INNER_LEN - 8..].copy_from_slice(&count.to_be_bytes());
    encoding
}

impl TryFrom<&[u8]> for Digest {
    type Error = DigestError;

    fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
        let found = bytes.len();
        bytes
            .try_into()
            .map(Self)
            .map_err(|_| DigestError::Length { found })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}
