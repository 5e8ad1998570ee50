//! Nodes that lose answers, lie, go away, and keep rules: S5, S6, S7, S11.

use std::time::Duration;

use anyhow::Result;
use baton_testkit::{
    Fault, FaultRule, Moment, Outage, PoolRules, ProxyControl, RefusalReason, Stale, When,
};
use tokio::time::{Instant, sleep};

use super::stage::{Setting, Stage};
use super::{Form, Trial};
use crate::commands::bench::load::Manner;
use crate::commands::bench::stats::{float, milliseconds, ratio};

const SEND: &str = "eth_sendRawTransaction";
/// Sends whose answers are lost, of a thousand.
const LOST_PERMILLE: u16 = 100;
/// Batches of sends that are never answered: the first ones, and so many of a thousand after them.
const SILENT_FIRST: u32 = 2;
const SILENT_PERMILLE: u16 = 20;
/// Blocks that a lying node is behind.
const BLOCKS_BEHIND: u64 = 5;
/// Everything fails.
const ALWAYS: When = When::Permille(1000);
/// Unfinished nonces that S11's relayer opens: more than a strict pool takes.
const OVER_THE_LIMIT: u32 = 40;
/// Sends per executed request beyond which a relayer and a pool are in each other's way.
const SENDS_MAX: f64 = 12.0;
/// Longest time from the end of an outage to the first send: the longest pause between polls of a
/// node that did not answer, one answer that never comes, and time for a busy machine.
const RECOVERY_MAX: Duration = Duration::from_secs(10);

/// S5: the node takes what is sent, and its answers are lost.
pub(super) async fn lost_answers(form: &Form) -> Result<Trial> {
    let trial = Trial::new("S5", "answers to 10 % of sends lost");
    let size = form.size((60, 6), (200, 60));
    let mut stage = Stage::start(form, trial, size, Setting::default()).await?;
    let control = stage.control()?;
    control.inject(FaultRule::new(Fault::Omitted, When::Permille(LOST_PERMILLE)).on(SEND));
    let silence = Fault::NoReply(Moment::After);
    for when in [When::Next(SILENT_FIRST), When::Permille(SILENT_PERMILLE)] {
        control.inject(FaultRule::new(silence.clone(), when).on(SEND));
    }
    let running = stage.load(Manner::Once)?;
    let played = stage.finish(running).await?;
    stage.require_all_accepted(&played);
    let faults = stage.trace()?.faults();
    for (name, shown) in [
        ("omitted", "answers lost"),
        ("no-reply", "batches without answer"),
    ] {
        let count = faults.get(name).copied().unwrap_or(0);
        let count = usize::try_from(count).map_or(0.0, float);
        stage.trial.figure(shown, count, "");
        stage
            .trial
            .require(count > 0.0, || format!("no fault {name} struck"));
    }
    let repeats = usize::try_from(played.sends.repeats).map_or(0.0, float);
    stage
        .trial
        .figure("same bytes sent again", repeats, "times");
    stage.close().await
}

/// S6: the node tells nonces and blocks of a while ago, also to a relayer that starts.
pub(super) async fn stale_counts(form: &Form) -> Result<Trial> {
    let trial = Trial::new("S6", "node 5 blocks behind, also at a restart");
    let size = form.size((60, 4), (100, 60));
    let mut stage = Stage::start(form, trial, size, Setting::default()).await?;
    let control = stage.control()?;
    let span = form.span(1.5, 20);
    let longest = Duration::from_secs(120);
    let running = stage.load_until_ended(Manner::Until(longest))?;
    stage.wait_for_blocks(BLOCKS_BEHIND).await?;
    control.stale(Some(Stale::Behind(BLOCKS_BEHIND)));
    sleep(span).await;
    let before = running.load.accepted();
    let engine = stage.engine()?;
    engine.process.kill().await?;
    engine.restart()?;
    stage.engine()?.process.ready().await?;
    sleep(span).await;
    let meanwhile = running.load.accepted() - before;
    control.stale(None);
    sleep(span).await;
    running.end();
    let played = stage.finish(running).await?;
    stage.require_all_accepted(&played);
    stage.trial.figure("blocks behind", 5.0, "");
    stage
        .trial
        .figure("accepted after a restart meanwhile", float(meanwhile), "");
    stage
        .trial
        .figure("nonces reused", float(played.sends.shared.len()), "");
    stage.trial.require(meanwhile > 0, || {
        "nothing was accepted while the node was behind".to_owned()
    });
    stage.close().await
}

