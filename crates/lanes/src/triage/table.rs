use super::Client::{Anvil, Besu, Erigon, Geth, Nethermind, Nitro, Provider, Reth, ZkSync};
use super::{Client, Group, Rule, Verdict};

/// All texts, in the order in which they are tried: from the meaning that commits the lane to least
/// to the one that commits it to most. Codes that decide alone come last, since clients disagree
/// about them (-32005 is Besu's gas limit and everybody else's rate limit).
pub(super) static GROUPS: &[Group] = &[
    Group {
        verdict: Verdict::RevertsNow,
        rules: REVERTS,
    },
    Group {
        verdict: Verdict::Unknown,
        rules: NOT_OURS,
    },
    Group {
        verdict: Verdict::AlreadyKnown,
        rules: KNOWN,
    },
    Group {
        verdict: Verdict::SameNonceInProgress,
        rules: IN_PROGRESS,
    },
    Group {
        verdict: Verdict::DelegatedLimit,
        rules: DELEGATED,
    },
    Group {
        verdict: Verdict::AddressReserved,
        rules: RESERVED,
    },
    Group {
        verdict: Verdict::ReplacementUnderpriced,
        rules: REPLACEMENT,
    },
    Group {
        verdict: Verdict::NonceTooLow,
        rules: NONCE_LOW,
    },
    Group {
        verdict: Verdict::NonceTooHigh,
        rules: NONCE_HIGH,
    },
    Group {
        verdict: Verdict::InsufficientFunds,
        rules: FUNDS,
    },
    Group {
        verdict: Verdict::PoolFull,
        rules: FULL,
    },
    Group {
        verdict: Verdict::Underpriced,
        rules: PRICE,
    },
    Group {
        verdict: Verdict::Busy,
        rules: BUSY,
    },
    Group {
        verdict: Verdict::UnminableAtHead,
        rules: AT_HEAD,
    },
    Group {
        verdict: Verdict::NeverMinable,
        rules: NEVER,
    },
    Group {
        verdict: Verdict::Busy,
        rules: BUSY_CODES,
    },
];

/// Words that stand before the sender's next nonce at the node's head.
pub(super) static NEXT_NONCE_MARKS: &[&str] = &[
    "next nonce ",
    "state: ",
    "allowed nonce range: ",
    "current nonce: ",
    "current nonce (",
];

const fn says(text: &'static str, clients: &'static [Client]) -> Rule {
    Rule {
        text,
        code: None,
        clients,
    }
}

const fn says_with(code: i64, text: &'static str, clients: &'static [Client]) -> Rule {
    Rule {
        text,
        code: Some(code),
        clients,
    }
}

// zkSync Era runs every transaction before it takes it, the account's own validation and the
// paymaster's included; Nitro's sequencer refuses a transaction that reverts cheaply.
static REVERTS: &[Rule] = &[
    says(
        "execution reverted",
        &[Geth, Reth, Besu, Anvil, Nitro, ZkSync],
    ),
    says("failed to validate the transaction", &[ZkSync]),
    says("failed paymaster validation", &[ZkSync]),
    says("failed pre-paymaster preparation", &[ZkSync]),
    says("failed to include transaction in the system", &[ZkSync]),
    says("failed block.timestamp assertion", &[ZkSync]),
];

// Texts that contain a rule's words and mean something else. This one is about the nonce in an
// EIP-7702 authorization.
static NOT_OURS: &[Rule] = &[says("authority nonce too low", &[Geth])];

// "transaction already imported" and "[hash]: already imported" are one text here.
static KNOWN: &[Rule] = &[
    says("already known", &[Geth, Erigon, Reth, Nethermind]),
    says("known transaction", &[Geth, Besu, ZkSync]),
    says("already imported", &[Reth, Anvil]),
    says("existing txn with same hash", &[Erigon]),
    says("existing tx with same hash", &[Erigon]),
    says("alreadyknown", &[Nethermind]),
    says("was added to the mempool", &[Reth]),
];

static IN_PROGRESS: &[Rule] = &[says(
    "insertion of another transaction with the same nonce is in progress",
    &[ZkSync],
)];

// A gap from a delegated account is listed here and not as a missing predecessor: the cap of 1
// makes gaps impossible, and both end with the lowest nonce being offered first.
static DELEGATED: &[Rule] = &[
    says(
        "in-flight transaction limit reached for delegated accounts",
        &[Geth, Reth],
    ),
    says("gapped-nonce tx from delegated accounts", &[Geth, Reth]),
    says("delegation nonce gap", &[Nethermind]),
    says("notcurrentnoncefordelegation", &[Nethermind]),
];

