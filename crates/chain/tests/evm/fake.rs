//! A server on a loopback socket that answers as a test tells it to.

use std::sync::{Arc, Mutex};

use alloy_primitives::{hex, keccak256};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::support::PATIENCE;

/// What a fake does with one HTTP request.
pub(crate) enum Reply {
    Json(Value),
    Raw(u16, String),
    /// Never answers.
    Hang,
    /// Cuts the connection within the answer.
    Cut,
    /// Hands the request to another node and gives its answer.
    Forward(String),
    /// Hands the request to another node and cuts the connection.
    ForwardAndCut(String),
    /// Answers once the gate is open.
    Gate(watch::Receiver<bool>, Value),
}

type Script = Box<dyn FnMut(&Value) -> Reply + Send>;

struct Shared {
    script: Mutex<Script>,
    log: watch::Sender<Vec<Value>>,
}

pub(crate) struct Fake {
    pub(crate) url: String,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

impl Fake {
    pub(crate) async fn start(script: impl FnMut(&Value) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            script: Mutex::new(Box::new(script)),
            log: watch::Sender::new(Vec::new()),
        });
        let router = Router::new()
            .route("/", post(answer))
            .route("/{*path}", post(answer))
            .layer(axum::extract::DefaultBodyLimit::max(8 << 20))
            .with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            url,
            shared,
            server,
        }
    }

    /// Requests so far that contain a call of the method.
    pub(crate) fn requests(&self, method: &str) -> Vec<Value> {
        let log = self.shared.log.borrow();
        let with_it = log.iter().filter(|body| has(body, method));
        with_it.cloned().collect()
    }

    /// Waits for so many requests that contain a call of the method.
    pub(crate) async fn wait_for(&self, method: &str, count: usize) {
        let mut log = self.shared.log.subscribe();
        let enough =
            |log: &Vec<Value>| log.iter().filter(|body| has(body, method)).count() >= count;
        let waited = tokio::time::timeout(PATIENCE, log.wait_for(enough)).await;
        waited.unwrap().unwrap();
    }

    /// Calls of the method so far, in their order.
    pub(crate) fn calls(&self, method: &str) -> Vec<Value> {
        let requests = self.requests(method);
        let calls = requests.iter().flat_map(calls).cloned();
        calls.filter(|call| call["method"] == method).collect()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn has(body: &Value, method: &str) -> bool {
    calls(body).iter().any(|call| call["method"] == method)
}

/// The calls of a body, batch or not.
pub(crate) fn calls(body: &Value) -> Vec<&Value> {
    match body.as_array() {
        Some(batch) => batch.iter().collect(),
        None => vec![body],
    }
}

/// Answers each call of a body: `Ok` is a result, `Err` an error object.
pub(crate) fn each(body: &Value, mut answer: impl FnMut(&Value) -> Result<Value, Value>) -> Value {
    let mut one = |call: &Value| match answer(call) {
        Ok(result) => json!({"jsonrpc": "2.0", "id": call["id"], "result": result}),
        Err(error) => json!({"jsonrpc": "2.0", "id": call["id"], "error": error}),
    };
    match body.as_array() {
        Some(batch) => batch.iter().map(one).collect(),
        None => one(body),
    }
}

/// What a node at a head answers. Counts are the number of the block they are asked at.
pub(crate) fn node_at(head: u64, call: &Value) -> Result<Value, Value> {
    let params = &call["params"];
    let number = |tag: &Value| match tag.as_str().unwrap().strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).unwrap(),
        None => head,
    };
    let missing = Err(json!({"code": -32000, "message": "header not found"}));
    match call["method"].as_str().unwrap() {
        "eth_blockNumber" => Ok(json!(format!("{head:#x}"))),
        "eth_chainId" => Ok(json!("0x7a69")),
        "eth_gasPrice" => Ok(json!(format!("{head:#x}"))),
        "eth_getBlockByNumber" if number(&params[0]) > head => Ok(Value::Null),
        "eth_getBlockByNumber" => Ok(block(number(&params[0]))),
        "eth_getTransactionCount" | "eth_getBalance" if number(&params[1]) > head => missing,
        "eth_getTransactionCount" | "eth_getBalance" => {
            Ok(json!(format!("{:#x}", number(&params[1]))))
        }
        "eth_sendRawTransaction" => {
            let raw = hex::decode(params[0].as_str().unwrap()).unwrap();
            Ok(json!(keccak256(raw)))
        }
        _ => Err(json!({"code": -32601, "message": "the method does not exist"})),
    }
}

/// A node at a head that answers everything.
pub(crate) fn sound(head: u64) -> impl FnMut(&Value) -> Reply + Send + 'static {
    move |body| Reply::Json(each(body, |call| node_at(head, call)))
}

/// Polls of the head are answered; everything else is as told.
pub(crate) fn beside_polls(
    head: u64,
    mut other: impl FnMut(&Value) -> Reply + Send + 'static,
) -> impl FnMut(&Value) -> Reply + Send + 'static {
    move |body| match body["method"].as_str() {
        Some("eth_blockNumber") => Reply::Json(each(body, |call| node_at(head, call))),
        Some(_) | None => other(body),
    }
}

fn block(number: u64) -> Value {
    json!({
        "number": format!("{number:#x}"),
        "hash": format!("0x{number:064x}"),
        "parentHash": format!("0x{:064x}", number.wrapping_sub(1)),
        "timestamp": "0x1",
        "gasLimit": "0x1c9c380",
        "transactions": [],
    })
}

async fn answer(State(shared): State<Arc<Shared>>, bytes: Bytes) -> Response {
    let body: Value = serde_json::from_slice(&bytes).unwrap();
    shared.log.send_modify(|log| log.push(body.clone()));
    let reply = (shared.script.lock().unwrap())(&body);
    match reply {
        Reply::Json(value) => axum::Json(value).into_response(),
        Reply::Raw(status, text) => (StatusCode::from_u16(status).unwrap(), text).into_response(),
        Reply::Hang => std::future::pending().await,
        Reply::Cut => cut(),
        Reply::Forward(url) => forward(&url, &body).await.into_response(),
        Reply::ForwardAndCut(url) => {
            forward(&url, &body).await;
            cut()
        }
        Reply::Gate(mut gate, value) => {
            gate.wait_for(|open| *open).await.unwrap();
            axum::Json(value).into_response()
        }
    }
}

fn cut() -> Response {
    let broken =
        futures_util::stream::once(async { Err::<Bytes, _>(std::io::Error::other("cut")) });
    Response::new(Body::from_stream(broken))
}

async fn forward(url: &str, body: &Value) -> Vec<u8> {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let response = client.post(url).json(body).send().await.unwrap();
    response.bytes().await.unwrap().to_vec()
}
