//! Keys, addresses and the signatures of suppliers.
//!
//! Signing and checking a supplier's signature is libsecp256k1's work: it runs in constant time over the secret and is
//! faster than a pure implementation. `tests/keys.rs` compares it with one.

mod address;
mod file;

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use k256::elliptic_curve::PrimeField;
use k256::{FieldBytes, Scalar};
use secp256k1::{All, Message, Secp256k1, ecdsa};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::Zeroizing;

pub use address::{ADDRESS_PREFIX, Address, AddressError};
pub use file::{FILE_MAX, KEYS_MAX, KeysError, KeysFault, parse_key_file, parse_keys_file};

/// What the library needs at hand: 200 bytes besides its own tables. Nothing random is in it.
static SECP: LazyLock<Secp256k1<All>> = LazyLock::new(Secp256k1::new);

/// Bytes of a supplier's signature: r and s, 32 each, big-endian.
pub const SIGNATURE_LENGTH: usize = 64;

/// A secret key: a number from 1 to below the order of the group. It is erased when dropped, and shown nowhere.
#[derive(Clone)]
pub struct SecretKey(Zeroizing<[u8; 32]>);

/// Why text or bytes are no secret key. Never shows any of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SecretKeyError {
    /// The length is wrong.
    #[error("must be 64 hexadecimal digits, with or without 0x before them, not {0} bytes")]
    Length(usize),
    /// A character is no hexadecimal digit.
    #[error("character {0} is no hexadecimal digit")]
    Digit(usize),
    /// The number is 0, or not below the order of the group.
    #[error("is 0 or not below the order of secp256k1")]
    Range,
}

impl SecretKey {
    /// Takes the 32 bytes of a key, big-endian.
    ///
    /// # Errors
    ///
    /// If the number is 0 or not below the order of the group.
    pub fn from_bytes(bytes: Zeroizing<[u8; 32]>) -> Result<Self, SecretKeyError> {
        match secp256k1::SecretKey::from_byte_array(*bytes) {
            Ok(mut key) => {
                key.non_secure_erase();
                Ok(Self(bytes))
            }
            Err(_) => Err(SecretKeyError::Range),
        }
    }

    /// Reads 64 hexadecimal digits, with or without `0x` before them.
    ///
    /// # Errors
    ///
    /// If the text is anything else, or the number is out of range.
    pub fn parse(text: &str) -> Result<Self, SecretKeyError> {
        let digits = text.strip_prefix("0x").unwrap_or(text);
        if digits.len() != 64 {
            return Err(SecretKeyError::Length(text.len()));
        }
        let start = text.len() - digits.len();
        let mut bytes = Zeroizing::new([0; 32]);
        for (index, digit) in digits.bytes().enumerate() {
            let value = char::from(digit)
                .to_digit(16)
                .and_then(|value| u8::try_from(value).ok())
                .ok_or(SecretKeyError::Digit(start + index))?;
            bytes[index / 2] = bytes[index / 2] << 4 | value;
        }
        Self::from_bytes(bytes)
    }

    /// The key that Cosmos derives from a text: for keys that everybody may know.
    #[must_use]
    pub fn from_known_text(text: &str) -> Self {
        // SHA-256 modulo N - 1, plus 1. A digest is below 2 N, so one subtraction is the modulo.
        let mut number = <[u8; 32]>::from(Sha256::digest(text));
        if number >= ORDER_MINUS_ONE {
            number = subtract(number, ORDER_MINUS_ONE);
        }
        for byte in number.iter_mut().rev() {
            *byte = byte.wrapping_add(1);
            if *byte != 0 {
                break;
            }
        }
        Self(Zeroizing::new(number))
    }

    /// The public key that belongs to it.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        let mut secret = self.secp();
        let public = secret.public_key(&SECP);
        secret.non_secure_erase();
        PublicKey(public.serialize())
    }

    /// The bytes, for a ring's arithmetic.
    pub(crate) fn scalar(&self) -> Zeroizing<Scalar> {
        let repr = FieldBytes::from(*self.0);
        let scalar = Scalar::from_repr(repr).into_option();
        Zeroizing::new(scalar.expect("the constructors let in only numbers below the order"))
    }

    fn secp(&self) -> secp256k1::SecretKey {
        secp256k1::SecretKey::from_byte_array(*self.0)
            .expect("the constructors let in only numbers within the range")
    }
}

impl PartialEq for SecretKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&*other.0).into()
    }
}

impl Eq for SecretKey {}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

/// A public key: a point of secp256k1, compressed to 33 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; 33]);

/// Why bytes are no public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PublicKeyError {
    /// The length is wrong.
    #[error("must be 33 bytes, not {0}")]
    Length(usize),
    /// The length of the text is wrong.
    #[error("must be 66 hexadecimal digits, not {0} bytes")]
    Digits(usize),
    /// The first byte is no parity.
    #[error("byte 0 must be 02 or 03, not {0:02x}")]
    Parity(u8),
    /// No point of the curve has this x.
    #[error("bytes 1 to 32 are the x of no point of secp256k1")]
    Point,
    /// Text that is not hexadecimal.
    #[error("character {0} is no hexadecimal digit")]
    Digit(usize),
}

