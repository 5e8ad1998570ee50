use baton_testkit::Stale;
use serde_json::{Value, json};

use crate::support::{Account, World, request};

/// What a node says about an account, in one batch and in single calls.
async fn view(world: &World, account: &Account) -> Value {
    let of = |tag: &str| json!([account.address, tag]);
    let asks = [
        ("eth_blockNumber", json!([])),
        ("eth_getBlockByNumber", json!(["latest", false])),
        ("eth_getTransactionCount", of("latest")),
        ("eth_getTransactionCount", of("pending")),
        ("eth_getBalance", of("latest")),
    ];
    let batch: Vec<Value> = (0..)
        .zip(&asks)
        .map(|(id, (method, params))| request(id, method, params))
        .collect();
    let (_, body) = world.post(&json!(batch)).await.unwrap();
    let answers: Vec<Value> = serde_json::from_str(&body).unwrap();
    let shown = json!({
        "head": answers[0]["result"],
        "block": answers[1]["result"]["number"],
        "hash": answers[1]["result"]["hash"],
        "nonces": [answers[2]["result"], answers[3]["result"]],
        "balance": answers[4]["result"],
    });
    for ((method, params), in_batch) in asks.into_iter().zip(answers) {
        assert_eq!(world.result(method, params).await, in_batch["result"]);
    }
    shown
}

#[tokio::test]
async fn a_stale_node_shows_one_old_state_everywhere() {
    let world = World::start().await;
    let account = Account::dev(0);
    let mut views = vec![view(&world, &account).await];
    for nonce in 0..6 {
        world.send(&account.transfer(nonce)).await.unwrap();
        world.anvil.mine(1).await.unwrap();
        views.push(view(&world, &account).await);
    }
    assert_eq!(views[6]["nonces"], json!(["0x6", "0x6"]));
    for behind in [1, 3, 6] {
        world.control.stale(Some(Stale::Behind(behind)));
        let old = usize::try_from(6 - behind).unwrap();
        assert_eq!(view(&world, &account).await, views[old]);
    }
    world.control.stale(Some(Stale::At(2)));
    assert_eq!(view(&world, &account).await, views[2]);
    world.anvil.mine(1).await.unwrap();
    assert_eq!(view(&world, &account).await, views[2], "it does not move");
    world.control.stale(Some(Stale::Behind(1)));
    assert_eq!(view(&world, &account).await, views[6], "it follows");
    world.control.stale(None);
    assert_eq!(view(&world, &account).await["head"], "0x7");
}

#[tokio::test]
async fn what_came_later_is_not_there_and_sends_still_arrive() {
    let world = World::start().await;
    let account = Account::dev(0);
    let tx = account.transfer(0);
    world.send(&tx).await.unwrap();
    world.anvil.mine(1).await.unwrap();
    world.control.stale(Some(Stale::Behind(1)));
    let receipt = world
        .result("eth_getTransactionReceipt", json!([tx.hash]))
        .await;
    assert_eq!(receipt, Value::Null);
    let pending = world
        .result("eth_getTransactionByHash", json!([tx.hash]))
        .await;
    assert_eq!(
        (&pending["hash"], &pending["blockNumber"]),
        (&json!(tx.hash), &Value::Null)
    );
    let later = world
        .result("eth_getBlockByNumber", json!(["0x1", false]))
        .await;
    assert_eq!(later, Value::Null);
    let count = json!([account.address, "0x1"]);
    let answer = world.answer("eth_getTransactionCount", count).await;
    assert_eq!(answer["error"]["message"], "header not found");
    let next = account.transfer(1);
    assert_eq!(world.send(&next).await, Ok(next.hash));
    assert!(world.at_node(&next).await);
    world.control.stale(None);
    let receipt = world
        .result("eth_getTransactionReceipt", json!([tx.hash]))
        .await;
    assert_eq!(receipt["blockNumber"], "0x1");
}
