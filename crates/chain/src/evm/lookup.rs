//! The transaction that used, or is about to use, a nonce.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::Address;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::block::latest_number;
use super::quantity::{Quantity, hex};
use super::transaction::JsonTx;
use super::{ask_latest, exactly, parse};
use crate::client::{ObservedTx, RpcError};
use crate::rpc::{Ask, Feature, Node, Pool, Read, Reply};

/// How many blocks back a nonce is searched. Nodes without an archive give up long before; with
/// one, this is some months of a fast chain in 20 steps to bracket it and 24 to find it.
const BLOCKS_BACK_MAX: u64 = 1 << 24;

pub(super) async fn transaction_at(
    pool: &Pool,
    account: Address,
    nonce: u64,
) -> Result<Option<ObservedTx>, RpcError> {
    if let Some(found) = by_index(pool, account, nonce).await? {
        return Ok(Some(found));
    }
    let head = match pool.head() {
        Some(head) => head.number,
        None => latest_number(pool).await?,
    };
    match count_at(pool, account, head).await? {
        Some(count) if count > nonce => mined(pool, account, nonce, head).await,
        Some(_) | None => pending(pool, account, nonce).await,
    }
}

const BY_NONCE: &str = "eth_getTransactionBySenderAndNonce";
const CONTENT_FROM: &str = "txpool_contentFrom";
const BLOCK: &str = "eth_getBlockByNumber";
const COUNT: &str = "eth_getTransactionCount";

/// Asks a node that keeps an index of it.
async fn by_index(
    pool: &Pool,
    account: Address,
    nonce: u64,
) -> Result<Option<ObservedTx>, RpcError> {
    let ask = Ask::new(BY_NONCE, &(account, hex(nonce)));
    let Some((_, reply)) = ask_if_offered(pool, Feature::BySenderAndNonce, ask).await? else {
        return Ok(None);
    };
    let Some(found) = read_or_nothing::<Option<JsonTx>>(BY_NONCE, reply)?.flatten() else {
        return Ok(None);
    };
    // A node that answers something else than it was asked for knows nothing.
    Ok(found.is(account, nonce).then(|| found.observed()))
}

/// Finds the block by halving, for the count of an account's transactions only rises.
async fn mined(
    pool: &Pool,
    account: Address,
    nonce: u64,
    head: u64,
) -> Result<Option<ObservedTx>, RpcError> {
    let lowest = head.saturating_sub(BLOCKS_BACK_MAX);
    // Invariant: at `high` the nonce is used; at `low` it is not.
    let (mut high, mut step) = (head, 1);
    let mut low = loop {
        let probe = head.saturating_sub(step).max(lowest);
        match count_at(pool, account, probe).await? {
            Some(count) if count <= nonce => break probe,
            Some(_) if probe > lowest => high = probe,
            // Used in the first block looked at, or the node keeps no state that old.
            Some(_) | None => return Ok(None),
        }
        step = step.saturating_mul(2);
    };
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        match count_at(pool, account, middle).await? {
            Some(count) if count > nonce => high = middle,
            Some(_) => low = middle,
            None => return Ok(None),
        }
    }
    in_block(pool, account, nonce, &hex(high), Some(high)).await
}

async fn pending(
    pool: &Pool,
    account: Address,
    nonce: u64,
) -> Result<Option<ObservedTx>, RpcError> {
    let ask = Ask::new(CONTENT_FROM, &[account]);
    if let Some((_, reply)) = ask_if_offered(pool, Feature::ContentFrom, ask).await? {
        let content = read_or_nothing::<Content>(CONTENT_FROM, reply)?.unwrap_or_default();
        let shown = content
            .pending
            .into_values()
            .chain(content.queued.into_values());
        if let Some(tx) = pick(shown, account, nonce) {
            return Ok(Some(tx.observed()));
        }
    }
    in_block(pool, account, nonce, "pending", None).await
}

/// The account's number of transactions at a block; `None` when the node cannot tell.
async fn count_at(pool: &Pool, account: Address, block: u64) -> Result<Option<u64>, RpcError> {
    let asks = [Ask::new(COUNT, &(account, hex(block)))];
    let read = Read {
        asks: &asks,
        at: Some(block),
        complete: |_| true,
    };
    let (_, replies) = pool.read(&read).await?;
    let [reply] = exactly(replies)?;
    Ok(read_or_nothing::<Quantity<u64>>(COUNT, reply)?.map(|count| count.0))
}

async fn in_block(
    pool: &Pool,
    account: Address,
    nonce: u64,
    tag: &str,
    at: Option<u64>,
) -> Result<Option<ObservedTx>, RpcError> {
    let asks = [Ask::new(BLOCK, &(tag, true))];
    let read = Read {
        asks: &asks,
        at,
        complete: |_| true,
    };
    let (_, replies) = pool.read(&read).await?;
    let [reply] = exactly(replies)?;
    let block = read_or_nothing::<Option<FullBlock>>(BLOCK, reply)?.flatten();
    let transactions = block.map(|block| block.transactions).unwrap_or_default();
    Ok(pick(transactions, account, nonce).map(|tx| {
        let mut observed = tx.observed();
        // Some nodes number the block that they only propose.
        observed.block_number = at;
        observed
    }))
}

/// `None` when no endpoint offers the method, as far as known.
async fn ask_if_offered(
    pool: &Pool,
    feature: Feature,
    ask: Ask,
) -> Result<Option<(Arc<Node>, Reply)>, RpcError> {
    if pool.nodes.iter().all(|node| node.lacks(feature)) {
        return Ok(None);
    }
    let (node, [reply]) = ask_latest(pool, [ask]).await?;
    if let Err(error) = &reply {
        node.note_missing(feature, error);
    }
    Ok(Some((node, reply)))
}

/// An error that the node answered means that it cannot tell.
fn read_or_nothing<T: serde::de::DeserializeOwned>(
    method: &'static str,
    reply: Reply,
) -> Result<Option<T>, RpcError> {
    match parse(method, reply) {
        Ok(value) => Ok(Some(value)),
        Err(RpcError::Answered { .. }) => Ok(None),
        Err(error @ RpcError::NoAnswer { .. }) => Err(error),
    }
}

/// Chains have transactions of their own types, with other fields; those are passed over.
fn pick(
    shown: impl IntoIterator<Item = Box<RawValue>>,
    account: Address,
    nonce: u64,
) -> Option<JsonTx> {
    shown
        .into_iter()
        .filter_map(|json| serde_json::from_str::<JsonTx>(json.get()).ok())
        .find(|tx| tx.is(account, nonce))
}

#[derive(Default, Deserialize)]
struct Content {
    #[serde(default)]
    pending: BTreeMap<String, Box<RawValue>>,
    #[serde(default)]
    queued: BTreeMap<String, Box<RawValue>>,
}

#[derive(Deserialize)]
struct FullBlock {
    transactions: Vec<Box<RawValue>>,
}
