//! A chain in memory for one account, which answers at once.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use baton_chain::tx::decode_signed;
use baton_chain::{
    AccountView, BlockView, ChainClient, Estimate, HeadRef, Market, NodeAnswer, ObservedTx,
    Receipt, RpcError,
};
use baton_model::{Address, B256, Bytes, Call, U256};
use tokio::sync::watch;

/// Chain id.
pub(crate) const CHAIN_ID: u64 = 31_337;
const BASE_FEE: u128 = 1_000_000_000;

/// The chain.
pub(crate) struct InstantChain {
    heads: watch::Sender<Option<HeadRef>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    blocks: Vec<Block>,
    pool: BTreeMap<u64, B256>,
    mined: HashMap<B256, u64>,
    nonce: u64,
}

struct Block {
    transactions: Vec<B256>,
    /// The account's next nonce after it.
    nonce: u64,
}

impl InstantChain {
    pub(crate) fn new() -> Self {
        let chain = Self {
            heads: watch::Sender::new(None),
            state: Mutex::default(),
        };
        chain.mine();
        chain
    }

    /// Makes a block of everything that can be mined.
    pub(crate) fn mine(&self) {
        let mut state = self.state();
        let number = state.blocks.len() as u64;
        let mut transactions = Vec::new();
        loop {
            let next = state.nonce;
            let Some(hash) = state.pool.remove(&next) else {
                break;
            };
            state.nonce += 1;
            state.mined.insert(hash, number);
            transactions.push(hash);
        }
        let nonce = state.nonce;
        state.blocks.push(Block {
            transactions,
            nonce,
        });
        drop(state);
        let hash = Some(hash_of(number));
        self.heads.send_replace(Some(HeadRef { number, hash }));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn receipt(&self, hash: &B256) -> Option<Receipt> {
        let number = *self.mined.get(hash)?;
        Some(Receipt {
            hash: *hash,
            block_hash: hash_of(number),
            block_number: number,
            success: true,
            gas_used: 21_000,
            effective_gas_price: BASE_FEE,
            l1_fee: None,
            contract: None,
        })
    }

    fn views(&self, accounts: &[Address], nonce: u64) -> Vec<AccountView> {
        let view = |address: &Address| AccountView {
            address: *address,
            nonce,
            balance: U256::from(u128::MAX),
        };
        accounts.iter().map(view).collect()
    }
}

#[async_trait]
impl ChainClient for InstantChain {
    fn heads(&self) -> watch::Receiver<Option<HeadRef>> {
        self.heads.subscribe()
    }

    async fn block(
        &self,
        number: Option<u64>,
        accounts: &[Address],
    ) -> Result<Option<BlockView>, RpcError> {
        let state = self.state();
        let number = number.unwrap_or(state.blocks.len() as u64 - 1);
        let place = usize::try_from(number).expect("a number fits");
        Ok(state.blocks.get(place).map(|block| BlockView {
            number,
            hash: hash_of(number),
            parent: hash_of(number.wrapping_sub(1)),
            timestamp: number,
            base_fee: Some(BASE_FEE),
            gas_limit: 30_000_000,
            transactions: block.transactions.clone(),
            accounts: state.views(accounts, block.nonce),
        }))
    }

    async fn broadcast(&self, transactions: &[Bytes]) -> Vec<Vec<NodeAnswer>> {
        let mut state = self.state();
        let offer = |raw: &Bytes| {
            let decoded = decode_signed(raw).expect("only signed transactions are offered");
            state.pool.insert(decoded.tx.nonce, decoded.hash);
            vec![NodeAnswer::Accepted(decoded.hash)]
        };
        transactions.iter().map(offer).collect()
    }

    async fn block_receipts(
        &self,
        _: &BlockView,
        hashes: &[B256],
    ) -> Result<Vec<Receipt>, RpcError> {
        let state = self.state();
        Ok(hashes
            .iter()
            .filter_map(|hash| state.receipt(hash))
            .collect())
    }

    async fn receipts(&self, hashes: &[B256]) -> Result<Vec<Option<Receipt>>, RpcError> {
        let state = self.state();
        Ok(hashes.iter().map(|hash| state.receipt(hash)).collect())
    }

    async fn market(&self, percentiles: &[u8]) -> Result<Market, RpcError> {
        Ok(Market {
            base_fee: Some(BASE_FEE),
            tips: vec![1_000_000; percentiles.len()],
            gas_price: BASE_FEE,
        })
    }

    async fn estimate(&self, calls: &[(Address, Call)]) -> Vec<Estimate> {
        vec![Estimate::Gas(21_000); calls.len()]
    }

    async fn accounts(&self, addresses: &[Address]) -> Result<Vec<AccountView>, RpcError> {
        let state = self.state();
        Ok(state.views(addresses, state.nonce))
    }

    async fn pending_nonces(&self, addresses: &[Address]) -> Result<Vec<u64>, RpcError> {
        let nonce = self.state().nonce;
        Ok(vec![nonce; addresses.len()])
    }

    async fn transaction_at(&self, _: Address, _: u64) -> Result<Option<ObservedTx>, RpcError> {
        Ok(None)
    }

    fn healthy(&self) -> bool {
        true
    }
}

fn hash_of(number: u64) -> B256 {
    B256::left_padding_from(&number.wrapping_add(1).to_be_bytes())
}
