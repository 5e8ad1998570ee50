//! The hashes of the scheme. All are FIPS-202 SHA3, not Keccak.

use k256::elliptic_curve::ops::Reduce;
use k256::{FieldBytes, Scalar};
use sha3::{Digest, Sha3_256, Sha3_512};
use zeroize::Zeroizing;

use crate::curve::{Affine, Field};
use crate::keys::PublicKey;

/// Most digests that are tried as an x. One in two is, so none of them is one with a chance of 2^-128.
const TRIES: usize = 128;

/// 2^256 modulo the order.
const FOLD: [u8; 32] = [
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0x45, 0x51, 0x23, 0x19, 0x50, 0xb7, 0x5f, 0xc4,
    0x40, 0x2d, 0xa1, 0x73, 0x2f, 0xc9, 0xbe, 0xbf,
];

/// A point that belongs to a key and whose logarithm nobody knows: the first digest of the key, of that digest and so
/// on that is the x of a point, with the even y.
#[must_use]
pub fn hash_to_point(key: &PublicKey) -> PublicKey {
    PublicKey::from_checked(point_of(key.as_bytes()).to_bytes())
}

/// [`hash_to_point`] of a compressed point.
pub(super) fn point_of(key: &[u8; 33]) -> Affine {
    let mut digest: [u8; 32] = Sha3_256::digest(key).into();
    for _ in 0..TRIES {
        // Digests count modulo p; one that is not below p comes once in 2^224.
        let point = Field::from_bytes(&digest).and_then(|x| Affine::lift(x, false));
        if let Some(point) = point {
            return point;
        }
        digest = Sha3_256::digest(digest).into();
    }
    unreachable!("one digest in two is the x of a point: 128 in a row are not")
}

/// A scalar from bytes: SHA3-512 modulo the order, then, as the network does it, its shortest encoding moved to the
/// left of 32 bytes. One result in 256 is shorter than 32 bytes and so becomes another number.
#[must_use]
pub fn hash_to_scalar(input: &[u8]) -> [u8; 32] {
    scalar_of(Sha3_512::new_with_prefix(input))
        .to_bytes()
        .into()
}

/// The challenge after a step: the message and the two points of the step.
#[must_use]
pub fn challenge(message: &[u8; 32], left: &PublicKey, right: &PublicKey) -> [u8; 32] {
    challenge_of(message, left.as_bytes(), right.as_bytes())
        .to_bytes()
        .into()
}

/// [`challenge`] of compressed points.
pub(super) fn challenge_of(message: &[u8; 32], left: &[u8; 33], right: &[u8; 33]) -> Scalar {
    let mut input = [0; 98];
    input[..32].copy_from_slice(message);
    input[32..65].copy_from_slice(left);
    input[65..].copy_from_slice(right);
    scalar_of(Sha3_512::new_with_prefix(input))
}

/// What a hasher took in, as a scalar without the shift: all values are equally likely. A signer's nonce comes from
/// here, so time does not depend on the digest, which is erased.
pub(super) fn uniform(hasher: Sha3_512) -> Scalar {
    let digest = Zeroizing::new(<[u8; 64]>::from(hasher.finalize()));
    let (mut high, mut low) = (FieldBytes::default(), FieldBytes::default());
    high.copy_from_slice(&digest[..32]);
    low.copy_from_slice(&digest[32..]);
    let fold = <Scalar as Reduce<FieldBytes>>::reduce(&FOLD.into());
    let high = <Scalar as Reduce<FieldBytes>>::reduce(&high);
    let low = <Scalar as Reduce<FieldBytes>>::reduce(&low);
    high * fold + low
}

fn scalar_of(hasher: Sha3_512) -> Scalar {
    let canonical = uniform(hasher).to_bytes();
    let zeros = canonical.iter().take_while(|byte| **byte == 0).count();
    let mut shifted = FieldBytes::default();
    shifted[..32 - zeros].copy_from_slice(&canonical[zeros..]);
    <Scalar as Reduce<FieldBytes>>::reduce(&shifted)
}
