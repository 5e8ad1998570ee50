//! What a lane is told when it is made.

use std::time::Duration;

use baton_model::{Address, ChainProfile, EvmPolicy};

/// Most gas that a no-op needs where gas pays for execution only.
const NOOP_GAS: u64 = 21_000;
/// The same where gas also pays for data on a parent chain (Arbitrum) or for a bootloader (zkSync): unused gas is given
/// back, so this only has to be enough.
const NOOP_GAS_ROLLUP: u64 = 1_000_000;

/// Everything about a lane that does not change while it runs.
#[derive(Clone, Debug)]
pub struct LaneConfig {
    /// The accounts that send, at least one.
    pub accounts: Vec<Address>,
    /// What the operator allows.
    pub policy: EvmPolicy,
    /// The chain.
    pub profile: ChainProfile,
    /// Whether the relayer is paused: what is accepted goes on, nothing new is bound.
    pub paused: bool,
    /// The operator's word that nonces used by unknown transactions are to be skipped.
    pub adopt: bool,
    /// How long a finished request is kept.
    pub retention: Duration,
    /// When to try again.
    pub timing: Timing,
}

/// When a lane tries again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// First pause before an offer whose outcome is unknown is repeated; doubles up to `retry_max`.
    pub retry_min: Duration,
    /// Longest such pause.
    pub retry_max: Duration,
    /// How long the lowest acknowledged slot waits to be mined before its bytes are offered again.
    pub rebroadcast_after: Duration,
    /// How long it waits, out-priced, before it bids higher.
    pub bump_after: Duration,
}

impl Timing {
    /// Timing for a chain: three blocks to a rebroadcast, two more to a higher bid, within bounds that keep fast chains
    /// from being flooded and slow ones from being forgotten.
    pub fn for_chain(profile: &ChainProfile) -> Self {
        let blocks =
            |n: u64| Duration::from_millis(profile.average_block_time_ms.saturating_mul(n));
        let bounded = |d: Duration| d.clamp(Duration::from_secs(3), Duration::from_mins(2));
        Self {
            retry_min: Duration::from_millis(250),
            retry_max: Duration::from_secs(15),
            rebroadcast_after: bounded(blocks(3)),
            bump_after: bounded(blocks(5)),
        }
    }

    /// The pause after a number of tries.
    pub fn retry_after(&self, tries: u32) -> Duration {
        self.retry_min
            .saturating_mul(1 << tries.min(16))
            .min(self.retry_max)
    }
}

impl LaneConfig {
    /// Gas limit of a no-op on this chain.
    pub fn noop_gas(&self) -> u64 {
        let rollup = self.profile.tags.iter().any(|tag| tag == "arbitrum-based");
        if rollup || self.profile.nonce_window.is_some() {
            NOOP_GAS_ROLLUP
        } else {
            NOOP_GAS
        }
    }
}
