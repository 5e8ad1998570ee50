use super::rules::*;
use super::*;
use baton_model::U256;

fn candidate(nonce: u64, max_fee: u128, tip: u128) -> Candidate {
    Candidate {
        from: Address::repeat_byte(1),
        hash: B256::from(U256::from(u128::from(nonce) << 64 | max_fee)),
        nonce,
        bytes: 110,
        gas: 21_000,
        max_fee,
        tip,
        cost: U256::from(max_fee),
    }
}

fn account(nonce: u64, balance: u64, pooled: &[(u64, u128)]) -> Account {
    let entries = pooled.iter().map(|(nonce, max_fee)| {
        let entry = candidate(*nonce, *max_fee, *max_fee).entry();
        (*nonce, entry)
    });
    Account {
        nonce,
        balance: U256::from(balance),
        delegated: false,
        entries: entries.collect(),
    }
}

fn judged(account: &Account, tx: &Candidate) -> Result<Place, String> {
    let head = Head {
        base_fee: 0,
        gas_limit: 30_000,
    };
    let judged = judge(&PoolRules::default(), head, account, tx);
    judged.map_err(|refusal| refusal.message)
}

#[test]
fn gapped_transactions_cost_nothing_yet() {
    let rich_enough = account(0, 100, &[(0, 40), (5, 90)]);
    assert_eq!(judged(&rich_enough, &candidate(1, 60, 1)), Ok(Place::Slot));
    let text = judged(&rich_enough, &candidate(1, 61, 1)).unwrap_err();
    assert!(
        text.ends_with("balance 100, queued cost 40, tx cost 61, overshot 1"),
        "{text}"
    );
    // Replacing a gapped one is a new expense, as nothing was counted for the old one.
    let text = judged(&rich_enough, &candidate(5, 99, 99)).unwrap_err();
    assert!(
        text.ends_with("queued cost 40, tx cost 99, overshot 39"),
        "{text}"
    );
}

#[test]
fn a_cheaper_replacement_of_an_overdrawn_queue_shows_a_negative_bump() {
    let mut overdrawn = account(0, 50, &[(0, 40), (1, 40)]);
    let mut cheaper = candidate(1, 44, 44);
    cheaper.cost = U256::from(38);
    let text = judged(&overdrawn, &cheaper).unwrap_err();
    assert!(
        text.ends_with("queued cost 80, tx bumped -2, overshot 28"),
        "{text}"
    );
    overdrawn.balance = U256::from(78);
    assert_eq!(judged(&overdrawn, &cheaper), Ok(Place::Slot));
}

#[test]
fn fees_near_the_largest_do_not_overflow() {
    let full = account(0, u64::MAX, &[(0, u128::MAX)]);
    let mut tx = candidate(0, u128::MAX - 1, u128::MAX - 1);
    tx.cost = U256::ZERO;
    assert_eq!(
        judged(&full, &tx).unwrap_err(),
        "replacement transaction underpriced"
    );
}

#[test]
fn filling_a_gap_makes_what_waited_executable() {
    let waiting = account(3, 10_000, &[(4, 1), (5, 1), (7, 1)]);
    assert_eq!(waiting.next_executable(), 3);
    assert_eq!(judged(&waiting, &candidate(3, 1, 1)), Ok(Place::Slot));
    let filled = account(3, 10_000, &[(3, 1), (4, 1), (5, 1), (7, 1)]);
    assert_eq!(filled.next_executable(), 6);
}
