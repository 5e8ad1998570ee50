//! Commits whose answers are lost, late or never come.

use std::time::Duration;

use baton_coord::{CommitError, Entry, Scan};
use baton_engine::driver::LaneState;
use baton_model::TxStatus;
use tokio::time::{Instant, sleep};

use crate::support::logs::Logs;
use crate::support::store::CommitFault;
use crate::support::{Process, World, until};

const BLOCK: Duration = Duration::from_secs(1);

async fn table(world: &World) -> Vec<Entry> {
    let scan = Scan::prefix("", baton_coord::SCAN_LIMIT_MAX);
    world.inner.scan(&world.lane(), &scan).await.unwrap()
}

async fn until_used(process: &Process) {
    let left = || process.store.faults_left();
    until(|| format!("{} faults are left", left()), || left() == 0).await;
}

#[tokio::test(start_paused = true)]
async fn lost_replies_double_nothing() {
    let _logs = Logs::watch();
    let world = World::with(2, 8);
    let process = world.start("first");
    process.until_running().await;
    let _mining = world.mine_every(BLOCK);
    process.store.fail_commits(CommitFault::LoseReply, 25);
    let ids = world.accept(60).await;
    world.until_all(&ids, TxStatus::Confirmed).await;
    until_used(&process).await;
    world.assert_executed_once(ids.len());
    assert_eq!(process.status.state(), LaneState::Running);
    process.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn every_mixture_of_faults_ends_in_one_execution() {
    let _logs = Logs::watch();
    let kinds = [
        CommitFault::LoseReply,
        CommitFault::Unavailable,
        CommitFault::Late,
    ];
    for seed in 1..=10_u64 {
        let world = World::with(2, 8);
        let process = world.start("first");
        process.until_running().await;
        let _mining = world.mine_every(BLOCK);
        let mut dice = seed;
        let mut ids = Vec::new();
        for _ in 0..12 {
            dice = dice
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let fault = kinds[(dice >> 33) as usize % kinds.len()];
            process
                .store
                .fail_commits(fault, (dice >> 60) as usize % 3 + 1);
            ids.extend(world.accept(5).await);
            sleep(Duration::from_millis((dice >> 40) % 900)).await;
            for late in process.store.apply_late().await {
                // The batch itself, or its repetition, whichever came first.
                assert!(
                    matches!(late, Ok(_) | Err(CommitError::Precondition { .. })),
                    "{late:?}"
                );
            }
        }
        world.until_all(&ids, TxStatus::Confirmed).await;
        world.assert_executed_once(ids.len());
        assert_eq!(process.status.state(), LaneState::Running, "seed {seed}");
        process.shut_down().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_comes_after_its_repetition_changes_nothing() {
    let _logs = Logs::watch();
    let world = World::new();
    let process = world.start("first");
    process.until_running().await;
    process.store.fail_commits(CommitFault::Late, 1);
    let first = world.accept(1).await;
    world.until_all(&first, TxStatus::Submitted).await;
    let second = world.accept(5).await;
    world.until_all(&second, TxStatus::Submitted).await;
    let before = table(&world).await;
    let late = process.store.apply_late().await;
    assert!(
        matches!(late[..], [Err(CommitError::Precondition { .. })]),
        "{late:?}"
    );
    assert_eq!(table(&world).await, before);
    process.kill().await;
    let _mining = world.mine_every(BLOCK);
    let successor = world.start("second");
    world
        .until_all(&[first, second].concat(), TxStatus::Confirmed)
        .await;
    world.assert_executed_once(6);
    successor.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_commit_of_a_tenure_that_was_given_up_is_fenced() {
    let logs = Logs::watch();
    let world = World::new();
    let process = world.start("first");
    process.until_running().await;
    process.store.fail_commits(CommitFault::Late, 1);
    process.store.fail_commits(CommitFault::Hang, 1);
    world.signers[0].set(crate::support::signer::Mood::Panics);
    let ids = world.accept(3).await;
    process
        .until(|state| matches!(state, LaneState::Failed(_)))
        .await;
    process.until_running().await;
    let late = process.store.apply_late().await;
    assert!(
        matches!(late[..], [Err(CommitError::Fenced { .. })]),
        "{late:?}"
    );
    let _mining = world.mine_every(BLOCK);
    world.until_all(&ids, TxStatus::Confirmed).await;
    world.assert_executed_once(3);
    process.shut_down().await;
    assert_eq!(logs.take().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_commit_without_any_answer_is_repeated() {
    let _logs = Logs::watch();
    let world = World::new();
    let process = world.start("first");
    process.until_running().await;
    process.store.fail_commits(CommitFault::Hang, 2);
    let accepted = Instant::now();
    let ids = world.accept(3).await;
    world.until_all(&ids, TxStatus::Submitted).await;
    assert!(
        accepted.elapsed() < Duration::from_secs(25),
        "{:?}",
        accepted.elapsed()
    );
    assert_eq!(process.status.state(), LaneState::Running);
    process.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_the_commit_under_way() {
    let _logs = Logs::watch();
    let world = World::new();
    let process = world.start("first");
    process.until_running().await;
    process.store.fail_commits(CommitFault::LoseReply, 1);
    world.accept(3).await;
    until_used(&process).await;
    let written = process.store.applied().len();
    process.shut_down().await;
    let _mining = world.mine_every(BLOCK);
    let next = world.start("second");
    next.until_running().await;
    assert!(written > 0);
    next.shut_down().await;
}
