//! What is shown of lanes.

use std::time::Duration;

use baton_engine::driver::LaneState;
use baton_lanes::record::{RequestRecord, key};
use baton_model::{TxStatus, U256};
use tokio::time::sleep;

use crate::support::World;
use crate::support::logs::Logs;

const BLOCK: Duration = Duration::from_secs(1);

fn assert_shown(text: &str, line: &str) {
    assert!(
        text.lines().any(|shown| shown == line),
        "no {line:?} in\n{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_life_is_counted_and_timed() {
    let _logs = Logs::watch();
    let world = World::new();
    let process = world.start("first");
    process.until_running().await;
    let _mining = world.mine_every(BLOCK);
    let ids = world.accept(7).await;
    world.until_all(&ids, TxStatus::Confirmed).await;
    sleep(Duration::from_secs(2)).await;
    let text = process.metrics();
    let labels = r#"relayer_id="main",network_type="evm""#;
    for name in ["created", "submitted", "success"] {
        assert_shown(&text, &format!("transactions_{name}_total{{{labels}}} 7"));
    }
    for stage in [
        "creation_to_sent",
        "creation_to_submission",
        "creation_to_mined",
        "submission_to_confirmation",
        "creation_to_confirmation",
    ] {
        let count =
            format!(r#"transaction_processing_seconds_count{{{labels},stage="{stage}"}} 7"#);
        assert_shown(&text, &count);
    }
    let under_a_second = format!(
        r#"transaction_processing_seconds_bucket{{le="1.0",{labels},stage="creation_to_confirmation"}} 0"#
    );
    assert_shown(&text, &under_a_second);
    assert_shown(
        &text,
        &format!(r#"transactions_by_status{{{labels},status="confirmed"}} 7"#),
    );
    let account = world.relayer.accounts[0];
    let account = format!(r#"relayer_id="main",account="{account}""#);
    assert_shown(&text, &format!("account_nonce_drift{{{account}}} 0"));
    assert_shown(&text, &format!("account_balance_wei{{{account}}} 1e24"));
    assert_shown(&text, &format!("queue_oldest_age_seconds{{{labels}}} 0.0"));
    let mut fee = 0.0;
    for id in &ids {
        let record: RequestRecord = world.record(key::request(*id)).await.unwrap();
        let receipt = record.receipt.unwrap();
        fee += f64::from(U256::from(receipt.gas_used) * U256::from(receipt.effective_gas_price));
    }
    assert!(fee > 0.0);
    assert_eq!(
        value(&text, &format!("fees_spent_wei_total{{{labels}}}")),
        fee
    );
    process.shut_down().await;
}

/// The value of a metric with its labels.
fn value(text: &str, name: &str) -> f64 {
    let found = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    found.expect(name).parse().unwrap()
}

fn slots(text: &str, state: &str) -> f64 {
    value(
        text,
        &format!(r#"slots{{relayer_id="main",state="{state}"}}"#),
    )
}

#[tokio::test(start_paused = true)]
async fn what_is_offered_is_shown_as_such() {
    let _logs = Logs::watch();
    let world = World::new();
    let process = world.start("first");
    process.until_running().await;
    let ids = world.accept(40).await;
    sleep(Duration::from_secs(3)).await;
    let text = process.metrics();
    let found =
        ["in_flight", "offered", "queued", "bound", "mined"].map(|state| slots(&text, state));
    assert_eq!(found, [40.0, 40.0, 0.0, 0.0, 0.0]);
    let _mining = world.mine_every(BLOCK);
    world.until_all(&ids, TxStatus::Confirmed).await;
    process.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_shown_with_its_age() {
    let _logs = Logs::watch();
    let world = World::new();
    world.chain.set_balance(U256::ZERO);
    let process = world.start("first");
    let mining = world.mine_every(BLOCK);
    world.accept(2).await;
    sleep(Duration::from_secs(10)).await;
    let ids = world.accept(3).await;
    sleep(Duration::from_secs(3)).await;
    let text = process.metrics();
    assert_eq!(slots(&text, "queued"), 5.0);
    let age = r#"queue_oldest_age_seconds{relayer_id="main",network_type="evm"}"#;
    let found = value(&text, age);
    assert!((11.0..=13.5).contains(&found), "{found}");
    world.chain.set_balance(U256::from(u128::MAX));
    world.until_all(&ids, TxStatus::Confirmed).await;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(value(&process.metrics(), age), 0.0);
    drop(mining);
    process.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn alarms_are_shown_while_they_last() {
    let _logs = Logs::watch();
    let world = World::new();
    world.chain.set_balance(U256::ZERO);
    let process = world.start("first");
    let _mining = world.mine_every(BLOCK);
    let ids = world.accept(1).await;
    process
        .until(|state| matches!(state, LaneState::Alarmed(_)))
        .await;
    let labels = r#"relayer_id="main",alarm="low_balance""#;
    assert_shown(
        &process.metrics(),
        &format!("lane_alarms_active{{{labels}}} 1"),
    );
    assert_shown(
        &process.metrics(),
        &format!("lane_alarms_total{{{labels}}} 1"),
    );
    world.chain.set_balance(U256::from(u128::MAX));
    world.until_all(&ids, TxStatus::Confirmed).await;
    process.until_running().await;
    assert_shown(
        &process.metrics(),
        &format!("lane_alarms_active{{{labels}}} 0"),
    );
    assert_shown(
        &process.metrics(),
        &format!("lane_alarms_total{{{labels}}} 1"),
    );
    process.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn whoever_does_not_run_the_lane_shows_no_figures_of_it() {
    let _logs = Logs::watch();
    let world = World::new();
    let first = world.start("first");
    first.until_running().await;
    world.accept(3).await;
    sleep(Duration::from_secs(3)).await;
    let drift = |text: &str| text.contains("account_nonce_drift{");
    assert!(drift(&first.metrics()));
    let lane = world.lane();
    let epoch = baton_coord::Epoch(1);
    world.inner.release(&lane, epoch).await.unwrap();
    let thief = baton_coord::HolderId("thief".to_owned());
    let ttl = Duration::from_secs(60);
    world.inner.acquire(&lane, &thief, ttl).await.unwrap();
    first.until(|state| *state == LaneState::Waiting).await;
    sleep(Duration::from_millis(10)).await;
    assert!(!drift(&first.metrics()));
    first.shut_down().await;
}
