//! The `signers` section.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use baton_vault::LocalSigner;

use super::fields::{Fields, text};
use super::json::Node;
use super::remote_signers;
use super::report::{Problem, Report};
use super::secrets::secret;
use super::settings::SignerSource;
use super::variables::Variables;

/// Every type.
pub(crate) const KINDS: &[&str] = &[
    "local",
    "raw_key",
    "aws_kms",
    "azure_key_vault",
    "cdp",
    "google_cloud_kms",
    "turnkey",
    "vault",
    "vault_transit",
];
/// OpenZeppelin Relayer's rule for the ids of its objects.
const ID_BYTES_MAX: usize = 36;

/// The signers that were read. An id whose signer is broken is kept without a source, so that its users are not blamed.
pub(crate) type Signers = BTreeMap<String, Option<SignerSource>>;

/// Reads all signers.
pub(crate) fn signers(
    items: &[(String, &Node)],
    variables: &dyn Variables,
    report: &mut Report,
) -> Signers {
    let mut signers = Signers::new();
    for (place, node) in items {
        let Some(fields) = Fields::open(place, node, &["id", "type", "config"], report) else {
            continue;
        };
        let id = object_id(&fields, report);
        let source = source(&fields, variables, report);
        let Some(id) = id else { continue };
        if signers.contains_key(&id) {
            let problem = Problem::new(fields.place("id"), "must differ from all other signer ids");
            report.add(problem.found(format!("{id:?}")));
            continue;
        }
        signers.insert(id, source);
    }
    signers
}

/// Reads the id of a signer or a notification: 1 to 36 letters, digits, `-` and `_`.
pub(crate) fn object_id(fields: &Fields<'_>, report: &mut Report) -> Option<String> {
    let id = fields.required("id", report, text)?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if id.len() > ID_BYTES_MAX || !id.chars().all(allowed) {
        let rule = format!("must be 1 to {ID_BYTES_MAX} letters, digits, `-` or `_`");
        report.add(Problem::new(fields.place("id"), rule).found(format!("{id:?}")));
        return None;
    }
    Some(id)
}

fn source(
    fields: &Fields<'_>,
    variables: &dyn Variables,
    report: &mut Report,
) -> Option<SignerSource> {
    let kind = fields.required("type", report, text);
    let config = fields.node("config");
    if config.is_none() {
        report.problem(fields.place("config"), "must be given");
    }
    let kind = kind?;
    let place = fields.place("type");
    let config_place = fields.place("config");
    match kind.as_str() {
        "local" => keystore(&config_place, config?, variables, report),
        "raw_key" => raw_key(&config_place, config?, variables, report),
        remote_kind if remote_signers::KINDS.contains(&remote_kind) => {
            remote_signers::remote(remote_kind, &config_place, config?, variables, report)
        }
        other => {
            let problem = Problem::new(place, format!("must be one of {}", KINDS.join(", ")));
            let known = KINDS.iter().copied();
            report.add(problem.found(format!("{other:?}")).meant(other, known));
            None
        }
    }
}

fn keystore(
    place: &str,
    node: &Node,
    variables: &dyn Variables,
    report: &mut Report,
) -> Option<SignerSource> {
    let fields = Fields::open(place, node, &["path", "passphrase"], report)?;
    let path = fields
        .required("path", report, text)
        .map(PathBuf::from)
        .filter(|path| is_readable(path, &fields.place("path"), report));
    let passphrase = required_secret(&fields, "passphrase", variables, report);
    Some(SignerSource::Keystore {
        path: path?,
        passphrase: passphrase?,
    })
}

fn raw_key(
    place: &str,
    node: &Node,
    variables: &dyn Variables,
    report: &mut Report,
) -> Option<SignerSource> {
    let fields = Fields::open(place, node, &["key"], report)?;
    let key = required_secret(&fields, "key", variables, report)?;
    if let Err(error) = LocalSigner::from_hex(key.expose()) {
        report.problem(
            fields.place("key"),
            format!("must be a private key: {error}"),
        );
        return None;
    }
    Some(SignerSource::RawKey { key })
}

fn required_secret(
    fields: &Fields<'_>,
    name: &str,
    variables: &dyn Variables,
    report: &mut Report,
) -> Option<baton_vault::Secret> {
    let Some(node) = fields.node(name) else {
        report.problem(fields.place(name), "must be given");
        return None;
    };
    secret(&fields.place(name), node, variables, report)
}

fn is_readable(path: &Path, place: &str, report: &mut Report) -> bool {
    let refused = match File::open(path).and_then(|file| file.metadata()) {
        Ok(metadata) if metadata.is_file() => return true,
        Ok(_) => "it is not a file".to_owned(),
        Err(error) => error.to_string(),
    };
    let problem = Problem::new(
        place,
        format!("must be a readable key store file: {refused}"),
    );
    report.add(problem.found(path.display()));
    false
}
