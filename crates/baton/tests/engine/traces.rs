//! The id of a call is found from the call to the receipt: in the log, and at a collector of traces.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::routing::post;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::support::{Engine, Setup, fresh_address, transfer, until};

const CALL: &str = "order-4711";
const KEY: &str = "Bearer collector-key";

type Received = Arc<Mutex<Vec<u8>>>;

/// A collector that keeps what those send who know its key; its address.
async fn collector() -> (String, Received) {
    let received = Received::default();
    let keep = async |State(received): State<Received>, headers: HeaderMap, body: Bytes| {
        assert_eq!(headers[AUTHORIZATION], KEY);
        received.lock().unwrap().extend_from_slice(&body);
    };
    let router = Router::new()
        .route("/v1/traces", post(keep))
        .with_state(Received::clone(&received));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, received)
}

/// Sends a transaction under the name of the call; its id.
async fn send(engine: &Engine, key: &str) -> String {
    let url = format!("{}/api/v1/relayers/main/transactions", engine.api().url());
    let request = reqwest::Client::new().post(url).bearer_auth(key);
    let request = request
        .header("x-request-id", CALL)
        .json(&transfer(fresh_address(0)));
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    answer["data"]["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_call_is_followed_to_its_receipt() {
    let (url, received) = collector().await;
    let world = Setup::default()
        .variable("OTEL_EXPORTER_OTLP_ENDPOINT", &url)
        .variable(
            "OTEL_EXPORTER_OTLP_HEADERS",
            &format!("authorization={KEY}"),
        )
        .variable("OTEL_SERVICE_NAME", "shop-relayer")
        .world()
        .await;
    let engine = world.engine().await;
    let id = send(&engine, &world.variables["API_KEY"]).await;
    engine.api().reaches(&id, "confirmed").await;
    let statuses = until("the log tells of it", async || {
        let lines = engine.lines();
        let of_call = |line: &&Value| {
            line["fields"]["request_id"] == CALL && line["fields"]["id"] == id.as_str()
        };
        let told = lines.iter().filter(of_call);
        let told: Vec<String> = told
            .map(|line| line["fields"]["status"].as_str().unwrap().to_owned())
            .collect();
        told.contains(&"confirmed".to_owned()).then_some(told)
    })
    .await;
    assert!(
        ["submitted", "mined"]
            .iter()
            .all(|status| statuses.contains(&(*status).to_owned())),
        "{statuses:?}"
    );
    let accepted = engine
        .lines()
        .into_iter()
        .find(|line| line["fields"]["message"] == "accepted");
    let accepted = accepted.expect("the acceptance is told");
    assert_eq!(
        (&accepted["span"]["request_id"], &accepted["fields"]["id"]),
        (&Value::from(CALL), &Value::from(id.as_str()))
    );
    engine.stop().await;
    let received = received.lock().unwrap();
    let has = |text: &str| {
        received
            .windows(text.len())
            .any(|window| window == text.as_bytes())
    };
    for text in [
        "shop-relayer",
        "request",
        "life",
        CALL,
        &id,
        "confirmed",
        "/api/v1/relayers/main/transactions",
    ] {
        assert!(
            has(text),
            "{text:?} is not among {} bytes of traces",
            received.len()
        );
    }
}

#[tokio::test]
async fn a_collector_that_is_not_there_holds_nothing_up() {
    // Port 1 is nobody's.
    let world = Setup::default()
        .variable("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
        .world()
        .await;
    let engine = world.engine().await;
    let id = engine.api().send(&transfer(fresh_address(0))).await;
    engine.api().reaches(&id, "confirmed").await;
    engine.stop().await;
}
