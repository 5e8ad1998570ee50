//! Nonces that are used, and by whom.

use baton_lanes::{Alarm, Input, Output, SlotState, Verdict};
use baton_model::{Fees, TxStatus, UnsignedTx};

use super::{alarm_names, only, slot_state, spec, status, world};
use crate::model::chain::{self, SignedTx};
use crate::model::{Event, Setup, World, account};

/// Somebody else's transaction, straight into the pool.
pub(super) fn foreign(world: &mut World, nonce: u64) {
    pool_call(world, nonce, chain::call(0xff, nonce, 1));
}

/// A transaction of the account's key that this lane does not know.
pub(super) fn pool_call(world: &mut World, nonce: u64, call: baton_model::Call) {
    let tx = UnsignedTx {
        chain_id: 31_337,
        nonce,
        gas_limit: 50_000,
        fees: Fees::Legacy { gas_price: 50_000 },
        call,
    };
    let signed = chain::sign(account(0), tx);
    let tx = SignedTx::decode(&signed.raw);
    world.chain.pool.insert((account(0), nonce), tx);
}

#[test]
fn a_nonce_that_is_too_low_because_of_our_own_transaction_is_found_out() {
    let mut world = world(&Setup::default());
    let id = world.accept(spec(1));
    world.run();
    // The lane does not hear of the block; the node that it asks again knows it.
    world.chain.mine(&mut crate::model::rng::Rng::new(1), 0);
    world.feed(Input::Answered {
        account: account(0),
        nonce: 7,
        hash: world.broadcasts[0].hash,
        answers: vec![baton_lanes::Answer::Refused {
            verdict: Verdict::NonceTooLow,
            message: String::new(),
        }],
    });
    world.run();
    // The receipt is of a block above the head: it counts once the lane has heard of that block.
    assert_eq!(status(&world, id), TxStatus::Submitted);
    let block = world.chain.head().clone();
    world.events.push_back(Event::Block(block));
    world.run();
    assert_eq!(status(&world, id), TxStatus::Mined);
    world.blocks(3);
    assert_eq!(status(&world, id), TxStatus::Confirmed);
}

#[test]
fn a_receipt_that_the_head_contradicts_is_not_believed() {
    let mut world = world(&Setup::default());
    let id = world.accept(spec(1));
    world.run();
    let hash = world.broadcasts[0].hash;
    world.feed(Input::Answered {
        account: account(0),
        nonce: 7,
        hash,
        answers: vec![baton_lanes::Answer::Refused {
            verdict: Verdict::NonceTooLow,
            message: String::new(),
        }],
    });
    assert!(
        world
            .tasks
            .iter()
            .any(|t| matches!(t, Output::Lookup { .. }))
    );
    world.tasks.clear();
    // A node that sits on a branch that the lane does not follow.
    let mut other = world.chain.clone();
    other.mine(&mut crate::model::rng::Rng::new(1), 0);
    let mut receipt = other.mined(hash).map(|t| t.receipt.clone());
    if let Some(receipt) = &mut receipt {
        receipt.block_number = 100;
    }
    assert!(receipt.is_some());
    world.feed(Input::Found {
        account: account(0),
        nonce: 7,
        receipt,
    });
    world.run();
    assert_eq!(status(&world, id), TxStatus::Submitted);
    world.blocks(4);
    assert_eq!(status(&world, id), TxStatus::Confirmed);
}

#[test]
fn a_foreign_transaction_moves_a_request_only_when_that_is_final() {
    let mut world = world(&Setup::default());
    let id = world.accept(spec(1));
    world.run();
    foreign(&mut world, 7);
    world.blocks(1);
    assert_eq!(slot_state(&world, id), Some(SlotState::Foreign));
    assert_eq!(world.lane.slot_of(id), Some((account(0), 7)));
    world.blocks(2);
    assert_eq!(world.lane.slot_of(id), Some((account(0), 7)), "not final");
    assert!(world.alarms.is_empty());
    world.blocks(1);
    assert_eq!(world.lane.slot_of(id), Some((account(0), 8)));
    assert_eq!(alarm_names(&world), ["foreign_nonce"]);
    world.blocks(4);
    assert_eq!(status(&world, id), TxStatus::Confirmed);
}

