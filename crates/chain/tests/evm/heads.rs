//! Heads by WebSocket and by polling.

use std::net::SocketAddr;
use std::time::Duration;

use baton_chain::{ChainClient, Endpoint, EvmClientConfig};
use baton_model::Address;
use baton_testkit::Mining;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use crate::fake::{Fake, Reply, each, node_at, sound};
use crate::support::{anvil, config, head, start};

#[tokio::test]
async fn polling_follows_an_interval_chain() {
    let anvil = anvil(Mining::Every(Duration::from_millis(300))).await;
    let client = start(&config(&[&anvil.http_url()]));
    assert_eq!(*client.heads().borrow(), None);
    let mut heads = client.heads();
    let mut last = head(&client, |_| true).await.number;
    for _ in 0..4 {
        heads.changed().await.unwrap();
        let next = heads.borrow_and_update().unwrap().number;
        assert!(next >= last);
        last = next;
    }
    assert!(client.healthy());
}

#[tokio::test]
async fn a_websocket_tells_hashes() {
    let anvil = anvil(Mining::Every(Duration::from_millis(300))).await;
    let endpoint = Endpoint {
        ws_url: Some(anvil.ws_url()),
        ..Endpoint::new(anvil.http_url())
    };
    let client = start(&EvmClientConfig {
        endpoints: vec![endpoint],
        ..config(&[])
    });
    let first = head(&client, |head| head.hash.is_some()).await;
    let next = head(&client, |head| {
        head.hash.is_some() && head.number > first.number
    })
    .await;
    let block = client.block(Some(next.number), &[]).await.unwrap().unwrap();
    assert_eq!(Some(block.hash), next.hash);
}

/// Passes connections on to an address while the gate is open; closing it cuts them.
struct Wire {
    address: SocketAddr,
    open: watch::Sender<bool>,
    _task: JoinHandle<()>,
}

impl Wire {
    async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (open, gate) = watch::channel(true);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                let mut gate = gate.clone();
                connections.spawn(async move {
                    if !*gate.borrow() {
                        return;
                    }
                    let mut far = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = gate.wait_for(|open| !open) => {}
                    }
                });
            }
        });
        Self {
            address,
            open,
            _task: task,
        }
    }
}

#[tokio::test]
async fn polling_takes_over_while_the_websocket_is_down() {
    let anvil = anvil(Mining::Every(Duration::from_millis(200))).await;
    let wire = Wire::to(anvil.port()).await;
    let endpoint = Endpoint {
        ws_url: Some(format!("ws://{}", wire.address)),
        ..Endpoint::new(anvil.http_url())
    };
    let client = start(&EvmClientConfig {
        endpoints: vec![endpoint],
        ..config(&[])
    });
    head(&client, |head| head.hash.is_some()).await;
    wire.open.send_replace(false);
    let down = head(&client, |head| head.hash.is_none()).await;
    head(&client, |head| head.number > down.number + 2).await;
    wire.open.send_replace(true);
    head(&client, |head| {
        head.hash.is_some() && head.number > down.number
    })
    .await;
}

#[tokio::test]
async fn a_websocket_that_went_silent_is_found_out() {
    let (chain, silent) = tokio::join!(
        anvil(Mining::Every(Duration::from_millis(500))),
        anvil(Mining::OnRequest)
    );
    let endpoint = Endpoint {
        ws_url: Some(silent.ws_url()),
        ..Endpoint::new(chain.http_url())
    };
    let client = start(&EvmClientConfig {
        endpoints: vec![endpoint],
        ..config(&[])
    });
    head(&client, |head| head.number >= 3 && head.hash.is_none()).await;
}

#[tokio::test]
async fn an_endpoint_that_only_announces_makes_the_others_be_polled() {
    let announcer = anvil(Mining::Every(Duration::from_millis(50))).await;
    let mut number = 0;
    let fake = Fake::start(move |body| {
        number += 1;
        Reply::Json(each(body, |call| node_at(number, call)))
    })
    .await;
    let started = Instant::now();
    let client = start(&EvmClientConfig {
        // Polls alone would come once a second.
        average_block_time: Duration::from_secs(12),
        ..config(&[&fake.url, &announcer.ws_url()])
    });
    head(&client, |head| head.number >= 20).await;
    assert!(started.elapsed() < Duration::from_secs(15));
    assert_eq!(client.endpoints().len(), 1);
}

#[tokio::test]
async fn polls_of_a_node_that_hangs_do_not_pile_up() {
    let fake = Fake::start(|body| match body["method"].as_str() {
        Some("eth_blockNumber") => Reply::Hang,
        Some(_) | None => Reply::Json(each(body, |call| node_at(9, call))),
    })
    .await;
    let client = start(&config(&[&fake.url]));
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(500) {
        client.pending_nonces(&[Address::ZERO]).await.unwrap();
    }
    assert_eq!(fake.requests("eth_blockNumber").len(), 1);
}

#[tokio::test]
async fn a_client_that_is_dropped_or_shut_down_asks_no_more() {
    let fake = Fake::start(sound(9)).await;
    let client = start(&config(&[&fake.url]));
    head(&client, |head| head.number == 9).await;
    client.shutdown(Duration::from_secs(5)).await;
    let polls = fake.requests("eth_blockNumber").len();
    let mut heads = client.heads();
    heads.mark_unchanged();
    // Several poll intervals.
    let nothing = tokio::time::timeout(Duration::from_millis(500), heads.changed()).await;
    assert!(nothing.is_err());
    assert_eq!(fake.requests("eth_blockNumber").len(), polls);
    drop(client);
    assert!(heads.changed().await.is_err());
}
