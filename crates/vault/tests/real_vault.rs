//! The signers of HashiCorp Vault against the real program (`BATON_VAULT`, or `vault` in the
//! `PATH`): what the local server of the other tests claims is what Vault does. Run by
//! `make test-vault`, not by `make test`.

#![expect(
    clippy::unwrap_used,
    reason = "a failed step of a test's own set-up should stop the test"
)]

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use baton_model::{B256, Timestamp};
use baton_testkit::Anvil;
use baton_testkit::signers::{ServiceKey, VaultDev};
use baton_vault::remote::{
    Ambient, HashicorpConfig, OpenError, RemoteConfig, RemoteLimits, RemoteOptions, TransitConfig,
    open,
};
use baton_vault::{LocalSigner, Secret, Signer};
use serde_json::json;

const KEY: &str = Anvil::DEV_KEYS[1];

#[expect(
    clippy::disallowed_methods,
    reason = "the server tells by its own clock when a token ends"
)]
fn options() -> RemoteOptions {
    RemoteOptions {
        limits: RemoteLimits {
            total: Duration::from_secs(3),
            tries: 2,
            ..RemoteLimits::default()
        },
        clock: Arc::new(|| {
            let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            Timestamp::default().saturating_add(since_epoch.unwrap_or_default())
        }),
        ambient: Ambient::default(),
    }
}

#[tokio::test]
async fn signers_of_a_real_server() {
    let program =
        VaultDev::find().expect("no `vault` in the PATH, and BATON_VAULT does not name one");
    let server = VaultDev::start(&program).await.unwrap();
    let (role_id, secret_id) = server.role().await.unwrap();
    let config = |key_name: &str| HashicorpConfig {
        address: server.url().to_owned(),
        namespace: None,
        role_id: Secret::new(role_id.as_str()),
        secret_id: Secret::new(secret_id.as_str()),
        key_name: key_name.to_owned(),
        mount_point: None,
    };
    let opened = async |config| open("hot", &RemoteConfig::Vault(config), &options()).await;
    let refused = async |config| opened(config).await.err().unwrap().to_string();

    a_secret_signs(&server, opened(config("team/hot")).await).await;
    let secret = json!({ "data": { "value": KEY } });
    server.write("secret/data/team/hot", &secret).await.unwrap();
    a_secret_signs(&server, opened(config("team/hot")).await).await;

    let other = json!({ "data": { "key": KEY } });
    server
        .write("secret/data/team/other", &other)
        .await
        .unwrap();
    let error = refused(config("team/other")).await;
    assert!(error.contains("has no field value"), "{error}");
    let error = refused(config("elsewhere/hot")).await;
    assert!(
        error.contains("HTTP status 403") && error.contains("permission denied"),
        "{error}"
    );
    let versions = json!({ "versions": [1] });
    server
        .write("secret/delete/team/other", &versions)
        .await
        .unwrap();
    let error = refused(config("team/other")).await;
    assert!(error.contains("HTTP status 404"), "{error}");
    let mut wrong = config("team/hot");
    wrong.secret_id = Secret::new("wrong");
    let error = refused(wrong).await;
    assert!(error.contains("invalid role or secret ID"), "{error}");
    assert!(error.contains("check role_id, secret_id"), "{error}");

    transit_has_no_keys_of_accounts(&server, config("hot")).await;

    server.write("sys/seal", &json!({})).await.unwrap();
    let error = opened(config("team/hot")).await.err().unwrap();
    assert!(matches!(error, OpenError::Unavailable { .. }), "{error:?}");
    assert!(error.to_string().contains("sealed"), "{error}");
}

/// Before there is a secret this is told, after that it signs; either way no token is left behind.
async fn a_secret_signs(server: &VaultDev, opened: Result<Arc<dyn Signer>, OpenError>) {
    let exists = server.read("secret/data/team/hot").await.is_ok();
    match opened {
        Ok(signer) => {
            assert!(exists);
            let local = LocalSigner::from_hex(KEY).unwrap();
            assert_eq!(signer.address(), local.address());
            let hash = B256::repeat_byte(7);
            assert_eq!(signer.sign_hash(hash).await.unwrap(), local.sign(hash));
        }
        Err(error) => {
            assert!(!exists);
            assert!(error.to_string().contains("HTTP status 404"), "{error}");
        }
    }
    let accessors = server.read("auth/token/accessors?list=true").await.unwrap();
    let count = accessors["data"]["keys"].as_array().map(Vec::len);
    assert_eq!(count, Some(1), "only the root token is left: {accessors}");
}

async fn transit_has_no_keys_of_accounts(server: &VaultDev, vault: HashicorpConfig) {
    let kind = json!({ "type": "ecdsa-p256" });
    server.write("transit/keys/hot", &kind).await.unwrap();
    let config = RemoteConfig::VaultTransit(TransitConfig {
        vault,
        pubkey: alloy_primitives::hex::encode(ServiceKey::from_hex(KEY).point()),
    });
    let error = open("hot", &config, &options())
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("\"ecdsa-p256\"") && error.contains("type `vault`"),
        "{error}"
    );
    let refused = server
        .write("transit/keys/k1", &json!({ "type": "ecdsa-secp256k1" }))
        .await;
    assert!(
        refused.is_err(),
        "Vault has such keys now: say so in docs/configuration.md"
    );

    // The question that the signer asks is one that Vault answers, in the form that it reads.
    let question = json!({
        "input": "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=", "prehashed": true,
        "hash_algorithm": "sha2-256", "marshaling_algorithm": "asn1", "key_version": 1,
    });
    let answer = server.write("transit/sign/hot", &question).await.unwrap();
    let signature = answer["data"]["signature"].as_str().unwrap();
    assert!(
        signature.starts_with("vault:v1:ME"),
        "ASN.1 in base64: {signature}"
    );
}
