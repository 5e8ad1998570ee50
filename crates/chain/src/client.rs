//! The seam between the engine and a chain. One client stands for one network, whatever number of
//! nodes serves it.

use async_trait::async_trait;
use baton_model::{Address, B256, Blame, Bytes, Call, Classified, Retry, U256};
use serde_json::value::RawValue;
use tokio::sync::watch;

/// Why a question to a node was not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RpcError {
    /// No usable answer came: time-out, connection failure, HTTP error or an unreadable body.
    /// Whether the node acted on the request is unknown. The text names the endpoint by its host
    /// only.
    #[error("no answer from the node: {reason}")]
    NoAnswer {
        /// What went wrong.
        reason: String,
    },
    /// The node answered with a JSON-RPC error.
    #[error("the node answered with error {code}: {message}")]
    Answered {
        /// JSON-RPC error code.
        code: i64,
        /// The node's text, untouched: triage reads it.
        message: String,
        /// The error's `data` as JSON text, such as revert data.
        data: Option<String>,
    },
}

impl Classified for RpcError {
    fn blame(&self) -> Blame {
        Blame::Upstream
    }

    fn retry(&self) -> Retry {
        match self {
            Self::NoAnswer { .. } => Retry::Unknown,
            Self::Answered { .. } => Retry::Never,
        }
    }
}

/// What one node said to one offered transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeAnswer {
    /// The node has it, with this hash.
    Accepted(B256),
    /// The node answered with an error; its meaning is a matter of triage.
    Rejected {
        /// JSON-RPC error code.
        code: i64,
        /// The node's text, untouched.
        message: String,
    },
    /// No usable answer: the node may have it.
    Unknown {
        /// What went wrong.
        reason: String,
    },
}

/// A block's place and identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadRef {
    /// Block number.
    pub number: u64,
    /// Block hash, where the source of the head told it.
    pub hash: Option<B256>,
}

/// An account's state at a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountView {
    /// The account.
    pub address: Address,
    /// Number of its transactions mined up to and including the block: the next nonce to be mined.
    pub nonce: u64,
    /// Wei.
    pub balance: U256,
}

/// A block as the engine needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockView {
    /// Block number.
    pub number: u64,
    /// Block hash.
    pub hash: B256,
    /// Hash of the block before.
    pub parent: B256,
    /// Seconds since the Unix epoch.
    pub timestamp: u64,
    /// Wei per gas; `None` before EIP-1559.
    pub base_fee: Option<u128>,
    /// Gas limit of the block.
    pub gas_limit: u64,
    /// Hashes of its transactions, in order.
    pub transactions: Vec<B256>,
    /// State, at this very block, of the accounts that were asked for, in the order asked.
    pub accounts: Vec<AccountView>,
}

/// The outcome of a mined transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Transaction hash.
    pub hash: B256,
    /// Block that holds it.
    pub block_hash: B256,
    /// Number of that block.
    pub block_number: u64,
    /// Whether it executed without reverting.
    pub success: bool,
    /// Gas used.
    pub gas_used: u64,
    /// Wei paid per gas.
    pub effective_gas_price: u128,
    /// Data fee of a parent chain in wei, where there is one (`l1Fee`).
    pub l1_fee: Option<U256>,
    /// Address of a created contract.
    pub contract: Option<Address>,
}

/// The fee market at a head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Market {
    /// Base fee of the next block in wei per gas; `None` before EIP-1559.
    pub base_fee: Option<u128>,
    /// Tips in wei per gas at the percentiles asked for, in their order: the mean over the last
    /// blocks of the rewards that are not zero, or zero. Empty before EIP-1559.
    pub tips: Vec<u128>,
    /// `eth_gasPrice` in wei per gas.
    pub gas_price: u128,
}

/// What a node makes of a call that is not sent yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Estimate {
    /// Gas that it needs.
    Gas(u64),
    /// It would revert now; the text carries the node's reason.
    Reverts {
        /// The node's text and, if any, revert data.
        reason: String,
    },
    /// The node could not tell.
    Unknown(RpcError),
}

