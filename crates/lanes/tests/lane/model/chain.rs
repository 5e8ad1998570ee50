//! A chain and its nodes, as strict as geth: nonces, balances that are really debited, a pool with the bump rule,
//! blocks, reorganisations.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::keccak256;
use baton_lanes::record::ReceiptRecord;
use baton_lanes::{MarketView, Observation, Signed, Verdict};
use baton_model::{Address, B256, Bytes, Call, Fees, Mempool, U256, UnsignedTx};
use serde::{Deserialize, Serialize};

use super::rng::Rng;

/// Gas limit of every block.
pub(crate) const BLOCK_GAS: u64 = 30_000_000;

/// First byte of the data of calls that revert when they are mined.
pub(crate) const REVERTING: u8 = 0xee;
/// First byte of the data of calls that no node takes.
pub(crate) const POISON: u8 = 0xdd;

/// A signed transaction.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SignedTx {
    pub(crate) from: Address,
    pub(crate) tx: UnsignedTx,
    #[serde(skip)]
    pub(crate) hash: B256,
}

impl SignedTx {
    pub(crate) fn decode(raw: &[u8]) -> Self {
        let tx: Self = serde_json::from_slice(raw).expect("only signed bytes are offered");
        let hash = keccak256(raw);
        Self { hash, ..tx }
    }

    pub(crate) fn raw(&self) -> Bytes {
        Bytes::from(serde_json::to_vec(self).expect("a transaction can be written"))
    }
}

/// Signs: the bytes are the transaction as JSON, the hash theirs.
pub(crate) fn sign(from: Address, tx: UnsignedTx) -> Signed {
    let hash = B256::ZERO;
    let raw = SignedTx { from, tx, hash }.raw();
    Signed {
        hash: keccak256(&raw),
        raw,
        signature: Bytes::from(vec![1; 65]),
    }
}

#[derive(Clone, Debug)]
pub(crate) struct MinedTx {
    pub(crate) tx: SignedTx,
    pub(crate) receipt: ReceiptRecord,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct State {
    pub(crate) nonce: u64,
    pub(crate) balance: U256,
}

#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) number: u64,
    pub(crate) transactions: Vec<MinedTx>,
    /// State of the accounts after it.
    pub(crate) state: BTreeMap<Address, State>,
}

