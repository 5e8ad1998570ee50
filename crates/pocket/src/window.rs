//! The windows of a session: when its relays count, when it is claimed, proven and settled.
//!
//! As the chain's `x/shared` module has it; all heights are of blocks that hold a transaction, so what is sent when the
//! newest block has height h can be in block h + 1 at the earliest.

use crate::gorand::GoRand;
use crate::message::pocket::shared::Params;
use crate::session::{Grid, ParameterError, blocks};

/// Lengths of the windows: shared parameters 2 to 6, in force at the session's end. Reading the live ones instead moves
/// the windows of sessions that are already over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offsets {
    grace: i64,
    claim_open: i64,
    claim_close: i64,
    proof_open: i64,
    proof_close: i64,
}

/// The heights that matter after a session's end. Both ends of a window belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Last block at which late relays of the session are taken: the session's end and the grace offset.
    pub grace_end: i64,
    /// First block that may hold a claim: the session's end, the offset and 1.
    pub claim_open: i64,
    /// Last block that may hold a claim: the first and the offset of the close.
    pub claim_close: i64,
    /// First block that may hold a proof: the last for claims and the offset, which may be 0.
    pub proof_open: i64,
    /// Last block that may hold a proof: the first and the offset of the close.
    pub proof_close: i64,
    /// The block that settles the claims: the session's end, the four offsets of the windows, and 1.
    pub settlement: i64,
}

impl Offsets {
    /// The offsets that these parameters hold.
    ///
    /// # Errors
    /// When one is out of range.
    pub fn new(params: &Params) -> Result<Self, ParameterError> {
        let offset = |name, value| blocks(name, value, 0);
        Ok(Self {
            grace: offset(
                "grace_period_end_offset_blocks",
                params.grace_period_end_offset_blocks,
            )?,
            claim_open: offset(
                "claim_window_open_offset_blocks",
                params.claim_window_open_offset_blocks,
            )?,
            claim_close: offset(
                "claim_window_close_offset_blocks",
                params.claim_window_close_offset_blocks,
            )?,
            proof_open: offset(
                "proof_window_open_offset_blocks",
                params.proof_window_open_offset_blocks,
            )?,
            proof_close: offset(
                "proof_window_close_offset_blocks",
                params.proof_window_close_offset_blocks,
            )?,
        })
    }

    /// The windows of a session that ends at this height.
    #[must_use]
    pub const fn windows(&self, session_end: i64) -> Windows {
        let claim_open = session_end.saturating_add(self.claim_open + 1);
        let claim_close = claim_open.saturating_add(self.claim_close);
        let proof_open = claim_close.saturating_add(self.proof_open);
        let proof_close = proof_open.saturating_add(self.proof_close);
        Windows {
            grace_end: session_end.saturating_add(self.grace),
            claim_open,
            claim_close,
            proof_open,
            proof_close,
            settlement: session_end.saturating_add(self.settlement_offset() + 1),
        }
    }

    /// How many sessions of an application can be unsettled at once, the present one not counted: the sum of the four
    /// offsets over the blocks of a session, rounded up.
    #[must_use]
    pub const fn pending_sessions(&self, grid: &Grid) -> i64 {
        let offset = self.settlement_offset();
        offset / grid.blocks() + (offset % grid.blocks() != 0) as i64
    }

    /// From the session's end to the block before its settlement.
    const fn settlement_offset(&self) -> i64 {
        self.claim_open + self.claim_close + self.proof_open + self.proof_close
    }
}

impl Windows {
    /// Whether late relays are no longer taken at this height.
    #[must_use]
    pub const fn grace_elapsed(&self, height: i64) -> bool {
        height > self.grace_end
    }

    /// Whether the block at this height may hold a claim.
    #[must_use]
    pub const fn takes_claim(&self, height: i64) -> bool {
        self.claim_open <= height && height <= self.claim_close
    }

    /// Whether the block at this height may hold a proof.
    #[must_use]
    pub const fn takes_proof(&self, height: i64) -> bool {
        self.proof_open <= height && height <= self.proof_close
    }

    /// First block that may hold a supplier's claim.
    #[must_use]
    pub fn earliest_claim(&self, spread: &Spread<'_>) -> i64 {
        spread.within(self.claim_open, self.claim_close)
    }

    /// First block that may hold a supplier's proof.
    #[must_use]
    pub fn earliest_proof(&self, spread: &Spread<'_>) -> i64 {
        spread.within(self.proof_open, self.proof_close)
    }
}

/// The height of the block whose hash decides which leaf has to be proven, and whether one has to be. It is the block
/// before the first that may hold the proof.
#[must_use]
pub const fn seed_height(earliest_proof: i64) -> i64 {
    earliest_proof.saturating_sub(1)
}

/// Whether the chain spreads its suppliers over a window.
#[derive(Clone, Copy, Debug)]
pub enum Spread<'a> {
    /// All may begin when the window opens, as the chain has it at present.
    None,
    /// Each begins at a height that the hash of the window's first block gives it. The chain has this switched off.
    BySupplier {
        /// Hash of the window's first block.
        open_block_hash: &'a [u8; 32],
        /// The supplier's operator address.
        supplier: &'a str,
    },
}

impl Spread<'_> {
    fn within(&self, open: i64, close: i64) -> i64 {
        match self {
            Self::None => open,
            Self::BySupplier {
                open_block_hash,
                supplier,
            } => {
                let drawn = GoRand::from_parts(&[*open_block_hash, supplier.as_bytes()]).int63();
                let length = close.saturating_sub(open);
                open.saturating_add(drawn.checked_rem(length).unwrap_or(0))
            }
        }
    }
}
