//! The configuration file as a whole.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use baton_vault::remote::Ambient;

use super::ambient::ambient;
use super::endpoint::Access;
use super::fields::{Fields, Mismatch};
use super::json::Node;
use super::networks::{self, Source};
use super::notifications::notifications;
use super::relayers::{Known, relayers};
use super::report::{Problem, Report};
use super::settings::{Network, Notification, Relayer, SignerSource};
use super::signers::signers;
use super::variables::Variables;

/// Largest configuration or network file: thousands of relayers fit.
const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;
pub(crate) const FIELDS: &[&str] = &[
    // Where editors look for the schema; it says nothing to Baton.
    "$schema",
    "relayers",
    "signers",
    "notifications",
    "networks",
    "plugins",
];

/// What the file says. Broken parts are left out; the report tells of each.
#[derive(Default)]
pub(crate) struct Content {
    pub(crate) relayers: Vec<Relayer>,
    pub(crate) signers: BTreeMap<String, SignerSource>,
    pub(crate) notifications: BTreeMap<String, Notification>,
    pub(crate) networks: BTreeMap<String, Arc<Network>>,
    /// What the environment says of key services.
    pub(crate) ambient: Ambient,
}

/// Reads the configuration file and the network files that it names.
pub(crate) fn content(
    path: &Path,
    variables: &dyn Variables,
    access: &Access,
    report: &mut Report,
) -> Content {
    let Some(node) = read_json(path, report) else {
        return Content::default();
    };
    let Some(fields) = Fields::open("", &node, FIELDS, report) else {
        return Content::default();
    };
    if fields
        .list("plugins", report)
        .is_some_and(|plugins| !plugins.is_empty())
    {
        report.problem("plugins", "are not supported; remove them");
    }
    let sections = |name: &str, report: &mut Report| {
        if fields.node(name).is_none() && name != "notifications" {
            report.problem(name, "must be given");
        }
        fields.list(name, report).unwrap_or_default()
    };
    let relayer_items = sections("relayers", report);
    let signer_items = sections("signers", report);
    let notification_items = sections("notifications", report);
    let source = Source {
        default_directories: vec![
            path.with_file_name("networks"),
            Path::new("config").join("networks"),
        ],
    };
    let networks = networks::networks(&source, fields.node("networks"), access, report);
    let signers = signers(&signer_items, variables, report);
    let notifications = notifications(&notification_items, variables, report);
    let known = Known {
        networks: &networks,
        signers: fields
            .node("signers")
            .and_then(Node::as_list)
            .map(|_| &signers),
        notifications: &notifications,
        access,
    };
    Content {
        relayers: relayers(&relayer_items, &known, report),
        signers: present(signers),
        notifications: present(notifications),
        networks: present(networks),
        ambient: ambient(variables),
    }
}

/// Reads a file with a JSON object. The places of its problems begin with the file's path.
pub(crate) fn read_json(path: &Path, report: &mut Report) -> Option<Node> {
    let shown = path.display().to_string();
    let mut text = String::new();
    let outcome = File::open(path).and_then(|file| {
        let length = file.metadata()?.len();
        file.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
        Ok(length)
    });
    match outcome {
        Err(error) => report.problem(shown, format!("must be a readable file: {error}")),
        Ok(length) if length > FILE_BYTES_MAX => {
            let problem = Problem::new(shown, format!("must have at most {FILE_BYTES_MAX} bytes"));
            report.add(problem.found(length));
        }
        Ok(_) => match Node::parse(&text) {
            Ok(node @ Node::Object(_)) => return Some(node),
            Ok(other) => report.add(Mismatch::hidden("must be an object", &other).at(&shown)),
            Err(reason) => report.problem(shown, format!("must be JSON: {reason}")),
        },
    }
    None
}

fn present<T>(entries: BTreeMap<String, Option<T>>) -> BTreeMap<String, T> {
    entries
        .into_iter()
        .filter_map(|(id, entry)| Some((id, entry?)))
        .collect()
}
