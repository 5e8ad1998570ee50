//! Geth's pool rules over a run of sends: what is taken, and what the proxy knows of the pool.

use baton_chain::tx::EncodedTx;
use baton_model::{Address, Bytes, U256};
use baton_testkit::{Fault, FaultRule, PoolRules, RefusalReason, When};
use futures_util::future::join_all;
use serde_json::json;
use tokio::time::Instant;

use crate::support::{Account, Bid, GWEI, PATIENCE, SEND, World};

pub(crate) const UNDERPRICED: &str = "replacement transaction underpriced";
/// The worst cost of [`Bid::at`]: 21 000 gas at 10 gwei, and 1 wei.
pub(crate) const COST: u128 = 210_000_000_000_001;
pub(crate) async fn delegate(world: &World, account: &Account) {
    let mut code = vec![0xef, 0x01, 0x00];
    code.extend([0x11; 20]);
    let code = Bytes::from(code);
    world.anvil.set_code(account.address, &code).await.unwrap();
}

async fn strict(rules: PoolRules) -> (World, Account) {
    let world = World::start().await;
    world.control.pool_rules(Some(rules));
    (world, Account::dev(0))
}

#[tokio::test]
async fn what_geth_takes_is_taken() {
    let (world, account) = strict(PoolRules::default()).await;
    let take = async |bid: Bid| {
        let tx = account.sign(bid);
        assert_eq!(world.send(&tx).await, Ok(tx.hash), "{}", bid.nonce);
        assert!(world.at_node(&tx).await);
    };
    take(Bid::at(0)).await;
    take(Bid::at(0).paying(11 * GWEI, 1_100_000_000)).await;
    // 110 % of 5 wei is 5, and one more is enough.
    take(Bid::at(1).paying(10 * GWEI, 5)).await;
    take(Bid::at(1).paying(11 * GWEI, 6)).await;
    for nonce in 2..16 {
        take(Bid::at(nonce)).await;
    }
    // A full account may still replace.
    take(Bid::at(9).paying(11 * GWEI, 2 * GWEI)).await;
    let full = world.send(&account.transfer(16)).await.unwrap_err();
    assert!(full.contains("pooled 16"), "{full}");
    world.anvil.mine(1).await.unwrap();
    take(Bid::at(16)).await;
    assert_eq!(world.trace.refusals().into_values().sum::<u64>(), 1);
}

#[tokio::test]
async fn a_batch_is_judged_in_its_order() {
    let (world, account) = strict(PoolRules::default()).await;
    let bids = [
        Bid::at(0),
        Bid::at(1),
        Bid::at(0).paying(10 * GWEI + 1, GWEI + 1),
        Bid::at(0).paying(11 * GWEI, 2 * GWEI),
        Bid::at(1),
        Bid::at(2),
    ];
    let txs: Vec<EncodedTx> = bids.iter().map(|bid| account.sign(*bid)).collect();
    let refused = |text: &str| Err(text.to_owned());
    assert_eq!(
        world.send_batch(&txs).await,
        [
            Ok(txs[0].hash),
            Ok(txs[1].hash),
            refused(UNDERPRICED),
            Ok(txs[3].hash),
            refused("already known"),
            Ok(txs[5].hash),
        ]
    );
    assert_eq!(world.trace.requests(), 1);
}

#[tokio::test]
async fn beyond_64_gapped_the_highest_nonces_are_dropped_in_silence() {
    let (world, account) = strict(PoolRules::default()).await;
    let gapped: Vec<EncodedTx> = account.transfers(2..66);
    for answer in world.send_batch(&gapped).await {
        answer.unwrap();
    }
    let above = account.transfer(70);
    assert_eq!(world.send(&above).await, Ok(above.hash));
    assert!(!world.at_node(&above).await);
    assert_eq!(world.trace.forgotten(), 1);
    // anvil cannot drop a gapped one, so a lower nonce is one more.
    let below = account.transfer(1);
    assert_eq!(world.send(&below).await, Ok(below.hash));
    assert!(world.at_node(&below).await);
    // With the gap filled the others can be mined, all but the dropped one.
    world.send(&account.transfer(0)).await.unwrap();
    world.anvil.mine(1).await.unwrap();
    let count = json!([account.address, "latest"]);
    assert_eq!(world.result("eth_getTransactionCount", count).await, "0x42");
    assert_eq!(world.trace.forgotten(), 1);
    assert!(world.trace.refusals().is_empty());
}

