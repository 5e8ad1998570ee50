//! Changing the registry: decided on the latest state, written only if nobody was faster.

use std::collections::BTreeMap;

use tokio::sync::MutexGuard;

use super::defs::{
    ApiKeyDef, Definition, Definitions, NetworkDef, NotificationDef, RelayerDef, SignerDef,
};
use super::live::Live;
use super::merge::Change;
use super::table::{Edits, Overlay, RECORDS_MAX, Written};
use super::{Registry, RegistryError, TOPIC};

/// Times that a change is decided anew because others changed something in between.
const EDIT_TRIES: usize = 8;

/// A change under way. It is decided on the latest state; when another process was faster, it has to be decided again.
pub(crate) struct Edit<'a> {
    pub(super) registry: &'a Registry,
    pub(super) live: MutexGuard<'a, Live>,
    pub(super) overlay: Overlay,
    /// What is configured now.
    pub(crate) definitions: Definitions,
    pub(super) edits: Edits,
    pub(super) tries: usize,
}

impl Edit<'_> {
    /// Whether a relayer can be served as it would be: opens and connects what it needs.
    ///
    /// # Errors
    /// Why not, in words fit for the caller.
    pub(crate) async fn try_relayer(&mut self, relayer: &RelayerDef) -> Result<(), String> {
        let backends = &*self.registry.backends;
        self.live
            .try_out(relayer, &self.definitions, backends)
            .await
    }

    /// API keys by id.
    pub(crate) const fn keys(&self) -> &BTreeMap<String, ApiKeyDef> {
        &self.overlay.keys
    }

    /// Makes or changes something.
    pub(crate) fn put<T: Kind>(&mut self, id: &str, now: T) {
        self.say(id, Some(now));
    }

    /// Removes something.
    pub(crate) fn remove<T: Kind>(&mut self, id: &str) {
        if T::file(&self.registry.file)
            .iter()
            .any(|one| one.id() == id)
        {
            self.say::<T>(id, None);
        } else {
            self.edits.forget::<T>(id);
        }
    }

    pub(crate) fn put_key(&mut self, key: &ApiKeyDef) {
        self.edits.put_key(key);
    }

    pub(crate) fn remove_key(&mut self, id: &str) {
        self.edits.forget_key(id);
    }

    /// Writes the change. `false` when another process was faster: it is to be decided again, on what is now.
    pub(crate) async fn commit(&mut self) -> Result<bool, RegistryError> {
        let registry = self.registry;
        if self.overlay.len() >= RECORDS_MAX {
            return Err(RegistryError::Full);
        }
        let edits = std::mem::take(&mut self.edits);
        let change = (registry.ids)();
        let written = self.overlay.commit(&registry.store, edits, change).await?;
        self.overlay = Overlay::load(&registry.store).await?;
        self.definitions = self.overlay.over(&registry.file);
        if written == Written::Stale {
            self.tries += 1;
            return if self.tries < EDIT_TRIES {
                Ok(false)
            } else {
                Err(RegistryError::Busy)
            };
        }
        registry.publish(&mut self.live, &self.overlay).await;
        if let Err(error) = registry.store.publish(TOPIC).await {
            tracing::warn!(%error, "other processes could not be woken; they look by themselves");
        }
        Ok(true)
    }

    fn say<T: Kind>(&mut self, id: &str, now: Option<T>) {
        let said = T::file(&self.registry.file).iter();
        let base = said.clone().find(|one| one.id() == id).cloned();
        let before = T::changes(&self.overlay).get(id);
        let before = before.filter(|change| change.counts(base.as_ref()));
        let made_at = before.map_or_else(|| self.registry.now(), |change| change.made_at);
        let change = Change { base, now, made_at };
        self.edits.put(id, &change);
    }
}

/// Where definitions of a kind are.
pub(crate) trait Kind: Definition {
    fn file(file: &Definitions) -> &[Self];
    fn changes(overlay: &Overlay) -> &BTreeMap<String, Change<Self>>;
}

impl Kind for RelayerDef {
    fn file(file: &Definitions) -> &[Self] {
        &file.relayers
    }

    fn changes(overlay: &Overlay) -> &BTreeMap<String, Change<Self>> {
        &overlay.relayers
    }
}

impl Kind for SignerDef {
    fn file(file: &Definitions) -> &[Self] {
        &file.signers
    }

    fn changes(overlay: &Overlay) -> &BTreeMap<String, Change<Self>> {
        &overlay.signers
    }
}

impl Kind for NotificationDef {
    fn file(file: &Definitions) -> &[Self] {
        &file.notifications
    }

    fn changes(overlay: &Overlay) -> &BTreeMap<String, Change<Self>> {
        &overlay.notifications
    }
}

impl Kind for NetworkDef {
    fn file(file: &Definitions) -> &[Self] {
        &file.networks
    }

    fn changes(overlay: &Overlay) -> &BTreeMap<String, Change<Self>> {
        &overlay.networks
    }
}
