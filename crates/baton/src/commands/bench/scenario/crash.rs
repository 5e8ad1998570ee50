//! Relayers that are killed, and ones that are told to end: S8.

use std::time::Duration;

use anyhow::Result;
use tokio::time::{Instant, sleep};

use super::oracle::errors_executed;
use super::stage::{Running, Setting, Stage};
use super::{Form, Trial};
use crate::commands::bench::keys::draw;
use crate::commands::bench::load::{Manner, Outcome};
use crate::commands::bench::stats::{Percentiles, float};

/// Ends of the relayer, one after another.
const ENDS: u64 = 20;
/// How long a caller repeats a request that was not answered.
const REPEAT_MAX: Duration = Duration::from_secs(120);
/// Longest time that a relayer lives once it is ready, in the short and the long form. The least is
/// none, which ends it while it still takes in what it found.
const LIFE_SHORT: Duration = Duration::from_millis(300);
const LIFE_LONG: Duration = Duration::from_millis(2000);

/// S8, SIGKILL: callers repeat what was not answered.
pub(super) async fn kills(form: &Form) -> Result<Trial> {
    let trial = Trial::new("S8", "SIGKILL, 20 times");
    let size = form.size((60, 4), (200, 60));
    let setting = Setting {
        accounts: 2,
        ..Setting::default()
    };
    let mut stage = Stage::start(form, trial, size, setting).await?;
    let running = stage.load_until_ended(Manner::Until(REPEAT_MAX))?;
    let mut restarts = Vec::new();
    for number in 0..ENDS {
        live(form, &running, "kill", number).await;
        stage.engine()?.process.kill().await?;
        restarts.push(restart(&mut stage).await?);
    }
    running.end();
    let played = stage.finish(running).await?;
    stage.require_all_accepted(&played);
    tell_restarts(&mut stage, restarts);
    stage.close().await
}

/// S8, SIGTERM: callers post once, and an answer is an answer.
pub(super) async fn drains(form: &Form) -> Result<Trial> {
    let trial = Trial::new("S8", "SIGTERM, 20 times");
    let size = form.size((60, 4), (200, 60));
    let mut stage = Stage::start(form, trial, size, Setting::default()).await?;
    let running = stage.load_until_ended(Manner::Once)?;
    let mut restarts = Vec::new();
    for number in 0..ENDS {
        live(form, &running, "drain", number).await;
        stage.engine()?.process.drain().await?;
        restarts.push(restart(&mut stage).await?);
    }
    running.end();
    let played = stage.finish(running).await?;
    tell_restarts(&mut stage, restarts);
    let answered_with_error = |outcome: &Outcome| match outcome {
        Outcome::Refused(_) | Outcome::Failed(_) => true,
        Outcome::Accepted | Outcome::Unknown(_) | Outcome::Split => false,
    };
    let records = &played.records;
    let errors = records
        .iter()
        .filter(|r| answered_with_error(&r.outcome))
        .count();
    let executed = |index: usize| played.balances.get(index).is_some_and(|b| !b.is_zero());
    let wrong = errors_executed(records, &executed);
    stage
        .trial
        .figure("answered with an error", float(errors), "");
    stage
        .trial
        .figure("of these executed", float(wrong.len()), "");
    stage.trial.require(wrong.is_empty(), || {
        format!("answered with an error and executed: {wrong:?}")
    });
    stage.close().await
}

/// Lets the relayer work for a time that only the seed knows.
async fn live(form: &Form, running: &Running, name: &str, number: u64) {
    let most = if form.short { LIFE_SHORT } else { LIFE_LONG };
    let micros = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
    let drawn = draw(form.plan.seed, name, number) % micros;
    tracing::debug!(
        accepted = running.load.accepted(),
        drawn,
        "the relayer lives"
    );
    sleep(Duration::from_micros(drawn)).await;
}

/// Starts the relayer again. How long it took to its first send.
async fn restart(stage: &mut Stage) -> Result<Duration> {
    let trace = stage.trace()?;
    let sends = || trace.calls("eth_sendRawTransaction");
    let before = sends();
    let restarted = Instant::now();
    stage.engine()?.restart()?;
    stage
        .wait_for("the first send after a restart", async || {
            Ok(sends() > before)
        })
        .await?;
    let took = restarted.elapsed();
    stage.engine()?.process.ready().await?;
    Ok(took)
}

fn tell_restarts(stage: &mut Stage, restarts: Vec<Duration>) {
    stage.trial.figure("ends", float(restarts.len()), "");
    if let Some(times) = Percentiles::of(restarts) {
        stage
            .trial
            .figure("restart to the first send p50", times.p50, "ms");
        stage.trial.figure("at most", times.max, "ms");
    }
}
