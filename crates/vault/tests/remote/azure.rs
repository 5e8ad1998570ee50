//! Azure Key Vault.

use baton_testkit::Anvil;
use baton_testkit::signers::{AzureFake, KeyFault, KeyService, ServiceKey, Step, Times};
use baton_vault::Secret;
use baton_vault::remote::{Ambient, AzureAmbient, AzureConfig, AzureIdentity, RemoteConfig};

use crate::support::{check, hash, opened, refused, withstands_all};

const VERSION: &str = "cfedea84815e4ca8bc19cf8eb943ee13";

fn key() -> ServiceKey {
    ServiceKey::from_hex(Anvil::DEV_KEYS[1])
}

fn by_secret(client_secret: &str) -> AzureIdentity {
    AzureIdentity::ClientSecret {
        tenant_id: AzureFake::TENANT_ID.to_owned(),
        client_id: AzureFake::CLIENT_ID.to_owned(),
        client_secret: Secret::new(client_secret),
    }
}

fn at(service: &KeyService) -> Ambient {
    let azure = AzureAmbient {
        authority_host: Some(service.url().to_owned()),
        token_url: Some(format!("{}/identity", service.url())),
        ..AzureAmbient::default()
    };
    Ambient {
        azure,
        ..Ambient::default()
    }
}

fn config(service: &KeyService, identity: AzureIdentity) -> AzureConfig {
    AzureConfig {
        identity,
        vault_url: service.url().to_owned(),
        key_name: "hot".to_owned(),
        key_version: None,
    }
}

async fn service() -> KeyService {
    let fake = AzureFake::with_key("hot", VERSION, key());
    fake.start().await.unwrap()
}

#[tokio::test]
async fn a_key_withstands_everything() {
    let service = service().await;
    let config = config(&service, by_secret(AzureFake::CLIENT_SECRET));
    let signer = opened(&RemoteConfig::Azure(config), &at(&service)).await;
    // Also as it stands in a form.
    let secrets = [AzureFake::CLIENT_SECRET, "YSkuL1qKv5bPX", "eyJ0.token"];
    withstands_all(&service, &signer, key().address(), &secrets).await;
}

#[tokio::test]
async fn every_identity_serves() {
    let service = service().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, format!("{}\n", AzureFake::FEDERATED_TOKEN)).unwrap();
    let machine = |client_id: Option<&str>| AzureIdentity::ManagedIdentity {
        client_id: client_id.map(str::to_owned),
    };
    let workload = AzureIdentity::WorkloadIdentity {
        tenant_id: Some(AzureFake::TENANT_ID.to_owned()),
        client_id: Some(AzureFake::CLIENT_ID.to_owned()),
        federated_token_file: Some(file.display().to_string()),
    };
    for identity in [machine(None), machine(Some(AzureFake::CLIENT_ID)), workload] {
        let signer = opened(
            &RemoteConfig::Azure(config(&service, identity)),
            &at(&service),
        )
        .await;
        check(
            &signer.sign_hash(hash(1)).await.unwrap(),
            hash(1),
            key().address(),
        );
    }
    let error = refused(
        &RemoteConfig::Azure(config(&service, machine(Some("other")))),
        &at(&service),
    )
    .await;
    let shown = error.to_string();
    assert!(
        shown.contains("Identity not found; check that this machine has"),
        "{shown}"
    );
}

#[tokio::test]
async fn the_version_that_was_read_signs_after_a_rotation_too() {
    let mut fake = AzureFake::with_key("hot", VERSION, key());
    let newer = ServiceKey::from_hex(Anvil::DEV_KEYS[2]);
    let versions = fake.keys.get_mut("hot").unwrap();
    versions.push(("newer".to_owned(), newer.clone()));
    let service = fake.start().await.unwrap();
    let mut config = config(&service, by_secret(AzureFake::CLIENT_SECRET));
    let latest = opened(&RemoteConfig::Azure(config.clone()), &at(&service)).await;
    assert_eq!(latest.address(), newer.address());
    config.key_version = Some(VERSION.to_owned());
    let older = opened(&RemoteConfig::Azure(config), &at(&service)).await;
    check(
        &older.sign_hash(hash(1)).await.unwrap(),
        hash(1),
        key().address(),
    );
    check(
        &latest.sign_hash(hash(1)).await.unwrap(),
        hash(1),
        newer.address(),
    );
}

