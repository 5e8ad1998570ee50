//! Stands between engine and node and notes when each transfer is first seen: the times in the demo's table are not the
//! engine's own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use baton_model::Address;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How often the chain is looked at.
const POLL: Duration = Duration::from_millis(20);

/// Largest request that is passed on: a batch of a hundred transfers is 40 KiB.
const BODY_MAX: usize = 16 * 1024 * 1024;

/// A proxy before a node.
pub(super) struct Observer {
    url: String,
    seen: Arc<Mutex<Seen>>,
    tasks: Vec<JoinHandle<()>>,
}

/// When things were first seen.
#[derive(Default)]
struct Seen {
    targets: BTreeMap<Address, usize>,
    broadcast: BTreeMap<usize, Instant>,
    mined: BTreeMap<usize, Instant>,
    restart: Option<Instant>,
    after_restart: Option<Instant>,
}

#[derive(Clone)]
struct Proxy {
    node: String,
    http: reqwest::Client,
    seen: Arc<Mutex<Seen>>,
}

impl Observer {
    pub(super) async fn start(node: String) -> Result<Self> {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let http = reqwest::Client::new();
        let proxy = Proxy {
            node,
            http,
            seen: Arc::clone(&seen),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .context("no free port")?;
        let url = format!("http://{}", listener.local_addr()?);
        let router = Router::new()
            .route("/", post(forward))
            .layer(axum::extract::DefaultBodyLimit::max(BODY_MAX))
            .with_state(proxy.clone());
        let serving = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the observer ended");
            }
        });
        let watching = tokio::spawn(async move { proxy.watch_blocks().await });
        Ok(Self {
            url,
            seen,
            tasks: vec![serving, watching],
        })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Which addresses to look out for.
    pub(super) fn expect(&self, targets: &[Address]) {
        let numbered = targets
            .iter()
            .enumerate()
            .map(|(index, target)| (*target, index));
        lock(&self.seen).targets = numbered.collect();
    }

    /// The engine is being started again.
    pub(super) fn mark_restart(&self) {
        lock(&self.seen).restart = Some(Instant::now());
    }

    /// When each transfer's bytes first went to the node.
    pub(super) fn broadcast(&self) -> BTreeMap<usize, Instant> {
        lock(&self.seen).broadcast.clone()
    }

    /// When each transfer was first seen in a block.
    pub(super) fn mined(&self) -> BTreeMap<usize, Instant> {
        lock(&self.seen).mined.clone()
    }

    /// From the restart to the first bytes after it.
    pub(super) fn restart_to_broadcast(&self) -> Option<Duration> {
        let seen = lock(&self.seen);
        Some(seen.after_restart?.duration_since(seen.restart?))
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn forward(State(proxy): State<Proxy>, body: Bytes) -> Response {
    proxy.note(&body);
    let sent = proxy
        .http
        .post(&proxy.node)
        .header(header::CONTENT_TYPE, "application/json");
    let answer = async {
        let answer = sent.body(body).send().await?;
        let status = answer.status();
        Ok::<_, reqwest::Error>((status, answer.bytes().await?))
    };
    match answer.await {
        Ok((status, body)) => {
            (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
        }
        Err(_) => StatusCode::BAD_GATEWAY.into_response(),
    }
}

impl Proxy {
    fn note(&self, body: &[u8]) {
        let now = Instant::now();
        let calls = match serde_json::from_slice(body) {
            Ok(Value::Array(calls)) => calls,
            Ok(call) => vec![call],
            Err(_) => return,
        };
        for call in calls
            .iter()
            .filter(|call| call["method"] == "eth_sendRawTransaction")
        {
            let raw = call["params"][0]
                .as_str()
                .and_then(|raw| raw.parse::<baton_model::Bytes>().ok());
            let Some(raw) = raw else { continue };
            let Ok(decoded) = baton_chain::tx::decode_signed(&raw) else {
                continue;
            };
            let mut seen = lock(&self.seen);
            if seen.restart.is_some() {
                seen.after_restart.get_or_insert(now);
            }
            let index = decoded
                .tx
                .call
                .to
                .and_then(|to| seen.targets.get(&to).copied());
            if let Some(index) = index {
                seen.broadcast.entry(index).or_insert(now);
            }
        }
    }

    async fn watch_blocks(&self) {
        let mut next = 0;
        loop {
            tokio::time::sleep(POLL).await;
            let block = self
                .ask("eth_getBlockByNumber", json!([format!("0x{next:x}"), true]))
                .await;
            let now = Instant::now();
            let Some(transactions) = block.as_ref().and_then(|b| b["transactions"].as_array())
            else {
                continue;
            };
            next += 1;
            let mut seen = lock(&self.seen);
            for transaction in transactions {
                let to = transaction["to"]
                    .as_str()
                    .and_then(|to| to.parse::<Address>().ok());
                let index = to.and_then(|to| seen.targets.get(&to).copied());
                if let Some(index) = index {
                    seen.mined.entry(index).or_insert(now);
                }
            }
        }
    }

    async fn ask(&self, method: &str, params: Value) -> Option<Value> {
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let answer = self.http.post(&self.node).json(&call).send().await.ok()?;
        let mut answer: Value = answer.json().await.ok()?;
        Some(answer["result"].take()).filter(|result| !result.is_null())
    }
}
