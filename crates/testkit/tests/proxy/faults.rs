use std::time::Duration;

use baton_testkit::{Delay, Fault, FaultRule, Moment, When};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{Account, SEND, World, request, sends};

/// What a client sees.
#[derive(Debug, PartialEq)]
enum Seen {
    Closed,
    Nothing,
    Answer(u16, &'static str),
}

fn seen(got: Option<Result<(u16, String), reqwest::Error>>) -> Seen {
    match got {
        None => Seen::Nothing,
        Some(Err(_)) => Seen::Closed,
        Some(Ok((status, body))) => {
            let what = match serde_json::from_str::<Value>(&body) {
                Ok(answer) if answer["result"].is_string() && answer["id"] == 7 => "result",
                Ok(answer) if answer["result"].is_string() => "stray result",
                Ok(_) => "error",
                Err(_) if body.is_empty() => "nothing",
                Err(_) if body.starts_with(r#"{"jsonrpc":"#) => "half",
                Err(_) => "no JSON",
            };
            Seen::Answer(status, what)
        }
    }
}

/// A fault, what a client sees of it, whether the node gets the call, and the fault's name.
fn table() -> [(Fault, Seen, bool, &'static str); 16] {
    use Moment::{After, Before};
    const NO_JSON: Seen = Seen::Answer(200, "no JSON");
    const NO_BODY: Seen = Seen::Answer(200, "nothing");
    const RESULT: Seen = Seen::Answer(200, "result");
    const ERROR: Seen = Seen::Answer(200, "error");
    const HALF: Seen = Seen::Answer(200, "half");
    const STRAY: Seen = Seen::Answer(200, "stray result");
    let status = |code| Seen::Answer(code, "no JSON");
    let refused = Fault::Refused {
        code: -32005,
        message: "limit exceeded".to_owned(),
    };
    [
        (Fault::Cut(Before), Seen::Closed, false, "cut"),
        (Fault::Cut(After), Seen::Closed, true, "cut"),
        (Fault::NoReply(Before), Seen::Nothing, false, "no-reply"),
        (Fault::NoReply(After), Seen::Nothing, true, "no-reply"),
        (Fault::Status(429, Before), status(429), false, "status"),
        (Fault::Status(503, After), status(503), true, "status"),
        (Fault::Status(500, After), status(500), true, "status"),
        (Fault::Garbage(Before), NO_JSON, false, "garbage"),
        (Fault::Garbage(After), NO_JSON, true, "garbage"),
        (Fault::Empty(Before), NO_BODY, false, "empty"),
        (Fault::Empty(After), NO_BODY, true, "empty"),
        (Fault::Truncated, HALF, true, "truncated"),
        (Fault::WrongId, STRAY, true, "wrong-id"),
        (Fault::Omitted, NO_BODY, true, "omitted"),
        (refused, ERROR, false, "refused"),
        (Fault::Forgotten, RESULT, false, "forgotten"),
    ]
}

#[tokio::test]
async fn each_fault_shows_what_it_claims_and_only_then_reaches_the_node() {
    let world = World::start().await;
    let account = Account::dev(0);
    for (nonce, (fault, shown, reaches, name)) in (0..).zip(table()) {
        world.trace.clear();
        let rule = FaultRule::new(fault.clone(), When::Next(1)).on(SEND);
        world.control.inject(rule);
        // Reads go through while a rule waits for a send.
        assert_eq!(world.result("eth_chainId", json!([])).await, "0x7a69");
        let tx = account.transfer(nonce);
        let body = request(7, SEND, &json!([tx.raw]));
        assert_eq!(seen(world.post_briefly(&body).await), shown, "{fault:?}");
        assert_eq!(world.at_node(&tx).await, reaches, "{fault:?}");
        assert_eq!(
            world.trace.faults().into_iter().collect::<Vec<_>>(),
            [(name, 1)]
        );
        assert_eq!(world.trace.broadcast(tx.hash).unwrap().1, 1, "{fault:?}");
        // It struck once: the same bytes go through now.
        let again = world.answer(SEND, json!([tx.raw])).await;
        assert_eq!(again.get("result").is_none(), reaches, "{fault:?}: {again}");
    }
}

#[tokio::test]
async fn faults_of_single_calls_leave_the_rest_of_a_batch_alone() {
    let world = World::start().await;
    let txs = Account::dev(0).transfers(0..5);
    let nth = |fault, place| FaultRule::new(fault, When::Nth(place)).on(SEND);
    world.control.inject(nth(Fault::Omitted, 2));
    world.control.inject(nth(Fault::Forgotten, 3));
    world.control.inject(nth(Fault::WrongId, 5));
    let (_, body) = world.post(&sends(&txs)).await.unwrap();
    let answers: Vec<Value> = serde_json::from_str(&body).unwrap();
    let ids: Vec<u64> = answers
        .iter()
        .map(|one| one["id"].as_u64().unwrap())
        .collect();
    assert_eq!(ids, [0, 2, 3, 1_000_007]);
    assert!(
        answers.iter().all(|one| one["result"].is_string()),
        "{body}"
    );
    let mut at_node = Vec::new();
    for tx in &txs {
        at_node.push(world.at_node(tx).await);
    }
    assert_eq!(at_node, [true, true, false, true, true]);
    assert_eq!(world.trace.forgotten(), 1);
}

#[tokio::test]
async fn a_share_is_a_share_and_the_same_seed_gives_the_same() {
    let run = async |seed| {
        let world = World::with_seed(seed).await;
        let cut = FaultRule::new(Fault::Cut(Moment::Before), When::Permille(300));
        world.control.inject(cut.on("eth_chainId"));
        let mut cuts = Vec::new();
        for _ in 0..200 {
            let body = request(7, "eth_chainId", &json!([]));
            cuts.push(world.post(&body).await.is_err());
            world.result("eth_blockNumber", json!([])).await;
        }
        cuts
    };
    let one = run(5).await;
    assert_eq!(one, run(5).await);
    assert_ne!(one, run(6).await);
    let count = one.iter().filter(|cut| **cut).count();
    assert!((35..=85).contains(&count), "{count} of 200");
}

#[tokio::test]
async fn delays_add_up_on_one_connection_and_not_across_connections() {
    let world = World::start().await;
    let body = request(7, "eth_chainId", &json!([]));
    let one = async || {
        let since = Instant::now();
        world.post(&body).await.unwrap();
        since.elapsed()
    };
    one().await;
    world.control.delay(Duration::from_millis(200));
    assert!(one().await >= Duration::from_millis(200));
    let since = Instant::now();
    let all: Vec<Duration> = futures_util::future::join_all((0..20).map(|_| one())).await;
    assert!(all.iter().all(|took| *took >= Duration::from_millis(200)));
    assert!(
        since.elapsed() < Duration::from_secs(3),
        "{:?}",
        since.elapsed()
    );
    // A client that gives up does not take its request back.
    let tx = Account::dev(0).transfer(0);
    world
        .control
        .delay_forwarding(Delay::fixed(Duration::from_millis(400)));
    let send = request(7, SEND, &json!([tx.raw]));
    assert!(world.post_briefly(&send).await.is_none());
    world.control.delay(Duration::ZERO);
    let deadline = Instant::now() + crate::support::PATIENCE;
    while !world.at_node(&tx).await {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn what_is_no_call_is_handed_on_and_other_verbs_are_not() {
    let world = World::start().await;
    let client = crate::support::client();
    for body in ["", "garbage", "[]", r#"{"id":1}"#] {
        let direct = client.post(world.anvil.http_url()).body(body);
        let proxied = client.post(world.proxy.url()).body(body);
        let json = |request: reqwest::RequestBuilder| async {
            let request = request.header("content-type", "application/json");
            let response = request.send().await.unwrap();
            (response.status(), response.text().await.unwrap())
        };
        assert_eq!(json(direct).await, json(proxied).await, "{body}");
    }
    let get = client.get(world.proxy.url()).send().await.unwrap();
    assert_eq!(get.status(), 405);
}
