//! Where the values of leaves are kept.

use std::borrow::Cow;
use std::fmt;

/// Positions that a trie can tell apart: 2^39, half a TiB of values where a position is that of a byte.
pub(super) const POSITION_BITS: u32 = 39;

/// Keeps the bytes of leaves for a trie. A trie asks for few of them back: to tell two leaves with the same first bytes
/// of a path apart, and for a proof.
///
/// [`Kept`] holds them in memory. A driver that has them anyway, in its log or in a buffer of its own, implements this
/// over what it has.
pub trait Values {
    /// Takes a value and returns its position, which must be higher than all before and below 2^39. None when there is
    /// no room.
    fn put(&mut self, value: &[u8]) -> Option<u64>;

    /// The value at a position that [`Self::put`] returned.
    fn get(&self, position: u64) -> Cow<'_, [u8]>;
}

/// Values in memory: appended to chunks, so that growth never copies them and wastes little.
#[derive(Clone, Default)]
pub struct Kept {
    chunks: Vec<Vec<u8>>,
    /// Bytes of all chunks.
    size: usize,
}

/// The first chunk: most sessions are small, and there are many of them.
const CHUNK_MIN: usize = 8 << 10;
/// The largest chunk, but for values that are larger. The end of a chunk that no value fits into is then some
/// thousandths of it; allocators have classes for blocks of this size, and go to the system for each larger one.
const CHUNK_BITS: u32 = 18;
/// A chunk is this share of all before it, so that small tries do not hold much more than they need.
const CHUNK_SHARE: usize = 16;
/// Chunks that positions can tell apart.
const CHUNKS_MAX: usize = 1 << (POSITION_BITS - CHUNK_BITS);

impl Values for Kept {
    fn put(&mut self, value: &[u8]) -> Option<u64> {
        let mut length = [0; 5];
        let length = encode_length(&mut length, value.len());
        let needed = length.len() + value.len();
        let fits = |chunk: &Vec<u8>| {
            chunk.len() < 1 << CHUNK_BITS && chunk.capacity() - chunk.len() >= needed
        };
        if !self.chunks.last().is_some_and(fits) {
            if self.chunks.len() == CHUNKS_MAX {
                return None;
            }
            let usual = (self.size / CHUNK_SHARE).clamp(CHUNK_MIN, 1 << CHUNK_BITS);
            self.chunks.push(Vec::with_capacity(usual.max(needed)));
            self.size += usual.max(needed);
        }
        let index = self.chunks.len() - 1;
        let chunk = &mut self.chunks[index];
        let position = (index as u64) << CHUNK_BITS | chunk.len() as u64;
        chunk.extend_from_slice(length);
        chunk.extend_from_slice(value);
        Some(position)
    }

    fn get(&self, position: u64) -> Cow<'_, [u8]> {
        let chunk = &self.chunks[(position >> CHUNK_BITS) as usize];
        let rest = &chunk[(position & ((1 << CHUNK_BITS) - 1)) as usize..];
        let (length, begin) = decode_length(rest);
        Cow::Borrowed(&rest[begin..begin + length])
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kept({} bytes)", self.size)
    }
}

/// Seven bits a byte, the lowest first: two bytes for nearly every relay.
fn encode_length(buffer: &mut [u8; 5], mut length: usize) -> &[u8] {
    let mut used = 0;
    loop {
        let [low, ..] = length.to_le_bytes();
        let low = low & 0x7f;
        length >>= 7;
        buffer[used] = low | u8::from(length > 0) << 7;
        used += 1;
        if length == 0 {
            return &buffer[..used];
        }
    }
}

/// The length at the start of `bytes`, and where what follows it begins.
fn decode_length(bytes: &[u8]) -> (usize, usize) {
    let mut length = 0;
    for (index, byte) in bytes.iter().enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return (length, index + 1);
        }
    }
    (length, bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_all_sizes_come_back_and_positions_grow() {
        let mut kept = Kept::default();
        let lengths = [0, 1, 127, 128, 5_000, 16_384, 600, 2 << 20, 3, 1 << 20];
        let values: Vec<Vec<u8>> = lengths
            .iter()
            .cycle()
            .take(60)
            .zip(0_u8..)
            .map(|(length, fill)| vec![fill; *length])
            .collect();
        let mut positions = Vec::new();
        for value in &values {
            positions.push(kept.put(value).expect("a position is left"));
        }
        assert!(positions.is_sorted() && positions.iter().all(|p| p >> POSITION_BITS == 0));
        for (position, value) in positions.into_iter().zip(&values) {
            assert_eq!(kept.get(position), &value[..]);
        }
    }
}
