//! What stands between the relayer and its node: it delays, counts calls and notes when each
//! transfer is first sent.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
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
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Largest request that is passed on: a batch of a hundred transfers is 40 kB, and nodes refuse
/// more than 5 MB.
const BODY_MAX: usize = 16 * 1024 * 1024;

/// What the bench asks of a proxy.
pub(super) trait Tap: Send + Sync {
    /// Where it listens, as a node's address.
    fn url(&self) -> &str;
    /// When a transfer to an address was first sent.
    fn first_broadcast(&self, to: Address) -> Option<Instant>;
    /// How many addresses were sent to.
    fn broadcasts(&self) -> usize;
    /// What was asked so far.
    fn traffic(&self) -> Traffic;
    /// Forgets what was sent: the next transfer to any address is the first.
    fn forget_broadcasts(&self);
}

/// What was asked of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Traffic {
    /// HTTP requests: a batch is one.
    pub(super) requests: u64,
    /// JSON-RPC calls by method.
    pub(super) calls: BTreeMap<String, u64>,
}

impl Traffic {
    /// What came since an earlier look.
    pub(super) fn since(&self, before: &Self) -> Self {
        let calls = self.calls.iter().map(|(method, count)| {
            let before = before.calls.get(method).copied().unwrap_or(0);
            (method.clone(), count.saturating_sub(before))
        });
        Self {
            requests: self.requests.saturating_sub(before.requests),
            calls: calls.filter(|(_, count)| *count > 0).collect(),
        }
    }
}

/// Passes everything on and changes nothing.
#[derive(Debug)]
pub(super) struct PassThrough {
    url: String,
    seen: Arc<Mutex<Seen>>,
    server: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Seen {
    traffic: Traffic,
    first: HashMap<Address, Instant>,
}

#[derive(Clone)]
struct Proxy {
    node: String,
    delay: Duration,
    http: reqwest::Client,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
}

impl PassThrough {
    /// Listens on a loopback port, 0 for a free one, before a node. Every exchange takes `delay`
    /// longer: half of it before and half of it after the node's work.
    pub(super) async fn start(node: &str, port: u16, delay: Duration) -> Result<Self> {
        let seen = Arc::<Mutex<Seen>>::default();
        let http = reqwest::Client::builder().no_proxy().build()?;
        let proxy = Proxy {
            node: node.to_owned(),
            delay,
            http,
            seen: Arc::clone(&seen),
        };
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .await
            .with_context(|| format!("cannot listen on 127.0.0.1:{port} (--proxy-port)"))?;
        let url = format!("http://{}", listener.local_addr()?);
        let router = Router::new()
            .route("/", post(forward))
            .layer(DefaultBodyLimit::max(BODY_MAX))
            .with_state(proxy);
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the proxy ended");
            }
        });
        Ok(Self { url, seen, server })
    }
}

impl Tap for PassThrough {
    fn url(&self) -> &str {
        &self.url
    }

    fn first_broadcast(&self, to: Address) -> Option<Instant> {
        lock(&self.seen).first.get(&to).copied()
    }

    fn broadcasts(&self) -> usize {
        lock(&self.seen).first.len()
    }

    fn traffic(&self) -> Traffic {
        lock(&self.seen).traffic.clone()
    }

    fn forget_broadcasts(&self) {
        lock(&self.seen).first.clear();
    }
}

impl Drop for PassThrough {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn forward(State(proxy): State<Proxy>, body: Bytes) -> Response {
    proxy.note(&body, Instant::now());
    wait(proxy.delay / 2).await;
    let sent = proxy
        .http
        .post(&proxy.node)
        .header(header::CONTENT_TYPE, "application/json");
    let answer = async {
        let answer = sent.body(body).send().await?;
        let status = answer.status();
        Ok::<_, reqwest::Error>((status, answer.bytes().await?))
    };
    let answer = answer.await;
    wait(proxy.delay / 2).await;
    match answer {
        Ok((status, body)) => {
            (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
        }
        Err(_) => StatusCode::BAD_GATEWAY.into_response(),
    }
}

/// Even a sleep of nothing lasts until the timer's next millisecond.
async fn wait(delay: Duration) {
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
}

impl Proxy {
    fn note(&self, body: &[u8], now: Instant) {
        let calls: Vec<Call<'_>> = if body.first() == Some(&b'[') {
            serde_json::from_slice(body).unwrap_or_default()
        } else {
            serde_json::from_slice(body).into_iter().collect()
        };
        let targets: Vec<Address> = calls.iter().filter_map(target).collect();
        let mut seen = lock(&self.seen);
        seen.traffic.requests += 1;
        for call in &calls {
            match seen.traffic.calls.get_mut(&*call.method) {
                Some(count) => *count += 1,
                None => {
                    seen.traffic
                        .calls
                        .insert(call.method.clone().into_owned(), 1);
                }
            }
        }
        for target in targets {
            seen.first.entry(target).or_insert(now);
        }
    }
}

/// Where a call transfers to, if it sends a transaction.
fn target(call: &Call<'_>) -> Option<Address> {
    if call.method != "eth_sendRawTransaction" {
        return None;
    }
    let (raw,): (baton_model::Bytes,) = serde_json::from_str(call.params?.get()).ok()?;
    baton_chain::tx::decode_signed(&raw).ok()?.tx.call.to
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traffic_since_a_look_holds_only_what_is_new() {
        let traffic = |requests, calls: &[(&str, u64)]| Traffic {
            requests,
            calls: calls
                .iter()
                .map(|(method, count)| ((*method).to_owned(), *count))
                .collect(),
        };
        let before = traffic(3, &[("a", 2), ("b", 1)]);
        let after = traffic(5, &[("a", 2), ("b", 4), ("c", 1)]);
        assert_eq!(after.since(&before), traffic(2, &[("b", 3), ("c", 1)]));
    }
}
