//! Making, changing and deleting relayers.

use std::time::Duration;

use baton_coord::{CommitError, HolderId};
use baton_model::LaneId;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::Service;
use super::error::ServiceError;
use super::relayer_body::{new_relayer, patched_relayer};
use super::view::RelayerView;
use crate::SharedStore;
use crate::registry::{self, Closing, Definitions, Edit, RegistryError, RelayerDef};

/// Longest time that deleting may take: half of that after which others take it for given up.
const DELETE_MAX: Duration = Duration::from_secs(30);
/// Longest wait for the baton of a lane that is to be cleared while a caller waits.
const CLEAR_WAIT: Duration = Duration::from_secs(5);
/// The same while nobody does: more than a lease.
const CLEAR_WAIT_LATER: Duration = Duration::from_secs(60);

impl Service {
    /// Makes a relayer: its signers are opened and its nodes asked before anything is written.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] when the body breaks a rule or the relayer could not be served,
    /// [`ServiceError::NotFound`] for its signers and notification, [`ServiceError::Conflict`] when the id is taken.
    pub async fn create_relayer(&self, body: &RawValue) -> Result<RelayerView, ServiceError> {
        let backends = self.registry.backends();
        let fresh = || self.fresh_id().to_string();
        let def = new_relayer(body, fresh, backends).map_err(ServiceError::Invalid)?;
        let id = def.id.to_string();
        let lane = def.id.lane();
        let mut edit = self.registry.edit().await?;
        let mut closing = None;
        let made = self.make(&mut edit, &def, &mut closing).await;
        let exists = edit.definitions.relayer(&id).is_some();
        drop(edit);
        if let Some(closing) = closing.filter(|_| exists) {
            self.open_lane(&lane, closing).await;
        }
        made?;
        tracing::info!(relayer_id = id, "relayer created");
        self.relayer_view(&id).await
    }

    async fn make(
        &self,
        edit: &mut Edit<'_>,
        def: &RelayerDef,
        closing: &mut Option<Closing>,
    ) -> Result<(), ServiceError> {
        let id = def.id.as_str();
        loop {
            if edit.definitions.relayer(id).is_some() {
                let text = format!("Relayer with ID {id} already exists");
                return Err(ServiceError::Conflict(text));
            }
            check_parts(def, &edit.definitions)?;
            let served = edit.try_relayer(def).await;
            served.map_err(|reason| ServiceError::Invalid(format!("relayer {id}: {reason}")))?;
            let chain_id = edit.definitions.network(&def.network);
            let chain_id = chain_id.map(|network| network.profile.chain_id);
            if closing.is_none() {
                *closing = self.empty_lane(&def.id.lane(), chain_id).await?;
            }
            edit.put(id, def.clone());
            if edit.commit().await? {
                return Ok(());
            }
        }
    }

    /// Changes a relayer by a JSON Merge Patch (RFC 7396). Its lane goes on with what it has, under the new rules.
    ///
    /// # Errors
    /// See [`Service::create_relayer`].
    pub async fn patch_relayer(
        &self,
        id: &str,
        body: &RawValue,
    ) -> Result<RelayerView, ServiceError> {
        let backends = self.registry.backends();
        let mut edit = self.registry.edit().await?;
        loop {
            let old = edit.definitions.relayer(id);
            let old = old.ok_or_else(|| ServiceError::relayer_not_found(id))?;
            let def = patched_relayer(body, old, backends).map_err(ServiceError::Invalid)?;
            if def == *old {
                break;
            }
            check_parts(&def, &edit.definitions)?;
            let served = edit.try_relayer(&def).await;
            served.map_err(|reason| ServiceError::Invalid(format!("relayer {id}: {reason}")))?;
            edit.put(id, def);
            if edit.commit().await? {
                tracing::info!(relayer_id = id, "relayer changed");
                break;
            }
        }
        drop(edit);
        self.relayer_view(id).await
    }

    /// Deletes a relayer that has nothing unfinished, with everything that is known of its transactions.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] while it has something unfinished: nothing is changed then.
    pub async fn delete_relayer(&self, id: &str) -> Result<(), ServiceError> {
        let mut edit = self.registry.edit().await?;
        let not_found = || ServiceError::relayer_not_found(id);
        let def = edit.definitions.relayer(id).ok_or_else(not_found)?;
        let lane = def.id.lane();
        let closing = self.close_lane(id, &lane).await?;
        let outcome = self.remove(&mut edit, id, &lane).await;
        let is_unknown = matches!(outcome, Err(ServiceError::Registry(RegistryError::Unknown)));
        let exists = edit.definitions.relayer(id).is_some();
        drop(edit);
        if outcome.is_err() && exists && !is_unknown {
            self.open_lane(&lane, closing).await;
        }
        outcome?;
        tracing::info!(relayer_id = id, "relayer deleted");
        self.clear_later(lane, closing);
        Ok(())
    }