impl Block {
    pub(crate) fn find(&self, hash: B256) -> Option<&MinedTx> {
        self.transactions.iter().find(|t| t.receipt.hash == hash)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Chain {
    pub(crate) blocks: Vec<Block>,
    /// Blocks that were taken back.
    pub(crate) dead: Vec<Block>,
    pub(crate) pool: BTreeMap<(Address, u64), SignedTx>,
    pub(crate) base_fee: u128,
    pub(crate) tip_floor: u128,
    pub(crate) pool_full: bool,
    pub(crate) eip1559: bool,
    pub(crate) mempool: Mempool,
    /// Accounts that a delegation limits to one transaction in flight.
    pub(crate) delegated: BTreeSet<Address>,
    /// The highest block there ever was: nothing `confirmations` below it is ever taken back.
    pub(crate) top: u64,
    pub(crate) confirmations: u64,
    blocks_made: u64,
}

impl Chain {
    pub(crate) fn new(
        state: BTreeMap<Address, State>,
        eip1559: bool,
        mempool: Mempool,
        confirmations: u64,
    ) -> Self {
        let genesis = Block {
            number: 100,
            transactions: Vec::new(),
            state,
        };
        Self {
            blocks: vec![genesis],
            dead: Vec::new(),
            pool: BTreeMap::new(),
            base_fee: 1_000,
            tip_floor: 1,
            pool_full: false,
            eip1559,
            mempool,
            delegated: BTreeSet::new(),
            top: 100,
            confirmations,
            blocks_made: 0,
        }
    }

    pub(crate) fn head(&self) -> &Block {
        self.blocks.last().expect("there is a genesis block")
    }

    /// The block at the head, or one up to `lag` below it that no reorganisation can take back beyond.
    pub(crate) fn seen_by_laggard(&self, lag: u64) -> u64 {
        let head = self.head().number;
        let stable = self.top.saturating_sub(self.confirmations);
        head.saturating_sub(lag).max(stable).min(head)
    }

    pub(crate) fn state(&self, account: Address) -> State {
        self.head().state.get(&account).copied().unwrap_or_default()
    }

    pub(crate) fn mined(&self, hash: B256) -> Option<&MinedTx> {
        self.blocks.iter().rev().find_map(|block| block.find(hash))
    }

    /// Next nonce with the executable part of the pool counted in.
    pub(crate) fn pending_nonce(&self, account: Address) -> u64 {
        let mut nonce = self.state(account).nonce;
        while self.pool.contains_key(&(account, nonce)) {
            nonce += 1;
        }
        nonce
    }

    pub(crate) fn market(&self) -> MarketView {
        let tip = self.tip_floor;
        MarketView {
            base_fee: self.eip1559.then_some(self.base_fee),
            tips: [tip, tip * 2, tip * 3, tip * 5],
            gas_price: self.base_fee + tip,
        }
    }

    /// What a node says to an offer.
    pub(crate) fn submit(&mut self, raw: &[u8]) -> Result<(), Verdict> {
        let tx = SignedTx::decode(raw);
        let key = (tx.from, tx.tx.nonce);
        if self.pool.get(&key).is_some_and(|p| p.hash == tx.hash) {
            return Err(Verdict::AlreadyKnown);
        }
        let state = self.state(tx.from);
        if tx.tx.nonce < state.nonce {
            return Err(Verdict::NonceTooLow);
        }
        if tx.tx.gas_limit > BLOCK_GAS || tx.tx.call.data.first() == Some(&POISON) {
            return Err(Verdict::NeverMinable);
        }
        if tx.tx.fees.tip_per_gas() < self.tip_floor {
            return Err(Verdict::Underpriced);
        }
        match self.mempool {
            Mempool::Public => self.enter_pool(key, tx, state),
            Mempool::None => self.enter_queue(key, tx, state),
        }
    }

    fn enter_pool(
        &mut self,
        key: (Address, u64),
        tx: SignedTx,
        state: State,
    ) -> Result<(), Verdict> {
        let others = self
            .pool
            .range((key.0, 0)..=(key.0, u64::MAX))
            .filter(|(k, _)| **k != key)
            .fold(U256::ZERO, |sum, (_, p)| sum + p.tx.worst_cost());
        if others + tx.tx.worst_cost() > state.balance {
            return Err(Verdict::InsufficientFunds);
        }
        if let Some(incumbent) = self.pool.get(&key) {
            if !geth_replaces(incumbent.tx.fees, tx.tx.fees) {
                return Err(Verdict::ReplacementUnderpriced);
            }
        } else if self.pool_full {
            return Err(Verdict::PoolFull);
        } else if self.delegated.contains(&key.0)
            && self.pool.keys().any(|(account, _)| *account == key.0)
        {
            return Err(Verdict::DelegatedLimit);
        }
        self.pool.insert(key, tx);
        Ok(())
    }

    fn enter_queue(
        &mut self,
        key: (Address, u64),
        tx: SignedTx,
        state: State,
    ) -> Result<(), Verdict> {
        if self.pool.contains_key(&key) {
            return Err(Verdict::SameNonceInProgress);
        }
        if tx.tx.nonce > self.pending_nonce(key.0) {
            return Err(Verdict::NonceTooHigh);
        }
        if tx.tx.worst_cost() > state.balance {
            return Err(Verdict::InsufficientFunds);
        }
        if self.eip1559 && tx.tx.fees.max_per_gas() < self.base_fee {
            return Err(Verdict::Underpriced);
        }
        self.pool.insert(key, tx);
        Ok(())
    }

    /// Makes a block of what is executable; each account's part ends early with a chance of `skip` percent.
    pub(crate) fn mine(&mut self, rng: &mut Rng, skip: u64) -> &Block {
        let number = self.head().number + 1;
        self.blocks_made += 1;
        let hash = keccak256([number.to_be_bytes(), self.blocks_made.to_be_bytes()].concat());
        let mut state = self.head().state.clone();
        let mut transactions = Vec::new();
        for (account, state) in &mut state {
            while let Some(tx) = self.pool.get(&(*account, state.nonce)) {
                let price = self.price(tx.tx.fees);
                let cost = tx.tx.worst_cost();
                if price.is_none() || cost > state.balance || rng.percent(skip) {
                    break;
                }
                let tx = tx.clone();
                let mined = execute(tx, state, price.unwrap_or_default(), (number, hash));
                transactions.push(mined);
            }
        }
        self.top = self.top.max(number);
        self.blocks.push(Block {
            number,
            transactions,
            state,
        });
        self.drop_stale();
        self.head()
    }

    /// What a bid pays per gas now; `None` when it is too low for the block.
    fn price(&self, fees: Fees) -> Option<u128> {
        match fees {
            Fees::Legacy { gas_price } => (gas_price >= self.base_fee).then_some(gas_price),
            Fees::Eip1559 {
                max_fee,
                max_priority_fee,
            } => (max_fee >= self.base_fee)
                .then(|| max_fee.min(self.base_fee.saturating_add(max_priority_fee))),
        }
    }

    /// Drops pooled transactions whose nonce is used.
    fn drop_stale(&mut self) {
        let state = self.head().state.clone();
        self.pool.retain(|(account, nonce), _| {
            *nonce >= state.get(account).map_or(0, |state| state.nonce)
        });
    }

    /// Takes blocks back. Their transactions return to the pool, each lost with a chance of `lose` percent. Gives the
    /// last block that stays.
    pub(crate) fn reorg(&mut self, depth: u64, lose: u64, rng: &mut Rng) -> Option<u64> {
        let stable = self.top.saturating_sub(self.confirmations);
        let to = (self.head().number.saturating_sub(depth)).max(stable.max(100));
        if to >= self.head().number {
            return None;
        }
        while self.head().number > to {
            let Some(block) = self.blocks.pop() else {
                break;
            };
            for mined in &block.transactions {
                if !rng.percent(lose) {
                    let key = (mined.tx.from, mined.tx.tx.nonce);
                    self.pool.entry(key).or_insert_with(|| mined.tx.clone());
                }
            }
            self.dead.push(block);
        }
        Some(to)
    }

    /// Gives an account money, as a block of its own would.
    pub(crate) fn fund(&mut self, account: Address, balance: U256) {
        let block = self.blocks.last_mut().expect("there is a genesis block");
        block.state.entry(account).or_default().balance = balance;
    }

    /// What a node shows for an account's nonce, as of a block.
    pub(crate) fn observe(&self, account: Address, nonce: u64, upto: u64) -> Option<Observation> {
        let mined = self
            .blocks
            .iter()
            .filter(|block| block.number <= upto)
            .flat_map(|block| &block.transactions)
            .find(|t| t.tx.from == account && t.tx.tx.nonce == nonce);
        let tx = mined.map(|t| &t.tx);
        let tx = tx.or_else(|| self.pool.get(&(account, nonce)))?;
        Some(Observation {
            tx: tx.tx.clone(),
            hash: tx.hash,
            raw: tx.raw(),
        })
    }

    /// Transactions of the present chain that execute `data`.
    pub(crate) fn executions(&self, data: &[u8]) -> Vec<&MinedTx> {
        self.blocks
            .iter()
            .flat_map(|block| &block.transactions)
            .filter(|t| t.tx.tx.call.data.as_ref() == data)
            .collect()
    }
}

fn execute(tx: SignedTx, state: &mut State, price: u128, (number, hash): (u64, B256)) -> MinedTx {
    let success = tx.tx.call.data.first() != Some(&REVERTING);
    let gas_used = tx
        .tx
        .gas_limit
        .min(21_000 + 16 * tx.tx.call.data.len() as u64);
    let fee = U256::from(gas_used) * U256::from(price);
    let value = if success {
        tx.tx.call.value
    } else {
        U256::ZERO
    };
    state.balance -= fee + value;
    state.nonce += 1;
    let receipt = ReceiptRecord {
        hash: tx.hash,
        block_number: number,
        block_hash: hash,
        success,
        gas_used,
        effective_gas_price: price,
        l1_fee: None,
        contract: None,
    };
    MinedTx { tx, receipt }
}

/// geth's rule: both fields at least `old * 110 / 100`, rounded down, and strictly above the old ones.
fn geth_replaces(old: Fees, new: Fees) -> bool {
    let enough = |old: u128, new: u128| new > old && new >= old * 110 / 100;
    enough(old.max_per_gas(), new.max_per_gas()) && enough(old.tip_per_gas(), new.tip_per_gas())
}

/// A call that does nothing but say who asked for it.
pub(crate) fn call(kind: u8, index: u64, value: u64) -> Call {
    let mut data = vec![kind];
    data.extend(index.to_be_bytes());
    Call {
        to: Some(Address::repeat_byte(0x77)),
        value: U256::from(value),
        data: Bytes::from(data),
    }
}
