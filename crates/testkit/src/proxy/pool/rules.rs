//! The rules of geth's transaction pool that anvil lacks, as a function of an account's state.

use std::collections::BTreeMap;

use baton_chain::tx::DecodedTx;
use baton_model::{Address, B256, U256};

/// Which rules hold. A rule that is off is the node's own affair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolRules {
    /// Percent by which a replacement must raise both fees. geth: 10.
    pub bump_percent: Option<u8>,
    /// Most executable transactions of one account; one more is refused. geth guarantees 16 and
    /// takes more only while its pool has room.
    pub executable_max: Option<usize>,
    /// Most transactions of one account that wait for a nonce before them. geth: 64.
    pub gapped_max: Option<usize>,
    /// What becomes of the transactions beyond `gapped_max`.
    pub gapped_overflow: GappedOverflow,
    /// Least tip in wei per gas. geth: 1.
    pub tip_min: u128,
    /// Whether a fee cap below the latest block's base fee is refused, as sequencers do; geth
    /// itself keeps such a transaction until the base fee falls.
    pub base_fee_floor: bool,
    /// As if the pool were full and its cheapest transaction tipped so many wei per gas: whoever
    /// does not tip more is underpriced.
    pub crowded_at: Option<u128>,
    /// Whether the balance must cover the worst cost of all executable transactions together.
    pub funds: bool,
    /// Whether an account with code (EIP-7702) has one transaction in flight at most.
    pub delegated: bool,
    /// Most bytes of a transaction. geth: 131072.
    pub bytes_max: usize,
}

/// What becomes of gapped transactions beyond an account's limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GappedOverflow {
    /// geth: all are answered as accepted, then the highest nonces are dropped in silence. anvil
    /// cannot drop a gapped transaction, so here only a new one above all others is dropped; one
    /// below is let in beyond the limit.
    DropHighest,
    /// The new one is refused as over the account's limit.
    Refuse,
}

impl Default for PoolRules {
    /// What geth does by default, with the guaranteed number of executable slots as the limit.
    fn default() -> Self {
        Self {
            bump_percent: Some(10),
            executable_max: Some(16),
            gapped_max: Some(64),
            gapped_overflow: GappedOverflow::DropHighest,
            tip_min: 1,
            base_fee_floor: false,
            crowded_at: None,
            funds: true,
            delegated: true,
            bytes_max: 131_072,
        }
    }
}

/// Why the strict pool refused a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RefusalReason {
    /// The node has these bytes.
    AlreadyKnown,
    /// Too many bytes.
    Oversized,
    /// More gas than a block has.
    BlockGas,
    /// The tip is above the fee cap.
    TipAboveFee,
    /// The tip is below the least one.
    TipBelowMin,
    /// The nonce is used.
    NonceTooLow,
    /// The balance does not cover it, alone or with what is queued.
    Funds,
    /// The fee cap is below the base fee.
    BelowBaseFee,
    /// A delegated account has a transaction in flight.
    DelegatedInFlight,
    /// A delegated account left out a nonce.
    DelegatedGapped,
    /// The pool is full of better ones.
    Underpriced,
    /// A replacement does not bid enough more.
    ReplacementUnderpriced,
    /// The account has as many transactions as it may have.
    AccountLimit,
}

/// A refusal as the node words it, always with code -32000.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: RefusalReason,
    /// geth's text.
    pub message: String,
}

/// A transaction that asks to be let in.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) from: Address,
    pub(crate) hash: B256,
    pub(crate) nonce: u64,
    pub(crate) bytes: usize,
    pub(crate) gas: u64,
    pub(crate) max_fee: u128,
    pub(crate) tip: u128,
    pub(crate) cost: U256,
}

/// A transaction in the pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) hash: B256,
    pub(crate) max_fee: u128,
    pub(crate) tip: u128,
    pub(crate) cost: U256,
    /// Whether the node has answered about it.
    pub(crate) settled: bool,
    /// What it replaces, until the node has answered.
    pub(crate) displaced: Option<Box<Entry>>,
}