#[test]
fn a_foreign_transaction_that_is_taken_back_changes_nothing() {
    let mut world = world(&Setup::default());
    let id = world.accept(spec(1));
    world.run();
    foreign(&mut world, 7);
    world.blocks(2);
    assert_eq!(slot_state(&world, id), Some(SlotState::Foreign));
    world.reorg(2, 100);
    world.run();
    assert_eq!(slot_state(&world, id), Some(SlotState::Offered));
    world.pass(500);
    world.blocks(5);
    assert_eq!(status(&world, id), TxStatus::Confirmed);
    assert_eq!(world.chain.state(account(0)).nonce, 8);
    assert!(world.alarms.is_empty());
}

#[test]
fn nothing_is_moved_while_nobody_can_tell_what_was_mined() {
    let mut world = world(&Setup::default());
    let id = world.accept(spec(1));
    world.run();
    world.faults.blind = true;
    foreign(&mut world, 7);
    world.blocks(8);
    assert_eq!(world.lane.slot_of(id), Some((account(0), 7)));
    assert_eq!(alarm_names(&world), ["foreign_nonce"], "told once");
    let (account, nonce) = (account(0), 7);
    let held = [Alarm::ForeignNonce { account, nonce }];
    assert_eq!(world.lane.alarms(), held, "shown for as long as it waits");
    world.faults.blind = false;
    world.blocks(6);
    assert_eq!(status(&world, id), TxStatus::Confirmed);
    assert!(world.lane.alarms().is_empty());
}

#[test]
fn a_reorganisation_takes_mined_back_and_offers_the_winner_again() {
    let mut world = world(&Setup::default());
    let id = world.accept(spec(1));
    world.run();
    world.blocks(2);
    assert_eq!(status(&world, id), TxStatus::Mined);
    let offers = world.broadcasts.len();
    world.reorg(2, 100);
    world.run();
    assert_eq!(status(&world, id), TxStatus::Submitted);
    assert_eq!(world.broadcasts.len(), offers + 1);
    assert_eq!(world.broadcasts[offers], world.broadcasts[0]);
    world.blocks(4);
    assert_eq!(status(&world, id), TxStatus::Confirmed);
}

#[test]
fn an_older_attempt_that_had_won_is_offered_again_before_the_latest() {
    let mut world = world(&Setup::default());
    let id = world.accept(spec(1));
    world.run();
    let first = world.broadcasts[0].clone();
    world.replace(id, spec(2));
    world.run();
    let second = world.broadcasts[1].clone();
    assert_ne!(first, second);
    let old = SignedTx::decode(&first.raw);
    world.chain.pool.insert((account(0), 7), old);
    world.blocks(1);
    assert_eq!(status(&world, id), TxStatus::Mined);
    world.broadcasts.clear();
    world.reorg(1, 100);
    while world.tell_event() {}
    assert_eq!(world.broadcasts, [first, second]);
    world.run();
    world.blocks(5);
    assert_eq!(status(&world, id), TxStatus::Confirmed);
}

#[test]
fn a_receipt_from_before_a_rollback_is_not_believed() {
    let mut world = world(&Setup::default());
    let id = world.accept(spec(1));
    world.run();
    // The block comes without receipts, as when no node gave them: the lane asks.
    world.chain.mine(&mut crate::model::rng::Rng::new(1), 0);
    let mut block = world.chain.head().clone();
    block.transactions.clear();
    world.events.push_back(Event::Block(block));
    world.tell_event();
    let asked = world
        .tasks
        .iter()
        .position(|t| matches!(t, Output::Lookup { .. }));
    world.execute(asked.expect("it asks"));
    // Before the answer comes, the block is taken back and somebody else uses the nonce.
    world.reorg(1, 100);
    foreign(&mut world, 7);
    world.mine(0);
    while world.tell_event() {}
    world.deliver(0);
    world.run();
    assert_eq!(slot_state(&world, id), Some(SlotState::Foreign));
    world.blocks(10);
    assert_eq!(status(&world, id), TxStatus::Confirmed);
    assert_eq!(world.chain.executions(&spec(1).call.data).len(), 1);
}

