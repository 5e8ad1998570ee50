//! Restarts, rolled-back stores, adoption.

use baton_lanes::record::AccountRecord;
use baton_lanes::{Alarm, Lane, Output, RestoreError, Restored, SlotState};
use baton_model::{Timestamp, TxStatus};

use super::nonces::{foreign, pool_call};
use super::{alarm_names, only, record, spec, status, world};
use crate::model::chain::State;
use crate::model::{Setup, World, account};

#[test]
fn open_slots_are_all_offered_again_at_once_in_order() {
    let mut world = world(&Setup {
        cap: 1_000,
        ..Setup::default()
    });
    for index in 0..1_000 {
        world.accept(spec(index));
    }
    world.run();
    assert_eq!(world.broadcasts.len(), 1_000);
    world.chain.pool.clear();
    world.restart(false);
    world.orphans.clear();
    world.broadcasts.clear();
    let survey = world.tasks.len();
    assert_eq!(survey, 1, "nothing is done before the survey");
    world.execute(0);
    world.deliver(0);
    let nonces: Vec<u64> = world.broadcasts.iter().map(|o| o.nonce).collect();
    let all: Vec<u64> = (7..1_007).collect();
    assert_eq!(nonces, all);
    world.run();
    world.blocks(5);
    assert_eq!(world.lane.requests().count(), 0);
}

#[test]
fn what_was_mined_while_nobody_looked_is_resolved_by_hash() {
    let mut world = world(&Setup::default());
    let ids: Vec<_> = (0..4).map(|index| world.accept(spec(index))).collect();
    world.run();
    world.mine(0);
    world.mine(0);
    world.restart(false);
    world.run();
    for id in &ids {
        assert_eq!(status(&world, *id), TxStatus::Mined);
    }
    world.blocks(3);
    for id in ids {
        assert_eq!(status(&world, id), TxStatus::Confirmed);
    }
    assert!(world.alarms.is_empty());
}

#[test]
fn blocks_from_before_the_survey_prove_nothing_after_it() {
    let mut world = world(&Setup::default());
    let id = world.accept(spec(1));
    world.run();
    world.restart(false);
    world.orphans.clear();
    world.mine(0);
    while world.tell_event() {}
    // The block is taken back, and the survey is about the branch that took its place.
    world.reorg(1, 0);
    for _ in 0..4 {
        world.mine(0);
    }
    only(&mut world, |t| {
        matches!(t, Output::Survey | Output::Lookup { .. })
    });
    world.run();
    assert_eq!(status(&world, id), TxStatus::Confirmed);
    let mined = world.chain.executions(&spec(1).call.data)[0]
        .receipt
        .clone();
    assert_eq!(record(&world, id).receipt, Some(mined));
}

#[test]
fn what_was_mined_and_then_taken_back_while_nobody_looked_is_offered_again() {
    let mut world = world(&Setup::default());
    let id = world.accept(spec(1));
    world.run();
    world.blocks(1);
    assert_eq!(status(&world, id), TxStatus::Mined);
    world
        .chain
        .reorg(1, 100, &mut crate::model::rng::Rng::new(1));
    world.restart(false);
    world.run();
    assert_eq!(status(&world, id), TxStatus::Submitted);
    assert_eq!(record(&world, id).receipt, None);
    world.blocks(5);
    assert_eq!(status(&world, id), TxStatus::Confirmed);
}

/// A world whose store was rolled back to just after the acceptance of a request that has been offered since.
fn rolled_back(mined: bool) -> (World, baton_model::RequestId) {
    let mut world = world(&Setup::default());
    let id = world.accept(spec(1));
    world.read_inbox();
    while world.commit(false) && world.flight.is_some() {}
    let snapshot = world.store.clone();
    world.run();
    assert_eq!(world.broadcasts.len(), 1);
    if mined {
        world.mine(0);
    }
    world.store = snapshot;
    world.flight = None;
    world.restart(false);
    (world, id)
}

#[test]
fn a_mined_transaction_that_the_store_forgot_is_adopted() {
    let (mut world, id) = rolled_back(true);
    world.run();
    assert_eq!(status(&world, id), TxStatus::Mined);
    world.blocks(3);
    assert_eq!(status(&world, id), TxStatus::Confirmed);
    assert_eq!(world.broadcasts.len(), 1, "nothing new was sent");
    assert!(world.alarms.is_empty());
}

#[test]
fn a_pooled_transaction_that_the_store_forgot_is_adopted() {
    let (mut world, id) = rolled_back(false);
    world.run();
    assert_eq!(world.lane.slot_of(id), Some((account(0), 7)));
    assert_eq!(status(&world, id), TxStatus::Submitted);
    world.blocks(4);
    assert_eq!(status(&world, id), TxStatus::Confirmed);
    assert_eq!(world.chain.executions(&spec(1).call.data).len(), 1);
}

