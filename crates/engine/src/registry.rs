//! What is configured at run time: relayers, signers, notifications, networks and API keys.
//!
//! A file says some of it, and callers with the right to do so change it over the API. What they said is kept as
//! records in a lane of its own; what counts beside the file is decided by a pure function ([`merge`]).
//! Every process keeps a [`Snapshot`] of the outcome, with signers opened and nodes connected. It is renewed when
//! another process says that something changed, and every few seconds anyway, because a wake-up may be lost.

mod closing;
mod defs;
mod edit;
mod live;
mod merge;
mod table;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use baton_chain::{ChainClient, Endpoint};
use baton_coord::{StoreError, Version};
use baton_edge::{IssuedKey, IssuedKeys};
use baton_model::{ChainProfile, Timestamp};
use baton_vault::Signer;
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

pub(crate) use closing::{Closing, clear, close, closed, closing, reopen};
pub use closing::{Unfinished, unfinished};
pub use defs::{
    ApiKeyDef, Definition, Definitions, KeyRate, NetworkDef, NodeDef, NotificationDef, RelayerDef,
    SignerDef, origin,
};
pub(crate) use edit::Edit;
use live::Live;
pub use live::{Line, Served};
pub use merge::{Change, merge};
use table::{Edits, Overlay, RECORDS_MAX};

use crate::{Relayer, SharedClock, SharedStore};

/// Topic that is published when the registry changed.
const TOPIC: &str = "registry";
/// How often the registry is looked at without a wake-up: how long a replica may lag behind when one was lost. One read
/// of one small record.
const POLL: Duration = Duration::from_secs(3);
/// How often relayers that cannot be served are tried again: opening a key store keeps a core busy.
const RETRY: Duration = Duration::from_secs(30);

/// What a registry needs from whoever puts the program together.
#[async_trait]
pub trait Backends: Send + Sync {
    /// Reads the configuration of a signer as the API's callers write it: what may be shown of it.
    ///
    /// # Errors
    /// The rule that it breaks, in words fit for the caller; nothing secret is repeated.
    fn check_signer(&self, kind: &str, config: &str) -> Result<CheckedSigner, String>;

    /// Opens a signer.
    ///
    /// # Errors
    /// Why it cannot be opened, without anything secret.
    async fn open_signer(&self, signer: &SignerDef) -> Result<Arc<dyn Signer>, String>;

    /// Checks that a URL may be used for a node.
    ///
    /// # Errors
    /// The rule that it breaks; of the URL no more than the host is repeated.
    fn check_node(&self, url: &str) -> Result<(), String>;

    /// Connects to the nodes of a network. Nodes that do not answer now are no error; one of another chain is.
    ///
    /// # Errors
    /// Why they cannot be used.
    async fn connect(
        &self,
        profile: &ChainProfile,
        nodes: &[Endpoint],
    ) -> Result<Arc<dyn ChainClient>, String>;

    /// Whether what is stored is encrypted.
    fn is_sealed(&self) -> bool;
}

/// A signer's configuration that was found to be in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedSigner {
    /// Its type, as the API shows it.
    pub kind: String,
    /// What may be shown of it.
    pub shown: serde_json::Value,
    /// Whether it holds something secret.
    pub is_secret: bool,
}

/// Everything that is configured, at one time.
pub struct Snapshot {
    version: Version,
    /// What is configured, served here or not.
    pub definitions: Definitions,
    /// Relayers that are served here, in order.
    pub served: Vec<Arc<Served>>,
    /// Why others are not, by id.
    pub broken: BTreeMap<String, String>,
    /// API keys by id.
    pub keys: BTreeMap<String, ApiKeyDef>,
    by_id: BTreeMap<String, usize>,
    by_digest: BTreeMap<[u8; 32], Arc<IssuedKey>>,
}

/// Why the registry could not be read or changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store takes nothing now; nothing was changed.
    #[error("the store takes nothing now and nothing was changed: {0}")]
    Unavailable(String),
    /// The store did not say whether the change was written.
    #[error("whether the change was written is unknown; look, and repeat it if nothing changed")]
    Unknown,
    /// Others were faster again and again; nothing was changed.
    #[error("others are changing the registry; nothing was changed, try again")]
    Busy,
    /// The store refused the change.
    #[error("the store refused the change: {0}")]
    Refused(String),
    /// More than can be kept.
    #[error("at most {RECORDS_MAX} things can be made or changed over the API")]
    Full,
    /// A record cannot be read.
    #[error("the registry cannot be read: {0}")]
    Damaged(String),
}

/// The registry of one process.
pub struct Registry {
    store: SharedStore,
    clock: SharedClock,
    ids: crate::service::Ids,
    file: Definitions,
    backends: Arc<dyn Backends>,
    live: Mutex<Live>,
    snapshot: watch::Sender<Arc<Snapshot>>,
}

impl Registry {
    /// Reads what is stored, and opens and connects everything.
    ///
    /// # Errors
    /// When the store cannot be read. A relayer that cannot be served is none: [`Snapshot::broken`] tells of it.
    pub async fn open(
        store: SharedStore,
        clock: SharedClock,
        ids: crate::service::Ids,
        file: Definitions,
        backends: Arc<dyn Backends>,
    ) -> Result<Self, RegistryError> {
        let registry = Self {
            store,
            clock,
            ids,
            file,
            backends,
            live: Mutex::default(),
            snapshot: watch::Sender::new(Arc::new(Snapshot::empty())),
        };
        let mut live = registry.live.lock().await;
        let overlay = Overlay::load(&registry.store).await?;
        registry.publish(&mut live, &overlay).await;
        drop(live);
        Ok(registry)
    }

