//! Callers of the relayer: requests go out when they are due, whether earlier ones were answered or
//! not, as far as there are connections; a request that has to wait for one is late from when it
//! was due.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use baton_model::Address;
use futures_util::future::join_all;
use serde::Deserialize;
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
/// Pause before a request that was not accepted is posted again.
const RETRY: Duration = Duration::from_millis(50);

/// How a caller behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// It posts each request once and takes note of the answer.
    Once,
    /// It posts a request again, with its idempotency key and at the next instance if it knows
    /// several, until it is accepted or refused, for so long at most.
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
    /// The transaction's id, if it was accepted.
    pub(super) id: Option<Box<str>>,
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
    failures: AtomicUsize,
}

/// What one post came to.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Posted {
    outcome: Outcome,
    id: Option<Box<str>>,
}

#[derive(Deserialize)]
struct Answer {
    data: AnswerData,
}

#[derive(Deserialize)]
struct AnswerData {
    id: Box<str>,
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
            failures: AtomicUsize::new(0),
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

    /// Posts so far that were not accepted; several of one request count each.
    pub(super) fn failures(&self) -> usize {
        self.failures.load(Ordering::Relaxed)
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
                    let Posted { outcome, id } = load.request(index).await;
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
                        id,
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

    async fn request(&self, index: usize) -> Posted {
        match self.manner {
            Manner::Once => self.post(index, index).await,
            Manner::Until(longest) => self.persist(index, Instant::now() + longest).await,
            Manner::Times(times) => {
                let posts = (index..index + times).map(|place| self.post(index, place));
                together(join_all(posts).await)
            }
        }
    }

    async fn persist(&self, index: usize, deadline: Instant) -> Posted {
        let mut place = index;
        loop {
            let posted = self.post(index, place).await;
            let settled = matches!(posted.outcome, Outcome::Accepted | Outcome::Refused(_));
            if settled || Instant::now() > deadline {
                return posted;
            }
            tokio::time::sleep(RETRY).await;
            place += 1;
        }
    }

    /// One post, to the address at a place.
    async fn post(&self, index: usize, place: usize) -> Posted {
        let posted = self.attempt(index, place).await;
        if posted.outcome != Outcome::Accepted {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
        posted
    }

    async fn attempt(&self, index: usize, place: usize) -> Posted {
        let relayer = &self.api.relayers[index % self.api.relayers.len()];
        // Not the relayer's turn, or each relayer would have an instance of its own.
        let turn = place + index / self.api.relayers.len();
        let url = &self.api.urls[turn % self.api.urls.len()];
        let url = format!("{url}/api/v1/relayers/{relayer}/transactions");
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
            Err(error) => return Posted::without_id(Outcome::Unknown(text_of(error))),
        };
        let status = answer.status();
        // The whole answer has to come before the connection can be used again.
        let body = answer.text().await.unwrap_or_default();
        if status.is_success() {
            let answer: Option<Answer> = serde_json::from_str(&body).ok();
            return Posted {
                outcome: Outcome::Accepted,
                id: answer.map(|answer| answer.data.id),
            };
        }
        let mut text = format!("{status}: {body}");
        text.truncate(text.floor_char_boundary(TEXT_MAX));
        Posted::without_id(if status.is_client_error() {
            Outcome::Refused(text)
        } else {
            Outcome::Failed(text)
        })
    }
}

impl Posted {
    const fn without_id(outcome: Outcome) -> Self {
        Self { outcome, id: None }
    }
}

/// What several posts of one request come to: it is accepted if any of them was, under one id.
fn together(posts: Vec<Posted>) -> Posted {
    let accepted = posts
        .iter()
        .filter(|post| post.outcome == Outcome::Accepted);
    let mut accepted: Vec<Posted> = accepted.cloned().collect();
    accepted.dedup();
    match accepted.len() {
        0 => {
            let first = posts.into_iter().next();
            first.unwrap_or_else(|| Posted::without_id(Outcome::Unknown(String::new())))
        }
        1 => accepted.swap_remove(0),
        _ => Posted::without_id(Outcome::Split),
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
        let accepted = |id: &str| Posted {
            outcome: Outcome::Accepted,
            id: Some(id.into()),
        };
        let failed = || Posted::without_id(Outcome::Failed("503".to_owned()));
        assert_eq!(together(vec![accepted("a"), accepted("a")]), accepted("a"));
        assert_eq!(together(vec![failed(), accepted("a")]), accepted("a"));
        assert_eq!(
            together(vec![accepted("a"), failed(), accepted("b")]).outcome,
            Outcome::Split
        );
        assert_eq!(together(vec![failed(), failed()]), failed());
    }
}