static RESERVED: &[Rule] = &[
    says("address already reserved", &[Geth, Reth]),
    says("authority already reserved", &[Geth, Erigon, Reth]),
    says("conflicts with existing transaction for", &[Reth]),
    says("can't replace blob-txn with a non-blob-txn", &[Erigon]),
    says("pending transaction type conflict", &[Nethermind]),
    says("pendingtxsofconflictingtype", &[Nethermind]),
    says(
        "delegation authority has pending transaction",
        &[Nethermind],
    ),
    says("delegatorhaspendingtx", &[Nethermind]),
];

static REPLACEMENT: &[Rule] = &[
    says(
        "replacement transaction underpriced",
        &[Geth, Erigon, Reth, Nethermind, Besu, Anvil],
    ),
    says("could not replace existing tx", &[Erigon]),
    says("replaced by transaction with higher tip", &[Erigon]),
    says(
        "insufficient gas price to replace existing transaction",
        &[Reth, Anvil],
    ),
    says("replacementnotallowed", &[Nethermind]),
];

static NONCE_LOW: &[Rule] = &[
    says(
        "nonce too low",
        &[Geth, Erigon, Reth, Nethermind, Besu, Anvil, Nitro, ZkSync],
    ),
    says("oldnonce", &[Nethermind]),
];

// "future transaction tries to replace pending" is no matter of price: a full geth pool refuses a
// transaction whose predecessor it misses rather than drop an executable one for it.
static NONCE_HIGH: &[Rule] = &[
    says(
        "nonce too high",
        &[Geth, Reth, Nethermind, Besu, Anvil, Nitro, ZkSync],
    ),
    says("future transaction tries to replace pending", &[Geth]),
    says("nonce too far in future", &[Nethermind]),
    says("noncegap", &[Nethermind]),
    says("noncetoofarinfuture", &[Nethermind]),
    says(
        "transaction nonce is too distant from current sender nonce",
        &[Besu],
    ),
    says("an invalid transaction with a lower nonce exists", &[Besu]),
    says_with(-32006, "incorrect nonce", &[Besu]),
];

static FUNDS: &[Rule] = &[
    says(
        "insufficient funds",
        &[Geth, Erigon, Reth, Nethermind, Anvil, Nitro, ZkSync],
    ),
    says("insufficientfunds", &[Nethermind]),
    says("transaction overdraws from account", &[Reth]),
    says("upfront cost exceeds account balance", &[Besu]),
    says("not enough balance to cover the fee", &[ZkSync]),
];

static FULL: &[Rule] = &[
    says("txpool is full", &[Geth, Erigon, Reth]),
    says("account limit exceeded", &[Geth]),
    says("pending sub-pool is full", &[Erigon]),
    says("basefee sub-pool is full", &[Erigon]),
    says("queued sub-pool is full", &[Erigon]),
    says("internal_error: spammer", &[Erigon]),
    says("being identified as a spammer", &[Reth]),
    says("discarded outright due to pool size constraints", &[Reth]),
];

static PRICE: &[Rule] = &[
    says("underpriced", &[Geth, Erigon, Reth, Nethermind]),
    says("fee too low", &[Erigon]),
    says("feetoolow", &[Nethermind]),
    says("feetoolowtocompete", &[Nethermind]),
    says("transaction gas price below minimum", &[Geth]),
    says(
        "max fee per gas less than block base fee",
        &[Geth, Reth, Anvil, Nitro, ZkSync],
    ),
    says(
        "max fee per blob gas less than block blob gas fee",
        &[Geth, Reth],
    ),
    says("below chain minimum", &[Reth]),
    says("priority fee below minimum required priority fee", &[Reth]),
    says("gas price below configured minimum gas price", &[Besu]),
    says("gas price below current base fee", &[Besu]),
    says("blob gas price below current blob base fee", &[Besu]),
    says(
        "is greater than tx-specified `max_fee_per_blob_gas`",
        &[Anvil],
    ),
];

static BUSY: &[Rule] = &[
    says("too many requests", &[ZkSync, Provider]),
    says("rate limit", &[Provider]),
    says("rate limited", &[Provider]),
    says("request rate exceeded", &[Provider]),
    says("compute units per second", &[Provider]),
    says("request limit reached", &[Provider]),
    says("server is busy", &[Reth]),
    says("server being overloaded", &[ZkSync]),
    says("sequencer temporarily not available", &[Nitro]),
    says("server shutting down", &[ZkSync]),
    says("node is syncing", &[Nethermind]),
    says("initial sync is still in progress", &[Besu]),
    says("transaction pool not enabled", &[Besu]),
];

