//! Callers' own questions, handed on.

use baton_chain::{ChainClient, PassedCall, RpcError};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::fake::{Fake, Reply, beside_polls, each};
use crate::support::{config, head, start};

const CALL: &str = "eth_call";

fn calls(count: usize) -> Vec<PassedCall> {
    let call = |index: usize| PassedCall {
        method: CALL,
        params: RawValue::from_string(format!("[{index},  1.0]")).unwrap(),
    };
    (0..count).map(call).collect()
}

fn results(answers: &[Result<Box<RawValue>, RpcError>]) -> Vec<String> {
    let results = answers
        .iter()
        .map(|answer| answer.as_ref().unwrap().get().to_owned());
    results.collect()
}

/// Answers with the first parameter.
fn echo(body: &Value) -> Reply {
    Reply::Json(each(body, |call| Ok(call["params"][0].clone())))
}

#[tokio::test]
async fn answers_come_in_the_order_of_the_calls_and_as_they_were_written() {
    let fake = Fake::start(beside_polls(9, echo)).await;
    let client = start(&config(&[&fake.url]));
    let answers = client.pass(&calls(250)).await.unwrap();
    let expected: Vec<String> = (0..250).map(|index| index.to_string()).collect();
    assert_eq!(results(&answers), expected);
    assert_eq!(fake.requests(CALL).len(), 3, "batches of a hundred");
}

#[tokio::test]
async fn errors_are_the_nodes_own() {
    let revert = json!({ "code": 3, "message": "execution reverted", "data": "0x08c379a0" });
    let error = revert.clone();
    let fake = Fake::start(beside_polls(9, move |body| {
        Reply::Json(each(body, |_| Err(error.clone())))
    }));
    let fake = fake.await;
    let client = start(&config(&[&fake.url]));
    let answers = client.pass(&calls(1)).await.unwrap();
    let expected = RpcError::Answered {
        code: 3,
        message: "execution reverted".to_owned(),
        data: Some("\"0x08c379a0\"".to_owned()),
    };
    assert_eq!(answers[0].as_ref().unwrap_err(), &expected);
    assert_eq!(fake.requests(CALL).len(), 1, "asked once");
}

/// A caller can ask what no node can answer as often as it likes.
#[tokio::test]
async fn what_callers_ask_costs_no_node_its_health() {
    let limit = json!({ "code": -32005, "message": "query returned more than 10000 results" });
    let fake = Fake::start(beside_polls(9, move |body| {
        Reply::Json(each(body, |_| Err(limit.clone())))
    }));
    let cutting = Fake::start(beside_polls(9, |_| Reply::Cut)).await;
    let fake = fake.await;
    for url in [&fake.url, &cutting.url] {
        let client = start(&config(&[url]));
        head(&client, |head| head.number == 9).await;
        for _ in 0..10 {
            let _refused = client.pass(&calls(1)).await;
        }
        let health = &client.endpoints()[0];
        assert_eq!((health.score, health.paused), (100, false));
    }
}

#[tokio::test]
async fn another_node_is_asked_while_one_does_not_answer() {
    let cutting = Fake::start(beside_polls(9, |_| Reply::Cut)).await;
    let fake = Fake::start(beside_polls(9, echo)).await;
    let client = start(&config(&[&cutting.url, &fake.url]));
    for _ in 0..8 {
        let answers = client.pass(&calls(2)).await.unwrap();
        assert_eq!(results(&answers), ["0", "1"]);
    }
    let alone = start(&config(&[&cutting.url]));
    let error = alone.pass(&calls(1)).await.unwrap_err();
    assert!(matches!(error, RpcError::NoAnswer { .. }), "{error}");
}

#[tokio::test]
async fn a_node_that_refuses_batches_gets_smaller_ones_and_keeps_its_own() {
    let fake = Fake::start(beside_polls(9, |body| {
        if body.as_array().is_some_and(|batch| batch.len() > 10) {
            return Reply::Raw(413, "too large".to_owned());
        }
        echo(body)
    }));
    let fake = fake.await;
    let client = start(&config(&[&fake.url]));
    let answers = client.pass(&calls(25)).await.unwrap();
    assert_eq!(answers.len(), 25);
    assert_eq!(results(&answers)[24], "24");
    // The next question begins with large batches again: a caller does not set a node's limit.
    client.pass(&calls(25)).await.unwrap();
    let sizes: Vec<usize> = fake
        .requests(CALL)
        .iter()
        .map(|body| body.as_array().map_or(1, Vec::len))
        .collect();
    assert_eq!(sizes, [25, 10, 10, 5, 25, 10, 10, 5]);
}