#[test]
fn a_crash_between_two_adoptions_leaves_a_store_that_can_be_read() {
    let mut world = World::new(&Setup::default(), 1);
    let ids = [world.accept(spec(1)), world.accept(spec(2))];
    pool_call(&mut world, 7, spec(1).call);
    pool_call(&mut world, 8, spec(2).call);
    while world.read_inbox() {}
    only(&mut world, |t| matches!(t, Output::Survey));
    while world.commit(false) {}
    // The first of two transactions that stand at the next nonces is shown, and adopted.
    only(&mut world, |t| {
        matches!(t, Output::Observe { nonce: 7, .. })
    });
    while world.commit(false) {}
    assert!(world.store.slot(account(0), 7).is_some());
    world.restart(false);
    world.run();
    world.blocks(4);
    for id in ids {
        assert_eq!(status(&world, id), TxStatus::Confirmed);
    }
    assert!(
        world.broadcasts.iter().all(|o| o.nonce < 9),
        "sent once each"
    );
}

#[test]
fn an_adoption_above_a_noop_waits_until_that_is_durable() {
    let mut world = World::new(&Setup::default(), 1);
    let id = world.accept(spec(1));
    foreign(&mut world, 7);
    pool_call(&mut world, 8, spec(1).call);
    world.restart(true);
    while world.read_inbox() {}
    only(&mut world, |t| !matches!(t, Output::Sign { .. }));
    while world.commit(false) {}
    assert_eq!(
        world.lane.slot_of(id),
        None,
        "the nonce below is not durable"
    );
    world.run();
    assert_eq!(world.lane.slot_of(id), Some((account(0), 8)));
    world.blocks(5);
    assert_eq!(status(&world, id), TxStatus::Confirmed);
    assert_eq!(world.chain.state(account(0)).nonce, 9);
}

#[test]
fn a_chain_that_moves_on_during_the_survey_is_followed() {
    let mut world = World::new(&Setup::default(), 1);
    foreign(&mut world, 7);
    world.restart(true);
    only(&mut world, |t| matches!(t, Output::Survey));
    foreign(&mut world, 8);
    world.mine(0);
    assert_eq!(world.chain.state(account(0)).nonce, 9);
    while world.tell_event() {}
    let id = world.accept(spec(1));
    world.run();
    assert_eq!(world.lane.slot_of(id), Some((account(0), 9)));
    world.blocks(5);
    assert_eq!(status(&world, id), TxStatus::Confirmed);
}

#[test]
fn a_bid_that_the_store_forgot_is_recognised_when_it_is_mined() {
    let mut world = world(&Setup::default());
    let id = world.accept(spec(1));
    world.run();
    // The store knows the first attempt only; the pool holds a later one, which is mined.
    pool_call(&mut world, 7, spec(1).call);
    world.blocks(8);
    assert_eq!(status(&world, id), TxStatus::Confirmed);
    assert_eq!(record(&world, id).hashes.len(), 2);
    assert_eq!(world.chain.state(account(0)).nonce, 8, "sent once");
    assert!(world.alarms.is_empty());
}

#[test]
fn a_chain_below_what_was_final_stops_the_account_until_it_catches_up() {
    let mut world = world(&Setup::default());
    world.accept(spec(1));
    world.run();
    world.blocks(4);
    let state = world.chain.state(account(0));
    let mut reset = world.chain.clone();
    for block in &mut reset.blocks {
        let behind = State { nonce: 3, ..state };
        block.state.insert(account(0), behind);
    }
    let full = std::mem::replace(&mut world.chain, reset);
    world.restart(false);
    world.run();
    let alarm = Alarm::ChainBehind {
        account: account(0),
        chain: 3,
        settled: 8,
    };
    assert_eq!(world.alarms, [alarm]);
    let id = world.accept(spec(2));
    world.run();
    assert_eq!(status(&world, id), TxStatus::Pending);
    world.chain = full;
    world.blocks(6);
    assert_eq!(status(&world, id), TxStatus::Confirmed);
    assert!(world.lane.alarms().is_empty());
}

#[test]
fn a_pooled_foreign_transaction_stops_the_account() {
    let mut world = World::new(&Setup::default(), 1);
    foreign(&mut world, 7);
    let id = world.accept(spec(1));
    world.run();
    world.blocks(3);
    assert_eq!(status(&world, id), TxStatus::Pending);
    assert_eq!(alarm_names(&world), ["foreign_nonce"]);
}