/// A transaction found at a node by sender and nonce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedTx {
    /// Sender.
    pub from: Address,
    /// Nonce.
    pub nonce: u64,
    /// Hash.
    pub hash: B256,
    /// What it executes.
    pub call: Call,
    /// Gas limit.
    pub gas_limit: u64,
    /// Most wei per gas.
    pub max_fee: u128,
    /// Wei per gas for the proposer; `None` for a legacy transaction.
    pub max_priority_fee: Option<u128>,
    /// Signed bytes, where the node gave them or they could be rebuilt.
    pub raw: Option<Bytes>,
    /// Block that holds it; `None` while it is in the pool.
    pub block_number: Option<u64>,
}

/// A JSON-RPC call that somebody else wrote, to be handed on as it is.
#[derive(Clone, Debug)]
pub struct PassedCall {
    /// Method; also a label of metrics, so it comes from a list of known ones.
    pub method: &'static str,
    /// Parameters as they were written.
    pub params: Box<RawValue>,
}

/// What a node answered to a [`PassedCall`]: the result as it came, or the node's error.
pub type PassedAnswer = Result<Box<RawValue>, RpcError>;

/// One network.
#[async_trait]
pub trait ChainClient: Send + Sync {
    /// The latest head known, updated as heads come; `None` before the first. Reorganisations may
    /// take it back.
    fn heads(&self) -> watch::Receiver<Option<HeadRef>>;

    /// A block, with the state of `accounts` at it, read from one node in one round trip. `number`
    /// `None` means the latest. `Ok(None)` when the node does not have the block.
    async fn block(
        &self,
        number: Option<u64>,
        accounts: &[Address],
    ) -> Result<Option<BlockView>, RpcError>;

    /// Offers signed transactions to every usable node, in the order given. Returns, for each
    /// transaction, what nodes said, as soon as each was accepted by one node or all nodes have
    /// spoken; slower nodes are still served.
    async fn broadcast(&self, transactions: &[Bytes]) -> Vec<Vec<NodeAnswer>>;

    /// Receipts of transactions of one block that this client returned from [`ChainClient::block`].
    /// A hash that the node does not place in that block has none.
    async fn block_receipts(
        &self,
        block: &BlockView,
        hashes: &[B256],
    ) -> Result<Vec<Receipt>, RpcError>;

    /// Receipts by hash, wherever mined, in the order asked.
    async fn receipts(&self, hashes: &[B256]) -> Result<Vec<Option<Receipt>>, RpcError>;

    /// The fee market at the latest head, with tips at `percentiles` (0 to 100, rising) over the
    /// last four blocks.
    async fn market(&self, percentiles: &[u8]) -> Result<Market, RpcError>;

    /// Estimates the gas of calls, each on its own on top of the latest state.
    async fn estimate(&self, calls: &[(Address, Call)]) -> Vec<Estimate>;

    /// State of accounts at the latest block.
    async fn accounts(&self, addresses: &[Address]) -> Result<Vec<AccountView>, RpcError>;

    /// Next nonces of accounts when the node's pool is counted in (`pending`).
    async fn pending_nonces(&self, addresses: &[Address]) -> Result<Vec<u64>, RpcError>;

    /// The transaction with which an account used, or is about to use, a nonce, as far as the node
    /// can tell.
    async fn transaction_at(
        &self,
        account: Address,
        nonce: u64,
    ) -> Result<Option<ObservedTx>, RpcError>;

    /// Hands reads of callers on to one node and gives its answers in the order of the calls. How
    /// they end says nothing of a node's health, and they wait for no read of the lanes, nor the
    /// other way round. A client that serves no callers need not have it.
    async fn pass(&self, calls: &[PassedCall]) -> Result<Vec<PassedAnswer>, RpcError> {
        Err(RpcError::NoAnswer {
            reason: format!(
                "{} calls came to a client that serves no callers",
                calls.len()
            ),
        })
    }

    /// Whether any node of the network was reached lately.
    fn healthy(&self) -> bool;
}
