//! Opens the store, and sees to it that the keys given are the ones that it is sealed with.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use baton_coord::{
    Admin, Entropy, EntropyError, KeyId, Keyring, Position, Rotated, Scan, Sealed, Store,
    StoreError, key_of,
};
use baton_coord_local::{LocalStore, Options, SystemClock};
use baton_coord_redis::{Credentials, RedisStore, Tls};
use baton_engine::SharedStore;
use baton_engine::registry::RelayerDef;
use baton_lanes::record::key;
use baton_model::{LaneId, RelayerId};
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::config::{Backend, EncryptionKeys, RedisStorage};

/// Lanes or entries looked at in one read.
const PAGE: usize = 256;

/// Lanes asked about at the same time.
const AT_ONCE: usize = 64;

/// Least time from one flush to the next while several callers wait for one: what it costs a busy
/// relayer in processor time is more than the wait is worth to them.
const GATHER: Duration = Duration::from_millis(2);

/// Writes that are kept in memory until they are moved to a sorted file: a quarter of the store's own default costs no
/// speed, and saves memory.
const BUFFER_BYTES: u64 = 16 * 1024 * 1024;

/// Randomness that is asked for at a time, in bytes: nonces are short, and there are many.
const ENTROPY_BYTES: usize = 3 * 1024;

/// Start of the names of relayers' lanes.
const RELAYER_LANES: &str = "tx/";

/// A store that was opened, before anything is sealed.
#[derive(Clone)]
pub(crate) enum RawStore {
    /// In a directory of this process.
    Embedded(LocalStore),
    /// Shared with others.
    Redis(RedisStore),
}

/// What the checks and the tools ask of a store.
pub(crate) trait Whole: Store + Admin {}

impl<S: Store + Admin> Whole for S {}

impl RawStore {
    /// Opens the store that the settings name. Takes a while.
    pub(crate) async fn open(backend: &Backend, clock: Arc<SystemClock>) -> Result<Self> {
        match backend {
            Backend::Embedded { data_dir } => {
                open_embedded(data_dir, clock).await.map(Self::Embedded)
            }
            Backend::Redis(redis) => open_shared(redis).await.map(Self::Redis),
        }
    }

    /// The store as it is.
    pub(crate) fn whole(&self) -> &dyn Whole {
        match self {
            Self::Embedded(store) => store,
            Self::Redis(store) => store,
        }
    }

    /// The store as the engine sees it: sealed if there is a key for it. Refuses a key that does not fit, before
    /// anything is written under it.
    pub(crate) async fn seal(&self, keys: Option<&EncryptionKeys>) -> Result<SharedStore> {
        let keys = keys.map(keyring).transpose()?;
        check_keys(self.whole(), keys.as_deref()).await?;
        Ok(match (self, keys) {
            (Self::Embedded(store), None) => Arc::new(store.clone()),
            (Self::Redis(store), None) => Arc::new(store.clone()),
            (Self::Embedded(store), Some(keys)) => {
                Arc::new(Sealed::new(store.clone(), keys, entropy()))
            }
            (Self::Redis(store), Some(keys)) => {
                Arc::new(Sealed::new(store.clone(), keys, entropy()))
            }
        })
    }

    /// Brings every record under the current key.
    pub(crate) async fn rotate(&self, keys: Arc<Keyring>) -> Result<Rotated> {
        check_keys(self.whole(), Some(&keys)).await?;
        let rotated = match self {
            Self::Embedded(store) => Sealed::new(store.clone(), keys, entropy()).rotate().await,
            Self::Redis(store) => Sealed::new(store.clone(), keys, entropy()).rotate().await,
        };
        rotated.map_err(Into::into)
    }

    /// Whether other processes may use it at the same time.
    pub(super) const fn is_shared(&self) -> bool {
        matches!(self, Self::Redis(_))
    }

    /// Whether another process holds a lane.
    async fn is_run_elsewhere(&self, lane: &LaneId) -> Result<bool> {
        match self {
            Self::Embedded(_) => Ok(false),
            Self::Redis(store) => Ok(store.holding(lane).await?.is_some()),
        }
    }

