//! Loads that go well, and callers that repeat themselves: S1, S2, S3, S12, S14.

use std::time::Duration;

use anyhow::Result;
use tokio::time::Instant;

use super::oracle::{slope, spread};
use super::stage::{Played, Setting, Stage};
use super::{Form, Trial};
use crate::commands::bench::load::Manner;
use crate::commands::bench::process::ProcessUse;
use crate::commands::bench::stats::{Percentiles, float, ratio};

/// Most that the busiest account of a pool may send, as a multiple of the idlest.
const SPREAD_MAX: f64 = 1.5;
/// Posts of one request in S12.
const POSTS: usize = 3;
/// How often a soak looks at memory.
const SAMPLE: Duration = Duration::from_millis(500);
/// The most that memory may rise with each request of a long soak, in bytes. Nothing of a final
/// request is kept in memory; the rest is room for what an allocator does.
const BYTES_PER_REQUEST_MAX: f64 = 2000.0;
/// Seconds over which a rise of memory says something: the store's write buffer fills and empties
/// several times within them.
const RISE_SECONDS_MIN: f64 = 600.0;
/// Gauges that have to be zero when nothing is open.
const PENDING_GAUGES: [&str; 6] = [
    "state=\"queued\"",
    "state=\"in_flight\"",
    "status=\"pending\"",
    "status=\"sent\"",
    "status=\"submitted\"",
    "status=\"mined\"",
];

/// S1: one sender, steady.
pub(super) async fn one_sender(form: &Form) -> Result<Trial> {
    let trial = Trial::new("S1", "one sender, steady");
    let size = form.size((80, 4), (200, 60));
    let mut stage = Stage::start(form, trial, size, Setting::default()).await?;
    let running = stage.load(Manner::Once)?;
    let played = stage.finish(running).await?;
    stage.require_all_accepted(&played);
    tell_speed(&mut stage, &played)?;
    stage.close().await
}

/// S2: a pool of ten accounts.
pub(super) async fn pool_of_ten(form: &Form) -> Result<Trial> {
    let trial = Trial::new("S2", "pool of 10");
    let size = form.size((100, 4), (200, 60));
    let setting = Setting {
        accounts: 10,
        ..Setting::default()
    };
    let mut stage = Stage::start(form, trial, size, setting).await?;
    let running = stage.load(Manner::Once)?;
    let played = stage.finish(running).await?;
    stage.require_all_accepted(&played);
    tell_speed(&mut stage, &played)?;
    let spread = spread(&played.nonces);
    stage
        .trial
        .figure("most by least busy account", spread.unwrap_or(0.0), "");
    stage
        .trial
        .require(spread.is_some_and(|spread| spread <= SPREAD_MAX), || {
            format!("the load is spread unevenly: {:?}", played.nonces)
        });
    stage.close().await
}

/// S3: a burst within one second.
pub(super) async fn burst(form: &Form) -> Result<Trial> {
    let trial = Trial::new("S3", "burst within a second");
    let size = form.size((500, 1), (5000, 1));
    let setting = Setting {
        in_flight: 16_384,
        ..Setting::default()
    };
    let mut stage = Stage::start(form, trial, size, setting).await?;
    let running = stage.load(Manner::Once)?;
    let played = stage.finish(running).await?;
    stage.require_all_accepted(&played);
    let peak = stage.world.used();
    let peak = peak.map_or(0, |used| used.resident_peak);
    stage
        .trial
        .figure("all mined after", played.seconds_to_last(), "s");
    let megabytes = Duration::from_micros(peak).as_secs_f64();
    stage.trial.figure("memory at most", megabytes, "MB");
    stage.close().await
}

/// S12: a caller that posts everything several times.
pub(super) async fn repeated_posts(form: &Form) -> Result<Trial> {
    let trial = Trial::new("S12", "every POST three times, one key");
    let size = form.size((40, 4), (100, 60));
    let mut stage = Stage::start(form, trial, size, Setting::default()).await?;
    let running = stage.load(Manner::Times(POSTS))?;
    let played = stage.finish(running).await?;
    stage.require_all_accepted(&played);
    let posts = float(POSTS * played.records.len());
    stage.trial.figure("posts", posts, "");
    let relayer = stage.world.api.relayers[0].clone();
    let path = format!("/relayers/{relayer}/transactions?per_page=1");
    let known = stage.get(&path).await?["pagination"]["total_items"].as_u64();
    let requests = u64::try_from(played.records.len()).ok();
    stage.trial.require(known == requests, || {
        format!("{requests:?} requests were posted, and the relayer knows {known:?}")
    });
    stage.close().await
}

