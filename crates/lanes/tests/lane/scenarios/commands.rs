//! Cancel, replace, expiry.

use baton_lanes::record::{AttemptKind, CommandOutcome};
use baton_lanes::{Output, SlotState};
use baton_model::{Fees, Pricing, RequestId, Timestamp, TxSpec, TxStatus, U256};

use super::{only, reason, record, slot_state, spec, status, world};
use crate::model::chain::{self, POISON};
use crate::model::{Setup, World, account};

fn outcome(world: &World, id: RequestId) -> CommandOutcome {
    let outcome = record(world, id).last_command;
    outcome.expect("a command that was carried out")
}

#[test]
fn what_has_no_nonce_is_cancelled_at_once() {
    let mut world = world(&Setup {
        cap: 1,
        ..Setup::default()
    });
    let first = world.accept(spec(1));
    let second = world.accept(spec(2));
    world.run();
    world.cancel(second);
    world.run();
    assert_eq!(status(&world, second), TxStatus::Canceled);
    assert_eq!(record(&world, second).last_command, None, "it has ended");
    assert!(record(&world, second).is_canceled);
    world.blocks(4);
    assert_eq!(status(&world, first), TxStatus::Confirmed);
    assert!(world.chain.executions(&spec(2).call.data).is_empty());
}

#[test]
fn what_waits_for_its_signature_is_cancelled_without_being_offered() {
    let mut world = world(&Setup::default());
    let id = world.accept(spec(1));
    world.read_inbox();
    only(&mut world, |t| matches!(t, Output::FetchMarket));
    assert_eq!(slot_state(&world, id), Some(SlotState::Reserved));
    world.cancel(id);
    world.run();
    world.blocks(4);
    assert_eq!(status(&world, id), TxStatus::Canceled);
    assert_eq!(world.broadcasts.len(), 1, "the no-op only");
    assert!(world.chain.executions(&spec(1).call.data).is_empty());
    assert_eq!(world.chain.state(account(0)).nonce, 8);
}

#[test]
fn a_noop_instead_of_an_unsigned_payload_costs_no_more_than_there_is() {
    let mut world = World::new(&Setup::default(), 1);
    // There a no-op is given much more gas than it needs.
    world.config.profile.tags = vec!["arbitrum-based".to_owned()];
    world.chain.fund(account(0), U256::from(400_000_000));
    world.restart(false);
    world.run();
    let id = world.accept(spec(1));
    world.read_inbox();
    only(&mut world, |t| matches!(t, Output::FetchMarket));
    assert_eq!(slot_state(&world, id), Some(SlotState::Reserved));
    world.cancel(id);
    world.run();
    world.blocks(4);
    assert_eq!(status(&world, id), TxStatus::Canceled);
    assert_eq!(world.chain.state(account(0)).nonce, 8);
}

#[test]
fn a_cancellation_survives_a_crash_before_the_first_signature() {
    let mut world = world(&Setup::default());
    let id = world.accept(spec(1));
    world.read_inbox();
    only(&mut world, |t| matches!(t, Output::FetchMarket));
    world.cancel(id);
    world.read_inbox();
    while world.commit(false) {}
    world.restart(false);
    world.run();
    assert_eq!(status(&world, id), TxStatus::Canceled);
    world.blocks(4);
    assert!(world.broadcasts.is_empty());
}

#[test]
fn what_was_offered_is_cancelled_by_a_noop_that_is_mined() {
    let mut world = world(&Setup::default());
    let id = world.accept(spec(1));
    world.run();
    let command = world.cancel(id);
    world.run();
    assert_eq!(slot_state(&world, id), Some(SlotState::Cancelling));
    assert_eq!(
        outcome(&world, id),
        CommandOutcome {
            command,
            refused: None
        }
    );
    assert_eq!(status(&world, id), TxStatus::Submitted);
    world.blocks(1);
    assert_ne!(status(&world, id), TxStatus::Canceled, "not final yet");
    world.blocks(3);
    assert_eq!(status(&world, id), TxStatus::Canceled);
}

#[test]
fn the_payload_may_win_over_its_cancellation() {
    let mut world = world(&Setup::default());
    let id = world.accept(spec(1));
    world.run();
    world.cancel(id);
    world.read_inbox();
    // The block is made before the no-op gets to a node.
    world.mine(0);
    world.run();
    world.blocks(4);
    assert_eq!(status(&world, id), TxStatus::Confirmed);
    assert_eq!(world.chain.executions(&spec(1).call.data).len(), 1);
}

