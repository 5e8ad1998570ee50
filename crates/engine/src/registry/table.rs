//! The records of what was said over the API, in a lane of their own.
//!
//! One record, the head, changes with every other: each batch requires the head as it was read. So two processes never
//! overwrite each other, whatever they change, and one read tells whether anything is new.

use std::collections::BTreeMap;

use baton_coord::{Batch, CommitError, Entry, Key, Precondition, SCAN_LIMIT_MAX, Scan, Version};
use baton_lanes::record::{Record, decode, encode};
use baton_model::LaneId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::RegistryError;
use super::defs::{
    ApiKeyDef, Definition, Definitions, NetworkDef, NotificationDef, RelayerDef, SignerDef,
};
use super::merge::{Change, merge};
use crate::SharedStore;

/// The lane.
const LANE: &str = "registry/main";
/// The head's key. No other begins with it.
const HEAD: &str = "h";
const KEYS: &str = "k/";
/// Most records besides the head: what one scan reads, so that every process sees one state of all of them.
pub(super) const RECORDS_MAX: usize = SCAN_LIMIT_MAX - 1;
/// Commits of one change: one, and repetitions while the outcome is unknown.
const COMMIT_TRIES: usize = 3;

/// The lane of the registry.
pub(crate) fn lane() -> LaneId {
    LaneId::new(LANE).expect("the name is one")
}

/// Everything that was said over the API, at one time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overlay {
    head: Option<Version>,
    pub(crate) relayers: BTreeMap<String, Change<RelayerDef>>,
    pub(crate) signers: BTreeMap<String, Change<SignerDef>>,
    pub(crate) notifications: BTreeMap<String, Change<NotificationDef>>,
    pub(crate) networks: BTreeMap<String, Change<NetworkDef>>,
    pub(crate) keys: BTreeMap<String, ApiKeyDef>,
}

/// What is to be written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Edits {
    puts: Vec<(Key, bytes::Bytes)>,
    deletes: Vec<Key>,
}

/// How a commit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    Yes,
    /// Somebody else was first: nothing was written.
    Stale,
}

#[derive(Serialize, Deserialize)]
struct Head {
    /// Who wrote it: tells whose change took effect when the store did not.
    change: Uuid,
}

impl Record for Head {
    const WHAT: &'static str = "registry head";
}

impl Overlay {
    /// Reads everything.
    pub(crate) async fn load(store: &SharedStore) -> Result<Self, RegistryError> {
        let entries = store
            .scan(&lane(), &Scan::prefix("", SCAN_LIMIT_MAX))
            .await?;
        let mut overlay = Self::default();
        for entry in entries {
            overlay.take(&entry)?;
        }
        Ok(overlay)
    }

    /// Where the stored one stands.
    pub(crate) async fn stored_version(store: &SharedStore) -> Result<Version, RegistryError> {
        let head = store
            .get(&lane(), &Key::from_static(HEAD.as_bytes()))
            .await?;
        Ok(head.map(|entry| entry.version).unwrap_or_default())
    }

    /// Where it stands; rises with every change.
    pub(crate) fn version(&self) -> Version {
        self.head.unwrap_or_default()
    }