#[tokio::test]
async fn a_refusal_is_never_from_memory() {
    let (world, account) = strict(PoolRules::default()).await;
    let txs = account.transfers(0..16);
    world.send_batch(&txs).await;
    let cheap = account.sign(Bid::at(3).paying(10 * GWEI + 1, GWEI + 1));
    assert_eq!(world.send(&cheap).await, Err(UNDERPRICED.to_owned()));
    // The node has lost it: there is nothing to replace, and its bytes are not known.
    world.anvil.drop_transaction(txs[3].hash).await.unwrap();
    assert_eq!(world.send(&cheap).await, Ok(cheap.hash));
    world.anvil.drop_all_transactions().await.unwrap();
    assert_eq!(world.send(&txs[3]).await, Ok(txs[3].hash));
    for tx in world.send_batch(&txs[..3]).await {
        tx.unwrap();
    }
    // Mined: the nonces are used, and the slots are free.
    world.anvil.mine(1).await.unwrap();
    let late = world.send(&cheap).await.unwrap_err();
    assert_eq!(late, "nonce too low: next nonce 4, tx nonce 3");
    for tx in world.send_batch(&account.transfers(4..20)).await {
        tx.unwrap();
    }
    let over = account.transfer(20);
    assert!(world.send(&over).await.is_err());
    // The block is taken back with the nonces it used.
    world.anvil.drop_all_transactions().await.unwrap();
    world.anvil.reorg(1).await.unwrap();
    assert_eq!(world.send(&txs[0]).await, Ok(txs[0].hash));
}

#[tokio::test]
async fn balance_and_code_that_were_set_by_hand_are_seen() {
    let (world, account) = strict(PoolRules::default()).await;
    world.send(&account.transfer(0)).await.unwrap();
    let balance = U256::from(2 * COST - 1);
    world
        .anvil
        .set_balance(account.address, balance)
        .await
        .unwrap();
    world.proxy.refresh_pool().await;
    let short = world.send(&account.transfer(1)).await.unwrap_err();
    assert!(short.ends_with("overshot 1"), "{short}");
    world
        .anvil
        .set_balance(account.address, U256::from(2 * COST))
        .await
        .unwrap();
    world.send(&account.transfer(1)).await.unwrap();
    let other = Account::dev(1);
    world.send(&other.transfer(0)).await.unwrap();
    delegate(&world, &other).await;
    world.proxy.refresh_pool().await;
    let second = world.send(&other.transfer(1)).await.unwrap_err();
    assert!(
        second.starts_with("in-flight transaction limit"),
        "{second}"
    );
    let replacement = other.sign(Bid::at(0).paying(11 * GWEI, 2 * GWEI));
    assert_eq!(world.send(&replacement).await, Ok(replacement.hash));
}

#[tokio::test]
async fn rules_that_come_later_hold_for_what_is_there() {
    let world = World::start().await;
    let account = Account::dev(0);
    world.send_batch(&account.transfers(0..20)).await;
    let slightly_more = account.sign(Bid::at(0).paying(10 * GWEI + 1, GWEI + 1));
    world.control.pool_rules(Some(PoolRules::default()));
    assert_eq!(
        world.send(&slightly_more).await,
        Err(UNDERPRICED.to_owned())
    );
    let one_more = world.send(&account.transfer(20)).await.unwrap_err();
    assert_eq!(one_more, "account limit exceeded: pooled 20 txs");
    world.control.pool_rules(None);
    assert_eq!(world.send(&slightly_more).await, Ok(slightly_more.hash));
}

