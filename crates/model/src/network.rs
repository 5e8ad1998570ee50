//! What differs from chain to chain, as data.

use serde::{Deserialize, Serialize};

/// How a chain's nodes hold transactions that are not mined yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mempool {
    /// A pool that keeps transactions, also with gaps, and takes replacements that bid more.
    Public,
    /// A sequencer without a pool: order matters, gaps are tolerated for about a second, bids do not replace.
    None,
}

/// The facts about one EVM chain that decide how its transactions are run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainProfile {
    /// Network name, as configurations refer to it (`mainnet`, `arbitrum-one`).
    pub name: String,
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Blocks on top of a transaction's own after which it is final here: `head >= block + confirmations`.
    pub required_confirmations: u64,
    /// Average time between blocks, in milliseconds; never zero.
    pub average_block_time_ms: u64,
    /// Whether blocks have a base fee (EIP-1559).
    pub eip1559: bool,
    /// Symbol of the native coin.
    pub symbol: String,
    /// Whether the coin has no value.
    pub is_testnet: bool,
    /// Free labels; those with a meaning are turned into the fields below when a profile is read.
    pub tags: Vec<String>,
    /// How nodes hold transactions that are not mined yet.
    pub mempool: Mempool,
    /// Most unfinished slots of one account. 16 is what geth guarantees to an account on a full pool.
    pub in_flight_max: u32,
    /// Most nonces ahead of the mined one that a node accepts, where it has such a rule (zkSync: 50).
    pub nonce_window: Option<u32>,
    /// Whether a data fee of a parent chain comes on top of gas (OP stack).
    pub l1_data_fee: bool,
}
