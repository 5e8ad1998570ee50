//! Relayers, their state, and probes.

use baton_coord::{Batch, Table};
use baton_edge::Component;
use baton_lanes::Alarm;
use baton_lanes::record::{SummaryRecord, encode, key};
use baton_model::{Address, RelayerId, Timestamp, U256};
use serde_json::{Value, json};

use crate::support::lane::LaneHand;
use crate::support::{World, json as parse};

const FIRST: Address = Address::repeat_byte(0x11);
const SECOND: Address = Address::repeat_byte(0x22);

async fn set_summary(world: &World, relayer: &str, summary: &SummaryRecord) {
    let mut batch = Batch::new(RelayerId::new(relayer).unwrap().lane());
    batch
        .puts
        .push((key::SUMMARY.into(), encode(summary).into()));
    world.store.commit(batch).await.unwrap();
}

#[tokio::test]
async fn a_relayer_is_shown_as_configured() {
    let world = World::with(&[
        ("main", |_| {}),
        ("full", |relayer| {
            relayer.paused = true;
            relayer.policy_given = true;
            relayer.policy.gas_price_cap = Some(u128::MAX);
            relayer.policy.whitelist_receivers = Some(vec![Address::repeat_byte(0xbb)]);
            relayer.policy.eip1559_pricing = Some(false);
            relayer.notification_id = Some("hook".to_owned());
            relayer.custom_rpc_urls = vec![("https://node.example".to_owned(), 80)];
        }),
    ]);
    let client = world.listen().await;
    let account = format!("{FIRST:#x}");
    let main = json!({
        "id": "main", "name": "Relayer main", "network": "localhost", "network_type": "evm",
        "paused": false, "signer_id": "local", "address": account, "system_disabled": false,
        "accounts": [account], "signer_ids": ["local"],
    });
    assert_eq!(client.get("/api/v1/relayers/main").await.data(), main);
    let full = client.get("/api/v1/relayers/full").await;
    // A number of this size is exact in the text, whatever a JSON library makes of it.
    assert!(
        full.body
            .contains(&format!("\"gas_price_cap\":{}", u128::MAX)),
        "{}",
        full.body
    );
    let mut data = full.data();
    data["policies"]["gas_price_cap"] = Value::Null;
    assert_eq!(
        data,
        json!({
            "id": "full", "name": "Relayer full", "network": "localhost", "network_type": "evm",
            "paused": true, "signer_id": "local", "address": account, "system_disabled": false,
            "accounts": [account], "signer_ids": ["local"],
            "policies": {
                "min_balance": 1, "gas_limit_estimation": true, "gas_price_cap": null,
                "whitelist_receivers": ["0xbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"],
                "eip1559_pricing": false, "include_revert_data": false,
            },
            "exact_policies": { "min_balance": "1", "gas_price_cap": u128::MAX.to_string() },
            "notification_id": "hook",
            "custom_rpc_urls": [{"url": "https://node.example/***", "weight": 80}],
        })
    );
    for path in ["/api/v1/relayers", "/api/v1/relayers/"] {
        let list = client.get(path).await;
        assert_eq!(list.data().as_array().unwrap().len(), 2);
        assert_eq!(list.data()[0], main);
    }
    let second = client.get("/api/v1/relayers?page=2&per_page=1").await;
    assert_eq!(second.data()[0]["id"], "full");
    assert_eq!(
        second.json()["pagination"],
        json!({"current_page": 2, "per_page": 1, "total_items": 2})
    );
    assert_eq!(
        client.get("/api/v1/relayers?page=9").await.data(),
        json!([])
    );
}

#[tokio::test]
async fn status_and_balance_come_from_the_chain_and_the_lane() {
    let world = World::new();
    let client = world.listen().await;
    let balance = U256::from(u128::MAX);
    world.chain.set(balance, 41);
    let account = format!("{FIRST:#x}");
    let expected = json!({
        "network_type": "evm", "balance": balance.to_string(), "pending_transactions_count": 0,
        "last_confirmed_transaction_timestamp": null, "system_disabled": false, "paused": false,
        "nonce": "41", "alarms": [],
        "accounts": [{
            "address": account, "balance": balance.to_string(), "nonce": 41, "next_nonce": null,
        }],
    });
    assert_eq!(
        client.get("/api/v1/relayers/main/status").await.data(),
        expected
    );
    let answer = client.get("/api/v1/relayers/main/balance").await;
    assert_eq!(
        answer.body,
        format!(
            r#"{{"success":true,"data":{{"balance":{max},"unit":"wei","balance_string":"{max}"}},"error":null}}"#,
            max = u128::MAX
        )
    );

    let mut lane = LaneHand::take(&world, "main", true).await;
    for _ in 0..18 {
        world.transfer().await;
    }
    lane.take_in().await;
    world.transfer().await;
    let data = client.get("/api/v1/relayers/main/status").await.data();
    assert_eq!(
        data["pending_transactions_count"], 19,
        "submitted, pending, and not taken in yet"
    );
    assert_eq!(data["accounts"][0]["next_nonce"], 23);
    lane.mine().await;
    let data = client.get("/api/v1/relayers/main/status").await.data();
    assert_eq!(
        data["last_confirmed_transaction_timestamp"],
        "2023-11-14T22:13:20.000Z"
    );
    assert_eq!(data["pending_transactions_count"], 3);
}

