//! The caller's names for requests.

use alloy_primitives::hex;
use sha2::{Digest, Sha256};

/// Longest key in bytes: enough for any scheme of ids, too few to fill a table.
const KEY_BYTES_MAX: usize = 255;

/// An `Idempotency-Key`: 1 to 255 visible ASCII characters, chosen by the caller, one for each
/// transaction of a relayer. It is remembered for as long as the transaction's record is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Checks a header's value.
    ///
    /// # Errors
    /// The rule that it breaks, in words fit for the caller.
    pub fn new(value: &[u8]) -> Result<Self, String> {
        if !(1..=KEY_BYTES_MAX).contains(&value.len()) {
            return Err(format!(
                "Idempotency-Key must have 1 to {KEY_BYTES_MAX} characters; found {}",
                value.len()
            ));
        }
        if let Some(found) = value.iter().find(|byte| !byte.is_ascii_graphic()) {
            return Err(format!(
                "Idempotency-Key must be visible ASCII characters; found the byte 0x{found:02x}"
            ));
        }
        Ok(Self(String::from_utf8_lossy(value).into_owned()))
    }

    /// SHA-256 of the key in hex: what is stored, so that keys of any content make good names.
    pub fn digest(&self) -> String {
        hex::encode(Sha256::digest(self.0.as_bytes()))
    }
}
