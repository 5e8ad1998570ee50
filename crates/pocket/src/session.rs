//! Sessions: which blocks they span, what identifies them, who serves in them.
//!
//! As the chain's `x/shared` and `x/session` modules have it; heights and lengths are in blocks.

use sha3::{Digest as _, Sha3_256};

use crate::message::pocket::shared::Params;

/// Most blocks of a period that a parameter may name: more than a chain makes in a thousand years. With it, no sum of
/// periods and heights that occur can overflow.
pub(crate) const BLOCKS_MAX: u64 = 1 << 36;

/// How a chain divides its blocks into sessions: shared parameters 1, 12 and 13.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    blocks: i64,
    anchor_height: i64,
    anchor_number: i64,
}

/// One session: its first block, its last, and its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// Height of the first block.
    pub start: i64,
    /// Height of the last block, which belongs to it.
    pub end: i64,
    /// Number of the session.
    pub number: i64,
}

/// A parameter that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{parameter}: {found}, it must be from {min} to {BLOCKS_MAX}")]
pub struct ParameterError {
    /// The parameter.
    pub parameter: &'static str,
    /// Its value.
    pub found: u64,
    /// The least possible value.
    pub min: u64,
}

impl Grid {
    /// The grid that these parameters make. An anchor of 0 means that the number of blocks was never changed.
    ///
    /// # Errors
    /// When a number is out of range.
    pub fn new(params: &Params) -> Result<Self, ParameterError> {
        let anchor_height = params.session_grid_anchor_height;
        let anchor_number = params.session_number_at_anchor;
        Ok(Self {
            blocks: blocks("num_blocks_per_session", params.num_blocks_per_session, 1)?,
            anchor_height: blocks("session_grid_anchor_height", anchor_height, 0)?,
            anchor_number: blocks("session_number_at_anchor", anchor_number, 0)?,
        })
    }

    /// The session that a block belongs to. Before the first block it is all zeros.
    ///
    /// With n blocks in a session, counted from the anchor a, whose session has the number k: it starts at
    /// `a + (height - a) / n * n`, has n blocks and the number `k + (height - a) / n`, all rounded down. Below the
    /// anchor, and without one, a and k are 1.
    #[must_use]
    pub fn session_at(&self, height: i64) -> Session {
        if height <= 0 {
            return Session {
                start: 0,
                end: 0,
                number: 0,
            };
        }
        let (anchor, first) = match self.anchor_height {
            anchor if anchor <= 0 || anchor > height => (1, 1),
            anchor => (anchor, self.anchor_number.max(1)),
        };
        let passed = (height - anchor) / self.blocks;
        let start = anchor + passed * self.blocks;
        Session {
            start,
            end: start.saturating_add(self.blocks - 1),
            number: first.saturating_add(passed),
        }
    }

    /// Blocks in a session.
    #[must_use]
    pub const fn blocks(&self) -> i64 {
        self.blocks
    }
}

/// What the id of a session is computed from.
#[derive(Clone, Copy, Debug)]
pub struct SessionKey<'a> {
    /// Hash of the session's first block: the chain's block id of exactly that height.
    pub block_hash: &'a [u8; 32],
    /// The service.
    pub service_id: &'a str,
    /// The application's address.
    pub application_address: &'a str,
    /// Height of the session's first block. Without one (0) the hash is left out.
    pub start: i64,
}

impl SessionKey<'_> {
    /// The session's id: 64 lower-case hexadecimal digits. SHA3-256 of block hash, service id, application address and
    /// start in 8 bytes, the lowest first, with a full stop between any two.
    #[must_use]
    pub fn id(&self) -> String {
        let hash = self.hasher().finalize();
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whom the chain chooses among the suppliers that are active for the service at the session's start, in the
    /// chain's order. All of them, as they come, when there are no more than `count`. Otherwise those with the lowest
    /// signed numbers in the first 8 bytes of SHA3-256 of what the id is a hash of, a full stop and the supplier's
    /// address.
    #[must_use]
    pub fn suppliers<'s>(&self, candidates: &[&'s str], count: usize) -> Vec<&'s str> {
        let mut chosen = candidates.to_vec();
        if chosen.len() > count {
            chosen.sort_by_cached_key(|operator| (self.rank(operator), *operator));
            chosen.truncate(count);
        }
        chosen
    }

    fn rank(&self, operator: &str) -> i64 {
        let hash = self
            .hasher()
            .chain_update(".")
            .chain_update(operator)
            .finalize();
        let mut first = [0; 8];
        first.copy_from_slice(&hash[..8]);
        i64::from_be_bytes(first)
    }

    fn hasher(&self) -> Sha3_256 {
        let block_hash = match self.start {
            0 => &[][..],
            _ => self.block_hash,
        };
        Sha3_256::new()
            .chain_update(block_hash)
            .chain_update(".")
            .chain_update(self.service_id)
            .chain_update(".")
            .chain_update(self.application_address)
            .chain_update(".")
            .chain_update(self.start.to_le_bytes())
    }
}

/// Checks a parameter that counts blocks.
pub(crate) fn blocks(parameter: &'static str, found: u64, min: u64) -> Result<i64, ParameterError> {
    i64::try_from(found)
        .ok()
        .filter(|_| (min..=BLOCKS_MAX).contains(&found))
        .ok_or(ParameterError {
            parameter,
            found,
            min,
        })
}