#[test]
fn adopting_a_pooled_foreign_transaction_lets_a_noop_compete_with_it() {
    let mut world = World::new(&Setup::default(), 1);
    foreign(&mut world, 7);
    world.restart(true);
    let id = world.accept(spec(1));
    world.run();
    world.pass(500);
    assert_eq!(world.lane.slot_of(id), Some((account(0), 8)));
    let view = world.lane.accounts().next().expect("one account");
    assert_eq!(view.slots[0].request, None);
    assert_eq!(view.slots[0].state, SlotState::Offered);
    let pooled = world.chain.pool.get(&(account(0), 7)).expect("it competes");
    assert!(pooled.tx.call.data.is_empty(), "the no-op bids more");
    // Whichever is mined, the request behind it goes its way.
    world.blocks(5);
    assert_eq!(status(&world, id), TxStatus::Confirmed);
}

#[test]
fn a_nonce_used_before_the_lane_began_and_freed_by_a_reorganisation_is_filled() {
    let mut world = World::new(&Setup::default(), 1);
    foreign(&mut world, 7);
    world.mine(0);
    let id = world.accept(spec(1));
    world.run();
    assert_eq!(world.lane.slot_of(id), Some((account(0), 8)));
    world.reorg(1, 100);
    world.run();
    world.blocks(6);
    assert_eq!(status(&world, id), TxStatus::Confirmed);
    assert_eq!(world.chain.state(account(0)).nonce, 9);
}

#[test]
fn a_lane_cannot_start_without_its_accounts_or_from_slots_with_gaps() {
    let setup = Setup::default();
    let mut world = world(&setup);
    for index in 0..3 {
        world.accept(spec(index));
    }
    world.run();
    let whole = world.store.load(&world.config.accounts);
    let restore = |restored: Restored, accounts: u8| {
        let mut config = world.config.clone();
        config.accounts = (1..=accounts).map(account).collect();
        if accounts == 1 {
            config.accounts = vec![account(0)];
        }
        Lane::restore(config, restored, Timestamp::default())
            .err()
            .map(|e| e.to_string())
    };
    let damage = |hurt: fn(&mut Restored)| {
        let mut restored = whole.clone();
        hurt(&mut restored);
        restored
    };
    assert_eq!(restore(whole.clone(), 1), None);
    let cases: [(Restored, u8, &str); 6] = [
        (whole.clone(), 0, "the relayer has no account"),
        (
            whole.clone(),
            2,
            "has an unfinished transaction at nonce 7, but no signer",
        ),
        (
            damage(|r| drop(r.slots.remove(1))),
            1,
            "are damaged at nonce 8: a nonce is missing",
        ),
        (
            damage(|r| r.accounts[0].1.next_nonce = 11),
            1,
            "are damaged at nonce 11: they do not end at the next nonce",
        ),
        (
            damage(|r| r.slots[0].2.attempts.clear()),
            1,
            "are damaged at nonce 7: no attempts",
        ),
        (
            damage(|r| r.requests.truncate(1)),
            1,
            "are damaged at nonce 8: its request is not open",
        ),
    ];
    for (restored, accounts, text) in cases {
        let error = restore(restored, accounts).unwrap_or_default();
        assert!(error.contains(text), "{error:?} does not say {text:?}");
    }
    assert_eq!(
        RestoreError::NoAccount.to_string(),
        "the relayer has no account"
    );
}

#[test]
fn a_lane_does_not_go_on_with_what_was_made_for_another_chain() {
    let mut world = world(&Setup::default());
    world.accept(spec(1));
    world.run();
    let mut config = world.config.clone();
    let found = config.profile.chain_id;
    let expected = found + 1;
    let whole = world.store.load(&config.accounts);
    let summary_only = Restored {
        slots: Vec::new(),
        requests: Vec::new(),
        ..whole.clone()
    };
    // Records of an older version have no chain in the summary, but always in what was signed.
    let mut slots_only = whole.clone();
    slots_only.summary = None;
    config.profile.chain_id = expected;
    for restored in [whole, summary_only, slots_only] {
        let error = Lane::restore(config.clone(), restored, Timestamp::default()).err();
        assert_eq!(error, Some(RestoreError::OtherChain { found, expected }));
    }
    assert!(Lane::restore(config, Restored::default(), Timestamp::default()).is_ok());
}

#[test]
fn an_account_record_without_slots_is_where_the_next_request_goes() {
    let mut world = world(&Setup::default());
    world.accept(spec(1));
    world.run();
    world.blocks(4);
    let mark = AccountRecord {
        next_nonce: 8,
        settled: 8,
    };
    assert_eq!(world.store.account(account(0)), Some(mark));
    world.restart(false);
    let id = world.accept(spec(2));
    world.run();
    assert_eq!(world.lane.slot_of(id), Some((account(0), 8)));
}

#[test]
fn an_unknown_pool_is_no_reason_to_stop() {
    let mut world = world(&Setup::default());
    let id = world.accept(spec(1));
    world.run();
    world.faults.poolless = true;
    world.restart(false);
    world.run();
    world.blocks(4);
    assert_eq!(status(&world, id), TxStatus::Confirmed);
}
