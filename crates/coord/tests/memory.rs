//! The reference model keeps the contract, bare and under encryption.

use std::sync::Arc;

use async_trait::async_trait;
use baton_coord::conformance::{self, Backend};
use baton_coord::memory::MemoryStore;
use baton_coord::{Entropy, Keyring, ManualClock, Sealed};

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

struct Memory;
struct SealedMemory;

#[async_trait]
impl Backend for Memory {
    type Store = MemoryStore;

    async fn fresh(&self) -> (MemoryStore, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::default());
        (MemoryStore::new(Arc::<ManualClock>::clone(&clock)), clock)
    }

    async fn restart(&self, _: MemoryStore) -> Option<MemoryStore> {
        None
    }
}

#[async_trait]
impl Backend for SealedMemory {
    type Store = Sealed<MemoryStore>;

    async fn fresh(&self) -> (Self::Store, Arc<ManualClock>) {
        let (store, clock) = Memory.fresh().await;
        let keys = Keyring::parse(KEY, []).expect("a key");
        (Sealed::new(store, Arc::new(keys), counting()), clock)
    }

    async fn restart(&self, _: Self::Store) -> Option<Self::Store> {
        None
    }
}

/// Nonces that never repeat, as random ones do not.
fn counting() -> Entropy {
    let next = std::sync::atomic::AtomicU64::new(0);
    Arc::new(move |buffer: &mut [u8]| {
        let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        buffer[..8].copy_from_slice(&number.to_be_bytes());
        Ok(())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_model_keeps_the_contract() {
    conformance::run(&Memory).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_model_keeps_the_contract_under_encryption() {
    conformance::run(&SealedMemory).await;
}

#[test]
fn encryption_answers_like_the_model() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (store, clock) = runtime.block_on(SealedMemory.fresh());
    conformance::model::compare(&runtime, &store, &clock, 256);
}
