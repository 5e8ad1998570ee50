//! Blocks and the state of accounts.

use alloy_primitives::{Address, B256};
use baton_model::U256;
use serde::Deserialize;

use super::quantity::{Quantity, hex};
use super::{ask_latest, exactly, is_found, parse};
use crate::client::{AccountView, BlockView, HeadRef, RpcError};
use crate::rpc::{Ask, Pool, Read, Reply};

pub(super) async fn block(
    pool: &Pool,
    number: Option<u64>,
    accounts: &[Address],
) -> Result<Option<BlockView>, RpcError> {
    // The head and not the node's own "latest": a node that lags must not take the caller back in
    // time, and the block and the state must be of one number.
    let number = match (number, pool.head()) {
        (Some(number), _) => number,
        (None, Some(head)) => head.number,
        (None, None) => latest_number(pool).await?,
    };
    block_at(pool, number, accounts).await
}

pub(super) async fn accounts(
    pool: &Pool,
    addresses: &[Address],
) -> Result<Vec<AccountView>, RpcError> {
    let number = match pool.head() {
        Some(head) => head.number,
        None => latest_number(pool).await?,
    };
    let asks = state_asks(addresses, number);
    let read = Read {
        asks: &asks,
        at: Some(number),
        complete: |_| true,
    };
    let (_, replies) = pool.read(&read).await?;
    views(addresses, replies)
}

pub(super) async fn pending_nonces(
    pool: &Pool,
    addresses: &[Address],
) -> Result<Vec<u64>, RpcError> {
    let asks: Vec<Ask> = addresses
        .iter()
        .map(|address| Ask::new(COUNT, &(address, "pending")))
        .collect();
    let (_, replies) = pool.read(&Read::latest(&asks)).await?;
    replies
        .into_iter()
        .map(|reply| parse::<Quantity<u64>>(COUNT, reply).map(|nonce| nonce.0))
        .collect()
}

/// The latest number of the most advanced endpoint.
pub(super) async fn latest_number(pool: &Pool) -> Result<u64, RpcError> {
    let (node, [reply]) = ask_latest(pool, [Ask::new("eth_blockNumber", &[(); 0])]).await?;
    let number = parse::<Quantity<u64>>("eth_blockNumber", reply)?.0;
    pool.report(node.index, HeadRef { number, hash: None });
    Ok(number)
}

const BLOCK: &str = "eth_getBlockByNumber";
const COUNT: &str = "eth_getTransactionCount";
const BALANCE: &str = "eth_getBalance";

async fn block_at(
    pool: &Pool,
    number: u64,
    accounts: &[Address],
) -> Result<Option<BlockView>, RpcError> {
    let block_ask = Ask::new(BLOCK, &(hex(number), false));
    let mut asks = vec![block_ask.clone()];
    asks.extend(state_asks(accounts, number));
    let is_known = pool.head().is_some_and(|head| number <= head.number);
    let read = Read {
        asks: &asks,
        at: Some(number),
        // A block beyond the head is not there yet: asking others would only cost time.
        complete: if is_known {
            |replies| is_found(replies.first())
        } else {
            |_| true
        },
    };
    let (node, mut replies) = pool.read(&read).await?;
    let is_one_exchange = node.chunk_len(&asks) == asks.len();
    let state = replies.split_off(1);
    let [reply] = exactly(replies)?;
    let Some(block) = parse::<Option<JsonBlock>>(BLOCK, reply)? else {
        return Ok(None);
    };
    if !is_one_exchange {
        let [again] = exactly(pool.read_there(&node, &[block_ask]).await?)?;
        let again = parse::<Option<JsonBlock>>(BLOCK, again)?;
        if again.map(|block| block.hash) != Some(block.hash) {
            return Err(RpcError::NoAnswer {
                reason: format!("block {number} was replaced while its state was read"),
            });
        }
    }
    Ok(Some(block.view(views(accounts, state)?)))
}

fn state_asks(addresses: &[Address], number: u64) -> Vec<Ask> {
    let at = hex(number);
    addresses
        .iter()
        .flat_map(|address| {
            [
                Ask::new(COUNT, &(address, &at)),
                Ask::new(BALANCE, &(address, &at)),
            ]
        })
        .collect()
}

fn views(addresses: &[Address], replies: Vec<Reply>) -> Result<Vec<AccountView>, RpcError> {
    let mut replies = replies.into_iter();
    let mut next = || {
        replies.next().unwrap_or_else(|| {
            Err(RpcError::NoAnswer {
                reason: "fewer answers than questions".to_owned(),
            })
        })
    };
    addresses
        .iter()
        .map(|address| {
            Ok(AccountView {
                address: *address,
                nonce: parse::<Quantity<u64>>(COUNT, next())?.0,
                balance: parse::<Quantity<U256>>(BALANCE, next())?.0,
            })
        })
        .collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonBlock {
    number: Quantity<u64>,
    hash: B256,
    parent_hash: B256,
    timestamp: Quantity<u64>,
    base_fee_per_gas: Option<Quantity<u128>>,
    gas_limit: Quantity<u64>,
    transactions: Vec<B256>,
}

impl JsonBlock {
    fn view(self, accounts: Vec<AccountView>) -> BlockView {
        BlockView {
            number: self.number.0,
            hash: self.hash,
            parent: self.parent_hash,
            timestamp: self.timestamp.0,
            base_fee: self.base_fee_per_gas.map(|fee| fee.0),
            gas_limit: self.gas_limit.0,
            transactions: self.transactions,
            accounts,
        }
    }
}
