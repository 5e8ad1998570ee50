//! Addresses and keys of a run, all derived from its seed.

use alloy_primitives::{B256, hex, keccak256};
use anyhow::{Context, Result};
use baton_model::{Address, Fees, U256, UnsignedTx};
use baton_vault::LocalSigner;

/// Gas of a plain transfer.
pub(super) const TRANSFER_GAS: u64 = 21_000;

/// Most wei per gas of a transfer that the bench signs itself: enough on any development chain.
const MAX_FEE: u128 = 100_000_000_000;
const TIP: u128 = 1_000_000_000;

/// Where requests of a step go: one address each, that nobody has used.
pub(super) fn targets(seed: u64, step: u32, count: usize) -> Vec<Address> {
    (0..count)
        .map(|index| {
            let hash = derive(&[
                "target",
                &seed.to_string(),
                &step.to_string(),
                &index.to_string(),
            ]);
            Address::from_slice(&hash[12..])
        })
        .collect()
}

/// A key that holds funds only on the bench's own chain.
pub(super) struct BenchKey {
    pub(super) signer: LocalSigner,
    /// As settings take it.
    pub(super) hex: String,
}

impl BenchKey {
    pub(super) fn derive(seed: u64, name: &str) -> Result<Self> {
        let hash = derive(&["key", &seed.to_string(), name]);
        // All but one in 2^127 hashes are keys.
        let signer = LocalSigner::from_bytes(&hash.0).context("the seed derives no key")?;
        Ok(Self {
            signer,
            hex: hex::encode(hash),
        })
    }
}

/// A signed transfer of 1 wei.
pub(super) fn transfer(
    signer: &LocalSigner,
    chain_id: u64,
    nonce: u64,
    to: Address,
) -> baton_model::Bytes {
    let tx = UnsignedTx {
        chain_id,
        nonce,
        gas_limit: TRANSFER_GAS,
        fees: Fees::Eip1559 {
            max_fee: MAX_FEE,
            max_priority_fee: TIP,
        },
        call: baton_model::Call {
            to: Some(to),
            value: U256::ONE,
            data: baton_model::Bytes::new(),
        },
    };
    let signature = signer.sign(baton_chain::tx::signing_hash(&tx));
    baton_chain::tx::encode_signed(&tx, signature.r, signature.s, signature.y_parity).raw
}

/// A number that depends on its arguments only.
pub(super) fn draw(seed: u64, name: &str, index: u64) -> u64 {
    let hash = derive(&["draw", &seed.to_string(), name, &index.to_string()]);
    hash.0
        .iter()
        .take(8)
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn derive(parts: &[&str]) -> B256 {
    keccak256(format!("baton bench/{}", parts.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_of_every_step_and_seed_has_an_address_of_its_own() {
        let mut all = [targets(1, 1, 50), targets(1, 2, 50), targets(2, 1, 50)].concat();
        assert_eq!(all[..50], targets(1, 1, 50));
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 150);
    }

    #[test]
    fn a_transfer_says_what_it_was_told() {
        let key = BenchKey::derive(3, "direct-0").unwrap();
        assert_eq!(
            LocalSigner::from_hex(&key.hex).unwrap().sign(B256::ZERO),
            key.signer.sign(B256::ZERO)
        );
        let to = targets(3, 0, 1)[0];
        let read = baton_chain::tx::decode_signed(&transfer(&key.signer, 5, 9, to)).unwrap();
        assert_eq!(
            (read.tx.chain_id, read.tx.nonce, read.tx.call.to),
            (5, 9, Some(to))
        );
        assert_eq!(read.tx.call.value, U256::ONE);
    }
}
