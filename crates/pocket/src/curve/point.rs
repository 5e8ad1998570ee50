//! Points of y^2 = x^3 + 7.

use super::field::Field;

/// A point that is not the neutral one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Affine {
    pub(crate) x: Field,
    pub(crate) y: Field,
}

/// A point as (x / z^2, y / z^3); z does not matter for the neutral one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Jacobian {
    x: Field,
    y: Field,
    z: Field,
    neutral: bool,
}

/// A cube root of 1 modulo p: (x, y) times lambda is (beta x, y).
pub(super) const BETA: Field = Field::from_words([
    0xc139_6c28_7195_01ee,
    0x9cf0_4975_12f5_8995,
    0x6e64_479e_ac34_34e9,
    0x7ae9_6a2b_657c_0710,
]);

impl Affine {
    /// The generator.
    pub(crate) const GENERATOR: Self = Self {
        x: Field::from_words([
            0x59f2_815b_16f8_1798,
            0x029b_fcdb_2dce_28d9,
            0x55a0_6295_ce87_0b07,
            0x79be_667e_f9dc_bbac,
        ]),
        y: Field::from_words([
            0x9c47_d08f_fb10_d4b8,
            0xfd17_b448_a685_5419,
            0x5da4_fbfc_0e11_08a8,
            0x483a_da77_26a3_c465,
        ]),
    };

    /// The point with this x and the given parity of y.
    pub(crate) fn lift(x: Field, odd: bool) -> Option<Self> {
        let square = x.square().mul(x).add(Field::small(7));
        let y = square.sqrt()?.normalize();
        let y = if y.is_odd() == odd { y } else { y.negate() };
        Some(Self {
            x,
            y: y.normalize(),
        })
    }

    /// Reads a compressed point.
    pub(crate) fn from_bytes(bytes: &[u8; 33]) -> Option<Self> {
        let (parity, x) = bytes.split_first()?;
        if *parity != 2 && *parity != 3 {
            return None;
        }
        let x = Field::from_bytes(x.try_into().ok()?)?;
        Self::lift(x, *parity == 3)
    }

    /// The compressed point.
    pub(crate) fn to_bytes(self) -> [u8; 33] {
        let mut bytes = [0; 33];
        bytes[0] = 2 + u8::from(self.y.normalize().is_odd());
        bytes[1..].copy_from_slice(&self.x.to_bytes());
        bytes
    }

    /// The point times lambda.
    #[inline]
    pub(crate) fn times_lambda(self) -> Self {
        Self {
            x: self.x.mul(BETA),
            y: self.y,
        }
    }

    /// The point on the curve to which z leads.
    pub(super) fn rescaled(self, z: Field) -> Self {
        let zz = z.square();
        Self {
            x: self.x.mul(zz),
            y: self.y.mul(zz).mul(z),
        }
    }

    /// The negative, or the point as it is.
    #[inline]
    pub(crate) fn negate_if(self, negative: bool) -> Self {
        let y = if negative { self.y.negate() } else { self.y };
        Self { x: self.x, y }
    }
}

impl Jacobian {
    /// The neutral point.
    pub(crate) const NEUTRAL: Self = Self {
        x: Field::ZERO,
        y: Field::ZERO,
        z: Field::ZERO,
        neutral: true,
    };

    /// Whether it is the neutral point.
    pub(crate) fn is_neutral(&self) -> bool {
        self.neutral
    }

    /// Twice the point. No point of the curve has the order 2, so y is never 0.
    #[inline]
    pub(crate) fn double(&self) -> Self {
        if self.neutral {
            return *self;
        }
        // S = X Y^2 and L = 3/2 X^2 are fewer operations than the textbook's multiples of them: X' = L^2 - 2 S,
        // Y' = L (S - X') - Y^4, Z' = Y Z.
        let yy = self.y.square();
        let s = yy.mul(self.x);
        let xx = self.x.square();
        let l = xx.double().add(xx).halve();
        let x = l.square().sub(s.double());
        let y = l.mul(s.sub(x)).sub(yy.square());
        Self {
            x,
            y,
            z: self.y.mul(self.z),
            neutral: false,
        }
    }

