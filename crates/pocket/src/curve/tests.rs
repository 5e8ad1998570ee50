use k256::elliptic_curve::PrimeField;
use k256::elliptic_curve::sec1::ToSec1Point;
use k256::{FieldBytes, ProjectivePoint, Scalar};
use proptest::prelude::*;

use super::field::Field;
use super::*;

fn compressed(point: &ProjectivePoint) -> [u8; 33] {
    point
        .to_affine()
        .to_sec1_point(true)
        .as_bytes()
        .try_into()
        .unwrap()
}

fn affine(point: &ProjectivePoint) -> Affine {
    Affine::from_bytes(&compressed(point)).unwrap()
}

fn shown(point: &Jacobian) -> [u8; 33] {
    batch_affine(&[*point]).unwrap()[0].to_bytes()
}

fn scalar(bytes: [u8; 32]) -> Option<Scalar> {
    Scalar::from_repr(FieldBytes::from(bytes)).into_option()
}

/// Scalars of every size, the ends of the range among them.
fn scalars() -> impl Strategy<Value = Scalar> {
    prop_oneof![
        4 => any::<[u8; 32]>().prop_filter_map("below the order", scalar),
        1 => any::<u64>().prop_map(Scalar::from),
        1 => any::<u64>().prop_map(|small| -Scalar::from(small)),
        1 => (0u32..256).prop_map(|bit| {
            (0..bit).fold(Scalar::ONE, |value, _| value + value)
        }),
    ]
}

fn points() -> impl Strategy<Value = ProjectivePoint> {
    scalars()
        .prop_filter("not neutral", |scalar| !bool::from(scalar.is_zero()))
        .prop_map(|scalar| ProjectivePoint::mul_by_generator(&scalar))
}

fn fields() -> impl Strategy<Value = Field> {
    let edges = |(mut bytes, kinds): ([u8; 32], u64)| {
        for (index, byte) in bytes.iter_mut().enumerate() {
            match kinds >> (2 * index) & 3 {
                0 => *byte = 0,
                1 => *byte = 0xff,
                _ => {}
            }
        }
        Field::from_bytes(&bytes)
    };
    any::<([u8; 32], u64)>().prop_filter_map("below p", edges)
}

/// Values within 2^33 of 0 and of 2^256, not brought below p.
fn edges() -> impl Strategy<Value = Field> {
    (any::<bool>(), 0u64..1 << 33).prop_map(|(high, distance)| {
        if high {
            Field::from_words([u64::MAX - distance, u64::MAX, u64::MAX, u64::MAX])
        } else {
            Field::small(distance)
        }
    })
}

