//! Callers of the relayer: requests go out when they are due, whether earlier ones were answered or
//! not, as far as there are connections; a request that has to wait for one is late from when it
//! was due.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use baton_model::Address;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::keys::TRANSFER_GAS;
use super::pace::Pacer;
use super::plan::Plan;
use super::world::Api;

/// Longest wait for an answer. After it, whether the request was accepted is unknown.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// Characters of a refusal that are kept.
const TEXT_MAX: usize = 300;

/// One request, from when it was due to its answer.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) index: usize,
    pub(super) due: Instant,
    pub(super) sent: Instant,
    pub(super) answered: Instant,
    pub(super) outcome: Outcome,
}

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// With a 2xx status.
    Accepted,
    /// With a 4xx status: it must not be executed.
    Refused(String),
    /// With a 5xx status, or not at all: it may be executed.
    Unknown(String),
}

/// All requests of a step.
pub(super) struct Load {
    http: reqwest::Client,
    api: Api,
    run: String,
    idempotency_keys: bool,
    estimate: bool,
    targets: Vec<Address>,
}

impl Load {
    pub(super) fn new(plan: &Plan, api: &Api, step: u32, targets: Vec<Address>) -> Result<Self> {
        let http = reqwest::Client::builder()
            .timeout(ANSWER_MAX)
            .pool_max_idle_per_host(usize::from(plan.connections))
            .no_proxy()
            .build()?;
        Ok(Self {
            http,
            api: api.clone(),
            run: format!("bench-{}-{step}", plan.seed),
            idempotency_keys: plan.idempotency_keys,
            estimate: plan.estimate,
            targets,
        })
    }

    pub(super) fn targets(&self) -> &[Address] {
        &self.targets
    }

    /// Sends everything and waits for the answers. Records are in the order of their requests.
    pub(super) async fn run(
        self: &Arc<Self>,
        pacer: &Arc<Pacer>,
        connections: u16,
    ) -> Result<Vec<Record>> {
        let mut callers = JoinSet::new();
        for _ in 0..connections {
            let (load, pacer) = (Arc::clone(self), Arc::clone(pacer));
            callers.spawn(async move {
                let mut records = Vec::new();
                while let Some((index, due)) = pacer.next().await {
                    let sent = Instant::now();
                    let outcome = load.post(index).await;
                    let answered = Instant::now();
                    records.push(Record {
                        index,
                        due,
                        sent,
                        answered,
                        outcome,
                    });
                }
                records
            });
        }
        let mut records = Vec::with_capacity(self.targets.len());
        while let Some(ended) = callers.join_next().await {
            records.extend(ended.context("a caller ended badly")?);
        }
        records.sort_unstable_by_key(|record| record.index);
        Ok(records)
    }

    async fn post(&self, index: usize) -> Outcome {
        let relayer = &self.api.relayers[index % self.api.relayers.len()];
        let url = format!("{}/api/v1/relayers/{relayer}/transactions", self.api.url);
        let mut body =
            json!({ "to": self.targets[index], "value": 1, "data": "0x", "speed": "fast" });
        if !self.estimate {
            body["gas_limit"] = json!(TRANSFER_GAS);
        }
        let mut request = self
            .http
            .post(url)
            .bearer_auth(self.api.key.expose())
            .json(&body);
        if self.idempotency_keys {
            request = request.header("Idempotency-Key", format!("{}-{index}", self.run));
        }
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => return Outcome::Unknown(text_of(error)),
        };
        let status = answer.status();
        // The whole answer has to come before the connection can be used again.
        let body = answer.text().await;
        if status.is_success() {
            return Outcome::Accepted;
        }
        let mut text = format!("{status}: {}", body.unwrap_or_default());
        text.truncate(text.floor_char_boundary(TEXT_MAX));
        if status.is_client_error() {
            Outcome::Refused(text)
        } else {
            Outcome::Unknown(text)
        }
    }
}

fn text_of(error: reqwest::Error) -> String {
    format!("{:#}", anyhow::Error::from(error.without_url()))
}