#[test]
fn a_chain_that_runs_ahead_stops_the_account_until_it_is_adopted() {
    let mut world = world(&Setup::default());
    let first = world.accept(spec(1));
    world.run();
    world.blocks(1);
    foreign(&mut world, 8);
    world.blocks(1);
    assert_eq!(alarm_names(&world), ["foreign_nonce"]);
    let waiting = world.accept(spec(2));
    world.blocks(5);
    assert_eq!(status(&world, first), TxStatus::Confirmed, "it goes on");
    assert_eq!(status(&world, waiting), TxStatus::Pending);
    let summary = &world.lane.summary().alarms;
    assert!(summary[0].contains("start with --adopt"), "{summary:?}");
    world.restart(true);
    world.run();
    world.blocks(6);
    assert_eq!(status(&world, waiting), TxStatus::Confirmed);
    assert!(world.lane.alarms().is_empty());
}

#[test]
fn a_stopped_account_goes_on_with_what_it_has_given_out() {
    let mut world = world(&Setup::default());
    let id = world.accept(spec(1));
    world.run();
    world.chain.pool.clear();
    foreign(&mut world, 7);
    foreign(&mut world, 8);
    // Both are mined, then taken back for good: the slot is open again in an account that is stopped.
    world.blocks(1);
    assert_eq!(alarm_names(&world), ["foreign_nonce"]);
    world.reorg(1, 100);
    world.run();
    world.pass(1_000);
    world.blocks(4);
    assert_eq!(status(&world, id), TxStatus::Confirmed);
    assert_eq!(
        world.lane.alarms().len(),
        1,
        "no new work until a person has looked"
    );
}

#[test]
fn other_accounts_of_the_pool_work_while_one_is_stopped() {
    let mut world = world(&Setup {
        accounts: 3,
        ..Setup::default()
    });
    foreign(&mut world, 7);
    world.blocks(1);
    let ids: Vec<_> = (0..4).map(|index| world.accept(spec(index))).collect();
    world.run();
    for id in ids {
        let (used, _) = world.lane.slot_of(id).expect("it is bound");
        assert_ne!(used, account(0));
    }
}

#[test]
fn an_incumbent_is_told_of_and_outbid_at_the_pace_of_retries() {
    let mut world = world(&Setup::default());
    foreign(&mut world, 7);
    let id = world.accept(spec(1));
    world.run();
    assert_eq!(alarm_names(&world), ["foreign_nonce"]);
    world.pass(10_000);
    assert_eq!(alarm_names(&world), ["foreign_nonce"], "told once");
    let (_, nonce) = world.lane.slot_of(id).expect("it has a slot");
    let bids = world
        .store
        .slot(account(0), nonce)
        .map(|s| s.attempts.len());
    assert!(bids.is_some_and(|bids| (4..=7).contains(&bids)), "{bids:?}");
    world.blocks(20);
    assert_eq!(status(&world, id), TxStatus::Confirmed);
}

#[test]
fn requests_that_were_bound_but_not_durable_go_back_when_the_chain_runs_ahead() {
    let mut world = world(&Setup::default());
    let id = world.accept(spec(1));
    world.read_inbox();
    only(&mut world, |t| matches!(t, Output::FetchMarket));
    assert_eq!(slot_state(&world, id), Some(SlotState::Reserved));
    // The very transaction of the request: what a predecessor with a lost store had sent.
    pool_call(&mut world, 7, spec(1).call);
    world.mine(0);
    while world.tell_event() {}
    world.run();
    world.blocks(4);
    assert_eq!(status(&world, id), TxStatus::Confirmed);
    assert_eq!(world.chain.executions(&spec(1).call.data).len(), 1);
    assert!(world.broadcasts.is_empty(), "it was only adopted");
}
