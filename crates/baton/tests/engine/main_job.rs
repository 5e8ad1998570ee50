//! Accepted, submitted, mined, confirmed: once each, in order.

use std::collections::{BTreeMap, BTreeSet};

use baton_model::{Address, U256};
use serde_json::{Value, json};

use crate::support::{
    Setup, World, fresh_address, fresh_addresses, plain_transfer, transfer, until,
};

#[tokio::test]
async fn a_transfer_goes_through_every_status_with_its_fields() {
    let world = Setup::default().blocks_on_request().world().await;
    let engine = world.engine().await;
    let (api, chain) = (engine.api(), world.chain());
    let to = fresh_address(0);

    let accepted = api.post(&transfer(to)).await.data();
    assert_eq!(accepted["status"], "pending");
    assert_eq!(accepted["from"], json!(world.account(0)));
    assert_eq!(accepted["to"], json!(to));
    assert_eq!(accepted["value"], "0x1");
    assert_eq!(accepted["speed"], "fast");
    assert_eq!(accepted["chain_id"], 31_337);
    for absent in [
        "hash",
        "nonce",
        "sent_at",
        "confirmed_at",
        "block_number",
        "status_reason",
    ] {
        assert_eq!(accepted[absent], Value::Null, "{absent}");
    }
    let id = accepted["id"].as_str().unwrap();

    let submitted = api.reaches(id, "submitted").await;
    assert_eq!(submitted["nonce"], 0);
    assert!(submitted["sent_at"].is_string());
    assert_eq!(submitted["hashes"], json!([submitted["hash"]]));
    assert_eq!(chain.balance(to).await, U256::ZERO);

    chain.mine(1).await;
    let mined = api.reaches(id, "mined").await;
    let receipt = chain
        .ask("eth_getTransactionReceipt", json!([mined["hash"]]))
        .await;
    assert_eq!(mined["hash"], submitted["hash"]);
    assert_eq!(mined["block_hash"], receipt["blockHash"]);
    assert_eq!(mined["gas_used"], 21_000);
    assert_eq!(
        json!(format!("{:#x}", mined["block_number"].as_u64().unwrap())),
        receipt["blockNumber"]
    );
    assert!(mined["mined_at"].is_string());
    assert_eq!(mined["confirmed_at"], Value::Null);
    assert_eq!(chain.balance(to).await, U256::ONE);

    chain.mine(2).await;
    let confirmed = api.reaches(id, "confirmed").await;
    assert!(confirmed["confirmed_at"].is_string());
    assert_eq!(confirmed["finished_at"], confirmed["confirmed_at"]);
    assert_eq!(confirmed["hash"], mined["hash"]);
    assert_eq!(api.status().await["pending_transactions_count"], 0);
    assert_eq!(chain.nonce(world.account(0)).await, 1);
    engine.stop().await;
}

#[tokio::test]
async fn two_hundred_concurrent_posts_are_executed_once_each_in_nonce_order() {
    let world = World::new().await;
    let engine = world.engine().await;
    let (api, chain) = (engine.api(), world.chain());
    let targets = fresh_addresses(200);
    let bodies: Vec<Value> = targets.iter().map(|to| transfer(*to)).collect();

    let ids = api.send_all(&bodies).await;
    let confirmed = api.all_reach(&ids, "confirmed").await;

    let nonces: BTreeSet<u64> = confirmed
        .iter()
        .map(|tx| tx["nonce"].as_u64().unwrap())
        .collect();
    assert_eq!(nonces, (0..200).collect());
    // What was accepted first has the lower nonce, as far as the times of acceptance tell.
    let mut in_order: Vec<(&str, u64)> = confirmed
        .iter()
        .map(|tx| {
            (
                tx["created_at"].as_str().unwrap(),
                tx["nonce"].as_u64().unwrap(),
            )
        })
        .collect();
    in_order.sort_unstable();
    let first = &in_order[..20];
    assert!(first.iter().all(|(_, nonce)| *nonce < 100), "{first:?}");
    assert_eq!(chain.nonce(world.account(0)).await, 200);
    chain.assert_each_once(&targets).await;
    engine.stop().await;
}

