//! What a rolled-back store has forgotten, and a node still shows, before the lane has found it.

use baton_lanes::{Input, Output};
use baton_model::{RequestId, Timestamp, TxSpec, TxStatus};

use super::{alarm_names, only, record, spec, status, world};
use crate::model::store::Store;
use crate::model::{Setup, World, account};

/// A world whose store was rolled back to just after the acceptance of a request that has been offered since.
fn rolled_back(setup: &Setup, spec: TxSpec, mined: bool) -> (World, RequestId) {
    let mut world = world(setup);
    let id = world.accept(spec);
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
fn a_cancel_waits_until_it_is_known_what_was_sent() {
    for surveyed in [false, true] {
        let (mut world, id) = rolled_back(&Setup::default(), spec(1), true);
        if surveyed {
            only(&mut world, |t| matches!(t, Output::Survey));
        }
        world.cancel(id);
        while world.read_inbox() {}
        while world.commit(false) {}
        assert_eq!(status(&world, id), TxStatus::Pending, "it may be mined");
        assert!(record(&world, id).is_canceled, "a successor knows of it");
        world.run();
        world.blocks(4);
        assert_eq!(status(&world, id), TxStatus::Confirmed);
        assert_eq!(world.chain.executions(&spec(1).call.data).len(), 1);
    }
}

#[test]
fn a_cancel_competes_with_what_is_found_in_a_pool() {
    let (mut world, id) = rolled_back(&Setup::default(), spec(1), false);
    world.cancel(id);
    while world.read_inbox() {}
    while world.commit(false) {}
    world.restart(false);
    world.run();
    world.pass(500);
    world.run();
    world.blocks(4);
    assert_eq!(status(&world, id), TxStatus::Canceled);
    assert!(world.chain.executions(&spec(1).call.data).is_empty());
    assert_eq!(world.chain.state(account(0)).nonce, 8);
}

#[test]
fn a_request_does_not_lapse_before_it_is_known_what_was_sent() {
    let soon = TxSpec {
        valid_until: Timestamp::from_millis(1_600_000),
        ..spec(1)
    };
    let (mut world, id) = rolled_back(&Setup::default(), soon, true);
    only(&mut world, |t| matches!(t, Output::Survey));
    world.now = 1_700_000;
    world.feed(Input::Tick);
    while world.commit(false) {}
    assert_eq!(status(&world, id), TxStatus::Pending, "it may be mined");
    world.run();
    world.blocks(4);
    assert_eq!(status(&world, id), TxStatus::Confirmed);
}

#[test]
fn no_account_takes_what_another_may_have_sent() {
    let setup = Setup {
        accounts: 2,
        ..Setup::default()
    };
    for mined in [false, true] {
        let (mut world, id) = rolled_back(&setup, spec(1), mined);
        only(&mut world, |t| {
            matches!(t, Output::Survey | Output::FetchMarket)
        });
        world.mine(0);
        while world.tell_event() {}
        only(&mut world, |t| matches!(t, Output::FetchMarket));
        assert_eq!(
            world.lane.slot_of(id),
            None,
            "it may be the other account's"
        );
        world.run();
        assert_eq!(world.lane.slot_of(id), Some((account(0), 7)));
        world.blocks(4);
        assert_eq!(status(&world, id), TxStatus::Confirmed);
        assert_eq!(world.chain.executions(&spec(1).call.data).len(), 1);
        assert!(world.alarms.is_empty());
    }
}

#[test]
fn nothing_ends_while_an_account_is_stopped_over_what_it_may_have_sent() {
    let mut world = world(&Setup::default());
    let lost = world.accept(spec(1));
    let id = world.accept(spec(2));
    while world.read_inbox() {}
    while world.commit(false) && world.flight.is_some() {}
    let mut snapshot = world.store.clone();
    world.run();
    world.mine(0);
    // The store knows nothing of the first request, and so not whose transaction the first one is.
    snapshot.table.retain(|key, value| {
        let lost = lost.to_string();
        !key.ends_with(&lost) && *value != lost.as_bytes()
    });
    world.store = snapshot;
    world.ledger.remove(&lost);
    world.flight = None;
    world.restart(false);
    world.run();
    assert_eq!(alarm_names(&world), ["foreign_nonce"]);
    world.cancel(id);
    world.run();
    assert_eq!(status(&world, id), TxStatus::Pending, "it is mined");
    world.restart(true);
    world.run();
    world.blocks(4);
    assert_eq!(status(&world, id), TxStatus::Confirmed);
}

/// What the chain shows is then not somebody else's past, but may be that of requests which nobody remembers.
#[test]
fn an_account_that_was_forgotten_whole_waits_for_a_person() {
    for (is_known, alarms) in [(true, &["foreign_nonce"][..]), (false, &[])] {
        let mut world = world(&Setup::default());
        let lost = world.accept(spec(1));
        world.run();
        world.blocks(4);
        assert_eq!(status(&world, lost), TxStatus::Confirmed);
        world.store = Store::default();
        world.store.has_lost = is_known;
        world.ledger.remove(&lost);
        world.restart(false);
        world.run();
        assert_eq!(alarm_names(&world), alarms);
        let id = world.accept(spec(2));
        world.run();
        world.blocks(4);
        let reached = status(&world, id);
        if !is_known {
            assert_eq!(reached, TxStatus::Confirmed, "the account is a new one");
            continue;
        }
        assert_eq!(reached, TxStatus::Pending);
        // Whoever starts later and saw nothing of the loss finds it all the same.
        world.store.has_lost = false;
        world.restart(false);
        world.run();
        world.blocks(4);
        assert_eq!(status(&world, id), TxStatus::Pending);
        world.restart(true);
        world.run();
        world.blocks(4);
        assert_eq!(status(&world, id), TxStatus::Confirmed);
        assert_eq!(world.chain.executions(&spec(2).call.data).len(), 1);
    }
}

#[test]
fn what_is_still_in_the_inbox_is_not_taken_for_somebody_elses() {
    for (mined, adopt) in [(false, false), (true, false), (true, true)] {
        let mut world = world(&Setup::default());
        let id = world.accept(spec(1));
        let snapshot = world.store.clone();
        world.run();
        if mined {
            world.mine(0);
        }
        world.store = snapshot;
        world.flight = None;
        world.restart(adopt);
        only(&mut world, |t| !matches!(t, Output::Sign { .. }));
        assert_eq!(alarm_names(&world), [""; 0]);
        world.run();
        assert_eq!(world.lane.slot_of(id), Some((account(0), 7)));
        world.blocks(5);
        assert_eq!(status(&world, id), TxStatus::Confirmed);
        assert_eq!(world.chain.executions(&spec(1).call.data).len(), 1);
    }
}
