//! Cancelling, replacing, lapsing, pausing.

use std::time::Duration;

use baton_model::{Address, U256};
use serde_json::{Value, json};

use crate::support::{
    Setup, World, fresh_address, fresh_addresses, plain_transfer, transfer, until,
};

/// Long enough to be bound and offered on busy cores, short enough to wait for.
const VALIDITY: Duration = Duration::from_secs(2);

#[tokio::test]
async fn what_has_no_nonce_yet_is_cancelled_at_once() {
    let world = World::new().await;
    let account = world.account(0);
    world.anvil.set_balance(account, U256::ZERO).await.unwrap();
    let engine = world.engine().await;
    let (api, chain) = (engine.api(), world.chain());
    let targets = fresh_addresses(2);
    let first = api.send(&transfer(targets[0])).await;
    let second = api.send(&transfer(targets[1])).await;
    let held = api
        .reason(&first, "held: no account's balance covers it")
        .await;
    assert_eq!(
        (&held["status"], &held["nonce"]),
        (&json!("pending"), &Value::Null)
    );

    let canceled = api.cancel(&first).await.data();
    assert_eq!(
        (&canceled["status"], &canceled["is_canceled"]),
        (&json!("canceled"), &json!(true))
    );
    assert_eq!(canceled["hashes"], json!([]));

    // With funds, the other one goes on and the cancelled one does not.
    world
        .anvil
        .set_balance(account, U256::from(10).pow(U256::from(18)))
        .await
        .unwrap();
    assert_eq!(api.reaches(&second, "confirmed").await["nonce"], 0);
    assert_eq!(chain.balances(&targets).await, [U256::ZERO, U256::ONE]);
    assert_eq!(chain.nonce(account).await, 1);
    let again = api.cancel(&first).await.error(400);
    assert!(
        again.contains("only a pending, sent or submitted transaction"),
        "{again}"
    );
    engine.stop().await;
}

#[tokio::test]
async fn what_was_offered_is_cancelled_by_a_no_op_under_its_nonce() {
    let world = Setup::default().blocks_on_request().world().await;
    let engine = world.engine().await;
    let (api, chain) = (engine.api(), world.chain());
    let targets = fresh_addresses(2);
    let first = api.send(&transfer(targets[0])).await;
    let submitted = api.reaches(&first, "submitted").await;
    let second = api.send(&transfer(targets[1])).await;
    api.reaches(&second, "submitted").await;

    let answer = api.cancel(&first).await.data();
    assert_eq!(answer["is_canceled"], true);
    let hash = &submitted["hash"];
    let noop = until(
        "the no-op took the place of the payload in the pool",
        async || {
            let found = api.transaction(&first).await;
            let hashes = found["hashes"].as_array().unwrap();
            let pooled = chain
                .ask("eth_getTransactionByHash", json!([hashes.last()]))
                .await;
            (hashes.len() == 2 && pooled.is_object()).then_some(pooled)
        },
    );
    let noop = noop.await;
    assert_ne!(&noop["hash"], hash);
    assert_eq!(
        (&noop["nonce"], &noop["value"]),
        (&json!("0x0"), &json!("0x0"))
    );

    chain.mine(3).await;
    let canceled = api.reaches(&first, "canceled").await;
    assert_eq!(canceled["is_canceled"], true);
    api.reaches(&second, "confirmed").await;
    assert_eq!(chain.balances(&targets).await, [U256::ZERO, U256::ONE]);
    assert_eq!(chain.nonce(world.account(0)).await, 2);
    engine.stop().await;
}

#[tokio::test]
async fn a_replacement_is_executed_instead_and_a_low_bid_is_refused() {
    let world = Setup::default().blocks_on_request().world().await;
    let engine = world.engine().await;
    let (api, chain) = (engine.api(), world.chain());
    let targets = fresh_addresses(2);
    let gwei = 1_000_000_000_u64;
    let id = api.send(&priced(targets[0], 10 * gwei)).await;
    let old = api.reaches(&id, "submitted").await;

    let refused = api
        .replace(&id, &priced(targets[1], 10 * gwei + gwei / 2))
        .await
        .error(400);
    let expected = "Gas price increase does not meet minimum bump requirement";
    assert!(refused.starts_with(expected), "{refused}");
    let unchanged = api.transaction(&id).await;
    assert_eq!(
        (&unchanged["hash"], &unchanged["to"]),
        (&old["hash"], &old["to"])
    );

    let replaced = api
        .replace(&id, &priced(targets[1], 11 * gwei))
        .await
        .data();
    assert_eq!(replaced["to"], json!(targets[1]));
    assert_eq!(replaced["nonce"], old["nonce"]);
    chain.pool_has(1).await;
    until("the replacement is in the pool", async || {
        let found = api.transaction(&id).await;
        let pooled = chain
            .ask("eth_getTransactionByHash", json!([found["hash"]]))
            .await;
        (found["hash"] != old["hash"] && pooled.is_object()).then_some(())
    })
    .await;
    chain.mine(3).await;
    let confirmed = api.reaches(&id, "confirmed").await;
    assert_eq!(confirmed["hashes"].as_array().unwrap().len(), 2);
    assert_eq!(confirmed["gas_price"], json!((11 * gwei).to_string()));
    assert_eq!(chain.balances(&targets).await, [U256::ZERO, U256::from(7)]);
    let late = api
        .replace(&id, &priced(targets[0], 20 * gwei))
        .await
        .error(400);
    assert!(
        late.contains("only a pending, sent or submitted transaction can be replaced"),
        "{late}"
    );
    engine.stop().await;
}