impl PublicKey {
    /// Takes a compressed point.
    ///
    /// # Errors
    ///
    /// If the bytes are not those of a point.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PublicKeyError> {
        let bytes: [u8; 33] = bytes
            .try_into()
            .map_err(|_| PublicKeyError::Length(bytes.len()))?;
        if bytes[0] != 2 && bytes[0] != 3 {
            return Err(PublicKeyError::Parity(bytes[0]));
        }
        match secp256k1::PublicKey::from_byte_array_compressed(bytes) {
            Ok(_) => Ok(Self(bytes)),
            Err(_) => Err(PublicKeyError::Point),
        }
    }

    /// A point whose bytes were checked already.
    pub(crate) fn from_checked(bytes: [u8; 33]) -> Self {
        Self(bytes)
    }

    /// The compressed point.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 33] {
        &self.0
    }

    /// The address of the account that this key controls.
    #[must_use]
    pub fn address(&self) -> Address {
        Address::of(self)
    }

    /// Checks a signature over a hash that [`SupplierKey::sign`] would take.
    ///
    /// # Errors
    ///
    /// If it is not 64 bytes of low-S ECDSA by this key over that hash.
    pub fn verify(&self, hash: &[u8; 32], signature: &[u8]) -> Result<(), SignatureError> {
        let bytes: &[u8; SIGNATURE_LENGTH] = signature
            .try_into()
            .map_err(|_| SignatureError::Length(signature.len()))?;
        let parsed = ecdsa::Signature::from_compact(bytes).map_err(|_| range_error(bytes))?;
        let mut low = parsed;
        low.normalize_s();
        if low != parsed {
            return Err(SignatureError::HighS);
        }
        let key = secp256k1::PublicKey::from_byte_array_compressed(self.0)
            .expect("the constructors let in only points");
        SECP.verify_ecdsa(message(hash), &parsed, &key)
            .map_err(|_| match zero_half(bytes) {
                Some(offset) => SignatureError::Range(offset),
                None => SignatureError::Mismatch,
            })
    }
}

impl FromStr for PublicKey {
    type Err = PublicKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() != 66 {
            return Err(PublicKeyError::Digits(text.len()));
        }
        let mut bytes = [0; 33];
        for (index, digit) in text.bytes().enumerate() {
            let value = char::from(digit)
                .to_digit(16)
                .and_then(|value| u8::try_from(value).ok())
                .ok_or(PublicKeyError::Digit(index))?;
            bytes[index / 2] = bytes[index / 2] << 4 | value;
        }
        Self::from_bytes(&bytes)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

/// Why a supplier's signature does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SignatureError {
    /// The length is wrong.
    #[error("signature: must be {SIGNATURE_LENGTH} bytes, not {0}")]
    Length(usize),
    /// r or s is 0 or not below the order of the group.
    #[error("signature, byte {0}: the number is 0 or not below the order of secp256k1")]
    Range(usize),
    /// s is in the upper half: whoever saw a signature could make a second one.
    #[error("signature, byte 32: s is above half the order of secp256k1")]
    HighS,
    /// Another key, or another message.
    #[error("signature: does not belong to this key and message")]
    Mismatch,
}

/// A supplier's operator key with what signing needs at hand.
pub struct SupplierKey {
    secret: secp256k1::SecretKey,
    public: PublicKey,
    address: Address,
}

impl SupplierKey {
    /// Prepares a key.
    #[must_use]
    pub fn new(secret: &SecretKey) -> Self {
        let public = secret.public_key();
        Self {
            secret: secret.secp(),
            public,
            address: public.address(),
        }
    }

    /// Reads a key as [`SecretKey::parse`] does.
    ///
    /// # Errors
    ///
    /// If the text is no key.
    pub fn parse(text: &str) -> Result<Self, SecretKeyError> {
        SecretKey::parse(text).map(|secret| Self::new(&secret))
    }

    /// The public key.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.public
    }

    /// The operator's address.
    #[must_use]
    pub fn address(&self) -> Address {
        self.address
    }

    /// Signs a hash as Cosmos does: the key hashes what it is given once more. The signature is deterministic (RFC
    /// 6979) and has the lower s.
    #[must_use]
    pub fn sign(&self, hash: &[u8; 32]) -> [u8; SIGNATURE_LENGTH] {
        let signature = SECP.sign_ecdsa(message(hash), &self.secret);
        signature.serialize_compact()
    }
}

impl Drop for SupplierKey {
    fn drop(&mut self) {
        self.secret.non_secure_erase();
    }
}

impl fmt::Debug for SupplierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SupplierKey({})", self.address)
    }
}

/// The order of the group, less one.
const ORDER_MINUS_ONE: [u8; 32] = {
    let mut bytes = secp256k1::constants::CURVE_ORDER;
    bytes[31] -= 1;
    bytes
};

fn subtract(from: [u8; 32], what: [u8; 32]) -> [u8; 32] {
    let mut result = [0; 32];
    let mut borrow = false;
    for index in (0..32).rev() {
        let (partial, first) = from[index].overflowing_sub(what[index]);
        let (byte, second) = partial.overflowing_sub(u8::from(borrow));
        result[index] = byte;
        borrow = first || second;
    }
    result
}

fn message(hash: &[u8; 32]) -> Message {
    Message::from_digest(Sha256::digest(hash).into())
}

fn range_error(signature: &[u8; SIGNATURE_LENGTH]) -> SignatureError {
    let order = secp256k1::constants::CURVE_ORDER;
    let offset = if signature[..32] >= order[..] { 0 } else { 32 };
    SignatureError::Range(offset)
}

fn zero_half(signature: &[u8; SIGNATURE_LENGTH]) -> Option<usize> {
    let zero = |half: &[u8]| half.iter().all(|byte| *byte == 0);
    if zero(&signature[..32]) {
        return Some(0);
    }
    zero(&signature[32..]).then_some(32)
}
