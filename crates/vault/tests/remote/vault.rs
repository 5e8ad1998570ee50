//! HashiCorp Vault.

use std::collections::BTreeMap;

use baton_testkit::Anvil;
use baton_testkit::signers::{KeyFault, KeyService, ServiceKey, Step, Times, VaultFake, VaultKey};
use baton_vault::remote::{Ambient, HashicorpConfig, OpenError, RemoteConfig, TransitConfig, open};
use baton_vault::{LocalSigner, Secret, Signer};
use serde_json::{Value, json};

use crate::support::{check, clock, hash, opened, options_at, refused, withstands_all};

const KEY: &str = Anvil::DEV_KEYS[1];
const SECRETS: [&str; 2] = [VaultFake::SECRET_ID, "hvs."];

fn none() -> Ambient {
    Ambient::default()
}

fn config(service: &KeyService, key_name: &str) -> HashicorpConfig {
    HashicorpConfig {
        address: service.url().to_owned(),
        namespace: None,
        role_id: Secret::new(VaultFake::ROLE_ID),
        secret_id: Secret::new(VaultFake::SECRET_ID),
        key_name: key_name.to_owned(),
        mount_point: None,
    }
}

fn with_secret(path: &str, fields: Value) -> VaultFake {
    VaultFake {
        secrets: BTreeMap::from([(path.to_owned(), fields)]),
        lease_seconds: 3600,
        ..VaultFake::default()
    }
}

fn with_key(key: VaultKey) -> VaultFake {
    VaultFake {
        transit: BTreeMap::from([("hot".to_owned(), key)]),
        lease_seconds: 3600,
        ..VaultFake::default()
    }
}

fn transit(service: &KeyService, key: &ServiceKey) -> RemoteConfig {
    RemoteConfig::VaultTransit(TransitConfig {
        vault: config(service, "hot"),
        pubkey: alloy_primitives::hex::encode_prefixed(key.point()),
    })
}

#[tokio::test]
async fn a_secret_is_fetched_once_and_signed_with_here() {
    let service = with_secret("team/hot", json!({ "value": KEY }));
    let service = service.start().await.unwrap();
    let signer = opened(&RemoteConfig::Vault(config(&service, "team/hot")), &none()).await;
    let account = LocalSigner::from_hex(KEY).unwrap().address();
    assert_eq!(signer.address(), account);
    service.control().fail(None, Times::Always, KeyFault::Cut);
    check(&signer.sign_hash(hash(1)).await.unwrap(), hash(1), account);
    // Login and giving the token back.
    assert_eq!(service.control().count(Step::Login, 200), 1);
    assert_eq!(service.control().count(Step::Login, 204), 1);
    assert_eq!(service.control().count(Step::Read, 200), 1);
}

