//! Following a transaction until it is where somebody waits for it to be.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use anyhow::Result;
use indicatif::ProgressBar;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::client::{Client, Failure};
use crate::cli::Until;
use crate::commands::say;

/// How often it is asked for: blocks come every quarter of a second at the most.
const PERIOD: Duration = Duration::from_millis(500);
/// How often the same state is drawn anew, for the eye.
const TICK: Duration = Duration::from_millis(100);

/// How following ended.
pub(super) enum End {
    /// It is there.
    Reached(Value),
    /// It has ended, and not there.
    Otherwise(Value),
    /// The wait was over before.
    Open(Value),
}

/// What is waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    /// A status on the way.
    Status(Until),
    /// That it was cancelled.
    Canceled,
}

/// How the way there is told.
pub(super) struct Teller {
    as_json: bool,
    bar: Option<ProgressBar>,
    last: Option<String>,
    started: Instant,
}

/// Follows a transaction.
///
/// # Errors
/// When the engine refuses to tell. That it does not answer for a while is waited out.
pub(super) async fn follow(
    client: &Client,
    (relayer, id): (&str, &str),
    goal: Goal,
    patience: Option<Duration>,
    teller: &mut Teller,
) -> Result<End> {
    let deadline = patience.map(|patience| Instant::now() + patience);
    let is_over = || deadline.is_some_and(|deadline| Instant::now() >= deadline);
    let path = ["relayers", relayer, "transactions", id];
    let mut last = Value::Null;
    loop {
        match client.get(&path, &[]).await {
            Ok(answer) => {
                last = answer.data().clone();
                teller.tell(&last)?;
                if let Some(end) = ended(goal, &last) {
                    return Ok(end);
                }
            }
            Err(failure) if failure.may_pass() && (deadline.is_none() || !last.is_null()) => {
                teller.note(&failure);
            }
            Err(failure) => return Err(failure.into()),
        }
        if is_over() {
            return Ok(End::Open(last));
        }
        sleep(PERIOD).await;
    }
}

/// Whether the wait is over, and how.
fn ended(goal: Goal, transaction: &Value) -> Option<End> {
    let status = transaction["status"].as_str().unwrap_or_default();
    let reached = match status {
        "submitted" => Some(Until::Submitted),
        "mined" => Some(Until::Mined),
        "confirmed" => Some(Until::Confirmed),
        _ => None,
    };
    let is_final = ["confirmed", "failed", "canceled", "expired"].contains(&status);
    let is_there = match goal {
        Goal::Status(until) => reached.is_some_and(|reached| reached >= until),
        Goal::Canceled => status == "canceled",
    };
    match (is_there, is_final) {
        (true, _) => Some(End::Reached(transaction.clone())),
        (false, true) => Some(End::Otherwise(transaction.clone())),
        (false, false) => None,
    }
}

impl Teller {
    /// For people: on a terminal a line that changes, elsewhere a line for each change, on standard error.
    pub(super) fn quiet() -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            bar.enable_steady_tick(TICK);
            bar
        });
        Self {
            as_json: false,
            bar,
            last: None,
            started: Instant::now(),
        }
    }

    /// For programs: each change as a JSON object on a line of standard output.
    pub(super) fn json() -> Self {
        Self {
            as_json: true,
            bar: None,
            last: None,
            started: Instant::now(),
        }
    }

    /// For programs that want the end only.
    pub(super) fn silent() -> Self {
        let bar = Some(ProgressBar::hidden());
        Self {
            as_json: false,
            bar,
            last: None,
            started: Instant::now(),
        }
    }

    fn tell(&mut self, transaction: &Value) -> io::Result<()> {
        let now = state(transaction);
        let is_new = self.last.as_ref() != Some(&now);
        if self.as_json {
            if is_new {
                say(transaction)?;
            }
        } else if let Some(bar) = &self.bar {
            let seconds = self.started.elapsed().as_secs();
            bar.set_message(format!("{now} ({seconds} s)"));
        } else if is_new {
            writeln!(io::stderr().lock(), "{now}")?;
        }
        self.last = Some(now);
        Ok(())
    }

    fn note(&self, failure: &Failure) {
        if let (Some(bar), Failure::NoAnswer(error)) = (&self.bar, failure) {
            bar.set_message(format!("{error}; asking again"));
        }
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A transaction's state in a line.
fn state(transaction: &Value) -> String {
    let status = transaction["status"].as_str().unwrap_or("unknown");
    let mut text = status.to_owned();
    if let Some(nonce) = transaction["nonce"].as_u64() {
        text.push_str(&format!(", nonce {nonce}"));
    }
    if let Some(attempts) = transaction["hashes"]
        .as_array()
        .map(Vec::len)
        .filter(|count| *count > 1)
    {
        text.push_str(&format!(", attempt {attempts}"));
    }
    if let Some(block) = transaction["block_number"].as_u64() {
        text.push_str(&format!(", block {block}"));
    }
    if let Some(reason) = transaction["status_reason"].as_str() {
        text.push_str(&format!(": {reason}"));
    }
    text
}
