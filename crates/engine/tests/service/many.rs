//! Many transactions in one call.

use baton_model::{LaneId, RelayerId};
use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::lane::LaneHand;
use crate::support::store::Fault;
use crate::support::{TARGET, World};

const BATCH: &str = "/api/v1/relayers/main/transactions/batch";

fn transfer() -> Value {
    json!({ "to": TARGET, "value": "1", "speed": "fast", "gas_limit": 21000 })
}

fn keyed(key: &str) -> Value {
    let mut body = transfer();
    body["idempotency_key"] = json!(key);
    body
}

async fn send(client: &Client, transactions: &[Value]) -> Value {
    let body = json!({ "transactions": transactions });
    client.post(BATCH, &body).await.data()
}

fn lane_id() -> LaneId {
    RelayerId::new("main").unwrap().lane()
}

#[tokio::test]
async fn a_thousand_are_accepted_in_order_and_worked_off() {
    let world = World::new();
    let client = world.listen().await;
    let mut lane = LaneHand::take(&world, "main", true).await;
    let data = send(&client, &vec![transfer(); 1000]).await;
    assert_eq!(
        (&data["accepted"], &data["refused"]),
        (&json!(1000), &json!(0))
    );
    let results = data["results"].as_array().unwrap();
    assert!(
        results
            .iter()
            .all(|one| one["success"] == true && one["error"].is_null())
    );
    assert_eq!(world.store.count(&lane_id(), "r/").await, 1000);
    lane.take_in().await;
    let first = results[0]["data"]["id"].as_str().unwrap();
    let path = format!("/api/v1/relayers/main/transactions/{first}");
    assert_eq!(
        client.get(&path).await.data()["nonce"],
        7,
        "the first gets the first nonce"
    );
}

#[tokio::test]
async fn each_has_its_own_outcome() {
    let world = World::new();
    let client = world.listen().await;
    let mut dear = transfer();
    dear["speed"] = json!("warp");
    let data = send(
        &client,
        &[transfer(), dear, json!(7), keyed("a"), keyed("a")],
    )
    .await;
    assert_eq!(
        (&data["accepted"], &data["refused"]),
        (&json!(2), &json!(3))
    );
    let texts = [1, 2, 4].map(|index| data["results"][index]["error"].as_str().unwrap().to_owned());
    assert!(texts[0].starts_with("speed must be one of "), "{texts:?}");
    assert!(texts[1].contains("must be a JSON object"), "{texts:?}");
    assert!(
        texts[2].starts_with("idempotency_key must be given once"),
        "{texts:?}"
    );
    assert_eq!(data["results"][1]["data"], Value::Null);
    assert_eq!(world.store.count(&lane_id(), "r/").await, 2);
}

#[tokio::test]
async fn a_repeated_batch_is_accepted_once() {
    let world = World::new();
    let client = world.listen().await;
    let batch = [keyed("a"), keyed("b")];
    let first = send(&client, &batch).await;
    let mut other = keyed("b");
    other["value"] = json!("2");
    let again = send(&client, &[keyed("a"), other, keyed("c")]).await;
    assert_eq!(again["results"][0]["data"], first["results"][0]["data"]);
    assert_eq!(again["results"][0]["replayed"], true);
    let reused = again["results"][1]["error"].as_str().unwrap();
    assert!(
        reused.starts_with("Idempotency-Key was already used"),
        "{reused}"
    );
    assert_eq!(again["results"][2]["replayed"], false);
    assert_eq!(world.store.count(&lane_id(), "r/").await, 3);
    // A key of a batch is a key like any other.
    let single = client
        .send_with(&[("idempotency-key", "a")], &transfer().to_string())
        .await;
    assert_eq!(single.header("idempotent-replayed"), Some("true"));
}

#[tokio::test]
async fn two_batches_at_once_with_the_same_keys_accept_each_once() {
    let world = World::new();
    let client = world.listen().await;
    let batch: Vec<Value> = (0..50).map(|n| keyed(&format!("key-{n}"))).collect();
    let sends = (0..4).map(|_| send(&client, &batch));
    for data in futures_util::future::join_all(sends).await {
        assert_eq!(data["accepted"], 50, "{data}");
    }
    assert_eq!(world.store.count(&lane_id(), "r/").await, 50);
}

#[tokio::test]
async fn a_store_that_fails_says_what_is_known() {
    let world = World::new();
    let client = world.listen().await;
    world.store.fail_commits([Fault::ReplyLost]);
    assert_eq!(
        send(&client, &[transfer(), keyed("a")]).await["accepted"],
        2
    );
    assert_eq!(world.store.count(&lane_id(), "r/").await, 2, "applied once");
    world.store.fail_commits([Fault::Refused]);
    let data = send(&client, &[transfer(), keyed("b")]).await;
    assert_eq!(data["accepted"], 0);
    let text = data["results"][0]["error"].as_str().unwrap();
    assert!(text.contains("nothing was changed"), "{text}");
    assert_eq!(world.store.count(&lane_id(), "r/").await, 2);
}

#[tokio::test]
async fn what_is_no_batch_is_refused_as_a_whole() {
    let world = World::with(&[("main", |_| {}), ("idle", |relayer| relayer.paused = true)]);
    let client = world.listen().await;
    let many = vec![transfer(); 1001];
    for (body, rule) in [
        (json!({}), "transactions is required"),
        (
            json!({ "transactions": [] }),
            "transactions must have an entry",
        ),
        (json!({ "transactions": 1 }), "transactions must be a list"),
        (
            json!({ "transactions": many }),
            "transactions must have at most 1000 entries",
        ),
        (
            json!({ "transaction": [] }),
            "transaction is not a known field",
        ),
    ] {
        let refused = client.post(BATCH, &body).await;
        assert_eq!(refused.status, 400);
        assert!(refused.error().starts_with(rule), "{}", refused.body);
    }
    let body = json!({ "transactions": [transfer()] });
    let paused = client
        .post("/api/v1/relayers/idle/transactions/batch", &body)
        .await;
    assert_eq!(
        (paused.status, paused.error().as_str()),
        (403, "Relayer paused")
    );
    let headers = [("idempotency-key", "a")];
    let keyed = client
        .call("POST", BATCH, &headers, &body.to_string())
        .await;
    assert_eq!(keyed.status, 400, "a key for many would be a key for none");
    assert_eq!(world.store.count(&lane_id(), "r/").await, 0);
}
