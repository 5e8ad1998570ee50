//! Relay difficulty: which relays count towards a claim, and how many relays one of them stands for.
//!
//! As the chain's `pkg/crypto/protocol` has it: of all hashes, target in 2^256 are below the target, so a relay that is
//! stands for (2^256 - 1) / target relays.

use alloy_primitives::{U256, U512};

/// What a relay's hash has to be below, as a big-endian number, for the relay to go into the session's trie. It is the
/// service's target at the session's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Target([u8; 32]);

/// Why bytes are not a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Wrong length.
    #[error("target hash: {found} bytes, it must have 32")]
    Length {
        /// How many were given.
        found: usize,
    },
    /// No relay is below it, and it has no multiplier.
    #[error("target hash: 0, it must be positive")]
    Zero,
}

impl Target {
    /// The target of difficulty 1, which services without a difficulty of their own have.
    pub const BASE: Self = Self([0xff; 32]);

    /// The target that a chain's record of difficulty holds.
    ///
    /// # Errors
    /// When it has not 32 bytes or is 0.
    pub fn new(bytes: &[u8]) -> Result<Self, TargetError> {
        let target: [u8; 32] = bytes
            .try_into()
            .map_err(|_| TargetError::Length { found: bytes.len() })?;
        if target == [0; 32] {
            return Err(TargetError::Zero);
        }
        Ok(Self(target))
    }

    /// The bytes, as the chain has them.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether a relay with this hash goes into the trie.
    #[must_use]
    pub fn admits(&self, relay_hash: &[u8; 32]) -> bool {
        *relay_hash < self.0
    }

    /// `floor(amount * multiplier * times / per)` with one rounding at the end, where the multiplier is the base target
    /// divided by this one, exactly. None when the result does not fit, or `per` is 0.
    pub(crate) fn scale(&self, amount: u64, times: u64, per: u64) -> Option<u128> {
        // 256 + 64 + 64 bits over 256 + 64 bits: nothing here can wrap.
        let above = U512::from(U256::MAX) * U512::from(amount) * U512::from(times);
        let below = U512::from(U256::from_be_bytes(self.0)) * U512::from(per);
        u128::try_from(above.checked_div(below)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(hex: &str) -> Target {
        let bytes: Vec<u8> = (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect();
        Target::new(&bytes).unwrap()
    }

    #[test]
    fn halving_the_target_doubles_the_multiplier() {
        let full = "f".repeat(62);
        for (first, multiplier) in [("ff", 1), ("7f", 2), ("3f", 4), ("0f", 16), ("00", 256)] {
            let target = target(&format!("{first}{full}"));
            assert_eq!(target.scale(1, 1, 1), Some(multiplier));
        }
        // 2^256 - 1 is 2 * (2^255 - 1) + 1: the remainder shows only after many units.
        assert_eq!(
            target(&format!("7f{full}")).scale(u64::MAX, 1, 1),
            Some((1 << 65) - 2)
        );
        let least = target(&format!("{:0>64}", 1));
        assert_eq!(least.scale(1, 1, 1), None, "2^256 - 1 does not fit");
        assert_eq!(Target::BASE.scale(5, 1, 0), None);
    }

    #[test]
    fn only_a_lower_hash_is_admitted() {
        let full = "f".repeat(60);
        let middle = target(&format!("00ff{full}"));
        for (hash, admitted) in [("000f", true), ("00ef", true), ("0eff", false)] {
            let hash = target(&format!("{hash}{full}")).0;
            assert_eq!(middle.admits(&hash), admitted);
        }
        assert!(!middle.admits(&middle.0), "strictly below");
        assert!(!Target::BASE.admits(&[0xff; 32]));
        assert!(Target::BASE.admits(&[0; 32]));
    }

    #[test]
    fn refused_targets_say_why() {
        assert_eq!(Target::new(&[0; 32]), Err(TargetError::Zero));
        assert_eq!(
            Target::new(&[1; 31]),
            Err(TargetError::Length { found: 31 })
        );
    }
}