    /// Flushes and closes it. Connections end with the last clone.
    pub(crate) async fn close(self) {
        match self {
            Self::Embedded(store) => store.close().await,
            Self::Redis(_) => {}
        }
    }
}

async fn open_embedded(directory: &Path, clock: Arc<SystemClock>) -> Result<LocalStore> {
    let directory = directory.to_owned();
    let options = Options {
        clock,
        buffer_bytes: BUFFER_BYTES,
        gather: GATHER,
        ..Options::default()
    };
    let opened = tokio::task::spawn_blocking(move || LocalStore::open(&directory, options)).await?;
    opened.context("cannot open the store (BATON_DATA_DIR)")
}

async fn open_shared(redis: &RedisStorage) -> Result<RedisStore> {
    let options = baton_coord_redis::Options::from_url(redis.url.expose()).context("REDIS_URL")?;
    let bytes = |pem: &str| pem.as_bytes().to_vec();
    let identity = redis.tls.identity.as_ref();
    let tls = options.tls.as_ref().map(|_| Tls {
        authorities: redis.tls.authorities.as_deref().map(bytes),
        identity: identity.map(|(chain, key)| (bytes(chain), bytes(key.expose()))),
    });
    let password = redis.sentinel_password.as_ref();
    let options = baton_coord_redis::Options {
        prefix: redis.prefix.clone(),
        connect_timeout: redis.connect_timeout,
        tls,
        sentinel_credentials: Credentials {
            user: redis.sentinel_user.clone(),
            password: password.map(|password| password.expose().to_owned()),
        },
        ..options
    };
    let opened = RedisStore::open(options).await;
    opened.context("cannot open the shared store (REDIS_URL)")
}

/// The keys that records are sealed with.
pub(crate) fn keyring(keys: &EncryptionKeys) -> Result<Arc<Keyring>> {
    let old = keys.old.iter().map(baton_vault::Secret::expose);
    let keyring = Keyring::parse(keys.current.expose(), old)
        .context("STORAGE_ENCRYPTION_KEY or BATON_OLD_ENCRYPTION_KEYS")?;
    Ok(Arc::new(keyring))
}

/// Randomness from the operating system, for nonces: what is secret has no business in a buffer.
pub(crate) fn entropy() -> Entropy {
    let buffer = Mutex::new(Vec::new());
    Arc::new(move |bytes| {
        let failed = |error: getrandom::Error| EntropyError(error.to_string());
        if bytes.len() > ENTROPY_BYTES {
            return getrandom::fill(bytes).map_err(failed);
        }
        let mut unused = buffer.lock().unwrap_or_else(PoisonError::into_inner);
        if unused.len() < bytes.len() {
            let mut fresh = vec![0; ENTROPY_BYTES];
            getrandom::fill(&mut fresh).map_err(failed)?;
            *unused = fresh;
        }
        let rest = unused.len() - bytes.len();
        bytes.copy_from_slice(&unused[rest..]);
        unused.truncate(rest);
        Ok(())
    })
}

/// Refuses keys that a store was not written with, by the first record and the first inbox entry of
/// each lane. A record beyond them that does not open stops its lane, with an error that names it.
pub(crate) async fn check_keys(store: &dyn Whole, keys: Option<&Keyring>) -> Result<()> {
    let mut after: Option<LaneId> = None;
    loop {
        let lanes = store.lanes(after.as_ref(), PAGE).await?;
        // A shared store answers each a while later, and there may be thousands.
        let mut asked =
            stream::iter(lanes.iter().map(|lane| samples(store, lane))).buffered(AT_ONCE);
        while let Some(sampled) = asked.try_next().await? {
            for sealed_under in sampled {
                check_sample(sealed_under, keys)?;
            }
        }
        if lanes.len() < PAGE {
            return Ok(());
        }
        after = lanes.last().cloned();
    }
}