#[tokio::test]
async fn a_relayer_with_three_accounts_spreads_its_work() {
    let world = Setup::default().accounts(3).world().await;
    let engine = world.engine().await;
    let (api, chain) = (engine.api(), world.chain());
    let targets = fresh_addresses(200);
    let bodies: Vec<Value> = targets.iter().map(|to| transfer(*to)).collect();

    let ids = api.send_all(&bodies).await;
    let confirmed = api.all_reach(&ids, "confirmed").await;

    let mut used: BTreeMap<Address, u64> = BTreeMap::new();
    for transaction in &confirmed {
        let from = serde_json::from_value(transaction["from"].clone()).unwrap();
        *used.entry(from).or_default() += 1;
    }
    for index in 0..3 {
        let account = world.account(index);
        let count = used[&account];
        assert!(
            (50..=84).contains(&count),
            "{account} sent {count} of 200: {used:?}"
        );
        assert_eq!(chain.nonce(account).await, count);
    }
    chain.assert_each_once(&targets).await;
    engine.stop().await;
}

#[tokio::test]
async fn prices_are_bid_as_they_were_asked_for() {
    let world = World::new().await;
    let engine = world.engine().await;
    let (api, chain) = (engine.api(), world.chain());
    let to = fresh_address(0);
    let gwei = |n: u64| (n * 1_000_000_000).to_string();
    let legacy = json!({ "to": to, "value": "1", "gas_price": gwei(20) });
    let dynamic = json!({
        "to": to, "value": "1",
        "max_fee_per_gas": gwei(30), "max_priority_fee_per_gas": gwei(2),
    });

    let ids = api.send_all(&[legacy, dynamic, transfer(to)]).await;
    let confirmed = api.all_reach(&ids, "confirmed").await;

    let [legacy, dynamic, by_speed] = &confirmed[..] else {
        panic!("{confirmed:?}")
    };
    assert_eq!(legacy["gas_price"], json!(gwei(20)));
    assert_eq!(
        (&legacy["max_fee_per_gas"], &legacy["speed"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(dynamic["max_fee_per_gas"], json!(gwei(30)));
    assert_eq!(dynamic["max_priority_fee_per_gas"], json!(gwei(2)));
    assert!(by_speed["max_fee_per_gas"].is_string());
    for (transaction, kind) in [(legacy, "0x0"), (dynamic, "0x2"), (by_speed, "0x2")] {
        let found = chain
            .ask("eth_getTransactionByHash", json!([transaction["hash"]]))
            .await;
        assert_eq!(found["type"], kind);
    }
    assert_eq!(chain.balance(to).await, U256::from(3));
    engine.stop().await;
}

#[tokio::test]
async fn a_relayer_without_dynamic_fees_sends_legacy_transactions() {
    let setup = Setup::default().relayer("policies", json!({ "eip1559_pricing": false }));
    let world = setup.world().await;
    let engine = world.engine().await;
    let api = engine.api();

    let id = api.send(&transfer(fresh_address(0))).await;
    let confirmed = api.reaches(&id, "confirmed").await;

    assert!(confirmed["gas_price"].is_string());
    assert_eq!(confirmed["max_fee_per_gas"], Value::Null);
    let found = world
        .chain()
        .ask("eth_getTransactionByHash", json!([confirmed["hash"]]))
        .await;
    assert_eq!(found["type"], "0x0");
    engine.stop().await;
}

#[tokio::test]
async fn a_contract_is_created_and_its_address_told() {
    let world = World::new().await;
    let engine = world.engine().await;
    let api = engine.api();
    // Returns one byte of code: STOP.
    let body = json!({ "value": "0", "data": "0x60015ff3", "speed": "fast" });

    let id = api.send(&body).await;
    let confirmed = api.reaches(&id, "confirmed").await;

    let receipt = world
        .chain()
        .ask("eth_getTransactionReceipt", json!([confirmed["hash"]]))
        .await;
    assert_eq!(confirmed["to"], Value::Null);
    assert_eq!(confirmed["contract_address"], receipt["contractAddress"]);
    let chain = world.chain();
    let code = chain
        .ask(
            "eth_getCode",
            json!([confirmed["contract_address"], "latest"]),
        )
        .await;
    assert_eq!(code, "0x00");
    engine.stop().await;
}

#[tokio::test]
async fn what_happens_is_counted() {
    let world = World::new().await;
    let engine = world.engine().await;
    let api = engine.api();
    let contract = world.reverting().await;
    let ids = api
        .send_all(&[transfer(fresh_address(0)), transfer(fresh_address(1))])
        .await;
    api.all_reach(&ids, "confirmed").await;
    let id = api.send(&transfer(contract)).await;
    api.reaches(&id, "failed").await;

    let expected = [
        "transactions_submitted_total{relayer_id=\"main\",network_type=\"evm\"} 2",
        "transactions_success_total{relayer_id=\"main\",network_type=\"evm\"} 2",
        "transactions_failed_total{relayer_id=\"main\",network_type=\"evm\"} 1",
    ];
    let metrics = until("the metrics say so", async || {
        let metrics = api.get("/metrics").await.body;
        let metrics = metrics.as_str().unwrap().to_owned();
        expected
            .iter()
            .all(|line| metrics.contains(line))
            .then_some(metrics)
    })
    .await;
    assert_documented(&metrics);
    engine.stop().await;
}

fn assert_documented(metrics: &str) {
    let manual = include_str!("../../../../docs/operations.md");
    let is_documented = |name: &str| {
        ["`", "{", "_total`", "_total{"]
            .iter()
            .any(|end| manual.contains(&format!("`{name}{end}")))
    };
    let names = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let names: Vec<&str> = names.collect();
    assert!(names.len() > 12, "{names:?}");
    let missing: Vec<&&str> = names.iter().filter(|name| !is_documented(name)).collect();
    assert!(missing.is_empty(), "docs/operations.md lacks {missing:?}");
}

#[tokio::test]
async fn a_call_that_would_revert_fails_before_it_takes_a_nonce() {
    let world = World::new().await;
    let engine = world.engine().await;
    let (api, chain) = (engine.api(), world.chain());
    let contract = world.reverting().await;

    let id = api.send(&transfer(contract)).await;
    let failed = api.reaches(&id, "failed").await;

    let reason = failed["status_reason"].as_str().unwrap();
    assert!(
        reason.starts_with("execution reverted in gas estimation: "),
        "{reason}"
    );
    assert_eq!(
        (&failed["nonce"], &failed["hash"]),
        (&Value::Null, &Value::Null)
    );
    // The account is not used up by it: the next one takes the first nonce.
    let id = api.send(&transfer(fresh_address(0))).await;
    assert_eq!(api.reaches(&id, "confirmed").await["nonce"], 0);
    assert_eq!(chain.nonce(world.account(0)).await, 1);
    engine.stop().await;
}

#[tokio::test]
async fn a_call_that_reverts_on_chain_fails_when_it_is_final() {
    let world = World::new().await;
    let engine = world.engine().await;
    let api = engine.api();
    let contract = world.reverting().await;

    // With a gas limit nobody asks for an estimate.
    let mut body = plain_transfer(contract);
    body["gas_limit"] = json!(60_000);
    let id = api.send(&body).await;
    let failed = api.reaches(&id, "failed").await;

    assert_eq!(failed["nonce"], 0);
    assert!(failed["block_number"].is_u64());
    assert_eq!(failed["confirmed_at"], Value::Null);
    assert_eq!(world.chain().nonce(world.account(0)).await, 1);
    engine.stop().await;
}

#[tokio::test]
async fn a_price_below_the_base_fee_is_held_until_the_base_fee_falls() {
    let world = Setup::default().blocks_on_request().world().await;
    let engine = world.engine().await;
    let (api, chain) = (engine.api(), world.chain());
    let to = fresh_address(0);
    world.anvil.set_next_base_fee(50_000_000_000).await.unwrap();
    chain.mine(1).await;

    let id = api
        .send(&json!({ "to": to, "value": "1", "gas_price": 10_000_000_000_u64 }))
        .await;
    let held = api
        .reason(&id, "held: gas price 10000000000 wei is below the base fee")
        .await;
    assert_eq!(
        (&held["status"], &held["nonce"]),
        (&json!("pending"), &Value::Null)
    );
    // It does not keep others waiting.
    let other = api.send(&transfer(fresh_address(1))).await;
    api.reaches(&other, "submitted").await;
    chain.mine(1).await;
    assert_eq!(chain.balance(to).await, U256::ZERO);

    world.anvil.set_next_base_fee(1_000_000_000).await.unwrap();
    until("what was held is executed", async || {
        chain.mine(1).await;
        (chain.balance(to).await == U256::ONE).then_some(())
    })
    .await;
    chain.mine(3).await;
    let confirmed = api.reaches(&id, "confirmed").await;
    assert_eq!(confirmed["status_reason"], Value::Null);
    engine.stop().await;
}
