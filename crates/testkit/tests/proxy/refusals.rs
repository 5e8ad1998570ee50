//! What geth's pool rules refuse, and in which words, as a table.

use baton_model::U256;
use baton_testkit::{GappedOverflow, PoolRules, RefusalReason};
use serde_json::json;

use crate::strict::{COST, UNDERPRICED, delegate};
use crate::support::{Account, Bid, GWEI, World};

/// Stands for the latest block's base fee in the text of a refusal.
const BASE_FEE: &str = "<base fee>";

/// A transaction that geth refuses.
struct Row {
    rules: PoolRules,
    /// Wei, if not anvil's 10 000 coins.
    balance: Option<u128>,
    delegated: bool,
    /// Sent and mined before.
    mined: u64,
    /// Sent before, and taken.
    before: Vec<Bid>,
    offer: Bid,
    reason: RefusalReason,
    text: String,
}

impl Row {
    fn new(offer: Bid, reason: RefusalReason, text: impl Into<String>) -> Self {
        Self {
            rules: PoolRules::default(),
            balance: None,
            delegated: false,
            mined: 0,
            before: Vec::new(),
            offer,
            reason,
            text: text.into(),
        }
    }

    fn after(self, before: impl IntoIterator<Item = Bid>) -> Self {
        Self {
            before: before.into_iter().collect(),
            ..self
        }
    }
}

/// Holds up to ten rows against anvil, each with an account of its own.
async fn check(rows: Vec<Row>) {
    let world = World::start().await;
    assert!(rows.len() <= 10);
    for (index, row) in rows.into_iter().enumerate() {
        let account = Account::dev(index);
        let what = format!("row {index}, {}", row.text);
        world.control.pool_rules(None);
        for tx in &account.transfers(0..row.mined) {
            world.send(tx).await.unwrap();
        }
        world.anvil.mine(1).await.unwrap();
        if let Some(balance) = row.balance {
            let set = world
                .anvil
                .set_balance(account.address, U256::from(balance));
            set.await.unwrap();
        }
        if row.delegated {
            delegate(&world, &account).await;
        }
        world.control.pool_rules(Some(row.rules));
        for bid in row.before {
            let tx = account.sign(bid);
            assert_eq!(world.send(&tx).await, Ok(tx.hash), "{what}");
        }
        let tx = account.sign(row.offer);
        let known_before = world.at_node(&tx).await;
        world.trace.clear();
        let text = row.text.replace(BASE_FEE, &base_fee(&world).await);
        assert_eq!(world.send(&tx).await, Err(text), "{what}");
        let refusals: Vec<_> = world.trace.refusals().into_iter().collect();
        assert_eq!(refusals, [(row.reason, 1)], "{what}");
        assert_eq!(world.at_node(&tx).await, known_before, "{what}");
    }
}

async fn base_fee(world: &World) -> String {
    let latest = json!(["latest", false]);
    let block = world
        .anvil
        .call("eth_getBlockByNumber", latest)
        .await
        .unwrap();
    let digits = block["baseFeePerGas"].as_str().unwrap();
    u128::from_str_radix(&digits[2..], 16).unwrap().to_string()
}

#[tokio::test]
async fn fees_and_sizes_are_judged_as_geth_judges_them() {
    use RefusalReason as R;
    let at = Bid::at(0);
    let (fee, tip) = (10 * GWEI, GWEI);
    let (fee_110, tip_110) = (11 * GWEI, 1_100_000_000);
    let replacing = |max_fee, tip_new| {
        let bid = at.paying(max_fee, tip_new);
        Row::new(bid, R::ReplacementUnderpriced, UNDERPRICED).after([at.paying(fee, tip)])
    };
    let large = Bid {
        data: 131_072,
        gas: 10_000_000,
        ..at
    };
    let size = Account::dev(6).sign(large).raw.len();
    let huge = Bid {
        gas: 30_000_001,
        ..at
    };
    check(vec![
        replacing(fee_110, tip_110 - 1),
        replacing(fee_110 - 1, tip_110),
        replacing(2 * fee, tip),
        replacing(fee, 2 * tip),
        // 110 % of 5 wei is 5 wei when it is rounded down.
        Row::new(
            at.paying(fee_110, 5),
            R::ReplacementUnderpriced,
            UNDERPRICED,
        )
        .after([at.paying(fee, 5)]),
        Row::new(at, R::AlreadyKnown, "already known").after([at]),
        Row::new(
            large,
            R::Oversized,
            format!("oversized data: transaction size {size}, limit 131072"),
        ),
        Row::new(
            at.paying(fee, fee + 1),
            R::TipAboveFee,
            "max priority fee per gas higher than max fee per gas",
        ),
        Row::new(
            at.paying(fee, 0),
            R::TipBelowMin,
            "transaction gas price below minimum: gas tip cap 0, minimum needed 1",
        ),
        Row::new(huge, R::BlockGas, "exceeds block gas limit"),
    ])
    .await;
}

