//! Web3 Secret Storage, version 3: a key in a JSON file under a password.
//!
//! Reads what geth, foundry (`cast wallet import`) and OpenZeppelin Relayer's key tool write:
//! AES-128-CTR under scrypt or PBKDF2-HMAC-SHA256. Written are files with scrypt at the cost that
//! the latter two use.

mod document;
mod kdf;

use aes::Aes128;
use aes::cipher::{KeyIvInit, StreamCipher};
use alloy_primitives::{Address, B256, Keccak256};
use ctr::Ctr128BE;
use serde_json::json;
use subtle::ConstantTimeEq;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{KeyError, LocalSigner, Secret, Signer};
use document::Document;
use kdf::{DerivedKey, Kdf};
pub use kdf::{KDF_MEMORY_BYTES_MAX, PBKDF2_ROUNDS_MAX, SCRYPT_WORK_MAX};

/// Cost of written files: scrypt's N as the reference's key tool and foundry choose it. r is 8, p
/// is 1.
const WRITTEN_SCRYPT_N: u64 = 8192;
const WRITTEN_SCRYPT_R: u64 = 8;
const WRITTEN_SCRYPT_P: u64 = 1;
const KEY_BYTES: usize = 32;
const IV_BYTES: usize = 16;
const SALT_BYTES: usize = 32;

/// Why a key store cannot be opened. No variant carries the key or the password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeystoreError {
    /// Not JSON. The text of the file is not repeated: somebody may have pointed at a raw key.
    #[error("not a JSON object (line {line}, column {column})")]
    NotJson {
        /// Line, counted from 1.
        line: usize,
        /// Column, counted from 1.
        column: usize,
    },
    /// A field is not there.
    #[error("{field} is missing")]
    Missing {
        /// Path of the field, such as `crypto.kdfparams.n`.
        field: &'static str,
    },
    /// A field has a value that breaks a rule.
    #[error("{field} must be {rule}; found {found}")]
    Field {
        /// Path of the field.
        field: &'static str,
        /// What it must be.
        rule: String,
        /// What was found: the value where it cannot be secret, otherwise its kind and length.
        found: String,
    },
    /// The password is wrong, or the file is damaged; the format cannot tell which.
    #[error("crypto.mac does not match: the password is wrong, or the file is damaged")]
    Mac,
    /// The file opens, but holds no key.
    #[error("crypto.ciphertext: {0}")]
    Key(#[from] KeyError),
    /// The file names the address of another key.
    #[error("address is {named}, but the key in the file has {actual}")]
    Address {
        /// Address in the file.
        named: Address,
        /// Address of the key.
        actual: Address,
    },
}

/// Opens a key store. Blocks for the key derivation: within the limits, up to some seconds and
/// [`KDF_MEMORY_BYTES_MAX`] bytes.
pub fn open(text: &str, password: &Secret) -> Result<LocalSigner, KeystoreError> {
    let document = Document::parse(text)?;
    let derived = document.kdf.derive(password);
    let mac = mac(&derived, &document.ciphertext);
    if !bool::from(mac.as_slice().ct_eq(&document.mac)) {
        return Err(KeystoreError::Mac);
    }
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    // Some old writers dropped leading zero bytes of the key.
    let start = KEY_BYTES - document.ciphertext.len();
    key[start..].copy_from_slice(&document.ciphertext);
    crypt(&derived, &document.iv, &mut key[start..]);
    let signer = LocalSigner::from_bytes(&key)?;
    match document.address {
        Some(named) if named != signer.address() => Err(KeystoreError::Address {
            named,
            actual: signer.address(),
        }),
        Some(_) | None => Ok(signer),
    }
}

/// Seals a key under a password, with fresh randomness. Returns the text of the file. The address
/// is not written: the format calls it a needless loss of privacy.
pub fn seal(signer: &LocalSigner, password: &Secret) -> Result<String, getrandom::Error> {
    let mut salt = [0; SALT_BYTES];
    let mut iv = [0; IV_BYTES];
    getrandom::fill(&mut salt)?;
    getrandom::fill(&mut iv)?;
    let id = crate::keys::uuid_v4()?;
    Ok(seal_with(signer, password, salt, iv, id))
}

fn seal_with(
    signer: &LocalSigner,
    password: &Secret,
    salt: [u8; SALT_BYTES],
    iv: [u8; IV_BYTES],
    id: Uuid,
) -> String {
    let kdf = Kdf::scrypt(
        WRITTEN_SCRYPT_N,
        WRITTEN_SCRYPT_R,
        WRITTEN_SCRYPT_P,
        salt.to_vec(),
    )
    .expect("the parameters of written files are within the limits of read ones");
    let derived = kdf.derive(password);
    let mut sealed = signer.expose();
    crypt(&derived, &iv, sealed.as_mut());
    let document = json!({
        "crypto": {
            "cipher": document::CIPHER,
            "cipherparams": { "iv": hex(&iv) },
            "ciphertext": hex(sealed.as_slice()),
            "kdf": "scrypt",
            "kdfparams": {
                "dklen": KEY_BYTES,
                "n": WRITTEN_SCRYPT_N,
                "p": WRITTEN_SCRYPT_P,
                "r": WRITTEN_SCRYPT_R,
                "salt": hex(&salt),
            },
            "mac": hex(mac(&derived, sealed.as_slice()).as_slice()),
        },
        "id": id,
        "version": document::VERSION,
    });
    document.to_string()
}

fn mac(derived: &DerivedKey, ciphertext: &[u8]) -> B256 {
    let mut hasher = Keccak256::new();
    hasher.update(&derived[16..]);
    hasher.update(ciphertext);
    hasher.finalize()
}

fn crypt(derived: &DerivedKey, iv: &[u8; IV_BYTES], data: &mut [u8]) {
    Ctr128BE::<Aes128>::new_from_slices(&derived[..16], iv)
        .expect("16 bytes of key and 16 of counter are what AES-128-CTR takes")
        .apply_keystream(data);
}

fn hex(bytes: &[u8]) -> String {
    alloy_primitives::hex::encode(bytes)
}
