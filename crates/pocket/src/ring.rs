//! Ring signatures: what a gateway signs a relay request with.
//!
//! A ring is the application and its gateways; a signature shows that one of them signed, and its key image is the same
//! for every signature of the same key. The scheme is bLSAG over secp256k1 with SHA3.
//!
//! ```
//! use baton_pocket::keys::SecretKey;
//! use baton_pocket::message::Application;
//! use baton_pocket::ring::{self, RingAccounts, Verifier};
//!
//! # let app = SecretKey::parse("2d00ef074d9b51e46886dc9a1df11e7b986611d0f336bdcf1f0adce3e037ec0a")?;
//! # let gateway = SecretKey::parse("1a11ef074d9b51e46886dc9a1df11e7b986611d0f336bdcf1f0adce3e037ab11")?;
//! # let application = Application {
//! #     address: app.public_key().address().to_string(),
//! #     delegatee_gateway_addresses: vec![gateway.public_key().address().to_string()],
//! #     ..Application::default()
//! # };
//! # let accounts = [app.public_key(), gateway.public_key()];
//! # let (message, entropy, session_end) = ([7; 32], [9; 32], 4);
//! // Who may sign in a session that ends at a height; the accounts' keys come from the chain.
//! let ring = RingAccounts::of(&application, session_end)
//!     .ring(|address| accounts.iter().copied().find(|key| key.address().to_string() == address))?;
//! // A gateway signs.
//! let signature = ring::sign(&ring, &gateway, &message, &entropy)?.to_bytes();
//! // A relayer verifies, and remembers what it computed about these keys in at most 16 MiB.
//! let verifier = Verifier::new(16 << 20);
//! verifier.verify(&signature, &message, &ring)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod accounts;
mod cache;
mod hash;
pub mod plain;
mod sign;
mod verify;

use std::fmt;

use k256::elliptic_curve::PrimeField;
use k256::{FieldBytes, Scalar};
use thiserror::Error;

use crate::keys::{PublicKey, PublicKeyError};

pub use accounts::{PLACEHOLDER_TEXT, RingAccounts, RingAccountsError};
pub use cache::VERIFIER_MEMORY_MIN;
pub use hash::{challenge, hash_to_point, hash_to_scalar};
pub use sign::{SignError, sign};
pub use verify::Verifier;

/// Fewest members: alone, the signer would be known. The network's signers refuse it too.
pub const RING_MIN: usize = 2;

/// Most members. An application has at most 7 gateways at present, and those it left recently; every member of a
/// signature costs its verifier two products of points.
pub const RING_MAX: usize = 256;

const HEAD: usize = 4 + 32 + 33;
const PART: usize = 32 + 33;

/// Most places in a signature for each key that may sign. Signers list a key once, or twice where an application or a
/// gateway stands in two lists of the chain. Without a limit a stranger, who needs no key to make a verifier work,
/// could repeat two keys [`RING_MAX`] times and so have it do 128 times the work of a ring of two.
pub const REPEATS_MAX: usize = 4;

/// Most bytes of a serialised signature.
pub const SIGNATURE_MAX: usize = HEAD + PART * RING_MAX;

/// The keys that may sign, in the order in which a signer lists them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ring(Vec<PublicKey>);

impl Ring {
    /// A ring of these keys in this order. Whoever builds a ring for an application uses [`RingAccounts`].
    #[must_use]
    pub fn new(members: Vec<PublicKey>) -> Self {
        Self(members)
    }

    /// The keys in their order.
    #[must_use]
    pub fn members(&self) -> &[PublicKey] {
        &self.0
    }

    /// Whether a key is among them.
    #[must_use]
    pub fn contains(&self, key: &PublicKey) -> bool {
        self.0.contains(key)
    }
}

/// A ring signature with its own list of members. Points are on the curve, scalars are neither 0 nor above the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingSignature {
    challenge: Scalar,
    image: PublicKey,
    parts: Vec<(Scalar, PublicKey)>,
}

