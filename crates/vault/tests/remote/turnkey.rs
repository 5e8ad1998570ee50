//! Turnkey.

use baton_testkit::Anvil;
use baton_testkit::signers::{KeyService, ServiceKey, TurnkeyFake};
use baton_vault::remote::{Ambient, OpenError, RemoteConfig, TurnkeyConfig, open};
use baton_vault::{Secret, SignerError};

use crate::support::{check, hash, opened, options_at, refused, shifted_clock, withstands_all};

const ID: &str = "8a3d7f2c-1b0e-4c52-9a57-3f1f4f4cf2d0";

fn key() -> ServiceKey {
    ServiceKey::from_hex(Anvil::DEV_KEYS[1])
}

fn at(service: &KeyService) -> Ambient {
    Ambient {
        turnkey_url: Some(service.url().to_owned()),
        ..Ambient::default()
    }
}

fn config() -> TurnkeyConfig {
    TurnkeyConfig {
        api_public_key: TurnkeyFake::API_PUBLIC_KEY.to_owned(),
        api_private_key: Secret::new(TurnkeyFake::API_PRIVATE_KEY),
        organization_id: TurnkeyFake::ORGANIZATION_ID.to_owned(),
        private_key_id: ID.to_owned(),
        public_key: alloy_primitives::hex::encode(key().point()),
    }
}

async fn service() -> KeyService {
    TurnkeyFake::with_key(ID, key()).start().await.unwrap()
}

#[tokio::test]
async fn a_key_withstands_everything() {
    let service = service().await;
    let signer = opened(&RemoteConfig::Turnkey(config()), &at(&service)).await;
    let secrets = [TurnkeyFake::API_PRIVATE_KEY];
    withstands_all(&service, &signer, key().address(), &secrets).await;
}

#[tokio::test]
async fn a_wallet_account_goes_by_its_address() {
    let address = key().address().to_string();
    let service = TurnkeyFake::with_key(&address, key())
        .start()
        .await
        .unwrap();
    let mut config = config();
    config.private_key_id = address;
    let signer = opened(&RemoteConfig::Turnkey(config.clone()), &at(&service)).await;
    check(
        &signer.sign_hash(hash(1)).await.unwrap(),
        hash(1),
        key().address(),
    );
    config.private_key_id = ServiceKey::from_hex(Anvil::DEV_KEYS[2])
        .address()
        .to_string();
    let error = refused(&RemoteConfig::Turnkey(config), &at(&service))
        .await
        .to_string();
    assert!(error.contains("private_key_id is the address"), "{error}");
}

#[tokio::test]
async fn an_api_key_whose_halves_do_not_fit_is_told_by_its_field() {
    let service = service().await;
    let mut other = config();
    other.api_public_key = format!("02{}", &TurnkeyFake::API_PUBLIC_KEY[2..]);
    let mut short = config();
    short.api_private_key = Secret::new("abcd");
    let mut point = config();
    point.public_key = "0x1234".to_owned();
    let cases = [
        (other, "api_public_key"),
        (short, "api_private_key"),
        (point, "public_key"),
    ];
    for (config, expected) in cases {
        let error = refused(&RemoteConfig::Turnkey(config), &at(&service)).await;
        let fits = matches!(&error, OpenError::Setting { field, .. } if *field == expected);
        assert!(fits, "{error:?}");
        assert!(!error.to_string().contains("abcd"), "{error}");
    }
}

#[tokio::test]
async fn an_api_key_that_is_not_known_is_told_with_what_to_do() {
    let service = service().await;
    let mut config = config();
    // The generator's own point: the private key is 1.
    config.api_private_key = Secret::new(format!("{:0>64}", "1"));
    config.api_public_key =
        "036b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296".to_owned();
    let error = refused(&RemoteConfig::Turnkey(config), &at(&service)).await;
    assert!(matches!(error, OpenError::Refused { .. }), "{error:?}");
    let shown = error.to_string();
    assert!(
        shown.contains("check api_public_key, api_private_key"),
        "{shown}"
    );
}

#[tokio::test]
async fn another_key_than_configured_is_refused() {
    let service = service().await;
    let mut other = config();
    let point = ServiceKey::from_hex(Anvil::DEV_KEYS[2]).point();
    other.public_key = alloy_primitives::hex::encode(point);
    let error = refused(&RemoteConfig::Turnkey(other), &at(&service))
        .await
        .to_string();
    assert!(
        error.contains("another public key than the setting"),
        "{error}"
    );
    let mut absent = config();
    absent.private_key_id = "none".to_owned();
    let error = refused(&RemoteConfig::Turnkey(absent), &at(&service))
        .await
        .to_string();
    assert!(
        error.contains("check organization_id and private_key_id"),
        "{error}"
    );
    let mut fake = TurnkeyFake::with_key(ID, key());
    fake.curve = "CURVE_ED25519";
    let service = fake.start().await.unwrap();
    let error = refused(&RemoteConfig::Turnkey(config()), &at(&service))
        .await
        .to_string();
    assert!(error.contains("needs CURVE_SECP256K1"), "{error}");
}

#[tokio::test]
async fn an_activity_that_waits_for_others_is_no_signature() {
    for (status, passes) in [
        ("ACTIVITY_STATUS_CONSENSUS_NEEDED", false),
        ("ACTIVITY_STATUS_FAILED", false),
        ("ACTIVITY_STATUS_REJECTED", false),
        ("ACTIVITY_STATUS_PENDING", true),
    ] {
        let mut fake = TurnkeyFake::with_key(ID, key());
        fake.status = status;
        let service = fake.start().await.unwrap();
        let signer = opened(&RemoteConfig::Turnkey(config()), &at(&service)).await;
        let error = signer.sign_hash(hash(1)).await.unwrap_err();
        assert_eq!(
            matches!(error, SignerError::Unavailable { .. }),
            passes,
            "{error}"
        );
        assert!(error.to_string().contains(status), "{error}");
    }
}

#[tokio::test]
async fn a_clock_that_is_off_is_told() {
    let service = service().await;
    let config = RemoteConfig::Turnkey(config());
    let signer = open(
        "hot",
        &config,
        &options_at(shifted_clock(7200), &at(&service)),
    )
    .await
    .unwrap();
    let error = signer.sign_hash(hash(1)).await.unwrap_err().to_string();
    assert!(error.contains("timestampMs is too far off"), "{error}");
}
