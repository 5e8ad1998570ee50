//! Splitting a scalar into two halves.
//!
//! With lambda, a cube root of 1 modulo the order N, every k is k1 + k2 lambda with halves below 2^128, and a point
//! times lambda costs one product. k1 and k2 come from the lattice of pairs with x + y lambda = 0 modulo N ("Guide to
//! Elliptic Curve Cryptography", algorithm 3.74), its short basis (a1, b1), (a2, b2) with b2 = a1, and the quotients
//! by N as products with g1 = 2^384 b2 / N and g2 = -2^384 b1 / N.

type Words = [u64; 4];

const G1: Words = [
    0xe893_209a_45db_b031,
    0x3daa_8a14_71e8_ca7f,
    0xe86c_90e4_9284_eb15,
    0x3086_d221_a7d4_6bcd,
];
const G2: Words = [
    0x1571_b4ae_8ac4_7f71,
    0x2212_08ac_9df5_06c6,
    0x6f54_7fa9_0abf_e4c4,
    0xe443_7ed6_010e_8828,
];
const A1: Words = [0xe86c_90e4_9284_eb15, 0x3086_d221_a7d4_6bcd, 0, 0];
const MINUS_B1: Words = [0x6f54_7fa9_0abf_e4c3, 0xe443_7ed6_010e_8828, 0, 0];
const A2: Words = [0x57c1_108d_9d44_cfd8, 0x14ca_50f7_a8e2_f3f6, 1, 0];

/// A scalar as k1 + k2 lambda.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Halves {
    pub(crate) plain: Half,
    pub(crate) turned: Half,
}

/// A number between -0.64 * 2^128 and 0.64 * 2^128.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Half {
    pub(crate) size: u128,
    pub(crate) negative: bool,
}

impl Halves {
    /// Splits 32 bytes, big-endian, below the order.
    pub(crate) fn of(scalar: &[u8; 32]) -> Self {
        let mut k = [0; 4];
        for (word, chunk) in k.iter_mut().rev().zip(scalar.chunks_exact(8)) {
            *word = chunk
                .iter()
                .fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        }
        let c1 = quotient(k, G1);
        let c2 = quotient(k, G2);
        let plain = minus(minus(k, times(c1, A1)), times(c2, A2));
        let turned = minus(times(c1, MINUS_B1), times(c2, A1));
        Self {
            plain: Half::of(plain),
            turned: Half::of(turned),
        }
    }
}

impl Half {
    /// Reads a number in two's complement.
    fn of(words: Words) -> Self {
        let negative = words[3] >> 63 == 1;
        let [low, high, ..] = if negative {
            minus([0; 4], words)
        } else {
            words
        };
        Self {
            size: u128::from(high) << 64 | u128::from(low),
            negative,
        }
    }
}

/// k g / 2^384, rounded.
fn quotient(k: Words, g: Words) -> Words {
    let product = wide(k, g);
    let (low, carry) = product[6].overflowing_add(product[5] >> 63);
    [low, product[7] + u64::from(carry), 0, 0]
}

/// The product modulo 2^256.
fn times(a: Words, b: Words) -> Words {
    let [p0, p1, p2, p3, ..] = wide(a, b);
    [p0, p1, p2, p3]
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the low word is kept and the high word carried"
)]
fn wide(a: Words, b: Words) -> [u64; 8] {
    let mut product = [0; 8];
    for (i, x) in a.into_iter().enumerate() {
        let mut carry = 0;
        for (j, y) in b.into_iter().enumerate() {
            let sum = u128::from(x) * u128::from(y) + u128::from(product[i + j]) + carry;
            product[i + j] = sum as u64;
            carry = sum >> 64;
        }
        product[i + 4] = carry as u64;
    }
    product
}

/// The difference modulo 2^256.
fn minus(a: Words, b: Words) -> Words {
    let mut borrow = false;
    std::array::from_fn(|i| {
        let (partial, first) = a[i].overflowing_sub(b[i]);
        let (word, second) = partial.overflowing_sub(u64::from(borrow));
        borrow = first || second;
        word
    })
}
