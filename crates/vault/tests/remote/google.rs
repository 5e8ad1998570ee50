//! Google Cloud KMS.

use baton_testkit::Anvil;
use baton_testkit::signers::{GoogleFake, KeyFault, KeyService, ServiceKey, Step, Times};
use baton_vault::Secret;
use baton_vault::remote::{
    Ambient, GoogleKmsConfig, GoogleServiceAccount, OpenError, RemoteConfig, open,
};

use crate::support::{check, hash, opened, options_at, refused, shifted_clock, withstands_all};

const NAME: &str =
    "projects/test-project/locations/global/keyRings/ring/cryptoKeys/hot/cryptoKeyVersions/2";

fn key() -> ServiceKey {
    ServiceKey::from_hex(Anvil::DEV_KEYS[1])
}

fn none() -> Ambient {
    Ambient::default()
}

fn config(service: &KeyService) -> GoogleKmsConfig {
    GoogleKmsConfig {
        service_account: GoogleServiceAccount {
            project_id: "test-project".to_owned(),
            private_key_id: GoogleFake::PRIVATE_KEY_ID.to_owned(),
            private_key: Secret::new(GoogleFake::PRIVATE_KEY),
            client_email: GoogleFake::CLIENT_EMAIL.to_owned(),
            token_uri: format!("{}/token", service.url()),
            universe_domain: service.url().to_owned(),
        },
        location: "global".to_owned(),
        key_ring_id: "ring".to_owned(),
        key_id: "hot".to_owned(),
        key_version: 2,
    }
}

async fn service() -> KeyService {
    GoogleFake::with_key(NAME, key()).start().await.unwrap()
}

#[tokio::test]
async fn a_key_withstands_everything() {
    let service = service().await;
    let signer = opened(&RemoteConfig::GoogleKms(config(&service)), &none()).await;
    withstands_all(
        &service,
        &signer,
        key().address(),
        &["ya29.token", "PRIVATE KEY"],
    )
    .await;
}

#[tokio::test]
async fn a_private_key_may_stand_in_one_line() {
    let service = service().await;
    let mut config = config(&service);
    let one_line = GoogleFake::PRIVATE_KEY.replace('\n', "\\n");
    config.service_account.private_key = Secret::new(one_line);
    let signer = opened(&RemoteConfig::GoogleKms(config), &none()).await;
    check(
        &signer.sign_hash(hash(1)).await.unwrap(),
        hash(1),
        key().address(),
    );
}

#[tokio::test]
async fn a_private_key_that_is_none_is_told_by_its_field() {
    let service = service().await;
    let half = &GoogleFake::PRIVATE_KEY[..400];
    for text in ["", "secret-text", half] {
        let mut config = config(&service);
        config.service_account.private_key = Secret::new(text);
        let error = refused(&RemoteConfig::GoogleKms(config), &none()).await;
        let field = "service_account.private_key";
        assert!(
            matches!(&error, OpenError::Setting { field: f, .. } if *f == field),
            "{error:?}"
        );
        assert!(!error.to_string().contains("secret-text"), "{error}");
    }
}

#[tokio::test]
async fn an_assertion_that_is_not_taken_is_told_with_what_to_do() {
    let service = service().await;
    let mut wrong = config(&service);
    wrong.service_account.client_email = "other@test-project.iam".to_owned();
    let error = refused(&RemoteConfig::GoogleKms(wrong), &none())
        .await
        .to_string();
    assert!(
        error.contains("Google token: HTTP status 400: Invalid JWT"),
        "{error}"
    );
    assert!(
        error.contains("check the service account's client_email"),
        "{error}"
    );
    assert_eq!(
        service.control().count(Step::Login, 400),
        1,
        "it was not repeated"
    );
    let config = RemoteConfig::GoogleKms(config(&service));
    let early = open("hot", &config, &options_at(shifted_clock(7200), &none())).await;
    assert!(early.err().unwrap().to_string().contains("short-lived"));
}

#[tokio::test]
async fn what_is_wrong_with_a_key_is_told() {
    let fine = service().await;
    let mut absent = config(&fine);
    absent.key_version = 3;
    let error = refused(&RemoteConfig::GoogleKms(absent), &none())
        .await
        .to_string();
    assert!(error.contains("cryptoKeyVersions/3"), "{error}");
    assert!(
        error.contains("check project_id, location, key_ring_id"),
        "{error}"
    );

    let control = fine.control();
    control.fail(Some(Step::Read), Times::Always, KeyFault::Status(403));
    let error = refused(&RemoteConfig::GoogleKms(config(&fine)), &none())
        .await
        .to_string();
    assert!(
        error.contains("cloudkms.cryptoKeyVersions.viewPublicKey"),
        "{error}"
    );

    let mut fake = GoogleFake::with_key(NAME, key());
    fake.algorithm = "EC_SIGN_P256_SHA256";
    let service = fake.start().await.unwrap();
    let error = refused(&RemoteConfig::GoogleKms(config(&service)), &none())
        .await
        .to_string();
    assert!(error.contains("EC_SIGN_P256_SHA256"), "{error}");
    assert!(error.contains("needs EC_SIGN_SECP256K1_SHA256"), "{error}");
}

#[tokio::test]
async fn one_token_serves_many_signatures() {
    let service = service().await;
    let config = RemoteConfig::GoogleKms(config(&service));
    let signer = opened(&config, &none()).await;
    for index in 0..20 {
        signer.sign_hash(hash(index)).await.unwrap();
    }
    assert_eq!(service.control().count(Step::Login, 200), 1);
}
