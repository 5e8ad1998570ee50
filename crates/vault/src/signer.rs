//! The seam behind which keys live.

use async_trait::async_trait;
use baton_model::{Address, B256, Blame, Classified, Retry, U256};

/// A secp256k1 signature with `s` in the lower half of the group order (EIP-2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature {
    /// x coordinate of the nonce point, modulo the group order.
    pub r: U256,
    /// Low `s`.
    pub s: U256,
    /// Parity of the nonce point's y coordinate.
    pub y_parity: bool,
}

/// Why a signature was not given. No variant carries key material.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignerError {
    /// The key service cannot answer now.
    #[error("signer unavailable: {reason}")]
    Unavailable {
        /// What went wrong.
        reason: String,
    },
    /// The key service will not sign with this key.
    #[error("signer refused: {reason}")]
    Refused {
        /// What went wrong.
        reason: String,
    },
}

impl Classified for SignerError {
    fn blame(&self) -> Blame {
        match self {
            Self::Unavailable { .. } => Blame::Upstream,
            Self::Refused { .. } => Blame::Operator,
        }
    }

    fn retry(&self) -> Retry {
        // Signing twice has no effect on a chain: only broadcasting does.
        Retry::Safe
    }
}

/// One account's key, wherever it is kept.
#[async_trait]
pub trait Signer: Send + Sync {
    /// The account.
    fn address(&self) -> Address;

    /// Signs a 32-byte hash.
    async fn sign_hash(&self, hash: B256) -> Result<Signature, SignerError>;
}
