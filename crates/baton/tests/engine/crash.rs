//! Starts, stops and restarts. Kills and drains under load are scenario S8 (`tests/scenarios`).

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{Setup, World, fresh_addresses, plain_transfer, transfer, until};

#[tokio::test]
async fn a_stop_does_not_wait_for_a_start() {
    let world = World::new().await;
    // The node does not answer the question for its chain id.
    world.anvil.pause().unwrap();
    let mut engine = world.spawn();
    let lock = world.data_dir().join("LOCK");
    until("the store is open", async || lock.exists().then_some(())).await;

    engine.terminate();
    let asked = Instant::now();
    let status = engine.ended().await;
    assert!(status.success(), "{status}");
    let took = asked.elapsed();
    assert!(
        took < Duration::from_secs(2),
        "{took:?}, longer than the question takes"
    );
    world.anvil.resume().unwrap();
    // Nothing is left behind.
    world.engine().await.stop().await;
}

#[tokio::test]
async fn a_second_engine_on_the_same_directory_is_told_who_has_it() {
    let world = World::new().await;
    let engine = world.engine().await;

    let error = world.refusal().await;
    let directory = world.data_dir();
    let expected = format!("store {} is in use by process ", directory.display());
    assert!(error.contains(&expected), "{error}");

    let id = engine.api().send(&transfer(fresh_addresses(1)[0])).await;
    engine.api().reaches(&id, "confirmed").await;
    engine.stop().await;
}

#[tokio::test]
async fn five_hundred_open_nonces_are_offered_again_after_a_restart() {
    let setup = Setup::default()
        .blocks_on_request()
        .network("in_flight_max", json!(1000));
    let world = setup.world().await;
    let chain = world.chain();
    let targets = fresh_addresses(500);
    let bodies: Vec<Value> = targets.iter().map(|to| plain_transfer(*to)).collect();
    let engine = world.engine().await;
    let mut ids = Vec::new();
    for some in bodies.chunks(100) {
        ids.extend(engine.api().send_all(some).await);
    }
    chain.pool_has(500).await;
    engine.kill().await;
    // The node has forgotten all of them.
    world.anvil.drop_all_transactions().await.unwrap();
    assert_eq!(chain.pool().await, (0, 0));

    let started = Instant::now();
    let engine = world.launch(&[]).await;
    chain.pool_has(500).await;
    eprintln!("restart to 500 offered again: {:?}", started.elapsed());

    chain.mine(3).await;
    engine.api().all_reach(&ids, "confirmed").await;
    chain.assert_each_once(&targets).await;
    assert_eq!(chain.nonce(world.account(0)).await, 500);
    engine.stop().await;
}
