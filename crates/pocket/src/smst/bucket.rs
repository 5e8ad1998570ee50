//! Buckets: the leaves whose paths begin with the same bits.
//!
//! A bucket keeps 41 bytes a leaf: the first 4 bytes of its path, its hash, and the address of its value. The rest of a
//! path is needed only where two leaves share the first 4 bytes, and is then computed from the value.

use std::ops::Range;

use super::leaf::path_of;
use super::shelf::{Address, Shelf};
use super::{Digest, Leaf, Path, Values, bit, common_bits};

/// How many entries a bucket grows by. Doubling would leave a third of all memory unused; fewer at a time would have
/// them copied more often.
const GROWTH: usize = 8;

/// How many prefixes are compared before the result is looked at.
const COMPARED: usize = 32;

/// The first bytes of a path.
pub(super) type Prefix = u32;

/// Bits of a [`Prefix`].
pub(super) const PREFIX_BITS: u32 = Prefix::BITS;

/// Leaves in the order of their insertion, and the digest of all of them together.
#[derive(Clone, Default)]
pub(super) struct Bucket {
    /// Apart from the rest, so that looking for one reads few cache lines.
    prefixes: Vec<Prefix>,
    entries: Vec<Entry>,
    /// The digest, unless a leaf has changed since it was computed.
    digest: Option<Digest>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) hash: [u8; 32],
    pub(super) address: Address,
}

/// A leaf of a bucket in the order of paths. The path is filled in as far as the bucket's leaves need it: the prefix,
/// or all of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ranked {
    path: Path,
    slot: u32,
}

/// The leaves of a bucket in the order of paths.
pub(super) struct Sorted<'a, V> {
    bucket: &'a Bucket,
    shelf: &'a Shelf<V>,
    ranked: Vec<Ranked>,
}

/// The first bytes of a path.
pub(super) fn prefix_of(path: &Path) -> Prefix {
    let [a, b, c, d, ..] = *path;
    Prefix::from_be_bytes([a, b, c, d])
}

impl Bucket {
    /// Where the leaf with this value is.
    pub(super) fn find(&self, leaf: &Leaf<'_>, shelf: &Shelf<impl Values>) -> Option<usize> {
        let prefix = prefix_of(leaf.path());
        // A value decides its path, so equal values are all that equal paths can come from; and the hash is of the
        // value too, so that values are compared only where weights differ or the first bytes of two paths agree by
        // chance.
        let is_same = |slot: &usize| {
            let entry = &self.entries[*slot];
            self.prefixes[*slot] == prefix
                && (entry.hash == leaf.digest().hash()
                    || *shelf.value(entry.address) == *leaf.value())
        };
        let mut from = 0;
        for part in self.prefixes.chunks(COMPARED) {
            let slots = from..from + part.len();
            from = slots.end;
            // Without a way out, so that the processor compares several at a time.
            if part
                .iter()
                .fold(false, |seen, other| seen | (*other == prefix))
                && let Some(slot) = slots.into_iter().find(is_same)
            {
                return Some(slot);
            }
        }
        None
    }

    /// Adds a leaf.
    pub(super) fn push(&mut self, prefix: Prefix, entry: Entry) {
        if self.prefixes.len() == self.prefixes.capacity() {
            self.prefixes.reserve_exact(GROWTH);
        }
        if self.entries.len() == self.entries.capacity() {
            self.entries.reserve_exact(GROWTH);
        }
        self.prefixes.push(prefix);
        self.entries.push(entry);
        self.digest = None;
    }

    /// A leaf, by its place.
    pub(super) fn entry(&self, slot: usize) -> Entry {
        self.entries[slot]
    }

    /// Puts another leaf of the same path in its place.
    pub(super) fn replace(&mut self, slot: usize, entry: Entry) {
        self.entries[slot] = entry;
        self.digest = None;
    }

