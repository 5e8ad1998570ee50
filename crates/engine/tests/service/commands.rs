//! Cancel and replace.

use std::time::Duration;

use baton_coord::{Log, Position};
use baton_engine::service::{ServiceError, ServiceOptions};
use baton_model::RelayerId;

use crate::support::client::Client;
use crate::support::lane::LaneHand;
use crate::support::store::Fault;
use crate::support::{TARGET, World, raw, transfer_body};

const LIST: &str = "/api/v1/relayers/main/transactions";

fn one(id: &str) -> String {
    format!("{LIST}/{id}")
}

/// A world whose only transaction a node has, its API, and its lane.
async fn submitted() -> (World, Client, String, LaneHand) {
    let world = World::new();
    let client = world.listen().await;
    let id = world.transfer().await;
    let mut lane = LaneHand::take(&world, "main", true).await;
    lane.take_in().await;
    assert_eq!(client.get(&one(&id)).await.data()["status"], "submitted");
    (world, client, id, lane)
}

fn priced(max_fee: u128, tip: u128) -> String {
    let fees = format!(r#""max_fee_per_gas":"{max_fee}","max_priority_fee_per_gas":{tip}"#);
    format!(r#"{{"to":"{TARGET}","value":"5","gas_limit":30000,{fees}}}"#)
}

#[tokio::test]
async fn a_transaction_without_a_nonce_is_cancelled_at_once() {
    let world = World::new();
    let client = world.listen().await;
    let id = world.transfer().await;
    let running = LaneHand::take(&world, "main", false).await.run();
    let answer = client.delete(&one(&id)).await;
    assert_eq!(answer.header("baton-command"), None);
    let data = answer.data();
    assert_eq!(
        (&data["status"], &data["is_canceled"]),
        (&"canceled".into(), &true.into())
    );
    let null = serde_json::Value::Null;
    assert_eq!((&data["nonce"], &data["confirmed_at"]), (&null, &null));
    assert_eq!(data["finished_at"], "2023-11-14T22:13:20.000Z");
    running.abort();
    let again = client.delete(&one(&id)).await;
    assert_eq!(again.status, 400);
    assert_eq!(
        again.error(),
        format!(
            "only a pending, sent or submitted transaction can be cancelled; found {id} to be \
            canceled"
        )
    );
}

#[tokio::test]
async fn a_transaction_at_a_node_is_cancelled_by_another_under_its_nonce() {
    let (_world, client, id, lane) = submitted().await;
    let running = lane.run();
    let answer = client.delete(&one(&id)).await;
    assert_eq!(answer.header("baton-command"), None);
    let data = answer.data();
    assert_eq!(
        (&data["status"], &data["is_canceled"]),
        (&"submitted".into(), &true.into())
    );
    assert_eq!(data["nonce"], 7);
    // Cancelling again is no error; replacing is.
    assert_eq!(client.delete(&one(&id)).await.data()["is_canceled"], true);
    let replaced = client.put(&one(&id), &transfer_body()).await;
    assert_eq!(replaced.status, 400);
    assert_eq!(
        replaced.error(),
        format!("transaction {id} is being cancelled and cannot be replaced")
    );
    running.abort();
}

#[tokio::test]
async fn a_mined_transaction_can_be_neither_cancelled_nor_replaced() {
    let (_world, client, id, mut lane) = submitted().await;
    lane.mine_one().await;
    for (method, what, status) in [
        ("DELETE", "cancelled", "mined"),
        ("PUT", "replaced", "mined"),
        ("DELETE", "cancelled", "confirmed"),
        ("PUT", "replaced", "confirmed"),
    ] {
        if status == "confirmed" {
            lane.finalize().await;
        }
        let answer = client.call(method, &one(&id), &[], &transfer_body()).await;
        assert_eq!(answer.status, 400);
        assert_eq!(
            answer.error(),
            format!(
                "only a pending, sent or submitted transaction can be {what}; found {id} to be \
                {status}"
            )
        );
    }
}

#[tokio::test]
async fn a_transaction_that_was_mined_meanwhile_is_not_cancelled() {
    let (world, _client, id, mut lane) = submitted().await;
    let service = world.service.clone();
    let target = id.clone();
    let cancelling = tokio::spawn(async move { service.cancel("main", &target).await });
    let inbox = RelayerId::new("main").unwrap().lane();
    world
        .store
        .read(&inbox, Position(1), 1, Duration::from_secs(10))
        .await
        .unwrap();
    lane.mine_one().await;
    lane.take_in().await;
    match cancelling.await.unwrap() {
        Err(ServiceError::Invalid(text)) => assert_eq!(text, "the transaction is already mined"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_replacement_keeps_the_nonce() {
    let (_world, client, id, lane) = submitted().await;
    let running = lane.run();
    let answer = client
        .put(&one(&id), &priced(90_000_000_000, 1_000_000_000))
        .await;
    assert_eq!(answer.header("baton-command"), None);
    let data = answer.data();
    assert_eq!((&data["id"], &data["nonce"]), (&id.into(), &7.into()));
    assert_eq!(
        (&data["value"], &data["gas_limit"]),
        (&"0x5".into(), &30_000.into())
    );
    assert_eq!(data["max_fee_per_gas"], "90000000000");
    assert_eq!(data["max_priority_fee_per_gas"], "1000000000");
    assert_eq!(data["hashes"].as_array().unwrap().len(), 2);
    let attempts = data["attempts"].as_array().unwrap();
    let [first, second] = attempts.as_slice() else {
        panic!("{attempts:?}");
    };
    assert_eq!(second["hash"], data["hash"]);
    assert_eq!(second["max_fee_per_gas"], "90000000000");
    assert_eq!(
        (&first["nonce"], &first["is_noop"]),
        (&7.into(), &false.into())
    );
    assert_ne!(first["max_fee_per_gas"], second["max_fee_per_gas"]);
    assert!(first["created_at"].is_string(), "{first}");
    running.abort();
}

#[tokio::test]
async fn a_replacement_that_bids_too_little_is_refused_by_its_lane() {
    let (_world, client, id, lane) = submitted().await;
    let running = lane.run();
    let answer = client.put(&one(&id), &priced(1_000_000_001, 1)).await;
    assert_eq!(answer.status, 400);
    let error = answer.error();
    assert!(
        error.starts_with("Gas price increase does not meet minimum bump requirement"),
        "{error}"
    );
    let legacy =
        format!(r#"{{"to":"{TARGET}","value":"5","gas_limit":30000,"gas_price":"90000000000"}}"#);
    let answer = client.put(&one(&id), &legacy).await;
    assert_eq!(
        answer.error(),
        "Cannot replace EIP1559 transaction with legacy transaction"
    );
    assert_eq!(client.get(&one(&id)).await.data()["value"], "0x1");
    running.abort();
}

#[tokio::test]
async fn a_replacement_is_checked_like_a_new_transaction() {
    let world = World::with(&[("main", |relayer| relayer.policy.gas_price_cap = Some(1000))]);
    let client = world.listen().await;
    let id = world.transfer().await;
    let price =
        |fields: &str| format!(r#"{{"to":"{TARGET}","value":"5","gas_limit":30000,{fields}}}"#);
    for (body, error) in [
        (
            price(r#""gas_price":1001"#),
            "Gas price 1001 exceeds gas price cap 1000",
        ),
        (
            price(r#""max_fee_per_gas":1001,"max_priority_fee_per_gas":1"#),
            "Max fee per gas 1001 exceeds gas price cap 1000",
        ),
        (
            price(r#""max_fee_per_gas":1"#),
            "max_priority_fee_per_gas is required when max_fee_per_gas is given; found nothing",
        ),
        (
            format!(r#"{{"to":"{TARGET}","value":"5","gas_limit":3}}"#),
            "gas_limit must be at least 21000, which this transaction uses before anything is \
            executed; found 3",
        ),
        ("[]".to_owned(), "body must be a JSON object; found []"),
    ] {
        let answer = client.put(&one(&id), &body).await;
        assert_eq!((answer.status, answer.error().as_str()), (400, error));
    }
}

#[tokio::test]
async fn what_a_replacement_leaves_out_stays() {
    let world = World::new();
    let client = world.listen().await;
    let running = LaneHand::take(&world, "main", false).await.run();
    let body = |price: &str| {
        let time = r#""valid_until":"2023-11-15T00:00:00Z""#;
        format!(r#"{{"to":"{TARGET}","value":"5",{price}"gas_limit":30000,{time}}}"#)
    };
    for (price, speed) in [
        (r#""speed":"safeLow","#, "safeLow"),
        (r#""gas_price":7,"#, "fast"),
    ] {
        let id = world.send("main", &body(price)).await;
        let bare = format!(r#"{{"to":"{TARGET}","value":"6"}}"#);
        let data = client.put(&one(&id), &bare).await.data();
        assert_eq!(data["valid_until"], "2023-11-15T00:00:00.000Z");
        assert_eq!(
            (&data["speed"], &data["value"]),
            (&speed.into(), &"0x6".into())
        );
        assert_eq!(
            data["gas_limit"],
            serde_json::Value::Null,
            "it is estimated again"
        );
    }
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn a_command_that_nobody_carries_out_in_time_is_pending() {
    let world = World::new();
    let id = world.transfer().await;
    let commanded = world.service.cancel("main", &id).await.unwrap();
    assert!(commanded.pending);
    assert_eq!(
        (
            commanded.transaction.status,
            commanded.transaction.is_canceled
        ),
        ("pending", false)
    );
    let replaced = world
        .service
        .replace("main", &id, raw(&priced(9, 1)))
        .await
        .unwrap();
    assert!(replaced.pending);
    // Whoever takes the lane later finds both, in their order.
    LaneHand::take(&world, "main", true).await.take_in().await;
    let found = world.service.transaction("main", &id).await.unwrap();
    assert_eq!(
        (found.status, found.value.to_string().as_str()),
        ("canceled", "1")
    );
}

#[tokio::test]
async fn a_pending_command_is_said_to_be_pending() {
    let options = ServiceOptions {
        command_wait: Duration::from_millis(1),
        ..ServiceOptions::default()
    };
    let world = World::with_options(&[("main", |_| {})], options);
    let client = world.listen().await;
    let id = world.transfer().await;
    let answer = client.delete(&one(&id)).await;
    assert_eq!(answer.header("baton-command"), Some("pending"));
    assert_eq!(answer.data()["status"], "pending");
}

#[tokio::test(start_paused = true)]
async fn a_command_with_a_lost_reply_is_found_by_its_outcome() {
    let world = World::new();
    let running = LaneHand::take(&world, "main", false).await.run();
    let id = world.transfer().await;
    world.store.fail_commits([Fault::ReplyLost]);
    let commanded = world.service.cancel("main", &id).await.unwrap();
    assert_eq!(
        (commanded.transaction.status, commanded.pending),
        ("canceled", false)
    );

    let id = world.transfer().await;
    world.store.fail_commits([Fault::RequestLost]);
    let error = world.service.cancel("main", &id).await.unwrap_err();
    assert!(
        matches!(error, ServiceError::UnknownCommand { .. }),
        "{error:?}"
    );

    world.store.fail_commits([Fault::Refused]);
    let error = world.service.cancel("main", &id).await.unwrap_err();
    assert!(matches!(error, ServiceError::Unavailable(_)), "{error:?}");
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn a_lost_wake_up_only_costs_time() {
    let world = World::new();
    world.store.fail_publishes(true);
    let running = LaneHand::take(&world, "main", false).await.run();
    let id = world.transfer().await;
    let before = tokio::time::Instant::now();
    let commanded = world.service.cancel("main", &id).await.unwrap();
    assert_eq!(
        (commanded.transaction.status, commanded.pending),
        ("canceled", false)
    );
    assert!(
        before.elapsed() < Duration::from_secs(2),
        "{:?}",
        before.elapsed()
    );
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn two_cancels_at_once_are_both_answered() {
    let world = World::new();
    let id = world.transfer().await;
    let mut lane = LaneHand::take(&world, "main", true).await;
    lane.take_in().await;
    let cancels: Vec<_> = (0..2)
        .map(|_| {
            let (service, id) = (world.service.clone(), id.clone());
            tokio::spawn(async move { service.cancel("main", &id).await })
        })
        .collect();
    let inbox = RelayerId::new("main").unwrap().lane();
    let wait = Duration::from_secs(1);
    world
        .store
        .read(&inbox, Position(2), 1, wait)
        .await
        .unwrap();
    // The lane carries both out before either caller looks, and keeps the outcome of the last.
    lane.take_in().await;
    for cancel in cancels {
        let commanded = cancel.await.unwrap().unwrap();
        assert!(commanded.transaction.is_canceled && !commanded.pending);
    }
}

#[tokio::test]
async fn what_is_taken_in_while_all_is_cancelled_is_cancelled_once() {
    let world = World::new();
    let ids = [world.transfer().await, world.transfer().await];
    let mut lane = LaneHand::take(&world, "main", false).await;
    let gate = world.store.stop_next_scan();
    let service = world.service.clone();
    let cancelling = tokio::spawn(async move { service.cancel_pending("main").await });
    gate.reached().await;
    lane.take_in().await;
    gate.open();
    let answer = cancelling.await.unwrap().unwrap();
    assert_eq!(answer.queued_for_cancellation_transaction_ids, ids);
    assert_eq!(answer.total_processed, 2);
}

#[tokio::test]
async fn deleting_what_is_pending_really_cancels_it() {
    let world = World::new();
    let client = world.listen().await;
    let mut mined = vec![world.transfer().await];
    let mut hand = LaneHand::take(&world, "main", true).await;
    hand.take_in().await;
    hand.mine_one().await;
    let mut expected = Vec::new();
    for _ in 0..20 {
        expected.push(world.transfer().await);
    }
    hand.take_in().await;
    for _ in 0..5 {
        expected.push(world.transfer().await);
    }
    let data = client.delete(&format!("{LIST}/pending")).await.data();
    assert_eq!(
        data["queued_for_cancellation_transaction_ids"],
        serde_json::json!(expected)
    );
    assert_eq!(
        data["failed_to_queue_transaction_ids"],
        serde_json::json!([])
    );
    assert_eq!(data["total_processed"], 25);
    hand.take_in().await;
    hand.mine().await;
    hand.mine().await;
    for id in expected {
        let data = client.get(&one(&id)).await.data();
        assert_eq!(
            (&data["status"], &data["is_canceled"]),
            (&"canceled".into(), &true.into())
        );
    }
    let first = client.get(&one(&mined.remove(0))).await.data();
    assert_eq!(first["status"], "confirmed");
    let nothing = client.delete(&format!("{LIST}/pending")).await.data();
    assert_eq!(nothing["total_processed"], 0);
}

#[tokio::test]
async fn cancels_that_the_store_did_not_take_are_named() {
    let world = World::new();
    let client = world.listen().await;
    let id = world.transfer().await;
    world.store.fail_commits([Fault::Refused]);
    let data = client.delete(&format!("{LIST}/pending")).await.data();
    assert_eq!(
        data["failed_to_queue_transaction_ids"],
        serde_json::json!([id])
    );
    assert_eq!(
        data["queued_for_cancellation_transaction_ids"],
        serde_json::json!([])
    );
    world.store.fail_commits([Fault::ReplyLost]);
    let data = client.delete(&format!("{LIST}/pending")).await.data();
    assert_eq!(
        data["queued_for_cancellation_transaction_ids"],
        serde_json::json!([id])
    );
    LaneHand::take(&world, "main", true).await.take_in().await;
    assert_eq!(client.get(&one(&id)).await.data()["status"], "canceled");
}
