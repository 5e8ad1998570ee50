//! The endpoints of a network together: which one a read goes to, and what follows when it fails.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::Rng;
use tokio::sync::watch;
use tokio::time::Instant;

use super::board::Board;
use super::health::Class;
use super::http::FaultKind;
use super::node::Node;
use super::wire::{Ask, Reply};
use crate::config::EvmClientConfig;
use crate::{HeadRef, RpcError};

/// A question that changes nothing and may be asked again anywhere.
pub(crate) struct Read<'a> {
    pub(crate) asks: &'a [Ask],
    /// The block that the endpoint must have; `None` for the latest.
    pub(crate) at: Option<u64>,
    /// Whether the replies are all there is to know; otherwise other endpoints are asked.
    pub(crate) complete: fn(&[Reply]) -> bool,
}

impl<'a> Read<'a> {
    pub(crate) fn latest(asks: &'a [Ask]) -> Self {
        Self {
            asks,
            at: None,
            complete: |_| true,
        }
    }
}

/// How one endpoint stands, for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointHealth {
    /// Host, with the port where it was given.
    pub endpoint: String,
    /// 100 is best, 0 is paused. Takes off 25 for each failure within the window, 25 if the last
    /// exchange failed, and 5 for each block behind, up to 50.
    pub score: u8,
    /// Whether it is passed over after repeated failures.
    pub paused: bool,
    /// Its head as far as known.
    pub head: Option<u64>,
}

/// The endpoints of a network.
pub(crate) struct Pool {
    pub(crate) nodes: Vec<Arc<Node>>,
    board: Mutex<Board>,
    heads: watch::Sender<Option<HeadRef>>,
    retries: u32,
    retry_base: Duration,
    retry_max: Duration,
    failovers: usize,
    lately: Duration,
}

impl Pool {
    /// `boards` is the number of endpoints, those without calls included.
    pub(crate) fn new(nodes: Vec<Arc<Node>>, boards: usize, config: &EvmClientConfig) -> Self {
        Self {
            nodes,
            board: Mutex::new(Board::new(boards, config.lately())),
            heads: watch::Sender::new(None),
            retries: config.retries,
            retry_base: config.retry_base,
            retry_max: config.retry_max,
            failovers: config.failovers as usize,
            lately: config.lately(),
        }
    }

    /// Asks the most advanced of the healthy endpoints; others when it fails. Replies may hold
    /// errors of the node. If no endpoint's replies are complete, the last ones are returned.
    pub(crate) async fn read(&self, read: &Read<'_>) -> Result<(Arc<Node>, Vec<Reply>), RpcError> {
        let mut last = None;
        let mut reasons = Vec::new();
        let mut nodes = self.ranked(read.at);
        nodes.truncate(1 + self.failovers);
        for round in 0..self.retries {
            if round > 0 {
                tokio::time::sleep(self.backoff(round)).await;
            }
            let mut lagging = Vec::new();
            for node in nodes {
                match self.read_at(&node, read).await {
                    Outcome::Complete(replies) => return Ok((node, replies)),
                    Outcome::Busy(replies) => last = Some((node, replies)),
                    Outcome::Fault(reason) => reasons.push(reason),
                    Outcome::Behind(replies) => {
                        lagging.push(Arc::clone(&node));
                        last = Some((node, replies));
                    }
                }
            }
            // A head may be announced a moment before the state is there: who lags is asked again
            // after the others.
            nodes = lagging;
            if nodes.is_empty() {
                break;
            }
        }
        last.ok_or_else(|| RpcError::NoAnswer {
            reason: reasons.join("; "),
        })
    }

    /// Hands on what callers ask: to the endpoint that reads go to, and to others while there is no
    /// answer.
    pub(crate) async fn pass(&self, asks: &[Ask]) -> Result<Vec<Reply>, RpcError> {
        let mut reasons = Vec::new();
        for node in self.ranked(None).into_iter().take(1 + self.failovers) {
            match node.pass(asks).await {
                Ok(replies) => return Ok(replies),
                Err(fault) => reasons.push(fault.reason),
            }
        }
        Err(RpcError::NoAnswer {
            reason: reasons.join("; "),
        })
    }

    /// Asks one given endpoint.
    pub(crate) async fn read_there(
        &self,
        node: &Arc<Node>,
        asks: &[Ask],
    ) -> Result<Vec<Reply>, RpcError> {
        match self.read_at(node, &Read::latest(asks)).await {
            Outcome::Complete(replies) | Outcome::Behind(replies) | Outcome::Busy(replies) => {
                Ok(replies)
            }
            Outcome::Fault(reason) => Err(RpcError::NoAnswer { reason }),
        }
    }

    /// Endpoints that a broadcast goes to: all but the paused ones, or all.
    pub(crate) fn usable(&self) -> Vec<&Arc<Node>> {
        let sound: Vec<&Arc<Node>> = self
            .nodes
            .iter()
            .filter(|node| node.class() != Class::Paused)
            .collect();
        if sound.is_empty() {
            self.nodes.iter().collect()
        } else {
            sound
        }
    }

    /// Takes a report of an endpoint's head.
    pub(crate) fn report(&self, endpoint: usize, head: HeadRef) {
        // Published under the lock: two reports must not reach the watchers in the wrong order.
        let mut board = self.board();
        if let Some(head) = board.report(endpoint, head, Instant::now()) {
            self.heads.send_replace(Some(head));
        }
    }

    pub(crate) fn head(&self) -> Option<HeadRef> {
        self.board().current()
    }

    pub(crate) fn heads(&self) -> watch::Receiver<Option<HeadRef>> {
        self.heads.subscribe()
    }

