//! Coinbase Developer Platform.

use baton_testkit::Anvil;
use baton_testkit::signers::{CdpFake, KeyService, ServiceKey, Step};
use baton_vault::Secret;
use baton_vault::remote::{Ambient, CdpConfig, OpenError, RemoteConfig, open};

use crate::support::{check, hash, opened, options_at, refused, shifted_clock, withstands_all};

fn key() -> ServiceKey {
    ServiceKey::from_hex(Anvil::DEV_KEYS[1])
}

fn at(service: &KeyService) -> Ambient {
    Ambient {
        cdp_url: Some(service.url().to_owned()),
        ..Ambient::default()
    }
}

fn config() -> CdpConfig {
    CdpConfig {
        api_key_id: CdpFake::API_KEY_ID.to_owned(),
        api_key_secret: Secret::new(CdpFake::API_KEY_SECRET),
        wallet_secret: Secret::new(CdpFake::WALLET_SECRET),
        account_address: key().address(),
    }
}

async fn service() -> KeyService {
    CdpFake::with_key(key()).start().await.unwrap()
}

#[tokio::test]
async fn an_account_withstands_everything() {
    let service = service().await;
    let signer = opened(&RemoteConfig::Cdp(config()), &at(&service)).await;
    let secrets = [CdpFake::API_KEY_SECRET, CdpFake::WALLET_SECRET, "eyJ"];
    withstands_all(&service, &signer, key().address(), &secrets).await;
}

#[tokio::test]
async fn an_api_key_of_the_older_kind_serves() {
    let service = service().await;
    let in_one_line = CdpFake::API_KEY_SECRET_P256.replace('\n', "\\n");
    for secret in [CdpFake::API_KEY_SECRET_P256, &in_one_line] {
        let mut config = config();
        config.api_key_id = CdpFake::API_KEY_ID_P256.to_owned();
        config.api_key_secret = Secret::new(secret);
        let signer = opened(&RemoteConfig::Cdp(config), &at(&service)).await;
        check(
            &signer.sign_hash(hash(1)).await.unwrap(),
            hash(1),
            key().address(),
        );
    }
}

#[tokio::test]
async fn secrets_that_are_none_are_told_by_their_fields() {
    let service = service().await;
    let mut api = config();
    api.api_key_secret = Secret::new("c2VjcmV0");
    let mut pem = config();
    pem.api_key_secret = Secret::new("-----BEGIN EC PRIVATE KEY-----\nc2VjcmV0\n");
    let mut wallet = config();
    wallet.wallet_secret = Secret::new("c2VjcmV0");
    let cases = [
        (api, "api_key_secret"),
        (pem, "api_key_secret"),
        (wallet, "wallet_secret"),
    ];
    for (config, expected) in cases {
        let error = refused(&RemoteConfig::Cdp(config), &at(&service)).await;
        let fits = matches!(&error, OpenError::Setting { field, .. } if *field == expected);
        assert!(fits, "{error:?}");
        assert!(
            !format!("{error} {error:?}").contains("c2VjcmV0"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn what_is_wrong_is_told_with_what_to_do() {
    let service = service().await;
    let mut other = config();
    other.account_address = ServiceKey::from_hex(Anvil::DEV_KEYS[2]).address();
    let error = refused(&RemoteConfig::Cdp(other), &at(&service))
        .await
        .to_string();
    assert!(error.contains("check account_address"), "{error}");

    let mut unknown = config();
    unknown.api_key_id = "unknown".to_owned();
    let error = refused(&RemoteConfig::Cdp(unknown), &at(&service))
        .await
        .to_string();
    assert!(error.contains("check api_key_id"), "{error}");

    // The API key's own secret is a key of the right form, but not the wallet's.
    let mut wallet = config();
    let der = CdpFake::API_KEY_SECRET_P256;
    let key = p256::SecretKey::from_sec1_pem(der).unwrap();
    let der = p256::pkcs8::EncodePrivateKey::to_pkcs8_der(&key).unwrap();
    let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, der.as_bytes());
    wallet.wallet_secret = Secret::new(text);
    let signer = opened(&RemoteConfig::Cdp(wallet), &at(&service)).await;
    let error = signer.sign_hash(hash(1)).await.unwrap_err().to_string();
    assert!(error.contains("Wallet authentication error"), "{error}");
    assert!(error.contains("wallet_secret"), "{error}");
}

#[tokio::test]
async fn a_clock_that_is_off_is_told() {
    let service = service().await;
    let config = RemoteConfig::Cdp(config());
    let late = open(
        "hot",
        &config,
        &options_at(shifted_clock(600), &at(&service)),
    )
    .await;
    let error = late.err().unwrap().to_string();
    assert!(error.contains("this machine's clock"), "{error}");
    assert!(service.control().count(Step::Read, 401) <= 2);
}
