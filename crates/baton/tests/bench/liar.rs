//! A relayer that does not do what it says.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use baton_model::Address;
use baton_testkit::Anvil;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// What it does with a request that it has accepted or refused.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Deed {
    Execute,
    Lose,
    Double,
    RefuseAndExecute,
}

/// It goes through its deeds again and again, and ends with this value.
pub(crate) struct Liar {
    pub(crate) url: String,
    server: JoinHandle<()>,
}

#[derive(Clone)]
struct Shared {
    node: String,
    account: Address,
    deeds: Arc<[Deed]>,
    taken: Arc<AtomicUsize>,
    sending: Arc<tokio::sync::Mutex<()>>,
    http: reqwest::Client,
}

impl Liar {
    /// Sends from an account that the node has the key of.
    pub(crate) async fn start(anvil: &Anvil, deeds: &[Deed]) -> Self {
        let shared = Shared {
            node: anvil.http_url(),
            account: anvil.accounts().await.unwrap()[0],
            deeds: deeds.into(),
            taken: Arc::default(),
            sending: Arc::default(),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
        };
        let router = Router::new()
            .route("/api/v1/relayers/main/transactions", post(answer))
            .with_state(shared);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, server }
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(
    State(shared): State<Shared>,
    axum::Json(body): axum::Json<Value>,
) -> (StatusCode, String) {
    let place = shared.taken.fetch_add(1, Ordering::Relaxed) % shared.deeds.len();
    let (times, status) = match shared.deeds[place] {
        Deed::Execute => (1, StatusCode::OK),
        Deed::Lose => (0, StatusCode::OK),
        Deed::Double => (2, StatusCode::OK),
        Deed::RefuseAndExecute => (1, StatusCode::BAD_REQUEST),
    };
    for _ in 0..times {
        let transfer = json!([{ "from": shared.account, "to": body["to"], "value": "0x1" }]);
        let call = json!({
            "jsonrpc": "2.0", "id": 1, "method": "eth_sendTransaction", "params": transfer,
        });
        // The node chooses the nonce, and two at a time may get the same one.
        let _turn = shared.sending.lock().await;
        let sent = shared
            .http
            .post(&shared.node)
            .json(&call)
            .send()
            .await
            .unwrap();
        let sent: Value = sent.json().await.unwrap();
        assert!(sent["result"].is_string(), "{sent}");
    }
    (
        status,
        json!({ "success": times > 0, "error": "so it says" }).to_string(),
    )
}
