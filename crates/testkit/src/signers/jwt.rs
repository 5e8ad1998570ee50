//! JSON Web Tokens as a service reads them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{UnparsedPublicKey, VerificationAlgorithm};
use serde_json::Value;

/// How far the times of a token may be off, in seconds.
const SKEW_MAX: u64 = 60;

/// A token whose signature was checked.
pub(super) struct Token {
    pub(super) header: Value,
    pub(super) claims: Value,
}

impl Token {
    /// Reads a token and checks its signature.
    pub(super) fn verify(
        text: &str,
        algorithm: &'static dyn VerificationAlgorithm,
        key: &[u8],
    ) -> Option<Self> {
        let (signed, signature) = text.rsplit_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        UnparsedPublicKey::new(algorithm, key)
            .verify(signed.as_bytes(), &signature)
            .ok()?;
        let (header, claims) = signed.split_once('.')?;
        let part = |text: &str| -> Option<Value> {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
        };
        Some(Self {
            header: part(header)?,
            claims: part(claims)?,
        })
    }

    /// Whether the token is good at a time, and for no longer than it may be.
    pub(super) fn is_timely(&self, start: &str, now: u64, seconds_max: u64) -> bool {
        let (Some(begin), Some(end)) = (self.claims[start].as_u64(), self.claims["exp"].as_u64())
        else {
            return false;
        };
        begin <= now + SKEW_MAX && now <= end + SKEW_MAX && end.saturating_sub(begin) <= seconds_max
    }
}
