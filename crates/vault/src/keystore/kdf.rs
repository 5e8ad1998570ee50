//! From password to derived key, within limits.

use sha2::Sha256;
use zeroize::Zeroizing;

use super::KeystoreError;
use crate::Secret;

/// Most memory that a key store may make scrypt use (128 · N · r bytes). geth's standard cost takes
/// 256 MiB; twice that opens every file seen in practice without letting a crafted one exhaust a
/// small machine.
pub const KDF_MEMORY_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// Most work that a key store may make scrypt do (N · r · p). geth's standard cost does 2^21, about
/// a second; four times that is the longest an operator should wait at a start.
pub const SCRYPT_WORK_MAX: u64 = 1 << 23;
/// Most rounds of PBKDF2. The format's example does 262144; ten million take some seconds.
pub const PBKDF2_ROUNDS_MAX: u64 = 10_000_000;
/// Most bytes of salt: writers use 16 to 32, more adds nothing.
pub(super) const SALT_BYTES_MAX: usize = 1024;

/// Key of the cipher (first half) and of the MAC (second half).
pub(super) type DerivedKey = Zeroizing<[u8; 32]>;

/// A derivation whose parameters were checked.
#[derive(Debug)]
pub(super) enum Kdf {
    Scrypt {
        params: scrypt::Params,
        salt: Vec<u8>,
    },
    Pbkdf2 {
        rounds: u32,
        salt: Vec<u8>,
    },
}

impl Kdf {
    /// Checks the parameters of scrypt.
    pub(super) fn scrypt(n: u64, r: u64, p: u64, salt: Vec<u8>) -> Result<Self, KeystoreError> {
        if n < 2 || !n.is_power_of_two() {
            return Err(refuse(
                "crypto.kdfparams.n",
                "a power of two, at least 2",
                &n,
            ));
        }
        if r == 0 {
            return Err(refuse("crypto.kdfparams.r", "at least 1", &r));
        }
        if p == 0 {
            return Err(refuse("crypto.kdfparams.p", "at least 1", &p));
        }
        let memory = n.saturating_mul(r).saturating_mul(128);
        if memory > KDF_MEMORY_BYTES_MAX {
            let rule = format!("so that 128 · n · r is at most {KDF_MEMORY_BYTES_MAX} bytes");
            return Err(refuse(
                "crypto.kdfparams.n",
                &rule,
                &format!("n {n}, r {r}"),
            ));
        }
        if n.saturating_mul(r).saturating_mul(p) > SCRYPT_WORK_MAX {
            let rule = format!("so that n · r · p is at most {SCRYPT_WORK_MAX}");
            return Err(refuse(
                "crypto.kdfparams.p",
                &rule,
                &format!("n {n}, r {r}, p {p}"),
            ));
        }
        let small = |value: u64| u32::try_from(value).expect("the work limit is below 2^32");
        let log_n = u8::try_from(n.ilog2()).expect("the logarithm of a u64 is below 64");
        let params = scrypt::Params::new(log_n, small(r), small(p))
            .expect("parameters within the limits are valid");
        Ok(Self::Scrypt { params, salt })
    }

    /// Checks the parameters of PBKDF2-HMAC-SHA256.
    pub(super) fn pbkdf2(rounds: u64, salt: Vec<u8>) -> Result<Self, KeystoreError> {
        match u32::try_from(rounds) {
            Ok(checked) if (1..=PBKDF2_ROUNDS_MAX).contains(&rounds) => Ok(Self::Pbkdf2 {
                rounds: checked,
                salt,
            }),
            Ok(_) | Err(_) => {
                let rule = format!("from 1 to {PBKDF2_ROUNDS_MAX}");
                Err(refuse("crypto.kdfparams.c", &rule, &rounds))
            }
        }
    }

    /// The first 32 bytes of the derived key: all that AES-128-CTR and the MAC use. Both functions
    /// give the same first bytes whatever length is asked for.
    pub(super) fn derive(&self, password: &Secret) -> DerivedKey {
        let mut derived = Zeroizing::new([0; 32]);
        let password = password.expose().as_bytes();
        match self {
            Self::Scrypt { params, salt } => {
                scrypt::scrypt(password, salt, params, derived.as_mut())
                    .expect("32 bytes are a valid length of output");
            }
            Self::Pbkdf2 { rounds, salt } => {
                pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, *rounds, derived.as_mut());
            }
        }
        derived
    }
}

fn refuse(field: &'static str, rule: &str, found: &dyn ToString) -> KeystoreError {
    KeystoreError::Field {
        field,
        rule: rule.to_owned(),
        found: found.to_string(),
    }
}
