//! What is done about transactions that are not mined.

use baton_lanes::{Answer, Input, Output, Verdict};
use baton_model::{Mempool, TxStatus};

use super::{only, reason, record, spec, status, world};
use crate::model::{Setup, World, account};

fn bids(world: &World, nonce: u64) -> usize {
    let slot = world.store.slot(account(0), nonce);
    slot.map_or(0, |slot| slot.attempts.len())
}

#[test]
fn an_unanswered_offer_is_repeated_with_the_same_bytes_and_growing_pauses() {
    let mut world = world(&Setup::default());
    world.faults.nodes_down = true;
    let id = world.accept(spec(1));
    world.read_inbox();
    world.faults.nodes_down = false;
    only(&mut world, |t| !matches!(t, Output::Broadcast(_)));
    world.commit(false);
    world.commit(false);
    world.commit(false);
    world.faults.nodes_down = true;
    world.run();
    world.pass(4_000);
    let offers = world.broadcasts.len();
    assert!((4..=6).contains(&offers), "{offers} offers in four seconds");
    assert!(world.broadcasts.iter().all(|o| *o == world.broadcasts[0]));
    assert_eq!(status(&world, id), TxStatus::Sent, "unknown is not failed");
    world.faults.nodes_down = false;
    world.pass(8_000);
    assert_eq!(status(&world, id), TxStatus::Submitted);
}

#[test]
fn what_says_nothing_is_no_acknowledgement() {
    let silent = [
        Verdict::Unknown,
        Verdict::Busy,
        Verdict::AddressReserved,
        Verdict::SameNonceInProgress,
    ];
    for verdict in silent {
        let mut world = world(&Setup::default());
        let id = world.accept(spec(1));
        world.read_inbox();
        only(&mut world, |t| !matches!(t, Output::Broadcast(_)));
        while world.commit(false) {}
        let offer = world.broadcasts[0].clone();
        world.tasks.clear();
        world.feed(Input::Answered {
            account: offer.account,
            nonce: offer.nonce,
            hash: offer.hash,
            answers: vec![Answer::Refused {
                verdict,
                message: String::new(),
            }],
        });
        world.run();
        assert_eq!(status(&world, id), TxStatus::Sent, "{verdict:?}");
        world.pass(750);
        assert_eq!(world.broadcasts.len(), 2, "{verdict:?}");
        assert_eq!(status(&world, id), TxStatus::Submitted, "{verdict:?}");
    }
}

#[test]
fn what_a_pool_forgot_is_offered_again_before_anything_is_bid() {
    let mut world = world(&Setup::default());
    let ids: Vec<_> = (0..3).map(|index| world.accept(spec(index))).collect();
    world.run();
    world.chain.pool.clear();
    world.pass(2_500);
    assert_eq!(world.broadcasts.len(), 3, "patience");
    world.pass(1_000);
    assert_eq!(world.broadcasts.len(), 6);
    assert_eq!(world.chain.pool.len(), 3);
    world.blocks(4);
    for id in ids {
        assert_eq!(status(&world, id), TxStatus::Confirmed);
        assert_eq!(record(&world, id).hashes.len(), 1);
    }
}

#[test]
fn only_the_lowest_nonce_is_bumped_and_only_when_it_is_out_priced() {
    let mut world = world(&Setup::default());
    for index in 0..3 {
        world.accept(spec(index));
    }
    world.run();
    world.pass(9_000);
    let all: Vec<usize> = (7..10).map(|nonce| bids(&world, nonce)).collect();
    assert_eq!(all, [1, 1, 1], "nobody asks for more");
    world.chain.base_fee = 15_000;
    for _ in 0..6 {
        world.mine(0);
        world.run();
        world.pass(1_000);
    }
    // The first was bumped and mined, then the second; the third was not touched before its turn.
    let record = record(&world, crate::model::request_id(1));
    assert_eq!(record.hashes.len(), 2);
    world.blocks(30);
    assert_eq!(world.lane.requests().count(), 0);
    assert_eq!(world.chain.state(account(0)).nonce, 10);
}

#[test]
fn a_bump_beyond_the_cap_is_held_and_says_so() {
    let mut world = world(&Setup {
        gas_price_cap: Some(10_500),
        ..Setup::default()
    });
    let id = world.accept(spec(1));
    world.run();
    world.chain.base_fee = 15_000;
    for _ in 0..12 {
        world.mine(0);
        world.run();
        world.pass(1_000);
    }
    assert_eq!(bids(&world, 7), 1);
    assert_eq!(
        reason(&world, id),
        "held: fee cap 10500 wei is below the 11004 wei per gas needed now"
    );
    world.chain.base_fee = 1_000;
    world.blocks(5);
    assert_eq!(status(&world, id), TxStatus::Confirmed);
}

