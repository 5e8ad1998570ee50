//! What became of webhooks, over the API. That they are delivered is the driver's to show.

use baton_coord::{Batch, Table};
use baton_model::{LaneId, RelayerId};
use serde_json::{Value, json};

use crate::support::World;

const DELIVERIES: &str = "/api/v1/relayers/main/deliveries";
const TRANSACTION: &str = "00000000-0000-4000-8000-00000000000a";

fn lane_id() -> LaneId {
    RelayerId::new("main").unwrap().lane()
}

fn event_id(number: u64) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

/// Leaves records behind, as the holder of the baton does.
async fn record(world: &World, number: u64, state: &str) {
    let record = json!({ "v": 1, "r": {
        "event": {
            "number": number, "id": event_id(number), "at": 1_700_000_000_000_u64,
            "what": { "status": [TRANSACTION, "mined"] },
            "payload": { "payload_type": "transaction", "status": "mined" }, "data_left": false,
        },
        "notification": "hook", "state": state, "attempts": 3, "tried_at": 1_700_000_060_000_u64,
        "status": 503, "detail": "out of order",
    } });
    let mut batch = Batch::new(lane_id());
    let key = format!("d/{number:020}");
    batch.puts.push((key.into(), record.to_string().into()));
    world.store.commit(batch).await.unwrap();
}

#[tokio::test]
async fn deliveries_are_listed_newest_first_and_shown_with_what_was_told() {
    let world = World::new();
    let client = world.listen().await;
    let states = ["delivered", "failed", "failed", "pending"];
    for (number, state) in (1..).zip(states) {
        record(&world, number, state).await;
    }
    let expected = json!({
        "id": event_id(3), "number": 3, "event": "transaction_update",
        "transaction_id": TRANSACTION, "transaction_status": "mined",
        "notification_id": "hook", "status": "failed", "attempts": 3,
        "created_at": "2023-11-14T22:13:20.000Z", "last_attempt_at": "2023-11-14T22:14:20.000Z",
        "response_status": 503, "detail": "out of order",
    });
    let list = client.get(DELIVERIES).await;
    assert_eq!(list.json()["pagination"]["total_items"], 4);
    assert_eq!(list.data()[1], expected);
    let numbers = |list: &Value| -> Vec<u64> {
        let all = list.as_array().unwrap().iter();
        all.map(|one| one["number"].as_u64().unwrap()).collect()
    };
    assert_eq!(numbers(&list.data()), [4, 3, 2, 1]);
    let failed = client
        .get(&format!("{DELIVERIES}?status=failed&per_page=1&page=2"))
        .await;
    assert_eq!(failed.json()["pagination"]["total_items"], 2);
    assert_eq!(numbers(&failed.data()), [2]);
    let single = client
        .get(&format!("{DELIVERIES}/{}", event_id(3)))
        .await
        .data();
    let payload = json!({ "payload_type": "transaction", "status": "mined" });
    assert_eq!(single["payload"], payload);
    assert_eq!(single["number"], 3);
}

#[tokio::test]
async fn what_is_asked_for_again_waits_for_the_holder_of_the_baton() {
    let world = World::new();
    let client = world.listen().await;
    for (number, state) in [
        (1, "delivered"),
        (2, "failed"),
        (3, "failed"),
        (4, "pending"),
    ] {
        record(&world, number, state).await;
    }
    let again = |number| format!("{DELIVERIES}/{}/redeliver", event_id(number));
    assert_eq!(
        client.post(&again(1), &json!(null)).await.data()["number"],
        1
    );
    let stored = world
        .store
        .get(&lane_id(), &"y/00000000000000000001".into())
        .await;
    assert!(stored.unwrap().is_some());
    let queued = client
        .post(&format!("{DELIVERIES}/redeliver"), &json!(null))
        .await;
    assert_eq!(queued.data(), json!({ "queued": 2 }));
    assert_eq!(world.store.count(&lane_id(), "y/").await, 3);
    let pending = client.post(&again(4), &json!(null)).await;
    assert_eq!(pending.status, 400);
    assert!(pending.error().contains("will be tried again anyway"));
}

#[tokio::test]
async fn what_is_not_there_is_said_not_to_be() {
    let world = World::new();
    let client = world.listen().await;
    record(&world, 1, "failed").await;
    for id in [event_id(9), "x".to_owned(), "1".to_owned()] {
        let answer = client.get(&format!("{DELIVERIES}/{id}")).await;
        assert_eq!(answer.status, 404);
        assert_eq!(answer.error(), format!("Delivery with ID {id} not found"));
    }
    let answer = client.get(&format!("{DELIVERIES}?status=lost")).await;
    assert_eq!(answer.status, 400);
    let rule = "status must be one of pending, delivered, failed; found \"lost\"";
    assert_eq!(answer.error(), rule);
    assert_eq!(
        client.get("/api/v1/relayers/none/deliveries").await.status,
        404
    );
}