#[tokio::test]
async fn of_many_equal_bids_at_once_one_is_taken() {
    let (world, account) = strict(PoolRules::default()).await;
    for nonce in 0..5 {
        let txs: Vec<EncodedTx> = (1..=12)
            .map(|byte| account.sign_to(Bid::at(nonce), Address::repeat_byte(byte)))
            .collect();
        let answers = join_all(txs.iter().map(|tx| world.send(tx))).await;
        let taken = answers.iter().filter(|answer| answer.is_ok()).count();
        assert_eq!(taken, 1, "{answers:?}");
        let others = answers.into_iter().filter_map(Result::err);
        assert!(others.into_iter().all(|text| text == UNDERPRICED));
    }
}

#[tokio::test]
async fn a_forgotten_or_refused_send_takes_no_slot() {
    let (world, account) = strict(PoolRules::default()).await;
    world
        .control
        .inject(FaultRule::new(Fault::Forgotten, When::Next(1)).on(SEND));
    let forgotten = account.transfer(0);
    assert_eq!(world.send(&forgotten).await, Ok(forgotten.hash));
    let cheaper = account.sign(Bid::at(0).paying(9 * GWEI, GWEI / 2));
    assert_eq!(world.send(&cheaper).await, Ok(cheaper.hash));
    // anvil refuses what cannot pay for its own data; geth's rules here do not look at that.
    let poor = Bid {
        gas: 20_000,
        ..Bid::at(1)
    };
    let tx = account.sign(poor);
    let refused = world.answer(SEND, json!([tx.raw])).await;
    assert!(refused.get("error").is_some(), "{refused}");
    let cheap = account.sign(Bid::at(1).paying(5 * GWEI, 2));
    assert_eq!(world.send(&cheap).await, Ok(cheap.hash));
    // A replacement that the node refuses leaves the incumbent in its place.
    let poor = Bid {
        gas: 20_000,
        ..Bid::at(1)
    };
    let tx = account.sign(poor.paying(20 * GWEI, GWEI));
    let refused = world.answer(SEND, json!([tx.raw])).await;
    assert!(refused.get("error").is_some(), "{refused}");
    let slightly_more = account.sign(Bid::at(1).paying(5 * GWEI + 1, 3));
    assert_eq!(
        world.send(&slightly_more).await,
        Err(UNDERPRICED.to_owned())
    );
}

#[tokio::test]
async fn under_fast_blocks_no_refusal_is_wrong_and_everything_is_mined() {
    const COUNT: u64 = 120;
    let (world, account) = strict(PoolRules::default()).await;
    let mined = async || {
        let count = json!([account.address, "latest"]);
        let count = world
            .anvil
            .call("eth_getTransactionCount", count)
            .await
            .unwrap();
        u64::from_str_radix(count.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
    };
    let send = async {
        let mut refused = 0;
        for tx in account.transfers(0..COUNT).into_iter().zip(0..) {
            let (tx, nonce): (EncodedTx, u64) = tx;
            loop {
                let before = mined().await;
                let Err(text) = world.send(&tx).await else {
                    break;
                };
                assert_eq!(text, "account limit exceeded: pooled 16 txs");
                assert!(before + 16 <= nonce, "{nonce} refused at {before} mined");
                refused += 1;
            }
        }
        refused
    };
    let mine = async {
        let deadline = Instant::now() + PATIENCE;
        while mined().await < COUNT {
            assert!(Instant::now() < deadline, "{} mined", mined().await);
            world.anvil.mine(1).await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(15)).await;
        }
    };
    let (refused, ()) = tokio::join!(send, mine);
    assert_eq!(
        world
            .trace
            .refusals()
            .get(&RefusalReason::AccountLimit)
            .copied()
            .unwrap_or(0),
        refused
    );
}
