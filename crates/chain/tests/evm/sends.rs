//! Broadcasts: order, what travels together, and slow endpoints.

use baton_chain::{ChainClient, NodeAnswer};
use baton_model::Bytes;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::fake::{Fake, Reply, beside_polls, each, node_at, sound};
use crate::support::{Account, PATIENCE, config, start};

const SEND: &str = "eth_sendRawTransaction";

fn is_accepted(said: &[NodeAnswer]) -> bool {
    matches!(said, [NodeAnswer::Accepted(_)])
}

fn says(answers: &[Vec<NodeAnswer>], why: &str) -> bool {
    match &answers[0][..] {
        [NodeAnswer::Unknown { reason }] => reason.contains(why),
        _ => false,
    }
}

/// Sends wait at the gate.
fn gated(gate: watch::Receiver<bool>) -> impl FnMut(&Value) -> Reply + Send + 'static {
    beside_polls(9, move |body| {
        Reply::Gate(gate.clone(), each(body, |call| node_at(9, call)))
    })
}

fn offered(fake: &Fake) -> Vec<Value> {
    let calls = fake.calls(SEND);
    calls
        .into_iter()
        .map(|call| call["params"][0].clone())
        .collect()
}

#[tokio::test]
async fn every_endpoint_gets_everything_once_in_the_order_of_the_broadcasts() {
    let fakes = [Fake::start(sound(9)).await, Fake::start(sound(9)).await];
    let client = start(&config(&[&fakes[0].url, &fakes[1].url]));
    let raws = Account::dev(0).transfers(0..60);
    for raw in &raws {
        let answers = client.broadcast(std::slice::from_ref(raw)).await;
        assert!(matches!(answers[0][0], NodeAnswer::Accepted(_)));
    }
    client.shutdown(PATIENCE).await;
    let expected: Vec<Value> = raws.iter().map(|raw| json!(raw)).collect();
    for fake in &fakes {
        assert_eq!(offered(fake), expected);
    }
}

#[tokio::test]
async fn the_first_to_accept_decides_and_the_slow_one_is_served() {
    let (open, gate) = watch::channel(false);
    let (fast, slow) = (Fake::start(sound(9)).await, Fake::start(gated(gate)).await);
    let client = start(&config(&[&fast.url, &slow.url]));
    let raws = Account::dev(0).transfers(0..30);
    for chunk in raws.chunks(10) {
        let answers = client.broadcast(chunk).await;
        assert!(answers.iter().all(|said| is_accepted(said)));
    }
    open.send_replace(true);
    client.shutdown(PATIENCE).await;
    let expected: Vec<Value> = raws.iter().map(|raw| json!(raw)).collect();
    assert_eq!(offered(&slow), expected);
}

#[tokio::test]
async fn a_rejection_waits_for_what_the_others_say() {
    let (open, gate) = watch::channel(false);
    let error = json!({"code": -32000, "message": "txpool is full"});
    let full = Fake::start(beside_polls(9, move |body| {
        Reply::Json(each(body, |_| Err(error.clone())))
    }))
    .await;
    let slow = Fake::start(gated(gate)).await;
    let client = start(&config(&[&full.url, &slow.url]));
    let raw = Account::dev(0).transfer(0).raw;
    let broadcast = client.broadcast(std::slice::from_ref(&raw));
    let (answers, ()) = tokio::join!(broadcast, async {
        full.wait_for(SEND, 1).await;
        slow.wait_for(SEND, 1).await;
        open.send_replace(true);
    });
    let [
        NodeAnswer::Rejected { message, .. },
        NodeAnswer::Accepted(_),
    ] = &answers[0][..]
    else {
        panic!("{answers:?}");
    };
    assert_eq!(message, "txpool is full");
}

#[tokio::test]
async fn what_waits_together_travels_together() {
    let (open, gate) = watch::channel(false);
    let fake = Fake::start(gated(gate)).await;
    let client = start(&config(&[&fake.url]));
    let raws = Account::dev(0).transfers(0..101);
    let first = client.broadcast(&raws[..1]);
    let rest = async {
        fake.wait_for(SEND, 1).await;
        let all = raws[1..].chunks(1).map(|raw| client.broadcast(raw));
        let all = futures_util::future::join_all(all);
        let opened = async {
            // The broadcasts above are polled first and are queued then.
            open.send_replace(true);
        };
        tokio::join!(all, opened).0
    };
    let (_, rest) = tokio::join!(first, rest);
    assert!(rest.iter().all(|answers| is_accepted(&answers[0])));
    assert_eq!(fake.requests(SEND).len(), 2);
    let expected: Vec<Value> = raws.iter().map(|raw| json!(raw)).collect();
    assert_eq!(offered(&fake), expected);
}

#[tokio::test]
async fn a_full_queue_and_a_closed_client_are_unknown() {
    let (open, gate) = watch::channel(false);
    let fake = Fake::start(gated(gate)).await;
    let client = start(&config(&[&fake.url]));
    let raws: Vec<Bytes> = Account::dev(0).transfers(0..1);
    let first = client.broadcast(&raws);
    let more = async {
        fake.wait_for(SEND, 1).await;
        let all = (0..300).map(|_| client.broadcast(&raws));
        let all = futures_util::future::join_all(all);
        tokio::join!(all, async { open.send_replace(true) }).0
    };
    let (_, more) = tokio::join!(first, more);
    let is_full = |answers: &&Vec<Vec<NodeAnswer>>| says(answers, "queue of sends is full");
    assert_eq!(more.iter().filter(is_full).count(), 300 - 256);
    client.shutdown(PATIENCE).await;
    let answers = client.broadcast(&raws).await;
    assert!(says(&answers, "shut down"));
    assert_eq!(fake.calls(SEND).len(), 257);
}

#[tokio::test]
async fn nothing_to_broadcast_is_no_request() {
    let fake = Fake::start(sound(9)).await;
    let client = start(&config(&[&fake.url]));
    assert!(client.broadcast(&[]).await.is_empty());
    client.shutdown(PATIENCE).await;
    assert_eq!(fake.requests(SEND).len(), 0);
}