    /// The sum with a point.
    #[inline]
    pub(crate) fn add_affine(&self, other: &Affine) -> Self {
        if self.neutral {
            return Self::from(*other);
        }
        let zz = self.z.square();
        let u = other.x.mul(zz);
        let s = other.y.mul(self.z).mul(zz);
        self.combine(u, s, self.x, self.y, self.z)
    }

    /// The sum.
    pub(crate) fn add(&self, other: &Self) -> Self {
        if self.neutral {
            return *other;
        }
        if other.neutral {
            return *self;
        }
        let (zz, other_zz) = (self.z.square(), other.z.square());
        let own_u = self.x.mul(other_zz);
        let own_s = self.y.mul(other.z).mul(other_zz);
        let u = other.x.mul(zz);
        let s = other.y.mul(self.z).mul(zz);
        self.combine(u, s, own_u, own_s, self.z.mul(other.z))
    }

    /// The point times lambda.
    pub(crate) fn times_lambda(&self) -> Self {
        Self {
            x: self.x.mul(BETA),
            ..*self
        }
    }

    /// The sum from both x and both y over one denominator: (u, s) is the other point, (own_u, own_s) this one.
    #[inline]
    fn combine(&self, u: Field, s: Field, own_u: Field, own_s: Field, z: Field) -> Self {
        let h = u.sub(own_u);
        let r = s.sub(own_s);
        if h.is_zero() {
            return if r.is_zero() {
                self.double()
            } else {
                Self::NEUTRAL
            };
        }
        let hh = h.square();
        let hhh = hh.mul(h);
        let v = own_u.mul(hh);
        let x = r.square().sub(hhh).sub(v.double());
        let y = r.mul(v.sub(x)).sub(own_s.mul(hhh));
        Self {
            x,
            y,
            z: z.mul(h),
            neutral: false,
        }
    }

    /// The point on the curve on which its z is 1, and that z.
    pub(super) fn split(&self) -> (Affine, Field) {
        let point = Affine {
            x: self.x,
            y: self.y,
        };
        (point, self.z)
    }

    /// The point of this curve, given one on the curve to which z leads.
    pub(super) fn scaled_back(&self, z: Field) -> Self {
        Self {
            z: self.z.mul(z),
            ..*self
        }
    }

    /// The point with z = 1, if it is not the neutral one, given the inverse of its z.
    fn scale(&self, inverse: Field) -> Affine {
        let square = inverse.square();
        Affine {
            x: self.x.mul(square).normalize(),
            y: self.y.mul(square).mul(inverse).normalize(),
        }
    }
}

impl From<Affine> for Jacobian {
    fn from(point: Affine) -> Self {
        Self {
            x: point.x,
            y: point.y,
            z: Field::ONE,
            neutral: false,
        }
    }
}

/// Brings points to z = 1 with one inversion for all of them. `None` if one is the neutral point, which has no such
/// form.
pub(crate) fn batch_affine(points: &[Jacobian]) -> Option<Vec<Affine>> {
    if points.iter().any(Jacobian::is_neutral) {
        return None;
    }
    let mut inverses: Vec<Field> = points.iter().map(|point| point.z).collect();
    batch_invert(&mut inverses);
    let scaled = points.iter().zip(&inverses);
    Some(
        scaled
            .map(|(point, inverse)| point.scale(*inverse))
            .collect(),
    )
}

/// Replaces numbers other than 0 by their inverses with one inversion and 3 products for each.
pub(super) fn batch_invert(values: &mut [Field]) {
    let mut product = Field::ONE;
    let before: Vec<Field> = values
        .iter()
        .map(|value| {
            let before = product;
            product = product.mul(*value);
            before
        })
        .collect();
    let mut inverse = product.invert();
    for (value, before) in values.iter_mut().zip(before).rev() {
        let own = inverse.mul(before);
        inverse = inverse.mul(*value);
        *value = own;
    }
}
