//! Go's `math/rand`, version 1: the numbers that the chain draws from hashes.
//!
//! It is an additive lagged Fibonacci generator: each number is the sum of those 607 and 273 draws ago. Its first state
//! mixes a small congruential generator into a constant table.

mod table;

use sha2::{Digest as _, Sha256};

use table::COOKED;

/// Numbers in the state.
const LENGTH: usize = 607;
/// Distance of the second summand.
const TAP: usize = 273;

/// The modulus of the seeding generator, a prime.
const MODULUS: i64 = (1 << 31) - 1;
/// Its multiplier.
const MULTIPLIER: i64 = 48_271;
/// What a seed of 0 becomes, which would stay 0 for ever.
const SEED_FOR_ZERO: i64 = 89_482_311;
/// Numbers that are thrown away after seeding.
const WARM_UP: usize = 20;

/// A generator with the numbers of `rand.New(rand.NewSource(seed))`.
#[derive(Clone, Debug)]
pub struct GoRand {
    state: [u64; LENGTH],
    tap: usize,
    feed: usize,
}

impl GoRand {
    /// The generator with this seed.
    #[must_use]
    pub fn new(seed: i64) -> Self {
        let mut x = match seed.rem_euclid(MODULUS) {
            0 => SEED_FOR_ZERO,
            seed => seed,
        };
        let mut next = || {
            x = x * MULTIPLIER % MODULUS;
            x.cast_unsigned()
        };
        (0..WARM_UP).for_each(|_| {
            next();
        });
        let state = COOKED.map(|cooked| next() << 40 ^ next() << 20 ^ next() ^ cooked);
        Self {
            state,
            tap: 0,
            feed: LENGTH - TAP,
        }
    }

    /// The generator seeded with the hash of all parts together, as the chain does it. The seed is the hash read as a
    /// variable-length number of at most 10 bytes, or 0 if it is none.
    #[must_use]
    pub fn from_parts(parts: &[&[u8]]) -> Self {
        Self::new(seed_of(parts))
    }

    /// The next number from 0 up to 2^63 - 1.
    pub fn int63(&mut self) -> i64 {
        (self.next() & (u64::MAX >> 1)).cast_signed()
    }

    /// The next number from 0 up to, not including, 1.
    #[expect(
        clippy::cast_precision_loss,
        reason = "Go's Float64 rounds to the nearest number in the same way"
    )]
    pub fn float64(&mut self) -> f64 {
        loop {
            let number = self.int63() as f64 / (1_u64 << 63) as f64;
            if number < 1.0 {
                return number;
            }
        }
    }

    fn next(&mut self) -> u64 {
        self.tap = before(self.tap);
        self.feed = before(self.feed);
        let sum = self.state[self.feed].wrapping_add(self.state[self.tap]);
        self.state[self.feed] = sum;
        sum
    }
}

fn before(index: usize) -> usize {
    index.checked_sub(1).unwrap_or(LENGTH - 1)
}

fn seed_of(parts: &[&[u8]]) -> i64 {
    let mut hasher = Sha256::new();
    parts.iter().for_each(|part| hasher.update(part));
    varint(&hasher.finalize()).unwrap_or(0)
}

/// Go's `binary.Varint`: seven bits a byte, the lowest first, then the sign from the lowest bit.
fn varint(bytes: &[u8]) -> Option<i64> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(10).enumerate() {
        if index == 9 && *byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
        }
    }
    None
}

#[cfg(test)]
mod tests;