impl RingSignature {
    /// Reads a signature: the number of members, the first challenge, the key image, and a response and a key for each
    /// member. Allocates at most twice the length of the bytes, which [`SIGNATURE_MAX`] bounds.
    ///
    /// Stricter than the network: it takes what is longer than needed, reduces scalars and lets a ring have one member.
    /// No honest signer makes such a signature.
    ///
    /// # Errors
    ///
    /// Names the field, the offset and the rule.
    pub fn parse(bytes: &[u8]) -> Result<Self, RingError> {
        let raw = Raw::split(bytes)?;
        raw.check_points()?;
        Ok(Self {
            challenge: raw.challenge,
            image: PublicKey::from_checked(*raw.image),
            parts: raw
                .parts
                .iter()
                .map(|part| (part.response, PublicKey::from_checked(*part.member)))
                .collect(),
        })
    }

    /// The signature as it travels.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD + PART * self.parts.len());
        let count = u32::try_from(self.parts.len()).expect("a ring has at most RING_MAX members");
        bytes.extend_from_slice(&count.to_be_bytes());
        bytes.extend_from_slice(&self.challenge.to_repr());
        bytes.extend_from_slice(self.image.as_bytes());
        for (response, member) in &self.parts {
            bytes.extend_from_slice(&response.to_repr());
            bytes.extend_from_slice(member.as_bytes());
        }
        bytes
    }

    /// What is the same for all signatures of one key.
    #[must_use]
    pub fn image(&self) -> PublicKey {
        self.image
    }

    /// The members that the signature lists.
    pub fn members(&self) -> impl Iterator<Item = PublicKey> {
        self.parts.iter().map(|(_, member)| *member)
    }
}

/// Why a signature is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("ring signature, {field}, byte {offset}: {fault}")]
pub struct RingError {
    /// The field.
    pub field: RingField,
    /// Where it begins, in bytes.
    pub offset: usize,
    /// What is wrong with it.
    pub fault: RingFault,
}

/// A field of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingField {
    /// The number of members.
    Count,
    /// The first challenge.
    Challenge,
    /// The key image.
    Image,
    /// A member's response, by the member's place.
    Response(usize),
    /// A member's key.
    Member(usize),
    /// What comes after the last member.
    End,
}

/// What is wrong with a field of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RingFault {
    /// The bytes end first.
    #[error("{needed} bytes are needed, {left} are left")]
    Truncated {
        /// How many bytes the field has.
        needed: usize,
        /// How many are left.
        left: usize,
    },
    /// Too few or too many members.
    #[error("must be {RING_MIN} to {RING_MAX}, not {0}")]
    Count(u32),
    /// Bytes that belong to nothing.
    #[error("{0} bytes follow")]
    Trailing(usize),
    /// A scalar that is not below the order: its bytes are not canonical.
    #[error("the number is not below the order of secp256k1")]
    Range,
    /// A scalar that is 0.
    #[error("the number is 0")]
    Zero,
    /// Not a point.
    #[error("{0}")]
    Point(PublicKeyError),
}

/// Why a signature does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum VerifyError {
    /// It is malformed.
    #[error(transparent)]
    Malformed(#[from] RingError),
    /// A member is not one of those who may sign.
    #[error(
        "ring signature, member[{index}]: {} is not in the application's ring",
        hex(key)
    )]
    Stranger {
        /// The member's place.
        index: usize,
        /// What stands for the member's key; it may be no point at all.
        key: [u8; 33],
    },
    /// The members are repeated too often.
    #[error("ring signature: {found} members of a ring of {ring}, at most {REPEATS_MAX} for each")]
    Repeated {
        /// How many members the signature lists.
        found: usize,
        /// How many keys may sign.
        ring: usize,
    },
    /// It is not a signature of this message by a member.
    #[error("ring signature: does not belong to this message and these members")]
    Mismatch,
}

impl fmt::Display for RingField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count => f.write_str("count"),
            Self::Challenge => f.write_str("challenge"),
            Self::Image => f.write_str("image"),
            Self::Response(index) => write!(f, "response[{index}]"),
            Self::Member(index) => write!(f, "member[{index}]"),
            Self::End => f.write_str("end"),
        }
    }
}

/// A signature split into its fields; points are not checked yet but for their first byte.
struct Raw<'a> {
    challenge: Scalar,
    image: &'a [u8; 33],
    parts: Vec<RawPart<'a>>,
}

struct RawPart<'a> {
    response: Scalar,
    member: &'a [u8; 33],
}

