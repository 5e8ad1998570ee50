//! A key service that fails under load: the account waits, and everything is executed once.

use std::time::Duration;

use baton_testkit::Anvil;
use baton_testkit::signers::{AwsFake, KeyFault, KeyService, ServiceKey, Step, Times};
use serde_json::json;

use crate::support::{Setup, World, fresh_addresses, transfer, until};

const ID: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";

async fn service() -> KeyService {
    let key = ServiceKey::from_hex(Anvil::DEV_KEYS[0]);
    AwsFake::with_key(ID, key).start().await.unwrap()
}

/// A world whose relayer signs with a key of the service.
async fn world(service: &KeyService) -> World {
    let mut world = Setup::default()
        .variable("AWS_ENDPOINT_URL_KMS", service.url())
        .variable("AWS_ACCESS_KEY_ID", AwsFake::ACCESS_KEY_ID)
        .variable("AWS_SECRET_ACCESS_KEY", AwsFake::SECRET_ACCESS_KEY)
        .world()
        .await;
    let config = json!({ "region": "eu-west-1", "key_id": ID });
    world.config["signers"] = json!([{ "id": "key-0", "type": "aws_kms", "config": config }]);
    world.write_config();
    world
}

#[tokio::test]
async fn a_service_that_fails_for_a_while_neither_loses_nor_doubles_anything() {
    let service = service().await;
    let world = world(&service).await;
    let engine = world.engine().await;
    let (api, chain, control) = (engine.api(), world.chain(), service.control());
    let targets = fresh_addresses(120);
    let bodies: Vec<_> = targets.iter().map(|to| transfer(*to)).collect();
    let mut ids = api.send_all(&bodies[..40]).await;

    let faults = [
        KeyFault::Cut,
        KeyFault::Busy { seconds: 1 },
        KeyFault::Status(500),
        KeyFault::OtherKey,
        KeyFault::NoSignature,
        KeyFault::Status(403),
        KeyFault::Slow(Duration::from_millis(200)),
        KeyFault::HighS,
    ];
    for (fault, bodies) in faults.into_iter().zip(bodies[40..].chunks(10)) {
        let step = if fault == KeyFault::Cut {
            None
        } else {
            Some(Step::Sign)
        };
        control.fail(step, Times::Always, fault.clone());
        let asked = control.asked(Step::Sign);
        // What is accepted while the service is down is as good as accepted.
        ids.extend(api.send_all(bodies).await);
        until("the service is asked again", async || {
            (control.asked(Step::Sign) >= asked + 5).then_some(())
        })
        .await;
        control.recover();
    }
    api.all_reach(&ids, "confirmed").await;
    chain.assert_each_once(&targets).await;
    assert_eq!(chain.nonce(world.account(0)).await, 120);
    let log: String = engine.lines().iter().map(ToString::to_string).collect();
    assert!(log.contains("cannot sign; trying again"), "{log}");
    assert!(log.contains("aws_kms signer"), "{log}");
    for secret in [AwsFake::SECRET_ACCESS_KEY, "Signature="] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[tokio::test]
async fn an_engine_that_is_killed_while_its_service_is_down_goes_on_when_it_is_back() {
    let service = service().await;
    let world = world(&service).await;
    let engine = world.engine().await;
    let targets = fresh_addresses(30);
    let bodies: Vec<_> = targets.iter().map(|to| transfer(*to)).collect();
    let mut ids = engine.api().send_all(&bodies[..10]).await;
    let control = service.control();
    control.fail(Some(Step::Sign), Times::Always, KeyFault::Hang);
    ids.extend(engine.api().send_all(&bodies[10..]).await);
    engine.kill().await;
    control.recover();
    let engine = world.engine().await;
    engine.api().all_reach(&ids, "confirmed").await;
    world.chain().assert_each_once(&targets).await;
    assert_eq!(world.chain().nonce(world.account(0)).await, 30);
}

#[tokio::test]
async fn an_engine_does_not_start_without_its_service_and_says_why() {
    let service = service().await;
    let world = world(&service).await;
    service
        .control()
        .fail(None, Times::Always, KeyFault::Status(403));
    let refusal = world.refusal().await;
    assert!(refusal.contains("signer key-0: AWS KMS key"), "{refusal}");
    assert!(
        refusal.contains("allow kms:GetPublicKey on the key"),
        "{refusal}"
    );
    let config = world.config_file();
    let arguments = ["config", "check", "--config", config.to_str().unwrap()];
    let checked = world.run(&arguments).await;
    assert!(!checked.status.success());
    let said = String::from_utf8(checked.stdout).unwrap();
    let expected = "signers: signer \"key-0\" cannot be opened: AWS KMS key";
    assert!(said.contains(expected), "{said}");
}
