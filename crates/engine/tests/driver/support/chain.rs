//! A chain in memory that does what the test says, and nothing that a chain would not do.

mod ledger;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use baton_chain::{
    AccountView, BlockView, ChainClient, Estimate, HeadRef, Market, NodeAnswer, ObservedTx,
    Receipt, RpcError,
};
use baton_model::{Address, B256, Bytes, Call, U256};
use tokio::sync::watch;

pub(crate) use ledger::Tx;
use ledger::{State, hash_of, observed};

/// Number of the first block.
pub(crate) const GENESIS: u64 = 100;
/// Chain id.
pub(crate) const CHAIN_ID: u64 = 31_337;
/// Wei per gas.
pub(crate) const BASE_FEE: u128 = 1_000_000_000;

/// What goes wrong with one question.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    NoAnswer,
    Answered(i64, &'static str),
    /// No answer, ever.
    Hang,
    Panic,
    /// The answer is "there is none".
    Nothing,
}

/// The chain.
pub(crate) struct FakeChain {
    heads: watch::Sender<Option<HeadRef>>,
    state: Mutex<State>,
}

impl FakeChain {
    pub(crate) fn new() -> Arc<Self> {
        let chain = Self {
            heads: watch::Sender::new(None),
            state: Mutex::new(State::new()),
        };
        chain.announce();
        Arc::new(chain)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The next `count` questions of a kind go wrong.
    pub(crate) fn fail(&self, what: &'static str, fault: &Fault, count: usize) {
        let faults = std::iter::repeat_n(fault.clone(), count);
        self.state().faults.entry(what).or_default().extend(faults);
    }

    /// Questions of a kind go right again.
    pub(crate) fn heal(&self, what: &'static str) {
        self.state().faults.remove(what);
    }

    /// How often something was asked.
    pub(crate) fn calls(&self, what: &'static str) -> usize {
        self.state().calls.get(what).copied().unwrap_or_default()
    }

    pub(crate) fn check_offers(&self, check: impl Fn(&Tx) + Send + 'static) {
        self.state().check = Some(Box::new(check));
    }

    /// Heads come without hashes, as from a poll.
    pub(crate) fn announce_numbers_only(&self) {
        self.state().announce_hash = false;
    }

    pub(crate) fn set_balance(&self, balance: U256) {
        self.state().balance = balance;
    }

    pub(crate) fn set_inestimable(&self, target: Address) {
        self.state().inestimable.insert(target);
    }

    pub(crate) fn set_stale_head(&self, number: Option<u64>) {
        self.state().stale_head = number;
    }

    pub(crate) fn head(&self) -> u64 {
        self.state().head()
    }

    pub(crate) fn hash_at(&self, number: u64) -> Option<B256> {
        self.state().block(number).map(|block| block.hash)
    }

    /// Makes blocks with what the pool holds, and announces the last one.
    pub(crate) fn mine(&self, blocks: usize) {
        for _ in 0..blocks {
            self.state().push_block();
        }
        self.announce();
    }

    /// Replaces the last `depth` blocks by `blocks` others. Transactions go back to the pool.
    pub(crate) fn reorganise(&self, depth: usize, blocks: usize) {
        {
            let mut state = self.state();
            state.salt += 1;
            for _ in 0..depth {
                let block = state.blocks.pop().expect("there is a block");
                if state.keep_pool {
                    let returned = block.transactions.into_iter();
                    let returned = returned.map(|tx| ((tx.from, tx.tx.nonce), tx));
                    state.pool.extend(returned);
                }
            }
            for _ in 0..blocks {
                state.push_block();
            }
        }
        self.announce();
    }

    /// Another fork of the last `depth` blocks exists; every other question is answered from it.
    pub(crate) fn fork(&self, depth: usize) {
        let mut state = self.state();
        let mut other = state.blocks.clone();
        let keep = other.len() - depth;
        for place in keep..other.len() {
            other[place].hash = hash_of(other[place].number, 9_999);
            other[place].parent = other[place - 1].hash;
        }
        state.other_fork = Some(other);
    }

    pub(crate) fn join_forks(&self) {
        self.state().other_fork = None;
    }

    pub(crate) fn announce(&self) {
        let state = self.state();
        let head = state.blocks.last().expect("there is a block");
        self.heads.send_replace(Some(HeadRef {
            number: head.number,
            hash: state.announce_hash.then_some(head.hash),
        }));
    }

    /// Forgets the pool, as a node that restarts does.
    pub(crate) fn forget_pool(&self) {
        self.state().pool.clear();
    }

    /// Everything that was ever offered, in order.
    pub(crate) fn offered(&self) -> Vec<Tx> {
        self.state().offered.clone()
    }

    /// How often each target was called in the chain as it is.
    pub(crate) fn executed(&self) -> BTreeMap<Address, usize> {
        let mut executed = BTreeMap::new();
        for block in &self.state().blocks {
            for target in block.transactions.iter().filter_map(|tx| tx.tx.call.to) {
                *executed.entry(target).or_default() += 1;
            }
        }
        executed
    }

    /// Notes the question, and what goes wrong with it.
    async fn asked(&self, what: &'static str) -> Result<(), Option<RpcError>> {
        let fault = {
            let mut state = self.state();
            *state.calls.entry(what).or_default() += 1;
            state.faults.get_mut(what).and_then(VecDeque::pop_front)
        };
        let no_answer = RpcError::NoAnswer {
            reason: "scripted".to_owned(),
        };
        match fault {
            None => Ok(()),
            Some(Fault::NoAnswer) => Err(Some(no_answer)),
            Some(Fault::Answered(code, message)) => Err(Some(RpcError::Answered {
                code,
                message: message.to_owned(),
                data: None,
            })),
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::Panic) => panic!("scripted panic"),
            Some(Fault::Nothing) => Err(None),
        }
    }
}