/// The latest block, as far as rules look at it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) base_fee: u128,
    pub(crate) gas_limit: u64,
}

/// What the rules look at of an account.
#[derive(Clone, Debug, Default)]
pub(crate) struct Account {
    pub(crate) nonce: u64,
    pub(crate) balance: U256,
    pub(crate) delegated: bool,
    pub(crate) entries: BTreeMap<u64, Entry>,
}

/// How a transaction may come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// It is in the pool already.
    Known,
    /// It takes its nonce, and nothing else changes.
    Slot,
    /// It is one gapped transaction too many.
    Overflow,
}

impl Candidate {
    pub(crate) fn new(from: Address, decoded: &DecodedTx, bytes: usize) -> Self {
        let tx = &decoded.tx;
        Self {
            from,
            hash: decoded.hash,
            nonce: tx.nonce,
            bytes,
            gas: tx.gas_limit,
            max_fee: tx.fees.max_per_gas(),
            tip: tx.fees.tip_per_gas(),
            cost: tx.worst_cost(),
        }
    }

    pub(crate) fn entry(&self) -> Entry {
        Entry {
            hash: self.hash,
            max_fee: self.max_fee,
            tip: self.tip,
            cost: self.cost,
            settled: false,
            displaced: None,
        }
    }
}

impl Account {
    /// First nonce that is neither mined nor executable.
    pub(crate) fn next_executable(&self) -> u64 {
        let taken = |nonce: &u64| self.entries.contains_key(nonce);
        let mut next = self.nonce;
        while taken(&next) {
            next += 1;
        }
        next
    }

    fn executable(&self) -> impl Iterator<Item = &Entry> {
        let end = self.next_executable();
        self.entries.range(self.nonce..end).map(|(_, entry)| entry)
    }

    fn executable_cost(&self) -> U256 {
        let costs = self.executable().map(|entry| entry.cost);
        costs.fold(U256::ZERO, U256::saturating_add)
    }
}

/// The rules that need to know nothing but the transaction, in geth's order.
pub(crate) fn judge_alone(rules: &PoolRules, tx: &Candidate) -> Result<(), Refusal> {
    if tx.bytes > rules.bytes_max {
        return refuse(
            RefusalReason::Oversized,
            format!(
                "oversized data: transaction size {}, limit {}",
                tx.bytes, rules.bytes_max
            ),
        );
    }
    if tx.tip > tx.max_fee {
        return refuse(
            RefusalReason::TipAboveFee,
            "max priority fee per gas higher than max fee per gas".to_owned(),
        );
    }
    if tx.tip < rules.tip_min {
        return refuse(
            RefusalReason::TipBelowMin,
            format!(
                "transaction gas price below minimum: gas tip cap {}, minimum needed {}",
                tx.tip, rules.tip_min
            ),
        );
    }
    Ok(())
}

/// The rules that depend on the chain and the pool, in geth's order.
pub(crate) fn judge(
    rules: &PoolRules,
    head: Head,
    account: &Account,
    tx: &Candidate,
) -> Result<Place, Refusal> {
    let incumbent = account.entries.get(&tx.nonce);
    if incumbent.is_some_and(|incumbent| incumbent.hash == tx.hash) {
        return Ok(Place::Known);
    }
    if tx.gas > head.gas_limit {
        return refuse(
            RefusalReason::BlockGas,
            "exceeds block gas limit".to_owned(),
        );
    }
    if tx.nonce < account.nonce {
        return refuse(
            RefusalReason::NonceTooLow,
            format!(
                "nonce too low: next nonce {}, tx nonce {}",
                account.nonce, tx.nonce
            ),
        );
    }
    if rules.base_fee_floor && tx.max_fee < head.base_fee {
        return refuse(
            RefusalReason::BelowBaseFee,
            format!(
                "max fee per gas less than block base fee: address {}, maxFeePerGas: {}, \
                 baseFee: {}",
                tx.from, tx.max_fee, head.base_fee
            ),
        );
    }
    if rules.funds {
        funds(account, tx)?;
    }
    if rules.delegated && account.delegated {
        delegated(account, tx)?;
    }
    if rules.crowded_at.is_some_and(|cheapest| tx.tip <= cheapest) {
        return refuse(
            RefusalReason::Underpriced,
            "transaction underpriced".to_owned(),
        );
    }
    match incumbent {
        Some(incumbent) => replacement(rules, incumbent, tx),
        None => slots(rules, account, tx),
    }
}

