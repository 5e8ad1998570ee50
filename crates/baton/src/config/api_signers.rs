//! Signers as the API's callers write them: secrets as plain values, and `plain` for a key.

use std::collections::BTreeMap;

use super::json::Node;
use super::report::Report;
use super::settings::SignerSource;
use super::signers::signers;

/// Types that may be made over the API, each with its secret fields. A type that reads files of this host is none.
const KINDS: &[(&str, &[&str])] = &[
    ("plain", &["key"]),
    ("aws_kms", &[]),
    (
        "azure_key_vault",
        &["client_secret", "tenant_id", "client_id"],
    ),
    (
        "google_cloud_kms",
        &[
            "service_account.private_key",
            "service_account.private_key_id",
            "service_account.client_email",
        ],
    ),
    ("vault", &["role_id", "secret_id"]),
    ("vault_transit", &["role_id", "secret_id"]),
    ("turnkey", &["api_private_key"]),
    ("cdp", &["api_key_secret", "wallet_secret"]),
];

/// Fields of which the value is a path on this host, whatever the type.
const PATHS: &[&str] = &["federated_token_file"];

/// A signer of the API that was read.
pub(crate) struct ApiSigner {
    pub(crate) source: SignerSource,
    pub(crate) is_secret: bool,
}

impl ApiSigner {
    /// Reads a signer's `type` and `config`.
    ///
    /// # Errors
    /// Every rule that it breaks; no value is repeated that may be secret.
    pub(crate) fn read(kind: &str, config: &str) -> Result<Self, String> {
        let Some((_, secrets)) = KINDS.iter().find(|(known, _)| *known == kind) else {
            let names: Vec<&str> = KINDS.iter().map(|(known, _)| *known).collect();
            let names = names.join(", ");
            return Err(format!("type must be one of {names}; found {kind:?}"));
        };
        let mut config = Node::parse(config).map_err(|error| format!("config {error}"))?;
        if let Some(path) = PATHS.iter().find(|path| config.has(path)) {
            return Err(format!(
                "config.{path} names a file of this host, which callers of the API may not: give \
                 the signer in the configuration file"
            ));
        }
        for path in *secrets {
            let names: Vec<&str> = path.split('.').collect();
            as_secret(&mut config, "config", &names)?;
        }
        let kind = if kind == "plain" { "raw_key" } else { kind };
        let text = |text: &str| Node::Text(text.to_owned());
        let whole = Node::Object(vec![
            ("id".to_owned(), text("api")),
            ("type".to_owned(), text(kind)),
            ("config".to_owned(), config),
        ]);
        // Nothing may be read from this host's environment.
        let nothing = BTreeMap::<String, String>::new();
        let mut report = Report::default();
        let mut read = signers(&[(String::new(), &whole)], &nothing, &mut report);
        match read.remove("api").flatten() {
            Some(source) if report.is_ok() => Ok(Self {
                source,
                is_secret: !secrets.is_empty(),
            }),
            _ => {
                let problems = report.problems.iter().map(ToString::to_string);
                Err(problems.collect::<Vec<_>>().join("; "))
            }
        }
    }
}

/// Writes a plain value as the file writes a secret.
fn as_secret(node: &mut Node, place: &str, path: &[&str]) -> Result<(), String> {
    let (Some((name, rest)), Node::Object(entries)) = (path.split_first(), node) else {
        // What is wrong with it is told by whoever reads it.
        return Ok(());
    };
    let place = format!("{place}.{name}");
    let Some((_, value)) = entries.iter_mut().find(|(entry, _)| entry == name) else {
        return Ok(());
    };
    if !rest.is_empty() {
        return as_secret(value, &place, rest);
    }
    let Node::Text(_) = value else {
        return Err(format!("{place} must be a string, found {}", value.kind()));
    };
    let secret = std::mem::replace(value, Node::Null);
    *value = Node::Object(vec![
        ("type".to_owned(), Node::Text("plain".to_owned())),
        ("value".to_owned(), secret),
    ]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(kind: &str, config: &str) -> String {
        match ApiSigner::read(kind, config) {
            Ok(_) => "was taken".to_owned(),
            Err(reason) => reason,
        }
    }

    #[test]
    fn a_plain_key_is_read() {
        let key = "0000000000000000000000000000000000000000000000000000000000000001";
        let signer = ApiSigner::read("plain", &format!(r#"{{"key":"{key}"}}"#)).ok();
        assert!(signer.is_some_and(|signer| signer.is_secret));
    }

    /// What a file may write like a secret, and with it name a file of this host, must be a string here.
    #[test]
    fn no_identity_of_a_remote_signer_names_a_file() {
        let file = r#"{"type":"file","value":"/etc/passwd"}"#;
        for (kind, names) in [
            (
                "azure_key_vault",
                &["tenant_id", "client_id", "client_secret"][..],
            ),
            ("vault", &["role_id", "secret_id"]),
            ("vault_transit", &["role_id", "secret_id"]),
            ("turnkey", &["api_private_key"]),
            ("cdp", &["api_key_secret", "wallet_secret"]),
        ] {
            for name in names {
                assert_eq!(
                    refused(kind, &format!(r#"{{"{name}":{file}}}"#)),
                    format!("config.{name} must be a string, found an object")
                );
            }
        }
        for name in ["private_key", "private_key_id", "client_email"] {
            let config = format!(r#"{{"service_account":{{"{name}":{file}}}}}"#);
            let reason = refused("google_cloud_kms", &config);
            assert!(
                reason.ends_with("must be a string, found an object"),
                "{reason}"
            );
        }
    }

    #[test]
    fn a_path_on_this_host_is_refused() {
        let reason = refused(
            "azure_key_vault",
            r#"{"federated_token_file":"/etc/passwd"}"#,
        );
        assert!(
            reason.starts_with("config.federated_token_file names a file of this host"),
            "{reason}"
        );
    }

    #[test]
    fn what_is_shown_of_a_remote_signer_is_no_secret() {
        let config = r#"{"address":"http://127.0.0.1:8200","role_id":"hunter2",
                         "secret_id":"hunter3","key_name":"hot"}"#;
        let signer = ApiSigner::read("vault", config).ok();
        let shown = signer.map(|signer| signer.source.shown());
        let expected = serde_json::json!({"address": "http://127.0.0.1:8200", "key_name": "hot"});
        assert_eq!(shown, Some(("vault", expected)));
    }

    #[test]
    fn nothing_of_this_host_can_be_named() {
        for (kind, config) in [
            ("plain", r#"{"key":{"type":"env","value":"PATH"}}"#),
            ("plain", r#"{"key":{"type":"file","value":"/etc/passwd"}}"#),
        ] {
            assert_eq!(
                refused(kind, config),
                "config.key must be a string, found an object"
            );
        }
        for kind in ["local", "raw_key", "Plain", ""] {
            let reason = refused(kind, r#"{"path":"/etc/passwd"}"#);
            assert!(
                reason.starts_with("type must be one of plain, aws_kms"),
                "{reason}"
            );
        }
    }

    #[test]
    fn a_broken_key_is_not_repeated() {
        for config in [
            r#"{"key":"hunter2"}"#,
            r#"{"key":"hunter2","kye":1}"#,
            r#"{"kye":"hunter2"}"#,
        ] {
            let reason = refused("plain", config);
            assert!(reason.contains("config.k"), "{reason}");
            assert!(!reason.contains("hunter2"), "{reason}");
        }
    }
}
