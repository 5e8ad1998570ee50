//! The keys that values are sealed under.

use std::collections::BTreeMap;
use std::fmt;

use aes_gcm::aead::Key;
use aes_gcm::{Aes256Gcm, KeyInit};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Bytes of an AES-256 key.
const KEY_BYTES: usize = 32;
/// Bytes of a key's id: enough to tell the keys of one store apart, too few to say anything about
/// the key.
pub(crate) const KEY_ID_BYTES: usize = 4;
/// Most old keys: each stays only until `rotate` has rewritten what is under it.
const OLD_KEYS_MAX: usize = 16;

/// The name of a key: the first four bytes of the key's SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub(crate) [u8; KEY_ID_BYTES]);

/// One key that seals, and any number of old ones that are still read. Keys are wiped from memory
/// on drop.
pub struct Keyring {
    active: KeyId,
    ciphers: BTreeMap<KeyId, Aes256Gcm>,
}

/// Why a text is not a key. The text itself is never told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not base64.
    #[error(
        "{name} is not base64 (standard alphabet, padded, as `openssl rand -base64 32` prints it)"
    )]
    Encoding {
        /// Which key.
        name: KeyName,
    },
    /// Not 32 bytes.
    #[error("{name} has {bytes} bytes, exactly {KEY_BYTES} are required")]
    Length {
        /// Which key.
        name: KeyName,
        /// Bytes given.
        bytes: usize,
    },
    /// The same key twice, or two keys with the same id.
    #[error("{name} has the same id {id} as another key: give each key once")]
    Twice {
        /// Which key.
        name: KeyName,
        /// Its id.
        id: KeyId,
    },
    /// More old keys than are kept.
    #[error("{given} old keys were given, at most {OLD_KEYS_MAX} are read")]
    TooMany {
        /// Old keys given.
        given: usize,
    },
}

/// Which of the given keys an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyName {
    /// The key that seals.
    Active,
    /// An old key, counted from 1.
    Old(usize),
}

impl Keyring {
    /// Reads keys: base64 of 32 bytes each, white space around it ignored. The active key seals;
    /// the old ones are only read.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn parse<'a>(
        active: &str,
        old: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, KeyError> {
        let old: Vec<&str> = old.into_iter().collect();
        if old.len() > OLD_KEYS_MAX {
            return Err(KeyError::TooMany { given: old.len() });
        }
        let (id, cipher) = parse(KeyName::Active, active)?;
        let mut keys = Self {
            active: id,
            ciphers: BTreeMap::from([(id, cipher)]),
        };
        for (index, text) in old.into_iter().enumerate() {
            let name = KeyName::Old(index + 1);
            let (id, cipher) = parse(name, text)?;
            if keys.ciphers.insert(id, cipher).is_some() {
                return Err(KeyError::Twice { name, id });
            }
        }
        Ok(keys)
    }

    /// The id of the key that seals.
    pub const fn active(&self) -> KeyId {
        self.active
    }

    /// The ids of all keys that are read.
    pub fn ids(&self) -> impl Iterator<Item = KeyId> + '_ {
        self.ciphers.keys().copied()
    }

    pub(crate) fn cipher(&self, id: KeyId) -> Option<&Aes256Gcm> {
        self.ciphers.get(&id)
    }
}

fn parse(name: KeyName, text: &str) -> Result<(KeyId, Aes256Gcm), KeyError> {
    let bytes = STANDARD
        .decode(text.trim())
        .map_err(|_| KeyError::Encoding { name })?;
    let bytes = Zeroizing::new(bytes);
    let key: Result<&Key<Aes256Gcm>, _> = bytes.as_slice().try_into();
    let key = key.map_err(|_| KeyError::Length {
        name,
        bytes: bytes.len(),
    })?;
    let digest = Sha256::digest(&bytes);
    let mut id = [0; KEY_ID_BYTES];
    id.copy_from_slice(&digest[..KEY_ID_BYTES]);
    Ok((KeyId(id), Aes256Gcm::new(key)))
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<KeyId> = self.ids().collect();
        f.debug_struct("Keyring")
            .field("active", &self.active)
            .field("ids", &ids)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Active => f.write_str("the encryption key"),
            Self::Old(index) => write!(f, "old encryption key {index}"),
        }
    }
}