/// A way for a node to be away.
#[derive(Clone, Copy, Debug)]
enum Away {
    Status(u16),
    Outage(Outage),
}

/// S7: the node is away in every way, one after another.
pub(super) async fn outages(form: &Form) -> Result<Trial> {
    let trial = Trial::new("S7", "node away: 429, 503, hangs, refuses");
    let size = form.size((50, 4), (100, 60));
    let mut stage = Stage::start(form, trial, size, Setting::default()).await?;
    let control = stage.control()?;
    let running = stage.load_until_ended(Manner::Once)?;
    for (name, away) in [
        ("after 429", Away::Status(429)),
        ("after 503", Away::Status(503)),
        ("after hanging", Away::Outage(Outage::Hang)),
        ("after refusing", Away::Outage(Outage::Refuse)),
    ] {
        stage.wait_for_blocks(2).await?;
        keep_away(&control, away, form.span(1.5, 30)).await;
        let recovery = time_to_send(&stage).await?;
        stage.trial.figure(name, milliseconds(recovery), "ms");
        stage.trial.require(recovery <= RECOVERY_MAX, || {
            format!("{name}, the first send came after {recovery:?}")
        });
    }
    running.end();
    let played = stage.finish(running).await?;
    stage.require_all_accepted(&played);
    stage.close().await
}

/// S11: the node keeps geth's rules for its pool, and the relayer opens more than they allow.
pub(super) async fn strict_pool(form: &Form) -> Result<Trial> {
    let trial = Trial::new("S11", "pool of 16 slots, 40 in flight");
    let size = form.size((120, 2), (60, 60));
    let setting = Setting {
        in_flight: OVER_THE_LIMIT,
        ..Setting::default()
    };
    let mut stage = Stage::start(form, trial, size, setting).await?;
    stage.control()?.pool_rules(Some(PoolRules::default()));
    let running = stage.load(Manner::Once)?;
    let played = stage.finish(running).await?;
    stage.require_all_accepted(&played);
    let trace = stage.trace()?;
    // That a node has, or had, these very bytes is no refusal.
    let known = [RefusalReason::AlreadyKnown, RefusalReason::NonceTooLow];
    let refusals = trace.refusals().into_iter();
    let refusals = refusals.filter(|(reason, _)| !known.contains(reason));
    let refusals: u64 = refusals.map(|(_, count)| count).sum();
    let count = |number: u64| usize::try_from(number).map_or(0.0, float);
    stage.trial.figure("sends refused", count(refusals), "");
    let requests = float(played.records.len());
    let sends = ratio(count(trace.calls(SEND)), requests).unwrap_or(0.0);
    stage.trial.figure("sends per request", sends, "");
    stage
        .trial
        .figure("all mined after", played.seconds_to_last(), "s");
    stage
        .trial
        .require(refusals > 0, || "the pool refused nothing".to_owned());
    stage.trial.require(sends <= SENDS_MAX, || {
        format!("{sends:.1} sends per request: {:?}", trace.refusals())
    });
    stage.close().await
}

async fn keep_away(control: &ProxyControl, away: Away, span: Duration) {
    match away {
        Away::Status(code) => {
            let fault = Fault::Status(code, Moment::Before);
            let rule = control.inject(FaultRule::new(fault, ALWAYS));
            sleep(span).await;
            control.withdraw(rule);
        }
        Away::Outage(outage) => {
            control.outage(Some(outage)).await;
            sleep(span).await;
            control.outage(None).await;
        }
    }
}

/// How long it takes from now until something is sent.
async fn time_to_send(stage: &Stage) -> Result<Duration> {
    let trace = stage.trace()?;
    let start = Instant::now();
    let before = trace.calls(SEND);
    let sent = async || Ok(trace.calls(SEND) > before);
    stage
        .wait_for("the first send after an outage", sent)
        .await?;
    Ok(start.elapsed())
}
