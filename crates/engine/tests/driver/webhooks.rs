//! Webhooks: told once they are durable, through crashes, dead receivers and stores that fail.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use baton_coord::Scan;
use baton_edge::Page;
use baton_engine::service::{Ids, Service, ServiceOptions};
use baton_model::{RequestId, TxStatus, U256};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::support::logs::Logs;
use crate::support::receiver::{Got, Manner, Receiver, SIGNING_KEY};
use crate::support::store::CommitFault;
use crate::support::{World, until};

const BLOCK: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
/// What is told of a transaction that goes well.
const LIFE: [&str; 4] = ["sent", "submitted", "mined", "confirmed"];

/// A world whose relayer has a notification, and who is notified.
fn world() -> (World, Arc<Receiver>) {
    let receiver = Receiver::new();
    let mut world = World::with(2, 16);
    world.hooks = Some(receiver.hooks(&[]));
    (world, receiver)
}

fn service(world: &World) -> Service {
    let ids: Ids = Arc::new(|| Uuid::from_u128(77));
    Service::fixed(
        Arc::clone(&world.inner),
        vec![world.relayer.clone()],
        Arc::clone(&world.clock),
        ids,
        ServiceOptions::default(),
    )
}

async fn until_heard(receiver: &Receiver, ids: &[RequestId]) {
    let deadline = Instant::now() + HOUR;
    loop {
        let heard = receiver.heard();
        let is_whole = |id: &RequestId| heard.get(&id.to_string()).is_some_and(|h| h == &LIFE);
        if ids.iter().all(is_whole) {
            return;
        }
        assert!(Instant::now() < deadline, "heard {heard:?}");
        sleep(Duration::from_millis(500)).await;
    }
}

async fn keys(world: &World, prefix: &'static str) -> usize {
    let scan = Scan::prefix(prefix, 4096);
    let found = world.inner.scan(&world.lane(), &scan).await.unwrap();
    found.len()
}

async fn until_empty(world: &World, prefix: &'static str) {
    let deadline = Instant::now() + HOUR;
    while keys(world, prefix).await > 0 {
        assert!(Instant::now() < deadline, "{prefix} is not empty");
        sleep(Duration::from_millis(50)).await;
    }
}

async fn deliveries(world: &World, status: &str) -> Vec<Value> {
    let page = Page::parse("per_page=1000").unwrap();
    let found = service(world).deliveries("main", Some(status), page).await;
    let views = found.unwrap().0;
    views
        .iter()
        .map(|view| serde_json::to_value(view).unwrap())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn every_status_is_told_once_and_in_order() {
    let _logs = Logs::watch();
    let (world, receiver) = world();
    let process = world.start("first");
    let _mining = world.mine_every(BLOCK);
    let ids = world.accept(30).await;
    until_heard(&receiver, &ids).await;
    until_empty(&world, "q/").await;
    let got = receiver.got();
    assert_eq!(got.len(), ids.len() * LIFE.len(), "each came once");
    let events: BTreeSet<&str> = got
        .iter()
        .filter_map(|got| got.body["id"].as_str())
        .collect();
    assert_eq!(events.len(), got.len(), "each event has an id of its own");
    let first = &got[0].body;
    assert_eq!(first["event"], "transaction_update");
    assert_eq!(first["payload"]["payload_type"], "transaction");
    assert_eq!(first["payload"]["relayer_id"], "main");
    let fields: Vec<&String> = first.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["event", "id", "payload", "timestamp"]);
    let mined = got
        .iter()
        .find(|got| got.body["payload"]["status"] == "mined");
    let payload = &mined.unwrap().body["payload"];
    assert!(payload["block_number"].is_u64(), "{payload}");
    assert_eq!(
        payload["finished_at"],
        Value::Null,
        "as it stood when it was mined"
    );
    assert_eq!(deliveries(&world, "delivered").await.len(), got.len());
    got.iter().for_each(assert_signed);
    process.shut_down().await;
}

/// As the documentation tells receivers to check it.
fn assert_signed(got: &Got) {
    let mac = |parts: &[&[u8]]| {
        let mut mac = Hmac::<Sha256>::new_from_slice(SIGNING_KEY.as_bytes()).unwrap();
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes()
    };
    assert_eq!(
        got.headers["X-Signature"],
        STANDARD.encode(mac(&[&got.text]))
    );
    let (time, signature) = got.headers["Baton-Signature"].split_once(",v1=").unwrap();
    let time = time.strip_prefix("t=").unwrap();
    let expected = mac(&[time.as_bytes(), b".", &got.text]);
    assert_eq!(signature, alloy_primitives::hex::encode(expected));
    assert_eq!(got.headers["Baton-Event-Id"], got.body["id"]);
}