/// S14: a soak.
pub(super) async fn soak(form: &Form) -> Result<Trial> {
    let trial = Trial::new("S14", "soak");
    let size = form.size((60, 8), (100, 1800));
    let mut stage = Stage::start(form, trial, size, Setting::default()).await?;
    let pid = stage.engine()?.process.pid();
    let sampling = tokio::spawn(async move {
        let start = Instant::now();
        let mut samples = Vec::new();
        while let Some(used) = pid.and_then(ProcessUse::of) {
            let bytes = Duration::from_micros(used.resident).as_secs_f64() * 1e6;
            samples.push((start.elapsed().as_secs_f64(), bytes));
            if start.elapsed() > Duration::from_secs(u64::from(size.seconds)) {
                break;
            }
            tokio::time::sleep(SAMPLE).await;
        }
        samples
    });
    let running = stage.load(Manner::Once)?;
    let played = stage.finish(running).await?;
    stage.require_all_accepted(&played);
    tell_speed(&mut stage, &played)?;
    let samples = sampling.await?;
    tell_memory(&mut stage, &samples);
    let metrics = stage.text("/metrics").await?;
    let leaks = leaks(&metrics);
    stage
        .trial
        .figure("pending counters left", float(leaks.len()), "");
    let shown = PENDING_GAUGES.iter().all(|gauge| metrics.contains(gauge));
    stage.trial.require(shown, || {
        format!("not all of {PENDING_GAUGES:?} are in the metrics")
    });
    stage
        .trial
        .require(leaks.is_empty(), || format!("counters leak: {leaks:?}"));
    let log = stage.engine()?.process.log()?.len();
    let each = ratio(float(log), float(played.records.len()));
    stage
        .trial
        .figure("log per request", each.unwrap_or(0.0), "B");
    stage.close().await
}

fn tell_speed(stage: &mut Stage, played: &Played) -> Result<()> {
    let executed = float(played.mined.iter().flatten().count());
    let rate = ratio(executed, played.seconds_to_last());
    stage.trial.figure("mined", rate.unwrap_or(0.0), "/s");
    let trace = stage.trace()?;
    let to_node = played.records.iter().filter_map(|record| {
        let first = trace.first_broadcast(played.targets[record.index])?;
        Some(first.saturating_duration_since(record.due))
    });
    let to_node: Vec<Duration> = to_node.collect();
    let unsent = played.records.len() - to_node.len();
    stage
        .trial
        .require(unsent == 0, || format!("{unsent} requests were never sent"));
    if let Some(times) = Percentiles::of(to_node) {
        stage.trial.figure("to the node p50", times.p50, "ms");
        stage.trial.figure("p99", times.p99, "ms");
    }
    if let Some(times) = Percentiles::of(played.to_mined(|_| true)) {
        stage.trial.figure("to mined p99", times.p99, "ms");
    }
    Ok(())
}

/// How much memory a soak took in the end, and how it rose in its second half if that was long.
fn tell_memory(stage: &mut Stage, samples: &[(f64, f64)]) {
    let late = &samples[samples.len() / 2..];
    let (Some(first), Some(last)) = (late.first(), late.last()) else {
        return;
    };
    stage.trial.figure("memory in the end", last.1 / 1e6, "MB");
    if last.0 - first.0 < RISE_SECONDS_MIN {
        return;
    }
    let rise = slope(late).unwrap_or(0.0);
    stage.trial.figure("rising by", rise * 3600.0 / 1e6, "MB/h");
    let per_request = rise / f64::from(stage.size.rate);
    stage
        .trial
        .require(per_request <= BYTES_PER_REQUEST_MAX, || {
            format!("memory rises by {per_request:.0} bytes with every request")
        });
}

/// Gauges of open work that are not zero.
fn leaks(metrics: &str) -> Vec<&str> {
    let of_open = |line: &&str| PENDING_GAUGES.iter().any(|gauge| line.contains(gauge));
    let not_zero = |line: &&str| !line.ends_with(" 0");
    metrics.lines().filter(of_open).filter(not_zero).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_of_open_work_that_is_not_zero_is_a_leak() {
        let metrics = "slots{relayer_id=\"a\",state=\"in_flight\"} 1\n\
                       slots{relayer_id=\"a\",state=\"queued\"} 0\n\
                       transactions_by_status{relayer_id=\"a\",status=\"confirmed\"} 7\n";
        assert_eq!(
            leaks(metrics),
            ["slots{relayer_id=\"a\",state=\"in_flight\"} 1"]
        );
    }
}
