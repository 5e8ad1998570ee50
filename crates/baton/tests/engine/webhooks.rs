//! Webhooks to a receiver of flesh and blood: a server in this process, on a socket.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::support::{Engine, Setup, World, fresh_address, plain_transfer, until};

const KEY: &str = "a-key-of-thirty-two-characters-or-more";
const LIFE: [&str; 4] = ["sent", "submitted", "mined", "confirmed"];

/// A receiver. It notes what comes, and answers unless it is to hang.
struct Receiver {
    url: String,
    state: Arc<Received>,
    server: JoinHandle<()>,
}

#[derive(Default)]
struct Received {
    hangs: AtomicBool,
    came: Mutex<Vec<(HeaderMap, Bytes)>>,
}

impl Receiver {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!(
            "http://{}/hooks?token=hunter2",
            listener.local_addr().unwrap()
        );
        let state = Arc::<Received>::default();
        let routes = Router::new().route("/hooks", routing::post(take));
        let app = routes.with_state(Arc::clone(&state));
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, state, server }
    }

    fn bodies(&self) -> Vec<Value> {
        let came = self.state.came.lock().unwrap();
        came.iter()
            .map(|(_, body)| serde_json::from_slice(body).unwrap())
            .collect()
    }

    /// The statuses of a transaction as they came.
    fn statuses(&self, id: &str) -> Vec<String> {
        let of_it = self
            .bodies()
            .into_iter()
            .filter(|b| b["payload"]["id"] == id);
        of_it
            .map(|body| body["payload"]["status"].as_str().unwrap().to_owned())
            .collect()
    }

    fn assert_signed(&self) {
        let came = self.state.came.lock().unwrap();
        for (headers, body) in came.iter() {
            let mut mac = Hmac::<Sha256>::new_from_slice(KEY.as_bytes()).unwrap();
            mac.update(body);
            let expected = STANDARD.encode(mac.finalize().into_bytes());
            assert_eq!(headers["x-signature"], expected.as_str());
            assert_eq!(headers["content-type"], "application/json");
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn take(State(state): State<Arc<Received>>, headers: HeaderMap, body: Bytes) -> &'static str {
    state.came.lock().unwrap().push((headers, body));
    if state.hangs.load(Ordering::SeqCst) {
        std::future::pending::<()>().await;
    }
    "thanks"
}

/// A world whose relayer tells a receiver.
async fn world(receiver: &Receiver, private: &str) -> World {
    let setup = Setup::default()
        .relayer("notification_id", json!("hook"))
        .variable("WEBHOOK_SIGNING_KEY", KEY)
        .variable("BATON_WEBHOOK_PRIVATE_ADDRESSES", private);
    let mut world = setup.world().await;
    world.config["notifications"] = json!([{
        "id": "hook", "type": "webhook", "url": receiver.url,
        "signing_key": { "type": "env", "value": "WEBHOOK_SIGNING_KEY" },
    }]);
    world.write_config();
    world
}

async fn post(engine: &Engine, path: &str, body: &Value) -> Value {
    let answer = engine
        .api()
        .call(Method::POST, path, Some(body), None)
        .await;
    answer.unwrap().data()
}

async fn deliveries(engine: &Engine, query: &str) -> Vec<Value> {
    let path = format!("/relayers/main/deliveries?per_page=100{query}");
    let data = engine.api().get(&path).await.data();
    data.as_array().unwrap().clone()
}

#[tokio::test]
async fn a_kill_between_a_change_and_its_delivery_loses_nothing() {
    let receiver = Receiver::start().await;
    receiver.state.hangs.store(true, Ordering::SeqCst);
    let world = world(&receiver, "true").await;
    let engine = world.engine().await;
    let id = engine.api().send(&plain_transfer(fresh_address(1))).await;
    // All of it is durable, and nothing of it was taken.
    engine.api().reaches(&id, "confirmed").await;
    let first = until("something is on its way", async || receiver.bodies().pop()).await;
    assert_eq!(first["payload"]["status"], "sent");
    assert_eq!(receiver.statuses(&id), ["sent"], "the others wait for it");
    engine.kill().await;

    receiver.state.hangs.store(false, Ordering::SeqCst);
    let engine = world.engine().await;
    until("everything is told", async || {
        (receiver.statuses(&id).len() > LIFE.len()).then_some(())
    })
    .await;
    assert_eq!(
        receiver.statuses(&id)[1..],
        LIFE,
        "again from the one that was not taken"
    );
    let again = receiver.bodies().swap_remove(1);
    assert_eq!(
        again, first,
        "the same event under the same id, byte for byte"
    );
    receiver.assert_signed();
    let log = until("it is written down", async || {
        Some(deliveries(&engine, "&status=delivered").await).filter(|log| log.len() == 4)
    })
    .await;
    assert_eq!(
        (&log[0]["response_status"], &log[0]["detail"]),
        (&json!(200), &json!("thanks"))
    );

    let event = log[3]["id"].as_str().unwrap();
    let path = format!("/relayers/main/deliveries/{event}/redeliver");
    post(&engine, &path, &json!({})).await;
    until("it comes once more", async || {
        let times = receiver
            .bodies()
            .iter()
            .filter(|b| b["id"] == event)
            .count();
        (times == 3).then_some(())
    })
    .await;
    engine.stop().await;
}

#[tokio::test]
async fn private_addresses_are_refused_unless_they_are_allowed() {
    let receiver = Receiver::start().await;
    let world = world(&receiver, "false").await;
    let engine = world.engine().await;
    let id = engine.api().send(&plain_transfer(fresh_address(1))).await;
    engine.api().reaches(&id, "confirmed").await;
    let pending = until("it is refused", async || {
        deliveries(&engine, "&status=pending").await.pop()
    })
    .await;
    let detail = pending["detail"].as_str().unwrap();
    assert!(
        detail.contains("BATON_WEBHOOK_PRIVATE_ADDRESSES"),
        "{detail}"
    );
    assert!(receiver.bodies().is_empty());
    let log = engine.lines();
    assert!(
        !log.iter().any(|line| line.to_string().contains("hunter2")),
        "the URL is a secret"
    );
    engine.stop().await;
}

#[tokio::test]
async fn a_caller_can_wait_for_the_end() {
    let world = World::new().await;
    let engine = world.engine().await;
    let path = "/relayers/main/transactions?wait=confirmed&timeout=25s";
    let body = plain_transfer(fresh_address(1));
    let data = post(&engine, path, &body).await;
    assert_eq!(data["status"], "confirmed");
    let many = json!({ "transactions": [plain_transfer(fresh_address(2)), body] });
    let path = "/relayers/main/transactions/batch";
    let sent = post(&engine, path, &many).await;
    assert_eq!(sent["accepted"], 2);
    let last = sent["results"][1]["data"]["id"].as_str().unwrap();
    engine.api().reaches(last, "confirmed").await;
    let dry = "/relayers/main/transactions/dry-run";
    let good = post(&engine, dry, &plain_transfer(fresh_address(3))).await;
    assert_eq!(
        (&good["would_succeed"], &good["gas_estimate"]),
        (&json!(true), &json!(21_000))
    );
    let bad = plain_transfer(world.reverting().await);
    let bad = post(&engine, dry, &bad).await;
    assert_eq!(bad["would_succeed"], false, "{bad}");
    engine.stop().await;
}
