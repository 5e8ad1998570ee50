//! What the chain and its one node hold.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use baton_chain::tx::decode_signed;
use baton_chain::{AccountView, NodeAnswer, ObservedTx, Receipt};
use baton_model::{Address, B256, Bytes, Fees, U256, UnsignedTx};

use super::super::signer::account_of;
use super::{BASE_FEE, CHAIN_ID, Fault, GENESIS};

/// A transaction that a node knows.
#[derive(Clone, Debug)]
pub(crate) struct Tx {
    pub(crate) from: Address,
    pub(crate) hash: B256,
    pub(crate) tx: UnsignedTx,
    pub(super) raw: Bytes,
}

#[derive(Clone, Debug)]
pub(super) struct Block {
    pub(super) number: u64,
    pub(super) hash: B256,
    pub(super) parent: B256,
    pub(super) transactions: Vec<Tx>,
}

/// A test over every transaction offered.
pub(super) type Check = Box<dyn Fn(&Tx) + Send>;

pub(super) struct State {
    pub(super) blocks: Vec<Block>,
    /// What every other question about a block is answered from.
    pub(super) other_fork: Option<Vec<Block>>,
    pub(super) flips: u64,
    pub(super) salt: u64,
    pub(super) pool: BTreeMap<(Address, u64), Tx>,
    pub(super) offered: Vec<Tx>,
    pub(super) faults: BTreeMap<&'static str, VecDeque<Fault>>,
    pub(super) calls: BTreeMap<&'static str, usize>,
    pub(super) balance: U256,
    pub(super) announce_hash: bool,
    pub(super) keep_pool: bool,
    /// Number that the node takes for its head.
    pub(super) stale_head: Option<u64>,
    /// Calls to these targets are never estimated.
    pub(super) inestimable: BTreeSet<Address>,
    pub(super) check: Option<Check>,
}

impl State {
    /// A chain of one block.
    pub(super) fn new() -> Self {
        let genesis = Block {
            number: GENESIS,
            hash: hash_of(GENESIS, 0),
            parent: B256::ZERO,
            transactions: Vec::new(),
        };
        Self {
            blocks: vec![genesis],
            other_fork: None,
            flips: 0,
            salt: 0,
            pool: BTreeMap::new(),
            offered: Vec::new(),
            faults: BTreeMap::new(),
            calls: BTreeMap::new(),
            balance: U256::from(10).pow(U256::from(24)),
            announce_hash: true,
            keep_pool: true,
            stale_head: None,
            inestimable: BTreeSet::new(),
            check: None,
        }
    }

    pub(super) fn head(&self) -> u64 {
        self.blocks.last().expect("there is a block").number
    }

    pub(super) fn block(&self, number: u64) -> Option<&Block> {
        let place = usize::try_from(number.checked_sub(GENESIS)?).ok()?;
        self.blocks.get(place)
    }

    pub(super) fn nonce_at(&self, account: Address, number: u64) -> u64 {
        let blocks = self.blocks.iter().filter(|block| block.number <= number);
        let sent = blocks.flat_map(|b| &b.transactions);
        sent.filter(|tx| tx.from == account).count() as u64
    }

    pub(super) fn push_block(&mut self) {
        let last = self.blocks.last().expect("there is a block");
        let (number, parent) = (last.number + 1, last.hash);
        let mut nonces = BTreeMap::new();
        let mut transactions = Vec::new();
        for ((account, nonce), tx) in std::mem::take(&mut self.pool) {
            let next = *nonces
                .entry(account)
                .or_insert_with(|| self.nonce_at(account, number));
            if nonce == next {
                nonces.insert(account, next + 1);
                transactions.push(tx);
            } else if nonce > next {
                self.pool.insert((account, nonce), tx);
            }
        }
        let hash = hash_of(number, self.salt);
        self.blocks.push(Block {
            number,
            hash,
            parent,
            transactions,
        });
    }

    pub(super) fn offer(&mut self, raw: &Bytes) -> NodeAnswer {
        let decoded = decode_signed(raw).expect("only signed transactions are offered");
        assert_eq!(decoded.tx.chain_id, CHAIN_ID);
        let tx = Tx {
            from: account_of(decoded.r),
            hash: decoded.hash,
            tx: decoded.tx,
            raw: raw.clone(),
        };
        self.offered.push(tx.clone());
        if let Some(check) = &self.check {
            check(&tx);
        }
        let refused = |message: &str| NodeAnswer::Rejected {
            code: -32_000,
            message: message.to_owned(),
        };
        if tx.tx.nonce < self.nonce_at(tx.from, self.head()) {
            return refused("nonce too low");
        }
        let place = (tx.from, tx.tx.nonce);
        if let Some(old) = self.pool.get(&place) {
            if old.hash == tx.hash {
                return refused("already known");
            }
            let (old, new) = (old.tx.fees, tx.tx.fees);
            let raised = |old: u128, new: u128| new > old && new * 10 >= old * 11;
            if !raised(old.max_per_gas(), new.max_per_gas())
                || !raised(old.tip_per_gas(), new.tip_per_gas())
            {
                return refused("replacement transaction underpriced");
            }
        }
        let hash = tx.hash;
        self.pool.insert(place, tx);
        NodeAnswer::Accepted(hash)
    }

    pub(super) fn receipt(&self, hash: B256) -> Option<Receipt> {
        self.blocks.iter().find_map(|block| {
            let found = block.transactions.iter().find(|tx| tx.hash == hash)?;
            Some(Receipt {
                hash,
                block_hash: block.hash,
                block_number: block.number,
                success: true,
                gas_used: found.tx.gas_limit,
                effective_gas_price: BASE_FEE,
                l1_fee: None,
                contract: None,
            })
        })
    }

    pub(super) fn views(&self, accounts: &[Address], number: u64) -> Vec<AccountView> {
        let view = |address: &Address| AccountView {
            address: *address,
            nonce: self.nonce_at(*address, number),
            balance: self.balance,
        };
        accounts.iter().map(view).collect()
    }
}

pub(super) fn observed(tx: &Tx, block_number: Option<u64>) -> ObservedTx {
    ObservedTx {
        from: tx.from,
        nonce: tx.tx.nonce,
        hash: tx.hash,
        call: tx.tx.call.clone(),
        gas_limit: tx.tx.gas_limit,
        max_fee: tx.tx.fees.max_per_gas(),
        max_priority_fee: match tx.tx.fees {
            Fees::Eip1559 {
                max_priority_fee, ..
            } => Some(max_priority_fee),
            Fees::Legacy { .. } => None,
        },
        raw: Some(tx.raw.clone()),
        block_number,
    }
}

pub(super) fn hash_of(number: u64, salt: u64) -> B256 {
    let mut bytes = [0xb1; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    bytes[8..16].copy_from_slice(&salt.to_be_bytes());
    B256::from(bytes)
}
