//! A node that executes nothing: it takes transfers of one account, puts them into blocks by the
//! clock, and answers what relayers ask. What is left to measure is the relayer.

mod chain;

use std::borrow::Cow;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use baton_model::Address;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use chain::Chain;

/// Largest request: 500 balances are 60 kB, a batch of transfers is 40 kB.
const BODY_MAX: usize = 16 * 1024 * 1024;

/// A running node. It ends with this value.
#[derive(Debug)]
pub(super) struct NullNode {
    url: String,
    chain: Arc<Mutex<Chain>>,
    tasks: [JoinHandle<()>; 2],
}

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(default)]
    params: Vec<Value>,
}

impl NullNode {
    pub(super) async fn start(chain_id: u64, block_time: Duration) -> Result<Self> {
        let chain = Arc::new(Mutex::new(Chain::new(chain_id)));
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.context("no free port for the node")?;
        let url = format!("http://{}", listener.local_addr()?);
        let router = Router::new()
            .route("/", post(answer))
            .layer(DefaultBodyLimit::max(BODY_MAX))
            .with_state(Arc::clone(&chain));
        let serving = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the node ended");
            }
        });
        let mined = Arc::clone(&chain);
        let mining = tokio::spawn(async move {
            let mut blocks = tokio::time::interval(block_time);
            loop {
                blocks.tick().await;
                lock(&mined).mine();
            }
        });
        Ok(Self {
            url,
            chain,
            tasks: [serving, mining],
        })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// The one account that may send.
    pub(super) fn set_account(&self, account: Address) {
        lock(&self.chain).set_account(account);
    }
}

impl Drop for NullNode {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn answer(State(chain): State<Arc<Mutex<Chain>>>, body: Bytes) -> Response {
    let answered = if body.first() == Some(&b'[') {
        serde_json::from_slice::<Vec<Call<'_>>>(&body).map(|calls| {
            let answers: Vec<String> = calls.iter().map(|call| one(&chain, call)).collect();
            format!("[{}]", answers.join(","))
        })
    } else {
        serde_json::from_slice::<Call<'_>>(&body).map(|call| one(&chain, &call))
    };
    match answered {
        Ok(text) => ([(header::CONTENT_TYPE, "application/json")], text).into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}

fn one(chain: &Mutex<Chain>, call: &Call<'_>) -> String {
    let answer = lock(chain).answer(&call.method, &call.params);
    let (name, value) = match answer {
        Ok(result) => ("result", result),
        Err((code, message)) => ("error", json!({ "code": code, "message": message })),
    };
    format!(
        r#"{{"jsonrpc":"2.0","id":{},"{name}":{value}}}"#,
        call.id.get()
    )
}

fn lock(chain: &Mutex<Chain>) -> MutexGuard<'_, Chain> {
    chain.lock().unwrap_or_else(PoisonError::into_inner)
}
