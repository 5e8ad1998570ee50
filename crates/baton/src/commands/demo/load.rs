//! A caller that does not give up: it repeats a POST with the same idempotency key until it is answered.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail};
use baton_model::{Address, B256};
use baton_vault::keys::uuid_v4;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::engine::Workspace;

/// Requests under way at a time.
const CONCURRENT: usize = 16;

/// Transfers a second that are sent at most, so that the crash comes in the middle and not after the end.
const PER_SECOND: u32 = 250;

/// Pause before a request without an answer is repeated.
const RETRY: Duration = Duration::from_millis(50);

/// How long one request is repeated.
const RETRY_MAX: Duration = Duration::from_mins(1);

/// The transfers of a run, and what the engine said to them.
pub(super) struct Load {
    http: reqwest::Client,
    url: String,
    api_key: String,
    run: String,
    targets: Vec<Address>,
    accepted: AtomicU32,
    answers: Mutex<BTreeMap<usize, Answer>>,
}

/// When a transfer was accepted, and as what.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) id: String,
    pub(super) at: Instant,
}

impl Load {
    pub(super) fn new(workspace: &Workspace, count: u32) -> Result<Self> {
        let run = uuid_v4()?.to_string();
        let targets = (0..count).map(|index| fresh_address(&run, index)).collect();
        Ok(Self {
            http: reqwest::Client::builder()
                .timeout(Duration::from_secs(10))
                .build()?,
            url: format!("{}/api/v1/relayers/demo/transactions", workspace.url()),
            api_key: workspace.api_key().to_owned(),
            run,
            targets,
            accepted: AtomicU32::new(0),
            answers: Mutex::default(),
        })
    }

    pub(super) fn targets(&self) -> &[Address] {
        &self.targets
    }

    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.targets.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn accepted(&self) -> u32 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// What was answered, by the index of the transfer.
    pub(super) fn answers(&self) -> BTreeMap<usize, Answer> {
        self.answers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Sends all transfers.
    pub(super) async fn run(self: Arc<Self>) -> Result<()> {
        let load = &*self;
        let pace = tokio::time::interval(Duration::from_secs(1) / PER_SECOND);
        let indices = stream::unfold((0, pace), |(index, mut pace)| async move {
            if index >= load.targets.len() {
                return None;
            }
            pace.tick().await;
            Some((index, (index + 1, pace)))
        });
        indices
            .map(Ok)
            .try_for_each_concurrent(CONCURRENT, |index| load.send(index))
            .await
    }

    async fn send(&self, index: usize) -> Result<()> {
        let body =
            json!({ "to": self.targets[index], "value": "1", "data": "0x", "speed": "fast" });
        let deadline = Instant::now() + RETRY_MAX;
        loop {
            match self.post(index, &body).await {
                Ok(id) => {
                    let answer = Answer {
                        id,
                        at: Instant::now(),
                    };
                    let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
                    answers.insert(index, answer);
                    self.accepted.fetch_add(1, Ordering::Relaxed);
                    return Ok(());
                }
                Err(Refusal::Final(text)) => bail!("transfer {index} was refused: {text}"),
                Err(Refusal::NoAnswer(text)) if Instant::now() > deadline => {
                    bail!("transfer {index} was not answered: {text}");
                }
                Err(Refusal::NoAnswer(_)) => tokio::time::sleep(RETRY).await,
            }
        }
    }

    async fn post(&self, index: usize, body: &Value) -> Result<String, Refusal> {
        let no_answer = |error: reqwest::Error| Refusal::NoAnswer(error.to_string());
        let answer = self
            .http
            .post(&self.url)
            .bearer_auth(&self.api_key)
            .header("Idempotency-Key", format!("{}-{index}", self.run))
            .json(body)
            .send()
            .await
            .map_err(no_answer)?;
        let status = answer.status();
        let text = answer.text().await.map_err(no_answer)?;
        if status.is_server_error() {
            return Err(Refusal::NoAnswer(format!("{status}: {text}")));
        }
        let id = serde_json::from_str::<Value>(&text)
            .ok()
            .and_then(|answer| answer["data"]["id"].as_str().map(str::to_owned));
        id.filter(|_| status.is_success())
            .ok_or(Refusal::Final(format!("{status}: {text}")))
    }
}

enum Refusal {
    NoAnswer(String),
    Final(String),
}

/// An address that nobody has used: the hash of the run's random id and a number.
fn fresh_address(run: &str, index: u32) -> Address {
    let hash: B256 = alloy_primitives::keccak256(format!("{run}/{index}"));
    Address::from_slice(&hash[12..])
}
