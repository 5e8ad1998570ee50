//! What a node holds that is not mined, by the rules of its kind.

use std::collections::{BTreeMap, BTreeSet};

use baton_chain::tx;
use baton_model::{Address, B256, Bytes, Call, Fees, U256, UnsignedTx};

use super::blocks::State;
use super::node::Refusal;
use super::{BASE_FEE, CHAIN_ID, Flavour, POISON};

/// Executable transactions that geth keeps of one account while its pool is crowded.
pub(crate) const EXECUTABLE_MAX: usize = 16;
/// Transactions behind a gap that geth keeps of one account.
pub(crate) const GAPPED_MAX: usize = 64;

/// Which of geth's pools a transaction belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Legacy and EIP-1559.
    Plain,
    /// Carries blobs: has to double its bid to replace another.
    Blob,
}

/// A signed transaction as nodes know it.
#[derive(Clone, Debug)]
pub(crate) struct PooledTx {
    pub(crate) from: Address,
    pub(crate) hash: B256,
    pub(crate) tx: UnsignedTx,
    pub(crate) raw: Bytes,
    pub(crate) kind: Kind,
}

/// What holds for all pools at a time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pools {
    /// Whether they are full of other transactions.
    pub(crate) crowded: bool,
    /// Least tip that they take, in wei per gas.
    pub(crate) tip_floor: u128,
    /// Accounts with a delegation (EIP-7702).
    pub(crate) delegated: BTreeSet<Address>,
}

/// What an offer is held against.
pub(super) struct Rules<'a> {
    pub(super) flavour: Flavour,
    pub(super) pools: &'a Pools,
    pub(super) base_fee: u128,
    /// The sender at the node's head.
    pub(super) state: State,
}

/// One node's pool.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    txs: BTreeMap<(Address, u64), PooledTx>,
    /// Executable transactions that were dropped for other accounts' sake.
    pub(crate) evicted: u64,
    /// Transactions behind a gap that were dropped because there were too many.
    pub(crate) evicted_gapped: u64,
}

impl PooledTx {
    /// A transaction of somebody else who has the key.
    pub(crate) fn foreign(from: Address, nonce: u64, salt: u64, kind: Kind) -> Self {
        let tx = UnsignedTx {
            chain_id: CHAIN_ID,
            nonce,
            gas_limit: 21_000,
            fees: Fees::Legacy {
                gas_price: BASE_FEE * 12,
            },
            call: Call {
                to: Some(Address::repeat_byte(0x66)),
                value: U256::from(salt),
                data: Bytes::new(),
            },
        };
        let encoded = tx::encode_signed(&tx, from.into_word().into(), U256::from(1), false);
        Self {
            from,
            hash: encoded.hash,
            tx,
            raw: encoded.raw,
            kind,
        }
    }
}

