//! A lane from the inbox to final blocks, through crashes, reorganisations, slow signers and outages.

use std::sync::Arc;
use std::time::Duration;

use baton_coord::{BATCH_BYTES_MAX, BATCH_OPS_MAX, Batch, Epoch, HolderId};
use baton_coord_local::{LocalStore, Options, SystemClock};
use baton_engine::driver::LaneState;
use baton_lanes::record::{RequestRecord, key};
use baton_model::TxStatus;
use tokio::time::{Instant, sleep};

use crate::support::chain::Fault;
use crate::support::logs::Logs;
use crate::support::signer::{Mood, account};
use crate::support::store::CommitFault;
use crate::support::{LEASE, RETENTION, World, target, until};

const BLOCK: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn what_is_accepted_is_mined_once_and_told() {
    let _logs = Logs::watch();
    let world = World::with(3, 16);
    let process = world.start("first");
    let _mining = world.mine_every(BLOCK);
    let ids = world.accept(100).await;
    world.until_all(&ids, TxStatus::Confirmed).await;
    world.assert_executed_once(ids.len());
    assert_eq!(
        world.chain.offered().len(),
        ids.len(),
        "each was offered once"
    );
    let senders: std::collections::BTreeSet<_> =
        world.chain.offered().iter().map(|tx| tx.from).collect();
    assert_eq!(senders.len(), 3, "all accounts were used");
    process.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn from_acceptance_to_broadcast_nothing_waits_for_a_clock() {
    let _logs = Logs::watch();
    let world = World::new();
    let process = world.start("first");
    process.until_running().await;
    let accepted = Instant::now();
    let ids = world.accept(5).await;
    world.until_all(&ids, TxStatus::Submitted).await;
    assert!(
        accepted.elapsed() <= Duration::from_millis(10),
        "{:?}",
        accepted.elapsed()
    );
    process.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_quiet_lane_shows_at_once_that_it_runs() {
    let _logs = Logs::watch();
    let world = World::new();
    let process = world.start("first");
    let started = Instant::now();
    process.until_running().await;
    assert!(
        started.elapsed() < Duration::from_millis(200),
        "{:?}",
        started.elapsed()
    );
    process.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn five_thousand_requests_are_worked_off_within_every_limit() {
    let _logs = Logs::watch();
    let world = World::new();
    let ids = world.accept(5000).await;
    let process = world.start("first");
    let _mining = world.mine_every(BLOCK);
    world.until_all(&ids, TxStatus::Confirmed).await;
    world.assert_executed_once(ids.len());
    for batch in process.store.applied() {
        assert!(batch.operations() <= BATCH_OPS_MAX && batch.bytes() <= BATCH_BYTES_MAX);
    }
    process.shut_down().await;
}

/// Thousands are mined, taken back, mined again and become final, all of them together.
#[tokio::test(start_paused = true)]
async fn a_block_of_thousands_is_taken_in_within_every_limit() {
    let _logs = Logs::watch();
    let world = World::with(1, 8192);
    let process = world.start("first");
    process.until_running().await;
    let ids = world.accept(6000).await;
    world.until_all(&ids, TxStatus::Submitted).await;
    world.chain.mine(1);
    world.until_all(&ids, TxStatus::Mined).await;
    world.chain.reorganise(1, 2);
    let _mining = world.mine_every(BLOCK);
    world.until_all(&ids, TxStatus::Confirmed).await;
    world.assert_executed_once(ids.len());
    for batch in process.store.applied() {
        assert!(batch.operations() <= BATCH_OPS_MAX && batch.bytes() <= BATCH_BYTES_MAX);
    }
    process.shut_down().await;
}

/// While a commit hangs, more is signed than one batch can hold.
#[tokio::test(start_paused = true)]
async fn the_largest_calls_fit_into_batches() {
    let _logs = Logs::watch();
    let world = World::new();
    let process = world.start("first");
    process.until_running().await;
    process.store.fail_commits(CommitFault::Hang, 1);
    let ids = world.accept_calls(28, 100 * 1024).await;
    let _mining = world.mine_every(BLOCK);
    world.until_all(&ids, TxStatus::Confirmed).await;
    world.assert_executed_once(ids.len());
    let largest = process.store.applied().iter().map(Batch::bytes).max();
    assert!(largest.unwrap() > BATCH_BYTES_MAX / 4, "{largest:?}");
    process.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_any_moment_loses_and_doubles_nothing() {
    let _logs = Logs::watch();
    for seed in 0..12_u64 {
        let world = World::with(2, 8);
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
        world.until_all(&ids, TxStatus::Confirmed).await;
        world.assert_executed_once(ids.len());
        process.shut_down().await;
    }
}

#[tokio::test(start_paused = true)]
async fn reorganisations_take_back_and_execute_again() {
    let _logs = Logs::watch();
    let world = World::new();
    let process = world.start("first");
    process.until_running().await;
    let ids = world.accept(20).await;
    world.until_all(&ids, TxStatus::Submitted).await;
    world.chain.mine(1);
    world.until_all(&ids, TxStatus::Mined).await;
    world.chain.forget_pool();
    world.chain.reorganise(1, 0);
    world.chain.forget_pool();
    world.until_all(&ids, TxStatus::Submitted).await;
    world.chain.mine(1);
    world.until_all(&ids, TxStatus::Mined).await;
    world.chain.mine(2);
    world.until_all(&ids, TxStatus::Confirmed).await;
    world.assert_executed_once(ids.len());
    process.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_forgets_its_pool_is_offered_everything_again() {
    let _logs = Logs::watch();
    let world = World::new();
    let process = world.start("first");
    process.until_running().await;
    let ids = world.accept(30).await;
    world.until_all(&ids, TxStatus::Submitted).await;
    world.chain.forget_pool();
    let _mining = world.mine_every(BLOCK);
    world.until_all(&ids, TxStatus::Confirmed).await;
    world.assert_executed_once(ids.len());
    process.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn whoever_is_fenced_writes_and_broadcasts_nothing_more() {
    let _logs = Logs::watch();
    let world = World::new();
    let process = world.start("first");
    process.until_running().await;
    let before = world.accept(5).await;
    world.until_all(&before, TxStatus::Submitted).await;
    sleep(Duration::from_millis(50)).await;
    let lane = world.lane();
    world.inner.release(&lane, Epoch(1)).await.unwrap();
    let thief = HolderId("thief".to_owned());
    let stolen = world.inner.acquire(&lane, &thief, LEASE).await.unwrap();
    let (offered, written) = (world.chain.offered().len(), process.store.applied().len());
    let after = world.accept(5).await;
    process.until(|state| *state == LaneState::Waiting).await;
    sleep(LEASE / 2).await;
    assert_eq!(world.chain.offered().len(), offered);
    assert_eq!(process.store.applied().len(), written);
    assert_eq!(world.status(after[0]).await, TxStatus::Pending);
    world.inner.release(&lane, stolen.epoch).await.unwrap();
    let _mining = world.mine_every(BLOCK);
    world.until_all(&after, TxStatus::Confirmed).await;
    world.assert_executed_once(10);
    process.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_missed_blocks_starts_over() {
    let _logs = Logs::watch();
    let world = World::new();
    let process = world.start("first");
    process.until_running().await;
    let ids = world.accept(5).await;
    world.until_all(&ids, TxStatus::Submitted).await;
    world.chain.fail("block_receipts", &Fault::Hang, 5);
    world.chain.mine(1);
    for _ in 0..700 {
        sleep(Duration::from_millis(500)).await;
        world.chain.mine(1);
    }
    world.until_all(&ids, TxStatus::Confirmed).await;
    world.assert_executed_once(ids.len());
    process.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_signature_keeps_no_other_account_back_and_a_failing_signer_is_told() {
    let _logs = Logs::watch();
    let world = World::with(2, 4);
    let process = world.start("first");
    process.until_running().await;
    let _mining = world.mine_every(BLOCK);
    world.signers[0].set(Mood::Hangs);
    let ids = world.accept(20).await;
    let executed = || world.chain.executed().len();
    until(|| format!("{} executed", executed()), || executed() == 16).await;
    process
        .until(
            |state| matches!(state, LaneState::Alarmed(why) if why[0].contains("signer_failing")),
        )
        .await;
    world.signers[0].set(Mood::Signs);
    world.until_all(&ids, TxStatus::Confirmed).await;
    world.assert_executed_once(ids.len());
    process.until_running().await;
    for mood in [Mood::Fails, Mood::HangsOnce] {
        world.signers[1].set(mood);
        let more = world.accept(10).await;
        sleep(Duration::from_secs(45)).await;
        world.signers[1].set(Mood::Signs);
        world.until_all(&more, TxStatus::Confirmed).await;
    }
    world.assert_executed_once(40);
    process.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_defect_in_a_task_is_told_and_the_lane_starts_over() {
    let logs = Logs::watch();
    let world = World::new();
    let process = world.start("first");
    process.until_running().await;
    let _mining = world.mine_every(BLOCK);
    world.signers[0].set(Mood::Panics);
    let ids = world.accept(5).await;
    process
        .until(|state| matches!(state, LaneState::Failed(_)))
        .await;
    assert!(
        logs.take()
            .iter()
            .any(|error| error.contains("ended badly"))
    );
    for what in ["estimate", "broadcast", "block_receipts", "market"] {
        world.chain.fail(what, &Fault::Panic, 1);
    }
    world.until_all(&ids, TxStatus::Confirmed).await;
    let more = world.accept(5).await;
    world.until_all(&more, TxStatus::Confirmed).await;
    world.assert_executed_once(10);
    assert!(!logs.take().is_empty());
    process.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_cannot_be_read_shows_why_and_is_tried_again() {
    let logs = Logs::watch();
    let world = World::new();
    let slot = key::slot(account(0), 0);
    let mut damage = Batch::new(world.lane());
    damage.puts.push((slot.clone().into(), "damaged".into()));
    world.inner.commit(damage).await.unwrap();
    let process = world.start("first");
    process
        .until(|state| matches!(state, LaneState::Failed(why) if why.contains(&slot)))
        .await;
    sleep(Duration::from_secs(1)).await;
    for _ in 0..40 {
        sleep(Duration::from_millis(500)).await;
        let state = process.status.state();
        assert!(
            matches!(state, LaneState::Failed(_)),
            "it stays failed: {state:?}"
        );
    }
    assert!(logs.take().len() >= 3, "it was tried again");
    let mut repair = Batch::new(world.lane());
    repair.deletes.push(slot.into());
    world.inner.commit(repair).await.unwrap();
    process.until_running().await;
    process.shut_down().await;
    logs.take();
}

#[tokio::test(start_paused = true)]
async fn finished_requests_are_forgotten_in_time_and_counted_out_once() {
    let _logs = Logs::watch();
    let world = World::new();
    let process = world.start("first");
    let mining = world.mine_every(BLOCK);
    let ids = world.accept(2500).await;
    world.until_all(&ids, TxStatus::Confirmed).await;
    drop(mining);
    sleep(RETENTION + Duration::from_secs(120)).await;
    for id in &ids {
        let left: Option<RequestRecord> = world.record(key::request(*id)).await;
        assert!(left.is_none(), "{id} is still there");
    }
    let last = world.accept(1).await;
    let _mining = world.mine_every(BLOCK);
    world.until_all(&last, TxStatus::Confirmed).await;
    let summary: baton_lanes::record::SummaryRecord =
        world.record(key::SUMMARY.to_owned()).await.unwrap();
    assert_eq!(summary.counts, [0, 0, 0, 0, 1, 0, 0, 0]);
    process.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_no_node_can_estimate_keeps_no_other_back() {
    let _logs = Logs::watch();
    let world = World::new();
    world.chain.set_inestimable(target(3));
    world.chain.fail("estimate", &Fault::Nothing, 1);
    let process = world.start("first");
    process.until_running().await;
    let _mining = world.mine_every(BLOCK);
    let ids = world.accept(10).await;
    let others: Vec<_> = ids.iter().filter(|id| **id != ids[2]).copied().collect();
    world.until_all(&others, TxStatus::Confirmed).await;
    assert_eq!(world.status(ids[2]).await, TxStatus::Pending);
    process.shut_down().await;
}

/// In real time: the store's writer is a thread of its own.
#[tokio::test]
async fn on_the_embedded_store_a_crash_and_a_new_start_lose_and_double_nothing() {
    let _logs = Logs::watch();
    let directory = tempfile::tempdir().unwrap();
    let open = || {
        let options = Options::default();
        Arc::new(LocalStore::open(directory.path(), options).expect("it opens"))
    };
    let store = open();
    let mut world = World::on(store.clone(), Arc::new(SystemClock::start()), 2, 16);
    let _mining = world.mine_every(Duration::from_millis(20));
    let mut ids = world.accept(40).await;
    let mut opened = store;
    for life in 0..3 {
        // Whoever restarts under the same name need not wait for the lease.
        let process = world.start("process");
        process.until_running().await;
        ids.extend(world.accept(40).await);
        let some = ids[ids.len() - 60 + 10 * life];
        world.until_all(&[some], TxStatus::Confirmed).await;
        process.kill().await;
        opened.close().await;
        opened = open();
        world.inner = opened.clone();
        world.check_durability();
    }
    let process = world.start("process");
    world.until_all(&ids, TxStatus::Confirmed).await;
    world.assert_executed_once(ids.len());
    process.shut_down().await;
}
