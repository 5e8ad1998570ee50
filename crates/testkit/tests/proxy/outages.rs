use std::time::Duration;

use baton_testkit::{Outage, Proxy, ProxyError, ProxyOptions};
use serde_json::json;
use tokio::time::Instant;

use crate::support::{Account, PATIENCE, SEND, World, request};

#[tokio::test]
async fn while_connections_are_refused_nothing_listens_and_the_port_stays_taken() {
    let world = World::start().await;
    let body = request(7, "eth_chainId", &json!([]));
    world.post(&body).await.unwrap();
    world.control.outage(Some(Outage::Refuse)).await;
    let since = Instant::now();
    let refused = world.post(&body).await.unwrap_err();
    assert!(refused.is_connect(), "{refused:?}");
    assert!(since.elapsed() < PATIENCE / 2);
    assert!(std::net::TcpListener::bind(("127.0.0.1", world.proxy.port())).is_err());
    world.control.outage(None).await;
    assert_eq!(world.result("eth_chainId", json!([])).await, "0x7a69");
}

#[tokio::test]
async fn an_outage_closes_what_is_under_way() {
    let world = World::start().await;
    world.control.delay(PATIENCE);
    let body = request(7, "eth_chainId", &json!([]));
    let under_way = world.post(&body);
    let outage = async {
        // The request is read when it is counted.
        while world.trace.requests() == 0 {
            tokio::task::yield_now().await;
        }
        world.control.outage(Some(Outage::Refuse)).await;
    };
    let (answer, ()) = tokio::join!(under_way, outage);
    assert!(answer.is_err());
}

#[tokio::test]
async fn a_hanging_node_reads_and_never_acts() {
    let world = World::start().await;
    world.control.outage(Some(Outage::Hang)).await;
    let tx = Account::dev(0).transfer(0);
    let send = request(7, SEND, &json!([tx.raw]));
    assert!(world.post_briefly(&send).await.is_none());
    let end = async {
        world.trace.wait_for_sends(2).await;
        world.control.outage(None).await;
    };
    let (answer, ()) = tokio::join!(world.post(&send), end);
    assert!(answer.is_err(), "what hung when the outage ended is closed");
    assert!(!world.at_node(&tx).await);
    assert_eq!(world.trace.broadcast(tx.hash).unwrap().1, 2);
    assert_eq!(world.send(&tx).await, Ok(tx.hash));
}

#[tokio::test]
async fn an_outage_ends_by_itself() {
    let world = World::start().await;
    let span = Duration::from_millis(300);
    let since = Instant::now();
    world.control.outage_for(Outage::Refuse, span).await;
    let body = request(7, "eth_chainId", &json!([]));
    assert!(world.post(&body).await.is_err());
    while world.post(&body).await.is_err() {
        assert!(since.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(since.elapsed() >= span);
}

#[tokio::test]
async fn connections_can_be_cut_at_once() {
    let world = World::start().await;
    world.control.delay(PATIENCE);
    let body = request(7, "eth_chainId", &json!([]));
    let cut = async {
        while world.trace.requests() == 0 {
            tokio::task::yield_now().await;
        }
        world.control.cut_connections();
    };
    let (answer, ()) = tokio::join!(world.post(&body), cut);
    assert!(answer.is_err());
    world.control.delay(Duration::ZERO);
    assert_eq!(world.result("eth_chainId", json!([])).await, "0x7a69");
}

#[tokio::test]
async fn a_dead_node_is_a_closed_connection() {
    let world = World::start().await;
    let World {
        anvil,
        proxy: _proxy,
        trace,
        ..
    } = &world;
    anvil.call("eth_chainId", json!([])).await.unwrap();
    let options = ProxyOptions::default();
    let nowhere = Proxy::start("http://127.0.0.1:9", options).unwrap();
    let client = crate::support::client();
    let body = request(7, "eth_chainId", &json!([]));
    assert!(client.post(nowhere.url()).json(&body).send().await.is_err());
    assert_eq!(nowhere.trace().faults()["node-silent"], 1);
    assert!(trace.faults().is_empty());
}

#[tokio::test]
async fn a_taken_port_and_a_bad_address_are_errors_that_name_them() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let options = ProxyOptions { port, seed: 0 };
    let error = Proxy::start("http://127.0.0.1:9", options).unwrap_err();
    assert!(matches!(error, ProxyError::Port { .. }));
    assert!(error.to_string().contains(&port.to_string()), "{error}");
    let error = Proxy::start("nowhere", ProxyOptions::default()).unwrap_err();
    assert!(error.to_string().contains("nowhere"), "{error}");
}
