//! Keys that somebody else uses too, and stores that were rolled back.

use std::fs;
use std::path::Path;

use baton_model::U256;
use serde_json::json;

use crate::support::{Setup, World, fresh_address, fresh_addresses, transfer, until};

#[tokio::test]
async fn a_foreign_transaction_stops_the_account_until_an_operator_adopts_it() {
    let world = World::new().await;
    let account = world.account(0);
    let engine = world.engine().await;
    let (api, chain) = (engine.api(), world.chain());
    let targets = fresh_addresses(3);
    let id = api.send(&transfer(targets[0])).await;
    api.reaches(&id, "confirmed").await;

    chain.foreign_transfer(account, fresh_address(99)).await;
    until("the alarm is on", async || {
        let status = api.status().await;
        let alarms = status["alarms"].as_array().unwrap();
        let of_nonce = |text: &str| text.starts_with("foreign_nonce: nonce 1 of ");
        let found = alarms.iter().any(|alarm| of_nonce(alarm.as_str().unwrap()));
        (found && status["system_disabled"] == true).then_some(())
    })
    .await;
    until("readiness is degraded", async || {
        let ready = api.get("/ready").await;
        (ready.status == 200 && ready.body["status"] == "degraded").then_some(())
    })
    .await;
    let relayer = api.get("/relayers/main").await.data();
    assert_eq!(relayer["disabled_reason"]["type"], "NonceSyncFailed");
    // What is accepted is held.
    let held = api.send(&transfer(targets[1])).await;
    engine.stop().await;
    let engine = world.engine().await;
    let api = engine.api();
    assert_eq!(api.transaction(&held).await["status"], "pending");
    assert_eq!(chain.nonce(account).await, 2);
    engine.stop().await;

    let engine = world.launch(&["--adopt"]).await;
    let api = engine.api();
    assert_eq!(api.reaches(&held, "confirmed").await["nonce"], 2);
    until("the alarm is off", async || {
        let status = api.status().await;
        (status["alarms"] == json!([]) && status["system_disabled"] == false).then_some(())
    })
    .await;
    engine.stop().await;
    // Understood once is enough.
    let engine = world.engine().await;
    let id = engine.api().send(&transfer(targets[2])).await;
    engine.api().reaches(&id, "confirmed").await;
    chain.assert_each_once(&targets).await;
    assert_eq!(chain.nonce(account).await, 4);
    engine.stop().await;
}

#[tokio::test]
async fn a_store_that_was_rolled_back_matches_what_it_finds_and_doubles_nothing() {
    let world = World::new().await;
    let (account, chain) = (world.account(0), world.chain());
    let targets = fresh_addresses(6);
    // The copy holds requests that have no nonce yet, for want of funds.
    let funds = chain.balance(account).await;
    world.anvil.set_balance(account, U256::ZERO).await.unwrap();
    let engine = world.engine().await;
    let mut ids = Vec::new();
    for to in &targets[..3] {
        ids.push(engine.api().send(&transfer(*to)).await);
    }
    // The first that cannot go says why, and those behind it wait.
    engine
        .api()
        .reason(&ids[0], "held: no account's balance covers it")
        .await;
    engine.stop().await;
    let copy = world.path("copy");
    copy_directory(&world.data_dir(), &copy);

    world.anvil.set_balance(account, funds).await.unwrap();
    let engine = world.engine().await;
    engine.api().all_reach(&ids, "confirmed").await;
    engine.stop().await;
    assert_eq!(chain.nonce(account).await, 3);

    fs::remove_dir_all(world.data_dir()).unwrap();
    copy_directory(&copy, &world.data_dir());
    let engine = world.engine().await;
    let api = engine.api();
    // The three are found on the chain by what they do.
    api.all_reach(&ids, "confirmed").await;
    for to in &targets[3..] {
        ids.push(api.send(&transfer(*to)).await);
    }
    api.all_reach(&ids, "confirmed").await;
    chain.assert_each_once(&targets).await;
    assert_eq!(chain.nonce(account).await, 6);
    engine.stop().await;
}

#[tokio::test]
async fn a_store_that_forgot_requests_stops_and_doubles_nothing() {
    let world = Setup::default().world().await;
    let (account, chain) = (world.account(0), world.chain());
    let targets = fresh_addresses(4);
    let engine = world.engine().await;
    let id = engine.api().send(&transfer(targets[0])).await;
    engine.api().reaches(&id, "confirmed").await;
    engine.stop().await;
    let copy = world.path("copy");
    copy_directory(&world.data_dir(), &copy);
    let engine = world.engine().await;
    for to in &targets[1..3] {
        let id = engine.api().send(&transfer(*to)).await;
        engine.api().reaches(&id, "confirmed").await;
    }
    engine.stop().await;

    fs::remove_dir_all(world.data_dir()).unwrap();
    copy_directory(&copy, &world.data_dir());
    let engine = world.launch(&[]).await;
    let api = engine.api();
    until("the alarm is on", async || {
        let status = api.status().await;
        let alarms = status["alarms"].as_array().unwrap();
        alarms
            .iter()
            .any(|alarm| alarm.as_str().unwrap().starts_with("foreign_nonce"))
            .then_some(())
    })
    .await;
    let held = api.send(&transfer(targets[3])).await;
    engine.stop().await;
    assert_eq!(chain.nonce(account).await, 3);

    let engine = world.launch(&["--adopt"]).await;
    engine.api().reaches(&held, "confirmed").await;
    chain.assert_each_once(&targets).await;
    assert_eq!(chain.nonce(account).await, 4);
    engine.stop().await;
}

fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_directory(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
