//! Signers whose keys are kept elsewhere: configurations of OpenZeppelin Relayer as they are, and bad ones.

use baton::config::SignerSource;
use serde_json::{Value, json};

use crate::support::{Sample, assert_problems};

const SECRET: &str = "canary-secret";
const ADDRESS: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";

fn env() -> Value {
    json!({ "type": "env", "value": "REMOTE_SECRET" })
}

fn signer(kind: &str, config: Value) -> Sample {
    Sample::new()
        .with("REMOTE_SECRET", SECRET)
        .put("/signers/0/type", json!(kind))
        .put("/signers/0/config", config)
}

fn vault() -> Value {
    json!({
        "address": "https://vault.example:8200", "role_id": env(), "secret_id": env(),
        "key_name": "hot", "mount_point": "kv", "namespace": "team",
    })
}

fn azure() -> Value {
    json!({
        "auth_type": "client_secret", "tenant_id": env(), "client_id": env(),
        "client_secret": env(), "vault_url": "https://one.vault.azure.net", "key_name": "hot",
        "key_version": null,
    })
}

fn google() -> Value {
    json!({
        "service_account": {
            "project_id": "p", "private_key_id": env(), "private_key": env(),
            "client_email": env(), "client_id": "1",
        },
        "key": { "key_ring_id": "ring", "key_id": "hot" },
    })
}

fn turnkey() -> Value {
    json!({
        "api_public_key": "02", "api_private_key": env(), "organization_id": "o",
        "private_key_id": "k", "public_key": "04",
    })
}

fn cdp() -> Value {
    json!({
        "api_key_id": "k", "api_key_secret": env(), "wallet_secret": env(),
        "account_address": ADDRESS,
    })
}

fn transit() -> Value {
    let mut config = vault();
    config["pubkey"] = json!("04");
    config
}