    async fn remove(
        &self,
        edit: &mut Edit<'_>,
        id: &str,
        lane: &LaneId,
    ) -> Result<(), ServiceError> {
        let deadline = Instant::now() + DELETE_MAX;
        loop {
            if edit.definitions.relayer(id).is_none() {
                return Err(ServiceError::relayer_not_found(id));
            }
            self.check_finished(id, lane).await?;
            if Instant::now() >= deadline {
                // Others may take the deletion for given up soon, and open the lane.
                let text = "deleting the relayer took too long and was given up";
                return Err(ServiceError::Unavailable(text.to_owned()));
            }
            edit.remove::<RelayerDef>(id);
            if edit.commit().await? {
                return Ok(());
            }
        }
    }

    /// Closes a relayer's lane, also one that somebody closed and gave up.
    async fn close_lane(&self, id: &str, lane: &LaneId) -> Result<Closing, ServiceError> {
        let now = self.clock.now();
        let conflict = || ServiceError::Conflict(format!("relayer {id} is being deleted"));
        let over = registry::closing(&self.store, lane).await?;
        if over.is_some_and(|over| !over.is_abandoned(now)) {
            return Err(conflict());
        }
        let closed = registry::close(&self.store, lane, now, over).await;
        let closed = closed.map_err(|error| not_closed(&error))?;
        closed.ok_or_else(conflict)
    }

    /// Lets a lane have work again. It would open by itself after a while.
    async fn open_lane(&self, lane: &LaneId, closing: Closing) {
        if let Err(error) = registry::reopen(&self.store, lane, closing).await {
            tracing::warn!(%lane, %error, "the lane stays closed for a minute");
        }
    }

    async fn check_finished(&self, id: &str, lane: &LaneId) -> Result<(), ServiceError> {
        let left = registry::unfinished(&self.store, lane).await?;
        if left.is_nothing() {
            return Ok(());
        }
        let count = (left.open + left.inbox).max(left.slots);
        Err(ServiceError::Invalid(format!(
            "Cannot delete relayer '{id}' because it has {count} transaction(s) that are not final: \
             wait for them to end, or cancel them, before deleting it"
        )))
    }

    /// Sees to it that a lane holds nothing of an earlier relayer that the new one must not have. If there was one, the
    /// lane is closed until the new one is there.
    async fn empty_lane(
        &self,
        lane: &LaneId,
        chain_id: Option<u64>,
    ) -> Result<Option<Closing>, ServiceError> {
        let left = registry::unfinished(&self.store, lane).await?;
        if !left.is_nothing() {
            return Err(ServiceError::Conflict(format!(
                "the store holds unfinished work of an earlier relayer of this id: {} transactions \
                 and {} nonces; bring that relayer back, or choose another id",
                left.open + left.inbox,
                left.slots
            )));
        }
        let summary = self.table(lane).summary().await?;
        let same_chain = summary.chain_id.is_none() || summary.chain_id == chain_id;
        let over = registry::closing(&self.store, lane).await?;
        if same_chain && over.is_none() {
            return Ok(None);
        }
        let busy = || {
            let text = "an earlier relayer of this id is still being cleared away";
            ServiceError::Unavailable(text.to_owned())
        };
        let closed = registry::close(&self.store, lane, self.clock.now(), over).await;
        let closed = closed.map_err(|error| not_closed(&error))?;
        let closing = closed.ok_or_else(busy)?;
        let holder = self.holder();
        if registry::clear(&self.store, lane, closing, &holder, CLEAR_WAIT).await {
            Ok(Some(closing))
        } else {
            Err(busy())
        }
    }

    /// Removes the records of a deleted relayer once its lane is at rest, everywhere. What is left behind when this
    /// process ends before is a matter of space, and goes when a relayer of this id is made again.
    fn clear_later(&self, lane: LaneId, closing: Closing) {
        let store = SharedStore::clone(&self.store);
        let holder = self.holder();
        tokio::spawn(async move {
            registry::clear(&store, &lane, closing, &holder, CLEAR_WAIT_LATER).await
        });
    }

    fn holder(&self) -> HolderId {
        HolderId(format!("registry-{}", self.fresh_id()))
    }
}

fn check_parts(def: &RelayerDef, definitions: &Definitions) -> Result<(), ServiceError> {
    let Some(network) = definitions.network(&def.network) else {
        let text = format!(
            "network must name a known evm network; found {:?}",
            def.network
        );
        return Err(ServiceError::Invalid(text));
    };
    for id in &def.signer_ids {
        if definitions.signer(id).is_none() {
            return Err(ServiceError::NotFound(format!(
                "Signer with ID {id} not found"
            )));
        }
        let chain = network.profile.chain_id;
        let other = definitions.relayers.iter().find(|other| {
            let on = definitions.network(&other.network);
            other.id != def.id
                && other.signer_ids.contains(id)
                && on.is_some_and(|on| on.profile.chain_id == chain)
        });
        if let Some(other) = other {
            return Err(ServiceError::Invalid(format!(
                "signer {id} is used on chain {chain} by relayer {} already: they would use the \
                 same nonces",
                other.id
            )));
        }
    }
    match &def.notification_id {
        Some(id) if definitions.notification(id).is_none() => Err(ServiceError::NotFound(format!(
            "Notification with ID {id} not found"
        ))),
        Some(_) | None => Ok(()),
    }
}

fn not_closed(error: &CommitError) -> ServiceError {
    ServiceError::Unavailable(error.to_string())
}