    pub(crate) fn healthy(&self) -> bool {
        self.nodes
            .iter()
            .any(|node| node.succeeded_within(self.lately))
    }

    pub(crate) fn health(&self) -> Vec<EndpointHealth> {
        let board = self.board();
        let best = board.current().map(|head| head.number);
        self.nodes
            .iter()
            .map(|node| {
                let head = board.of(node.index);
                let class = node.class();
                EndpointHealth {
                    endpoint: node.host.clone(),
                    score: score(class, node.failures(), behind(best, head)),
                    paused: class == Class::Paused,
                    head,
                }
            })
            .collect()
    }

    /// Best first: sound before failing before paused, then the most advanced, then by chance in
    /// proportion to weight. For a given block all that have it are equally advanced.
    fn ranked(&self, at: Option<u64>) -> Vec<Arc<Node>> {
        let board = self.board();
        let wanted = at.or_else(|| board.current().map(|head| head.number));
        let mut ranked: Vec<(Class, u64, f64, &Arc<Node>)> = self
            .nodes
            .iter()
            .map(|node| {
                let lag = behind(wanted, board.of(node.index));
                // Exponential variates with the weights as rates: the least is node i with
                // probability weight i / sum.
                let draw = -rand::rng().random::<f64>().ln() / f64::from(node.weight);
                (node.class(), lag, draw, node)
            })
            .collect();
        ranked.sort_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)).then(a.2.total_cmp(&b.2)));
        ranked
            .into_iter()
            .map(|(_, _, _, node)| Arc::clone(node))
            .collect()
    }

    async fn read_at(&self, node: &Arc<Node>, read: &Read<'_>) -> Outcome {
        let mut outcome = Outcome::Fault(String::new());
        let mut is_its_fault = true;
        for attempt in 0..self.retries {
            if attempt > 0 {
                tokio::time::sleep(self.backoff(attempt)).await;
            }
            match node.ask_all(read.asks).await {
                Ok(replies) => match state(&replies) {
                    State::Busy => {
                        outcome = Outcome::Busy(replies);
                        is_its_fault = true;
                    }
                    State::Broken => {
                        outcome = Outcome::Busy(replies);
                        is_its_fault = false;
                    }
                    State::Answered if (read.complete)(&replies) => {
                        return Outcome::Complete(replies);
                    }
                    State::Answered | State::Behind => return Outcome::Behind(replies),
                },
                Err(fault) => {
                    outcome = Outcome::Fault(fault.reason);
                    is_its_fault = true;
                    if fault.kind != FaultKind::Passing {
                        break;
                    }
                }
            }
        }
        if is_its_fault {
            node.failed();
        }
        outcome
    }

    fn backoff(&self, attempt: u32) -> Duration {
        let doubled = self
            .retry_base
            .saturating_mul(2_u32.saturating_pow(attempt - 1));
        doubled
            .min(self.retry_max)
            .mul_f64(rand::rng().random_range(0.8..=1.2))
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        // Nothing under this lock leaves the board half written.
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Outcome {
    Complete(Vec<Reply>),
    /// The endpoint lags, or nobody knows what was asked: not its fault.
    Behind(Vec<Reply>),
    /// The endpoint could not serve, however often it was asked.
    Busy(Vec<Reply>),
    Fault(String),
}

enum State {
    Answered,
    /// The endpoint does not have the block yet.
    Behind,
    /// An internal error. The question may be what breaks the node: callers must not be able to get
    /// endpoints paused with it.
    Broken,
    /// The endpoint cannot serve now, or left answers out.
    Busy,
}

fn state(replies: &[Reply]) -> State {
    let mut state = State::Answered;
    for error in replies.iter().filter_map(|reply| reply.as_ref().err()) {
        match error {
            RpcError::NoAnswer { .. } => return State::Busy,
            RpcError::Answered { code, message, .. } => {
                let text = message.to_ascii_lowercase();
                if is_busy(*code, &text) {
                    return State::Busy;
                }
                if is_broken(*code, &text) {
                    state = State::Broken;
                } else if is_behind(&text) && !matches!(state, State::Broken) {
                    state = State::Behind;
                }
            }
        }
    }
    state
}

/// -32005 and -32016 are rate limits; some gateways put the HTTP status into the error.
fn is_busy(code: i64, text: &str) -> bool {
    let limited = ["rate limit", "too many requests"]
        .iter()
        .any(|known| text.contains(known));
    limited || matches!(code, -32005 | -32016 | 429)
}

/// -32002 is an unavailable resource, -32603 an internal error unless it carries an execution's
/// outcome.
fn is_broken(code: i64, text: &str) -> bool {
    matches!(code, -32002 | -32603) && !text.contains("revert") && !is_behind(text)
}

fn is_behind(text: &str) -> bool {
    [
        "header not found",
        "unknown block",
        "block not found",
        "blockoutofrange",
        "out of range",
    ]
    .iter()
    .any(|known| text.contains(known))
}

fn behind(wanted: Option<u64>, has: Option<u64>) -> u64 {
    match (wanted, has) {
        (Some(wanted), Some(has)) => wanted.saturating_sub(has),
        (Some(_), None) => u64::MAX,
        (None, _) => 0,
    }
}

fn score(class: Class, failures: usize, lag: u64) -> u8 {
    let failing: u64 = match class {
        Class::Paused => return 0,
        Class::Failing => 25,
        Class::Sound => 0,
    };
    let failures = 25_u64.saturating_mul(failures as u64);
    let off = failing
        .saturating_add(failures)
        .saturating_add(lag.saturating_mul(5).min(50));
    // Only a pause is 0.
    u8::try_from(100_u64.saturating_sub(off).max(1)).unwrap_or(100)
}
