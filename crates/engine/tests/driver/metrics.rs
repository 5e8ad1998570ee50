//! What is shown of lanes.

use std::time::Duration;

use baton_engine::driver::LaneState;
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
