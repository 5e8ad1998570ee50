//! Transactions as nodes show them, and their signed bytes rebuilt.

use alloy_consensus::{SignableTransaction, TxEip1559, TxEip2930, TxEnvelope, TxLegacy};
use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind};
use baton_model::{Call, U256};
use serde::Deserialize;

use super::quantity::Quantity;
use crate::client::ObservedTx;
use crate::tx::{encoded, kind};

/// A transaction as nodes show it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct JsonTx {
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
    #[serde(rename = "type")]
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

impl JsonTx {
    pub(super) fn is(&self, account: Address, nonce: u64) -> bool {
        self.from == account && self.nonce.0 == nonce
    }

    pub(super) fn observed(self) -> ObservedTx {
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
                .map(|item| AccessListItem {
                    address: item.address,
                    storage_keys: item.storage_keys,
                })
                .collect(),
        )
    }
}
