//! Values that must not be seen.

use std::fmt;

use serde::{Deserialize, Deserializer};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Fewest characters of an API key or a webhook signing key: OpenZeppelin Relayer's rule, kept for
/// its settings. Guessing 32 random characters is out of reach whatever the rate.
pub const API_KEY_CHARS_MIN: usize = 32;

/// A text that must not be seen: zeroised on drop, shown as `[redacted]`, never serialised.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

/// Bytes that must not be seen: zeroised on drop, shown as `[redacted]`, never serialised.
#[derive(Clone)]
pub struct SecretBytes(Zeroizing<Vec<u8>>);

/// A secret has fewer characters than its use asks for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} has {found} characters, at least {min} are needed")]
pub struct TooShort {
    /// Which setting.
    pub what: String,
    /// Characters given.
    pub found: usize,
    /// Characters needed.
    pub min: usize,
}

impl Secret {
    /// Wraps a text. The caller's own copies are the caller's to erase.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself. Whoever calls this answers for where it goes.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is no text at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks that the text has at least `min` characters; `what` names the setting in the error.
    pub fn require_chars(&self, what: &str, min: usize) -> Result<(), TooShort> {
        let found = self.0.chars().count();
        if found >= min {
            return Ok(());
        }
        Err(TooShort {
            what: what.to_owned(),
            found,
            min,
        })
    }
}

impl SecretBytes {
    /// Wraps bytes. The caller's own copies are the caller's to erase.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }

    /// The bytes themselves. Whoever calls this answers for where they go.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

/// Takes the same time wherever the texts differ; only a difference in length is told at once.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Secret {}

/// Takes the same time wherever the bytes differ; only a difference in length is told at once.
impl PartialEq for SecretBytes {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_slice().ct_eq(other.0.as_slice()).into()
    }
}

impl Eq for SecretBytes {}

const REDACTED: &str = "[redacted]";

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let text = Secret::new("hunter2");
        let bytes = SecretBytes::new(*b"hunter2");
        for shown in [
            format!("{text}"),
            format!("{text:?}"),
            format!("{text:#?}"),
            format!("{bytes:?}"),
            format!("{:?}", Some((&text, &bytes))),
        ] {
            assert!(!shown.contains("hunter2"), "{shown}");
            assert!(shown.contains("[redacted]"), "{shown}");
        }
    }

    #[test]
    fn equality_is_that_of_the_content() {
        assert_eq!(Secret::new("a"), Secret::new("a"));
        assert_ne!(Secret::new("a"), Secret::new("b"));
        assert_ne!(Secret::new("a"), Secret::new("aa"));
        assert_eq!(SecretBytes::new([1, 2]), SecretBytes::new([1, 2]));
        assert_ne!(SecretBytes::new([1, 2]), SecretBytes::new([2, 1]));
    }

    #[test]
    fn length_is_counted_in_characters() {
        let thirty_one = Secret::new("é".repeat(31));
        let refused = thirty_one.require_chars("API_KEY", API_KEY_CHARS_MIN);
        assert_eq!(
            refused.unwrap_err().to_string(),
            "API_KEY has 31 characters, at least 32 are needed"
        );
        let thirty_two = Secret::new("x".repeat(32));
        assert!(
            thirty_two
                .require_chars("API_KEY", API_KEY_CHARS_MIN)
                .is_ok()
        );
    }

    #[test]
    fn a_setting_can_be_read_into_a_secret() {
        let secret: Secret = serde_json::from_str("\"hunter2\"").unwrap();
        assert_eq!(secret.expose(), "hunter2");
    }
}