#[tokio::test]
async fn what_is_wrong_is_told_with_what_to_do() {
    let service = service().await;
    let wrong = config(&service, by_secret("not-the-secret"));
    let error = refused(&RemoteConfig::Azure(wrong), &at(&service))
        .await
        .to_string();
    assert!(
        error.contains("Azure token: HTTP status 401: AADSTS7000215"),
        "{error}"
    );
    assert!(
        error.contains("check tenant_id, client_id and client_secret"),
        "{error}"
    );
    assert!(!error.contains("not-the-secret"), "{error}");
    assert_eq!(
        service.control().count(Step::Login, 401),
        1,
        "it was not repeated"
    );

    let mut absent = config(&service, by_secret(AzureFake::CLIENT_SECRET));
    absent.key_name = "cold".to_owned();
    let error = refused(&RemoteConfig::Azure(absent), &at(&service))
        .await
        .to_string();
    assert!(
        error.contains("/keys/cold") && error.contains("check vault_url"),
        "{error}"
    );

    let control = service.control();
    control.fail(Some(Step::Read), Times::Always, KeyFault::Status(403));
    let fine = config(&service, by_secret(AzureFake::CLIENT_SECRET));
    let error = refused(&RemoteConfig::Azure(fine), &at(&service))
        .await
        .to_string();
    assert!(error.contains("allow the identity to get keys"), "{error}");

    let mut fake = AzureFake::with_key("hot", VERSION, key());
    fake.curve = "P-256";
    let service = fake.start().await.unwrap();
    let config = config(&service, by_secret(AzureFake::CLIENT_SECRET));
    let error = refused(&RemoteConfig::Azure(config), &at(&service))
        .await
        .to_string();
    assert!(
        error.contains("\"P-256\"; an EVM account needs EC and P-256K"),
        "{error}"
    );
}

#[tokio::test]
async fn a_federated_token_file_that_is_missing_is_told() {
    let service = service().await;
    let identity = AzureIdentity::WorkloadIdentity {
        tenant_id: Some(AzureFake::TENANT_ID.to_owned()),
        client_id: Some(AzureFake::CLIENT_ID.to_owned()),
        federated_token_file: Some("/nonexistent/token".to_owned()),
    };
    let error = refused(
        &RemoteConfig::Azure(config(&service, identity)),
        &at(&service),
    )
    .await;
    assert!(
        error.to_string().contains("token file /nonexistent/token"),
        "{error}"
    );
}

#[tokio::test]
async fn what_a_cluster_says_of_an_identity_completes_it() {
    let service = service().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, AzureFake::FEDERATED_TOKEN).unwrap();
    let nothing = AzureIdentity::WorkloadIdentity {
        tenant_id: None,
        client_id: None,
        federated_token_file: None,
    };
    let config = RemoteConfig::Azure(config(&service, nothing));
    let error = refused(&config, &at(&service)).await.to_string();
    assert_eq!(
        error,
        "tenant_id must be given, or AZURE_TENANT_ID must be set"
    );
    let mut ambient = at(&service);
    ambient.azure.tenant_id = Some(AzureFake::TENANT_ID.to_owned());
    ambient.azure.client_id = Some(AzureFake::CLIENT_ID.to_owned());
    ambient.azure.federated_token_file = Some(file.path().display().to_string());
    let signer = opened(&config, &ambient).await;
    check(
        &signer.sign_hash(hash(1)).await.unwrap(),
        hash(1),
        key().address(),
    );
}