#[test]
fn without_a_mempool_nothing_is_bumped() {
    let mut world = world(&Setup {
        mempool: Mempool::None,
        ..Setup::default()
    });
    let id = world.accept(spec(1));
    world.run();
    world.chain.base_fee = 50_000;
    for _ in 0..20 {
        world.mine(0);
        world.run();
        world.pass(1_000);
    }
    assert_eq!(bids(&world, 7), 1);
    assert!(
        world.broadcasts.len() > 2,
        "the same bytes are offered again"
    );
    world.chain.base_fee = 1_000;
    world.blocks(20);
    assert_eq!(status(&world, id), TxStatus::Confirmed);
}

#[test]
fn a_missing_predecessor_is_offered_before_what_follows() {
    let mut world = world(&Setup {
        mempool: Mempool::None,
        ..Setup::default()
    });
    for index in 0..3 {
        world.accept(spec(index));
    }
    world.run();
    world.chain.pool.clear();
    world.broadcasts.clear();
    world.pass(500);
    let hash = world
        .store
        .slot(account(0), 9)
        .expect("it is durable")
        .attempts[0]
        .hash;
    world.feed(Input::Answered {
        account: account(0),
        nonce: 9,
        hash,
        answers: vec![Answer::Refused {
            verdict: Verdict::NonceTooHigh,
            message: "nonce too high".to_owned(),
        }],
    });
    let nonces: Vec<u64> = world.broadcasts.iter().map(|o| o.nonce).collect();
    assert_eq!(nonces, [7, 8]);
    world.run();
    world.pass(1_000);
    world.blocks(4);
    assert_eq!(world.lane.requests().count(), 0);
}

#[test]
fn a_late_answer_about_a_used_nonce_offers_nothing() {
    let mut world = world(&Setup::default());
    let ids: Vec<_> = (0..2).map(|index| world.accept(spec(index))).collect();
    world.run();
    let first = world.broadcasts[0].clone();
    world.chain.pool.remove(&(account(0), 8));
    world.chain.mine(&mut crate::model::rng::Rng::new(1), 0);
    let mut block = world.chain.head().clone();
    block.transactions.clear();
    world.events.push_back(crate::model::Event::Block(block));
    world.tell_event();
    world.now += 1_000;
    world.feed(Input::Answered {
        account: account(0),
        nonce: 7,
        hash: first.hash,
        answers: vec![Answer::Refused {
            verdict: Verdict::NonceTooHigh,
            message: String::new(),
        }],
    });
    assert_eq!(world.broadcasts.len(), 2);
    world.run();
    world.pass(5_000);
    world.blocks(4);
    for id in ids {
        assert_eq!(status(&world, id), TxStatus::Confirmed);
    }
}

#[test]
fn a_price_floor_is_followed_by_the_lowest_nonce() {
    let mut world = world(&Setup::default());
    world.read_inbox();
    let id = world.accept(spec(1));
    world.read_inbox();
    only(&mut world, |t| matches!(t, Output::FetchMarket));
    // The floor rises after the bid was made.
    world.chain.tip_floor = 10;
    world.run();
    assert_eq!(status(&world, id), TxStatus::Sent);
    for _ in 0..6 {
        world.blocks(1);
    }
    assert_eq!(status(&world, id), TxStatus::Confirmed);
    assert!(record(&world, id).hashes.len() > 1);
}

#[test]
fn a_call_that_reverts_for_now_is_tried_for_some_time_and_then_given_up() {
    let mut world = world(&Setup::default());
    let id = world.accept(spec(1));
    world.run();
    let hash = world.broadcasts[0].hash;
    for round in 1..=10 {
        assert_eq!(bids(&world, 7), 1, "after {round} answers");
        world.feed(Input::Answered {
            account: account(0),
            nonce: 7,
            hash,
            answers: vec![Answer::Refused {
                verdict: Verdict::RevertsNow,
                message: "execution reverted: paused".to_owned(),
            }],
        });
    }
    world.run();
    world.blocks(4);
    assert_eq!(status(&world, id), TxStatus::Failed);
    assert_eq!(
        reason(&world, id),
        "refused by the node: execution reverted: paused"
    );
}

#[test]
fn one_node_that_has_it_outweighs_all_that_refuse_it() {
    let mut world = world(&Setup::default());
    let id = world.accept(spec(1));
    world.run();
    let never = Answer::Refused {
        verdict: Verdict::NeverMinable,
        message: "invalid sender".to_owned(),
    };
    for other in [Answer::Accepted, Answer::Unknown] {
        world.feed(Input::Answered {
            account: account(0),
            nonce: 7,
            hash: world.broadcasts[0].hash,
            answers: vec![never.clone(), other],
        });
        world.run();
    }
    world.blocks(4);
    assert_eq!(status(&world, id), TxStatus::Confirmed);
}
