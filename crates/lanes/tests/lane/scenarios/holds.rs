//! What waits, and for what.

use baton_lanes::Output;
use baton_model::{Pricing, TxStatus, U256};

use super::{alarm_names, only, reason, spec, status, world};
use crate::model::{RICH, Setup, account};

#[test]
fn a_fee_cap_holds_and_releases() {
    let mut world = world(&Setup {
        gas_price_cap: Some(900),
        ..Setup::default()
    });
    let id = world.accept(spec(1));
    world.run();
    assert_eq!(status(&world, id), TxStatus::Pending);
    let why = reason(&world, id);
    assert_eq!(
        why,
        "held: fee cap 900 wei is below the 1000 wei per gas needed now"
    );
    world.chain.base_fee = 800;
    world.blocks(1);
    assert_eq!(status(&world, id), TxStatus::Submitted);
    assert_eq!(reason(&world, id), "");
}

/// All of them come between two commits, and one commit does not take the reasons of all.
#[test]
fn thousands_that_wait_are_all_told_why() {
    let mut world = world(&Setup {
        gas_price_cap: Some(900),
        ..Setup::default()
    });
    let ids: Vec<_> = (0..2_000).map(|index| world.accept(spec(index))).collect();
    while world.read_inbox() {}
    world.run();
    world.blocks(10);
    let silent = ids
        .iter()
        .filter(|id| !reason(&world, **id).contains("fee cap"));
    assert_eq!(silent.count(), 0);
}

#[test]
fn a_price_below_the_base_fee_is_held_and_does_not_block_others() {
    let mut world = world(&Setup::default());
    let mut cheap = spec(1);
    cheap.pricing = Pricing::Legacy { gas_price: 999 };
    let held = world.accept(cheap);
    let next = world.accept(spec(2));
    world.run();
    assert_eq!(status(&world, held), TxStatus::Pending);
    assert!(reason(&world, held).contains("below the base fee 1000"));
    assert_eq!(status(&world, next), TxStatus::Submitted);
    world.chain.base_fee = 900;
    world.blocks(2);
    assert_eq!(status(&world, held), TxStatus::Mined);
}

#[test]
fn an_empty_balance_holds_until_there_are_funds() {
    let mut world = world(&Setup::default());
    world.chain.fund(account(0), U256::from(1_000));
    world.blocks(1);
    let id = world.accept(spec(1));
    world.run();
    assert_eq!(status(&world, id), TxStatus::Pending);
    assert_eq!(reason(&world, id), "held: no account's balance covers it");
    assert_eq!(alarm_names(&world), ["low_balance"]);
    world.blocks(3);
    assert_eq!(alarm_names(&world), ["low_balance"], "told once");
    world.chain.fund(account(0), U256::from(RICH));
    world.blocks(5);
    assert_eq!(status(&world, id), TxStatus::Confirmed);
    assert!(world.lane.alarms().is_empty());
}

#[test]
fn open_slots_never_promise_more_than_the_balance() {
    let mut world = world(&Setup::default());
    let cost = u64::from(30_000_u32) * 10_003;
    world.chain.fund(account(0), U256::from(cost * 5 / 2));
    world.blocks(1);
    for index in 0..5 {
        world.accept(spec(index));
    }
    world.run();
    let view = world.lane.accounts().next().expect("one account");
    assert_eq!(view.in_flight, 2);
    assert_eq!(view.reserved, U256::from(2 * cost));
    // What was not spent is free again with the next blocks.
    world.blocks(12);
    assert_eq!(world.lane.requests().count(), 0);
}

#[test]
fn the_cap_of_an_account_is_kept_and_work_goes_to_the_one_with_least() {
    let mut world = world(&Setup {
        accounts: 3,
        cap: 2,
        ..Setup::default()
    });
    for index in 0..8 {
        world.accept(spec(index));
    }
    world.run();
    let load: Vec<usize> = world.lane.accounts().map(|a| a.in_flight).collect();
    assert_eq!(load, [2, 2, 2]);
    assert_eq!(world.lane.queued(), 2);
    let order: Vec<_> = world
        .broadcasts
        .iter()
        .map(|o| (o.account, o.nonce))
        .collect();
    let want: Vec<_> = [(0, 7), (1, 7), (2, 7), (0, 8), (1, 8), (2, 8)]
        .map(|(index, nonce)| (account(index), nonce))
        .to_vec();
    assert_eq!(order, want, "fewest pending first, then longest idle");
    world.blocks(1);
    assert_eq!(world.lane.queued(), 0);
}