/// Whenever a process dies, its successor tells what was not told; what was may come again under the same id.
#[tokio::test(start_paused = true)]
async fn a_crash_at_any_moment_leaves_nothing_untold_and_invents_nothing() {
    let _logs = Logs::watch();
    for seed in 0..8_u64 {
        let (world, receiver) = world();
        let _mining = world.mine_every(BLOCK);
        let mut ids = Vec::new();
        for life in 0..4_u64 {
            ids.extend(world.accept(10).await);
            let process = world.start(&format!("process {life}"));
            process.until_running().await;
            sleep(Duration::from_millis((seed * 7919 + life * 104_729) % 3000)).await;
            process.kill().await;
        }
        let process = world.start("last");
        until_heard(&receiver, &ids).await;
        until_empty(&world, "q/").await;
        let mut named: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
        for got in receiver.got() {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let payload = &got.body["payload"];
            let what = (text(&payload["id"]), text(&payload["status"]));
            named.entry(what).or_default().insert(text(&got.body["id"]));
        }
        assert_eq!(named.len(), ids.len() * LIFE.len());
        for (what, names) in named {
            assert_eq!(
                names.len(),
                1,
                "seed {seed}: {what:?} has the ids {names:?}"
            );
        }
        process.shut_down().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_is_back_after_hours_gets_everything_and_was_not_flooded() {
    let _logs = Logs::watch();
    let (world, receiver) = world();
    receiver.answer(|_| Manner::Silence);
    let process = world.start("first");
    let mining = world.mine_every(BLOCK);
    let ids = world.accept(50).await;
    world.until_all(&ids, TxStatus::Confirmed).await;
    drop(mining);
    sleep(3 * HOUR).await;
    let tries = receiver.got().len();
    assert!((10..60).contains(&tries), "{tries} attempts in three hours");
    assert!(receiver.taken().is_empty());
    let pending = deliveries(&world, "pending").await;
    assert!(
        !pending.is_empty() && pending[0]["detail"] == "nobody answers",
        "{pending:?}"
    );
    receiver.answer(|_| Manner::Status(200));
    until_heard(&receiver, &ids).await;
    until_empty(&world, "q/").await;
    assert!(deliveries(&world, "pending").await.is_empty());
    process.shut_down().await;
}

/// An event that is refused holds only its own transaction, is given up after an hour, and can be asked for again.
#[tokio::test(start_paused = true)]
async fn a_refused_event_holds_nobody_else_and_is_kept() {
    let _logs = Logs::watch();
    let (world, receiver) = world();
    let ids = world.accept(20).await;
    let bad = ids[7].to_string();
    let refused = bad.clone();
    receiver.answer(move |body| {
        let payload = &body["payload"];
        let is_bad = payload["id"] == refused.as_str() && payload["status"] == "sent";
        Manner::Status(if is_bad { 400 } else { 200 })
    });
    let process = world.start("first");
    let mining = world.mine_every(BLOCK);
    let others: Vec<RequestId> = ids
        .iter()
        .copied()
        .filter(|id| id.to_string() != bad)
        .collect();
    until_heard(&receiver, &others).await;
    drop(mining);
    assert!(
        !receiver.heard().contains_key(&bad),
        "its events keep their order"
    );
    sleep(2 * HOUR).await;
    assert_eq!(receiver.heard()[&bad], LIFE[1..]);
    let failed = deliveries(&world, "failed").await;
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(failed[0]["transaction_id"], bad.as_str());
    assert_eq!(failed[0]["response_status"], 400);
    assert_eq!(failed[0]["detail"], "an answer");
    let attempts = failed[0]["attempts"].as_u64().unwrap();
    assert!((5..20).contains(&attempts), "{attempts}");
    receiver.answer(|_| Manner::Status(200));
    let id = failed[0]["id"].as_str().unwrap();
    service(&world).redeliver("main", id).await.unwrap();
    let came = || receiver.taken().iter().any(|got| got.body["id"] == id);
    until(|| "it does not come again".to_owned(), came).await;
    until_empty(&world, "y/").await;
    assert!(deliveries(&world, "failed").await.is_empty());
    let last = receiver.taken().pop().unwrap();
    assert_eq!(last.headers["Baton-Attempt"], (attempts + 1).to_string());
    process.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn after_a_day_an_event_is_given_up_and_all_that_failed_can_be_asked_for_at_once() {
    let _logs = Logs::watch();
    let (world, receiver) = world();
    receiver.answer(|_| Manner::Status(503));
    let process = world.start("first");
    let mining = world.mine_every(BLOCK);
    let ids = world.accept(1).await;
    world.until_all(&ids, TxStatus::Confirmed).await;
    drop(mining);
    sleep(30 * HOUR).await;
    until_empty(&world, "q/").await;
    assert_eq!(deliveries(&world, "failed").await.len(), LIFE.len());
    receiver.answer(|_| Manner::Status(200));
    let queued = service(&world)
        .redeliver_failed("main")
        .await
        .unwrap()
        .queued;
    assert_eq!(queued, LIFE.len());
    until_empty(&world, "y/").await;
    assert_eq!(receiver.taken().len(), LIFE.len());
    assert!(deliveries(&world, "failed").await.is_empty());
    process.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn stores_that_fail_delay_and_repeat_but_lose_nothing() {
    let _logs = Logs::watch();
    for fault in [
        CommitFault::LoseReply,
        CommitFault::Unavailable,
        CommitFault::Hang,
    ] {
        let (world, receiver) = world();
        let process = world.start("first");
        let _mining = world.mine_every(BLOCK);
        process.until_running().await;
        let mut ids = Vec::new();
        for _ in 0..6 {
            ids.extend(world.accept(3).await);
            process.store.fail_commits(fault, 1);
            sleep(Duration::from_millis(700)).await;
        }
        until_heard(&receiver, &ids).await;
        until_empty(&world, "q/").await;
        process.shut_down().await;
    }
}

#[tokio::test(start_paused = true)]
async fn only_what_is_asked_for_is_told() {
    let _logs = Logs::watch();
    let receiver = Receiver::new();
    let mut world = World::new();
    world.hooks = Some(receiver.hooks(&["confirmed", "relayer_disabled"]));
    let process = world.start("first");
    let _mining = world.mine_every(BLOCK);
    let ids = world.accept(5).await;
    world.until_all(&ids, TxStatus::Confirmed).await;
    until_empty(&world, "q/").await;
    let heard = receiver.heard();
    assert_eq!(heard.len(), 5);
    assert!(
        heard.values().all(|statuses| statuses == &["confirmed"]),
        "{heard:?}"
    );
    process.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_relayer_that_cannot_work_is_told_of_and_so_is_its_return() {
    let _logs = Logs::watch();
    let receiver = Receiver::new();
    let mut world = World::new();
    world.hooks = Some(receiver.hooks(&["relayer_state_update"]));
    world.chain.set_balance(U256::ZERO);
    let process = world.start("first");
    let _mining = world.mine_every(BLOCK);
    world.accept(1).await;
    until(
        || "nothing is told".to_owned(),
        || !receiver.got().is_empty(),
    )
    .await;
    world.chain.set_balance(U256::from(u128::MAX));
    until(|| "nothing is told".to_owned(), || receiver.got().len() > 1).await;
    let got = receiver.got();
    let [disabled, enabled] = [&got[0].body, &got[1].body];
    assert_eq!(disabled["event"], "relayer_state_update");
    assert_eq!(disabled["payload"]["payload_type"], "relayer_disabled");
    let reason = disabled["payload"]["disable_reason"].as_str().unwrap();
    assert!(reason.starts_with("low_balance"), "{reason}");
    assert_eq!(disabled["payload"]["relayer"]["system_disabled"], true);
    assert_eq!(enabled["payload"]["payload_type"], "relayer_enabled");
    assert_eq!(enabled["payload"]["relayer"]["id"], "main");
    assert_eq!(enabled["payload"]["retry_count"], 0);
    process.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn long_data_is_told_whole() {
    let _logs = Logs::watch();
    let (world, receiver) = world();
    let process = world.start("first");
    let _mining = world.mine_every(BLOCK);
    let ids = world.accept_calls(3, 20_000).await;
    until_heard(&receiver, &ids).await;
    let expected = format!("0x{}", "07".repeat(20_000));
    for got in receiver.got() {
        assert_eq!(got.body["payload"]["data"], expected.as_str());
    }
    let stored = Scan::prefix("d/", 100);
    let stored = world.inner.scan(&world.lane(), &stored).await.unwrap();
    assert!(
        stored.iter().all(|entry| entry.value.len() < 4096),
        "kept once only"
    );
    process.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn an_outbox_that_nobody_reads_any_more_is_removed() {
    let _logs = Logs::watch();
    let (mut world, receiver) = world();
    receiver.answer(|_| Manner::Silence);
    let process = world.start("first");
    let ids = world.accept(5).await;
    world.until_all(&ids, TxStatus::Submitted).await;
    process.shut_down().await;
    assert!(keys(&world, "q/").await > 0);
    world.hooks = None;
    let process = world.start("second");
    until_empty(&world, "q/").await;
    let _mining = world.mine_every(BLOCK);
    world.until_all(&ids, TxStatus::Confirmed).await;
    assert_eq!(keys(&world, "q/").await, 0, "nothing is written for nobody");
    process.shut_down().await;
}
