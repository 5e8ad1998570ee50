use std::collections::BTreeSet;

use baton_model::{Address, B256, Bytes, Call, Fees, U256, UnsignedTx};

use super::pool::{EXECUTABLE_MAX, GAPPED_MAX};
use super::{BASE_FEE, CHAIN_ID, Chain, Flavour, Kind, PooledTx, Refusal, Setup};
use crate::rng::Rng;
use crate::signer::account;

fn chain(flavour: Flavour, delegated: bool) -> Chain {
    Chain::new(Setup {
        flavour,
        eip1559: true,
        confirmations: 12,
        nodes: 1,
        accounts: vec![account(0)],
        balance: U256::from(10).pow(U256::from(21)),
        delegated: if delegated {
            BTreeSet::from([account(0)])
        } else {
            BTreeSet::new()
        },
    })
}

fn tx(nonce: u64, max_fee: u128, tip: u128) -> PooledTx {
    let tx = UnsignedTx {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 21_000,
        fees: Fees::Eip1559 {
            max_fee,
            max_priority_fee: tip,
        },
        call: Call {
            to: Some(Address::ZERO),
            value: U256::ZERO,
            data: Bytes::new(),
        },
    };
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&nonce.to_be_bytes());
    hash[8..24].copy_from_slice(&(max_fee + tip).to_be_bytes());
    PooledTx {
        from: account(0),
        hash: B256::from(hash),
        tx,
        raw: Bytes::new(),
        kind: Kind::Plain,
    }
}

fn plain(nonce: u64) -> PooledTx {
    tx(nonce, 2 * BASE_FEE, 1_000)
}

fn refused(answer: Result<(), Refusal>) -> &'static str {
    answer.expect_err("it is refused").what
}

#[test]
fn a_bid_replaces_when_both_fields_rise_by_a_tenth() {
    let mut chain = chain(Flavour::Geth, false);
    assert_eq!(chain.offer(0, tx(0, 2 * BASE_FEE, 1_000)), Ok(()));
    let underpriced = "replacement transaction underpriced";
    assert_eq!(
        refused(chain.offer(0, tx(0, 22 * BASE_FEE / 10, 1_099))),
        underpriced
    );
    assert_eq!(
        refused(chain.offer(0, tx(0, 22 * BASE_FEE / 10 - 1, 1_100))),
        underpriced
    );
    assert_eq!(chain.offer(0, tx(0, 22 * BASE_FEE / 10, 1_100)), Ok(()));
    assert_eq!(
        refused(chain.offer(0, tx(0, 22 * BASE_FEE / 10, 1_100))),
        "already known"
    );
}

#[test]
fn blobs_double_their_bid_and_share_no_account_with_others() {
    let blob = |max_fee, tip| PooledTx {
        kind: Kind::Blob,
        ..tx(0, max_fee, tip)
    };
    let mut chain = chain(Flavour::Geth, false);
    assert_eq!(chain.offer(0, blob(2 * BASE_FEE, 1_000)), Ok(()));
    assert_eq!(
        refused(chain.offer(0, plain(1))),
        "address already reserved"
    );
    let underpriced = "replacement transaction underpriced";
    assert_eq!(
        refused(chain.offer(0, blob(4 * BASE_FEE - 1, 2_000))),
        underpriced
    );
    assert_eq!(chain.offer(0, blob(4 * BASE_FEE, 2_000)), Ok(()));
}

#[test]
fn geth_keeps_sixteen_executable_and_sixty_four_gapped_of_an_account() {
    let mut chain = chain(Flavour::Geth, false);
    for nonce in 1..=80 {
        assert_eq!(chain.offer(0, plain(nonce)), Ok(()));
    }
    let held = |chain: &Chain| chain.nodes[0].pool.all().count();
    assert_eq!(held(&chain), GAPPED_MAX);
    assert_eq!(chain.nodes[0].pool.evicted_gapped, 16);
    assert_eq!(chain.offer(0, plain(0)), Ok(()));
    assert_eq!(
        held(&chain),
        GAPPED_MAX + 1,
        "all of them are executable now"
    );
    chain.crowd();
    assert_eq!(held(&chain), EXECUTABLE_MAX);
    assert_eq!(refused(chain.offer(0, plain(16))), "txpool is full");
}

#[test]
fn a_delegated_account_has_one_in_flight() {
    let mut chain = chain(Flavour::Geth, true);
    let gapped = "gapped-nonce tx from delegated accounts";
    assert_eq!(refused(chain.offer(0, plain(1))), gapped);
    assert_eq!(chain.offer(0, plain(0)), Ok(()));
    assert_eq!(
        refused(chain.offer(0, plain(1))),
        "in-flight transaction limit reached"
    );
    assert_eq!(
        chain.offer(0, tx(0, 4 * BASE_FEE, 2_000)),
        Ok(()),
        "it may replace"
    );
}

#[test]
fn a_sequencer_takes_one_nonce_after_the_other() {
    let mut chain = chain(Flavour::Sequencer, false);
    assert_eq!(refused(chain.offer(0, plain(1))), "nonce too high");
    assert_eq!(chain.offer(0, plain(0)), Ok(()));
    assert_eq!(chain.offer(0, plain(1)), Ok(()));
    assert_eq!(
        refused(chain.offer(0, tx(0, 4 * BASE_FEE, 2_000))),
        "nonce too low"
    );
}

#[test]
fn a_window_bounds_nonces_ahead() {
    let mut chain = chain(Flavour::Window(50), false);
    assert_eq!(chain.offer(0, plain(50)), Ok(()));
    assert_eq!(refused(chain.offer(0, plain(51))), "nonce too high");
}

#[test]
fn what_is_final_is_never_replaced() {
    let mut chain = chain(Flavour::Geth, false);
    let rng = &mut Rng::new(1);
    assert_eq!(chain.offer(0, plain(0)), Ok(()));
    for _ in 0..20 {
        chain.mine(0, rng);
        chain.sync(0);
    }
    let hash_at = |chain: &Chain, number| {
        let head = chain.blocks.head();
        chain.blocks.on_branch(head, number).map(|block| block.hash)
    };
    let final_number = chain.blocks.top() - 12;
    let (kept, gone) = (
        hash_at(&chain, final_number),
        hash_at(&chain, final_number + 1),
    );
    assert_eq!(chain.reorganise(100, 3, || false), 12);
    assert_eq!(hash_at(&chain, final_number), kept);
    assert_ne!(hash_at(&chain, final_number + 1), gone);
    assert_eq!(chain.blocks.state(chain.blocks.head(), account(0)).nonce, 1);
}
