//! Numbers modulo p = 2^256 - 2^32 - 977, in four words.
//!
//! A value is any number below 2^256 that is congruent: p has two forms of each number below 2^32 + 977, and only
//! [`Field::normalize`] picks one. What passes 2^256 comes back as 2^32 + 977 times as much.

use k256::elliptic_curve::bigint::{Odd, U256};

/// 2^256 modulo p.
const FOLD: u64 = 0x1_0000_03d1;
/// p.
const PRIME: [u64; 4] = [0xffff_fffe_ffff_fc2f, u64::MAX, u64::MAX, u64::MAX];
const PRIME_HEX: &str = "fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f";

/// A number modulo p.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field([u64; 4]);

impl Field {
    pub(crate) const ZERO: Self = Self([0; 4]);
    pub(crate) const ONE: Self = Self::small(1);

    /// A small number.
    pub(crate) const fn small(number: u64) -> Self {
        Self([number, 0, 0, 0])
    }

    /// A number below p, its lowest word first.
    pub(crate) const fn from_words(words: [u64; 4]) -> Self {
        Self(words)
    }

    /// Reads 32 bytes, big-endian, if they are below p.
    pub(crate) fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        let mut words = [0; 4];
        for (word, chunk) in words.iter_mut().rev().zip(bytes.as_chunks().0) {
            *word = u64::from_be_bytes(*chunk);
        }
        let value = Self(words);
        (!value.is_above()).then_some(value)
    }

    /// Writes 32 bytes, big-endian.
    pub(crate) fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        let Self(words) = self.normalize();
        for (word, chunk) in words.iter().rev().zip(bytes.as_chunks_mut().0) {
            *chunk = word.to_be_bytes();
        }
        bytes
    }

    /// The value between 0 and p.
    pub(crate) fn normalize(self) -> Self {
        if self.is_above() {
            Self(plus(self.0, FOLD).0)
        } else {
            self
        }
    }

    /// Whether the value is 0 modulo p.
    #[inline]
    pub(crate) fn is_zero(self) -> bool {
        self.0 == [0; 4] || self.0 == PRIME
    }

    /// Whether a normalized value is odd.
    #[inline]
    pub(crate) fn is_odd(self) -> bool {
        self.0[0] & 1 == 1
    }

    /// The sum.
    #[inline]
    pub(crate) fn add(self, other: Self) -> Self {
        let (a, b) = (self.0, other.0);
        let (r0, carry) = a[0].carrying_add(b[0], false);
        let (r1, carry) = a[1].carrying_add(b[1], carry);
        let (r2, carry) = a[2].carrying_add(b[2], carry);
        let (r3, carry) = a[3].carrying_add(b[3], carry);
        let (mut sum, carry) = plus([r0, r1, r2, r3], FOLD * u64::from(carry));
        // Only two values right below 2^256 carry again, and what is left then is small.
        sum[0] += FOLD * u64::from(carry);
        Self(sum)
    }

    /// The difference.
    #[inline]
    pub(crate) fn sub(self, other: Self) -> Self {
        let (a, b) = (self.0, other.0);
        let (r0, borrow) = a[0].borrowing_sub(b[0], false);
        let (r1, borrow) = a[1].borrowing_sub(b[1], borrow);
        let (r2, borrow) = a[2].borrowing_sub(b[2], borrow);
        let (r3, borrow) = a[3].borrowing_sub(b[3], borrow);
        let (mut rest, borrow) = minus([r0, r1, r2, r3], FOLD * u64::from(borrow));
        // Only a value right below 2^256 taken from a small one borrows again, and what is left then is large.
        rest[0] -= FOLD * u64::from(borrow);
        Self(rest)
    }

    /// The negative.
    #[inline]
    pub(crate) fn negate(self) -> Self {
        Self::ZERO.sub(self)
    }

    /// Twice the value.
    #[inline]
    pub(crate) fn double(self) -> Self {
        self.add(self)
    }

    /// Half the value.
    #[inline]
    pub(crate) fn halve(self) -> Self {
        let mask = (self.0[0] & 1).wrapping_neg();
        let (r0, carry) = self.0[0].carrying_add(PRIME[0] & mask, false);
        let (r1, carry) = self.0[1].carrying_add(mask, carry);
        let (r2, carry) = self.0[2].carrying_add(mask, carry);
        let (r3, carry) = self.0[3].carrying_add(mask, carry);
        Self([
            r0 >> 1 | r1 << 63,
            r1 >> 1 | r2 << 63,
            r2 >> 1 | r3 << 63,
            r3 >> 1 | u64::from(carry) << 63,
        ])
    }

    /// The product.
    #[inline(always)]
    pub(crate) fn mul(self, other: Self) -> Self {
        let mut product = [0; 8];
        for i in 0..4 {
            let mut carry = 0;
            for j in 0..4 {
                let (low, high) = self.0[i].carrying_mul_add(other.0[j], product[i + j], carry);
                (product[i + j], carry) = (low, high);
            }
            product[i + 4] = carry;
        }
        reduce(product)
    }

    /// The square.
    #[inline(always)]
    pub(crate) fn square(self) -> Self {
        let [a0, a1, a2, a3] = self.0;
        // The products of different words, which count twice.
        let (p1, carry) = a0.carrying_mul(a1, 0);
        let (p2, carry) = a0.carrying_mul(a2, carry);
        let (p3, p4) = a0.carrying_mul(a3, carry);
        let (p3, carry) = a1.carrying_mul_add(a2, p3, 0);
        let (p4, p5) = a1.carrying_mul_add(a3, p4, carry);
        let (p5, p6) = a2.carrying_mul_add(a3, p5, 0);
        // Twice by addition: shifts tempt the compiler into vectors, which are slower here.
        let (p1, carry) = p1.carrying_add(p1, false);
        let (p2, carry) = p2.carrying_add(p2, carry);
        let (p3, carry) = p3.carrying_add(p3, carry);
        let (p4, carry) = p4.carrying_add(p4, carry);
        let (p5, carry) = p5.carrying_add(p5, carry);
        let (p6, carry) = p6.carrying_add(p6, carry);
        let p7 = u64::from(carry);
        let (q0, q1) = a0.carrying_mul(a0, 0);
        let (q2, q3) = a1.carrying_mul(a1, 0);
        let (q4, q5) = a2.carrying_mul(a2, 0);
        let (q6, q7) = a3.carrying_mul(a3, 0);
        let (p1, carry) = p1.carrying_add(q1, false);
        let (p2, carry) = p2.carrying_add(q2, carry);
        let (p3, carry) = p3.carrying_add(q3, carry);
        let (p4, carry) = p4.carrying_add(q4, carry);
        let (p5, carry) = p5.carrying_add(q5, carry);
        let (p6, carry) = p6.carrying_add(q6, carry);
        let (p7, _) = p7.carrying_add(q7, carry);
        reduce([q0, p1, p2, p3, p4, p5, p6, p7])
    }

    /// The inverse, normalized; of 0 it is 0.
    pub(crate) fn invert(self) -> Self {
        const MODULUS: Odd<U256> = Odd::from_be_hex(PRIME_HEX);
        let value = U256::from_words(self.normalize().0);
        let inverse: Option<U256> = value.invert_odd_mod_vartime(&MODULUS).into();
        inverse.map_or(Self::ZERO, |inverse| Self(inverse.to_words()))
    }

    /// A square root, if there is one.
    pub(crate) fn sqrt(self) -> Option<Self> {
        let root = self.power_quarter();
        root.square().sub(self).is_zero().then_some(root)
    }

    /// The value to the power of (p + 1) / 4, whose bits are 223 ones, a zero, 22 ones, four zeros, two ones, two
    /// zeros.
    fn power_quarter(self) -> Self {
        let x2 = self.squares(1).mul(self);
        let x3 = x2.squares(1).mul(self);
        let x6 = x3.squares(3).mul(x3);
        let x9 = x6.squares(3).mul(x3);
        let x11 = x9.squares(2).mul(x2);
        let x22 = x11.squares(11).mul(x11);
        let x44 = x22.squares(22).mul(x22);
        let x88 = x44.squares(44).mul(x44);
        let x176 = x88.squares(88).mul(x88);
        let x220 = x176.squares(44).mul(x44);
        let x223 = x220.squares(3).mul(x3);
        x223.squares(23).mul(x22).squares(6).mul(x2).squares(2)
    }

    fn squares(self, count: u32) -> Self {
        (0..count).fold(self, |value, _| value.square())
    }

    /// Whether the value is p or above.
    fn is_above(self) -> bool {
        self.0[0] >= PRIME[0] && self.0[1] & self.0[2] & self.0[3] == u64::MAX
    }
}

