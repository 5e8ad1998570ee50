//! Verification as it is written down, with nothing but k256: what the fast one is tested and measured against.

use k256::elliptic_curve::Group;
use k256::elliptic_curve::group::GroupEncoding;
use k256::elliptic_curve::point::DecompressPoint;
use k256::{AffinePoint, FieldBytes, ProjectivePoint};
use sha3::{Digest, Sha3_256};

use super::hash::challenge_of;
use super::{Raw, Ring, RingField, VerifyError, not_a_point};
use crate::keys::{PublicKey, PublicKeyError};

/// Verifies a signature as [`super::Verifier::verify`] does, in about ten times the time.
///
/// # Errors
///
/// The same.
pub fn verify(signature: &[u8], message: &[u8; 32], ring: &Ring) -> Result<(), VerifyError> {
    let raw = Raw::split(signature)?;
    raw.check_members(ring)?;
    let image = parse(raw.image, RingField::Image)?;
    let mut next = raw.challenge;
    for (index, part) in raw.parts.iter().enumerate() {
        let member = parse(part.member, RingField::Member(index))?;
        let hashed = hash_to_point(part.member);
        let left = ProjectivePoint::mul_by_generator(&part.response) + member * next;
        let right = hashed * part.response + image * next;
        if bool::from(left.is_identity() | right.is_identity()) {
            return Err(VerifyError::Mismatch);
        }
        let (left, right) = (left.to_bytes().into(), right.to_bytes().into());
        next = challenge_of(message, &left, &right);
    }
    if next == raw.challenge {
        Ok(())
    } else {
        Err(VerifyError::Mismatch)
    }
}

fn parse(bytes: &[u8; 33], field: RingField) -> Result<ProjectivePoint, VerifyError> {
    let point = ProjectivePoint::from_bytes(&(*bytes).into()).into_option();
    point.ok_or_else(|| not_a_point(field, PublicKeyError::Point).into())
}

fn hash_to_point(key: &[u8; 33]) -> ProjectivePoint {
    let mut digest: [u8; 32] = Sha3_256::digest(key).into();
    loop {
        let point = AffinePoint::decompress(&FieldBytes::from(digest), 0.into());
        if let Some(point) = point.into_option() {
            return point.into();
        }
        digest = Sha3_256::digest(digest).into();
    }
}

/// [`super::hash_to_point`] with nothing but k256.
#[must_use]
pub fn hash(key: &PublicKey) -> PublicKey {
    PublicKey::from_checked(hash_to_point(key.as_bytes()).to_bytes().into())
}
