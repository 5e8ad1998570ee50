//! Receipts.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256};
use baton_model::U256;
use serde::Deserialize;

use super::quantity::{Quantity, hex};
use super::{exactly, is_found, parse};
use crate::client::{BlockView, Receipt, RpcError};
use crate::rpc::{Ask, Feature, Pool, Read};

/// From so many receipts on, and if they are a quarter of the block or more, the whole block's
/// receipts cost a node less than single ones.
const WHOLE_BLOCK_FROM: usize = 4;

pub(super) async fn block_receipts(
    pool: &Pool,
    block: &BlockView,
    hashes: &[B256],
) -> Result<Vec<Receipt>, RpcError> {
    let is_worth_it =
        hashes.len() >= WHOLE_BLOCK_FROM && hashes.len() * 4 >= block.transactions.len();
    if is_worth_it && let Some(receipts) = whole_block(pool, block).await? {
        let mut by_hash: BTreeMap<B256, Receipt> = receipts
            .into_iter()
            .filter(|receipt| receipt.block_hash == block.hash)
            .map(|receipt| (receipt.hash, receipt))
            .collect();
        return Ok(hashes
            .iter()
            .filter_map(|hash| by_hash.remove(hash))
            .collect());
    }
    let receipts = by_hash(pool, hashes, Some(block.number)).await?;
    Ok(receipts
        .into_iter()
        .flatten()
        .filter(|receipt| receipt.block_hash == block.hash)
        .collect())
}

pub(super) async fn receipts(
    pool: &Pool,
    hashes: &[B256],
) -> Result<Vec<Option<Receipt>>, RpcError> {
    by_hash(pool, hashes, None).await
}

const ONE: &str = "eth_getTransactionReceipt";
const WHOLE: &str = "eth_getBlockReceipts";

/// `None` when the endpoint cannot tell.
async fn whole_block(pool: &Pool, block: &BlockView) -> Result<Option<Vec<Receipt>>, RpcError> {
    if pool
        .nodes
        .iter()
        .all(|node| node.lacks(Feature::BlockReceipts))
    {
        return Ok(None);
    }
    let asks = [Ask::new(WHOLE, &[hex(block.number)])];
    let read = Read {
        asks: &asks,
        at: Some(block.number),
        complete: |replies| is_found(replies.first()),
    };
    let (node, replies) = pool.read(&read).await?;
    let [reply] = exactly(replies)?;
    if let Err(error @ RpcError::Answered { .. }) = &reply {
        node.note_missing(Feature::BlockReceipts, error);
        return Ok(None);
    }
    let receipts: Option<Vec<JsonReceipt>> = parse(WHOLE, reply)?;
    receipts
        .map(|receipts| {
            receipts
                .into_iter()
                .filter_map(|receipt| receipt.mined().transpose())
                .collect()
        })
        .transpose()
}

async fn by_hash(
    pool: &Pool,
    hashes: &[B256],
    mined_in: Option<u64>,
) -> Result<Vec<Option<Receipt>>, RpcError> {
    if hashes.is_empty() {
        return Ok(Vec::new());
    }
    let asks: Vec<Ask> = hashes.iter().map(|hash| Ask::new(ONE, &[hash])).collect();
    let read = Read {
        asks: &asks,
        at: mined_in,
        // A node may show a block a moment before its receipts.
        complete: if mined_in.is_some() {
            |replies| replies.iter().all(|reply| is_found(Some(reply)))
        } else {
            |_| true
        },
    };
    let (_, replies) = pool.read(&read).await?;
    replies
        .into_iter()
        .map(|reply| {
            let receipt: Option<JsonReceipt> = parse(ONE, reply)?;
            receipt.map_or(Ok(None), JsonReceipt::mined)
        })
        .collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonReceipt {
    transaction_hash: B256,
    block_hash: Option<B256>,
    block_number: Option<Quantity<u64>>,
    status: Option<Quantity<u8>>,
    gas_used: Quantity<u64>,
    effective_gas_price: Option<Quantity<u128>>,
    gas_price: Option<Quantity<u128>>,
    l1_fee: Option<Quantity<U256>>,
    contract_address: Option<Address>,
}

impl JsonReceipt {
    /// `None` for a receipt of a block that is only proposed.
    fn mined(self) -> Result<Option<Receipt>, RpcError> {
        let (Some(block_hash), Some(block_number)) = (self.block_hash, self.block_number) else {
            return Ok(None);
        };
        // Without a status nothing can be said about success; such chains ended in 2017.
        let status = self.status.ok_or_else(|| RpcError::NoAnswer {
            reason: format!("receipt of {} has no status", self.transaction_hash),
        })?;
        let price = self.effective_gas_price.or(self.gas_price);
        Ok(Some(Receipt {
            hash: self.transaction_hash,
            block_hash,
            block_number: block_number.0,
            success: status.0 == 1,
            gas_used: self.gas_used.0,
            effective_gas_price: price.map_or(0, |price| price.0),
            l1_fee: self.l1_fee.map(|fee| fee.0),
            contract: self.contract_address,
        }))
    }
}
