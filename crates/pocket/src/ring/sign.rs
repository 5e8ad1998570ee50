//! Signing. All that touches the secret key or a nonce is k256's constant-time arithmetic. What holds them by name is
//! erased, the states of hashers included; copies that the compiler leaves on the stack are not. Which member signs is
//! not hidden from whoever can measure the time or the cache of the signer's own process.

use k256::elliptic_curve::Group;
use k256::elliptic_curve::group::GroupEncoding;
use k256::{ProjectivePoint, Scalar};
use sha3::{Digest, Sha3_512};
use thiserror::Error;
use zeroize::Zeroizing;

use super::hash::{challenge_of, point_of, uniform};
use super::{RING_MAX, RING_MIN, Ring, RingSignature};
use crate::keys::{PublicKey, SecretKey};

/// Separates the nonces of these signatures from every other use of the same digest.
const DOMAIN: &[u8] = b"baton pocket ring signature nonce 1";

/// Why there is no signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SignError {
    /// The ring is too small or too large.
    #[error("ring: must have {RING_MIN} to {RING_MAX} members, not {0}")]
    Size(usize),
    /// The key is not one of the ring's.
    #[error("ring: does not hold the signer's key {0}")]
    NotMember(PublicKey),
}

/// Signs a message.
///
/// `entropy` makes the signature unlike all others. Every nonce is a digest of it, the key, the message and the ring,
/// so a repeated `entropy` repeats a signature but never shows the key.
///
/// # Errors
///
/// If the ring has no place for the key, or a size that nobody accepts.
pub fn sign(
    ring: &Ring,
    key: &SecretKey,
    message: &[u8; 32],
    entropy: &[u8; 32],
) -> Result<RingSignature, SignError> {
    let members = ring.members();
    let count = members.len();
    if !(RING_MIN..=RING_MAX).contains(&count) {
        return Err(SignError::Size(count));
    }
    let public = key.public_key();
    let signer = members
        .iter()
        .position(|member| *member == public)
        .ok_or(SignError::NotMember(public))?;
    let points: Vec<(ProjectivePoint, ProjectivePoint)> = members.iter().map(bases).collect();
    let secret = key.scalar();
    let image = points[signer].1 * *secret;

    let mut source = Sha3_512::new_with_prefix(DOMAIN);
    source.update(entropy);
    source.update(Zeroizing::new(<[u8; 32]>::from(secret.to_bytes())));
    source.update(message);
    members
        .iter()
        .for_each(|member| source.update(member.as_bytes()));
    let nonce = Zeroizing::new(draw(&source, signer));

    let mut challenges = vec![Scalar::ZERO; count];
    let mut responses = vec![Scalar::ZERO; count];
    let left = ProjectivePoint::mul_by_generator(&nonce);
    let right = points[signer].1 * *nonce;
    let mut next = step(message, &left, &right);
    for offset in 1..count {
        let index = (signer + offset) % count;
        let (member, hashed) = &points[index];
        let response = draw(&source, index);
        let left = ProjectivePoint::mul_by_generator(&response) + member * &next;
        let right = hashed * &response + image * next;
        (challenges[index], responses[index]) = (next, response);
        next = step(message, &left, &right);
    }
    challenges[signer] = next;
    responses[signer] = *nonce - next * *secret;
    Ok(RingSignature {
        challenge: challenges[0],
        image: PublicKey::from_checked(compress(&image)),
        parts: responses.into_iter().zip(members.iter().copied()).collect(),
    })
}

/// A key's point and its hash.
fn bases(key: &PublicKey) -> (ProjectivePoint, ProjectivePoint) {
    let parse = |bytes: &[u8; 33]| {
        let point = ProjectivePoint::from_bytes(&(*bytes).into());
        point
            .into_option()
            .expect("a public key is a point, and so is its hash")
    };
    (
        parse(key.as_bytes()),
        parse(&point_of(key.as_bytes()).to_bytes()),
    )
}

fn draw(source: &Sha3_512, index: usize) -> Scalar {
    let mut hasher = source.clone();
    hasher.update((index as u64).to_be_bytes());
    uniform(hasher)
}

fn step(message: &[u8; 32], left: &ProjectivePoint, right: &ProjectivePoint) -> Scalar {
    challenge_of(message, &compress(left), &compress(right))
}

/// The compressed point. The neutral one has no such form; no nonce or response that is drawn leads to it.
fn compress(point: &ProjectivePoint) -> [u8; 33] {
    debug_assert!(!bool::from(point.is_identity()), "drawn scalars are not 0");
    point.to_bytes().into()
}