/// Refuses to start while the store holds unfinished work of a relayer that is not configured:
/// nobody would go on with it, and another relayer could use its nonces.
pub(super) async fn check_served(raw: &RawStore, relayers: &[RelayerDef]) -> Result<()> {
    let store = raw.whole();
    let served: BTreeSet<LaneId> = relayers.iter().map(|relayer| relayer.id.lane()).collect();
    let mut unserved = Vec::new();
    let mut after: Option<LaneId> = None;
    loop {
        let lanes = store.lanes(after.as_ref(), PAGE).await?;
        for lane in lanes.iter().filter(|lane| !served.contains(lane)) {
            if let Some(relayer) = relayer_of(lane) {
                if raw.is_run_elsewhere(lane).await? {
                    tracing::warn!(relayer_id = %relayer, "not configured here; another instance runs it");
                    continue;
                }
                let work = Unfinished::of(store, lane).await?;
                unserved.extend(work.described(&relayer));
            }
        }
        if lanes.len() < PAGE {
            break;
        }
        after = lanes.last().cloned();
    }
    if unserved.is_empty() {
        return Ok(());
    }
    bail!(
        "the store holds unfinished work of relayers that are not configured: {}; bring each back \
         into the configuration (paused, if it is to take no new work) until its transactions \
         have ended",
        unserved.join(", ")
    )
}

fn relayer_of(lane: &LaneId) -> Option<RelayerId> {
    let id = lane.as_str().strip_prefix(RELAYER_LANES)?;
    RelayerId::new(id).ok()
}

/// What a lane has not finished; each count goes up to [`PAGE`].
struct Unfinished {
    open: usize,
    slots: usize,
    inbox: usize,
}

impl Unfinished {
    async fn of(store: &dyn Whole, lane: &LaneId) -> Result<Self, StoreError> {
        let open = store.scan(lane, &Scan::prefix(key::OPEN, PAGE)).await?;
        let slots = store.scan(lane, &Scan::prefix(key::SLOTS, PAGE)).await?;
        let inbox = store.read(lane, Position(0), PAGE, Duration::ZERO).await?;
        Ok(Self {
            open: open.len(),
            slots: slots.len(),
            inbox: inbox.len(),
        })
    }

    fn described(&self, relayer: &RelayerId) -> Option<String> {
        let Self { open, slots, inbox } = self;
        (open + slots + inbox > 0).then(|| {
            format!(
                "{relayer} (at least {open} open transactions, {slots} nonces in use and {inbox} \
                 inbox entries)"
            )
        })
    }
}

async fn samples(store: &dyn Whole, lane: &LaneId) -> Result<Vec<Option<KeyId>>, StoreError> {
    let records = store.scan(lane, &Scan::prefix("", 1)).await?;
    let entries = store.read(lane, Position(0), 1, Duration::ZERO).await?;
    let values = records.iter().map(|record| &record.value);
    let values = values.chain(entries.iter().map(|entry| &entry.value));
    Ok(values.map(|value| key_of(value)).collect())
}

fn check_sample(sealed_under: Option<KeyId>, keys: Option<&Keyring>) -> Result<()> {
    match (sealed_under, keys) {
        (None, None) => Ok(()),
        (Some(id), Some(keys)) if keys.ids().any(|known| known == id) => Ok(()),
        (Some(id), Some(_)) => bail!(
            "the store is encrypted under the key {id}, which was not given: set \
             STORAGE_ENCRYPTION_KEY to it, or name it in BATON_OLD_ENCRYPTION_KEYS"
        ),
        (Some(id), None) => bail!(
            "the store is encrypted under the key {id}, but STORAGE_ENCRYPTION_KEY is not set: \
             set it to this key, or start with an empty store (another BATON_DATA_DIR or REDIS_KEY_PREFIX)"
        ),
        (None, Some(_)) => bail!(
            "the store is not encrypted, but STORAGE_ENCRYPTION_KEY is set: unset it, or start \
             with an empty store (another BATON_DATA_DIR or REDIS_KEY_PREFIX)"
        ),
    }
}
