//! A chain that only knows balances.

use std::collections::VecDeque;
use std::sync::Mutex;

use async_trait::async_trait;
use baton_chain::{
    AccountView, BlockView, ChainClient, Estimate, HeadRef, Market, NodeAnswer, ObservedTx,
    PassedAnswer, PassedCall, Receipt, RpcError,
};
use baton_model::{Address, B256, Bytes, Call, U256};
use serde_json::value::RawValue;
use tokio::sync::watch;

/// What is asked of it through the passthrough, and what it says.
#[derive(Default)]
struct Passed {
    asked: Vec<String>,
    answers: VecDeque<PassedAnswer>,
    offers: Vec<NodeAnswer>,
    market: Option<Market>,
}

/// Accounts in order have `nonce`, `nonce + 1`, … and `balance` each; or no node answers.
pub(crate) struct FakeChain(Mutex<State>, Mutex<Passed>);

#[derive(Clone, Copy)]
struct State {
    balance: U256,
    nonce: u64,
    down: bool,
}

impl Default for FakeChain {
    fn default() -> Self {
        Self(
            Mutex::new(State {
                balance: U256::ZERO,
                nonce: 0,
                down: false,
            }),
            Mutex::default(),
        )
    }
}

impl FakeChain {
    pub(crate) fn set(&self, balance: U256, nonce: u64) {
        let mut state = self.0.lock().unwrap();
        (state.balance, state.nonce) = (balance, nonce);
    }

    /// The next answer to a caller's call; without one no node answers.
    pub(crate) fn answer(&self, answer: Result<&str, RpcError>) {
        let answer = answer.map(|text| RawValue::from_string(text.to_owned()).unwrap());
        self.1.lock().unwrap().answers.push_back(answer);
    }

    /// The calls that were passed, in order.
    pub(crate) fn passed(&self) -> Vec<String> {
        self.1.lock().unwrap().asked.clone()
    }

    /// What nodes say to a broadcast from now on.
    pub(crate) fn offers(&self, said: Vec<NodeAnswer>) {
        self.1.lock().unwrap().offers = said;
    }

    pub(crate) fn set_market(&self, market: Market) {
        self.1.lock().unwrap().market = Some(market);
    }

    pub(crate) fn go_down(&self) {
        self.0.lock().unwrap().down = true;
    }
}

fn down() -> RpcError {
    RpcError::NoAnswer {
        reason: "connection refused by node.example".to_owned(),
    }
}

#[async_trait]
impl ChainClient for FakeChain {
    fn heads(&self) -> watch::Receiver<Option<HeadRef>> {
        watch::Sender::new(None).subscribe()
    }

    async fn block(&self, _: Option<u64>, _: &[Address]) -> Result<Option<BlockView>, RpcError> {
        Err(down())
    }

    async fn broadcast(&self, transactions: &[Bytes]) -> Vec<Vec<NodeAnswer>> {
        let said = self.1.lock().unwrap().offers.clone();
        transactions.iter().map(|_| said.clone()).collect()
    }

    async fn block_receipts(&self, _: &BlockView, _: &[B256]) -> Result<Vec<Receipt>, RpcError> {
        Err(down())
    }

    async fn receipts(&self, _: &[B256]) -> Result<Vec<Option<Receipt>>, RpcError> {
        Err(down())
    }

    async fn market(&self, _: &[u8]) -> Result<Market, RpcError> {
        let market = self.1.lock().unwrap().market.clone();
        market.ok_or_else(down)
    }

    async fn estimate(&self, calls: &[(Address, Call)]) -> Vec<Estimate> {
        calls.iter().map(|_| Estimate::Unknown(down())).collect()
    }

    async fn accounts(&self, addresses: &[Address]) -> Result<Vec<AccountView>, RpcError> {
        let state = *self.0.lock().unwrap();
        if state.down {
            return Err(down());
        }
        let views = (state.nonce..)
            .zip(addresses)
            .map(|(nonce, address)| AccountView {
                address: *address,
                nonce,
                balance: state.balance,
            });
        Ok(views.collect())
    }

    async fn pending_nonces(&self, _: &[Address]) -> Result<Vec<u64>, RpcError> {
        Err(down())
    }

    async fn transaction_at(&self, _: Address, _: u64) -> Result<Option<ObservedTx>, RpcError> {
        Err(down())
    }

    async fn pass(&self, calls: &[PassedCall]) -> Result<Vec<PassedAnswer>, RpcError> {
        let mut passed = self.1.lock().unwrap();
        if passed.answers.len() < calls.len() {
            return Err(down());
        }
        let asked = calls
            .iter()
            .map(|call| format!("{} {}", call.method, call.params.get()));
        passed.asked.extend(asked);
        Ok(passed.answers.drain(..calls.len()).collect())
    }

    fn healthy(&self) -> bool {
        !self.0.lock().unwrap().down
    }
}