impl<'a> Raw<'a> {
    fn split(bytes: &'a [u8]) -> Result<Self, RingError> {
        let mut rest = Rest { bytes, offset: 0 };
        let count = u32::from_be_bytes(*rest.take(RingField::Count)?);
        let members = count as usize;
        if !(RING_MIN..=RING_MAX).contains(&members) {
            return Err(RingError {
                field: RingField::Count,
                offset: 0,
                fault: RingFault::Count(count),
            });
        }
        let challenge = rest.scalar(RingField::Challenge)?;
        let image = rest.point(RingField::Image)?;
        let mut parts = Vec::with_capacity(members.min(rest.bytes.len() / PART));
        for index in 0..members {
            parts.push(RawPart {
                response: rest.scalar(RingField::Response(index))?,
                member: rest.point(RingField::Member(index))?,
            });
        }
        if !rest.bytes.is_empty() {
            let fault = RingFault::Trailing(rest.bytes.len());
            return Err(rest.error(RingField::End, 0, fault));
        }
        Ok(Self {
            challenge,
            image,
            parts,
        })
    }

    fn check_members(&self, ring: &Ring) -> Result<(), VerifyError> {
        let known = |bytes: &[u8; 33]| ring.members().iter().any(|key| key.as_bytes() == bytes);
        if let Some(index) = self.parts.iter().position(|part| !known(part.member)) {
            return Err(VerifyError::Stranger {
                index,
                key: *self.parts[index].member,
            });
        }
        let (found, ring) = (self.parts.len(), ring.members().len());
        if found > REPEATS_MAX * ring {
            return Err(VerifyError::Repeated { found, ring });
        }
        Ok(())
    }

    fn check_points(&self) -> Result<(), RingError> {
        check_point(RingField::Image, self.image)?;
        for (index, part) in self.parts.iter().enumerate() {
            check_point(RingField::Member(index), part.member)?;
        }
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let written = write!(text, "{byte:02x}");
        written.expect("a string takes all that is written");
        text
    })
}

fn check_point(field: RingField, bytes: &[u8; 33]) -> Result<(), RingError> {
    match PublicKey::from_bytes(bytes) {
        Ok(_) => Ok(()),
        Err(error) => Err(not_a_point(field, error)),
    }
}

/// The error over a field that holds no point.
fn not_a_point(field: RingField, error: PublicKeyError) -> RingError {
    let offset = match field {
        RingField::Image => 36,
        RingField::Member(index) => HEAD + PART * index + 32,
        RingField::Count | RingField::Challenge | RingField::Response(_) | RingField::End => 0,
    };
    RingError {
        field,
        offset,
        fault: RingFault::Point(error),
    }
}

struct Rest<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Rest<'a> {
    fn take<const N: usize>(&mut self, field: RingField) -> Result<&'a [u8; N], RingError> {
        let Some((head, rest)) = self.bytes.split_first_chunk() else {
            let left = self.bytes.len();
            return Err(self.error(field, 0, RingFault::Truncated { needed: N, left }));
        };
        self.bytes = rest;
        self.offset += N;
        Ok(head)
    }

    fn scalar(&mut self, field: RingField) -> Result<Scalar, RingError> {
        let bytes: &[u8; 32] = self.take(field)?;
        let Some(scalar) = Scalar::from_repr(FieldBytes::from(*bytes)).into_option() else {
            return Err(self.error(field, 32, RingFault::Range));
        };
        if bytes.iter().all(|byte| *byte == 0) {
            return Err(self.error(field, 32, RingFault::Zero));
        }
        Ok(scalar)
    }

    fn point(&mut self, field: RingField) -> Result<&'a [u8; 33], RingError> {
        let bytes: &[u8; 33] = self.take(field)?;
        match bytes[0] {
            2 | 3 => Ok(bytes),
            other => {
                let fault = RingFault::Point(PublicKeyError::Parity(other));
                Err(self.error(field, 33, fault))
            }
        }
    }

    /// The error over a field that began `back` bytes ago.
    fn error(&self, field: RingField, back: usize, fault: RingFault) -> RingError {
        RingError {
            field,
            offset: self.offset - back,
            fault,
        }
    }
}
