//! What becomes of a relayer's work when the relayer leaves the configuration.

use serde_json::json;

use crate::support::{Setup, fresh_address, transfer};

#[tokio::test]
async fn a_relayer_can_go_only_when_its_work_has_ended() {
    let mut world = Setup::default().blocks_on_request().world().await;
    let engine = world.engine().await;
    let target = fresh_address(0);
    let id = engine.api().send(&transfer(target)).await;
    engine.api().reaches(&id, "submitted").await;
    engine.stop().await;

    // Another relayer takes its place, with the same account.
    world.config["relayers"][0]["id"] = json!("other");
    world.write_config();
    let refusal = world.refusal().await;
    let told = "the store holds unfinished work of relayers that are not configured: main (at \
                least 1 open transactions, 1 nonces in use and 0 inbox entries); bring each back";
    assert!(refusal.contains(told), "{refusal}");

    world.config["relayers"][0]["id"] = json!("main");
    world.write_config();
    let engine = world.engine().await;
    world.chain().mine(3).await;
    engine.api().reaches(&id, "confirmed").await;
    engine.stop().await;

    world.config["relayers"][0]["id"] = json!("other");
    world.write_config();
    world.engine().await.stop().await;
    world.chain().assert_each_once(&[target]).await;
}

#[tokio::test]
async fn what_was_accepted_and_never_begun_keeps_its_relayer_too() {
    let mut world = Setup::default().blocks_on_request().world().await;
    world.anvil.pause().unwrap();
    let engine = world.launch(&[]).await;
    engine.api().send(&transfer(fresh_address(0))).await;
    engine.kill().await;
    world.anvil.resume().unwrap();

    world.config["relayers"][0]["id"] = json!("other");
    world.write_config();
    let refusal = world.refusal().await;
    assert!(
        refusal.contains("not configured: main (at least"),
        "{refusal}"
    );
}
