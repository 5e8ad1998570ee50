//! The `notifications` section.

use std::collections::BTreeMap;

use baton_vault::{API_KEY_CHARS_MIN, Secret};

use super::endpoint::parse_url;
use super::fields::{Fields, Mismatch, text};
use super::json::Node;
use super::report::{Problem, Report};
use super::secrets::secret;
use super::settings::Notification;
use super::signers::object_id;
use super::variables::Variables;

/// The notifications that were read. An id whose notification is broken is kept, so that its users are not blamed.
pub(crate) type Notifications = BTreeMap<String, Option<Notification>>;

/// Reads all notifications.
pub(crate) fn notifications(
    items: &[(String, &Node)],
    variables: &dyn Variables,
    report: &mut Report,
) -> Notifications {
    let mut notifications = Notifications::new();
    for (place, node) in items {
        let known = ["id", "type", "url", "signing_key"];
        let Some(fields) = Fields::open(place, node, &known, report) else {
            continue;
        };
        let id = object_id(&fields, report);
        let notification = notification(&fields, variables, report);
        let Some(id) = id else { continue };
        if notifications.contains_key(&id) {
            let rule = "must differ from all other notification ids";
            report.add(Problem::new(fields.place("id"), rule).found(format!("{id:?}")));
            continue;
        }
        notifications.insert(id, notification);
    }
    if !items.is_empty() {
        report.warn(
            "notifications",
            "are checked and kept, but this version does not deliver webhooks yet",
        );
    }
    notifications
}

fn notification(
    fields: &Fields<'_>,
    variables: &dyn Variables,
    report: &mut Report,
) -> Option<Notification> {
    let kind = fields.required("type", report, text);
    if let Some(kind) = kind.filter(|kind| kind != "webhook") {
        let problem = Problem::new(fields.place("type"), "must be `webhook`");
        report.add(problem.found(format!("{kind:?}")));
    }
    let url = fields.required("url", report, |node| {
        let text = node
            .as_text()
            .ok_or_else(|| Mismatch::hidden("must be a URL", node))?;
        parse_url(text, &["http", "https"]).map(|_| Secret::new(text))
    });
    let signing_key = fields.node("signing_key").and_then(|node| {
        let place = fields.place("signing_key");
        let key = secret(&place, node, variables, report)?;
        if let Err(error) = key.require_chars("it", API_KEY_CHARS_MIN) {
            report.problem(
                place,
                format!(
                    "must have at least {} characters, found {}",
                    error.min, error.found
                ),
            );
            return None;
        }
        Some(key)
    });
    Some(Notification {
        url: url?,
        signing_key,
    })
}
