//! Blocks, their state, and the branch that counts.

use std::collections::BTreeMap;

use baton_chain::{BlockView, Receipt};
use baton_model::{Address, B256, Fees, U256};

use super::pool::{Pool, PooledTx};
use super::{BLOCK_GAS, REVERTING};

/// Number of the first block.
pub(crate) const GENESIS: u64 = 1_000;

/// An account at a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) nonce: u64,
    pub(crate) balance: U256,
}

/// A transaction that a block executed.
#[derive(Clone, Debug)]
pub(crate) struct Executed {
    pub(crate) tx: PooledTx,
    pub(crate) success: bool,
    gas_used: u64,
    price: u128,
}

/// A block.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) number: u64,
    pub(crate) hash: B256,
    parent: B256,
    parent_place: usize,
    base_fee: u128,
    pub(crate) executed: Vec<Executed>,
    states: BTreeMap<Address, State>,
}

/// All blocks there ever were, and which of them count.
pub(crate) struct Blocks {
    all: Vec<Block>,
    /// Places of the blocks that count, from the first one on.
    canonical: Vec<usize>,
    /// The highest number there ever was: nothing `confirmations` below it is ever taken back.
    top: u64,
}

impl Blocks {
    pub(crate) fn new(accounts: &[Address], balance: U256) -> Self {
        let state = State { nonce: 0, balance };
        let genesis = Block {
            number: GENESIS,
            hash: B256::repeat_byte(1),
            parent: B256::ZERO,
            parent_place: 0,
            base_fee: 0,
            executed: Vec::new(),
            states: accounts.iter().map(|account| (*account, state)).collect(),
        };
        Self {
            all: vec![genesis],
            canonical: vec![0],
            top: GENESIS,
        }
    }

    /// Place of the latest block that counts.
    pub(crate) fn head(&self) -> usize {
        *self.canonical.last().expect("there is a first block")
    }

    pub(crate) fn get(&self, place: usize) -> &Block {
        &self.all[place]
    }

    pub(crate) const fn top(&self) -> u64 {
        self.top
    }

    pub(crate) fn state(&self, place: usize, account: Address) -> State {
        self.all[place].state(account)
    }

    /// A block on top of the head, to be pushed.
    pub(crate) fn next(&self, hash: B256, base_fee: u128) -> Block {
        let place = self.head();
        let head = &self.all[place];
        Block {
            number: head.number + 1,
            hash,
            parent: head.hash,
            parent_place: place,
            base_fee,
            executed: Vec::new(),
            states: head.states.clone(),
        }
    }

    pub(crate) fn push(&mut self, block: Block) {
        self.top = self.top.max(block.number);
        self.canonical.push(self.all.len());
        self.all.push(block);
    }

    /// Takes blocks above a number back, and gives their transactions.
    pub(crate) fn take_back(&mut self, to: u64) -> Vec<PooledTx> {
        let keep = index(to) + 1;
        let gone = self.canonical.split_off(keep.min(self.canonical.len()));
        let executed = gone.iter().flat_map(|place| &self.all[*place].executed);
        executed.map(|executed| executed.tx.clone()).collect()
    }

    pub(crate) fn is_canonical(&self, place: usize) -> bool {
        let number = self.all[place].number;
        self.canonical.get(index(number)) == Some(&place)
    }

    /// Blocks that count, latest first.
    pub(crate) fn canonical(&self) -> impl Iterator<Item = &Block> {
        self.canonical.iter().rev().map(|place| &self.all[*place])
    }

    /// Everything that was ever made, latest first.
    pub(crate) fn ever(&self) -> impl Iterator<Item = &Block> {
        self.all.iter().rev()
    }

    /// The block of a number on the branch that ends at `head`.
    pub(crate) fn on_branch(&self, head: usize, number: u64) -> Option<&Block> {
        self.branch(head).find(|block| block.number == number)
    }

    /// The branch that ends at `head`, latest first.
    pub(crate) fn branch(&self, head: usize) -> impl Iterator<Item = &Block> {
        let mut next = Some(head);
        std::iter::from_fn(move || {
            let block = &self.all[next?];
            next = (block.number > GENESIS).then_some(block.parent_place);
            Some(block)
        })
    }
}

impl Block {
    pub(crate) fn state(&self, account: Address) -> State {
        self.states.get(&account).copied().unwrap_or_default()
    }

    pub(crate) fn set_balance(&mut self, account: Address, balance: U256) {
        self.states.entry(account).or_default().balance = balance;
    }

    /// Executes what a pool holds, in order of nonce, as far as price and money go.
    pub(super) fn fill(&mut self, pool: &Pool, base_fee: u128, mut skip: impl FnMut() -> bool) {
        for (account, state) in &mut self.states {
            while let Some(tx) = pool.get(*account, state.nonce) {
                let Some(price) = price(tx.tx.fees, base_fee) else {
                    break;
                };
                if tx.tx.worst_cost() > state.balance || skip() {
                    break;
                }
                let executed = execute(tx, state, price);
                self.executed.push(executed);
            }
        }
    }

    pub(crate) fn view(&self, accounts: &[Address], eip1559: bool) -> BlockView {
        let accounts = accounts.iter().map(|address| {
            let State { nonce, balance } = self.state(*address);
            baton_chain::AccountView {
                address: *address,
                nonce,
                balance,
            }
        });
        BlockView {
            number: self.number,
            hash: self.hash,
            parent: self.parent,
            timestamp: self.number,
            base_fee: eip1559.then_some(self.base_fee),
            gas_limit: BLOCK_GAS,
            transactions: self.executed.iter().map(|e| e.tx.hash).collect(),
            accounts: accounts.collect(),
        }
    }

    pub(crate) fn receipt(&self, hash: B256) -> Option<Receipt> {
        let found = self.executed.iter().find(|e| e.tx.hash == hash)?;
        Some(Receipt {
            hash,
            block_hash: self.hash,
            block_number: self.number,
            success: found.success,
            gas_used: found.gas_used,
            effective_gas_price: found.price,
            l1_fee: None,
            contract: None,
        })
    }
}

fn index(number: u64) -> usize {
    usize::try_from(number.saturating_sub(GENESIS)).expect("block numbers are small")
}

/// What a bid pays per gas now; `None` when it is too low for the block.
fn price(fees: Fees, base_fee: u128) -> Option<u128> {
    match fees {
        Fees::Legacy { gas_price } => (gas_price >= base_fee).then_some(gas_price),
        Fees::Eip1559 {
            max_fee,
            max_priority_fee,
        } => (max_fee >= base_fee).then(|| max_fee.min(base_fee + max_priority_fee)),
    }
}

fn execute(tx: &PooledTx, state: &mut State, price: u128) -> Executed {
    let data = &tx.tx.call.data;
    let success = data.first() != Some(&REVERTING);
    let gas_used = tx.tx.gas_limit.min(21_000 + 16 * data.len() as u64);
    let value = if success {
        tx.tx.call.value
    } else {
        U256::ZERO
    };
    let cost = U256::from(gas_used) * U256::from(price) + value;
    state.balance = state.balance.saturating_sub(cost);
    state.nonce += 1;
    Executed {
        tx: tx.clone(),
        success,
        gas_used,
        price,
    }
}
