use std::collections::BTreeMap;

use baton_chain::tx::EncodedTx;
use baton_model::Address;
use serde_json::json;
use tokio::time::Instant;

use crate::support::{Account, Bid, SEND, World, sends};

#[tokio::test]
async fn calls_and_requests_are_counted() {
    let world = World::start().await;
    let txs = Account::dev(0).transfers(0..3);
    world.send_batch(&txs).await;
    world.post(&sends(&txs[..1])).await.unwrap();
    world.result("eth_chainId", json!([])).await;
    world.result("eth_chainId", json!([])).await;
    assert_eq!(world.trace.requests(), 4);
    let expected = [("eth_chainId".to_owned(), 2), (SEND.to_owned(), 4)];
    assert_eq!(world.trace.calls_by_method(), BTreeMap::from(expected));
    assert_eq!(world.trace.calls(SEND), 4);
    assert_eq!(world.trace.calls("eth_call"), 0);
    for number in 0..300 {
        world.answer(&format!("no_{number}"), json!([])).await;
    }
    let counted = world.trace.calls_by_method();
    assert_eq!((counted.len(), counted["other"]), (257, 300 - 254));
    world.trace.clear();
    assert_eq!(world.trace.requests(), 0);
    assert!(world.trace.broadcasts().is_empty());
}

#[tokio::test]
async fn a_broadcast_is_known_by_hash_sender_nonce_and_target() {
    let world = World::start().await;
    let (one, two) = (Account::dev(0), Account::dev(1));
    let target = |byte| Address::repeat_byte(byte);
    let before = Instant::now();
    let first = one.sign_to(Bid::at(0), target(1));
    let bumped = one.sign_to(Bid::at(0).paying(20, 2), target(1));
    let other = two.sign_to(Bid::at(0), target(2));
    for txs in [vec![&first], vec![&first, &other], vec![&bumped]] {
        let txs: Vec<EncodedTx> = txs.into_iter().cloned().collect();
        world.post(&sends(&txs)).await.unwrap();
    }
    let all = world.trace.broadcasts();
    let shown: Vec<_> = all
        .iter()
        .map(|sent| (sent.hash, sent.from, sent.nonce, sent.to, sent.count))
        .collect();
    let (a, b) = (Some(one.address), Some(two.address));
    assert_eq!(
        shown,
        [
            (first.hash, a, Some(0), Some(target(1)), 2),
            (other.hash, b, Some(0), Some(target(2)), 1),
            (bumped.hash, a, Some(0), Some(target(1)), 1),
        ]
    );
    assert!(before <= all[0].first && all[0].first < all[1].first);
    assert_eq!(world.trace.first_broadcast(target(1)), Some(all[0].first));
    assert_eq!(world.trace.first_broadcast(target(3)), None);
    assert_eq!(world.trace.broadcast(first.hash), Some((all[0].first, 2)));
    let of_nonce = world.trace.broadcasts_of(one.address, 0);
    assert_eq!(of_nonce, [all[0].clone(), all[2].clone()]);
    assert_eq!(world.trace.not_remembered(), 0);
}
