//! What a lane hears and what it wants done.

use std::fmt;

use baton_model::{Address, B256, Bytes, Call, RequestId, TxSpec, TxStatus, U256, UnsignedTx};

use crate::MarketView;
use crate::record::{ReceiptRecord, RequestRecord};
use crate::triage::Verdict;

/// Everything that can happen to a lane.
#[derive(Clone, Debug)]
pub enum Input {
    /// An entry of the inbox, in order of position.
    Inbox {
        /// Its position.
        position: u64,
        /// What it says.
        command: Command,
    },
    /// The state of accounts, answering [`Output::Survey`].
    Surveyed(Survey),
    /// Receipts of all attempts of a slot, answering [`Output::Lookup`]; `None` when none is mined.
    Found {
        /// Account of the slot.
        account: Address,
        /// Nonce of the slot.
        nonce: u64,
        /// The receipt of the mined attempt.
        receipt: Option<ReceiptRecord>,
    },
    /// What stands at a nonce that this lane did not give out, answering [`Output::Observe`]; `None` when the node
    /// could not tell.
    Observed {
        /// The account.
        account: Address,
        /// The nonce.
        nonce: u64,
        /// The transaction.
        transaction: Option<Observation>,
    },
    /// Gas of a call, answering [`Output::Estimate`].
    Estimated {
        /// The request.
        id: RequestId,
        /// The answer.
        estimate: GasEstimate,
    },
    /// A signature, answering [`Output::Sign`].
    Signed {
        /// The ticket of the question.
        ticket: Ticket,
        /// The signed transaction; `None` when the signer failed.
        signed: Option<Signed>,
    },
    /// The stage with this number is durable.
    Committed {
        /// Number of the stage.
        stage: u64,
    },
    /// What nodes said to an offer.
    Answered {
        /// Account of the slot.
        account: Address,
        /// Nonce of the slot.
        nonce: u64,
        /// The attempt that was offered.
        hash: B256,
        /// One answer for each node that was asked.
        answers: Vec<Answer>,
    },
    /// Receipts of this lane's attempts in the block that the next [`Input::Block`] is about, which brings the others:
    /// where there are thousands, their records do not fit into one commit.
    Mined(Vec<ReceiptRecord>),
    /// A block on top of the last one. Blocks and rollbacks before the first survey are passed over.
    Block(BlockInput),
    /// The blocks above this number are no longer part of the chain.
    Rollback {
        /// The last block that still is.
        to: u64,
    },
    /// The fee market at the head.
    Market(MarketView),
    /// Nothing but time passed.
    Tick,
}

/// A command of the inbox.
#[derive(Clone, Debug)]
pub enum Command {
    /// A request was accepted.
    Accept(Box<RequestRecord>),
    /// Cancel a request.
    Cancel {
        /// The request.
        id: RequestId,
        /// Id of the command.
        command: RequestId,
    },
    /// Replace a request's payload or bid.
    Replace {
        /// The request.
        id: RequestId,
        /// Id of the command.
        command: RequestId,
        /// What is asked for instead.
        spec: Box<TxSpec>,
    },
}

/// The state of the chain when a lane starts.
#[derive(Clone, Debug)]
pub struct Survey {
    /// Number of the block at which the accounts were read.
    pub block: u64,
    /// Block gas limit.
    pub gas_limit: u64,
    /// The accounts.
    pub accounts: Vec<SurveyedAccount>,
}

/// An account when a lane starts.
#[derive(Clone, Copy, Debug)]
pub struct SurveyedAccount {
    /// The account.
    pub address: Address,
    /// Next nonce to be mined.
    pub nonce: u64,
    /// Next nonce with the pool of a node counted in, where a node could tell.
    pub pending: Option<u64>,
    /// Wei.
    pub balance: U256,
}

/// A transaction found at a node under a nonce that this lane did not give out.
#[derive(Clone, Debug)]
pub struct Observation {
    /// What it is.
    pub tx: UnsignedTx,
    /// Its hash.
    pub hash: B256,
    /// Its bytes, where known.
    pub raw: Bytes,
}

/// Gas of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GasEstimate {
    /// Gas needed.
    Gas(u64),
    /// The call would revert.
    Reverts(String),
    /// No node could tell.
    Unknown,
}

/// A signed transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// Its bytes.
    pub raw: Bytes,
    /// Its hash.
    pub hash: B256,
    /// `r`, `s` and parity, 65 bytes.
    pub signature: Bytes,
}

/// Names a request for a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What one node said to an offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It has the transaction.
    Accepted,
    /// It refused, which means this.
    Refused {
        /// The triage of its text.
        verdict: Verdict,
        /// Its text.
        message: String,
    },
    /// It did not answer.
    Unknown,
}

