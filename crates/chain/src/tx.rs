//! Encoding of transactions: from an [`UnsignedTx`] to the hash that is signed and to the bytes
//! that nodes take, and back. Legacy transactions carry their chain id (EIP-155); the other type is
//! EIP-1559.

use alloy_consensus::{SignableTransaction, Signed, TxEip1559, TxEnvelope, TxLegacy};
use alloy_eips::eip2718::{Decodable2718, Encodable2718};
use alloy_primitives::{Signature, TxKind};
use baton_model::{Address, B256, Bytes, Call, Fees, U256, UnsignedTx};

/// Signed bytes and their hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedTx {
    /// What `eth_sendRawTransaction` takes.
    pub raw: Bytes,
    /// Transaction hash.
    pub hash: B256,
}

/// A transaction read back from signed bytes. The signature is not checked against an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodedTx {
    /// The transaction.
    pub tx: UnsignedTx,
    /// `r` of the signature.
    pub r: U256,
    /// `s` of the signature.
    pub s: U256,
    /// Parity of the nonce point's y coordinate.
    pub y_parity: bool,
    /// Transaction hash.
    pub hash: B256,
}

/// Why bytes are not a transaction that Baton could have made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TxDecodeError {
    /// Not a signed transaction at all.
    #[error("raw transaction: not a signed transaction: {reason}")]
    Malformed {
        /// What the decoder found.
        reason: String,
    },
    /// Bytes follow the transaction.
    #[error("raw transaction: {extra} bytes follow the transaction, none may")]
    Trailing {
        /// How many.
        extra: usize,
    },
    /// Another type than legacy and EIP-1559.
    #[error("raw transaction: type {found} is not supported, only 0 (legacy) and 2 (EIP-1559) are")]
    Type {
        /// The type given.
        found: u8,
    },
    /// A legacy transaction that is valid on every chain.
    #[error("raw transaction: a legacy transaction must carry its chain id (EIP-155)")]
    NoChainId,
    /// An access list, which [`UnsignedTx`] does not hold.
    #[error("raw transaction: access list has {entries} entries, it must be empty")]
    AccessList {
        /// How many entries it has.
        entries: usize,
    },
}

/// The hash that the account signs.
pub fn signing_hash(tx: &UnsignedTx) -> B256 {
    match &tx.fees {
        Fees::Legacy { gas_price } => legacy(tx, *gas_price).signature_hash(),
        Fees::Eip1559 {
            max_fee,
            max_priority_fee,
        } => eip1559(tx, *max_fee, *max_priority_fee).signature_hash(),
    }
}

/// Joins a transaction and its signature. `s` must be in the lower half of the group order, or
/// nodes refuse it (EIP-2).
pub fn encode_signed(tx: &UnsignedTx, r: U256, s: U256, y_parity: bool) -> EncodedTx {
    let signature = Signature::new(r, s, y_parity);
    match &tx.fees {
        Fees::Legacy { gas_price } => {
            encoded(&legacy(tx, *gas_price).into_signed(signature).into())
        }
        Fees::Eip1559 {
            max_fee,
            max_priority_fee,
        } => encoded(
            &eip1559(tx, *max_fee, *max_priority_fee)
                .into_signed(signature)
                .into(),
        ),
    }
}

/// Reads signed bytes back.
///
/// # Errors When the bytes are not exactly one legacy (EIP-155) or EIP-1559 transaction with an
/// empty access list.
pub fn decode_signed(raw: &[u8]) -> Result<DecodedTx, TxDecodeError> {
    let mut rest = raw;
    let envelope =
        TxEnvelope::decode_2718(&mut rest).map_err(|error| TxDecodeError::Malformed {
            reason: error.to_string(),
        })?;
    if !rest.is_empty() {
        return Err(TxDecodeError::Trailing { extra: rest.len() });
    }
    match envelope {
        TxEnvelope::Legacy(signed) => from_legacy(&signed),
        TxEnvelope::Eip1559(signed) => from_eip1559(&signed),
        other @ (TxEnvelope::Eip2930(_) | TxEnvelope::Eip4844(_) | TxEnvelope::Eip7702(_)) => {
            Err(TxDecodeError::Type {
                found: other.tx_type().into(),
            })
        }
    }
}

/// The bytes and hash of any signed transaction.
pub(crate) fn encoded(envelope: &TxEnvelope) -> EncodedTx {
    EncodedTx {
        raw: envelope.encoded_2718().into(),
        hash: *envelope.tx_hash(),
    }
}

pub(crate) fn kind(to: Option<Address>) -> TxKind {
    to.map_or(TxKind::Create, TxKind::Call)
}

fn legacy(tx: &UnsignedTx, gas_price: u128) -> TxLegacy {
    TxLegacy {
        chain_id: Some(tx.chain_id),
        nonce: tx.nonce,
        gas_price,
        gas_limit: tx.gas_limit,
        to: kind(tx.call.to),
        value: tx.call.value,
        input: tx.call.data.clone(),
    }
}

fn eip1559(tx: &UnsignedTx, max_fee: u128, max_priority_fee: u128) -> TxEip1559 {
    TxEip1559 {
        chain_id: tx.chain_id,
        nonce: tx.nonce,
        gas_limit: tx.gas_limit,
        max_fee_per_gas: max_fee,
        max_priority_fee_per_gas: max_priority_fee,
        to: kind(tx.call.to),
        value: tx.call.value,
        access_list: Default::default(),
        input: tx.call.data.clone(),
    }
}

fn from_legacy(signed: &Signed<TxLegacy>) -> Result<DecodedTx, TxDecodeError> {
    let tx = signed.tx();
    let unsigned = UnsignedTx {
        chain_id: tx.chain_id.ok_or(TxDecodeError::NoChainId)?,
        nonce: tx.nonce,
        gas_limit: tx.gas_limit,
        fees: Fees::Legacy {
            gas_price: tx.gas_price,
        },
        call: call(&tx.to, tx.value, &tx.input),
    };
    Ok(decoded(unsigned, signed.signature(), *signed.hash()))
}

fn from_eip1559(signed: &Signed<TxEip1559>) -> Result<DecodedTx, TxDecodeError> {
    let tx = signed.tx();
    if !tx.access_list.is_empty() {
        return Err(TxDecodeError::AccessList {
            entries: tx.access_list.len(),
        });
    }
    let unsigned = UnsignedTx {
        chain_id: tx.chain_id,
        nonce: tx.nonce,
        gas_limit: tx.gas_limit,
        fees: Fees::Eip1559 {
            max_fee: tx.max_fee_per_gas,
            max_priority_fee: tx.max_priority_fee_per_gas,
        },
        call: call(&tx.to, tx.value, &tx.input),
    };
    Ok(decoded(unsigned, signed.signature(), *signed.hash()))
}

fn call(to: &TxKind, value: U256, data: &Bytes) -> Call {
    Call {
        to: to.to().copied(),
        value,
        data: data.clone(),
    }
}

fn decoded(tx: UnsignedTx, signature: &Signature, hash: B256) -> DecodedTx {
    DecodedTx {
        tx,
        r: signature.r(),
        s: signature.s(),
        y_parity: signature.v(),
        hash,
    }
}

#[cfg(test)]
mod tests;