impl PartialEq for Field {
    fn eq(&self, other: &Self) -> bool {
        self.normalize().0 == other.normalize().0
    }
}

/// Brings the words of a product to four.
#[inline(always)]
fn reduce(product: [u64; 8]) -> Field {
    let [p0, p1, p2, p3, p4, p5, p6, p7] = product;
    let (r0, carry) = p4.carrying_mul_add(FOLD, p0, 0);
    let (r1, carry) = p5.carrying_mul_add(FOLD, p1, carry);
    let (r2, carry) = p6.carrying_mul_add(FOLD, p2, carry);
    let (r3, carry) = p7.carrying_mul_add(FOLD, p3, carry);
    let (low, high) = carry.carrying_mul(FOLD, 0);
    let (r0, carry) = r0.carrying_add(low, false);
    let (r1, carry) = r1.carrying_add(high, carry);
    let (r2, carry) = r2.carrying_add(0, carry);
    let (r3, carry) = r3.carrying_add(0, carry);
    // If this carries, what is left is below 2^68 and does not carry again.
    let (r0, carry) = r0.carrying_add(FOLD * u64::from(carry), false);
    Field([r0, r1 + u64::from(carry), r2, r3])
}

#[inline]
fn plus(a: [u64; 4], small: u64) -> ([u64; 4], bool) {
    let (r0, carry) = a[0].carrying_add(small, false);
    let (r1, carry) = a[1].carrying_add(0, carry);
    let (r2, carry) = a[2].carrying_add(0, carry);
    let (r3, carry) = a[3].carrying_add(0, carry);
    ([r0, r1, r2, r3], carry)
}

#[inline]
fn minus(a: [u64; 4], small: u64) -> ([u64; 4], bool) {
    let (r0, borrow) = a[0].borrowing_sub(small, false);
    let (r1, borrow) = a[1].borrowing_sub(0, borrow);
    let (r2, borrow) = a[2].borrowing_sub(0, borrow);
    let (r3, borrow) = a[3].borrowing_sub(0, borrow);
    ([r0, r1, r2, r3], borrow)
}
