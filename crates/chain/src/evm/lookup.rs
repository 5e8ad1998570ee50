//! The transaction that used, or is about to use, a nonce.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_consensus::{SignableTransaction, TxEip1559, TxEip2930, TxEnvelope, TxLegacy};
use alloy_eips::eip2930::AccessList;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind};
use baton_model::{Call, U256};
use serde::{Deserialize, Deserializer};

use super::block::latest_number;
use super::quantity::{Quantity, hex};
use super::{ask_latest, exactly, parse};
use crate::client::{ObservedTx, RpcError};
use crate::rpc::{Ask, Feature, Node, Pool, Read, Reply};
use crate::tx::{encoded, kind};

/// How many blocks back a nonce is searched. Nodes without an archive give up long before; with one, this is some
/// months of a fast chain in 20 steps to bracket it and 24 to find it.
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
        let found = content
            .pending
            .into_values()
            .chain(content.queued.into_values());
        if let Some(tx) = found.into_iter().find(|tx| tx.is(account, nonce)) {
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
    let found = transactions.into_iter().find(|tx| tx.is(account, nonce));
    Ok(found.map(|tx| {
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

#[derive(Default, Deserialize)]
struct Content {
    #[serde(default)]
    pending: BTreeMap<String, JsonTx>,
    #[serde(default)]
    queued: BTreeMap<String, JsonTx>,
}

#[derive(Deserialize)]
struct FullBlock {
    transactions: Vec<JsonTx>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonTx {
    hash: B256,
    from: Address,
    nonce: Quantity<u64>,
    to: Option<Address>,
    value: Quantity<U256>,
    #[serde(alias = "data")]
    input: Bytes,
    gas: Quantity<u64>,
    gas_price: Option<Quantity<u128>>,
    max_fee_per_gas: Option<Quantity<u128>>,
    max_priority_fee_per_gas: Option<Quantity<u128>>,
    block_number: Option<Quantity<u64>>,
    chain_id: Option<Quantity<u64>>,
    #[serde(rename = "type", default, deserialize_with = "lenient")]
    tx_type: Option<Quantity<u8>>,
    access_list: Option<AccessListJson>,
    v: Option<Quantity<u64>>,
    y_parity: Option<Quantity<u8>>,
    r: Option<Quantity<U256>>,
    s: Option<Quantity<U256>>,
}

#[derive(Clone, Deserialize)]
#[serde(transparent)]
struct AccessListJson(Vec<AccessItem>);

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AccessItem {
    address: Address,
    storage_keys: Vec<B256>,
}

/// Types that do not fit are not ours to rebuild, and no reason to drop the whole block.
fn lenient<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Quantity<u8>>, D::Error> {
    Option::<Quantity<u8>>::deserialize(from)
}

impl JsonTx {
    fn is(&self, account: Address, nonce: u64) -> bool {
        self.from == account && self.nonce.0 == nonce
    }

    fn observed(self) -> ObservedTx {
        let max_fee = self.max_fee_per_gas.or(self.gas_price);
        ObservedTx {
            raw: self.rebuild(),
            from: self.from,
            nonce: self.nonce.0,
            hash: self.hash,
            gas_limit: self.gas.0,
            max_fee: max_fee.map_or(0, |fee| fee.0),
            max_priority_fee: self.max_priority_fee_per_gas.map(|fee| fee.0),
            block_number: self.block_number.map(|number| number.0),
            call: Call {
                to: self.to,
                value: self.value.0,
                data: self.input,
            },
        }
    }

    /// The signed bytes, if the fields make a transaction of the same hash.
    fn rebuild(&self) -> Option<Bytes> {
        let signature = Signature::new(self.r?.0, self.s?.0, self.parity()?);
        let envelope: TxEnvelope = match self.tx_type.map_or(0, |tx_type| tx_type.0) {
            0 => self.legacy()?.into_signed(signature).into(),
            1 => self.eip2930()?.into_signed(signature).into(),
            2 => self.eip1559()?.into_signed(signature).into(),
            _ => return None,
        };
        let encoded = encoded(&envelope);
        (encoded.hash == self.hash).then_some(encoded.raw)
    }

    /// `v` is the parity, 27 more, or 35 more plus twice the chain id.
    fn parity(&self) -> Option<bool> {
        let number = self
            .y_parity
            .map(|parity| u64::from(parity.0))
            .or_else(|| {
                let v = self.v?.0;
                match v {
                    0 | 1 => Some(v),
                    27 | 28 => Some(v - 27),
                    _ => v.checked_sub(35).map(|rest| rest % 2),
                }
            })?;
        Some(number == 1)
    }

    fn legacy(&self) -> Option<TxLegacy> {
        let protected_by_v = self
            .v
            .and_then(|v| v.0.checked_sub(35))
            .map(|rest| rest / 2);
        Some(TxLegacy {
            chain_id: protected_by_v.or(match self.v {
                Some(_) => None,
                None => self.chain_id.map(|id| id.0),
            }),
            nonce: self.nonce.0,
            gas_price: self.gas_price?.0,
            gas_limit: self.gas.0,
            to: self.kind(),
            value: self.value.0,
            input: self.input.clone(),
        })
    }

    fn eip2930(&self) -> Option<TxEip2930> {
        Some(TxEip2930 {
            chain_id: self.chain_id?.0,
            nonce: self.nonce.0,
            gas_price: self.gas_price?.0,
            gas_limit: self.gas.0,
            to: self.kind(),
            value: self.value.0,
            access_list: self.access_list(),
            input: self.input.clone(),
        })
    }

    fn eip1559(&self) -> Option<TxEip1559> {
        Some(TxEip1559 {
            chain_id: self.chain_id?.0,
            nonce: self.nonce.0,
            gas_limit: self.gas.0,
            max_fee_per_gas: self.max_fee_per_gas?.0,
            max_priority_fee_per_gas: self.max_priority_fee_per_gas?.0,
            to: self.kind(),
            value: self.value.0,
            access_list: self.access_list(),
            input: self.input.clone(),
        })
    }

    fn kind(&self) -> TxKind {
        kind(self.to)
    }

    fn access_list(&self) -> AccessList {
        let items = self.access_list.iter().flat_map(|list| list.0.clone());
        AccessList(
            items
                .map(|item| alloy_eips::eip2930::AccessListItem {
                    address: item.address,
                    storage_keys: item.storage_keys,
                })
                .collect(),
        )
    }
}
