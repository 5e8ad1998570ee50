//! The `notifications` section.

use std::collections::BTreeMap;

use baton_engine::webhooks::{EVENT_WORDS, check_event};
use baton_vault::{API_KEY_CHARS_MIN, Secret};

use super::endpoint::{is_private, parse_url};
use super::fields::{Fields, Mismatch, text};
use super::json::Node;
use super::report::{Problem, Report};
use super::secrets::secret;
use super::settings::Notification;
use super::signers::object_id;
use super::variables::Variables;

/// Whether webhooks may go to private addresses. What a name stands for is looked at with each delivery.
const PRIVATE: &str = "BATON_WEBHOOK_PRIVATE_ADDRESSES";

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
        let known = ["id", "type", "url", "signing_key", "events"];
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
        let url = parse_url(text, &["http", "https"])?;
        Ok((is_private(&url), Secret::new(text)))
    });
    let is_allowed = variables
        .get(PRIVATE)
        .is_some_and(|value| value.trim() == "true");
    if url.as_ref().is_some_and(|(private, _)| *private) && !is_allowed {
        let text =
            format!("is a private address, to which nothing is delivered unless {PRIVATE} is true");
        report.warn(fields.place("url"), text);
    }
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
        url: url?.1,
        signing_key,
        events: events(fields, report),
    })
}

fn events(fields: &Fields<'_>, report: &mut Report) -> Vec<String> {
    let mut events = Vec::new();
    for (place, item) in fields.list("events", report).unwrap_or_default() {
        let Some(word) = item.as_text() else {
            report.add(Mismatch::hidden("must be the name of an event", item).at(&place));
            continue;
        };
        match check_event(word) {
            Ok(()) => events.push(word.to_owned()),
            Err(_) => {
                let rule = format!("must be one of {}", EVENT_WORDS.join(", "));
                let problem = Problem::new(place, rule).found(format!("{word:?}"));
                report.add(problem.meant(word, EVENT_WORDS));
            }
        }
    }
    events
}
