//! Callers of the relayer: requests go out when they are due, whether earlier ones were answered or
//! not, as far as there are connections; a request that has to wait for one is late from when it
//! was due.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use baton_model::Address;
use futures_util::future::join_all;
use serde_json::{Value, json};
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
/// Pause before a request that was not accepted is posted again.
const RETRY: Duration = Duration::from_millis(50);

/// How a caller behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// It posts each request once and takes note of the answer.
    Once,
    /// It posts a request again, with its idempotency key, until it is accepted or refused, for so
    /// long at most.
    Until(Duration),
    /// It posts each request so many times at once, with its idempotency key.
    Times(usize),
}

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
    /// With a 5xx status: it may be executed.
    Failed(String),
    /// Not at all: it may be executed.
    Unknown(String),
    /// With several ids, although it is one request.
    Split,
}

/// All requests of a step.
pub(super) struct Load {
    http: reqwest::Client,
    api: Api,
    run: String,
    idempotency_keys: bool,
    estimate: bool,
    manner: Manner,
    targets: Vec<Address>,
    accepted: AtomicUsize,
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
            manner: Manner::Once,
            targets,
            accepted: AtomicUsize::new(0),
        })
    }

    /// With other callers.
    pub(super) fn with(self, manner: Manner) -> Self {
        Self { manner, ..self }
    }

    /// Requests that were accepted so far.
    pub(super) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
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
                    let outcome = load.request(index).await;
                    let answered = Instant::now();
                    if outcome == Outcome::Accepted {
                        load.accepted.fetch_add(1, Ordering::Relaxed);
                    }
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

    async fn request(&self, index: usize) -> Outcome {
        match self.manner {
            Manner::Once => self.post(index).await.0,
            Manner::Until(longest) => self.persist(index, Instant::now() + longest).await,
            Manner::Times(times) => {
                let posts = join_all((0..times).map(|_| self.post(index))).await;
                together(posts)
            }
        }
    }

    async fn persist(&self, index: usize, deadline: Instant) -> Outcome {
        loop {
            let outcome = self.post(index).await.0;
            let settled = matches!(outcome, Outcome::Accepted | Outcome::Refused(_));
            if settled || Instant::now() > deadline {
                return outcome;
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// One post, and the body of its answer.
    async fn post(&self, index: usize) -> (Outcome, String) {
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
            Err(error) => return (Outcome::Unknown(text_of(error)), String::new()),
        };
        let status = answer.status();
        // The whole answer has to come before the connection can be used again.
        let body = answer.text().await.unwrap_or_default();
        if status.is_success() {
            return (Outcome::Accepted, body);
        }
        let mut text = format!("{status}: {body}");
        text.truncate(text.floor_char_boundary(TEXT_MAX));
        let outcome = if status.is_client_error() {
            Outcome::Refused(text)
        } else {
            Outcome::Failed(text)
        };
        (outcome, body)
    }
}

/// What several posts of one request come to: it is accepted if any of them was, under one id.
fn together(posts: Vec<(Outcome, String)>) -> Outcome {
    let id = |body: &str| Some(serde_json::from_str::<Value>(body).ok()?["data"]["id"].to_string());
    let mut ids: Vec<Option<String>> = posts
        .iter()
        .filter(|(outcome, _)| *outcome == Outcome::Accepted)
        .map(|(_, body)| id(body))
        .collect();
    ids.dedup();
    match ids.len() {
        0 => {
            let first = posts.into_iter().next();
            first.map_or(Outcome::Unknown(String::new()), |(outcome, _)| outcome)
        }
        1 => Outcome::Accepted,
        _ => Outcome::Split,
    }
}

fn text_of(error: reqwest::Error) -> String {
    format!("{:#}", anyhow::Error::from(error.without_url()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn posts_of_one_request_have_to_be_answered_with_one_id() {
        let accepted = |id: &str| (Outcome::Accepted, format!(r#"{{"data":{{"id":"{id}"}}}}"#));
        let failed = || (Outcome::Failed("503".to_owned()), "{}".to_owned());
        assert_eq!(
            together(vec![accepted("a"), accepted("a")]),
            Outcome::Accepted
        );
        assert_eq!(together(vec![failed(), accepted("a")]), Outcome::Accepted);
        assert_eq!(
            together(vec![accepted("a"), failed(), accepted("b")]),
            Outcome::Split
        );
        assert_eq!(together(vec![failed(), failed()]), failed().0);
    }
}