/// A block as far as a lane is concerned.
#[derive(Clone, Debug)]
pub struct BlockInput {
    /// Block number.
    pub number: u64,
    /// Block gas limit.
    pub gas_limit: u64,
    /// Receipts of this lane's attempts in it, without those that came before in [`Input::Mined`].
    pub mined: Vec<ReceiptRecord>,
    /// State at the block of every account of the lane.
    pub accounts: Vec<AccountInput>,
}

/// An account at a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountInput {
    /// The account.
    pub address: Address,
    /// Next nonce to be mined.
    pub nonce: u64,
    /// Wei.
    pub balance: U256,
}

/// Everything that a lane wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Read the state of all accounts, pool included.
    Survey,
    /// Look for the receipts of a slot's attempts.
    Lookup {
        /// Account of the slot.
        account: Address,
        /// Nonce of the slot.
        nonce: u64,
        /// Hashes of its attempts.
        hashes: Vec<B256>,
    },
    /// Find out which transaction stands at a nonce.
    Observe {
        /// The account.
        account: Address,
        /// The nonce.
        nonce: u64,
    },
    /// Estimate the gas of a call.
    Estimate {
        /// The request.
        id: RequestId,
        /// Who would send it.
        from: Address,
        /// The call.
        call: Call,
    },
    /// Sign a transaction.
    Sign {
        /// Comes back with the signature.
        ticket: Ticket,
        /// Whose key.
        account: Address,
        /// What to sign.
        tx: UnsignedTx,
    },
    /// Offer signed bytes to the nodes. Outputs of one account come in order of nonce.
    Broadcast(Offer),
    /// The fee market is needed.
    FetchMarket,
    /// A request has a new status, which is durable.
    Status {
        /// The request.
        id: RequestId,
        /// Its status.
        status: TxStatus,
    },
    /// Something needs a person.
    Alarm(Alarm),
}

impl Output {
    pub(crate) const fn status(&self) -> Option<(RequestId, TxStatus)> {
        if let Self::Status { id, status } = self {
            Some((*id, *status))
        } else {
            None
        }
    }
}

/// Signed bytes to offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Account of the slot.
    pub account: Address,
    /// Nonce of the slot.
    pub nonce: u64,
    /// Hash of the attempt.
    pub hash: B256,
    /// Its bytes.
    pub raw: Bytes,
}

/// What stops an account, or is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Alarm {
    /// The chain, or a node's pool, knows a transaction under a nonce that this lane never gave out, and it matches
    /// none of its requests.
    ForeignNonce {
        /// The account.
        account: Address,
        /// The nonce.
        nonce: u64,
    },
    /// The chain has fewer transactions of the account than were final: another chain, or one that was reset.
    ChainBehind {
        /// The account.
        account: Address,
        /// The chain's nonce.
        chain: u64,
        /// The nonce below which everything was final.
        settled: u64,
    },
    /// A signer does not sign.
    SignerFailing {
        /// The account.
        account: Address,
    },
    /// The balance does not cover the next request, or is below `min_balance`.
    LowBalance {
        /// The account.
        account: Address,
    },
}

impl Alarm {
    /// The account concerned.
    pub const fn account(&self) -> Address {
        match self {
            Self::ForeignNonce { account, .. }
            | Self::ChainBehind { account, .. }
            | Self::SignerFailing { account }
            | Self::LowBalance { account } => *account,
        }
    }

    /// The name under which metrics and the playbook know it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::ForeignNonce { .. } => "foreign_nonce",
            Self::ChainBehind { .. } => "chain_behind",
            Self::SignerFailing { .. } => "signer_failing",
            Self::LowBalance { .. } => "low_balance",
        }
    }
}

impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ForeignNonce { account, nonce } => write!(
                f,
                "foreign_nonce: nonce {nonce} of {account} is used by a transaction that is not Baton's; if the key is \
                 shared on purpose, or the store was rolled back, start with --adopt to go on behind it"
            ),
            Self::ChainBehind {
                account,
                chain,
                settled,
            } => write!(
                f,
                "chain_behind: the chain has {chain} transactions of {account}, but {settled} were final; this is \
                 another chain or one that was reset: use a fresh data directory for it"
            ),
            Self::SignerFailing { account } => {
                write!(
                    f,
                    "signer_failing: the signer of {account} does not sign; the lane waits"
                )
            }
            Self::LowBalance { account } => {
                write!(
                    f,
                    "low_balance: the balance of {account} does not cover its next work"
                )
            }
        }
    }
}
