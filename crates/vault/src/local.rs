//! Keys held in this process.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use alloy_primitives::keccak256;
use async_trait::async_trait;
use baton_model::{Address, B256, Blame, Classified, Retry, U256};
use k256::ecdsa::{SigningKey, VerifyingKey};
use zeroize::Zeroizing;

use crate::keystore::{self, KeystoreError};
use crate::{Secret, Signature, Signer, SignerError};

/// Most bytes read from a key or key store file. A key store has about 500 bytes, with vendors'
/// extras a few thousand; a larger file is something else, and is not worth the memory.
const FILE_BYTES_MAX: usize = 64 * 1024;
const KEY_BYTES: usize = 32;

/// Signs with a key in memory: deterministic nonces (RFC 6979), low `s`. The key is zeroised on
/// drop.
pub struct LocalSigner {
    key: SigningKey,
    address: Address,
}

/// Why something is not a secp256k1 key. No variant carries key material.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not 64 hexadecimal digits.
    #[error("a key is 64 hexadecimal digits, optionally after 0x; {found} characters were given")]
    Length {
        /// Characters given, not counting `0x` and surrounding white space.
        found: usize,
    },
    /// A character that is not a hexadecimal digit.
    #[error("a key is 64 hexadecimal digits; the character at position {position} is not one")]
    Digit {
        /// Position counted from 1, after `0x`.
        position: usize,
    },
    /// All zeros.
    #[error("a key must not be zero")]
    Zero,
    /// Not below the group order.
    #[error("a key must be below the order of secp256k1")]
    OverOrder,
}

/// Why a key could not be loaded. No variant carries key material.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// An environment variable is not set, or empty.
    #[error("environment variable {variable} is not set")]
    Unset {
        /// Name of the variable.
        variable: String,
    },
    /// A file could not be read.
    #[error("key file {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file is too large to be a key.
    #[error("key file {} has more than {max} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Bytes allowed.
        max: usize,
    },
    /// A file is not text.
    #[error("key file {} is not UTF-8 text", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
    },
    /// What was found is not a key.
    #[error("{place}: {source}")]
    Key {
        /// The file or variable.
        place: String,
        /// Which rule is broken.
        source: KeyError,
    },
    /// A key store could not be opened.
    #[error("key store {}: {source}", path.display())]
    Keystore {
        /// The file.
        path: PathBuf,
        /// Which field, which rule.
        source: KeystoreError,
    },
}

impl LocalSigner {
    /// From the 32 bytes of a key, big-endian.
    pub fn from_bytes(bytes: &[u8; KEY_BYTES]) -> Result<Self, KeyError> {
        if bytes.iter().fold(0, |all, byte| all | byte) == 0 {
            return Err(KeyError::Zero);
        }
        let key = SigningKey::from_slice(bytes).map_err(|_| KeyError::OverOrder)?;
        let address = address_of(key.verifying_key());
        Ok(Self { key, address })
    }

    /// From 64 hexadecimal digits, optionally after `0x`, optionally with white space around.
    pub fn from_hex(text: &str) -> Result<Self, KeyError> {
        Self::from_bytes(&*parse_hex(text)?)
    }

    /// From the value of an environment variable, which the caller has read; the name is for
    /// errors.
    pub fn from_env(variable: &str, value: Option<&str>) -> Result<Self, LoadError> {
        let value = value
            .filter(|value| !value.is_empty())
            .ok_or_else(|| LoadError::Unset {
                variable: variable.to_owned(),
            })?;
        Self::from_hex(value).map_err(|source| LoadError::Key {
            place: format!("environment variable {variable}"),
            source,
        })
    }

    /// From a file that holds a key as hexadecimal text. Blocks on the file.
    pub fn from_file(path: &Path) -> Result<Self, LoadError> {
        let text = read_text(path)?;
        Self::from_hex(&text).map_err(|source| LoadError::Key {
            place: format!("key file {}", path.display()),
            source,
        })
    }

    /// From a Web3 Secret Storage file. Blocks on the file and for the key derivation, which takes
    /// up to some seconds.
    pub fn from_keystore(path: &Path, password: &Secret) -> Result<Self, LoadError> {
        let text = read_text(path)?;
        keystore::open(&text, password).map_err(|source| LoadError::Keystore {
            path: path.to_owned(),
            source,
        })
    }

    /// A new key from the operating system's randomness.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        loop {
            getrandom::fill(bytes.as_mut())?;
            // All but one in 2^127 draws are keys.
            if let Ok(signer) = Self::from_bytes(&bytes) {
                return Ok(signer);
            }
        }
    }

    /// Signs a 32-byte hash: 30 to 100 microseconds of computation.
    pub fn sign(&self, hash: B256) -> Signature {
        let (signature, recovery) = self.key.sign_prehash_recoverable(hash.as_slice());
        let (r, s) = signature.split_bytes();
        Signature {
            r: U256::from_be_slice(&r),
            s: U256::from_be_slice(&s),
            y_parity: recovery.is_y_odd(),
        }
    }

    /// The key itself, for writing it to a key store.
    pub(crate) fn expose(&self) -> Zeroizing<[u8; KEY_BYTES]> {
        Zeroizing::new(self.key.to_bytes().into())
    }
}

#[async_trait]
impl Signer for LocalSigner {
    fn address(&self) -> Address {
        self.address
    }

    async fn sign_hash(&self, hash: B256) -> Result<Signature, SignerError> {
        Ok(self.sign(hash))
    }
}

impl fmt::Debug for LocalSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalSigner")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Classified for LoadError {
    fn blame(&self) -> Blame {
        Blame::Operator
    }

    fn retry(&self) -> Retry {
        Retry::Never
    }
}

/// The account of a public key.
pub(crate) fn address_of(key: &VerifyingKey) -> Address {
    let point = key.to_sec1_point(false);
    // The first byte tells that the point is not compressed and is no part of the address.
    let hash = keccak256(&point.as_bytes()[1..]);
    Address::from_slice(&hash[12..])
}

fn parse_hex(text: &str) -> Result<Zeroizing<[u8; KEY_BYTES]>, KeyError> {
    let text = text.trim();
    let digits = text
        .strip_prefix("0x")
        .or_else(|| text.strip_prefix("0X"))
        .unwrap_or(text);
    let found = digits.chars().count();
    if found != 2 * KEY_BYTES {
        return Err(KeyError::Length { found });
    }
    let mut bytes = Zeroizing::new([0; KEY_BYTES]);
    for (index, character) in digits.chars().enumerate() {
        let digit = character.to_digit(16).ok_or(KeyError::Digit {
            position: index + 1,
        })?;
        let digit = u8::try_from(digit).expect("a hexadecimal digit is below 16");
        bytes[index / 2] = bytes[index / 2] << 4 | digit;
    }
    Ok(bytes)
}

fn read_text(path: &Path) -> Result<Zeroizing<String>, LoadError> {
    let failed = |source| LoadError::File {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    // Reserved at once: a buffer that grows leaves unerased copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX + 1));
    file.take(FILE_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(LoadError::TooLarge {
            path: path.to_owned(),
            max: FILE_BYTES_MAX,
        });
    }
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(LoadError::NotText {
            path: path.to_owned(),
        }),
    }
}