#[tokio::test]
async fn deleting_what_is_pending_cancels_all_of_it() {
    let world = Setup::default()
        .blocks_on_request()
        .network("in_flight_max", json!(8))
        .world()
        .await;
    let engine = world.engine().await;
    let (api, chain) = (engine.api(), world.chain());
    let targets = fresh_addresses(20);
    let bodies: Vec<Value> = targets.iter().map(|to| plain_transfer(*to)).collect();
    let ids = api.send_all(&bodies).await;
    chain.pool_has(8).await;

    let answer = api
        .delete("/relayers/main/transactions/pending")
        .await
        .data();
    assert_eq!(answer["total_processed"], 20);
    let queued = answer["queued_for_cancellation_transaction_ids"]
        .as_array()
        .unwrap();
    assert_eq!(
        (queued.len(), &answer["failed_to_queue_transaction_ids"]),
        (20, &json!([]))
    );
    until(
        "no-ops took the places of the payloads in the pool",
        async || {
            let pooled = chain.pooled(world.account(0)).await;
            let noops = pooled.iter().all(|tx| tx["value"] == "0x0");
            (noops && pooled.len() == 8).then_some(())
        },
    )
    .await;

    until("all are canceled", async || {
        chain.mine(1).await;
        let path = "/relayers/main/transactions?status=canceled";
        let page = api.get(path).await;
        (page.body["pagination"]["total_items"] == 20).then_some(())
    })
    .await;
    api.all_reach(&ids, "canceled").await;
    let balances = chain.balances(&targets).await;
    assert!(balances.iter().all(U256::is_zero), "{balances:?}");
    // The eight that had a nonce used it up by no-ops; the others never had one.
    assert_eq!(chain.nonce(world.account(0)).await, 8);
    engine.stop().await;
}

#[tokio::test]
async fn what_is_not_mined_in_time_lapses() {
    let world = Setup::default()
        .blocks_on_request()
        .accounts(1)
        .world()
        .await;
    let engine = world.engine().await;
    let (api, chain) = (engine.api(), world.chain());
    let targets = fresh_addresses(2);
    let until_then = (jiff::Timestamp::now() + VALIDITY).to_string();
    let mut offered = transfer(targets[0]);
    offered["valid_until"] = json!(until_then);
    let held = json!({
        "to": targets[1], "value": "1", "gas_price": 1, "valid_until": until_then,
    });
    let offered = api.send(&offered).await;
    let held = api.send(&held).await;
    api.reaches(&offered, "submitted").await;
    api.reason(&held, "held: gas price 1 wei is below the base fee")
        .await;

    let lapsed = api.reaches(&held, "expired").await;
    assert_eq!(
        (&lapsed["nonce"], &lapsed["hashes"]),
        (&Value::Null, &json!([]))
    );
    until("a no-op stands in for the payload", async || {
        let found = api.transaction(&offered).await;
        (found["hashes"].as_array().unwrap().len() == 2).then_some(())
    })
    .await;
    until("what was offered has lapsed", async || {
        chain.mine(1).await;
        (api.transaction(&offered).await["status"] == "expired").then_some(())
    })
    .await;
    assert_eq!(chain.balances(&targets).await, [U256::ZERO, U256::ZERO]);
    assert_eq!(chain.nonce(world.account(0)).await, 1);
    let past =
        json!({ "to": targets[0], "value": "1", "speed": "fast", "valid_until": until_then });
    let refused = api.post(&past).await.error(400);
    assert!(
        refused.starts_with("valid_until must be in the future"),
        "{refused}"
    );
    engine.stop().await;
}

#[tokio::test]
async fn a_paused_relayer_takes_nothing_new_and_ends_what_it_has() {
    let mut world = Setup::default().blocks_on_request().world().await;
    let engine = world.engine().await;
    let id = engine.api().send(&transfer(fresh_address(0))).await;
    engine.api().reaches(&id, "submitted").await;
    engine.stop().await;

    world.config["relayers"][0]["paused"] = json!(true);
    world.write_config();
    let engine = world.engine().await;
    let (api, chain) = (engine.api(), world.chain());
    assert_eq!(
        api.post(&transfer(fresh_address(1))).await.error(403),
        "Relayer paused"
    );
    assert_eq!(api.cancel(&id).await.error(403), "Relayer paused");
    let status = api.status().await;
    assert_eq!(
        (&status["paused"], &status["pending_transactions_count"]),
        (&json!(true), &json!(1))
    );
    chain.mine(3).await;
    api.reaches(&id, "confirmed").await;
    assert_eq!(chain.nonce(world.account(0)).await, 1);
    engine.stop().await;
}

fn priced(to: Address, gas_price: u64) -> Value {
    json!({ "to": to, "value": "7", "gas_price": gas_price })
}
