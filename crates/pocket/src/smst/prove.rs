//! The walk to the leaf that is closest to a path.

use std::ops::Range;
use std::rc::Rc;

use super::bucket::Sorted;
use super::digest::{EXTENSION, EXTENSION_LEN, encode_inner};
use super::leaf::{encode_leaf, path_of, weighted};
use super::shelf::Address;
use super::trie::level_above;
use super::{ClosestProof, Digest, Path, Trie, TrieError, Values, bit};

/// The proof of the leaf closest to `path`. The trie's buckets must be up to date.
pub(super) fn closest(trie: &Trie<impl Values>, path: &Path) -> Result<ClosestProof, TrieError> {
    if trie.count() == 0 {
        return Err(TrieError::Empty);
    }
    let walk = Walk::new(trie);
    let mut working = *path;
    let mut flipped_bits = Vec::new();
    let mut side_nodes = Vec::new();
    let mut place = walk.place(0, 0);
    let mut depth = 0;
    let mut sibling = None;
    while walk.count(&place) > 1 {
        let [left, right] = walk.sides(&place, depth);
        let (mut near, mut far) = if bit(&working, depth) {
            (right, left)
        } else {
            (left, right)
        };
        if walk.count(&near) == 0 {
            std::mem::swap(&mut near, &mut far);
            working[depth / 8] ^= 0x80 >> (depth % 8);
            flipped_bits.push(to_u16(depth));
        }
        depth += 1;
        side_nodes.push(walk.digest(&far, depth));
        place = near;
        sibling = Some(far);
    }
    let (closest_path, closest_value) = walk.only_leaf(&place);
    side_nodes.reverse();
    Ok(ClosestProof {
        path: *path,
        flipped_bits,
        depth: to_u16(depth),
        closest_path,
        closest_value,
        side_nodes,
        sibling: sibling.map(|sibling| walk.encoding(&sibling, depth)),
    })
}

/// A place in the trie: some leaves with a common prefix.
enum Place<'a, V> {
    /// All leaves of neighbouring buckets: which, and where in the levels above the buckets.
    Above {
        /// The level: the number of bits in the prefix.
        level: usize,
        /// The place in the level.
        index: usize,
    },
    /// Some leaves of one bucket.
    Within {
        sorted: Rc<Sorted<'a, V>>,
        leaves: Range<usize>,
    },
}

struct Walk<'a, V> {
    trie: &'a Trie<V>,
    /// Digests above the buckets, from the root down to the buckets themselves.
    levels: Vec<Vec<Digest>>,
}

impl<'a, V: Values> Walk<'a, V> {
    fn new(trie: &'a Trie<V>) -> Self {
        let mut levels = vec![trie.bucket_digests()];
        while let Some(level) = levels.last().filter(|level| level.len() > 1) {
            levels.push(level_above(level));
        }
        levels.reverse();
        Self { trie, levels }
    }

    /// The place above the buckets, or at one.
    fn place(&self, level: usize, index: usize) -> Place<'a, V> {
        if level + 1 < self.levels.len() {
            return Place::Above { level, index };
        }
        let sorted = self.trie.buckets()[index].sorted(self.trie.shelf());
        let leaves = sorted.all();
        Place::Within {
            sorted: Rc::new(sorted),
            leaves,
        }
    }

    fn sides(&self, place: &Place<'a, V>, depth: usize) -> [Place<'a, V>; 2] {
        match place {
            Place::Above { level, index } => {
                [2 * index, 2 * index + 1].map(|index| self.place(level + 1, index))
            }
            Place::Within { sorted, leaves } => {
                let (left, right) = sorted.parted(leaves.clone(), depth);
                [left, right].map(|leaves| Place::Within {
                    sorted: Rc::clone(sorted),
                    leaves,
                })
            }
        }
    }

    fn count(&self, place: &Place<'a, V>) -> u64 {
        match place {
            Place::Above { level, index } => self.levels[*level][*index].count(),
            Place::Within { leaves, .. } => leaves.len() as u64,
        }
    }

    fn digest(&self, place: &Place<'a, V>, depth: usize) -> Digest {
        match place {
            Place::Above { level, index } => self.levels[*level][*index],
            Place::Within { sorted, leaves } => sorted.digest(leaves.clone(), depth),
        }
    }

    /// Path and weighted value of the only leaf at a place.
    fn only_leaf(&self, place: &Place<'a, V>) -> (Path, Vec<u8>) {
        let mut addresses = self.addresses(place);
        let address = addresses.next().expect("the place has a leaf");
        let (value, weight) = (
            self.trie.shelf().value(address),
            self.trie.shelf().weight(address),
        );
        (path_of(&value), weighted(&value, weight))
    }

    /// What the node at a place that has leaves is encoded as.
    fn encoding(&self, place: &Place<'a, V>, depth: usize) -> Vec<u8> {
        if self.count(place) == 1 {
            let (path, weighted) = self.only_leaf(place);
            return encode_leaf(&path, &weighted);
        }
        let mut end = depth;
        let mut sides = self.sides(place, end);
        let inner = loop {
            let [left, right] = sides;
            let node = match (self.count(&left), self.count(&right)) {
                (0, _) => right,
                (_, 0) => left,
                _ => {
                    let [left, right] = [left, right].map(|side| self.digest(&side, end + 1));
                    break encode_inner(&left, &right);
                }
            };
            end += 1;
            sides = self.sides(&node, end);
        };
        if end == depth {
            return inner.to_vec();
        }
        let child = Digest::of_encoding(&inner);
        let mut encoding = Vec::with_capacity(EXTENSION_LEN);
        encoding.extend([EXTENSION, to_u8(depth), to_u8(end)]);
        encoding.extend(self.second_inserted(place));
        encoding.extend(child.as_bytes());
        encoding.extend(&child.as_bytes()[32..]);
        encoding
    }

    /// The path that the Go library leaves in an extension: that of the leaf which made it necessary.
    fn second_inserted(&self, place: &Place<'a, V>) -> Path {
        let mut earliest: Vec<Address> = Vec::with_capacity(3);
        for address in self.addresses(place) {
            earliest.push(address);
            earliest.sort_unstable_by_key(|address| address.position());
            earliest.truncate(2);
        }
        let second = earliest.last().expect("the place has leaves");
        path_of(&self.trie.shelf().value(*second))
    }

    fn addresses<'s>(&'s self, place: &'s Place<'a, V>) -> Box<dyn Iterator<Item = Address> + 's> {
        match place {
            Place::Above { level, index } => {
                let below = self.levels.len() - 1 - level;
                let buckets = &self.trie.buckets()[index << below..(index + 1) << below];
                Box::new(buckets.iter().flat_map(|bucket| bucket.addresses()))
            }
            Place::Within { sorted, leaves } => {
                Box::new(leaves.clone().map(|rank| sorted.get(rank).address))
            }
        }
    }
}

fn to_u16(depth: usize) -> u16 {
    u16::try_from(depth).expect("a path has 256 bits")
}

fn to_u8(depth: usize) -> u8 {
    u8::try_from(depth).expect("leaves part at the last bit of a path or before")
}