#[tokio::test]
async fn funds_are_judged_as_geth_judges_them() {
    let at = Bid::at;
    let row = |offer, balance, text: String| Row {
        balance: Some(balance),
        ..Row::new(
            offer,
            RefusalReason::Funds,
            format!("insufficient funds for gas * price + value: balance {balance}, {text}"),
        )
    };
    let alone = format!("tx cost {COST}, overshot 1");
    let queued = format!("queued cost {}, tx cost {COST}, overshot 1", 2 * COST);
    let bump = 21_000 * 2 * GWEI;
    let raised = format!(
        "queued cost {}, tx bumped {bump}, overshot {}",
        2 * COST,
        bump - 5
    );
    let dear = at(1).paying(12 * GWEI, 2 * GWEI);
    let gapped = format!("queued cost {COST}, tx cost {COST}, overshot 7");
    check(vec![
        row(at(0), COST - 1, alone),
        row(at(2), 3 * COST - 1, queued).after([at(0), at(1)]),
        row(dear, 2 * COST + 5, raised).after([at(0), at(1)]),
        row(at(5), 2 * COST - 7, gapped).after([at(0)]),
    ])
    .await;
}

#[tokio::test]
async fn nonces_and_slots_are_judged_as_geth_judges_them() {
    use RefusalReason as R;
    let at = Bid::at;
    let with_rules = |row: Row, rules: PoolRules| Row { rules, ..row };
    let delegated = |row: Row| Row {
        delegated: true,
        ..row
    };
    let refusing = PoolRules {
        gapped_overflow: GappedOverflow::Refuse,
        ..PoolRules::default()
    };
    let few = PoolRules {
        executable_max: Some(2),
        ..PoolRules::default()
    };
    let floor = PoolRules {
        base_fee_floor: true,
        ..PoolRules::default()
    };
    let crowded = PoolRules {
        crowded_at: Some(GWEI),
        ..PoolRules::default()
    };
    let limit = |pooled| format!("account limit exceeded: pooled {pooled} txs");
    let used = Row::new(
        at(1),
        R::NonceTooLow,
        "nonce too low: next nonce 2, tx nonce 1",
    );
    let below = format!(
        "max fee per gas less than block base fee: address {}, maxFeePerGas: 1, baseFee: {BASE_FEE}",
        Account::dev(1).address
    );
    let in_flight = "in-flight transaction limit reached for delegated accounts";
    let gapped = "gapped-nonce tx from delegated accounts";
    check(vec![
        Row { mined: 2, ..used },
        with_rules(Row::new(at(0).paying(1, 1), R::BelowBaseFee, below), floor),
        Row::new(at(16), R::AccountLimit, limit(16)).after((0..16).map(at)),
        with_rules(
            Row::new(at(2), R::AccountLimit, limit(2)).after([at(0), at(1)]),
            few,
        ),
        with_rules(
            Row::new(at(90), R::AccountLimit, limit(64)).after((2..66).map(at)),
            refusing,
        ),
        delegated(Row::new(at(1), R::DelegatedInFlight, in_flight).after([at(0)])),
        delegated(Row::new(at(1), R::DelegatedGapped, gapped)),
        with_rules(
            Row::new(at(0), R::Underpriced, "transaction underpriced"),
            crowded,
        ),
    ])
    .await;
}
