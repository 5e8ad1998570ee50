use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use baton_model::U256;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use super::rules::*;
use super::*;

fn candidate(nonce: u64, max_fee: u128, tip: u128) -> Candidate {
    Candidate {
        from: Address::repeat_byte(1),
        hash: B256::from(U256::from(u128::from(nonce) << 64 | max_fee)),
        nonce,
        bytes: 110,
        gas: 21_000,
        max_fee,
        tip,
        cost: U256::from(max_fee),
    }
}

fn account(nonce: u64, balance: u64, pooled: &[(u64, u128)]) -> Account {
    let entries = pooled.iter().map(|(nonce, max_fee)| {
        let entry = candidate(*nonce, *max_fee, *max_fee).entry();
        (*nonce, entry)
    });
    Account {
        nonce,
        balance: U256::from(balance),
        delegated: false,
        entries: entries.collect(),
    }
}

fn judged(account: &Account, tx: &Candidate) -> Result<Place, String> {
    let head = Head {
        base_fee: 0,
        gas_limit: 30_000,
    };
    let judged = judge(&PoolRules::default(), head, account, tx);
    judged.map_err(|refusal| refusal.message)
}

#[test]
fn gapped_transactions_cost_nothing_yet() {
    let rich_enough = account(0, 100, &[(0, 40), (5, 90)]);
    assert_eq!(judged(&rich_enough, &candidate(1, 60, 1)), Ok(Place::Slot));
    let text = judged(&rich_enough, &candidate(1, 61, 1)).unwrap_err();
    assert!(
        text.ends_with("balance 100, queued cost 40, tx cost 61, overshot 1"),
        "{text}"
    );
    // Replacing a gapped one is a new expense, as nothing was counted for the old one.
    let text = judged(&rich_enough, &candidate(5, 99, 99)).unwrap_err();
    assert!(
        text.ends_with("queued cost 40, tx cost 99, overshot 39"),
        "{text}"
    );
}

#[test]
fn a_cheaper_replacement_of_an_overdrawn_queue_shows_a_negative_bump() {
    let mut overdrawn = account(0, 50, &[(0, 40), (1, 40)]);
    let mut cheaper = candidate(1, 44, 44);
    cheaper.cost = U256::from(38);
    let text = judged(&overdrawn, &cheaper).unwrap_err();
    assert!(
        text.ends_with("queued cost 80, tx bumped -2, overshot 28"),
        "{text}"
    );
    overdrawn.balance = U256::from(78);
    assert_eq!(judged(&overdrawn, &cheaper), Ok(Place::Slot));
}

#[test]
fn fees_near_the_largest_do_not_overflow() {
    let full = account(0, u64::MAX, &[(0, u128::MAX)]);
    let mut tx = candidate(0, u128::MAX - 1, u128::MAX - 1);
    tx.cost = U256::ZERO;
    assert_eq!(
        judged(&full, &tx).unwrap_err(),
        "replacement transaction underpriced"
    );
}

#[test]
fn filling_a_gap_makes_what_waited_executable() {
    let waiting = account(3, 10_000, &[(4, 1), (5, 1), (7, 1)]);
    assert_eq!(waiting.next_executable(), 3);
    assert_eq!(judged(&waiting, &candidate(3, 1, 1)), Ok(Place::Slot));
    let filled = account(3, 10_000, &[(3, 1), (4, 1), (5, 1), (7, 1)]);
    assert_eq!(filled.next_executable(), 6);
}

/// A node that knows one account and makes a block before a reading whenever `moves` says so.
async fn node(moves: fn(u64) -> bool) -> Upstream {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let readings = Arc::new(AtomicU64::new(0));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let readings = Arc::clone(&readings);
            let service =
                service_fn(move |request| answered(request, moves, Arc::clone(&readings)));
            let serving = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::spawn(serving);
        }
    });
    Upstream::new(&url).unwrap()
}

async fn answered(
    request: Request<Incoming>,
    moves: fn(u64) -> bool,
    readings: Arc<AtomicU64>,
) -> Result<Response<String>, hyper::Error> {
    let body = request.into_body().collect().await?.to_bytes();
    let calls: Vec<Value> = serde_json::from_slice(&body).unwrap();
    let answers = calls.iter().map(|call| {
        let result = match call["method"].as_str().unwrap() {
            "eth_getBlockByNumber" => {
                let reading = readings.fetch_add(1, Ordering::Relaxed);
                let block = if moves(reading) { reading } else { 0 };
                json!({"hash": format!("{block:#x}"), "gasLimit": "0xffffff"})
            }
            "txpool_content" => json!({}),
            "eth_getCode" => json!("0x"),
            "eth_getTransactionCount" => json!("0x5"),
            _ => json!("0xffffffff"),
        };
        json!({"id": call["id"], "result": result})
    });
    Ok(Response::new(Value::from_iter(answers).to_string()))
}

#[tokio::test]
async fn a_reading_with_a_block_in_between_refuses_nobody() {
    let rules = PoolRules::default();
    let used = candidate(4, 10, 10);
    let still = StrictPool::new(node(|_| false).await);
    let verdict = still.judge_afresh(&rules, &used).await;
    assert!(matches!(verdict, Verdict::Refuse(_)), "{verdict:?}");
    // The first two readings are torn, the third is whole.
    let settles = StrictPool::new(node(|reads| reads < 4).await);
    let verdict = settles.judge_afresh(&rules, &used).await;
    assert!(matches!(verdict, Verdict::Refuse(_)), "{verdict:?}");
    let never = StrictPool::new(node(|_| true).await);
    let verdict = never.judge_afresh(&rules, &used).await;
    assert!(matches!(verdict, Verdict::Forward(_)), "{verdict:?}");
}

#[tokio::test]
async fn nothing_is_refused_for_the_sake_of_what_is_under_way() {
    let rules = PoolRules::default();
    let pool = StrictPool::new(node(|_| false).await);
    let first = pool.judge_afresh(&rules, &candidate(5, 100, 100)).await;
    let Verdict::Forward(first) = first else {
        panic!("{first:?}")
    };
    let lower = candidate(5, 50, 50);
    assert!(pool.judge(&rules, &lower).is_none());
    {
        let mut judging = std::pin::pin!(pool.judge_afresh(&rules, &lower));
        let early = timeout_at(Instant::now() + Duration::from_millis(200), &mut judging).await;
        assert!(early.is_err(), "{early:?}");
        pool.settle(&first, NodeSaid::Refused);
        let verdict = judging.await;
        assert!(matches!(verdict, Verdict::Forward(_)), "{verdict:?}");
    }
}
