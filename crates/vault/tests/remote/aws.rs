//! AWS KMS.

use std::fs;
use std::time::Duration;

use baton_testkit::Anvil;
use baton_testkit::signers::{AwsFake, KeyFault, KeyService, ServiceKey, Step, Times};
use baton_vault::remote::{Ambient, AwsAmbient, AwsKmsConfig, OpenError, RemoteConfig, open};
use baton_vault::{Secret, SignerError};

use crate::support::{
    check, clock, hash, opened, options_at, refused, shifted_clock, withstands_all,
};

const ID: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";
const SECRETS: [&str; 3] = [
    AwsFake::SECRET_ACCESS_KEY,
    "session-secret",
    "session-token",
];

fn key() -> ServiceKey {
    ServiceKey::from_hex(Anvil::DEV_KEYS[1])
}

fn keys() -> AwsAmbient {
    AwsAmbient {
        access_key_id: Some(AwsFake::ACCESS_KEY_ID.to_owned()),
        secret_access_key: Some(Secret::new(AwsFake::SECRET_ACCESS_KEY)),
        ..AwsAmbient::default()
    }
}

fn config() -> RemoteConfig {
    RemoteConfig::AwsKms(AwsKmsConfig {
        region: "eu-west-1".to_owned(),
        key_id: ID.to_owned(),
    })
}

fn at(service: &KeyService, credentials: AwsAmbient) -> Ambient {
    let aws = AwsAmbient {
        kms_endpoint: Some(service.url().to_owned()),
        ..credentials
    };
    Ambient {
        aws,
        ..Ambient::default()
    }
}

#[tokio::test]
async fn a_key_withstands_everything() {
    let service = AwsFake::with_key(ID, key()).start().await.unwrap();
    let signer = opened(&config(), &at(&service, keys())).await;
    withstands_all(&service, &signer, key().address(), &SECRETS).await;
}

#[tokio::test]
async fn a_request_that_is_signed_wrongly_is_refused_with_what_to_do() {
    let service = AwsFake::with_key(ID, key()).start().await.unwrap();
    let mut wrong = keys();
    wrong.secret_access_key = Some(Secret::new("another secret"));
    let error = refused(&config(), &at(&service, wrong)).await;
    assert!(matches!(error, OpenError::Refused { .. }), "{error:?}");
    let shown = error.to_string();
    assert!(shown.contains("InvalidSignatureException"), "{shown}");
    assert!(
        shown.contains("check the secret access key, and this machine's clock"),
        "{shown}"
    );
    assert_eq!(
        service.control().count(Step::Read, 400),
        1,
        "it was not repeated"
    );

    let options = options_at(shifted_clock(3600), &at(&service, keys()));
    let late = open("hot", &config(), &options).await;
    let error = late.err().unwrap().to_string();
    assert!(error.contains("Signature expired"), "{error}");

    let mut unknown = keys();
    unknown.access_key_id = Some("AKIAUNKNOWN".to_owned());
    let error = refused(&config(), &at(&service, unknown)).await.to_string();
    assert!(error.contains("UnrecognizedClientException"), "{error}");
}

#[tokio::test]
async fn what_is_wrong_with_a_key_is_told() {
    let mut fake = AwsFake::with_key(ID, key());
    fake.keys.get_mut(ID).unwrap().spec = "ECC_NIST_P256";
    let service = fake.start().await.unwrap();
    let error = refused(&config(), &at(&service, keys())).await.to_string();
    assert!(
        error.contains("ECC_NIST_P256") && error.contains("ECC_SECG_P256K1"),
        "{error}"
    );

    let mut fake = AwsFake::with_key(ID, key());
    fake.keys.get_mut(ID).unwrap().enabled = false;
    let service = fake.start().await.unwrap();
    let error = refused(&config(), &at(&service, keys())).await.to_string();
    assert!(
        error.contains("DisabledException") && error.contains("enable the key"),
        "{error}"
    );

    let service = AwsFake::with_key("another", key()).start().await.unwrap();
    let error = refused(&config(), &at(&service, keys())).await.to_string();
    assert!(
        error.contains(ID) && error.contains("check key_id and region"),
        "{error}"
    );

    let control = service.control();
    control.fail(Some(Step::Read), Times::Always, KeyFault::Status(403));
    let error = refused(&config(), &at(&service, keys())).await.to_string();
    assert!(error.contains("allow kms:GetPublicKey"), "{error}");
}

#[tokio::test]
async fn a_throttled_request_is_repeated_although_its_status_is_400() {
    let service = AwsFake::with_key(ID, key()).start().await.unwrap();
    let signer = opened(&config(), &at(&service, keys())).await;
    let control = service.control();
    control.fail(Some(Step::Sign), Times::Always, KeyFault::Status(429));
    let error = signer.sign_hash(hash(1)).await.unwrap_err();
    assert!(matches!(error, SignerError::Unavailable { .. }), "{error}");
    assert_eq!(control.count(Step::Sign, 429), 4);
}

