//! The chain, and the nodes that serve it.

mod blocks;
mod client;
mod node;
mod pool;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use alloy_primitives::keccak256;
use baton_chain::HeadRef;
use baton_model::{Address, B256, U256};

use crate::rng::Rng;

pub(crate) use blocks::Blocks;
pub(crate) use client::{SimChain, observed};
pub(crate) use node::{Node, Refusal};
pub(crate) use pool::{Kind, PooledTx, Pools};

/// Chain id.
pub(crate) const CHAIN_ID: u64 = 31_337;
/// Gas limit of every block.
pub(crate) const BLOCK_GAS: u64 = 30_000_000;
/// Wei per gas that blocks demand in quiet times.
pub(crate) const BASE_FEE: u128 = 1_000_000_000;
/// First byte of the data of calls that revert.
pub(crate) const REVERTING: u8 = 0xee;
/// First byte of the data of calls that no node takes.
pub(crate) const POISON: u8 = 0xdd;

/// How nodes treat what they are offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// geth's pool.
    Geth,
    /// A sequencer without a pool, which waits one second for a missing predecessor (Arbitrum Nitro).
    Sequencer,
    /// A pool with a window of nonces, busy with one transaction of a nonce at a time (zkSync Era).
    Window(u64),
}

/// The chain and its nodes.
pub(crate) struct Chain {
    pub(crate) flavour: Flavour,
    pub(crate) eip1559: bool,
    pub(crate) confirmations: u64,
    pub(crate) blocks: Blocks,
    pub(crate) nodes: Vec<Node>,
    /// Wei per gas of the next block.
    pub(crate) base_fee: u128,
    /// What the market is, and what pools demand.
    pub(crate) pools: Pools,
    made: u64,
}

/// What a chain is made of.
pub(crate) struct Setup {
    pub(crate) flavour: Flavour,
    pub(crate) eip1559: bool,
    pub(crate) confirmations: u64,
    pub(crate) nodes: usize,
    pub(crate) accounts: Vec<Address>,
    pub(crate) balance: U256,
    pub(crate) delegated: BTreeSet<Address>,
}

impl Chain {
    pub(crate) fn new(setup: Setup) -> Self {
        let blocks = Blocks::new(&setup.accounts, setup.balance);
        let nodes = (0..setup.nodes).map(|_| Node::new(blocks.head()));
        Self {
            flavour: setup.flavour,
            eip1559: setup.eip1559,
            confirmations: setup.confirmations,
            nodes: nodes.collect(),
            blocks,
            base_fee: BASE_FEE,
            pools: Pools {
                delegated: setup.delegated,
                ..Pools::default()
            },
            made: 0,
        }
    }

    /// Makes a block from what a node at the head holds; accounts may be skipped.
    pub(crate) fn mine(&mut self, skip_percent: u64, rng: &mut Rng) {
        let head = self.blocks.head();
        let fresh: Vec<usize> = (0..self.nodes.len())
            .filter(|index| self.nodes[*index].head == head)
            .collect();
        let proposer = if fresh.is_empty() {
            None
        } else {
            Some(rng.pick(&fresh))
        };
        let hash = self.fresh_hash();
        let mut block = self.blocks.next(hash, self.base_fee);
        if let Some(proposer) = proposer {
            let pool = &self.nodes[proposer].pool;
            block.fill(pool, self.base_fee, || rng.percent(skip_percent));
        }
        self.blocks.push(block);
    }