#[test]
fn a_full_pool_lowers_the_cap_and_blocks_raise_it_again() {
    let mut world = world(&Setup::default());
    for index in 0..40 {
        world.accept(spec(index));
    }
    world.chain.pool_full = true;
    world.run();
    assert_eq!(world.lane.in_flight(), 16);
    world.chain.pool_full = false;
    world.pass(1_000);
    world.mine(0);
    world.run();
    // Sixteen are mined; the cap was halved to eight, and one block has raised it by a quarter and one.
    assert_eq!(world.lane.in_flight(), 11);
    world.blocks(30);
    assert_eq!(world.lane.requests().count(), 0);
    for index in 50..90 {
        world.accept(spec(index));
    }
    world.run();
    assert_eq!(world.lane.in_flight(), 16);
}

#[test]
fn a_delegated_account_has_one_slot_in_flight() {
    let mut world = world(&Setup::default());
    world.chain.delegated.insert(account(0));
    for index in 0..4 {
        world.accept(spec(index));
    }
    world.run();
    let view = world.lane.accounts().next().expect("one account");
    assert_eq!(view.in_flight_max, 1);
    world.blocks(40);
    assert_eq!(world.lane.requests().count(), 0);
    for index in 5..8 {
        world.accept(spec(index));
    }
    world.run();
    assert_eq!(world.lane.in_flight(), 1);
}

#[test]
fn a_signer_that_is_down_is_waited_for() {
    let mut world = world(&Setup::default());
    world.faults.signers_down = true;
    let id = world.accept(spec(1));
    world.run();
    world.pass(5_000);
    assert_eq!(alarm_names(&world), ["signer_failing"]);
    assert_eq!(world.lane.alarms().len(), 1);
    assert_eq!(status(&world, id), TxStatus::Pending);
    world.faults.signers_down = false;
    world.pass(16_000);
    assert_eq!(status(&world, id), TxStatus::Submitted);
    assert!(world.lane.alarms().is_empty());
    assert!(world.lane.summary().alarms.is_empty());
}

#[test]
fn signatures_that_come_out_of_order_are_made_durable_in_order() {
    let mut world = world(&Setup::default());
    for index in 0..3 {
        world.accept(spec(index));
        world.read_inbox();
    }
    only(&mut world, |t| matches!(t, Output::FetchMarket));
    let last = |w: &crate::model::World| {
        w.tasks
            .iter()
            .rposition(|t| matches!(t, Output::Sign { .. }))
    };
    for signed in 1..=3 {
        let index = last(&world).expect("three signatures are asked for");
        world.execute(index);
        world.deliver(0);
        while world.commit(false) {}
        let durable = if signed == 3 { 3 } else { 0 };
        assert_eq!(world.broadcasts.len(), durable, "after {signed}");
    }
    let nonces: Vec<u64> = world.broadcasts.iter().map(|o| o.nonce).collect();
    assert_eq!(nonces, [7, 8, 9]);
}

#[test]
fn a_paused_relayer_binds_nothing_and_goes_on_with_what_is_bound() {
    let mut world = world(&Setup::default());
    let bound = world.accept(spec(1));
    world.run();
    world.config.paused = true;
    world.restart(false);
    let waiting = world.accept(spec(2));
    world.run();
    world.blocks(5);
    assert_eq!(status(&world, bound), TxStatus::Confirmed);
    assert_eq!(status(&world, waiting), TxStatus::Pending);
}

#[test]
fn many_large_requests_held_at_once_fit_into_the_batches_of_a_store() {
    let mut world = world(&Setup::default());
    let large = |index| {
        let mut spec = spec(index);
        spec.call.data = vec![1; 100_000].into();
        spec.pricing = Pricing::Legacy { gas_price: 1 };
        spec
    };
    let ids: Vec<_> = (1..=100).map(|index| world.accept(large(index))).collect();
    world.run();
    world.mine(0);
    world.run();
    let held = ids
        .iter()
        .filter(|id| reason(&world, **id).starts_with("held: gas price"));
    assert!(held.count() > 5, "what fits is shown");
    assert!(
        ids.iter()
            .all(|id| status(&world, *id) == TxStatus::Pending)
    );
}
