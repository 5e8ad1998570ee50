//! Waiting for transactions, and streams of what happens to them.

use std::time::Duration;

use baton_coord::{Batch, Table};
use baton_engine::service::ServiceOptions;
use baton_model::RelayerId;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::support::client::Streamed;
use crate::support::lane::LaneHand;
use crate::support::{World, json, transfer_body};

const EVENTS: &str = "/api/v1/relayers/main/events";
const LIFE: [&str; 4] = ["sent", "submitted", "mined", "confirmed"];

fn path(id: &str, query: &str) -> String {
    format!("/api/v1/relayers/main/transactions/{id}{query}")
}

#[tokio::test]
async fn a_transaction_can_be_waited_for_when_it_is_sent_and_later() {
    let world = World::new();
    let client = world.listen().await;
    let mut lane = LaneHand::take(&world, "main", true).await;
    let many = "/api/v1/relayers/main/transactions?wait=submitted&timeout=20s";
    let body = transfer_body();
    let send = client.call("POST", many, &[], &body);
    let work = async {
        // Nothing is waited for here but that the request is in the inbox.
        while world.store.count(&lane_id(), "r/").await == 0 {
            tokio::task::yield_now().await;
        }
        lane.take_in().await;
    };
    let (sent, ()) = tokio::join!(send, work);
    assert_eq!(sent.data()["status"], "submitted");
    assert_eq!(sent.header("baton-wait"), None);
    let id = sent.data()["id"].as_str().unwrap().to_owned();
    let mined = path(&id, "?wait=mined&timeout=20s");
    let mined = client.get(&mined);
    let (mined, ()) = tokio::join!(mined, lane.mine_one());
    assert_eq!(mined.data()["status"], "mined");
    lane.finalize().await;
    // What is beyond is answered at once.
    let after = client.get(&path(&id, "?wait=sent&timeout=1ms")).await;
    assert_eq!(after.data()["status"], "confirmed");
    assert_eq!(after.header("baton-wait"), None);
}

fn lane_id() -> baton_model::LaneId {
    RelayerId::new("main").unwrap().lane()
}

#[tokio::test]
async fn waiting_ends_and_what_was_sent_stays_sent() {
    let world = World::new();
    let client = world.listen().await;
    let many = "/api/v1/relayers/main/transactions?wait=mined&timeout=50ms";
    let sent = client.call("POST", many, &[], &transfer_body()).await;
    assert_eq!(sent.data()["status"], "pending");
    assert_eq!(sent.header("baton-wait"), Some("timeout"));
    for (query, rule) in [
        ("?wait=pending", "wait must be one of "),
        (
            "?wait=mined&timeout=1h",
            "timeout must be a time from 1ms to 28000ms",
        ),
        ("?timeout=1s", "timeout needs wait"),
    ] {
        let path = format!("/api/v1/relayers/main/transactions{query}");
        let refused = client.call("POST", &path, &[], &transfer_body()).await;
        assert_eq!(refused.status, 400);
        assert!(refused.error().starts_with(rule), "{}", refused.body);
    }
    assert_eq!(
        world.store.count(&lane_id(), "r/").await,
        1,
        "refused is not sent"
    );
    let gone = "00000000-0000-4000-8000-000000000001";
    let answer = client.get(&path(gone, "?wait=mined&timeout=20s")).await;
    assert_eq!(
        answer.status, 404,
        "nothing is waited for that is not there"
    );
}

#[tokio::test]
async fn beyond_the_limit_nobody_waits() {
    let options = ServiceOptions {
        waiters_max: 0,
        ..ServiceOptions::default()
    };
    let world = World::with_options(&[("main", |_| {})], options);
    let client = world.listen().await;
    let many = "/api/v1/relayers/main/transactions?wait=mined&timeout=20s";
    let sent = client.call("POST", many, &[], &transfer_body()).await;
    assert_eq!(sent.data()["status"], "pending");
    assert_eq!(sent.header("baton-wait"), Some("busy"));
}

async fn told(stream: &mut Streamed, count: usize) -> Vec<(u64, Value)> {
    let mut told = Vec::new();
    for _ in 0..count {
        let fields = stream.next().await.unwrap();
        assert_eq!(fields["event"], "transaction_update");
        told.push((fields["id"].parse().unwrap(), json(&fields["data"])));
    }
    told
}