    /// Replaces up to `depth` blocks, none of them final, by others: `lose` says which transactions of theirs are
    /// lost. Gives how many were replaced.
    pub(crate) fn reorganise(
        &mut self,
        depth: u64,
        grow: u64,
        mut lose: impl FnMut() -> bool,
    ) -> u64 {
        let head = self.blocks.get(self.blocks.head()).number;
        let lowest = self.blocks.top().saturating_sub(self.confirmations);
        let to = head.saturating_sub(depth).max(lowest).max(blocks::GENESIS);
        let replaced = head.saturating_sub(to);
        if replaced == 0 {
            return 0;
        }
        let returned = self.blocks.take_back(to);
        for tx in returned {
            if lose() {
                for node in &mut self.nodes {
                    node.pool.remove(&tx);
                }
            } else {
                for node in &mut self.nodes {
                    node.pool.give_back(&tx);
                }
            }
        }
        for _ in 0..grow {
            let hash = self.fresh_hash();
            let block = self.blocks.next(hash, self.base_fee);
            self.blocks.push(block);
        }
        replaced
    }

    /// Nodes take over the head of the chain, except those that stand still.
    pub(crate) fn sync(&mut self, now_ms: u64) {
        let head = self.blocks.head();
        for node in &mut self.nodes {
            if node.stuck_until_ms <= now_ms {
                node.head = head;
                let blocks = &self.blocks;
                node.pool
                    .drop_used(|account| blocks.state(head, account).nonce);
            }
        }
    }

    /// Nodes tell each other what they hold.
    pub(crate) fn gossip(&mut self, mut tell: impl FnMut() -> bool) {
        if self.nodes.len() < 2 || self.flavour == Flavour::Sequencer {
            return;
        }
        for from in 0..self.nodes.len() {
            let told: Vec<PooledTx> = self.nodes[from]
                .pool
                .all()
                .filter(|_| tell())
                .cloned()
                .collect();
            for to in (0..self.nodes.len()).filter(|to| *to != from) {
                for tx in &told {
                    // What that node makes of it is its own matter.
                    let _: Result<(), Refusal> = self.offer(to, tx.clone());
                }
            }
        }
    }

    /// A node is offered a transaction.
    pub(crate) fn offer(&mut self, node: usize, tx: PooledTx) -> Result<(), Refusal> {
        let head = self.nodes[node].head;
        let state = self.blocks.state(head, tx.from);
        let rules = pool::Rules {
            flavour: self.flavour,
            pools: &self.pools,
            base_fee: self.base_fee,
            state,
        };
        self.nodes[node].pool.offer(tx, &rules)
    }

    /// The node that is ahead of the others.
    pub(crate) fn best(&self) -> usize {
        let number = |index: &usize| self.blocks.get(self.nodes[*index].head).number;
        let canonical = |index: &usize| self.blocks.is_canonical(self.nodes[*index].head);
        (0..self.nodes.len())
            .max_by_key(|index| (canonical(index), number(index), usize::MAX - index))
            .expect("there is a node")
    }

    /// The head as a node sees it.
    pub(crate) fn head_of(&self, node: usize) -> HeadRef {
        let block = self.blocks.get(self.nodes[node].head);
        HeadRef {
            number: block.number,
            hash: Some(block.hash),
        }
    }

    /// Gives an account a balance, as a block of its own would.
    pub(crate) fn fund(&mut self, account: Address, balance: U256) {
        let hash = self.fresh_hash();
        let mut block = self.blocks.next(hash, self.base_fee);
        block.set_balance(account, balance);
        self.blocks.push(block);
    }

    /// Sequencers drop what does not pay the base fee: their queues are short.
    pub(crate) fn drop_unpaid(&mut self) {
        if self.flavour != Flavour::Geth {
            let base_fee = self.base_fee;
            for node in &mut self.nodes {
                node.pool.retain(|tx| tx.tx.fees.max_per_gas() >= base_fee);
            }
        }
    }

    /// Pools are full of other transactions from now on.
    pub(crate) fn crowd(&mut self) {
        self.pools.crowded = true;
        for node in &mut self.nodes {
            let (head, blocks) = (node.head, &self.blocks);
            node.pool
                .truncate_all(|account| blocks.state(head, account).nonce);
        }
    }

    fn fresh_hash(&mut self) -> B256 {
        self.made += 1;
        keccak256(self.made.to_be_bytes())
    }
}