    /// A registry of relayers that were put together elsewhere, without their signers. Relayers cannot be added to it.
    pub fn fixed(
        store: SharedStore,
        clock: SharedClock,
        ids: crate::service::Ids,
        relayers: Vec<Relayer>,
    ) -> Self {
        let (file, live) = live::fixed(relayers);
        let served = live.served().to_vec();
        let snapshot = Snapshot::new(&Overlay::default(), file.clone(), served, BTreeMap::new());
        Self {
            store,
            clock,
            ids,
            file,
            backends: Arc::new(live::Nothing),
            live: Mutex::new(live),
            snapshot: watch::Sender::new(Arc::new(snapshot)),
        }
    }

    /// What would be configured with a file: what it says, and what was said over the API as far as it counts.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn preview(
        store: &SharedStore,
        file: &Definitions,
    ) -> Result<Definitions, RegistryError> {
        Ok(Overlay::load(store).await?.over(file))
    }

    /// Forgets everything that was said over the API; transactions stay. Must come before [`Registry::open`].
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub async fn reset(store: &SharedStore, change: Uuid) -> Result<(), RegistryError> {
        table::reset(store, change).await
    }

    /// Everything that is configured now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.borrow())
    }

    /// The same, as it changes.
    pub fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshot.subscribe()
    }

    /// Keeps the snapshot up to date until `stop` is true.
    pub async fn run(&self, mut stop: watch::Receiver<bool>) {
        let mut wakeups = None;
        let mut retry_at = Instant::now() + RETRY;
        loop {
            if wakeups.is_none() {
                wakeups = self.store.subscribe(TOPIC).await.ok();
            }
            let woken = async {
                match &mut wakeups {
                    Some(wakeups) => wakeups.next().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = stopped(&mut stop) => return,
                woken = woken => if woken.is_none() {
                    // The store is closed or was cut off; polling goes on.
                    wakeups = None;
                    sleep(POLL).await;
                },
                () = sleep(POLL) => {}
            }
            let is_due = Instant::now() >= retry_at;
            if is_due {
                retry_at = Instant::now() + RETRY;
            }
            if let Err(error) = self.renew(is_due).await {
                tracing::warn!(%error, "the registry could not be read; what is known goes on");
            }
        }
    }

    /// Looks whether anything changed.
    ///
    /// # Errors
    /// When the store cannot be read. The snapshot is then the old one.
    pub async fn refresh(&self) -> Result<(), RegistryError> {
        self.renew(false).await
    }

    /// Begins a change: whoever has it sees the latest state, and no other task of this process changes anything.
    pub(crate) async fn edit(&self) -> Result<Edit<'_>, RegistryError> {
        let live = self.live.lock().await;
        let overlay = Overlay::load(&self.store).await?;
        Ok(Edit {
            definitions: overlay.over(&self.file),
            overlay,
            live,
            edits: Edits::default(),
            tries: 0,
            registry: self,
        })
    }

    pub(crate) fn backends(&self) -> &dyn Backends {
        &*self.backends
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn renew(&self, retry_broken: bool) -> Result<(), RegistryError> {
        let mut live = self.live.lock().await;
        let known = self.snapshot();
        let is_news = Overlay::stored_version(&self.store).await? != known.version;
        if is_news || (retry_broken && !known.broken.is_empty()) {
            let overlay = Overlay::load(&self.store).await?;
            self.publish(&mut live, &overlay).await;
        }
        Ok(())
    }

    async fn publish(&self, live: &mut Live, overlay: &Overlay) {
        let definitions = overlay.over(&self.file);
        let (served, broken) = live.renew(&definitions, &*self.backends).await;
        for (id, reason) in &broken {
            tracing::warn!(relayer_id = id, reason, "a relayer cannot be served here");
        }
        let snapshot = Snapshot::new(overlay, definitions, served, broken);
        self.snapshot.send_replace(Arc::new(snapshot));
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // Nobody can stop it any more: the process is ending anyway.
    let _: Result<(), _> = stop.wait_for(|stop| *stop).await.map(drop);
}

impl IssuedKeys for Registry {
    fn find(&self, digest: &[u8; 32]) -> Option<Arc<IssuedKey>> {
        self.snapshot.borrow().by_digest.get(digest).map(Arc::clone)
    }
}

impl Snapshot {
    fn empty() -> Self {
        Self::new(
            &Overlay::default(),
            Definitions::default(),
            Vec::new(),
            BTreeMap::new(),
        )
    }

    fn new(
        overlay: &Overlay,
        definitions: Definitions,
        served: Vec<Arc<Served>>,
        broken: BTreeMap<String, String>,
    ) -> Self {
        let mut by_id = BTreeMap::new();
        for (index, one) in served.iter().enumerate() {
            by_id.entry(one.relayer.id.to_string()).or_insert(index);
        }
        Self {
            version: overlay.version(),
            definitions,
            served,
            broken,
            by_id,
            by_digest: overlay.keys.values().filter_map(issued).collect(),
            keys: overlay.keys.clone(),
        }
    }

    /// A relayer that is served here.
    pub fn relayer(&self, id: &str) -> Option<&Arc<Served>> {
        self.by_id.get(id).map(|index| &self.served[*index])
    }
}

fn issued(key: &ApiKeyDef) -> Option<([u8; 32], Arc<IssuedKey>)> {
    let mut digest = [0; 32];
    alloy_primitives::hex::decode_to_slice(&key.digest, &mut digest).ok()?;
    let issued = IssuedKey {
        id: key.id.clone(),
        name: key.name.clone(),
        permissions: key.permissions.clone(),
        origins: key.allowed_origins.clone(),
        rate: key.rate.and_then(KeyRate::limit),
    };
    Some((digest, Arc::new(issued)))
}