fn all() -> [(&'static str, Value); 7] {
    [
        (
            "aws_kms",
            json!({ "region": "eu-west-1", "key_id": "alias/hot" }),
        ),
        ("azure_key_vault", azure()),
        ("cdp", cdp()),
        ("google_cloud_kms", google()),
        ("turnkey", turnkey()),
        ("vault", vault()),
        ("vault_transit", transit()),
    ]
}

#[test]
fn configurations_of_the_reference_are_taken_as_they_are() {
    for (kind, config) in all() {
        let sample = signer(kind, config);
        assert_eq!(sample.check(), (vec![], vec![]), "{kind}");
        let (settings, _) = sample.load().unwrap();
        let source = &settings.signers["local-signer"];
        assert!(matches!(source, SignerSource::Remote { .. }), "{source:?}");
        let (shown_kind, shown) = source.shown();
        assert_eq!(shown_kind, kind);
        for text in [format!("{settings:?}"), shown.to_string()] {
            // Names of accounts are no secrets, but what a secret's variable holds is never shown.
            let is_name = ["azure_key_vault", "google_cloud_kms"].contains(&kind);
            let shows = text.contains(SECRET) && !(is_name && text.starts_with("Settings"));
            assert!(!shows, "{kind}: {text}");
        }
    }
}

#[test]
fn defaults_are_those_of_the_reference() {
    let (settings, _) = signer("google_cloud_kms", google()).load().unwrap();
    let (_, shown) = settings.signers["local-signer"].shown();
    assert_eq!(
        shown,
        json!({
            "service_account": {
                "project_id": "p", "client_id": "1",
                "auth_uri": "https://accounts.google.com/o/oauth2/auth",
                "token_uri": "https://oauth2.googleapis.com/token",
                "auth_provider_x509_cert_url": "https://www.googleapis.com/oauth2/v1/certs",
                "client_x509_cert_url": "", "universe_domain": "googleapis.com",
            },
            "key": {
                "location": "global", "key_ring_id": "ring", "key_id": "hot", "key_version": 1,
            },
        })
    );
    for (kind, fields) in [
        (
            "managed_identity",
            json!({ "auth_type": "managed_identity" }),
        ),
        (
            "workload_identity",
            json!({ "auth_type": "workload_identity" }),
        ),
    ] {
        let mut config = fields;
        config["vault_url"] = json!("https://one.vault.azure.net");
        config["key_name"] = json!("hot");
        assert_eq!(
            signer("azure_key_vault", config).check(),
            (vec![], vec![]),
            "{kind}"
        );
    }
}

#[test]
fn identities_may_be_written_as_they_are() {
    let mut config = vault();
    config["role_id"] = json!("role");
    assert_eq!(signer("vault", config).check(), (vec![], vec![]));
    let mut config = azure();
    config["tenant_id"] = json!("tenant");
    config["client_id"] = json!("client");
    assert_eq!(signer("azure_key_vault", config).check(), (vec![], vec![]));
}

#[test]
fn a_service_without_encryption_is_warned_of_unless_it_is_here() {
    for (address, warns) in [
        ("http://vault.example:8200", true),
        ("http://localhost:8200", false),
        ("http://127.0.0.1:8200", false),
        ("http://[::1]:8200", false),
    ] {
        let mut config = vault();
        config["address"] = json!(address);
        let (problems, warnings) = signer("vault", config).check();
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!(!warnings.is_empty(), warns, "{address}: {warnings:?}");
    }
}

fn changed(kind: &str, field: &str, value: Value) -> Sample {
    let (_, mut config) = all().into_iter().find(|(known, _)| *known == kind).unwrap();
    config[field] = value;
    signer(kind, config)
}

#[test]
fn bad_ones() {
    assert_problems(&[
        (
            changed("aws_kms", "regoin", json!("x")),
            "signers[0].config.regoin: is not a known field; did you mean `region`?",
        ),
        (
            changed("aws_kms", "region", Value::Null),
            "signers[0].config.region: must be given",
        ),
        (
            changed("aws_kms", "key_id", json!(7)),
            "signers[0].config.key_id: must be a string that is not empty, found 7",
        ),
        (
            changed("vault", "address", json!("vault.example:8200")),
            "signers[0].config.address: must be an http or https URL, without a user or a password",
        ),
        (
            changed("vault", "address", json!("https://u:canary@vault.example")),
            "signers[0].config.address: must be an http or https URL, without a user or a password",
        ),
        (
            changed("vault", "secret_id", Value::Null),
            "signers[0].config.secret_id: must be given",
        ),
        (
            changed("vault", "secret_id", json!("canary")),
            "signers[0].config.secret_id: must be an object, found a string",
        ),
        (
            changed("vault", "pubkey", json!("04")),
            "signers[0].config.pubkey: is not a known field",
        ),
        (
            changed("vault_transit", "pubkey", Value::Null),
            "signers[0].config.pubkey: must be given",
        ),
        (
            changed("azure_key_vault", "auth_type", json!("managed_identiy")),
            "signers[0].config.auth_type: must be `client_secret`, `managed_identity` or \
             `workload_identity`, found \"managed_identiy\"; did you mean `managed_identity`?",
        ),
        (
            changed("azure_key_vault", "client_secret", Value::Null),
            "signers[0].config.client_secret: must be given",
        ),
        (
            changed("google_cloud_kms", "key", Value::Null),
            "signers[0].config.key: must be given",
        ),
        (
            signer("google_cloud_kms", google()).put("/signers/0/config/key/key_version", json!(0)),
            "signers[0].config.key.key_version: must be a whole number from 1 to 4294967295, \
             found 0",
        ),
        (
            changed(
                "turnkey",
                "api_private_key",
                json!({ "type": "env", "value": "NOT_SET" }),
            ),
            "signers[0].config.api_private_key.value: environment variable NOT_SET must be set \
             and not empty",
        ),
        (
            changed("cdp", "account_address", json!("0x12")),
            "signers[0].config.account_address: must be the address of an EVM account, found \
             \"0x12\"",
        ),
    ]);
}