    /// Addresses of all leaves.
    pub(super) fn addresses(&self) -> impl Iterator<Item = Address> + '_ {
        self.entries.iter().map(|entry| entry.address)
    }

    /// The leaves of either value of a prefix bit.
    pub(super) fn split(self, index: u32) -> [Self; 2] {
        let is_right = |prefix: Prefix| prefix >> (PREFIX_BITS - 1 - index) & 1 == 1;
        let right = self.prefixes.iter().filter(|p| is_right(**p)).count();
        let mut halves = [self.prefixes.len() - right, right].map(|leaves| Self {
            prefixes: Vec::with_capacity(leaves),
            entries: Vec::with_capacity(leaves),
            digest: None,
        });
        for (prefix, entry) in self.prefixes.into_iter().zip(self.entries) {
            halves[usize::from(is_right(prefix))].push(prefix, entry);
        }
        halves
    }

    /// The digest, if it is up to date.
    pub(super) fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Brings the digest up to date. `depth` is how many bits the leaves share because they are in this bucket.
    pub(super) fn refresh(&mut self, shelf: &Shelf<impl Values>, depth: usize) {
        if self.digest.is_none() {
            let sorted = self.sorted(shelf);
            self.digest = Some(sorted.digest(sorted.all(), depth));
        }
    }

    /// The leaves in the order of paths.
    pub(super) fn sorted<'a, V: Values>(&'a self, shelf: &'a Shelf<V>) -> Sorted<'a, V> {
        let mut order: Vec<(Prefix, u32)> = self.prefixes.iter().copied().zip(0..).collect();
        order.sort_unstable();
        let mut ranked: Vec<Ranked> = order
            .iter()
            .map(|&(prefix, slot)| {
                let mut path = [0; 32];
                path[..4].copy_from_slice(&prefix.to_be_bytes());
                Ranked { path, slot }
            })
            .collect();
        let mut sorted = Sorted {
            bucket: self,
            shelf,
            ranked: Vec::new(),
        };
        for run in ranked.chunk_by_mut(|a, b| a.path == b.path) {
            if run.len() > 1 {
                for leaf in &mut *run {
                    leaf.path = path_of(&shelf.value(sorted.entry(leaf).address));
                }
                run.sort_unstable_by_key(|leaf| leaf.path);
            }
        }
        sorted.ranked = ranked;
        sorted
    }
}

impl<V: Values> Sorted<'_, V> {
    /// All leaves.
    pub(super) fn all(&self) -> Range<usize> {
        0..self.ranked.len()
    }

    /// The leaf with this rank.
    pub(super) fn get(&self, rank: usize) -> Entry {
        self.entry(&self.ranked[rank])
    }

    /// The digest of the place at `depth` above some leaves that share their first `depth` bits.
    pub(super) fn digest(&self, leaves: Range<usize>, depth: usize) -> Digest {
        match leaves.len() {
            0 => return Digest::EMPTY,
            1 => return self.leaf_digest(leaves.start),
            _ => {}
        }
        let (first, last) = (&self.ranked[leaves.start], &self.ranked[leaves.end - 1]);
        let parting = common_bits(&first.path, &last.path);
        let (left, right) = self.parted(leaves, parting);
        let left = self.digest(left, parting + 1);
        let right = self.digest(right, parting + 1);
        Digest::inner(&left, &right).lifted(&first.path, depth, parting)
    }

    /// The leaves on either side of a bit, of leaves that share all bits before it.
    pub(super) fn parted(
        &self,
        leaves: Range<usize>,
        index: usize,
    ) -> (Range<usize>, Range<usize>) {
        let left = self.ranked[leaves.clone()].partition_point(|leaf| !bit(&leaf.path, index));
        let middle = leaves.start + left;
        (leaves.start..middle, middle..leaves.end)
    }

    fn leaf_digest(&self, rank: usize) -> Digest {
        let entry = self.get(rank);
        Digest::leaf(&entry.hash, self.shelf.weight(entry.address))
    }

    fn entry(&self, leaf: &Ranked) -> Entry {
        self.bucket.entries[leaf.slot as usize]
    }
}
