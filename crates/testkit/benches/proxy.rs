//! What the fault proxy costs: added latency and throughput, in front of a node that does nothing
//! and in front of anvil. `cargo bench -p baton-testkit --bench proxy`

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::time::Duration;

use baton_chain::tx::{encode_signed, signing_hash};
use baton_model::{Address, Call, Fees, U256, UnsignedTx};
use baton_testkit::{Anvil, AnvilOptions, Mining, PoolRules, Proxy, ProxyOptions};
use baton_vault::LocalSigner;
use futures_util::future::join_all;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::Instant;

const BATCH: usize = 100;
const CONNECTIONS: usize = 4;
const BATCHES: usize = 100;
const SINGLES: usize = 2000;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime starts").block_on(async {
        null_node().await;
        anvil().await;
    });
}

async fn null_node() {
    let node = start_null_node().await;
    let proxy = Proxy::start(&node, ProxyOptions::default()).expect("a proxy starts");
    let single = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []});
    let single = vec![Bytes::from(single.to_string())];
    let signer = signer(0);
    let chunks = (0..CONNECTIONS * BATCHES).map(|chunk| batch(&signer, chunk * BATCH, BATCH));
    let batches: Vec<Bytes> = chunks.collect();
    println!("in front of a node that does nothing, batches of {BATCH} sends\n");
    println!(
        "{:>8} {:>24} {:>24} {:>10}",
        "", "single p50/p99 us", "batch p50/p99 us", "tx/s"
    );
    for (name, url) in [("direct", node), ("proxied", proxy.url())] {
        let (p50, p99) = latency(&url, &single, SINGLES).await;
        let (batch_p50, batch_p99) = latency(&url, &batches[..BATCHES], BATCHES).await;
        let rate = throughput(&url, &batches).await;
        println!("{name:>8} {p50:>12}{p99:>12} {batch_p50:>12}{batch_p99:>12} {rate:>10.0}");
    }
    println!("\ncalls seen: {:?}\n", proxy.trace().calls_by_method());
}

/// Ten accounts, each on a connection of its own, in batches of 25: how anvil takes in the most.
async fn anvil() {
    const ACCOUNTS: usize = 10;
    const EACH: usize = 500;
    println!("in front of anvil, {ACCOUNTS} accounts in batches of 25");
    for name in ["direct", "proxied", "strict"] {
        let options = AnvilOptions {
            mining: Mining::Every(Duration::from_secs(1)),
            gas_limit: 300_000_000,
            ..AnvilOptions::default()
        };
        let anvil = Anvil::start(&options).await.expect("anvil starts");
        let proxy = Proxy::start(&anvil.http_url(), ProxyOptions::default());
        let proxy = proxy.expect("a proxy starts");
        if name == "strict" {
            proxy.control().pool_rules(Some(PoolRules {
                executable_max: None,
                ..PoolRules::default()
            }));
        }
        let url = if name == "direct" {
            anvil.http_url()
        } else {
            proxy.url()
        };
        let work: Vec<Vec<Bytes>> = (0..ACCOUNTS)
            .map(|index| {
                let signer = signer(index);
                let chunks = (0..EACH / 25).map(|chunk| batch(&signer, chunk * 25, 25));
                chunks.collect()
            })
            .collect();
        let since = Instant::now();
        join_all(work.iter().map(|bodies| run(&url, bodies))).await;
        let rate = (ACCOUNTS * EACH) as f64 / since.elapsed().as_secs_f64();
        println!(
            "{name:>8} {rate:>10.0} tx/s, refused {:?}",
            proxy.trace().refusals()
        );
    }
}

async fn latency(url: &str, bodies: &[Bytes], count: usize) -> (u128, u128) {
    let client = client();
    let mut taken = Vec::with_capacity(count);
    for place in 0..count {
        let since = Instant::now();
        post(&client, url, &bodies[place % bodies.len()]).await;
        taken.push(since.elapsed().as_micros());
    }
    taken.sort_unstable();
    (taken[count / 2], taken[count * 99 / 100])
}

async fn throughput(url: &str, bodies: &[Bytes]) -> f64 {
    let since = Instant::now();
    let share = bodies.len() / CONNECTIONS;
    join_all(bodies.chunks(share).map(|bodies| run(url, bodies))).await;
    (bodies.len() * BATCH) as f64 / since.elapsed().as_secs_f64()
}

async fn run(url: &str, bodies: &[Bytes]) {
    let client = client();
    for body in bodies {
        post(&client, url, body).await;
    }
}

async fn post(client: &reqwest::Client, url: &str, body: &Bytes) {
    let request = client.post(url).header("content-type", "application/json");
    let response = request.body(body.clone()).send().await.expect("an answer");
    assert!(response.status().is_success());
    response.bytes().await.expect("a body");
}

fn client() -> reqwest::Client {
    let _already_installed = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build();
    client.expect("the settings are constants")
}

/// A batch of transfers from the nonce `first` on.
fn batch(signer: &LocalSigner, first: usize, count: usize) -> Bytes {
    let calls: Value = (first..first + count)
        .map(|nonce| {
            let tx = UnsignedTx {
                chain_id: 31_337,
                nonce: nonce as u64,
                gas_limit: 21_000,
                fees: Fees::Eip1559 {
                    max_fee: 10_000_000_000,
                    max_priority_fee: 1_000_000_000,
                },
                call: Call {
                    to: Some(Address::left_padding_from(&nonce.to_be_bytes())),
                    value: U256::from(1),
                    data: baton_model::Bytes::new(),
                },
            };
            let signature = signer.sign(signing_hash(&tx));
            let tx = encode_signed(&tx, signature.r, signature.s, signature.y_parity);
            let params = json!([tx.raw]);
            let method = "eth_sendRawTransaction";
            json!({"jsonrpc": "2.0", "id": nonce - first, "method": method, "params": params})
        })
        .collect();
    Bytes::from(calls.to_string())
}

fn signer(index: usize) -> LocalSigner {
    LocalSigner::from_hex(Anvil::DEV_KEYS[index]).expect("anvil's keys are keys")
}

async fn start_null_node() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).expect("a socket option");
            let service = service_fn(async |request: Request<hyper::body::Incoming>| {
                request.into_body().collect().await?;
                let body = Full::new(Bytes::from_static(b"[]"));
                Ok::<_, hyper::Error>(Response::new(body))
            });
            let serving = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::spawn(serving);
        }
    });
    url
}