#[tokio::test]
async fn opening_repeats_what_passes() {
    let service = with_secret("hot", json!({ "value": KEY }));
    let service = service.start().await.unwrap();
    let config = RemoteConfig::Vault(config(&service, "hot"));
    for fault in [
        KeyFault::Status(503),
        KeyFault::Status(500),
        KeyFault::Cut,
        KeyFault::Hang,
        KeyFault::Garbage,
        KeyFault::Busy { seconds: 1 },
    ] {
        for step in [Step::Login, Step::Read] {
            let times = if fault == KeyFault::Hang { 1 } else { 2 };
            let control = service.control();
            control.fail(Some(step), Times::Next(times), fault.clone());
            opened(&config, &none()).await;
            control.recover();
        }
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_secret_is_told() {
    let digits = "0x12";
    let cases = [
        (json!({ "key": KEY }), "secret/hot has no field value"),
        (json!({ "value": digits }), "field value: a key is 64"),
        (Value::Null, "secret secret/hot: HTTP status 404"),
    ];
    for (fields, expected) in cases {
        let service = with_secret("hot", fields).start().await.unwrap();
        let error = refused(&RemoteConfig::Vault(config(&service, "hot")), &none()).await;
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(expected), "{shown}");
        assert!(!shown.contains(&KEY[2..]), "{shown}");
        assert!(matches!(error, OpenError::Refused { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn credentials_that_are_not_taken_are_told_with_what_to_do() {
    let service = with_secret("hot", json!({ "value": KEY }));
    let service = service.start().await.unwrap();
    let mut config = config(&service, "hot");
    config.secret_id = Secret::new("wrong-secret-id");
    let error = refused(&RemoteConfig::Vault(config), &none())
        .await
        .to_string();
    assert!(
        error.contains("login: HTTP status 400: invalid role or secret ID"),
        "{error}"
    );
    assert!(error.contains("check role_id, secret_id"), "{error}");
    assert!(!error.contains("wrong-secret-id"), "{error}");
    // A login uses the secret id up, so it is not repeated when it was refused.
    assert_eq!(service.control().count(Step::Login, 400), 1);
}

#[tokio::test]
async fn a_namespace_is_sent() {
    let mut fake = with_secret("hot", json!({ "value": KEY }));
    fake.namespace = Some("admin/team".to_owned());
    let service = fake.start().await.unwrap();
    let mut config = config(&service, "hot");
    refused(&RemoteConfig::Vault(config.clone()), &none()).await;
    config.namespace = Some("admin/team".to_owned());
    opened(&RemoteConfig::Vault(config), &none()).await;
}

#[tokio::test]
async fn an_address_that_is_none_is_told_by_its_field() {
    let service = VaultFake::default().start().await.unwrap();
    for address in [
        "vault.example:8200",
        "ftp://vault.example",
        "http://u:p@vault.example",
        "",
    ] {
        let mut config = config(&service, "hot");
        config.address = address.to_owned();
        let error = refused(&RemoteConfig::Vault(config), &none()).await;
        let setting = matches!(
            error,
            OpenError::Setting {
                field: "address",
                ..
            }
        );
        assert!(setting, "{address}: {error:?}");
    }
}

#[tokio::test]
async fn nobody_there_is_unavailable() {
    let service = VaultFake::default().start().await.unwrap();
    let config = config(&service, "hot");
    drop(service);
    let error = refused(&RemoteConfig::Vault(config), &none()).await;
    assert!(matches!(error, OpenError::Unavailable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_transit_key_withstands_everything() {
    let key = ServiceKey::from_hex(KEY);
    let service = with_key(VaultKey::Secp256k1(vec![key.clone()]));
    let service = service.start().await.unwrap();
    let signer = opened(&transit(&service, &key), &none()).await;
    withstands_all(&service, &signer, key.address(), &SECRETS).await;
}

#[tokio::test]
async fn the_version_with_the_public_key_signs() {
    let key = ServiceKey::from_hex(KEY);
    let newer = ServiceKey::from_hex(Anvil::DEV_KEYS[2]);
    let service = with_key(VaultKey::Secp256k1(vec![key.clone(), newer.clone()]));
    let service = service.start().await.unwrap();
    for key in [key, newer] {
        let signer = opened(&transit(&service, &key), &none()).await;
        let signature = signer.sign_hash(hash(1)).await.unwrap();
        check(&signature, hash(1), key.address());
    }
    let absent = ServiceKey::from_hex(Anvil::DEV_KEYS[3]);
    let error = refused(&transit(&service, &absent), &none())
        .await
        .to_string();
    assert!(error.contains("no version with the public key"), "{error}");
}

#[tokio::test]
async fn a_transit_key_on_another_curve_is_refused_with_the_way_out() {
    let public_key = "-----BEGIN PUBLIC KEY-----\n\
        MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEVs/o5+uQbTjL3chynL4wXgUg2R9\n\
        q9UU8I5mEovUf86QZ7kOBIjJwqnzD1omageEHWwHdBO6B+dFabmdT9POxg==\n\
        -----END PUBLIC KEY-----\n";
    let kind = "ecdsa-p256";
    let public_key = public_key.to_owned();
    let service = with_key(VaultKey::Other { kind, public_key });
    let service = service.start().await.unwrap();
    let key = ServiceKey::from_hex(KEY);
    let error = refused(&transit(&service, &key), &none()).await.to_string();
    assert!(
        error.contains("ecdsa-p256") && error.contains("type `vault`"),
        "{error}"
    );
}

#[tokio::test]
async fn a_token_that_is_used_up_is_replaced() {
    let key = ServiceKey::from_hex(KEY);
    let mut fake = with_key(VaultKey::Secp256k1(vec![key.clone()]));
    fake.token_uses = Some(3);
    let service = fake.start().await.unwrap();
    let signer = opened(&transit(&service, &key), &none()).await;
    for index in 0..10 {
        let signature = signer.sign_hash(hash(index)).await.unwrap();
        check(&signature, hash(index), key.address());
    }
    assert_eq!(service.control().count(Step::Login, 200), 4);
}

#[tokio::test]
async fn a_token_is_renewed_before_it_ends() {
    let key = ServiceKey::from_hex(KEY);
    let mut fake = with_key(VaultKey::Secp256k1(vec![key.clone()]));
    fake.lease_seconds = 100;
    let service = fake.start().await.unwrap();
    let now = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let clock = {
        let (now, real) = (std::sync::Arc::clone(&now), clock());
        let clock: baton_vault::remote::Clock = std::sync::Arc::new(move || {
            let seconds = now.load(std::sync::atomic::Ordering::SeqCst);
            real().saturating_add(std::time::Duration::from_secs(seconds))
        });
        clock
    };
    let config = transit(&service, &key);
    let signer = open("hot", &config, &options_at(clock, &none()))
        .await
        .unwrap();
    signer.sign_hash(hash(1)).await.unwrap();
    assert_eq!(service.control().count(Step::Login, 200), 1);
    now.store(60, std::sync::atomic::Ordering::SeqCst);
    signer.sign_hash(hash(2)).await.unwrap();
    assert_eq!(service.control().count(Step::Login, 200), 2);
    // When the login fails, the token is used until its end.
    now.store(120, std::sync::atomic::Ordering::SeqCst);
    service
        .control()
        .fail(Some(Step::Login), Times::Always, KeyFault::Status(500));
    signer.sign_hash(hash(3)).await.unwrap();
    now.store(170, std::sync::atomic::Ordering::SeqCst);
    signer.sign_hash(hash(4)).await.unwrap_err();
}
