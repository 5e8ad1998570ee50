//! Notifications over the API.

use baton_edge::Page;
use baton_vault::{API_KEY_CHARS_MIN, Secret};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

use super::body::{Body, Given, items, text};
use super::error::ServiceError;
use super::signers::check_unused;
use super::{Service, page_of};
use crate::registry::NotificationDef;
use crate::webhooks::{EVENT_WORDS, check_event};

/// Longest URL: browsers and proxies take about as much.
const URL_BYTES_MAX: usize = 2048;
/// Longest key: longer ones sign no better.
const SIGNING_KEY_CHARS_MAX: usize = 512;

/// A notification as callers see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Notification")]
pub struct NotificationView {
    /// Its id.
    pub id: String,
    /// `webhook`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Where webhooks go.
    pub url: String,
    /// Whether they are signed.
    pub has_signing_key: bool,
    /// What it is told of; left out when it is told of everything.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<String>,
}

impl Service {
    /// A page of the notifications, and how many there are.
    pub fn notification_views(&self, page: Page) -> (Vec<NotificationView>, u64) {
        let snapshot = self.registry.snapshot();
        let all = &snapshot.definitions.notifications;
        let views = page_of(all, page).map(NotificationView::of).collect();
        (views, all.len() as u64)
    }

    /// A notification.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`].
    pub fn notification_view(&self, id: &str) -> Result<NotificationView, ServiceError> {
        let snapshot = self.registry.snapshot();
        let found = snapshot.definitions.notification(id);
        found.map(NotificationView::of).ok_or_else(|| not_found(id))
    }

    /// Makes a notification.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] when the body breaks a rule, [`ServiceError::Forbidden`] when it holds a signing key
    /// and the store does not encrypt, [`ServiceError::Conflict`] when the id is taken.
    pub async fn create_notification(
        &self,
        body: &RawValue,
    ) -> Result<NotificationView, ServiceError> {
        let known = ["id", "type", "url", "signing_key", "events"];
        let body = Body::open("", body, &known).map_err(ServiceError::Invalid)?;
        let id = self.object_id(&body)?;
        if matches!(body.get("url"), Given::Absent | Given::Null) {
            let text = "url is required; found nothing";
            return Err(ServiceError::Invalid(text.to_owned()));
        }
        let blank = NotificationDef {
            id: id.clone(),
            url: None,
            signing_key: None,
            events: Vec::new(),
        };
        let def = self.merged(&body, blank)?;
        let mut edit = self.registry.edit().await?;
        loop {
            if edit.definitions.notification(&id).is_some() {
                let text = format!("Notification with ID {id} already exists");
                return Err(ServiceError::Conflict(text));
            }
            edit.put(&id, def.clone());
            if edit.commit().await? {
                return Ok(NotificationView::of(&def));
            }
        }
    }

    /// Changes a notification; an empty `signing_key` removes it.
    ///
    /// # Errors
    /// See [`Service::create_notification`].
    pub async fn patch_notification(
        &self,
        id: &str,
        body: &RawValue,
    ) -> Result<NotificationView, ServiceError> {
        let body = Body::open("", body, &["type", "url", "signing_key", "events"]);
        let body = body.map_err(ServiceError::Invalid)?;
        let mut edit = self.registry.edit().await?;
        loop {
            let old = edit.definitions.notification(id);
            let old = old.cloned().ok_or_else(|| not_found(id))?;
            let def = self.merged(&body, old)?;
            edit.put(id, def.clone());
            if edit.commit().await? {
                return Ok(NotificationView::of(&def));
            }
        }
    }

    /// Deletes a notification that no relayer uses.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], or [`ServiceError::Invalid`] while a relayer uses it.
    pub async fn delete_notification(&self, id: &str) -> Result<(), ServiceError> {
        let mut edit = self.registry.edit().await?;
        loop {
            if edit.definitions.notification(id).is_none() {
                return Err(not_found(id));
            }
            check_unused("notification", id, &edit.definitions, |relayer| {
                relayer.notification_id.as_deref() == Some(id)
            })?;
            edit.remove::<NotificationDef>(id);
            if edit.commit().await? {
                return Ok(());
            }
        }
    }

    fn merged(
        &self,
        body: &Body<'_>,
        mut def: NotificationDef,
    ) -> Result<NotificationDef, ServiceError> {
        let kind = body.text("type").map_err(ServiceError::Invalid)?;
        if let Some(kind) = kind.filter(|kind| kind != "webhook") {
            let text = format!("type must be webhook; found {kind:?}");
            return Err(ServiceError::Invalid(text));
        }
        if let Some(raw) = body.value("url") {
            def.url = Some(url(raw).map_err(ServiceError::Invalid)?);
        }
        match body.get("signing_key") {
            Given::Absent => {}
            Given::Null => def.signing_key = None,
            Given::Value(raw) => {
                def.signing_key = signing_key(raw).map_err(ServiceError::Invalid)?
            }
        }
        match body.get("events") {
            Given::Absent => {}
            Given::Null => def.events = Vec::new(),
            Given::Value(raw) => def.events = events(raw).map_err(ServiceError::Invalid)?,
        }
        if def.signing_key.is_some() {
            self.check_sealed("notifications with a signing key")?;
        }
        Ok(def)
    }
}

impl NotificationView {
    fn of(notification: &NotificationDef) -> Self {
        let url = notification.url.as_ref();
        Self {
            id: notification.id.clone(),
            kind: "webhook",
            url: url.map(|url| url.expose().to_owned()).unwrap_or_default(),
            has_signing_key: notification.signing_key.is_some(),
            events: notification.events.clone(),
        }
    }
}

/// A URL may hold a key and is not repeated.
fn url(raw: &RawValue) -> Result<Secret, String> {
    let text: Option<String> = serde_json::from_str(raw.get()).ok();
    let fits = |text: &String| {
        let rest = text
            .strip_prefix("https://")
            .or_else(|| text.strip_prefix("http://"));
        let host = rest.and_then(|rest| rest.split(['/', '?', '#', '\\']).next());
        let is_plain = text.chars().all(|c| c.is_ascii_graphic());
        text.len() <= URL_BYTES_MAX && is_plain && host.is_some_and(|host| !host.is_empty())
    };
    text.filter(fits).map(Secret::new).ok_or_else(|| {
        format!("url must be an http or https URL of at most {URL_BYTES_MAX} characters")
    })
}

fn events(raw: &RawValue) -> Result<Vec<String>, String> {
    let items = items("events", raw, EVENT_WORDS.len())?;
    let words = items.into_iter().map(|(place, item)| {
        let word = text(&place, item)?;
        check_event(&word).map_err(|rule| format!("{place} {rule}"))?;
        Ok(word)
    });
    words.collect()
}

fn signing_key(raw: &RawValue) -> Result<Option<Secret>, String> {
    let refuse = || {
        format!(
            "signing_key must have {API_KEY_CHARS_MIN} to {SIGNING_KEY_CHARS_MAX} characters, or \
             none to remove it"
        )
    };
    if raw.get() == "\"\"" {
        return Ok(None);
    }
    let key: String = serde_json::from_str(raw.get()).map_err(|_| refuse())?;
    let chars = key.chars().count();
    if (API_KEY_CHARS_MIN..=SIGNING_KEY_CHARS_MAX).contains(&chars) {
        return Ok(Some(Secret::new(key)));
    }
    Err(refuse())
}

fn not_found(id: &str) -> ServiceError {
    ServiceError::NotFound(format!("Notification with ID {id} not found"))
}
