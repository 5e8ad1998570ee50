//! Nodes that answer badly or not at all.

use std::time::Duration;

use baton_chain::{ChainClient, EvmClient, EvmClientConfig, NodeAnswer, RpcError};
use baton_model::{Address, Classified, Retry};
use baton_testkit::Mining;
use serde_json::{Value, json};

use crate::fake::{Fake, Reply, beside_polls, each, sound};
use crate::support::{Account, anvil, config, start};

const SEND: &str = "eth_sendRawTransaction";

/// A limit that the oversized answer exceeds.
const RESPONSE_BYTES: usize = 100_000;

type Fault = (&'static str, fn() -> Reply);

fn faults() -> Vec<Fault> {
    vec![
        ("429", || Reply::Raw(429, "slow down".to_owned())),
        ("503", || Reply::Raw(503, String::new())),
        ("502 with JSON-RPC in it", || {
            let body = json!({"id": 0, "error": {"code": -32000, "message": "nonce too low"}});
            Reply::Raw(502, body.to_string())
        }),
        ("garbage", || {
            Reply::Raw(200, "\u{0}\u{1}garbage".to_owned())
        }),
        ("a page", || {
            Reply::Raw(200, "<html>hello</html>".to_owned())
        }),
        ("nothing", || Reply::Raw(200, String::new())),
        ("an empty batch", || Reply::Json(json!([]))),
        ("an empty object", || Reply::Json(json!({}))),
        ("another id", || {
            Reply::Json(json!({"id": 9, "result": "0x1"}))
        }),
        ("another result", || {
            Reply::Json(json!({"id": 0, "result": {"a": 1}}))
        }),
        ("a deep one", || Reply::Raw(200, "[".repeat(10_000))),
        ("an oversized one", || {
            Reply::Raw(200, " ".repeat(RESPONSE_BYTES + 1))
        }),
        ("a redirect", || Reply::Raw(307, String::new())),
        ("401", || Reply::Raw(401, "who?".to_owned())),
        ("400", || Reply::Raw(400, "what?".to_owned())),
        ("silence", || Reply::Hang),
        ("a cut", || Reply::Cut),
    ]
}

fn client_of(url: &str) -> EvmClient {
    start(&EvmClientConfig {
        timeout: Duration::from_millis(300),
        response_bytes: RESPONSE_BYTES,
        ..config(&[url])
    })
}

#[tokio::test]
async fn reads_get_no_answer() {
    for (name, fault) in faults() {
        let fake = Fake::start(beside_polls(9, move |_| fault())).await;
        let client = client_of(&fake.url);
        let error = client.pending_nonces(&[Address::ZERO]).await.unwrap_err();
        assert!(
            matches!(error, RpcError::NoAnswer { .. }),
            "{name}: {error}"
        );
        assert_eq!(error.retry(), Retry::Unknown);
    }
}

#[tokio::test]
async fn sends_are_unknown_and_offered_once() {
    for (name, fault) in faults() {
        let fake = Fake::start(beside_polls(9, move |_| fault())).await;
        let client = client_of(&fake.url);
        let answers = client.broadcast(&[Account::dev(0).transfer(0).raw]).await;
        let [said] = &answers[..] else { panic!() };
        assert!(
            matches!(said[..], [NodeAnswer::Unknown { .. }]),
            "{name}: {said:?}"
        );
        assert_eq!(fake.calls(SEND).len(), 1, "{name}");
    }
}

#[tokio::test]
async fn an_endpoint_that_is_not_there_is_no_answer() {
    let client = client_of("http://127.0.0.1:9");
    let error = client.market(&[50]).await.unwrap_err().to_string();
    assert!(
        error.contains("127.0.0.1:9") && error.contains("refused"),
        "{error}"
    );
    let answers = client.broadcast(&[Account::dev(0).transfer(0).raw]).await;
    assert!(matches!(answers[0][..], [NodeAnswer::Unknown { .. }]));
    assert!(!client.healthy());
}

#[tokio::test]
async fn a_reply_lost_after_the_node_accepted_is_unknown() {
    let anvil = anvil(Mining::OnRequest).await;
    let url = anvil.http_url();
    let fake = Fake::start(move |body| match body["method"].as_str() {
        Some(SEND) => Reply::ForwardAndCut(url.clone()),
        Some(_) | None => Reply::Forward(url.clone()),
    })
    .await;
    let client = start(&config(&[&fake.url]));
    let sender = Account::dev(0);
    let raw = sender.transfer(0).raw;
    let answers = client.broadcast(std::slice::from_ref(&raw)).await;
    assert!(
        matches!(answers[0][..], [NodeAnswer::Unknown { .. }]),
        "{answers:?}"
    );
    assert_eq!(client.pending_nonces(&[sender.address]).await.unwrap(), [1]);
}

#[tokio::test]
async fn a_json_rpc_error_with_status_400_is_an_answer() {
    let fake = Fake::start(beside_polls(9, |body| {
        let error = json!({"code": -32000, "message": "nonce too low"});
        Reply::Raw(400, each(body, |_| Err(error.clone())).to_string())
    }))
    .await;
    let client = client_of(&fake.url);
    let answers = client.broadcast(&[Account::dev(0).transfer(0).raw]).await;
    let rejected = NodeAnswer::Rejected {
        code: -32000,
        message: "nonce too low".to_owned(),
    };
    assert_eq!(answers, [[rejected]]);
}

#[tokio::test]
async fn a_node_that_names_another_hash_has_not_accepted() {
    let fake = Fake::start(beside_polls(9, |body| {
        Reply::Json(each(body, |_| Ok(json!(format!("0x{:064x}", 1)))))
    }))
    .await;
    let client = client_of(&fake.url);
    let answers = client.broadcast(&[Account::dev(0).transfer(0).raw]).await;
    assert!(
        matches!(answers[0][..], [NodeAnswer::Unknown { .. }]),
        "{answers:?}"
    );
}

#[tokio::test]
async fn keys_in_urls_are_never_shown() {
    for fault in faults().into_iter().map(|(_, fault)| fault) {
        let fake = Fake::start(move |_: &Value| fault()).await;
        let host = fake.url.strip_prefix("http://").unwrap();
        let secret = format!("http://user:sEcReT@{host}/v2/sEcReT?key=sEcReT#sEcReT");
        let settings = config(&[&secret]);
        assert!(!format!("{settings:?}").contains("sEcReT"));
        let client = client_of(&secret);
        let read = client.market(&[50]).await.unwrap_err().to_string();
        let sent = format!("{:?}", client.broadcast(&[vec![1].into()]).await);
        for text in [read, sent] {
            assert!(!text.contains("sEcReT"), "{text}");
            assert!(
                text.contains(host) || text.contains("unreadable result"),
                "{text}"
            );
        }
    }
}

#[tokio::test]
async fn results_that_do_not_fit_are_no_answer() {
    for bad in [
        "\"0x1ffffffffffffffff\"",
        "\"12\"",
        "\"0x\"",
        "null",
        "12",
        "{}",
    ] {
        let result: Value = serde_json::from_str(bad).unwrap();
        let fake = Fake::start(beside_polls(9, move |body| {
            Reply::Json(each(body, |_| Ok(result.clone())))
        }))
        .await;
        let client = client_of(&fake.url);
        let error = client.pending_nonces(&[Address::ZERO]).await.unwrap_err();
        assert!(
            error.to_string().contains("eth_getTransactionCount"),
            "{bad}: {error}"
        );
    }
}

#[tokio::test]
async fn a_node_counts_as_healthy_once_it_answered() {
    let fake = Fake::start(sound(9)).await;
    let client = client_of(&fake.url);
    crate::support::head(&client, |head| head.number == 9).await;
    assert!(client.healthy());
}