proptest! {
    #[test]
    fn field_keeps_its_laws(a in fields(), b in fields(), c in fields()) {
        let sum = a.add(b);
        prop_assert_eq!(sum.sub(b), a);
        prop_assert_eq!(sum.mul(c), a.mul(c).add(b.mul(c)));
        prop_assert_eq!(a.mul(b).mul(c), a.mul(b.mul(c)));
        prop_assert_eq!(sum.square(), sum.mul(sum));
        prop_assert_eq!(a.sub(b).negate(), b.sub(a));
        prop_assert!(a.add(a.negate()).is_zero());
        prop_assert_eq!(a.halve().double(), a);
        prop_assert_eq!(a.is_zero(), a.to_bytes() == [0; 32]);
        if !a.is_zero() {
            prop_assert_eq!(a.mul(a.invert()), Field::ONE);
        }
        let root = a.square().sqrt().expect("a square has a root");
        prop_assert!(root == a || root.negate() == a);
    }

    /// The numbers around 0, p and 2^256, where carries and borrows happen twice, in both of their forms.
    #[test]
    fn field_keeps_its_laws_at_the_edges(a in edges(), b in edges(), c in fields()) {
        prop_assert_eq!(a.add(b).sub(b), a);
        prop_assert_eq!(a.sub(b).add(b), a);
        prop_assert_eq!(a.add(b).to_bytes(), a.normalize().add(b.normalize()).to_bytes());
        prop_assert_eq!(a.sub(b).to_bytes(), a.normalize().sub(b.normalize()).to_bytes());
        prop_assert_eq!(a.mul(b), a.normalize().mul(b.normalize()));
        prop_assert_eq!(a.square(), a.mul(a));
        prop_assert_eq!(a.halve().double(), a);
        prop_assert_eq!(a.mul(c).add(b.mul(c)), a.add(b).mul(c));
        prop_assert_eq!(a.sub(b).is_zero(), a.to_bytes() == b.to_bytes());
    }

    #[test]
    fn points_survive_their_bytes(point in points()) {
        let bytes = compressed(&point);
        prop_assert_eq!(Affine::from_bytes(&bytes).unwrap().to_bytes(), bytes);
    }

    #[test]
    fn sums_are_k256s(a in points(), b in points()) {
        let (p, q) = (affine(&a), affine(&b));
        let (jp, jq) = (Jacobian::from(p).double(), Jacobian::from(q));
        if a.double() + b == ProjectivePoint::IDENTITY {
            return Ok(());
        }
        prop_assert_eq!(shown(&jp.add_affine(&q)), compressed(&(a.double() + b)));
        prop_assert_eq!(shown(&jp.add(&jq)), compressed(&(a.double() + b)));
        prop_assert_eq!(shown(&jp.add(&jp)), compressed(&a.double().double()));
        let twice = Jacobian::from(p).add_affine(&p);
        prop_assert_eq!(shown(&twice), compressed(&a.double()));
        let back = Jacobian::from(p).add_affine(&p.negate_if(true));
        prop_assert!(back.is_neutral() && back.double().is_neutral());
        prop_assert_eq!(shown(&back.add_affine(&q)), compressed(&b));
        prop_assert_eq!(shown(&back.add(&jq)), compressed(&b));
    }

    #[test]
    fn combs_multiply(point in points(), scalar in scalars(), bits in 2u32..=9) {
        let comb = Comb::new(affine(&point), Window::bits(bits));
        let halves = Halves::of(&scalar.to_repr().into());
        let (mut plain, mut turned) = (Jacobian::NEUTRAL, Jacobian::NEUTRAL);
        comb.add(&halves, &mut plain, &mut turned);
        let product = plain.add(&turned.times_lambda());
        if bool::from(scalar.is_zero()) {
            prop_assert!(product.is_neutral());
        } else {
            prop_assert_eq!(shown(&product), compressed(&(point * scalar)));
        }
    }

    #[test]
    fn double_and_add_multiplies(a in points(), b in points(), x in scalars(), y in scalars()) {
        let tables = Odd::batch(&[affine(&a), affine(&b)]);
        let [s, t] = [x, y].map(|scalar| Halves::of(&scalar.to_repr().into()));
        let sum = double_and_add(&[(&tables[0], s), (&tables[1], t)]);
        let expected = a * x + b * y;
        if expected == ProjectivePoint::IDENTITY {
            prop_assert!(sum.is_neutral());
        } else {
            prop_assert_eq!(shown(&sum), compressed(&expected));
        }
    }
}

#[test]
fn bytes_that_are_no_point_are_refused() {
    let mut bytes = Affine::GENERATOR.to_bytes();
    bytes[0] = 4;
    assert!(Affine::from_bytes(&bytes).is_none(), "parity 4");
    // 5 is the x of no point, and p itself is not below p.
    bytes = [0; 33];
    (bytes[0], bytes[32]) = (2, 5);
    assert!(Affine::from_bytes(&bytes).is_none(), "x = 5");
    let p = "fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f";
    for (byte, digits) in bytes[1..].iter_mut().zip(p.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(str::from_utf8(digits).unwrap(), 16).unwrap();
    }
    assert!(Affine::from_bytes(&bytes).is_none(), "x = p");
}
