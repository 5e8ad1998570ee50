use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::keccak256;
use baton_chain::tx::{EncodedTx, encode_signed, signing_hash};
use baton_chain::{
    ChainClient, Endpoint, EvmClient, EvmClientConfig, HeadRef, RpcObserver, Unobserved,
};
use baton_model::{Address, Bytes, Call, Fees, U256, UnsignedTx};
use baton_testkit::{Anvil, AnvilOptions, Mining};
use k256::ecdsa::SigningKey;

/// Longest wait for anything in these tests; the machine may be compiling at the same time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn config(urls: &[&str]) -> EvmClientConfig {
    EvmClientConfig {
        average_block_time: Duration::from_millis(400),
        retry_base: Duration::from_millis(5),
        ..EvmClientConfig::new(urls.iter().map(|url| Endpoint::new(*url)).collect())
    }
}

pub(crate) fn start(config: &EvmClientConfig) -> EvmClient {
    let observer: Arc<dyn RpcObserver> = Arc::new(Unobserved);
    EvmClient::start(config, &observer).unwrap()
}

pub(crate) async fn anvil(mining: Mining) -> Anvil {
    let options = AnvilOptions {
        mining,
        ..AnvilOptions::default()
    };
    Anvil::start(&options).await.unwrap()
}

/// Waits until the head satisfies a condition.
pub(crate) async fn head(client: &EvmClient, is_it: impl Fn(HeadRef) -> bool) -> HeadRef {
    let mut heads = client.heads();
    let waited = tokio::time::timeout(PATIENCE, heads.wait_for(|head| head.is_some_and(&is_it)));
    waited.await.unwrap().unwrap().unwrap()
}

/// An account whose key is known.
pub(crate) struct Account {
    key: SigningKey,
    pub(crate) address: Address,
}

impl Account {
    pub(crate) fn dev(index: usize) -> Self {
        let bytes = alloy_primitives::hex::decode(Anvil::DEV_KEYS[index]).unwrap();
        let key = SigningKey::from_slice(&bytes).unwrap();
        let point = key.verifying_key().to_sec1_point(false);
        let address = Address::from_slice(&keccak256(&point.as_bytes()[1..])[12..]);
        Self { key, address }
    }

    pub(crate) fn sign(&self, tx: &UnsignedTx) -> EncodedTx {
        let hash = signing_hash(tx);
        let (signature, id) = self.key.sign_prehash_recoverable(hash.as_slice());
        let (r, s) = signature.split_bytes();
        encode_signed(
            tx,
            U256::from_be_slice(&r),
            U256::from_be_slice(&s),
            id.is_y_odd(),
        )
    }

    /// A transfer of 1 wei.
    pub(crate) fn transfer(&self, nonce: u64) -> EncodedTx {
        self.sign(&transfer(nonce))
    }

    pub(crate) fn transfers(&self, nonces: std::ops::Range<u64>) -> Vec<Bytes> {
        nonces.map(|nonce| self.transfer(nonce).raw).collect()
    }
}

pub(crate) fn transfer(nonce: u64) -> UnsignedTx {
    UnsignedTx {
        chain_id: 31_337,
        nonce,
        gas_limit: 21_000,
        fees: Fees::Eip1559 {
            max_fee: 10_000_000_000,
            max_priority_fee: 1_000_000_000,
        },
        call: Call {
            to: Some(Address::repeat_byte(0x42)),
            value: U256::from(1),
            data: Bytes::new(),
        },
    }
}