#[test]
fn what_is_mined_or_ended_cannot_be_cancelled() {
    let mut world = world(&Setup::default());
    let id = world.accept(spec(1));
    world.run();
    world.blocks(1);
    let command = world.cancel(id);
    world.run();
    let refused = outcome(&world, id);
    assert_eq!(refused.command, command);
    assert_eq!(
        refused.refused.as_deref(),
        Some("the transaction is already mined")
    );
    assert!(!record(&world, id).is_canceled);
    world.blocks(3);
    assert_eq!(status(&world, id), TxStatus::Confirmed);
    world.cancel(id);
    world.run();
    assert_eq!(status(&world, id), TxStatus::Confirmed);
}

#[test]
fn a_replacement_has_to_bid_a_tenth_more_and_in_the_same_type() {
    let mut world = world(&Setup::default());
    let mut first = spec(1);
    first.pricing = Pricing::Eip1559 {
        max_fee: 2_000,
        max_priority_fee: 100,
    };
    let id = world.accept(first);
    world.run();
    let bids = [(2_199, 110, false), (2_200, 109, false), (2_200, 110, true)];
    for (max_fee, max_priority_fee, enough) in bids {
        let mut better = spec(2);
        better.pricing = Pricing::Eip1559 {
            max_fee,
            max_priority_fee,
        };
        world.replace(id, better);
        world.run();
        let refused = outcome(&world, id).refused;
        assert_eq!(
            refused.is_none(),
            enough,
            "{max_fee}/{max_priority_fee}: {refused:?}"
        );
    }
    let mut other = spec(3);
    other.pricing = Pricing::Legacy { gas_price: 9_000 };
    world.replace(id, other);
    world.run();
    assert_eq!(
        outcome(&world, id).refused.as_deref(),
        Some("Cannot replace EIP1559 transaction with legacy transaction")
    );
    world.blocks(4);
    assert_eq!(status(&world, id), TxStatus::Confirmed);
    assert_eq!(world.chain.executions(&spec(2).call.data).len(), 1);
    assert_eq!(record(&world, id).spec.call, spec(2).call);
}

#[test]
fn a_replacement_has_its_gas_estimated_and_survives_a_crash() {
    let mut world = world(&Setup::default());
    let id = world.accept(spec(1));
    world.run();
    let mut other = spec(2);
    other.gas_limit = None;
    let command = world.replace(id, other);
    world.read_inbox();
    while world.commit(false) {}
    assert_eq!(record(&world, id).last_command, None, "under way");
    world.restart(false);
    world.run();
    world.pass(500);
    assert_eq!(outcome(&world, id).command, command);
    assert_eq!(outcome(&world, id).refused, None);
    let gas = record(&world, id).current.map(|c| c.gas_limit);
    assert_eq!(gas, Some(23_254));
    let history = record(&world, id).history;
    let limits: Vec<u64> = history.iter().map(|attempt| attempt.gas_limit).collect();
    assert_eq!(limits, [30_000, 23_254]);
    assert!(
        history.iter().all(|a| a.acknowledged_at.is_some()),
        "{history:?}"
    );
    assert!(history[0].fees.max_per_gas() < history[1].fees.max_per_gas());
    world.blocks(4);
    assert_eq!(world.chain.executions(&spec(2).call.data).len(), 1);
    assert_eq!(status(&world, id), TxStatus::Confirmed);
}

#[test]
fn a_replacement_that_would_revert_or_is_too_large_is_refused() {
    let mut world = world(&Setup::default());
    let id = world.accept(spec(1));
    world.run();
    let mut reverts = spec(2);
    reverts.call = chain::call(0xcc, 2, 0);
    reverts.gas_limit = None;
    world.replace(id, reverts);
    world.run();
    assert_eq!(
        outcome(&world, id).refused.as_deref(),
        Some("the replacement would revert: no")
    );
    let mut large = spec(3);
    large.gas_limit = Some(chain::BLOCK_GAS + 1);
    world.replace(id, large);
    world.run();
    assert_eq!(
        outcome(&world, id).refused.as_deref(),
        Some("the gas limit exceeds the block gas limit")
    );
    world.blocks(4);
    assert_eq!(world.chain.executions(&spec(1).call.data).len(), 1);
}

