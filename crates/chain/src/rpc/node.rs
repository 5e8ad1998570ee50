//! One endpoint: its calls, its limits, its health.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use reqwest::{Client, Url};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::health::{Class, Health, Rules};
use super::http::{self, Fault, FaultKind};
use super::observe::{RpcObserver, RpcOutcome};
use super::wire::{self, Ask, BodyFault, Reply};
use crate::RpcError;
use crate::config::{EvmClientConfig, ParsedEndpoint};

/// Reads at one endpoint at the same time. A node serves a few at once; more only wait there
/// instead of here.
const EXCHANGES_MAX: usize = 64;
/// Callers' questions at one endpoint at the same time: a few, so that the lanes' own are not slowed
/// down by them.
const PASSED_MAX: usize = 16;
/// Chunks of one question at the same time.
const CHUNKS_AT_ONCE: usize = 4;
/// What is tried after a batch was refused, before single calls: small plans allow ten.
const SMALL_BATCH: usize = 10;

/// Methods that not every node has.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Feature {
    /// `eth_getBlockReceipts`
    BlockReceipts = 0,
    /// `eth_getTransactionBySenderAndNonce`
    BySenderAndNonce = 1,
    /// `txpool_contentFrom`
    ContentFrom = 2,
}

/// One endpoint that takes calls.
pub(crate) struct Node {
    pub(crate) index: usize,
    pub(crate) host: String,
    pub(crate) weight: u8,
    url: Url,
    client: Client,
    observer: Arc<dyn RpcObserver>,
    timeout: Duration,
    response_bytes: usize,
    batch_bytes: usize,
    batch_calls: AtomicUsize,
    missing: [AtomicBool; 3],
    permits: Semaphore,
    passes: Semaphore,
    rules: Rules,
    health: Mutex<Health>,
}

impl Node {
    /// `None` for an endpoint that is disabled or only announces heads.
    pub(crate) fn new(
        index: usize,
        endpoint: &ParsedEndpoint,
        config: &EvmClientConfig,
        client: &Client,
        observer: &Arc<dyn RpcObserver>,
    ) -> Option<Self> {
        if endpoint.weight == 0 {
            return None;
        }
        Some(Self {
            index,
            host: endpoint.host.clone(),
            weight: endpoint.weight,
            url: endpoint.http.clone()?,
            client: client.clone(),
            observer: Arc::clone(observer),
            timeout: config.timeout,
            response_bytes: config.response_bytes,
            batch_bytes: config.batch_bytes,
            batch_calls: AtomicUsize::new(config.batch_calls),
            missing: Default::default(),
            permits: Semaphore::new(EXCHANGES_MAX),
            passes: Semaphore::new(PASSED_MAX),
            rules: Rules {
                threshold: config.failure_threshold,
                window: config.failure_window,
                pause: config.pause,
            },
            health: Mutex::default(),
        })
    }

    /// Asks everything, in as few exchanges as the endpoint's limits allow. All or nothing: for
    /// reads only.
    pub(crate) async fn ask_all(&self, asks: &[Ask]) -> Result<Vec<Reply>, Fault> {
        loop {
            let mut chunks = Vec::new();
            let mut rest = asks;
            while !rest.is_empty() {
                let (chunk, after) = rest.split_at(self.chunk_len(rest));
                chunks.push(self.in_turn(chunk));
                rest = after;
            }
            let answers: Result<Vec<Vec<Reply>>, Fault> = stream::iter(chunks)
                .buffered(CHUNKS_AT_ONCE)
                .try_collect()
                .await;
            match answers {
                Ok(answers) => return Ok(answers.into_iter().flatten().collect()),
                Err(fault) if fault.kind != FaultKind::BatchRefused => return Err(fault),
                Err(_) => {}
            }
        }
    }

    /// How many calls from the front fit into one exchange: at least one.
    pub(crate) fn chunk_len(&self, asks: &[Ask]) -> usize {
        let calls = self.batch_calls.load(Ordering::Relaxed).min(asks.len());
        let mut bytes = 0;
        let fitting = asks[..calls]
            .iter()
            .take_while(|ask| {
                bytes += ask.size();
                bytes <= self.batch_bytes
            })
            .count();
        fitting.max(1)
    }

    /// One exchange. A fault of kind `BatchRefused` is only returned after the endpoint's limit was
    /// lowered, so that trying again asks for less; nothing of the batch was executed then.
    pub(crate) async fn exchange(&self, asks: &[Ask]) -> Result<Vec<Reply>, Fault> {
        let started = Instant::now();
        let mut result = self.post(asks).await;
        if let Err(fault) = &mut result
            && fault.kind == FaultKind::BatchRefused
            && !self.shrink(asks.len())
        {
            fault.kind = FaultKind::Lasting;
        }
        self.observe(asks, &result, started.elapsed());
        match &result {
            Ok(_) => self.health().succeeded(Instant::now()),
            Err(fault) if fault.kind == FaultKind::BatchRefused => {}
            Err(_) => self.health().stumbled(),
        }
        result
    }

    /// Asks what callers want to know. What they ask may be what fails, so neither the endpoint's
    /// health nor its limits are judged by it.
    pub(crate) async fn pass(&self, asks: &[Ask]) -> Result<Vec<Reply>, Fault> {
        let permit = self.passes.acquire().await;
        let _permit = permit.map_err(|_| Fault::passing("the client was shut down"))?;
        let mut replies = Vec::with_capacity(asks.len());
        let mut calls_max = asks.len();
        while replies.len() < asks.len() {
            let rest = &asks[replies.len()..];
            let chunk = &rest[..self.chunk_len(rest).min(calls_max)];
            let started = Instant::now();
            let result = self.post(chunk).await;
            self.observe(chunk, &result, started.elapsed());
            match result {
                Ok(answers) => replies.extend(answers),
                Err(fault) if fault.kind == FaultKind::BatchRefused && chunk.len() > 1 => {
                    calls_max = smaller(chunk.len());
                }
                Err(fault) => return Err(fault),
            }
        }
        Ok(replies)
    }

