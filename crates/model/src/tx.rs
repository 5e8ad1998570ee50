//! Transactions: what a caller asks for, what is signed, and where it stands.

use alloy_primitives::{Address, Bytes, U256};
use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// What to execute.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Call {
    /// Target; `None` creates a contract.
    pub to: Option<Address>,
    /// Wei sent along.
    pub value: U256,
    /// Input of the call, or the init code.
    pub data: Bytes,
}

/// How soon a caller wants a transaction mined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Speed {
    /// Cheapest.
    SafeLow,
    /// The median.
    Average,
    /// The default of replacements and no-ops.
    Fast,
    /// Dearest.
    Fastest,
}

/// How a request wants its fees chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pricing {
    /// From the market, at a speed.
    Speed(Speed),
    /// A legacy price given by the caller.
    Legacy {
        /// Wei per gas.
        gas_price: u128,
    },
    /// EIP-1559 fees given by the caller.
    Eip1559 {
        /// Most wei per gas, base fee included.
        max_fee: u128,
        /// Wei per gas for the block's proposer, at most `max_fee`.
        max_priority_fee: u128,
    },
}

/// A request as it was accepted: checked against the relayer's policy, complete but for what the engine chooses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TxSpec {
    /// What to execute.
    pub call: Call,
    /// Gas limit given by the caller; estimated when absent.
    pub gas_limit: Option<u64>,
    /// How to choose fees.
    pub pricing: Pricing,
    /// When the request lapses if it is not mined.
    pub valid_until: Timestamp,
}

/// Fees of one attempt, in wei per gas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fees {
    /// One price (transaction type 0).
    Legacy {
        /// Wei per gas.
        gas_price: u128,
    },
    /// EIP-1559 (transaction type 2).
    Eip1559 {
        /// Most wei per gas, base fee included.
        max_fee: u128,
        /// Wei per gas for the block's proposer, at most `max_fee`.
        max_priority_fee: u128,
    },
}

impl Fees {
    /// The most that one gas can cost with these fees, in wei.
    pub const fn max_per_gas(self) -> u128 {
        match self {
            Self::Legacy { gas_price } => gas_price,
            Self::Eip1559 { max_fee, .. } => max_fee,
        }
    }

    /// The most that one gas pays to the block's proposer, in wei. A legacy price is its own tip.
    pub const fn tip_per_gas(self) -> u128 {
        match self {
            Self::Legacy { gas_price } => gas_price,
            Self::Eip1559 {
                max_priority_fee, ..
            } => max_priority_fee,
        }
    }
}

/// Everything of a transaction but its signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnsignedTx {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Nonce of the sending account.
    pub nonce: u64,
    /// Gas limit.
    pub gas_limit: u64,
    /// Fees.
    pub fees: Fees,
    /// What to execute.
    pub call: Call,
}

impl UnsignedTx {
    /// The most wei that executing this can take from the account, a parent chain's data fee not included.
    pub fn worst_cost(&self) -> U256 {
        U256::from(self.gas_limit)
            .saturating_mul(U256::from(self.fees.max_per_gas()))
            .saturating_add(self.call.value)
    }
}

/// Where a request stands, in the words of OpenZeppelin Relayer's API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TxStatus {
    /// Accepted; no nonce yet.
    Pending,
    /// Signed under a nonce and durable; no node has acknowledged it yet.
    Sent,
    /// A node acknowledged it.
    Submitted,
    /// In a block that is not final yet.
    Mined,
    /// Executed, final.
    Confirmed,
    /// Refused for good or reverted, final.
    Failed,
    /// Cancelled by the caller, final.
    Canceled,
    /// Lapsed before it was mined, final.
    Expired,
}

impl TxStatus {
    /// All statuses, in the order of a life.
    pub const ALL: [Self; 8] = [
        Self::Pending,
        Self::Sent,
        Self::Submitted,
        Self::Mined,
        Self::Confirmed,
        Self::Failed,
        Self::Canceled,
        Self::Expired,
    ];

    /// Whether the status never changes again.
    pub const fn is_final(self) -> bool {
        matches!(
            self,
            Self::Confirmed | Self::Failed | Self::Canceled | Self::Expired
        )
    }

    /// The status as the API writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sent => "sent",
            Self::Submitted => "submitted",
            Self::Mined => "mined",
            Self::Confirmed => "confirmed",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::Expired => "expired",
        }
    }
}