#[test]
fn an_answer_about_the_old_call_says_nothing_about_the_new_one() {
    let mut world = world(&Setup::default());
    let mut reverts = spec(1);
    reverts.call = chain::call(0xcc, 1, 0);
    reverts.gas_limit = None;
    let id = world.accept(reverts);
    world.read_inbox();
    let mut good = spec(2);
    good.gas_limit = None;
    world.replace(id, good);
    world.read_inbox();
    world.run();
    assert_eq!(outcome(&world, id).refused, None);
    assert_eq!(
        status(&world, id),
        TxStatus::Submitted,
        "{}",
        reason(&world, id)
    );
}

#[test]
fn what_lapses_without_a_nonce_expires() {
    let mut world = world(&Setup::default());
    let mut short = spec(1);
    short.pricing = Pricing::Legacy { gas_price: 10 };
    short.valid_until = Timestamp::from_millis(world.now + 2_000);
    let id = world.accept(short);
    world.run();
    world.pass(1_750);
    assert_eq!(status(&world, id), TxStatus::Pending);
    world.pass(500);
    assert_eq!(status(&world, id), TxStatus::Expired);
    assert_eq!(reason(&world, id), "valid_until passed before it was mined");
}

#[test]
fn thousands_that_lapse_together_end_in_as_many_commits_as_a_store_needs() {
    let mut world = world(&Setup::default());
    let until = Timestamp::from_millis(world.now + 2_000);
    let held = |index| TxSpec {
        pricing: Pricing::Legacy { gas_price: 10 },
        valid_until: until,
        ..spec(index)
    };
    let ids: Vec<RequestId> = (0..6_000).map(|index| world.accept(held(index))).collect();
    world.run();
    world.pass(2_000);
    for _ in 0..10 {
        world.pass(250);
    }
    for id in ids {
        assert_eq!(status(&world, id), TxStatus::Expired);
    }
}

#[test]
fn what_lapses_in_a_pool_is_displaced_by_a_noop() {
    let mut world = world(&Setup::default());
    let mut short = spec(1);
    short.valid_until = Timestamp::from_millis(world.now + 2_000);
    let id = world.accept(short);
    world.run();
    world.pass(2_500);
    assert_eq!(slot_state(&world, id), Some(SlotState::Cancelling));
    assert_eq!(status(&world, id), TxStatus::Submitted);
    world.blocks(4);
    assert_eq!(status(&world, id), TxStatus::Expired);
    assert!(world.chain.executions(&spec(1).call.data).is_empty());
}

#[test]
fn what_is_mined_in_time_does_not_expire() {
    let mut world = world(&Setup::default());
    let mut short = spec(1);
    short.valid_until = Timestamp::from_millis(world.now + 1_500);
    let id = world.accept(short);
    world.run();
    world.blocks(4);
    assert_eq!(status(&world, id), TxStatus::Confirmed);
}

#[test]
fn a_payload_that_can_never_be_mined_gives_its_nonce_to_a_noop() {
    let mut world = world(&Setup::default());
    let mut bad = spec(1);
    bad.call = chain::call(POISON, 1, 0);
    let id = world.accept(bad);
    let next = world.accept(spec(2));
    world.run();
    world.pass(300);
    world.blocks(4);
    assert_eq!(status(&world, id), TxStatus::Failed);
    assert_eq!(reason(&world, id), "refused by the node: NeverMinable");
    assert_eq!(status(&world, next), TxStatus::Confirmed);
    assert_eq!(world.chain.state(account(0)).nonce, 9);
}

#[test]
fn a_noop_bids_the_least_that_replaces_even_above_the_cap() {
    let mut world = world(&Setup {
        gas_price_cap: Some(2_000),
        ..Setup::default()
    });
    let mut full = spec(1);
    full.pricing = Pricing::Eip1559 {
        max_fee: 2_000,
        max_priority_fee: 10,
    };
    let id = world.accept(full);
    world.run();
    world.cancel(id);
    world.run();
    let (account, nonce) = world.lane.slot_of(id).expect("it has a slot");
    let slot = world.store.slot(account, nonce).expect("it is durable");
    let noop = slot.attempts.last().expect("two attempts");
    assert_eq!(noop.kind, AttemptKind::Noop);
    let least = Fees::Eip1559 {
        max_fee: 2_200,
        max_priority_fee: 11,
    };
    assert_eq!(noop.tx.fees, least);
}