    /// Counts a question that was given up here.
    pub(crate) fn failed(&self) {
        let mut health = self.health();
        let before = health.class(Instant::now());
        health.failed(Instant::now(), &self.rules);
        let paused = health.class(Instant::now()) == Class::Paused && before != Class::Paused;
        drop(health);
        if paused {
            tracing::warn!(endpoint = %self.host, "endpoint paused after repeated failures");
        }
    }

    /// Counts news that came by another way than a call.
    pub(crate) fn heard(&self) {
        self.health().succeeded(Instant::now());
    }

    pub(crate) fn class(&self) -> Class {
        self.health().class(Instant::now())
    }

    pub(crate) fn failures(&self) -> usize {
        self.health().failures(Instant::now(), &self.rules)
    }

    pub(crate) fn succeeded_within(&self, span: Duration) -> bool {
        self.health().succeeded_within(Instant::now(), span)
    }

    pub(crate) fn lacks(&self, feature: Feature) -> bool {
        self.missing[feature as usize].load(Ordering::Relaxed)
    }

    /// Remembers a missing method if that is what the error says.
    pub(crate) fn note_missing(&self, feature: Feature, error: &RpcError) {
        if is_missing_method(error) {
            self.missing[feature as usize].store(true, Ordering::Relaxed);
        }
    }

    /// An exchange when its turn comes. Sends and polls, which are one at a time anyway, do not
    /// wait behind reads.
    async fn in_turn(&self, asks: &[Ask]) -> Result<Vec<Reply>, Fault> {
        let _permit = self
            .permits
            .acquire()
            .await
            .map_err(|_| Fault::passing("the client was shut down"))?;
        self.exchange(asks).await
    }

    async fn post(&self, asks: &[Ask]) -> Result<Vec<Reply>, Fault> {
        let body = wire::encode(asks);
        let answer = http::post(
            &self.client,
            &self.url,
            body,
            self.timeout,
            self.response_bytes,
        )
        .await
        .map_err(|fault| self.named(fault))?;
        match wire::decode(&answer, asks.len()) {
            Ok(replies) => Ok(replies.into_iter().map(|reply| self.owned(reply)).collect()),
            Err(BodyFault::Unreadable(reason)) => Err(self.named(Fault::passing(reason))),
            Err(BodyFault::Whole { code, message, .. }) if refuses_batches(code, &message) => {
                Err(self.named(Fault {
                    kind: FaultKind::BatchRefused,
                    reason: format!("batch refused with error {code}: {message}"),
                }))
            }
            Err(BodyFault::Whole {
                code,
                message,
                data,
            }) => {
                let error = RpcError::Answered {
                    code,
                    message,
                    data,
                };
                Ok(asks.iter().map(|_| Err(error.clone())).collect())
            }
        }
    }

    fn named(&self, mut fault: Fault) -> Fault {
        fault.reason = format!("{}: {}", self.host, fault.reason);
        fault
    }

    fn owned(&self, reply: Reply) -> Reply {
        reply.map_err(|error| match error {
            RpcError::NoAnswer { reason } => RpcError::NoAnswer {
                reason: format!("{}: {reason}", self.host),
            },
            answered @ RpcError::Answered { .. } => answered,
        })
    }

    /// Lowers the limit below a refused size; false if it was one call already.
    fn shrink(&self, refused: usize) -> bool {
        let smaller = smaller(refused);
        if refused > 1 {
            self.batch_calls.fetch_min(smaller, Ordering::Relaxed);
            tracing::info!(endpoint = %self.host, refused, limit = smaller, "smaller batches");
        }
        refused > 1
    }

    fn observe(&self, asks: &[Ask], result: &Result<Vec<Reply>, Fault>, latency: Duration) {
        for (place, ask) in asks.iter().enumerate() {
            let outcome = match result {
                Ok(replies) => outcome(&replies[place]),
                Err(_) => RpcOutcome::NoAnswer,
            };
            self.observer.call(&self.host, ask.method, outcome, latency);
        }
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        // Nothing under this lock leaves the record half written.
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The size that is tried after a batch of a size was refused.
const fn smaller(refused: usize) -> usize {
    if refused > SMALL_BATCH {
        SMALL_BATCH
    } else {
        1
    }
}

fn outcome(reply: &Reply) -> RpcOutcome {
    match reply {
        Ok(_) => RpcOutcome::Result,
        Err(RpcError::Answered { .. }) => RpcOutcome::Error,
        Err(RpcError::NoAnswer { .. }) => RpcOutcome::NoAnswer,
    }
}

/// One error for a whole batch means that batches are not taken if it speaks of the request's form.
/// Others, such as a rate limit, speak of the moment.
fn refuses_batches(code: i64, message: &str) -> bool {
    matches!(code, -32700 | -32600 | -32601 | -32602)
        || message.to_ascii_lowercase().contains("batch")
}

/// Whether an error says that the node does not have the method.
pub(crate) fn is_missing_method(error: &RpcError) -> bool {
    match error {
        RpcError::Answered { code: -32601, .. } => true,
        RpcError::Answered { message, .. } => {
            let text = message.to_ascii_lowercase();
            [
                "method not found",
                "not supported",
                "unsupported method",
                "does not exist/is not available",
            ]
            .iter()
            .any(|known| text.contains(known))
        }
        RpcError::NoAnswer { .. } => false,
    }
}