#[tokio::test]
async fn a_stream_tells_what_happens_and_goes_on_where_it_was_left() {
    let world = World::new();
    let client = world.listen().await;
    let mut lane = LaneHand::take(&world, "main", true).await;
    let first = world.transfer().await;
    lane.take_in().await;
    let mut stream = client.stream(EVENTS, &[]).await;
    assert_eq!(stream.headers["content-type"], "text/event-stream");
    lane.mine().await;
    let live = told(&mut stream, 2).await;
    let expected = json!({
        "number": 3, "relayer_id": "main", "transaction_id": first, "status": "mined",
        "timestamp": "2023-11-14T22:13:20.000Z",
    });
    assert_eq!(
        live[0],
        (3, expected),
        "from now on, not from the beginning"
    );
    assert_eq!(live[1].1["status"], "confirmed");
    drop(stream);
    let second = world.transfer().await;
    lane.take_in().await;
    for (path, headers) in [
        (EVENTS.to_owned(), vec![("last-event-id", "1")]),
        (format!("{EVENTS}?last_event_id=1"), vec![]),
    ] {
        let mut stream = client.stream(&path, &headers).await;
        let resumed = told(&mut stream, 5).await;
        let numbers: Vec<u64> = resumed.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [2, 3, 4, 5, 6]);
        assert_eq!(resumed[4].1["transaction_id"], second.as_str());
    }
    let only = format!("{EVENTS}?transaction_id={first}&last_event_id=0");
    let mut stream = client.stream(&only, &[]).await;
    let statuses: Vec<Value> = told(&mut stream, 4)
        .await
        .into_iter()
        .map(|(_, data)| data["status"].clone())
        .collect();
    assert_eq!(statuses, LIFE);
}

#[tokio::test]
async fn a_stream_says_when_it_cannot_tell_everything() {
    let world = World::new();
    let client = world.listen().await;
    let mut lane = LaneHand::take(&world, "main", true).await;
    for _ in 0..2 {
        world.transfer().await;
        lane.take_in().await;
        lane.mine().await;
    }
    // The oldest are forgotten.
    let mut batch = Batch::new(lane_id());
    batch.deletes = (1..=4_u64).map(|n| format!("e/{n:020}").into()).collect();
    world.store.commit(batch).await.unwrap();
    let mut stream = client.stream(EVENTS, &[("last-event-id", "2")]).await;
    let gap = stream.next().await.unwrap();
    assert_eq!((gap["event"].as_str(), gap.get("id")), ("gap", None));
    assert_eq!(json(&gap["data"]), json!({ "after": 2, "next": 5 }));
    assert_eq!(told(&mut stream, 1).await[0].0, 5);
    // A store that fell back has given out numbers that it no longer knows.
    let mut stream = client.stream(EVENTS, &[("last-event-id", "900")]).await;
    let gap = stream.next().await.unwrap();
    assert_eq!(json(&gap["data"]), json!({ "after": 900, "next": 9 }));
    world.transfer().await;
    lane.take_in().await;
    assert_eq!(told(&mut stream, 1).await[0].0, 9);
}

#[tokio::test]
async fn streams_end_with_the_process_and_have_limits() {
    let options = ServiceOptions {
        streams_max: 1,
        ..ServiceOptions::default()
    };
    let mut world = World::with_options(&[("main", |_| {})], options);
    let (stop, stopping) = watch::channel(false);
    let service = std::sync::Arc::into_inner(world.service).unwrap();
    world.service = std::sync::Arc::new(service.stopping(stopping));
    let client = world.listen().await;
    let mut stream = client.stream(EVENTS, &[]).await;
    let second = client.get(EVENTS).await;
    assert_eq!(second.status, 503, "{}", second.body);
    stop.send_replace(true);
    let end = tokio::time::timeout(Duration::from_secs(5), stream.next()).await;
    assert_eq!(end.expect("it ends"), None);
    for (path, status) in [
        (format!("{EVENTS}?last_event_id=x"), 400),
        (format!("{EVENTS}?transaction_id=none"), 404),
        ("/api/v1/relayers/none/events".to_owned(), 404),
    ] {
        assert_eq!(client.get(&path).await.status, status, "{path}");
    }
    let options = ServiceOptions {
        has_streams: false,
        ..ServiceOptions::default()
    };
    let world = World::with_options(&[("main", |_| {})], options);
    let client = world.listen().await;
    assert_eq!(client.get(EVENTS).await.status, 501);
}
