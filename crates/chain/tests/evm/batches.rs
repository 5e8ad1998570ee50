//! Batches that are answered out of order, in part, or not at all.

use std::time::Duration;

use alloy_primitives::hex;
use baton_chain::{ChainClient, EvmClientConfig, NodeAnswer};
use baton_model::{Address, Bytes};
use serde_json::{Value, json};

use crate::fake::{Fake, Reply, beside_polls, calls, each, node_at};
use crate::support::{Account, config, start};

const SEND: &str = "eth_sendRawTransaction";

#[tokio::test]
async fn answers_out_of_order_find_their_questions() {
    let fake = Fake::start(|body| {
        let mut answers = each(body, |call| node_at(9, call));
        if let Some(batch) = answers.as_array_mut() {
            batch.reverse();
            for answer in batch {
                answer["id"] = json!(answer["id"].to_string());
            }
        }
        Reply::Json(answers)
    })
    .await;
    let client = start(&config(&[&fake.url]));
    let block = client
        .block(Some(7), &[Address::ZERO])
        .await
        .unwrap()
        .unwrap();
    assert_eq!((block.number, block.accounts[0].nonce), (7, 7));
    assert_eq!(fake.requests("eth_getBlockByNumber").len(), 1);
}

/// Refuses batches above a size, in the way given.
fn refusing(most: usize, how: fn() -> Reply) -> impl FnMut(&Value) -> Reply + Send + 'static {
    beside_polls(9, move |body| {
        if calls(body).len() > most {
            how()
        } else {
            Reply::Json(each(body, |call| node_at(9, call)))
        }
    })
}

#[tokio::test]
async fn an_endpoint_that_refuses_batches_gets_smaller_ones_and_it_is_remembered() {
    let refusals: [fn() -> Reply; 3] = [
        || Reply::Json(json!({"id": null, "error": {"code": -32600, "message": "no batches"}})),
        || Reply::Json(json!({"error": {"code": -32000, "message": "batch limit exceeded"}})),
        || Reply::Raw(413, "too large".to_owned()),
    ];
    for (most, requests) in [(10, 3), (1, 25)] {
        for how in refusals {
            let fake = Fake::start(refusing(most, how)).await;
            let client = start(&config(&[&fake.url]));
            let many = [Address::ZERO; 25];
            assert_eq!(client.pending_nonces(&many).await.unwrap(), [9; 25]);
            let first = fake.requests("eth_getTransactionCount").len();
            assert!(first > requests);
            assert_eq!(client.pending_nonces(&many).await.unwrap(), [9; 25]);
            let second = fake.requests("eth_getTransactionCount").len() - first;
            assert_eq!(second, requests);
            assert!(!client.endpoints()[0].paused);
        }
    }
}

#[tokio::test]
async fn refused_batches_of_sends_are_offered_once_and_in_order() {
    let how = || Reply::Json(json!({"id": null, "error": {"code": -32600, "message": "no"}}));
    let fake = Fake::start(refusing(1, how)).await;
    let client = start(&config(&[&fake.url]));
    let raws = Account::dev(0).transfers(0..25);
    let answers = client.broadcast(&raws).await;
    assert!(
        answers
            .iter()
            .all(|said| matches!(said[..], [NodeAnswer::Accepted(_)]))
    );
    let taken: Vec<Value> = fake
        .requests(SEND)
        .into_iter()
        .filter(|body| !body.is_array())
        .map(|call| call["params"][0].clone())
        .collect();
    let offered: Vec<Value> = raws.iter().map(|raw| json!(raw)).collect();
    assert_eq!(taken, offered);
}

#[tokio::test]
async fn what_a_batch_leaves_out_is_asked_again_when_read_and_unknown_when_sent() {
    let mut first = true;
    let fake = Fake::start(beside_polls(9, move |body| {
        let mut answers = each(body, |call| node_at(9, call));
        if std::mem::take(&mut first) || body[0]["method"] == SEND {
            answers.as_array_mut().unwrap().remove(1);
        }
        Reply::Json(answers)
    }))
    .await;
    let client = start(&config(&[&fake.url]));
    let two = [Address::ZERO; 2];
    assert_eq!(client.pending_nonces(&two).await.unwrap(), [9; 2]);
    assert_eq!(fake.requests("eth_getTransactionCount").len(), 2);
    let answers = client.broadcast(&Account::dev(0).transfers(0..3)).await;
    assert!(
        matches!(
            [&answers[0][..], &answers[1][..], &answers[2][..]],
            [
                [NodeAnswer::Accepted(_)],
                [NodeAnswer::Unknown { .. }],
                [NodeAnswer::Accepted(_)]
            ]
        ),
        "{answers:?}"
    );
    assert_eq!(fake.calls(SEND).len(), 3);
}

#[tokio::test]
async fn no_body_of_several_calls_exceeds_its_limits() {
    let fake = Fake::start(crate::fake::sound(9)).await;
    let client = start(&EvmClientConfig {
        batch_bytes: 10_000,
        batch_calls: 7,
        timeout: Duration::from_secs(10),
        ..config(&[&fake.url])
    });
    let mut raws: Vec<Bytes> = (0..40_u8).map(|i| vec![i; 1000].into()).collect();
    raws.insert(20, vec![0xee; 20_000].into());
    let answers = client.broadcast(&raws).await;
    assert!(
        answers
            .iter()
            .all(|said| matches!(said[..], [NodeAnswer::Accepted(_)]))
    );
    for body in fake.requests(SEND) {
        let calls = calls(&body).len();
        assert!(calls <= 7);
        assert!(calls == 1 || body.to_string().len() <= 10_000);
    }
    let offered = fake.calls(SEND);
    assert_eq!(offered.len(), 41);
    assert_eq!(offered[20]["params"][0], hex::encode_prefixed(&raws[20]));
}
