//! Nodes that stop, forget, change their mind, or are not there.

use std::time::Duration;

use baton_model::U256;
use baton_testkit::{Anvil, AnvilOptions, Mining};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{
    Setup, World, fresh_address, fresh_addresses, plain_transfer, transfer, until,
};

#[tokio::test]
async fn a_node_that_hangs_under_load_costs_time_only() {
    let world = Setup::default()
        .variable("RPC_TIMEOUT_MS", "500")
        .world()
        .await;
    let engine = world.engine().await;
    let (api, chain) = (engine.api(), world.chain());
    let targets = fresh_addresses(120);
    let bodies: Vec<Value> = targets.iter().map(|to| transfer(*to)).collect();
    let mut ids = api.send_all(&bodies[..40]).await;

    world.anvil.pause().unwrap();
    let paused = Instant::now();
    ids.extend(api.send_all(&bodies[40..80]).await);
    // The node is to hang for three seconds, whatever the engine does in that time.
    tokio::time::sleep_until(paused + Duration::from_secs(3)).await;
    world.anvil.resume().unwrap();
    ids.extend(api.send_all(&bodies[80..]).await);

    api.all_reach(&ids, "confirmed").await;
    chain.assert_each_once(&targets).await;
    assert_eq!(chain.nonce(world.account(0)).await, 120);
    engine.stop().await;
}

#[tokio::test]
async fn a_transaction_that_the_node_forgot_is_offered_again() {
    let world = Setup::default().blocks_on_request().world().await;
    let engine = world.engine().await;
    let (api, chain) = (engine.api(), world.chain());
    let targets = fresh_addresses(5);
    let mut ids = Vec::new();
    for to in &targets {
        let id = api.send(&plain_transfer(*to)).await;
        api.reaches(&id, "submitted").await;
        ids.push(id);
    }
    let lowest = api.transaction(&ids[0]).await;
    let hash = serde_json::from_value(lowest["hash"].clone()).unwrap();

    world.anvil.drop_transaction(hash).await.unwrap();
    let dropped = Instant::now();
    until("all are executed", async || {
        chain.mine(1).await;
        (chain.nonce(world.account(0)).await == 5).then_some(())
    })
    .await;
    let took = dropped.elapsed();
    eprintln!("lowest nonce forgotten to executed: {took:?}");
    assert!(took < Duration::from_secs(15), "{took:?}");

    chain.mine(3).await;
    let confirmed = api.all_reach(&ids, "confirmed").await;
    assert_eq!(
        confirmed[0]["hash"], lowest["hash"],
        "the same bytes, not a higher bid"
    );
    chain.assert_each_once(&targets).await;
    engine.stop().await;
}

#[tokio::test]
async fn what_a_reorganisation_takes_back_is_mined_again() {
    let setup = Setup::default()
        .blocks_on_request()
        .network("required_confirmations", json!(5));
    let world = setup.world().await;
    let engine = world.engine().await;
    let (api, chain) = (engine.api(), world.chain());
    let targets = fresh_addresses(6);
    chain.mine(5).await;
    let mut ids = Vec::new();
    for pair in targets.chunks(2) {
        for to in pair {
            ids.push(api.send(&plain_transfer(*to)).await);
        }
        chain.pool_has(2).await;
        chain.mine(1).await;
    }
    let mined = api.all_reach(&ids, "mined").await;

    world.anvil.reorg(3).await.unwrap();
    assert_eq!(chain.balances(&targets).await, [U256::ZERO; 6]);
    // Heads are polled by number: a branch is seen when it grows longer.
    chain.mine(1).await;
    until("the reorganisation is seen", async || {
        let first = api.transaction(&ids[0]).await;
        (first["status"] == "submitted").then_some(())
    })
    .await;
    until("all are executed again", async || {
        chain.mine(1).await;
        (chain.nonce(world.account(0)).await == 6).then_some(())
    })
    .await;
    chain.mine(6).await;
    let confirmed = api.all_reach(&ids, "confirmed").await;
    for (before, after) in mined.iter().zip(&confirmed) {
        assert_eq!(before["nonce"], after["nonce"]);
        assert_ne!(before["block_hash"], after["block_hash"]);
        let receipt = chain
            .ask("eth_getTransactionReceipt", json!([after["hash"]]))
            .await;
        assert_eq!(after["block_hash"], receipt["blockHash"]);
    }
    chain.assert_each_once(&targets).await;
    engine.stop().await;
}

#[tokio::test]
async fn without_its_node_an_engine_accepts_and_goes_on_when_it_comes() {
    let mut world = World::new().await;
    let port = free_port();
    world.config["networks"][0]["rpc_urls"] = json!([format!("http://127.0.0.1:{port}")]);
    world.write_config();
    let engine = world.launch(&[]).await;
    let api = engine.api();
    let to = fresh_address(0);

    let ready = api.get("/ready").await;
    assert_eq!(
        (ready.status, &ready.body["ready"]),
        (503, &json!(false)),
        "{ready:?}"
    );
    assert_eq!(api.get("/health").await.status, 200);
    let id = api.send(&transfer(to)).await;
    assert_eq!(api.transaction(&id).await["status"], "pending");
    let balance = api.get("/relayers/main/balance").await;
    assert_eq!(balance.status, 502, "{balance:?}");

    let options = AnvilOptions {
        mining: Mining::Every(Duration::from_millis(200)),
        port,
        ..AnvilOptions::default()
    };
    let late = Anvil::start(&options).await.unwrap();
    engine.ready().await;
    api.reaches(&id, "confirmed").await;
    let balance = late
        .call("eth_getBalance", json!([to, "latest"]))
        .await
        .unwrap();
    assert_eq!(balance, "0x1");
    engine.stop().await;
}

#[tokio::test]
async fn a_node_of_another_chain_is_refused() {
    let world = Setup::default().node_chain_id(77).world().await;
    let error = world.refusal().await;
    assert!(
        error.starts_with("baton: relayer main: network devnet: "),
        "{error}"
    );
    assert!(error.contains("31337") && error.contains("77"), "{error}");
}

#[tokio::test]
async fn heads_come_by_web_socket_too() {
    let mut world = World::new().await;
    let endpoint = json!({ "url": world.anvil.http_url(), "ws_url": world.anvil.ws_url() });
    world.config["networks"][0]["rpc_urls"] = json!([endpoint]);
    world.write_config();
    let engine = world.engine().await;
    let api = engine.api();
    let targets = fresh_addresses(20);
    let bodies: Vec<Value> = targets.iter().map(|to| transfer(*to)).collect();
    let ids = api.send_all(&bodies).await;
    api.all_reach(&ids, "confirmed").await;
    world.chain().assert_each_once(&targets).await;
    engine.stop().await;
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
