//! The embedded store keeps the contract, bare and under encryption.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use baton_coord::conformance::{self, Backend};
use baton_coord::{Entropy, EntropyError, Keyring, ManualClock, Sealed};
use baton_coord_local::{LocalStore, Options};
use tempfile::TempDir;

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// Stores in directories that live as long as this.
#[derive(Default)]
struct Local {
    /// The clock shows which store it is.
    directories: Mutex<BTreeMap<usize, (TempDir, Arc<ManualClock>)>>,
}

#[derive(Default)]
struct SealedLocal {
    local: Local,
}

impl Local {
    fn open(&self, number: usize) -> (LocalStore, Arc<ManualClock>) {
        let directories = self.directories.lock().expect("no test panicked");
        let (directory, clock) = &directories[&number];
        (open(directory.path(), clock), Arc::clone(clock))
    }

    fn create(&self) -> (LocalStore, Arc<ManualClock>) {
        let number = {
            let mut directories = self.directories.lock().expect("no test panicked");
            let number = directories.len();
            let directory = tempfile::tempdir().expect("a directory");
            directories.insert(number, (directory, Arc::default()));
            number
        };
        self.open(number)
    }

    /// Opens the store made last again.
    fn reopen(&self) -> LocalStore {
        let last = self.directories.lock().expect("no test panicked").len() - 1;
        self.open(last).0
    }
}

#[async_trait]
impl Backend for Local {
    type Store = LocalStore;

    async fn fresh(&self) -> (LocalStore, Arc<ManualClock>) {
        self.create()
    }

    async fn restart(&self, store: LocalStore) -> Option<LocalStore> {
        store.close().await;
        Some(self.reopen())
    }
}

#[async_trait]
impl Backend for SealedLocal {
    type Store = Sealed<LocalStore>;

    async fn fresh(&self) -> (Self::Store, Arc<ManualClock>) {
        let (store, clock) = self.local.create();
        (sealed(store), clock)
    }

    async fn restart(&self, store: Self::Store) -> Option<Self::Store> {
        store.inner().close().await;
        Some(sealed(self.local.reopen()))
    }
}

fn open(directory: &Path, clock: &Arc<ManualClock>) -> LocalStore {
    let options = Options {
        clock: Arc::<ManualClock>::clone(clock),
        // Small, so that the suite also reads from sorted files.
        buffer_bytes: 256 * 1024,
        ..Options::default()
    };
    LocalStore::open(directory, options).expect("the store opens")
}

fn sealed(store: LocalStore) -> Sealed<LocalStore> {
    let keys = Keyring::parse(KEY, []).expect("a key");
    Sealed::new(store, Arc::new(keys), system_entropy())
}

fn system_entropy() -> Entropy {
    Arc::new(|buffer: &mut [u8]| {
        rand::TryRngCore::try_fill_bytes(&mut rand::rngs::OsRng, buffer)
            .map_err(|error| EntropyError(error.to_string()))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_keeps_the_contract() {
    conformance::run(&Local::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_keeps_the_contract_under_encryption() {
    conformance::run(&SealedLocal::default()).await;
}

#[test]
fn the_store_answers_like_the_model() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    let backend = Local::default();
    let (store, clock) = runtime.block_on(backend.fresh());
    conformance::model::compare(&runtime, &store, &clock, 192);
}

#[test]
fn the_store_answers_like_the_model_under_encryption() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    let backend = SealedLocal::default();
    let (store, clock) = runtime.block_on(backend.fresh());
    conformance::model::compare(&runtime, &store, &clock, 64);
}