impl Pool {
    pub(crate) fn get(&self, account: Address, nonce: u64) -> Option<&PooledTx> {
        self.txs.get(&(account, nonce))
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &PooledTx> {
        self.txs.values()
    }

    pub(crate) fn clear(&mut self) {
        self.txs.clear();
    }

    pub(crate) fn retain(&mut self, keep: impl Fn(&PooledTx) -> bool) {
        self.txs.retain(|_, tx| keep(tx));
    }

    /// Next nonce with what is executable counted in.
    pub(crate) fn pending(&self, account: Address, from: u64) -> u64 {
        let mut nonce = from;
        while self.txs.contains_key(&(account, nonce)) {
            nonce += 1;
        }
        nonce
    }

    pub(super) fn remove(&mut self, tx: &PooledTx) {
        self.txs.remove(&(tx.from, tx.tx.nonce));
    }

    /// Takes a transaction of a block that is gone.
    pub(super) fn give_back(&mut self, tx: &PooledTx) {
        let place = (tx.from, tx.tx.nonce);
        self.txs.entry(place).or_insert_with(|| tx.clone());
    }

    pub(super) fn drop_used(&mut self, nonce: impl Fn(Address) -> u64) {
        self.txs
            .retain(|(account, used), _| *used >= nonce(*account));
    }

    pub(super) fn offer(&mut self, tx: PooledTx, rules: &Rules<'_>) -> Result<(), Refusal> {
        match rules.flavour {
            Flavour::Geth => self.offer_geth(tx, rules),
            Flavour::Sequencer => self.offer_sequencer(tx, rules),
            Flavour::Window(window) => self.offer_window(tx, window, rules),
        }
    }

    fn offer_geth(&mut self, tx: PooledTx, rules: &Rules<'_>) -> Result<(), Refusal> {
        let (account, nonce) = (tx.from, tx.tx.nonce);
        let incumbent = self.txs.get(&(account, nonce));
        if incumbent.is_some_and(|old| old.hash == tx.hash) {
            return Err(Refusal::new("already known", ""));
        }
        check_payload(&tx)?;
        check_tip(&tx, rules.pools.tip_floor)?;
        if nonce < rules.state.nonce {
            let text = format!(": next nonce {}, tx nonce {nonce}", rules.state.nonce);
            return Err(Refusal::new("nonce too low", &text));
        }
        let of_account = || self.txs.range((account, 0)..=(account, u64::MAX));
        if of_account().any(|(_, other)| other.kind != tx.kind) {
            return Err(Refusal::new("address already reserved", ""));
        }
        let others = of_account().filter(|((_, other), _)| *other != nonce);
        let reserved = others.fold(U256::ZERO, |sum, (_, other)| sum + other.tx.worst_cost());
        check_funds(&tx, reserved, rules.state.balance)?;
        if let Some(old) = incumbent {
            if !replaces(old.tx.fees, tx.tx.fees, tx.kind) {
                return Err(Refusal::new("replacement transaction underpriced", ""));
            }
        } else {
            self.check_room(account, nonce, rules)?;
        }
        self.txs.insert((account, nonce), tx);
        self.drop_gapped(account, rules.state.nonce);
        if rules.pools.crowded {
            self.truncate(account, rules.state.nonce);
        }
        Ok(())
    }

    fn check_room(&self, account: Address, nonce: u64, rules: &Rules<'_>) -> Result<(), Refusal> {
        let pending = self.pending(account, rules.state.nonce);
        let count = self.txs.range((account, 0)..=(account, u64::MAX)).count();
        if rules.pools.delegated.contains(&account) {
            if pending > rules.state.nonce {
                let rest = " for delegated accounts";
                return Err(Refusal::new("in-flight transaction limit reached", rest));
            }
            if nonce != pending {
                return Err(Refusal::new("gapped-nonce tx from delegated accounts", ""));
            }
        }
        let guaranteed = nonce == pending && count < EXECUTABLE_MAX / 2;
        if rules.pools.crowded && !guaranteed {
            return Err(Refusal::new("txpool is full", ""));
        }
        Ok(())
    }

    /// Drops the highest nonces behind a gap until no more than geth keeps are left.
    fn drop_gapped(&mut self, account: Address, from: u64) {
        let pending = self.pending(account, from);
        let gapped = self.txs.range((account, pending)..=(account, u64::MAX));
        let surplus: Vec<u64> = gapped
            .map(|((_, nonce), _)| *nonce)
            .skip(GAPPED_MAX)
            .collect();
        for nonce in surplus {
            self.txs.remove(&(account, nonce));
            self.evicted_gapped += 1;
        }
    }

    /// Drops what an account has beyond its guaranteed share.
    fn truncate(&mut self, account: Address, from: u64) {
        let of_account = self.txs.range((account, from)..=(account, u64::MAX));
        let surplus = of_account
            .map(|((_, nonce), _)| *nonce)
            .skip(EXECUTABLE_MAX);
        for nonce in surplus.collect::<Vec<u64>>() {
            self.txs.remove(&(account, nonce));
            self.evicted += 1;
        }
    }

    /// The pool becomes crowded: nobody keeps more than its share.
    pub(crate) fn truncate_all(&mut self, nonce: impl Fn(Address) -> u64) {
        let accounts: BTreeSet<Address> = self.txs.keys().map(|(account, _)| *account).collect();
        for account in accounts {
            self.truncate(account, nonce(account));
        }
    }

    fn offer_sequencer(&mut self, tx: PooledTx, rules: &Rules<'_>) -> Result<(), Refusal> {
        let (account, nonce) = (tx.from, tx.tx.nonce);
        let next = self.pending(account, rules.state.nonce);
        let place = format!(": address {account}, tx: {nonce} state: {next}");
        check_payload(&tx)?;
        if nonce < next {
            return Err(Refusal::new("nonce too low", &place));
        }
        if nonce > next {
            return Err(Refusal::new("nonce too high", &place));
        }
        check_base_fee(&tx, rules.base_fee)?;
        check_funds(&tx, U256::ZERO, rules.state.balance)?;
        self.txs.insert((account, nonce), tx);
        Ok(())
    }

    fn offer_window(
        &mut self,
        tx: PooledTx,
        window: u64,
        rules: &Rules<'_>,
    ) -> Result<(), Refusal> {
        let (account, nonce) = (tx.from, tx.tx.nonce);
        let next = rules.state.nonce;
        let range = format!(
            ". allowed nonce range: {next} - {}, actual: {nonce}",
            next + window
        );
        check_payload(&tx)?;
        if nonce < next {
            return Err(Refusal::new("nonce too low", &range));
        }
        if nonce > next + window {
            return Err(Refusal::new("nonce too high", &range));
        }
        check_base_fee(&tx, rules.base_fee)?;
        if tx.tx.worst_cost() > rules.state.balance {
            let text = "not enough balance to cover the fee";
            return Err(Refusal::new(text, ". the sender is short of it"));
        }
        if let Some(old) = self.txs.get(&(account, nonce)) {
            if old.hash == tx.hash {
                return Err(Refusal::new("known transaction", ""));
            }
            if !replaces(old.tx.fees, tx.tx.fees, Kind::Plain) {
                let text = "insertion of another transaction with the same nonce is in progress";
                return Err(Refusal::new(text, ""));
            }
        }
        self.txs.insert((account, nonce), tx);
        Ok(())
    }
}

/// geth's rule: both fields at least `old * 110 / 100`, rounded down, and strictly above the old ones; twice as much
/// for blobs.
pub(crate) fn replaces(old: Fees, new: Fees, kind: Kind) -> bool {
    let percent = match kind {
        Kind::Plain => 110,
        Kind::Blob => 200,
    };
    let enough = |old: u128, new: u128| new > old && new >= old * percent / 100;
    enough(old.max_per_gas(), new.max_per_gas()) && enough(old.tip_per_gas(), new.tip_per_gas())
}

fn check_payload(tx: &PooledTx) -> Result<(), Refusal> {
    if tx.tx.call.data.first() == Some(&POISON) {
        let text = ": code size 50000, limit 49152";
        return Err(Refusal::new("max initcode size exceeded", text));
    }
    Ok(())
}

fn check_tip(tx: &PooledTx, floor: u128) -> Result<(), Refusal> {
    let tip = tx.tx.fees.tip_per_gas();
    if tip < floor {
        let text = format!(": gas tip cap {tip}, minimum needed {floor}");
        return Err(Refusal::new("transaction underpriced", &text));
    }
    Ok(())
}

fn check_base_fee(tx: &PooledTx, base_fee: u128) -> Result<(), Refusal> {
    if tx.tx.fees.max_per_gas() < base_fee {
        let text = format!(": maxFeePerGas below {base_fee}");
        return Err(Refusal::new(
            "max fee per gas less than block base fee",
            &text,
        ));
    }
    Ok(())
}

fn check_funds(tx: &PooledTx, reserved: U256, balance: U256) -> Result<(), Refusal> {
    let cost = tx.tx.worst_cost();
    if reserved + cost > balance {
        let text = format!(
            " for gas * price + value: balance {balance}, queued cost {reserved}, tx cost {cost}"
        );
        return Err(Refusal::new("insufficient funds", &text));
    }
    Ok(())
}
