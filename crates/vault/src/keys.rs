//! Making keys and secrets: what `baton keys` does, as functions.

use std::fmt;
use std::io::Write;
use std::path::{Component, Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use baton_model::{Address, Timestamp};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{LocalSigner, Secret, Signer, keystore};

/// Fewest characters of a password: OpenZeppelin Relayer's rule.
const PASSWORD_CHARS_MIN: usize = 12;
const ENCRYPTION_KEY_BYTES: usize = 32;

/// What to create, and where.
#[derive(Clone, Debug)]
pub struct NewKeystore {
    /// Directory of the file; created if it does not exist.
    pub directory: PathBuf,
    /// Name of the file; [`default_file_name`] when absent.
    pub file_name: Option<String>,
    /// Password that will open it.
    pub password: Secret,
    /// Whether an existing file is replaced.
    pub force: bool,
    /// Whether a password that breaks the policy is taken all the same.
    pub skip_password_check: bool,
}

/// A key store that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedKeystore {
    /// The file.
    pub path: PathBuf,
    /// Address of the new key.
    pub address: Address,
}

/// Why no key store was written.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The password breaks the policy.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The file name is not one.
    #[error("filename must be a plain file name without directories; found {found:?}")]
    FileName {
        /// The name given.
        found: String,
    },
    /// A file of that name exists.
    #[error("{} exists; --force replaces it, and with it the key inside", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
    /// The operating system gave no randomness.
    #[error("no randomness from the operating system: {0}")]
    Random(#[from] getrandom::Error),
}

/// A rule that a password must keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordRule {
    /// At least 12 characters.
    Length,
    /// At least one upper-case letter.
    Upper,
    /// At least one lower-case letter.
    Lower,
    /// At least one ASCII digit.
    Digit,
    /// At least one character that is neither letter nor digit.
    Special,
}

/// A password breaks rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswordError {
    /// Every rule that is broken.
    pub broken: Vec<PasswordRule>,
}

/// Creates a key from the operating system's randomness and writes it to a key store that only its
/// owner may read. `now` names the file if nothing else does. Blocks for the key derivation and the
/// disk.
pub fn create_keystore(new: &NewKeystore, now: Timestamp) -> Result<CreatedKeystore, CreateError> {
    if !new.skip_password_check {
        check_password(&new.password)?;
    }
    let name = match &new.file_name {
        Some(name) => name.clone(),
        None => default_file_name(now),
    };
    let path = new.directory.join(check_file_name(&name)?);
    // The key derivation takes a while, so this is told before it; the check that counts is at the
    // end.
    if !new.force && path.exists() {
        return Err(CreateError::Exists { path });
    }
    let signer = LocalSigner::random()?;
    let text = keystore::seal(&signer, &new.password)?;
    write_file(&new.directory, &path, &text, new.force)?;
    Ok(CreatedKeystore {
        path,
        address: signer.address(),
    })
}

/// `key_YYYYMMDD_HHMMSS.json`, in UTC.
pub fn default_file_name(now: Timestamp) -> String {
    let millis = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX);
    format!("key_{}.json", time.strftime("%Y%m%d_%H%M%S"))
}

/// Checks a password against the policy: at least 12 characters with an upper-case letter, a
/// lower-case letter, an ASCII digit and something that is neither letter nor digit.
pub fn check_password(password: &Secret) -> Result<(), PasswordError> {
    let text = password.expose();
    let kept = [
        (
            PasswordRule::Length,
            text.chars().count() >= PASSWORD_CHARS_MIN,
        ),
        (PasswordRule::Upper, text.chars().any(char::is_uppercase)),
        (PasswordRule::Lower, text.chars().any(char::is_lowercase)),
        (
            PasswordRule::Digit,
            text.chars().any(|c| c.is_ascii_digit()),
        ),
        (
            PasswordRule::Special,
            text.chars().any(|c| !c.is_alphanumeric()),
        ),
    ];
    let broken: Vec<_> = kept
        .into_iter()
        .filter_map(|(rule, kept)| (!kept).then_some(rule))
        .collect();
    if broken.is_empty() {
        return Ok(());
    }
    Err(PasswordError { broken })
}

/// A random UUID (version 4), fit to be an API key or a webhook signing key.
pub fn uuid_v4() -> Result<Uuid, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(uuid::Builder::from_random_bytes(bytes).into_uuid())
}

/// A random key for encryption at rest: 32 bytes in standard base64.
pub fn encryption_key() -> Result<Secret, getrandom::Error> {
    let mut bytes = Zeroizing::new([0; ENCRYPTION_KEY_BYTES]);
    getrandom::fill(bytes.as_mut())?;
    Ok(Secret::new(STANDARD.encode(bytes.as_slice())))
}

fn check_file_name(name: &str) -> Result<&str, CreateError> {
    let mut components = Path::new(name).components();
    match (components.next(), components.next()) {
        (Some(Component::Normal(only)), None) if only.to_str() == Some(name) => Ok(name),
        (_, _) => Err(CreateError::FileName {
            found: name.to_owned(),
        }),
    }
}

/// Writes the whole file or nothing, durably. A temporary file is made readable by its owner only.
fn write_file(directory: &Path, path: &Path, text: &str, force: bool) -> Result<(), CreateError> {
    let failed = |source| CreateError::Io {
        path: path.to_owned(),
        source,
    };
    std::fs::create_dir_all(directory).map_err(|source| CreateError::Io {
        path: directory.to_owned(),
        source,
    })?;
    let mut file = tempfile::NamedTempFile::new_in(directory).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    if force {
        file.persist(path).map_err(|error| failed(error.error))?;
    } else {
        file.persist_noclobber(path).map_err(|error| {
            if error.error.kind() == std::io::ErrorKind::AlreadyExists {
                return CreateError::Exists {
                    path: path.to_owned(),
                };
            }
            failed(error.error)
        })?;
    }
    // Without this the name of the file may be lost with the power.
    std::fs::File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(failed)
}

impl fmt::Display for PasswordRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "at least 12 characters",
            Self::Upper => "an upper-case letter",
            Self::Lower => "a lower-case letter",
            Self::Digit => "a digit from 0 to 9",
            Self::Special => "a character that is neither letter nor digit",
        })
    }
}

impl fmt::Display for PasswordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rules: Vec<_> = self.broken.iter().map(ToString::to_string).collect();
        write!(f, "password must have {}", rules.join(", "))
    }
}

impl std::error::Error for PasswordError {}