fn funds(account: &Account, tx: &Candidate) -> Result<(), Refusal> {
    let Account { balance, .. } = account;
    let cost = tx.cost;
    let short = |text: String| refuse(RefusalReason::Funds, text);
    if *balance < cost {
        let overshot = cost - balance;
        return short(format!(
            "insufficient funds for gas * price + value: balance {balance}, tx cost {cost}, \
             overshot {overshot}"
        ));
    }
    let queued = account.executable_cost();
    let end = account.next_executable();
    let replaced = account.entries.get(&tx.nonce).filter(|_| tx.nonce < end);
    let (need, what) = match replaced {
        Some(old) => (
            queued.saturating_sub(old.cost).saturating_add(cost),
            format!("tx bumped {}", signed_difference(cost, old.cost)),
        ),
        None => (queued.saturating_add(cost), format!("tx cost {cost}")),
    };
    if *balance >= need {
        return Ok(());
    }
    let overshot = need - balance;
    short(format!(
        "insufficient funds for gas * price + value: balance {balance}, queued cost {queued}, \
         {what}, overshot {overshot}"
    ))
    .map(drop)
}

fn delegated(account: &Account, tx: &Candidate) -> Result<(), Refusal> {
    let end = account.next_executable();
    let has_pending = end > account.nonce;
    if !has_pending && tx.nonce != end {
        return refuse(
            RefusalReason::DelegatedGapped,
            "gapped-nonce tx from delegated accounts".to_owned(),
        );
    }
    if has_pending && tx.nonce >= end {
        return refuse(
            RefusalReason::DelegatedInFlight,
            "in-flight transaction limit reached for delegated accounts".to_owned(),
        );
    }
    Ok(())
}

fn replacement(rules: &PoolRules, old: &Entry, tx: &Candidate) -> Result<Place, Refusal> {
    let Some(percent) = rules.bump_percent else {
        return Ok(Place::Slot);
    };
    // Rounded down as in geth, which is why a fee must also be strictly higher.
    let threshold = |fee: u128| fee.saturating_mul(100 + u128::from(percent)) / 100;
    let enough = |old: u128, new: u128| new > old && new >= threshold(old);
    if enough(old.max_fee, tx.max_fee) && enough(old.tip, tx.tip) {
        return Ok(Place::Slot);
    }
    refuse(
        RefusalReason::ReplacementUnderpriced,
        "replacement transaction underpriced".to_owned(),
    )
}

fn slots(rules: &PoolRules, account: &Account, tx: &Candidate) -> Result<Place, Refusal> {
    let end = account.next_executable();
    let executable = account.executable().count();
    if tx.nonce <= end {
        return match rules.executable_max {
            Some(most) if executable >= most => limit(executable),
            Some(_) | None => Ok(Place::Slot),
        };
    }
    let gapped = account.entries.range(end..).count();
    match (rules.gapped_max, rules.gapped_overflow) {
        (Some(most), _) if gapped < most => Ok(Place::Slot),
        (Some(_), GappedOverflow::DropHighest) => Ok(Place::Overflow),
        (Some(_), GappedOverflow::Refuse) => limit(executable + gapped),
        (None, _) => Ok(Place::Slot),
    }
}

fn limit(pooled: usize) -> Result<Place, Refusal> {
    refuse(
        RefusalReason::AccountLimit,
        format!("account limit exceeded: pooled {pooled} txs"),
    )
}

fn refuse<T>(reason: RefusalReason, message: String) -> Result<T, Refusal> {
    Err(Refusal { reason, message })
}

fn signed_difference(new: U256, old: U256) -> String {
    if new >= old {
        (new - old).to_string()
    } else {
        format!("-{}", old - new)
    }
}
