//! Multiples of a point, computed ahead.

use super::field::Field;
use super::point::{Affine, Jacobian, batch_affine, batch_invert};
use super::scalar::{Half, Halves};

/// Bits of a half of a scalar: its size is below 2^128, and the signed digits need one bit more.
const HALF_BITS: u32 = 129;

/// How many bits of a scalar one addition takes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window(u32);

impl Window {
    /// A window of 2 to 12 bits.
    pub(crate) const fn bits(bits: u32) -> Self {
        assert!(
            bits >= 2 && bits <= 12,
            "digits fit i16 and tables fit memory"
        );
        Self(bits)
    }

    const fn digits(self) -> usize {
        HALF_BITS.div_ceil(self.0) as usize
    }

    /// Bits that are left to the last digit.
    const fn rest(self) -> u32 {
        HALF_BITS - (HALF_BITS.div_ceil(self.0) - 1) * self.0
    }

    /// Multiples for one full digit: digits are signed, and zero needs none.
    const fn multiples(self) -> usize {
        1 << (self.0 - 1)
    }

    /// The largest value of the last digit: what the bits that are left to it can make, with the carry.
    const fn last(self) -> usize {
        let most = 1 << (self.rest() - 1);
        if most < self.multiples() {
            most
        } else {
            self.multiples()
        }
    }

    const fn entries(self) -> usize {
        (self.digits() - 1) * self.multiples() + self.last()
    }

    /// Memory of a table in bytes.
    pub(crate) const fn memory(self) -> usize {
        self.entries() * size_of::<Entry>()
    }
}

/// Multiples j 2^(w i) P of a point P for every digit i and value j: a product takes one addition per digit and no
/// doubling.
pub(crate) struct Comb {
    window: Window,
    entries: Vec<Entry>,
}

/// A point in one line of the processor's cache.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Entry(Affine);

impl Comb {
    /// Computes a table. Takes about 7 products per entry.
    pub(crate) fn new(point: Affine, window: Window) -> Self {
        let bases = bases(point, window);
        let digits = window.digits();
        // Row by row: row j holds j times the base of every digit. From rows 1 to m follow rows m + 1 to 2 m.
        let mut rows: Vec<Vec<Affine>> = vec![bases];
        while rows.len() < window.multiples() {
            let known = rows.len();
            let last = rows[known - 1].clone();
            let fresh = sums(&rows, &last);
            rows.extend(fresh.chunks_exact(digits).map(<[Affine]>::to_vec));
        }
        // Reserved exactly: memory is accounted for by the number of entries.
        let mut entries = Vec::with_capacity(window.entries());
        for digit in 0..digits {
            let count = if digit + 1 < digits {
                window.multiples()
            } else {
                window.last()
            };
            entries.extend(rows.iter().take(count).map(|row| Entry(row[digit])));
        }
        Self { window, entries }
    }

    /// Adds a multiple of the point: the plain half to `plain`, and the other, without lambda, to `turned`.
    #[inline]
    pub(crate) fn add(&self, scalar: &Halves, plain: &mut Jacobian, turned: &mut Jacobian) {
        self.add_half(scalar.plain, plain);
        self.add_half(scalar.turned, turned);
    }

    #[inline]
    fn add_half(&self, half: Half, sum: &mut Jacobian) {
        let multiples = self.window.multiples();
        let mut start = 0;
        let mut digits = Digits::new(half.size, self.window);
        for _ in 0..self.window.digits() {
            let digit = digits.next_digit();
            if digit != 0 {
                let entry = &self.entries[start + usize::from(digit.unsigned_abs()) - 1];
                let point = entry.0.negate_if((digit < 0) != half.negative);
                *sum = sum.add_affine(&point);
            }
            start += multiples;
        }
    }
}

/// The signed digits of a number, from the lowest: each from -2^(w-1) + 1 to 2^(w-1).
struct Digits {
    rest: u128,
    bits: u32,
    carry: u128,
}

impl Digits {
    fn new(number: u128, window: Window) -> Self {
        Self {
            rest: number,
            bits: window.0,
            carry: 0,
        }
    }

    #[inline]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a window has at most 12 bits"
    )]
    fn next_digit(&mut self) -> i16 {
        let low = (self.rest & ((1 << self.bits) - 1)) + self.carry;
        self.rest >>= self.bits;
        self.carry = u128::from(low > 1 << (self.bits - 1));
        (low as i16) - ((self.carry as i16) << self.bits)
    }
}

/// 2^(w i) P for every digit i.
fn bases(point: Affine, window: Window) -> Vec<Affine> {
    let mut base = Jacobian::from(point);
    let mut bases = Vec::with_capacity(window.digits());
    for _ in 0..window.digits() {
        bases.push(base);
        for _ in 0..window.0 {
            base = base.double();
        }
    }
    batch_affine(&bases).expect("a multiple by a power of two below the order is never neutral")
}