#[tokio::test]
async fn a_pool_shows_the_sum_of_its_accounts() {
    let world = World::with(&[("main", |relayer| relayer.accounts = vec![FIRST, SECOND])]);
    let client = world.listen().await;
    world.chain.set(U256::from(20_u64), 3);
    let data = client.get("/api/v1/relayers/main/status").await.data();
    assert_eq!(
        (&data["balance"], &data["nonce"]),
        (&"40".into(), &"3".into())
    );
    assert_eq!(data["accounts"][1]["nonce"], 4);
    assert_eq!(
        client.get("/api/v1/relayers/main/balance").await.data()["balance"],
        40
    );
}

#[tokio::test]
async fn nodes_that_do_not_answer_are_502_and_their_names_stay_inside() {
    let world = World::new();
    let client = world.listen().await;
    world.chain.go_down();
    for path in ["status", "balance"] {
        let answer = client.get(&format!("/api/v1/relayers/main/{path}")).await;
        assert_eq!(answer.status, 502);
        assert_eq!(answer.error(), "no node of network localhost answered");
    }
    assert_eq!(client.get("/api/v1/relayers/main").await.status, 200);
}

#[tokio::test]
async fn a_relayer_is_disabled_when_none_of_its_accounts_can_work() {
    let world = World::with(&[("main", |relayer| relayer.accounts = vec![FIRST, SECOND])]);
    let client = world.listen().await;
    let foreign = Alarm::ForeignNonce {
        account: FIRST,
        nonce: 9,
    }
    .to_string();
    let behind = Alarm::ChainBehind {
        account: SECOND,
        chain: 1,
        settled: 2,
    }
    .to_string();
    let poor = Alarm::LowBalance { account: SECOND }.to_string();
    let signer = Alarm::SignerFailing { account: SECOND }.to_string();
    let nonce = |text: &str| json!({"type": "NonceSyncFailed", "details": text});
    let funds = |text: &str| json!({"type": "BalanceCheckFailed", "details": text});
    for (alarms, reason) in [
        (vec![], Value::Null),
        (vec![&foreign], Value::Null),
        (vec![&foreign, &signer], Value::Null),
        (
            vec![&foreign, &poor],
            json!({"type": "Multiple", "details": [nonce(&foreign), funds(&poor)]}),
        ),
        (
            vec![&behind, &foreign],
            json!({"type": "Multiple", "details": [nonce(&foreign), nonce(&behind)]}),
        ),
    ] {
        let summary = SummaryRecord {
            alarms: alarms.iter().map(ToString::to_string).collect(),
            last_confirmed_at: Some(Timestamp::from_millis(5)),
            ..SummaryRecord::default()
        };
        set_summary(&world, "main", &summary).await;
        let data = client.get("/api/v1/relayers/main").await.data();
        assert_eq!(data["system_disabled"], !reason.is_null());
        assert_eq!(data.get("disabled_reason").unwrap_or(&Value::Null), &reason);
        let status = client.get("/api/v1/relayers/main/status").await.data();
        assert_eq!(status["system_disabled"], !reason.is_null());
        assert_eq!(status["alarms"], json!(alarms));
    }
    // Its work is held, not refused: it goes on by itself once somebody has acted.
    assert!(!world.transfer().await.is_empty());
}

#[tokio::test]
async fn one_account_has_one_reason() {
    let world = World::new();
    let client = world.listen().await;
    let poor = Alarm::LowBalance { account: FIRST }.to_string();
    let summary = SummaryRecord {
        alarms: vec![poor.clone()],
        ..SummaryRecord::default()
    };
    set_summary(&world, "main", &summary).await;
    let data = client.get("/api/v1/relayers/main").await.data();
    assert_eq!(
        data["disabled_reason"],
        json!({"type": "BalanceCheckFailed", "details": poor})
    );
}

#[tokio::test]
async fn probes_and_metrics() {
    let world = World::new();
    let client = world.listen().await;
    let health = client.get("/api/v1/health").await;
    assert_eq!((health.status, health.body.as_str()), (200, "OK"));
    world
        .readiness
        .set("lanes", Component::unhealthy("main has no holder"));
    let ready = client.get("/api/v1/ready").await;
    assert_eq!(ready.status, 503);
    let report = parse(&ready.body);
    assert_eq!(
        (&report["ready"], &report["status"]),
        (&false.into(), &"unhealthy".into())
    );
    assert_eq!(
        report["components"]["lanes"]["reason"],
        "main has no holder"
    );
    world.readiness.set("lanes", Component::healthy());
    assert_eq!(client.get("/api/v1/ready/").await.status, 200);
    let metrics = client.get("/api/v1/metrics").await;
    assert_eq!((metrics.status, metrics.body.as_str()), (200, "# EOF\n"));
    let scraped = client.get("/api/v1/debug/metrics/scrape").await;
    assert_eq!(scraped.body, metrics.body);
    let missing = client.get("/api/v1/metrics/nothing").await;
    assert_eq!(
        (missing.status, missing.error().as_str()),
        (404, "Metric nothing not found")
    );
}
