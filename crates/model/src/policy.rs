//! What an operator allows a relayer to do.

use alloy_primitives::Address;
use serde::{Deserialize, Serialize};

/// The policy of an EVM relayer. Field names and defaults are those of OpenZeppelin Relayer's configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvmPolicy {
    /// Most that is ever bid per gas, in wei. Bids are clamped to it; work that needs more is held.
    pub gas_price_cap: Option<u128>,
    /// Targets that may be called; `None` allows all.
    pub whitelist_receivers: Option<Vec<Address>>,
    /// Whether to use EIP-1559 fees where the network has them; `None` means yes.
    pub eip1559_pricing: Option<bool>,
    /// Kept and echoed for compatibility; there is no private mempool.
    pub private_transactions: Option<bool>,
    /// Balance in wei below which an account takes no new work.
    pub min_balance: u128,
    /// Whether a missing gas limit is estimated; when false a request must carry one.
    pub gas_limit_estimation: bool,
    /// Whether the reason of a revert is fetched and added to the status reason.
    pub include_revert_data: bool,
}

impl Default for EvmPolicy {
    fn default() -> Self {
        Self {
            gas_price_cap: None,
            whitelist_receivers: None,
            eip1559_pricing: None,
            private_transactions: None,
            min_balance: 1,
            gas_limit_estimation: true,
            include_revert_data: false,
        }
    }
}
