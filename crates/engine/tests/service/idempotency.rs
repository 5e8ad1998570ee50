//! One key, one transaction.

use std::collections::BTreeSet;
use std::time::Duration;

use baton_coord::{Batch, Key, Table};
use baton_edge::RequestLimits;
use baton_engine::service::{IdempotencyKey, ServiceError, ServiceOptions};
use baton_model::{LaneId, RelayerId};
use tokio::time::Instant;

use crate::support::lane::LaneHand;
use crate::support::store::Fault;
use crate::support::{TARGET, World, raw, transfer_body};

fn lane() -> LaneId {
    RelayerId::new("main").unwrap().lane()
}

fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::new(text.as_bytes()).unwrap()
}

fn other_body() -> String {
    transfer_body().replace(r#""value":"1""#, r#""value":"2""#)
}

#[tokio::test]
async fn of_concurrent_posts_with_one_key_one_is_accepted() {
    let world = World::new();
    let client = world.listen().await;
    let body = transfer_body();
    let headers = [("idempotency-key", "order-1")];
    let posts = (0..32).map(|_| client.send_with(&headers, &body));
    let answers = futures_util::future::join_all(posts).await;
    let ids: BTreeSet<String> = answers
        .iter()
        .map(|answer| answer.data()["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
    let bodies: BTreeSet<&str> = answers.iter().map(|answer| answer.body.as_str()).collect();
    assert_eq!(bodies.len(), 1, "the same answer, byte for byte");
    let first = answers
        .iter()
        .filter(|answer| answer.header("idempotent-replayed").is_none());
    assert_eq!(first.count(), 1);
    assert_eq!(world.store.count(&lane(), "r/").await, 1);
    assert_eq!(world.store.count(&lane(), "c/").await, 1);
}

#[tokio::test]
async fn of_concurrent_requests_with_one_key_and_two_bodies_one_body_wins() {
    let world = World::new();
    let (ones, twos) = (transfer_body(), other_body());
    let key = key("order-1");
    let sends = (0..32).map(|n| {
        let body = if n % 2 == 0 { &ones } else { &twos };
        world.service.send("main", raw(body), Some(&key))
    });
    let answers = futures_util::future::join_all(sends).await;
    let (accepted, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!((accepted.len(), refused.len()), (16, 16));
    let ids: BTreeSet<String> = accepted
        .into_iter()
        .map(|sent| sent.unwrap().transaction.id)
        .collect();
    assert_eq!(ids.len(), 1);
    for error in refused {
        assert!(
            matches!(error, Err(ServiceError::KeyReused { id }) if ids.contains(&id.to_string()))
        );
    }
    assert_eq!(world.store.count(&lane(), "r/").await, 1);
}

#[tokio::test]
async fn the_first_answer_is_repeated_whatever_became_of_the_transaction() {
    let world = World::new();
    let client = world.listen().await;
    let mut lane = LaneHand::take(&world, "main", true).await;
    let headers = [("idempotency-key", "order-1")];
    let first = client.send_with(&headers, &transfer_body()).await;
    assert_eq!(first.header("idempotent-replayed"), None);
    lane.take_in().await;
    lane.mine().await;
    let id = first.data()["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/relayers/main/transactions/{id}");
    assert_eq!(client.get(&path).await.data()["status"], "confirmed");

    world.clock.advance(Duration::from_secs(24 * 3600));
    let again = client.send_with(&headers, &transfer_body()).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.status, 200);
    assert_eq!(again.body, first.body);
}

#[tokio::test]
async fn a_repeated_request_is_not_held_against_the_time_of_the_repetition() {
    let world = World::new();
    let body = transfer_body().replace('{', r#"{"valid_until":"2023-11-14T22:14:00Z","#);
    let first = world
        .service
        .send("main", raw(&body), Some(&key("k")))
        .await
        .unwrap();
    world.clock.advance(Duration::from_secs(3600));
    let again = world
        .service
        .send("main", raw(&body), Some(&key("k")))
        .await
        .unwrap();
    assert!(again.replayed && !first.replayed);
    assert_eq!(again.transaction, first.transaction);
    let new = world
        .service
        .send("main", raw(&body), Some(&key("l")))
        .await;
    assert!(matches!(new, Err(ServiceError::Invalid(_))), "{new:?}");
}

#[tokio::test]
async fn another_body_under_the_same_key_is_a_conflict() {
    let world = World::new();
    let client = world.listen().await;
    let headers = [("idempotency-key", "order-1")];
    let first = client.send_with(&headers, &transfer_body()).await;
    let id = first.data()["id"].as_str().unwrap().to_owned();
    let other = client.send_with(&headers, &other_body()).await;
    assert_eq!(other.status, 409);
    assert_eq!(
        other.error(),
        format!(
            "Idempotency-Key was already used for transaction {id} with another body; use a new \
            key for another \
             transaction"
        )
    );
    // What the body says counts, not how it is written.
    let spaced = format!(
        "{{ \"speed\": \"fast\", \"gas_limit\": \"0x5208\", \"value\": 1,\n \"to\": \
        \"{TARGET}\", \"memo\": 1 }}"
    );
    let same = client.send_with(&headers, &spaced).await;
    assert_eq!(same.body, first.body);
    assert_eq!(world.store.count(&lane(), "r/").await, 1);
}

#[tokio::test]
async fn keys_belong_to_a_relayer() {
    let world = World::with(&[("main", |_| {}), ("other", |_| {})]);
    let body = transfer_body();
    let one = world
        .service
        .send("main", raw(&body), Some(&key("k")))
        .await
        .unwrap();
    let two = world
        .service
        .send("other", raw(&body), Some(&key("k")))
        .await
        .unwrap();
    assert!(!two.replayed);
    assert_ne!(one.transaction.id, two.transaction.id);
}

#[tokio::test]
async fn without_a_key_every_post_is_a_transaction() {
    let world = World::new();
    let (one, two) = (world.transfer().await, world.transfer().await);
    assert_ne!(one, two);
    assert_eq!(world.store.count(&lane(), "r/").await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_is_made_good() {
    let world = World::new();
    for named in [None, Some(key("k"))] {
        world.store.fail_commits([Fault::ReplyLost]);
        let before = world.store.count(&lane(), "r/").await;
        let body = transfer_body();
        let sent = world
            .service
            .send("main", raw(&body), named.as_ref())
            .await
            .unwrap();
        assert!(!sent.replayed);
        assert_eq!(world.store.count(&lane(), "r/").await, before + 1);
        let found = world
            .service
            .transaction("main", &sent.transaction.id)
            .await
            .unwrap();
        assert_eq!(found, sent.transaction);
    }
    // It is in the inbox once, too.
    let mut hand = LaneHand::take(&world, "main", true).await;
    hand.take_in().await;
    assert_eq!(hand.offers.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_lost_request_is_repeated() {
    let world = World::new();
    world
        .store
        .fail_commits([Fault::RequestLost, Fault::Refused, Fault::ReplyLost]);
    let sent = world
        .service
        .send("main", raw(&transfer_body()), None)
        .await
        .unwrap();
    assert!(
        world
            .service
            .transaction("main", &sent.transaction.id)
            .await
            .is_ok()
    );
    assert_eq!(world.store.count(&lane(), "r/").await, 1);
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_stays_unknown_is_said_to_be_unknown() {
    let world = World::new();
    world.store.fail_commits(
        [Fault::ReplyLost]
            .into_iter()
            .chain([Fault::RequestLost; 3]),
    );
    let error = world
        .service
        .send("main", raw(&transfer_body()), Some(&key("k")))
        .await
        .unwrap_err();
    let ServiceError::UnknownAccept { id, keyed: true } = error else {
        panic!("{error:?}");
    };
    assert_eq!(
        error.to_string(),
        format!(
            "whether the transaction was accepted is unknown; if it was, its id is {id}: repeat \
            the request with the same \
             Idempotency-Key"
        )
    );
    // Doing what it says gives the transaction that was accepted after all.
    let again = world
        .service
        .send("main", raw(&transfer_body()), Some(&key("k")))
        .await
        .unwrap();
    assert!(again.replayed);
    assert_eq!(again.transaction.id, id.to_string());
    assert_eq!(world.store.count(&lane(), "r/").await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_is_asked_again_and_the_first_commit_counts() {
    let world = World::new();
    world.store.fail_commits([Fault::AppliedHangs]);
    let before = Instant::now();
    let sent = world
        .service
        .send("main", raw(&transfer_body()), None)
        .await
        .unwrap();
    assert!(!sent.replayed);
    assert!(before.elapsed() >= ServiceOptions::default().commit_wait);
    assert_eq!(world.store.count(&lane(), "r/").await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_goes_on_hanging_is_said_to_be_unknown_before_the_request_times_out() {
    let world = World::new();
    world
        .store
        .fail_commits([Fault::AppliedHangs, Fault::LostHangs]);
    let before = Instant::now();
    let error = world
        .service
        .send("main", raw(&transfer_body()), None)
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(
        matches!(error, ServiceError::UnknownAccept { keyed: false, .. }),
        "{text}"
    );
    assert!(
        before.elapsed() < RequestLimits::default().timeout,
        "{text}"
    );
    assert_eq!(world.store.count(&lane(), "r/").await, 1);
}

#[tokio::test]
async fn a_store_that_takes_nothing_is_503_and_nothing_is_accepted() {
    let world = World::new();
    let client = world.listen().await;
    world.store.fail_commits([Fault::Refused]);
    let answer = client
        .send_with(&[("idempotency-key", "k")], &transfer_body())
        .await;
    assert_eq!(answer.status, 503);
    assert_eq!(
        answer.error(),
        "The store takes nothing now and nothing was changed; try again"
    );
    assert_eq!(world.store.count(&lane(), "").await, 0);
    let again = client
        .send_with(&[("idempotency-key", "k")], &transfer_body())
        .await;
    assert_eq!(again.header("idempotent-replayed"), None);
    assert_eq!(again.status, 200);
}

#[tokio::test]
async fn an_unknown_outcome_is_503_over_http() {
    let world = World::new();
    let client = world.listen().await;
    world.store.fail_commits([Fault::RequestLost; 4]);
    let answer = client.send(&transfer_body()).await;
    assert_eq!(answer.status, 503);
    assert!(
        answer
            .error()
            .contains("look it up before you send it again"),
        "{}",
        answer.body
    );
}

#[tokio::test]
async fn a_lane_that_cannot_be_woken_is_no_error() {
    let world = World::new();
    world.store.fail_publishes(true);
    let id = world.transfer().await;
    assert!(world.service.transaction("main", &id).await.is_ok());
}

#[tokio::test]
async fn a_key_whose_transaction_was_forgotten_is_free_again() {
    let world = World::new();
    let first = world
        .service
        .send("main", raw(&transfer_body()), Some(&key("k")))
        .await
        .unwrap();
    let id = &first.transaction.id;
    let created = format!("c/{:015}/{id}", 1_700_000_000_000_u64);
    let mut forget = Batch::new(lane());
    forget.deletes = vec![
        Key::from(format!("r/{id}")),
        Key::from(format!("i/{}", key("k").digest())),
        Key::from(created),
    ];
    world.store.commit(forget).await.unwrap();
    let second = world
        .service
        .send("main", raw(&other_body()), Some(&key("k")))
        .await
        .unwrap();
    assert!(!second.replayed);
    assert_ne!(second.transaction.id, first.transaction.id);
}
