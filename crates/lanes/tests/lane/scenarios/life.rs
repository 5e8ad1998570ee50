//! The life of a request that nothing disturbs.

use baton_lanes::{Output, SlotState};
use baton_model::TxStatus;

use super::{only, record, reported, slot_state, spec, status, world};
use crate::model::chain::REVERTING;
use crate::model::{Setup, chain};

#[test]
fn a_request_is_bound_sent_submitted_mined_and_confirmed() {
    let mut world = world(&Setup::default());
    let id = world.accept(spec(1));
    world.run();
    world.mine(0);
    world.run();
    assert_eq!(status(&world, id), TxStatus::Mined);
    world.blocks(2);
    assert_eq!(status(&world, id), TxStatus::Mined);
    world.blocks(1);
    let life = [
        TxStatus::Sent,
        TxStatus::Submitted,
        TxStatus::Mined,
        TxStatus::Confirmed,
    ];
    assert_eq!(reported(&world, id), life);
    let record = record(&world, id);
    let receipt = record.receipt.expect("a confirmed request has a receipt");
    assert_eq!(receipt.block_number, 101);
    assert_eq!(record.current.map(|c| c.nonce), Some(7));
    assert_eq!(record.hashes, [receipt.hash]);
    assert!(record.sent_at < record.finished_at && record.mined_at < record.finished_at);
    assert_eq!(world.lane.poll_timeout(world.time()), None);
}

#[test]
fn nothing_is_broadcast_before_its_bytes_are_durable() {
    let mut world = world(&Setup::default());
    let id = world.accept(spec(1));
    world.read_inbox();
    only(&mut world, |t| matches!(t, Output::FetchMarket));
    only(&mut world, |t| matches!(t, Output::Sign { .. }));
    assert_eq!(slot_state(&world, id), Some(SlotState::Bound));
    assert!(world.broadcasts.is_empty(), "signed is not durable");
    // The commit that is on its way may hold the acceptance only; the bytes come with the next.
    while world.commit(false) && world.flight.is_some() {
        assert!(world.broadcasts.is_empty(), "written is not acknowledged");
    }
    world.run();
    assert_eq!(world.broadcasts.len(), 1);
    assert_eq!(slot_state(&world, id), Some(SlotState::Offered));
}

#[test]
fn a_commit_whose_reply_is_lost_may_be_repeated() {
    let mut world = world(&Setup::default());
    let id = world.accept(spec(1));
    world.read_inbox();
    only(&mut world, |t| !matches!(t, Output::Broadcast(_)));
    for _ in 0..3 {
        world.commit(true);
    }
    world.run();
    world.blocks(4);
    assert_eq!(reported(&world, id).last(), Some(&TxStatus::Confirmed));
    assert_eq!(world.broadcasts.len(), 1);
}

#[test]
fn a_transaction_that_reverts_on_chain_fails_only_when_that_is_final() {
    let mut world = world(&Setup::default());
    let mut bad = spec(1);
    bad.call = chain::call(REVERTING, 1, 0);
    let id = world.accept(bad);
    world.run();
    world.blocks(1);
    assert_eq!(status(&world, id), TxStatus::Mined);
    world.blocks(3);
    assert_eq!(status(&world, id), TxStatus::Failed);
    let receipt = record(&world, id).receipt.expect("it was mined");
    assert!(!receipt.success);
}

#[test]
fn gas_is_estimated_with_a_margin_and_asked_for_once() {
    let mut world = world(&Setup::default());
    let mut estimated = spec(1);
    estimated.gas_limit = None;
    let id = world.accept(estimated);
    world.read_inbox();
    let asked = world
        .tasks
        .iter()
        .filter(|t| matches!(t, Output::Estimate { .. }));
    assert_eq!(asked.count(), 1);
    world.run();
    let gas = record(&world, id).current.map(|c| c.gas_limit);
    assert_eq!(gas, Some(21_144 + 2_110), "10 % on top of 21144");
}

#[test]
fn an_estimate_that_reverts_fails_the_request_without_a_nonce() {
    let mut world = world(&Setup::default());
    let mut bad = spec(1);
    bad.call = chain::call(0xcc, 1, 0);
    bad.gas_limit = None;
    let id = world.accept(bad);
    world.run();
    assert_eq!(status(&world, id), TxStatus::Failed);
    let why = super::reason(&world, id);
    assert_eq!(why, "execution reverted in gas estimation: no");
    let account = world.lane.accounts().next().expect("one account");
    assert_eq!(account.next_nonce, 7);
}

#[test]
fn a_call_that_no_node_can_estimate_does_not_hold_up_others() {
    let mut world = world(&Setup::default());
    let mut odd = spec(1);
    odd.gas_limit = None;
    let stuck = world.accept(odd);
    let next = world.accept(spec(2));
    world.read_inbox();
    world.read_inbox();
    world.feed(baton_lanes::Input::Estimated {
        id: stuck,
        estimate: baton_lanes::GasEstimate::Unknown,
    });
    world
        .tasks
        .retain(|t| !matches!(t, Output::Estimate { .. }));
    world.run();
    assert_eq!(status(&world, stuck), TxStatus::Pending);
    assert_eq!(status(&world, next), TxStatus::Submitted);
}

#[test]
fn more_gas_than_a_block_has_fails_at_once() {
    let mut world = world(&Setup::default());
    let mut huge = spec(1);
    huge.gas_limit = Some(chain::BLOCK_GAS + 1);
    let id = world.accept(huge);
    world.run();
    assert_eq!(status(&world, id), TxStatus::Failed);
    assert!(super::reason(&world, id).contains("exceeds the block gas limit 30000000"));
    assert!(world.broadcasts.is_empty());
}

#[test]
fn a_finished_request_is_forgotten_with_all_its_keys() {
    let mut world = world(&Setup::default());
    let before = world.store.table.len();
    let id = world.accept(spec(1));
    world.run();
    world.blocks(4);
    let record = record(&world, id);
    world.lane.forget(&record);
    world.run();
    assert_eq!(world.store.request(id), None);
    let left: Vec<_> = world.store.table.keys().collect();
    assert_eq!(left.len(), before, "{left:?}");
    assert_eq!(world.lane.summary().counts, [0; 8]);
}
