//! Addresses of accounts.

use std::fmt;
use std::str::FromStr;

use bech32::Bech32;
use bech32::primitives::decode::CheckedHrpstring;
use bech32::primitives::hrp::Hrp;
use ripemd::{Digest as _, Ripemd160};
use sha2::Sha256;
use thiserror::Error;

use super::PublicKey;

/// What every account's address begins with.
pub const ADDRESS_PREFIX: &str = "pokt";

const PREFIX: Hrp = Hrp::parse_unchecked(ADDRESS_PREFIX);

/// Bytes of an address in text: the prefix, the separator, 32 characters for 20 bytes, 6 of checksum.
const TEXT_LENGTH: usize = ADDRESS_PREFIX.len() + 1 + 32 + 6;

/// The address of an account, written as `pokt1...`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address([u8; 20]);

/// Why text is no address.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AddressError {
    /// The length is wrong.
    #[error("an address has {TEXT_LENGTH} bytes of text, not {0}")]
    Length(usize),
    /// Something else comes first.
    #[error("an address begins with {ADDRESS_PREFIX}1, in lower case")]
    Prefix,
    /// A character does not belong, or there is a typing error.
    #[error("bech32: a character does not belong, or the checksum is wrong")]
    Checksum,
}

impl Address {
    /// The address with these bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 20]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }

    pub(super) fn of(key: &PublicKey) -> Self {
        let inner = Sha256::digest(key.as_bytes());
        Self(Ripemd160::digest(inner).into())
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() != TEXT_LENGTH {
            return Err(AddressError::Length(text.len()));
        }
        let lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
        let parsed = CheckedHrpstring::new::<Bech32>(text).map_err(|_| AddressError::Checksum)?;
        if parsed.hrp() != PREFIX || !lower {
            return Err(AddressError::Prefix);
        }
        // The length leaves 32 characters of 5 bits, which are 20 bytes.
        let mut bytes = [0; 20];
        for (byte, found) in bytes.iter_mut().zip(parsed.byte_iter()) {
            *byte = found;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        bech32::encode_lower_to_fmt::<Bech32, _>(f, PREFIX, &self.0).map_err(|_| fmt::Error)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}
