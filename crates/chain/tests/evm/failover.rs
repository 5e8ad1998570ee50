//! Which endpoint a read goes to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use baton_chain::{ChainClient, Endpoint, EvmClient, EvmClientConfig, NodeAnswer, RpcError};
use baton_model::Address;
use serde_json::{Value, json};

use crate::fake::{Fake, Reply, beside_polls, each, node_at, sound};
use crate::support::{Account, PATIENCE, config, head, start};

const COUNT: &str = "eth_getTransactionCount";

fn unavailable(head: u64) -> impl FnMut(&Value) -> Reply + Send + 'static {
    beside_polls(head, |_| Reply::Raw(503, String::new()))
}

async fn count(client: &EvmClient) -> Result<Vec<u64>, RpcError> {
    client.pending_nonces(&[Address::ZERO]).await
}

/// Waits until the heads of all endpoints are known.
async fn all_heads_known(client: &EvmClient) {
    let known = async {
        while client
            .endpoints()
            .iter()
            .any(|endpoint| endpoint.head.is_none())
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, known).await.unwrap();
}

#[tokio::test]
async fn a_failing_endpoint_is_retried_left_and_then_paused() {
    let (bad, good) = (
        Fake::start(unavailable(20)).await,
        Fake::start(sound(9)).await,
    );
    let client = start(&config(&[&bad.url, &good.url]));
    all_heads_known(&client).await;
    for failures in 0..3 {
        // Its answered polls make it the most advanced sound one again.
        first_is_sound_again(&client, failures).await;
        assert_eq!(count(&client).await.unwrap(), [9]);
    }
    assert_eq!(bad.requests(COUNT).len(), 9);
    let health = client.endpoints();
    assert!(health[0].paused && health[0].score == 0, "{health:?}");
    for _ in 0..5 {
        assert_eq!(count(&client).await.unwrap(), [9]);
    }
    let answers = client.broadcast(&[Account::dev(0).transfer(0).raw]).await;
    assert!(matches!(answers[0][..], [NodeAnswer::Accepted(_)]));
    client.shutdown(PATIENCE).await;
    assert_eq!(bad.requests(COUNT).len(), 9);
    assert_eq!(bad.requests("eth_sendRawTransaction").len(), 0);
}

#[tokio::test]
async fn a_state_that_comes_a_moment_after_its_head_is_waited_for() {
    for endpoints in [1, 2] {
        let mut early = 0;
        let fake = Fake::start(move |body| {
            early += u64::from(body.is_array());
            // The first answers know nothing of the block that was announced.
            let head = if early <= endpoints && body.is_array() {
                9
            } else {
                10
            };
            Reply::Json(each(body, |call| node_at(head, call)))
        })
        .await;
        let urls = vec![fake.url.as_str(); usize::try_from(endpoints).unwrap()];
        let client = start(&config(&urls));
        head(&client, |head| head.number == 10).await;
        all_heads_known(&client).await;
        let block = client.block(Some(10), &[Address::ZERO]).await.unwrap();
        assert_eq!(block.unwrap().accounts[0].nonce, 10);
    }
}

