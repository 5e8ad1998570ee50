//! Nodes that do not answer, or answer that they cannot.

use std::time::Duration;

use baton_chain::{ChainClient, tx};
use baton_engine::driver::LaneState;
use baton_model::{Fees, TxStatus, UnsignedTx};
use baton_vault::Signer;
use tokio::time::{Instant, sleep};

use crate::support::World;
use crate::support::chain::{BASE_FEE, CHAIN_ID, Fault, GENESIS};
use crate::support::logs::Logs;

const BLOCK: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_chain_without_pending_counts_is_run_without_them() {
    let _logs = Logs::watch();
    let cases = [
        (-32_601, "the method does not exist", Duration::from_secs(1)),
        (-32_602, "unknown block tag", Duration::from_secs(1)),
        (-32_000, "pending is not supported", Duration::from_secs(10)),
    ];
    for (code, message, within) in cases {
        let world = World::new();
        world
            .chain
            .fail("pending_nonces", &Fault::Answered(code, message), 1000);
        let started = Instant::now();
        let process = world.start("first");
        process.until_running().await;
        assert!(
            started.elapsed() < within,
            "{message}: {:?}",
            started.elapsed()
        );
        process.shut_down().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_answer_is_waited_for_at_the_start() {
    let _logs = Logs::watch();
    let world = World::new();
    world.chain.fail("block", &Fault::NoAnswer, 30);
    world.chain.fail("pending_nonces", &Fault::NoAnswer, 10);
    let process = world.start("first");
    sleep(Duration::from_secs(3)).await;
    assert_eq!(process.status.state(), LaneState::Starting);
    process.until_running().await;
    process.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn an_old_head_is_no_state_to_start_from() {
    let _logs = Logs::watch();
    let world = World::new();
    let first = world.start("first");
    first.until_running().await;
    let mining = world.mine_every(BLOCK);
    let ids = world.accept(5).await;
    world.until_all(&ids, TxStatus::Confirmed).await;
    drop(mining);
    first.shut_down().await;
    world.chain.set_stale_head(Some(GENESIS));
    let second = world.start("second");
    sleep(Duration::from_secs(20)).await;
    assert_eq!(second.status.state(), LaneState::Starting);
    world.chain.set_stale_head(None);
    second.until_running().await;
    second.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_market_that_is_not_known_holds_and_is_not_asked_for_by_a_crowd() {
    let _logs = Logs::watch();
    for fault in [
        Fault::NoAnswer,
        Fault::Answered(-32_601, "eth_feeHistory does not exist"),
    ] {
        let world = World::new();
        world.chain.fail("market", &fault, 100_000);
        let process = world.start("first");
        let _mining = world.mine_every(Duration::from_millis(100));
        let ids = world.accept(5).await;
        sleep(Duration::from_secs(100)).await;
        let asked = world.chain.calls("market");
        assert!(asked <= 30, "{asked} questions in 100 seconds");
        assert_eq!(world.status(ids[0]).await, TxStatus::Pending);
        world.chain.heal("market");
        world.until_all(&ids, TxStatus::Confirmed).await;
        world.assert_executed_once(5);
        process.shut_down().await;
    }
}

#[tokio::test(start_paused = true)]
async fn offers_without_answers_are_made_again() {
    let _logs = Logs::watch();
    for fault in [Fault::NoAnswer, Fault::Nothing, Fault::Hang] {
        let world = World::new();
        let process = world.start("first");
        process.until_running().await;
        world.chain.fail("broadcast", &fault, 3);
        let _mining = world.mine_every(BLOCK);
        let ids = world.accept(10).await;
        world.until_all(&ids, TxStatus::Confirmed).await;
        world.assert_executed_once(10);
        process.shut_down().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_hangs_does_not_keep_the_next_offers_back() {
    let _logs = Logs::watch();
    let world = World::new();
    let process = world.start("first");
    process.until_running().await;
    world.chain.fail("broadcast", &Fault::Hang, 1);
    let stuck = world.accept(1).await;
    world.until_all(&stuck, TxStatus::Sent).await;
    let asked = Instant::now();
    let next = world.accept(5).await;
    world.until_all(&next, TxStatus::Submitted).await;
    assert!(
        asked.elapsed() < Duration::from_secs(1),
        "{:?}",
        asked.elapsed()
    );
    process.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn receipts_that_a_node_refuses_together_are_asked_for_one_by_one() {
    let _logs = Logs::watch();
    let world = World::new();
    let first = world.start("first");
    first.until_running().await;
    let ids = world.accept(20).await;
    world.until_all(&ids, TxStatus::Submitted).await;
    first.shut_down().await;
    // Mined while nobody runs the lane: receipts tell.
    world.chain.mine(1);
    world.chain.fail(
        "receipts",
        &Fault::Answered(-32_000, "one of them is bad"),
        7,
    );
    world.chain.fail("receipts", &Fault::Nothing, 3);
    let second = world.start("second");
    let _mining = world.mine_every(BLOCK);
    world.until_all(&ids, TxStatus::Confirmed).await;
    world.assert_executed_once(20);
    assert_eq!(second.status.state(), LaneState::Running);
    second.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn receipts_of_a_block_that_do_not_come_are_looked_up() {
    let _logs = Logs::watch();
    for fault in [
        Fault::NoAnswer,
        Fault::Answered(-32_000, "busy"),
        Fault::Nothing,
    ] {
        let world = World::new();
        let process = world.start("first");
        process.until_running().await;
        world.chain.fail("block_receipts", &fault, 5);
        let _mining = world.mine_every(BLOCK);
        let ids = world.accept(10).await;
        world.until_all(&ids, TxStatus::Confirmed).await;
        world.assert_executed_once(10);
        process.shut_down().await;
    }
}

/// A node's pool holds what a request asks for, and the store knows of no such attempt: it was rolled back. While no
/// node can be asked what it is, the account waits; it is not given up.
#[tokio::test(start_paused = true)]
async fn a_forgotten_transaction_is_adopted_although_nodes_are_out_of_reach_at_first() {
    let _logs = Logs::watch();
    let world = World::new();
    let ids = world.accept(1).await;
    let record: baton_lanes::record::RequestRecord = world
        .record(baton_lanes::record::key::request(ids[0]))
        .await
        .unwrap();
    let signer = &world.signers[0];
    let unsigned = UnsignedTx {
        chain_id: CHAIN_ID,
        nonce: 0,
        gas_limit: 21_000,
        fees: Fees::Eip1559 {
            max_fee: BASE_FEE * 2,
            max_priority_fee: 1_000_000,
        },
        call: record.spec.call,
    };
    let signature = signer.sign_hash(tx::signing_hash(&unsigned)).await.unwrap();
    let encoded = tx::encode_signed(&unsigned, signature.r, signature.s, signature.y_parity);
    world.chain.broadcast(&[encoded.raw]).await;
    world.chain.fail("transaction_at", &Fault::NoAnswer, 12);
    let process = world.start("first");
    sleep(Duration::from_secs(15)).await;
    assert_eq!(process.status.state(), LaneState::Starting);
    let _mining = world.mine_every(BLOCK);
    world.until_all(&ids, TxStatus::Confirmed).await;
    world.assert_executed_once(1);
    process.shut_down().await;
}
