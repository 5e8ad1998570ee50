//! API keys that are given out. A key is told once, when it is made; what is kept of it is a digest.

use alloy_primitives::hex;
use baton_edge::{Page, key_digest};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

use super::body::{Body, items, text};
use super::caller::Rights;
use super::error::ServiceError;
use super::number::read_u64;
use super::schema;
use super::validate::rfc3339;
use super::{Service, page_of};
use crate::registry::{ApiKeyDef, KeyRate};

/// Start of every key, so that one that leaked is recognised.
const PREFIX: &str = "baton_";
/// Most permissions or origins of one key: all are looked at with every request.
const ENTRIES_MAX: usize = 100;
/// Highest rate of a key, as that of the variables.
const RATE_MAX: u32 = 1_000_000;
/// Most keys: all of them are in the memory of every process.
const KEYS_MAX: usize = 1000;

/// A key as callers see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "ApiKey")]
pub struct ApiKeyView {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Origins of web pages that it may be used from.
    pub allowed_origins: Vec<String>,
    /// When it was made.
    #[schemars(with = "schema::Time")]
    pub created_at: String,
    /// What it may do.
    pub permissions: Vec<String>,
    /// How often it may be used; left out when that is as often as any other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<KeyRate>,
    /// The key itself; only in the answer to its making.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

impl Service {
    /// A page of the keys, oldest first, and how many there are.
    pub fn api_key_views(&self, page: Page) -> (Vec<ApiKeyView>, u64) {
        let snapshot = self.registry.snapshot();
        let mut keys: Vec<&ApiKeyDef> = snapshot.keys.values().collect();
        keys.sort_by_key(|key| (key.created_at, &key.id));
        let views = page_of(&keys, page).map(|key| ApiKeyView::of(key, None));
        (views.collect(), keys.len() as u64)
    }

    /// A key.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`].
    pub fn api_key_view(&self, id: &str) -> Result<ApiKeyView, ServiceError> {
        let snapshot = self.registry.snapshot();
        let key = snapshot.keys.get(id);
        key.map(|key| ApiKeyView::of(key, None))
            .ok_or_else(|| not_found(id))
    }

    /// Makes a key.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] when the body breaks a rule.
    pub async fn create_api_key(&self, body: &RawValue) -> Result<ApiKeyView, ServiceError> {
        let asked = read(body).map_err(ServiceError::Invalid)?;
        // Two random ids are 244 random bits.
        let random = [(self.ids)(), (self.ids)()].map(|id| hex::encode(id.as_bytes()));
        let value = format!("{PREFIX}{}", random.concat());
        let key = ApiKeyDef {
            id: self.fresh_id().to_string(),
            name: asked.name,
            digest: hex::encode(key_digest(&value)),
            permissions: asked.permissions,
            allowed_origins: asked.allowed_origins,
            created_at: self.registry.now(),
            rate: asked.rate,
        };
        let mut edit = self.registry.edit().await?;
        loop {
            if edit.keys().len() >= KEYS_MAX {
                let text = format!("there can be at most {KEYS_MAX} API keys; delete unused ones");
                return Err(ServiceError::Invalid(text));
            }
            edit.put_key(&key);
            if edit.commit().await? {
                tracing::info!(api_key_id = key.id, "API key created");
                return Ok(ApiKeyView::of(&key, Some(value)));
            }
        }
    }

    /// Revokes a key. Other processes refuse it within seconds.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`].
    pub async fn delete_api_key(&self, id: &str) -> Result<(), ServiceError> {
        let mut edit = self.registry.edit().await?;
        loop {
            if !edit.keys().contains_key(id) {
                return Err(not_found(id));
            }
            edit.remove_key(id);
            if edit.commit().await? {
                tracing::info!(api_key_id = id, "API key revoked");
                return Ok(());
            }
        }
    }
}

impl ApiKeyView {
    fn of(key: &ApiKeyDef, value: Option<String>) -> Self {
        Self {
            id: key.id.clone(),
            name: key.name.clone(),
            allowed_origins: key.allowed_origins.clone(),
            created_at: rfc3339(key.created_at),
            permissions: key.permissions.clone(),
            rate_limit: key.rate,
            value,
        }
    }
}

/// What a new key is to be.
struct Asked {
    name: String,
    permissions: Vec<String>,
    allowed_origins: Vec<String>,
    rate: Option<KeyRate>,
}

fn read(raw: &RawValue) -> Result<Asked, String> {
    let known = ["name", "permissions", "allowed_origins", "rate_limit"];
    let body = Body::open("", raw, &known)?;
    let name = body.required_text("name")?;
    let mut permissions = Vec::new();
    let mut rights = Rights::default();
    for (place, item) in items("permissions", body.required("permissions")?, ENTRIES_MAX)? {
        let permission = text(&place, item)?;
        rights.add(&permission)?;
        permissions.push(permission);
    }
    if permissions.is_empty() {
        return Err("permissions must have an entry; found none".to_owned());
    }
    let mut origins = vec!["*".to_owned()];
    if let Some(raw) = body.value("allowed_origins") {
        let given = items("allowed_origins", raw, ENTRIES_MAX)?;
        let given = given.into_iter().map(|(place, item)| text(&place, item));
        origins = given.collect::<Result<_, _>>()?;
    }
    Ok(Asked {
        name,
        permissions,
        allowed_origins: origins,
        rate: body.value("rate_limit").map(rate).transpose()?,
    })
}

fn rate(raw: &RawValue) -> Result<KeyRate, String> {
    let body = Body::open("rate_limit", raw, &["per_second", "burst"])?;
    let read = |name: &str| {
        let place = body.place(name);
        let number = read_u64(&place, body.required(name)?)?;
        let fits = u32::try_from(number).ok();
        fits.filter(|number| (1..=RATE_MAX).contains(number))
            .ok_or_else(|| format!("{place} must be 1 to {RATE_MAX}; found {number}"))
    };
    Ok(KeyRate {
        per_second: read("per_second")?,
        burst: read("burst")?,
    })
}

fn not_found(id: &str) -> ServiceError {
    ServiceError::NotFound(format!("API key with ID {id} not found"))
}