#[async_trait]
impl ChainClient for FakeChain {
    fn heads(&self) -> watch::Receiver<Option<HeadRef>> {
        self.heads.subscribe()
    }

    async fn block(
        &self,
        number: Option<u64>,
        accounts: &[Address],
    ) -> Result<Option<BlockView>, RpcError> {
        if let Err(error) = self.asked("block").await {
            return error.map_or(Ok(None), Err);
        }
        let mut state = self.state();
        let number = number.or(state.stale_head).unwrap_or(state.head());
        state.flips += 1;
        let place = usize::try_from(number - GENESIS).expect("a number fits");
        let block = match &state.other_fork {
            Some(other) if state.flips.is_multiple_of(2) => other.get(place),
            Some(_) | None => state.blocks.get(place),
        };
        Ok(block.map(|block| BlockView {
            number,
            hash: block.hash,
            parent: block.parent,
            timestamp: number,
            base_fee: Some(BASE_FEE),
            gas_limit: 30_000_000,
            transactions: block.transactions.iter().map(|tx| tx.hash).collect(),
            accounts: state.views(accounts, number),
        }))
    }

    async fn broadcast(&self, transactions: &[Bytes]) -> Vec<Vec<NodeAnswer>> {
        match self.asked("broadcast").await {
            Ok(()) => {}
            // Fewer answers than transactions.
            Err(None) => return Vec::new(),
            Err(Some(error)) => {
                let reason = error.to_string();
                return vec![vec![NodeAnswer::Unknown { reason }]; transactions.len()];
            }
        }
        let mut state = self.state();
        transactions
            .iter()
            .map(|raw| vec![state.offer(raw)])
            .collect()
    }

    async fn block_receipts(
        &self,
        block: &BlockView,
        hashes: &[B256],
    ) -> Result<Vec<Receipt>, RpcError> {
        if let Err(error) = self.asked("block_receipts").await {
            return error.map_or(Ok(Vec::new()), Err);
        }
        let state = self.state();
        let receipts = hashes.iter().filter_map(|hash| state.receipt(*hash));
        Ok(receipts.filter(|r| r.block_hash == block.hash).collect())
    }

    async fn receipts(&self, hashes: &[B256]) -> Result<Vec<Option<Receipt>>, RpcError> {
        if let Err(error) = self.asked("receipts").await {
            return error.map_or(Ok(Vec::new()), Err);
        }
        let state = self.state();
        Ok(hashes.iter().map(|hash| state.receipt(*hash)).collect())
    }

    async fn market(&self, percentiles: &[u8]) -> Result<Market, RpcError> {
        if let Err(error) = self.asked("market").await {
            return Err(error.expect("there is always a market"));
        }
        Ok(Market {
            base_fee: Some(BASE_FEE),
            tips: vec![1_000_000; percentiles.len()],
            gas_price: BASE_FEE,
        })
    }

    async fn estimate(&self, calls: &[(Address, Call)]) -> Vec<Estimate> {
        let unknown = || RpcError::NoAnswer {
            reason: "scripted".to_owned(),
        };
        match self.asked("estimate").await {
            Ok(()) => {}
            Err(None) => return Vec::new(),
            Err(Some(error)) => return vec![Estimate::Unknown(error); calls.len()],
        }
        let state = self.state();
        let estimate = |(_, call): &(Address, Call)| match call.to {
            Some(to) if state.inestimable.contains(&to) => Estimate::Unknown(unknown()),
            Some(_) | None => Estimate::Gas(21_000),
        };
        calls.iter().map(estimate).collect()
    }

    async fn accounts(&self, addresses: &[Address]) -> Result<Vec<AccountView>, RpcError> {
        let state = self.state();
        Ok(state.views(addresses, state.head()))
    }

    async fn pending_nonces(&self, addresses: &[Address]) -> Result<Vec<u64>, RpcError> {
        if let Err(error) = self.asked("pending_nonces").await {
            return Err(error.expect("a count is never nothing"));
        }
        let state = self.state();
        let pending = |address: &Address| {
            let mut next = state.nonce_at(*address, state.head());
            while state.pool.contains_key(&(*address, next)) {
                next += 1;
            }
            next
        };
        Ok(addresses.iter().map(pending).collect())
    }

    async fn transaction_at(
        &self,
        account: Address,
        nonce: u64,
    ) -> Result<Option<ObservedTx>, RpcError> {
        if let Err(error) = self.asked("transaction_at").await {
            return error.map_or(Ok(None), Err);
        }
        let state = self.state();
        let mined = state.blocks.iter().flat_map(|block| {
            let number = Some(block.number);
            block.transactions.iter().map(move |tx| (number, tx))
        });
        let pending = state.pool.values().map(|tx| (None, tx));
        let mut known = mined.chain(pending);
        let found = known.find(|(_, tx)| tx.from == account && tx.tx.nonce == nonce);
        Ok(found.map(|(block_number, tx)| observed(tx, block_number)))
    }

    fn healthy(&self) -> bool {
        true
    }
}
