//! Whether a claim has to be proven, which path has to be proven, and what becomes of the claim: as the chain's
//! `x/proof` and `x/tokenomics` modules have it.

use prost::Message as _;
use sha2::{Digest as _, Sha256};

use crate::coin::{CoinError, upokt};
use crate::gorand::GoRand;
use crate::message::pocket::proof::{Claim, ClaimProofStatus, Params};
use crate::smst::Path;

/// Whether a claim has to be proven, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// It settles without a proof, and a proof is refused (error 1129).
    NotRequired,
    /// It was drawn.
    Probabilistic,
    /// It is worth too much to go without.
    Threshold,
}

/// What the chain's parameters of proofs say about requiring one. They are read live.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// `proof_request_probability`, from 0 to 1.
    pub probability: f64,
    /// `proof_requirement_threshold`, in upokt.
    pub threshold: u128,
}

/// Why the chain's parameters make no policy.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PolicyError {
    /// No probability.
    #[error("proof_request_probability: must be from 0 to 1, not {0}")]
    Probability(f64),
    /// No amount.
    #[error(transparent)]
    Threshold(#[from] CoinError),
}

/// What a settlement does with a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// It is paid.
    Settled,
    /// It expires for want of a proof; the supplier is slashed.
    ProofMissing,
    /// It expires because its proof was wrong; the supplier is slashed.
    ProofInvalid,
}

impl Policy {
    /// The policy that these parameters hold.
    ///
    /// # Errors
    /// When the probability is not from 0 to 1, or the threshold is no amount of upokt.
    pub fn new(params: &Params) -> Result<Self, PolicyError> {
        let probability = params.proof_request_probability;
        if !(0.0..=1.0).contains(&probability) {
            return Err(PolicyError::Probability(probability));
        }
        let threshold = params.proof_requirement_threshold.as_ref();
        Ok(Self {
            probability,
            threshold: upokt("proof_requirement_threshold", threshold)?,
        })
    }

    /// Whether a claim has to be proven: if it is worth at least the threshold, or if the number that Go's `math/rand`
    /// draws from SHA-256 of the claim and the seed block's hash is at most the probability. `claimed_upokt` is
    /// [`ClaimValue::upokt`](crate::price::ClaimValue::upokt), and `seed_block_hash` the hash of the block at
    /// [`seed_height`](crate::window::seed_height). The claim is taken as pending, whatever status it carries.
    #[must_use]
    pub fn requirement(
        &self,
        claim: &Claim,
        claimed_upokt: u128,
        seed_block_hash: &[u8; 32],
    ) -> Requirement {
        if claimed_upokt >= self.threshold {
            return Requirement::Threshold;
        }
        if sample(claim, seed_block_hash) <= self.probability {
            return Requirement::Probabilistic;
        }
        Requirement::NotRequired
    }
}

/// The path that a session's proof has to come closest to: SHA-256 of the block hash and the id's digits.
/// `seed_block_hash` is the hash of the block at [`seed_height`](crate::window::seed_height).
#[must_use]
pub fn proof_path(seed_block_hash: &[u8; 32], session_id: &str) -> Path {
    Sha256::new()
        .chain_update(seed_block_hash)
        .chain_update(session_id)
        .finalize()
        .into()
}

/// What becomes of a claim when its session is settled.
#[must_use]
pub const fn settlement(requirement: Requirement, status: ClaimProofStatus) -> Settlement {
    match (requirement, status) {
        (Requirement::NotRequired, _) | (_, ClaimProofStatus::Validated) => Settlement::Settled,
        (
            Requirement::Probabilistic | Requirement::Threshold,
            ClaimProofStatus::PendingValidation,
        ) => Settlement::ProofMissing,
        (Requirement::Probabilistic | Requirement::Threshold, ClaimProofStatus::Invalid) => {
            Settlement::ProofInvalid
        }
    }
}

/// The number from 0 to 1 that is drawn for a claim.
fn sample(claim: &Claim, seed_block_hash: &[u8; 32]) -> f64 {
    let pending = Claim {
        proof_validation_status: ClaimProofStatus::PendingValidation.into(),
        ..claim.clone()
    };
    let claim_hash = Sha256::digest(pending.encode_to_vec());
    GoRand::from_parts(&[&claim_hash, seed_block_hash]).float64()
}