// Nitro also says "gas limit reached" when a transaction does not fit the block that it builds.
static AT_HEAD: &[Rule] = &[
    says("exceeds block gas limit", &[Geth, Reth, Besu, ZkSync]),
    says("exceeds block's gas limit", &[Reth]),
    says("exceeds maximum per-transaction gas limit", &[Reth]),
    says("intrinsic gas too high", &[Reth, Anvil]),
    says("gas limit is greater than the block gas limit", &[Anvil]),
    says("gas limit is too high", &[Erigon]),
    says("gas limit reached", &[Nethermind, Nitro]),
    says("gaslimitexceeded", &[Nethermind]),
    says("transaction type not supported", &[Geth, Reth, Nitro]),
    says(
        "fork supporting this transaction type is not activated yet",
        &[Erigon],
    ),
    says("unsupported transaction type", &[Nethermind]),
    says("invalidtxtype", &[Nethermind]),
    says_with(-32602, "invalid transaction type", &[Besu]),
];

// A size limit is a pool's rule and not the protocol's, but every client has it and none lifts it.
// On Nitro and zkSync the intrinsic gas holds a share of the parent chain's price, which may fall;
// the bytes are refused all the same, because their gas limit was too low when it was estimated,
// and a no-op in their place makes that final.
static NEVER: &[Rule] = &[
    says(
        "intrinsic gas too low",
        &[Geth, Reth, Nethermind, Anvil, Nitro, ZkSync],
    ),
    says("intrinsicgas", &[Erigon]),
    says("intrinsic gas exceeds gas limit", &[Besu]),
    says("insufficient gas for floor data gas cost", &[Geth]),
    says("transaction gas limit too high", &[Geth]),
    says("txgaslimitcapexceeded", &[Nethermind]),
    says("oversized data", &[Geth, Erigon, Reth, Nitro]),
    says("input data too large", &[Reth]),
    says("rlptoolong", &[Erigon]),
    says("transaction too large", &[Nethermind]),
    says("maxtxsizeexceeded", &[Nethermind]),
    says(
        "max initcode size exceeded",
        &[Geth, Reth, Nethermind, Anvil],
    ),
    says("initcode too large", &[Erigon]),
    says("exceeds max_init_code_size", &[Reth]),
    says("gas uint64 overflow", &[Geth, Reth, Anvil]),
    says("gasuintoverflow", &[Erigon]),
    says("transaction cost overflow", &[Nethermind]),
    says("int256overflow", &[Nethermind]),
    says("negative value", &[Geth, Erigon, Reth]),
    says("nonce has max value", &[Geth, Reth, Anvil]),
    says("nonce exceeds u64 limit", &[Reth]),
    says("nonce exceeds max nonce", &[Nethermind]),
    says("max fee per gas higher than 2^256-1", &[Geth, Reth]),
    says(
        "max priority fee per gas higher than 2^256-1",
        &[Geth, Reth],
    ),
    says(
        "max priority fee per gas higher than max fee per gas",
        &[Geth, Reth, Anvil, ZkSync],
    ),
    says("max priority fee per gas exceeds max fee per gas", &[Besu]),
    says("invalidmaxpriorityfeepergas", &[Nethermind]),
    says("invalid sender", &[Geth, Erigon, Reth, ZkSync]),
    says("invalid chain id", &[Erigon, Reth, Anvil, Nitro]),
    says("signed for another chain", &[Anvil]),
    says("wrong chainid", &[Besu]),
    says("invalidtxchainid", &[Nethermind]),
    says("invalid transaction signature", &[Reth]),
    says("invalid transaction v, r, s values", &[Nitro]),
    says("invalidtxsignature", &[Nethermind]),
    says("failed to recover sender", &[Nethermind]),
    says("failedtoresolvesender", &[Nethermind]),
    says_with(-32002, "invalid signature", &[Besu]),
    says(
        "too many factory dependencies in the transaction",
        &[ZkSync],
    ),
];

static BUSY_CODES: &[Rule] = &[
    says_with(429, "", &[Provider]),
    says_with(-32005, "", &[Provider]),
    says_with(-32029, "", &[Provider]),
];