/// Waits until the first endpoint has so many counted failures and its last exchange went well.
async fn first_is_sound_again(client: &EvmClient, failures: u8) {
    let sound = async {
        while client.endpoints()[0].score != 100 - 25 * failures {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, sound).await.unwrap();
}

#[tokio::test]
async fn paused_endpoints_are_the_last_resort() {
    let broken = Arc::new(AtomicBool::new(true));
    let is_broken = Arc::clone(&broken);
    let fake = Fake::start(beside_polls(9, move |body| {
        if is_broken.load(Ordering::SeqCst) {
            Reply::Raw(503, String::new())
        } else {
            Reply::Json(each(body, |call| node_at(9, call)))
        }
    }))
    .await;
    let client = start(&config(&[&fake.url]));
    for _ in 0..3 {
        assert!(count(&client).await.is_err());
    }
    assert!(client.endpoints()[0].paused);
    broken.store(false, Ordering::SeqCst);
    assert_eq!(count(&client).await.unwrap(), [9]);
    let answers = client.broadcast(&[Account::dev(0).transfer(0).raw]).await;
    assert!(matches!(answers[0][..], [NodeAnswer::Accepted(_)]));
}

#[tokio::test]
async fn what_will_not_change_is_not_tried_again_and_what_may_is() {
    for (status, tries) in [
        (401, 1),
        (403, 1),
        (404, 1),
        (501, 1),
        (503, 3),
        (429, 3),
        (408, 3),
    ] {
        let fake = Fake::start(beside_polls(9, move |_| Reply::Raw(status, String::new()))).await;
        let client = start(&config(&[&fake.url]));
        assert!(count(&client).await.is_err());
        assert_eq!(fake.requests(COUNT).len(), tries, "{status}");
    }
    for (code, message, tries) in [
        (-32005, "limit exceeded", 3),
        (-32000, "Too Many Requests", 3),
        (-32603, "internal error", 3),
        (-32603, "execution reverted", 1),
        (-32000, "anything", 1),
        (-32601, "the method does not exist", 1),
    ] {
        let error = json!({"code": code, "message": message});
        let fake = Fake::start(beside_polls(9, move |body| {
            Reply::Json(each(body, |_| Err(error.clone())))
        }))
        .await;
        let client = start(&config(&[&fake.url]));
        all_heads_known(&client).await;
        let said = count(&client).await.unwrap_err();
        assert!(matches!(said, RpcError::Answered { .. }));
        assert_eq!(fake.requests(COUNT).len(), tries, "{message}");
        // Limits are counted against the endpoint; errors that a question may provoke are not.
        let is_limited = code == -32005 || message == "Too Many Requests";
        let score = client.endpoints()[0].score;
        assert!((score < 100) == is_limited, "{message}: {score}");
    }
}

#[tokio::test]
async fn reads_go_to_the_most_advanced_endpoint() {
    let (behind, ahead) = (Fake::start(sound(8)).await, Fake::start(sound(10)).await);
    let client = start(&config(&[&behind.url, &ahead.url]));
    all_heads_known(&client).await;
    for _ in 0..10 {
        assert_eq!(count(&client).await.unwrap(), [10]);
        let block = client.block(None, &[Address::ZERO]).await.unwrap().unwrap();
        assert_eq!((block.number, block.accounts[0].nonce), (10, 10));
    }
    assert_eq!(behind.requests(COUNT).len(), 0);
    // A block that both have may come from either, one that neither has from none.
    assert!(client.block(Some(8), &[]).await.unwrap().is_some());
    assert_eq!(client.block(Some(11), &[]).await.unwrap(), None);
    assert_eq!(client.heads().borrow().unwrap().number, 10);
}

#[tokio::test]
async fn state_never_comes_from_an_endpoint_that_lags() {
    let (behind, ahead) = (
        Fake::start(sound(8)).await,
        Fake::start(unavailable(10)).await,
    );
    let client = start(&config(&[&behind.url, &ahead.url]));
    all_heads_known(&client).await;
    head(&client, |head| head.number == 10).await;
    let error = client.accounts(&[Address::ZERO]).await.unwrap_err();
    assert!(error.to_string().contains("header not found"), "{error}");
    assert_eq!(client.block(Some(10), &[]).await.unwrap(), None);
}

#[tokio::test]
async fn disabled_endpoints_get_nothing() {
    let (off, on) = (Fake::start(sound(99)).await, Fake::start(sound(9)).await);
    let endpoints = vec![
        Endpoint {
            weight: 0,
            ..Endpoint::new(&off.url)
        },
        Endpoint::new(&on.url),
    ];
    let client = start(&EvmClientConfig {
        endpoints,
        ..config(&[])
    });
    head(&client, |head| head.number == 9).await;
    assert_eq!(count(&client).await.unwrap(), [9]);
    let answers = client.broadcast(&[Account::dev(0).transfer(0).raw]).await;
    assert_eq!(answers[0].len(), 1);
    assert_eq!(off.requests("eth_blockNumber").len(), 0);
}

#[tokio::test]
async fn equally_advanced_endpoints_share_reads_by_weight() {
    let (light, heavy) = (Fake::start(sound(9)).await, Fake::start(sound(9)).await);
    let endpoints = vec![
        Endpoint {
            weight: 10,
            ..Endpoint::new(&light.url)
        },
        Endpoint {
            weight: 90,
            ..Endpoint::new(&heavy.url)
        },
    ];
    let client = start(&EvmClientConfig {
        endpoints,
        ..config(&[])
    });
    all_heads_known(&client).await;
    for _ in 0..400 {
        count(&client).await.unwrap();
    }
    // 40 are expected; outside of 10 to 90 is further than 5 standard deviations.
    let share = light.requests(COUNT).len();
    assert!((10..=90).contains(&share), "{share}");
    assert_eq!(share + heavy.requests(COUNT).len(), 400);
}
