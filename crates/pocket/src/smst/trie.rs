//! The trie while it grows, and after.

use std::fmt;

use super::bucket::{Bucket, Entry, PREFIX_BITS, Prefix, prefix_of};
use super::shelf::Shelf;
use super::{ClosestProof, Digest, Kept, Leaf, Path, Values, Workers, prove};

/// Leaves in a bucket, on average, before all buckets are split. With fewer, most insertions fetch a bucket that is not
/// in the processor's cache, and what a bucket takes beside its leaves shows: about 100 bytes, and room for 4 entries.
/// With more, finding a leaf takes longer: see docs/performance.md.
const BUCKET_LEAVES: u64 = 256;

/// Bits that buckets share, at most: what 268 million leaves need. Beyond that buckets grow instead.
const BUCKET_BITS_MAX: u32 = 20;

/// A session's relays: the leaves, and what is known of the nodes above them.
///
/// Besides its value, a leaf takes 41 bytes and a share of what is allocated in advance: about 45 together when there
/// are many leaves of equal weight. One whose weight differs from the first leaf's takes some 30 more.
#[derive(Clone)]
pub struct Trie<V = Kept> {
    shelf: Shelf<V>,
    /// By the first bits of their leaves' paths; the number of buckets is a power of two.
    buckets: Vec<Bucket>,
    count: u64,
    sum: u64,
}

/// A trie whose root was taken for a claim. It takes no more leaves, so every proof is of the claimed root.
#[derive(Clone)]
pub struct Sealed<V = Kept> {
    trie: Trie<V>,
    root: Digest,
}

/// What inserting a leaf did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// The leaf is new.
    New,
    /// The same value was there with the same weight: nothing changed.
    Known,
    /// The same value was there with another weight, which is replaced.
    Reweighed,
}

/// Why a trie does not do as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrieError {
    /// The value is too long.
    #[error("leaf value: {found} bytes, at most {max} are allowed")]
    ValueTooLong {
        /// Its length.
        found: usize,
        /// The limit.
        max: usize,
    },
    /// There is no room for the value.
    #[error("trie: full, there is no room for the value")]
    Full,
    /// There is no leaf that could be closest.
    #[error("trie: empty, nothing can be proven")]
    Empty,
}

impl Trie {
    /// A trie without leaves, which will keep their values in memory.
    #[must_use]
    pub fn new() -> Self {
        Self::over(Kept::default())
    }
}

impl<V: Values> Trie<V> {
    /// A trie without leaves, whose values are kept elsewhere.
    #[must_use]
    pub fn over(values: V) -> Self {
        Self {
            shelf: Shelf::new(values),
            buckets: vec![Bucket::default()],
            count: 0,
            sum: 0,
        }
    }

    /// Inserts a leaf. A leaf with the same value is replaced, as the chain has it: count and sum do not grow.
    ///
    /// # Errors
    /// When the trie is full.
    pub fn insert(&mut self, leaf: &Leaf<'_>) -> Result<Inserted, TrieError> {
        let prefix = prefix_of(leaf.path());
        let index = self.bucket_of(prefix);
        let weight = leaf.digest().sum();
        if let Some(slot) = self.buckets[index].find(leaf, &self.shelf) {
            return Ok(self.reweigh(index, slot, leaf));
        }
        let address = self
            .shelf
            .put(leaf.value(), weight)
            .ok_or(TrieError::Full)?;
        let hash = leaf.digest().hash();
        self.buckets[index].push(prefix, Entry { hash, address });
        self.count += 1;
        self.sum = self.sum.wrapping_add(weight);
        if self.count > BUCKET_LEAVES << self.bits() && self.bits() < BUCKET_BITS_MAX {
            self.split();
        }
        Ok(Inserted::New)
    }

    /// Number of leaves.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Sum of the weights, in compute units; wraps as the chain's does.
    #[must_use]
    pub const fn sum(&self) -> u64 {
        self.sum
    }

    /// The root of the leaves so far. Only what changed since the last call is hashed.
    pub fn root(&mut self, workers: &impl Workers) -> Digest
    where
        V: Sync,
    {
        let depth = self.bits() as usize;
        let shelf = &self.shelf;
        workers.each(&mut self.buckets, &|bucket| bucket.refresh(shelf, depth));
        let mut level = self.bucket_digests();
        while level.len() > 1 {
            level = level_above(&level);
        }
        level[0]
    }

    /// Takes the root for a claim and ends the growth.
    #[must_use]
    pub fn seal(mut self, workers: &impl Workers) -> Sealed<V>
    where
        V: Sync,
    {
        let root = self.root(workers);
        Sealed { trie: self, root }
    }

    /// How many bits the paths in a bucket share.
    pub(super) fn bits(&self) -> u32 {
        self.buckets.len().trailing_zeros()
    }

    pub(super) fn buckets(&self) -> &[Bucket] {
        &self.buckets
    }

    pub(super) fn shelf(&self) -> &Shelf<V> {
        &self.shelf
    }

    /// Digests of all buckets, which must be up to date.
    pub(super) fn bucket_digests(&self) -> Vec<Digest> {
        let digest = |bucket: &Bucket| *bucket.digest().expect("the buckets were refreshed");
        self.buckets.iter().map(digest).collect()
    }

    fn bucket_of(&self, prefix: Prefix) -> usize {
        match prefix.checked_shr(PREFIX_BITS - self.bits()) {
            Some(index) => index as usize,
            None => 0,
        }
    }

    fn reweigh(&mut self, index: usize, slot: usize, leaf: &Leaf<'_>) -> Inserted {
        let entry = self.buckets[index].entry(slot);
        let old = self.shelf.weight(entry.address);
        let new = leaf.digest().sum();
        if old == new {
            return Inserted::Known;
        }
        let address = self.shelf.set_weight(entry.address, new);
        let hash = leaf.digest().hash();
        self.buckets[index].replace(slot, Entry { hash, address });
        self.sum = self.sum.wrapping_sub(old).wrapping_add(new);
        Inserted::Reweighed
    }

    fn split(&mut self) {
        let bits = self.bits();
        let mut halves = Vec::with_capacity(self.buckets.len() * 2);
        for bucket in std::mem::take(&mut self.buckets) {
            halves.extend(bucket.split(bits));
        }
        self.buckets = halves;
    }
}

impl Default for Trie {
    fn default() -> Self {
        Self::new()
    }
}

impl<V: Values> Sealed<V> {
    /// The claimed root.
    #[must_use]
    pub const fn root(&self) -> Digest {
        self.root
    }

    /// The proof of the leaf closest to a path.
    ///
    /// # Errors
    /// When the trie is empty.
    pub fn prove(&self, path: &Path) -> Result<ClosestProof, TrieError> {
        prove::closest(&self.trie, path)
    }
}

/// Shows no relay: there may be millions, and what is in them is not for logs.
impl<V> fmt::Debug for Trie<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trie")
            .field("count", &self.count)
            .field("sum", &self.sum)
            .finish_non_exhaustive()
    }
}

impl<V> fmt::Debug for Sealed<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sealed").field(&self.root).finish()
    }
}

/// The digests one level up.
pub(super) fn level_above(level: &[Digest]) -> Vec<Digest> {
    let (pairs, _) = level.as_chunks();
    pairs
        .iter()
        .map(|[left, right]| Digest::joined(left, right))
        .collect()
}
