//! What would become of a transaction.

use baton_chain::{Market, RpcError};
use baton_model::{LaneId, RelayerId, U256};
use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::{TARGET, World};

const DRY_RUN: &str = "/api/v1/relayers/main/transactions/dry-run";
const ETHER: u128 = 1_000_000_000_000_000_000;
const GWEI: u128 = 1_000_000_000;

async fn world() -> (World, Client) {
    let world = World::new();
    world.chain.set(U256::from(ETHER), 7);
    world.chain.set_market(Market {
        base_fee: Some(10 * GWEI),
        tips: vec![1, 2, GWEI, 4],
        gas_price: 11 * GWEI,
    });
    let client = world.listen().await;
    (world, client)
}

fn body() -> Value {
    json!({ "to": TARGET, "value": "5", "data": "0x01", "speed": "fast" })
}

#[tokio::test]
async fn gas_and_fees_are_told_and_nothing_is_done() {
    let (world, client) = world().await;
    world.chain.answer(Ok("\"0xc350\""));
    let data = client.post(DRY_RUN, &body()).await.data();
    assert_eq!(data["would_succeed"], true, "{data}");
    assert_eq!(data["reason"], Value::Null);
    assert_eq!(
        (&data["gas_estimate"], &data["gas_limit"]),
        (&json!(50_000), &json!(55_000))
    );
    assert_eq!(data["base_fee"], (10 * GWEI).to_string());
    assert_eq!(data["max_priority_fee_per_gas"], GWEI.to_string());
    let max_fee: u128 = data["max_fee_per_gas"].as_str().unwrap().parse().unwrap();
    assert!(max_fee > 11 * GWEI, "{max_fee}");
    assert_eq!(data["fee_expected"], (50_000 * 11 * GWEI).to_string());
    assert_eq!(data["fee_max"], (55_000 * max_fee).to_string());
    assert_eq!(data["cost_max"], (55_000 * max_fee + 5).to_string());
    assert_eq!(data["balance"], ETHER.to_string());
    let asked = world.chain.passed();
    assert!(asked[0].starts_with("eth_estimateGas [{"), "{asked:?}");
    assert!(asked[0].contains(r#""data":"0x01""#), "{asked:?}");
    let lane: LaneId = RelayerId::new("main").unwrap().lane();
    assert_eq!(world.store.count(&lane, "").await, 0);
}

#[tokio::test]
async fn what_would_fail_is_told_with_its_reason() {
    let (world, client) = world().await;
    world.chain.answer(Err(RpcError::Answered {
        code: 3,
        message: "execution reverted: not yours".to_owned(),
        data: Some("\"0x08c379a0\"".to_owned()),
    }));
    let data = client.post(DRY_RUN, &body()).await.data();
    assert_eq!(data["would_succeed"], false);
    assert_eq!(data["reason"], "execution reverted: not yours");
    assert_eq!(data["revert_data"], "0x08c379a0");
    assert_eq!(data["gas_limit"], Value::Null);
    for (change, reason) in [
        (
            json!({ "gas_limit": 40_000 }),
            "gas_limit 40000 is below the 50000 that it needs",
        ),
        (
            json!({ "speed": null, "gas_price": 1 }),
            "held: gas price 1 wei is below",
        ),
        (
            json!({ "value": (2 * ETHER).to_string() }),
            "the balance of ",
        ),
    ] {
        world.chain.answer(Ok("\"0xc350\""));
        let mut body = body();
        for (name, value) in change.as_object().unwrap() {
            body[name] = value.clone();
        }
        let data = client.post(DRY_RUN, &body).await.data();
        assert_eq!(data["would_succeed"], false, "{data}");
        let found = data["reason"].as_str().unwrap();
        assert!(found.starts_with(reason), "{found}");
    }
}

#[tokio::test]
async fn what_cannot_be_told_is_an_error() {
    let (world, client) = world().await;
    let refused = client.post(DRY_RUN, &json!({ "to": TARGET })).await;
    assert_eq!(refused.status, 400, "as if it were sent");
    let silent = client.post(DRY_RUN, &body()).await;
    assert_eq!(silent.status, 502);
    assert!(!silent.body.contains("node.example"), "{}", silent.body);
    world.chain.answer(Ok("\"gas\""));
    assert_eq!(client.post(DRY_RUN, &body()).await.status, 502);
}