#[tokio::test]
async fn a_region_that_is_none_is_told_by_its_field() {
    for region in ["", "eu-west-1.evil.example/", "EU"] {
        let config = RemoteConfig::AwsKms(AwsKmsConfig {
            region: region.to_owned(),
            key_id: ID.to_owned(),
        });
        let error = refused(&config, &Ambient::default()).await;
        assert!(
            matches!(
                error,
                OpenError::Setting {
                    field: "region",
                    ..
                }
            ),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn every_source_of_credentials_serves() {
    let service = AwsFake::with_key(ID, key()).start().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        Some(path.display().to_string())
    };
    let url = |path: &str| Some(format!("{}{path}", service.url()));
    let none = AwsAmbient::default;
    let shared = format!(
        "[default]\naws_access_key_id = wrong\n\n[ relay ]\naws_access_key_id = {}\n\
         aws_secret_access_key={}\n",
        AwsFake::ACCESS_KEY_ID,
        AwsFake::SECRET_ACCESS_KEY
    );
    let sources = [
        AwsAmbient {
            web_identity_token_file: file("identity", &format!("{}\n", AwsFake::WEB_IDENTITY)),
            role_arn: Some(AwsFake::ROLE_ARN.to_owned()),
            sts_endpoint: url("/"),
            ..none()
        },
        AwsAmbient {
            shared_file: file("credentials", &shared),
            profile: Some("relay".to_owned()),
            ..none()
        },
        AwsAmbient {
            container_full_uri: url("/container"),
            container_token: Some(Secret::new(AwsFake::CONTAINER_TOKEN)),
            ..none()
        },
        AwsAmbient {
            container_full_uri: url("/container"),
            container_token_file: file("token", AwsFake::CONTAINER_TOKEN),
            ..none()
        },
        AwsAmbient {
            metadata_endpoint: url("/"),
            ..none()
        },
    ];
    for source in sources {
        let signer = opened(&config(), &at(&service, source)).await;
        let signature = signer.sign_hash(hash(1)).await.unwrap();
        check(&signature, hash(1), key().address());
    }
}

#[tokio::test]
async fn credentials_that_end_are_got_again() {
    let mut fake = AwsFake::with_key(ID, key());
    fake.session_seconds = 600;
    let service = fake.start().await.unwrap();
    let sources = AwsAmbient {
        container_full_uri: Some(format!("{}/container", service.url())),
        container_token: Some(Secret::new(AwsFake::CONTAINER_TOKEN)),
        ..AwsAmbient::default()
    };
    // Ahead, but within what the service takes: the credentials' end comes nearer.
    let ahead = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let clock: baton_vault::remote::Clock = {
        let (ahead, real) = (std::sync::Arc::clone(&ahead), clock());
        std::sync::Arc::new(move || {
            let seconds = ahead.load(std::sync::atomic::Ordering::SeqCst);
            real().saturating_add(Duration::from_secs(seconds))
        })
    };
    let options = options_at(clock, &at(&service, sources));
    let signer = open("hot", &config(), &options).await.unwrap();
    for _ in 0..3 {
        signer.sign_hash(hash(1)).await.unwrap();
    }
    assert_eq!(service.control().count(Step::Login, 200), 1);
    ahead.store(290, std::sync::atomic::Ordering::SeqCst);
    signer.sign_hash(hash(2)).await.unwrap();
    assert_eq!(service.control().count(Step::Login, 200), 1);
    service
        .control()
        .fail(Some(Step::Sign), Times::Next(1), KeyFault::Status(401));
    signer.sign_hash(hash(3)).await.unwrap();
    assert_eq!(service.control().count(Step::Login, 200), 2);
}

#[tokio::test]
async fn no_credentials_at_all_are_told_with_what_to_do() {
    let service = AwsFake::with_key(ID, key()).start().await.unwrap();
    let off = AwsAmbient {
        metadata_disabled: true,
        ..AwsAmbient::default()
    };
    let error = refused(&config(), &at(&service, off)).await.to_string();
    assert!(
        error.contains("no AWS credentials: set AWS_ACCESS_KEY_ID"),
        "{error}"
    );
    let absent = AwsAmbient {
        shared_file: Some("/nonexistent/credentials".to_owned()),
        profile: Some("relay".to_owned()),
        ..AwsAmbient::default()
    };
    let error = refused(&config(), &at(&service, absent)).await.to_string();
    assert!(error.contains("/nonexistent/credentials"), "{error}");
}