/// The sums of the last row with every row, with one inversion. Multiples of one point by different small numbers
/// differ in x, but for the last row itself, which is doubled.
fn sums(rows: &[Vec<Affine>], last: &[Affine]) -> Vec<Affine> {
    let pairs = || rows.iter().flat_map(|row| row.iter().zip(last));
    let doubled = (rows.len() - 1) * last.len();
    let mut slopes: Vec<Field> = pairs()
        .enumerate()
        .map(|(at, (a, b))| {
            if at < doubled {
                b.x.sub(a.x)
            } else {
                a.y.double()
            }
        })
        .collect();
    batch_invert(&mut slopes);
    pairs()
        .zip(slopes)
        .enumerate()
        .map(|(at, ((a, b), inverse))| {
            let rise = if at < doubled {
                b.y.sub(a.y)
            } else {
                let square = a.x.square();
                square.double().add(square)
            };
            let slope = rise.mul(inverse);
            let x = slope.square().sub(a.x.add(b.x));
            let y = slope.mul(a.x.sub(x)).sub(a.y);
            Affine { x, y }
        })
        .collect()
}

/// Bits of the windows of [`Odd`].
const SLIDING: u32 = 5;
const ODD_MULTIPLES: usize = 1 << (SLIDING - 2);

/// The odd multiples P, 3 P, ... 15 P of a point, and their products with lambda: for points seen once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Odd {
    plain: [Affine; ODD_MULTIPLES],
    turned: [Affine; ODD_MULTIPLES],
}

impl Odd {
    /// Computes the multiples of several points with one inversion.
    pub(crate) fn batch(points: &[Affine]) -> Vec<Self> {
        let mut multiples = Vec::with_capacity(points.len() * ODD_MULTIPLES);
        for point in points {
            odd_multiples(point, &mut multiples);
        }
        let reason = "a small multiple of a point is never neutral";
        let multiples = batch_affine(&multiples).expect(reason);
        let (tables, _) = multiples.as_chunks::<ODD_MULTIPLES>();
        tables
            .iter()
            .map(|plain| Self {
                plain: *plain,
                turned: plain.map(|point| point.times_lambda()),
            })
            .collect()
    }
}

/// P, 3 P, 5 P and so on. They are computed on the curve on which 2 P has z = 1, and brought back by that z: addition
/// does not know which of the curves y^2 = x^3 + b it is on.
fn odd_multiples(point: &Affine, multiples: &mut Vec<Jacobian>) {
    let (double, z) = Jacobian::from(*point).double().split();
    let mut multiple = Jacobian::from(point.rescaled(z));
    for _ in 0..ODD_MULTIPLES {
        multiples.push(multiple.scaled_back(z));
        multiple = multiple.add_affine(&double);
    }
}

/// The sum of products of points and scalars, with the doublings shared among all of them.
pub(crate) fn double_and_add(terms: &[(&Odd, Halves)]) -> Jacobian {
    let parts: Vec<(&[Affine; ODD_MULTIPLES], bool, Naf)> = terms
        .iter()
        .flat_map(|(odd, scalar)| {
            let part = |table, half: Half| (table, half.negative, Naf::of(half.size));
            [
                part(&odd.plain, scalar.plain),
                part(&odd.turned, scalar.turned),
            ]
        })
        .collect();
    let top = parts.iter().map(|(_, _, naf)| naf.length).max();
    let mut sum = Jacobian::NEUTRAL;
    for bit in (0..top.unwrap_or_default()).rev() {
        sum = sum.double();
        for (table, negative, naf) in &parts {
            let digit = naf.digits[bit];
            if digit != 0 {
                let point = &table[usize::from(digit.unsigned_abs()) / 2];
                sum = sum.add_affine(&point.negate_if((digit < 0) != *negative));
            }
        }
    }
    sum
}

/// A number in digits that are 0 or odd and below 16 in size, with at least four zeros between two that are not 0.
struct Naf {
    digits: [i8; HALF_BITS as usize],
    length: usize,
}

impl Naf {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a digit has at most 5 bits"
    )]
    fn of(number: u128) -> Self {
        let mut naf = Self {
            digits: [0; HALF_BITS as usize],
            length: 0,
        };
        let (mut rest, mut carry, mut bit) = (number, 0, 0);
        while rest != 0 || carry != 0 {
            if (rest & 1) == carry {
                rest >>= 1;
                bit += 1;
                continue;
            }
            let low = (rest & ((1 << SLIDING) - 1)) + carry;
            carry = low >> (SLIDING - 1);
            naf.digits[bit] = (low as i8) - ((carry as i8) << SLIDING);
            naf.length = bit + 1;
            rest >>= SLIDING;
            bit += SLIDING as usize;
        }
        naf
    }
}