    /// What comes of it and a file.
    pub(crate) fn over(&self, file: &Definitions) -> Definitions {
        Definitions {
            relayers: merge(&file.relayers, &self.relayers),
            signers: merge(&file.signers, &self.signers),
            notifications: merge(&file.notifications, &self.notifications),
            networks: merge(&file.networks, &self.networks),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.relayers.len()
            + self.signers.len()
            + self.notifications.len()
            + self.networks.len()
            + self.keys.len()
    }

    /// Writes edits that were decided on this state.
    pub(crate) async fn commit(
        &self,
        store: &SharedStore,
        edits: Edits,
        change: Uuid,
    ) -> Result<Written, RegistryError> {
        let mut batch = Batch::new(lane());
        let head = Key::from_static(HEAD.as_bytes());
        batch.require.push(match self.head {
            None => Precondition::Absent(head.clone()),
            Some(version) => Precondition::At(head.clone(), version),
        });
        batch.puts = edits.puts;
        batch
            .puts
            .push((head.clone(), encode(&Head { change }).into()));
        batch.deletes = edits.deletes;
        let mut is_unknown = false;
        for _ in 0..COMMIT_TRIES {
            match store.commit(batch.clone()).await {
                Ok(_) => return Ok(Written::Yes),
                Err(CommitError::Precondition { .. }) if is_unknown => {
                    let found = store.get(&lane(), &head).await?;
                    let found: Option<Head> = found.as_ref().map(read).transpose()?;
                    let is_own = found.is_some_and(|head| head.change == change);
                    return Ok(if is_own { Written::Yes } else { Written::Stale });
                }
                Err(CommitError::Precondition { .. }) => return Ok(Written::Stale),
                Err(CommitError::Unknown { reason }) => {
                    tracing::warn!(
                        reason,
                        "whether a change of the registry was written is unknown"
                    );
                    is_unknown = true;
                }
                Err(CommitError::Unavailable { reason }) if !is_unknown => {
                    return Err(RegistryError::Unavailable(reason));
                }
                Err(CommitError::Unavailable { .. }) => {}
                Err(error @ (CommitError::Invalid { .. } | CommitError::Fenced { .. })) => {
                    return Err(RegistryError::Refused(error.to_string()));
                }
            }
        }
        Err(RegistryError::Unknown)
    }

    fn take(&mut self, entry: &Entry) -> Result<(), RegistryError> {
        let name = entry.key.as_ref();
        if name == HEAD.as_bytes() {
            self.head = Some(entry.version);
        } else if name.starts_with(RelayerDef::PREFIX.as_bytes()) {
            insert(&mut self.relayers, entry)?;
        } else if name.starts_with(SignerDef::PREFIX.as_bytes()) {
            insert(&mut self.signers, entry)?;
        } else if name.starts_with(NotificationDef::PREFIX.as_bytes()) {
            insert(&mut self.notifications, entry)?;
        } else if name.starts_with(NetworkDef::PREFIX.as_bytes()) {
            insert(&mut self.networks, entry)?;
        } else if name.starts_with(KEYS.as_bytes()) {
            let key: ApiKeyDef = read(entry)?;
            self.keys.insert(key.id.clone(), key);
        } else {
            // Written by a release that knows more: to pass over it would be to undo it.
            return Err(damaged(entry, "it is of no kind that this release knows"));
        }
        Ok(())
    }
}

impl Edits {
    pub(crate) fn put<T: Definition>(&mut self, id: &str, change: &Change<T>) {
        self.puts.push((key(T::PREFIX, id), encode(change).into()));
    }

    pub(crate) fn forget<T: Definition>(&mut self, id: &str) {
        self.deletes.push(key(T::PREFIX, id));
    }

    pub(crate) fn put_key(&mut self, api_key: &ApiKeyDef) {
        self.puts
            .push((key(KEYS, &api_key.id), encode(api_key).into()));
    }

    pub(crate) fn forget_key(&mut self, id: &str) {
        self.deletes.push(key(KEYS, id));
    }
}

/// Forgets everything that was said over the API. Transactions are not touched.
pub(crate) async fn reset(store: &SharedStore, change: Uuid) -> Result<(), RegistryError> {
    let overlay = Overlay::load(store).await?;
    let mut edits = Edits::default();
    for id in overlay.relayers.keys() {
        edits.forget::<RelayerDef>(id);
    }
    for id in overlay.signers.keys() {
        edits.forget::<SignerDef>(id);
    }
    for id in overlay.notifications.keys() {
        edits.forget::<NotificationDef>(id);
    }
    for id in overlay.networks.keys() {
        edits.forget::<NetworkDef>(id);
    }
    for id in overlay.keys.keys() {
        edits.forget_key(id);
    }
    if edits.deletes.is_empty() {
        return Ok(());
    }
    match overlay.commit(store, edits, change).await? {
        Written::Yes => Ok(()),
        Written::Stale => Err(RegistryError::Busy),
    }
}

fn key(prefix: &str, id: &str) -> Key {
    format!("{prefix}{id}").into()
}

fn insert<T: Definition>(
    changes: &mut BTreeMap<String, Change<T>>,
    entry: &Entry,
) -> Result<(), RegistryError> {
    let id = std::str::from_utf8(&entry.key[T::PREFIX.len()..]);
    let id = id.map_err(|_| damaged(entry, "its name is no text"))?;
    changes.insert(id.to_owned(), read(entry)?);
    Ok(())
}

fn read<T: Record>(entry: &Entry) -> Result<T, RegistryError> {
    decode(&entry.value).map_err(|error| damaged(entry, &error.to_string()))
}

fn damaged(entry: &Entry, reason: &str) -> RegistryError {
    RegistryError::Damaged(format!("{LANE}/{}: {reason}", entry.key.escape_ascii()))
}
