//! Signers over the API. What is secret of them goes in and never comes out.

use baton_edge::Page;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::body::Body;
use super::error::ServiceError;
use super::{Service, page_of};
use crate::registry::{Definitions, SignerDef};

/// OpenZeppelin Relayer's rule for the ids of its objects.
const ID_BYTES_MAX: usize = 36;

/// A signer as callers see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Signer")]
pub struct SignerView {
    /// Its id.
    pub id: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its configuration, without what is secret.
    #[schemars(with = "serde_json::Map<String, Value>")]
    pub config: Value,
}

impl Service {
    /// A page of the signers, and how many there are.
    pub fn signer_views(&self, page: Page) -> (Vec<SignerView>, u64) {
        let snapshot = self.registry.snapshot();
        let signers = &snapshot.definitions.signers;
        let views = page_of(signers, page).map(SignerView::of).collect();
        (views, signers.len() as u64)
    }

    /// A signer.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`].
    pub fn signer_view(&self, id: &str) -> Result<SignerView, ServiceError> {
        let snapshot = self.registry.snapshot();
        let signer = snapshot.definitions.signer(id);
        signer.map(SignerView::of).ok_or_else(|| not_found(id))
    }

    /// Makes a signer. It is opened once, to see that it can be.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] when the body breaks a rule or the signer does not open, [`ServiceError::Forbidden`]
    /// when it holds a secret and the store does not encrypt, [`ServiceError::Conflict`] when the id is taken.
    pub async fn create_signer(&self, body: &RawValue) -> Result<SignerView, ServiceError> {
        let backends = self.registry.backends();
        let invalid = ServiceError::Invalid;
        let body = Body::open("", body, &["id", "type", "config"]).map_err(invalid)?;
        let id = self.object_id(&body)?;
        let kind = body.required_text("type").map_err(ServiceError::Invalid)?;
        let config = body.required("config").map_err(ServiceError::Invalid)?;
        let checked = backends.check_signer(&kind, config.get());
        let checked = checked.map_err(ServiceError::Invalid)?;
        if checked.is_secret {
            self.check_sealed("signers with secrets")?;
        }
        let def = SignerDef {
            id: id.clone(),
            kind,
            shown_kind: checked.kind,
            shown: checked.shown,
            config: Some(baton_vault::Secret::new(config.get())),
        };
        backends.open_signer(&def).await.map_err(|reason| {
            ServiceError::Invalid(format!("signer {id} cannot be opened: {reason}"))
        })?;
        let mut edit = self.registry.edit().await?;
        loop {
            if edit.definitions.signer(&id).is_some() {
                let text = format!("Signer with ID {id} already exists");
                return Err(ServiceError::Conflict(text));
            }
            edit.put(&id, def.clone());
            if edit.commit().await? {
                tracing::info!(signer_id = id, "signer created");
                return Ok(SignerView::of(&def));
            }
        }
    }

    /// Deletes a signer that no relayer uses.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], or [`ServiceError::Invalid`] while a relayer uses it.
    pub async fn delete_signer(&self, id: &str) -> Result<(), ServiceError> {
        let mut edit = self.registry.edit().await?;
        loop {
            if edit.definitions.signer(id).is_none() {
                return Err(not_found(id));
            }
            check_unused("signer", id, &edit.definitions, |relayer| {
                relayer.signer_ids.iter().any(|used| used == id)
            })?;
            edit.remove::<SignerDef>(id);
            if edit.commit().await? {
                tracing::info!(signer_id = id, "signer deleted");
                return Ok(());
            }
        }
    }

    /// The id that a body gives, or a fresh one.
    pub(super) fn object_id(&self, body: &Body<'_>) -> Result<String, ServiceError> {
        let Some(id) = body.text("id").map_err(ServiceError::Invalid)? else {
            return Ok(self.fresh_id().to_string());
        };
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if id.len() > ID_BYTES_MAX || !id.chars().all(allowed) {
            return Err(ServiceError::Invalid(format!(
                "id must be 1 to {ID_BYTES_MAX} letters, digits, `-` or `_`; found {id:?}"
            )));
        }
        Ok(id)
    }

    /// Refuses secrets where they would lie in the store as they are.
    pub(super) fn check_sealed(&self, what: &str) -> Result<(), ServiceError> {
        if self.registry.backends().is_sealed() {
            return Ok(());
        }
        let text = format!(
            "{what} can be made over the API only with STORAGE_ENCRYPTION_KEY set: without it they \
             would lie in the store unencrypted"
        );
        Err(ServiceError::Forbidden(text.into()))
    }
}

impl SignerView {
    fn of(signer: &SignerDef) -> Self {
        Self {
            id: signer.id.clone(),
            kind: signer.shown_kind.clone(),
            config: signer.shown.clone(),
        }
    }
}

/// Refuses to take away what relayers use.
pub(super) fn check_unused(
    what: &str,
    id: &str,
    definitions: &Definitions,
    uses: impl Fn(&crate::registry::RelayerDef) -> bool,
) -> Result<(), ServiceError> {
    let users = definitions.relayers.iter().filter(|relayer| uses(relayer));
    let names: Vec<&str> = users.map(|relayer| relayer.name.as_str()).collect();
    if names.is_empty() {
        return Ok(());
    }
    Err(ServiceError::Invalid(format!(
        "Cannot delete {what} '{id}' because it is being used by {} relayer(s): {}",
        names.len(),
        names.join(", ")
    )))
}

fn not_found(id: &str) -> ServiceError {
    ServiceError::NotFound(format!("Signer with ID {id} not found"))
}
