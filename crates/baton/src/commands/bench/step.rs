//! One step: load at one rate, and what came of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use baton_model::{Address, U256};
use serde::Serialize;
use tokio::time::Instant;

use super::keys::targets;
use super::load::{Load, Outcome, Record};
use super::pace::{Pacer, Schedule};
use super::plan::Plan;
use super::process::{MachineUse, ProcessUse, disk_bytes};
use super::stats::{Percentiles, float, mined_rate, ratio};
use super::tap::Traffic;
use super::world::World;

/// From the start of a step's clock to its first request: time for all callers to be there.
const LEAD: Duration = Duration::from_millis(100);
/// Blocks that are waited for after the last transfer: a second execution would come late.
const BLOCKS_AFTER: usize = 2;
/// How long they may take, where blocks are slow.
const AFTER_MAX: Duration = Duration::from_secs(30);
/// How often it is looked whether everything was mined.
const LOOK: Duration = Duration::from_millis(20);
/// Share of the offered rate that has to be mined for a step to keep up: blocks come in steps of
/// their own, so a short window shows a few percent less or more.
const KEPT_UP: f64 = 0.95;
/// Different texts of refusals that are kept.
const TEXTS_MAX: usize = 3;

/// What a step came to. Times are in milliseconds from when a request was due, and of requests that
/// were due after the warm-up.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Step {
    /// Requests per second.
    pub(super) offered: u32,
    pub(super) proxy_delay_ms: u64,
    /// Requests of the whole step, and what became of them.
    pub(super) counts: Counts,
    /// To the answer that it was accepted.
    pub(super) accepted: Option<Percentiles>,
    /// To its bytes at the proxy before the node.
    pub(super) broadcast: Option<Percentiles>,
    /// To the block that holds it, as seen by the bench.
    pub(super) mined: Option<Percentiles>,
    /// To when the bench had sent it: how late the bench itself was.
    pub(super) sent: Option<Percentiles>,
    pub(super) mined_per_second: Option<f64>,
    /// Of what was mined per second in the direct run.
    pub(super) share_of_direct: Option<f64>,
    pub(super) traffic: Option<TrafficShare>,
    /// Processor seconds of the relayer for 1,000 transactions.
    pub(super) cpu_seconds_per_1000: Option<f64>,
    pub(super) resident_peak_bytes: Option<u64>,
    pub(super) store_bytes_per_transaction: Option<f64>,
    /// Percent of the machine's processor time that nobody used.
    pub(super) machine_idle_percent: Option<u64>,
    /// Whether the relayer kept up.
    pub(super) kept_up: bool,
    /// What refusals said, some of them.
    pub(super) refusals: Vec<String>,
}

/// Requests by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Counts {
    pub(super) sent: usize,
    pub(super) accepted: usize,
    /// Answered with a 4xx status.
    pub(super) refused: usize,
    /// Answered with a 5xx status, or not at all.
    pub(super) unknown: usize,
    /// Executed exactly once.
    pub(super) once: usize,
    /// Executed more than once, or accepted as more than one.
    pub(super) doubled: usize,
    /// Accepted and not executed.
    pub(super) lost: usize,
    /// Accepted, neither executed nor known any more: the store lost them in a crash that may take
    /// what was not flushed. They are not among the lost.
    pub(super) forgotten: usize,
    /// Refused and executed.
    pub(super) refused_but_executed: usize,
}

/// What the relayer asked of its node, for each transaction that was mined.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct TrafficShare {
    /// HTTP requests; a batch is one.
    pub(super) requests: f64,
    /// JSON-RPC calls.
    pub(super) calls: f64,
    pub(super) by_method: BTreeMap<String, f64>,
}

/// What a step is to do.
#[derive(Clone, Copy, Debug)]
pub(super) struct StepSpec {
    /// No two steps of a run have the same number.
    pub(super) number: u32,
    pub(super) schedule: Schedule,
    pub(super) delay: Duration,
    /// Mined per second in the direct run.
    pub(super) direct: Option<f64>,
}

/// Runs one step to its end.
pub(super) async fn run(world: &World, plan: &Plan, spec: &StepSpec) -> Result<Step> {
    let targets = targets(plan.seed, spec.number, spec.schedule.count());
    world.watcher.expect(&targets);
    let load = Arc::new(Load::new(plan, &world.api, spec.number, targets)?);
    let traffic_before = world.tap.as_ref().map(|tap| tap.traffic());
    let disk_before = disk(world);
    let pacer = Arc::new(Pacer::start(spec.schedule, LEAD));
    let start = pacer.started();
    let (records, used) = tokio::join!(
        load.run(&pacer, plan.connections),
        used(world, start, spec.schedule)
    );
    let records = records?;
    let accepted = records
        .iter()
        .filter(|r| r.outcome == Outcome::Accepted)
        .count();
    drain(world, plan, accepted).await;
    let traffic = traffic_before
        .zip(world.tap.as_ref())
        .map(|(before, tap)| tap.traffic().since(&before));
    let balances = world.rpc.balances(load.targets()).await?;
    let disk = disk(world)
        .zip(disk_before)
        .map(|(now, before)| now.saturating_sub(before));
    let (mined, blocks) = world.watcher.take();
    let (from, until) = spec.schedule.window();
    let mut step = Step {
        offered: spec.schedule.rate(),
        proxy_delay_ms: u64::try_from(spec.delay.as_millis()).unwrap_or(u64::MAX),
        counts: count(&records, &balances),
        mined_per_second: mined_rate(&blocks, start + from, start + until, plan.block_time()),
        share_of_direct: None,
        traffic: traffic.as_ref().and_then(|traffic| share(traffic, &mined)),
        cpu_seconds_per_1000: None,
        resident_peak_bytes: world.used().map(|used| used.resident_peak),
        store_bytes_per_transaction: disk
            .and_then(|bytes| ratio(float(usize::try_from(bytes).ok()?), float(accepted))),
        machine_idle_percent: used.idle_percent,
        kept_up: false,
        refusals: refusals(&records),
        ..times(&records, spec.schedule, load.targets(), &mined, world)
    };
    let measured = step.accepted.map_or(0, |accepted| accepted.count);
    step.cpu_seconds_per_1000 = used
        .cpu
        .and_then(|cpu| ratio(1000.0 * cpu.as_secs_f64(), float(measured)));
    step.share_of_direct = step
        .mined_per_second
        .zip(spec.direct)
        .and_then(|(rate, direct)| ratio(rate, direct));
    step.kept_up = kept_up(&step, plan.mined_within);
    Ok(step)
}

impl Counts {
    /// Whether every request was executed as it was answered.
    pub(super) const fn is_exact(&self) -> bool {
        self.doubled == 0 && self.lost == 0 && self.refused_but_executed == 0
    }
}

struct Used {
    cpu: Option<Duration>,
    idle_percent: Option<u64>,
}

/// What relayer and machine use while the step is measured.
async fn used(world: &World, start: Instant, schedule: Schedule) -> Used {
    let look = || (world.used(), MachineUse::now());
    let (from, until) = schedule.window();
    tokio::time::sleep_until(start + from).await;
    let (process_before, machine_before) = look();
    tokio::time::sleep_until(start + until).await;
    let (process, machine) = look();
    let cpu = |(now, before): (ProcessUse, ProcessUse)| now.cpu.saturating_sub(before.cpu);
    Used {
        cpu: process.zip(process_before).map(cpu),
        idle_percent: machine
            .zip(machine_before)
            .and_then(|(now, before)| now.idle_percent_since(before)),
    }
}

/// Waits until everything is mined, or for as long as that may take, and then some blocks more.
pub(super) async fn drain(world: &World, plan: &Plan, accepted: usize) {
    let deadline = Instant::now() + plan.drain;
    while world.watcher.mined_count() < accepted && Instant::now() < deadline {
        tokio::time::sleep(LOOK).await;
    }
    let enough = world.watcher.block_count() + BLOCKS_AFTER;
    let deadline = Instant::now() + AFTER_MAX;
    while world.watcher.block_count() < enough && Instant::now() < deadline {
        tokio::time::sleep(LOOK).await;
    }
}

/// Holds what was answered against the chain.
pub(super) fn count(records: &[Record], balances: &[U256]) -> Counts {
    let mut counts = Counts {
        sent: records.len(),
        ..Counts::default()
    };
    for record in records {
        let balance = balances.get(record.index).copied().unwrap_or_default();
        counts.once += usize::from(balance == U256::ONE);
        counts.doubled += usize::from(balance > U256::ONE);
        match record.outcome {
            Outcome::Accepted => {
                counts.accepted += 1;
                counts.lost += usize::from(balance.is_zero());
            }
            Outcome::Refused(_) => {
                counts.refused += 1;
                counts.refused_but_executed += usize::from(!balance.is_zero());
            }
            Outcome::Failed(_) | Outcome::Unknown(_) => counts.unknown += 1,
            Outcome::Split => {
                counts.accepted += 1;
                counts.doubled += usize::from(balance <= U256::ONE);
            }
        }
    }
    counts
}

/// Some of what refusals said, without repetition.
pub(super) fn refusals(records: &[Record]) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    for record in records {
        if let Outcome::Refused(text) | Outcome::Failed(text) | Outcome::Unknown(text) =
            &record.outcome
            && texts.len() < TEXTS_MAX
            && !texts.contains(text)
        {
            texts.push(text.clone());
        }
    }
    texts
}

fn disk(world: &World) -> Option<u64> {
    let [engine] = world.engines.as_slice() else {
        return None;
    };
    Some(disk_bytes(&engine.data))
}

fn share(traffic: &Traffic, mined: &[Option<Instant>]) -> Option<TrafficShare> {
    let mined = float(mined.iter().flatten().count());
    let each = |count: u64| ratio(float(usize::try_from(count).ok()?), mined);
    let by_method = traffic
        .calls
        .iter()
        .map(|(method, count)| Some((method.clone(), each(*count)?)));
    Some(TrafficShare {
        requests: each(traffic.requests)?,
        calls: each(traffic.calls.values().sum())?,
        by_method: by_method.collect::<Option<_>>()?,
    })
}

/// A step with nothing but its times.
fn times(
    records: &[Record],
    schedule: Schedule,
    targets: &[Address],
    mined: &[Option<Instant>],
    world: &World,
) -> Step {
    let measured: Vec<&Record> = records
        .iter()
        .filter(|r| schedule.is_measured(r.index) && r.outcome == Outcome::Accepted)
        .collect();
    let since_due = |moment: &dyn Fn(&Record) -> Option<Instant>| {
        let times = measured
            .iter()
            .filter_map(|r| Some(moment(r)?.saturating_duration_since(r.due)));
        Percentiles::of(times.collect())
    };
    Step {
        offered: 0,
        proxy_delay_ms: 0,
        counts: Counts::default(),
        accepted: since_due(&|record| Some(record.answered)),
        broadcast: since_due(&|record| world.tap.as_ref()?.first_broadcast(targets[record.index])),
        mined: since_due(&|record| mined.get(record.index).copied().flatten()),
        sent: since_due(&|record| Some(record.sent)),
        mined_per_second: None,
        share_of_direct: None,
        traffic: None,
        cpu_seconds_per_1000: None,
        resident_peak_bytes: None,
        store_bytes_per_transaction: None,
        machine_idle_percent: None,
        kept_up: false,
        refusals: Vec::new(),
    }
}

fn kept_up(step: &Step, mined_within: Duration) -> bool {
    let counts = step.counts;
    let all = counts.accepted == counts.sent && counts.lost == 0;
    let soon = step
        .mined
        .is_some_and(|m| m.p99 <= super::stats::milliseconds(mined_within));
    let offered = f64::from(step.offered);
    all && soon
        && step
            .mined_per_second
            .is_some_and(|rate| rate >= KEPT_UP * offered)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(index: usize, outcome: Outcome) -> Record {
        let now = Instant::now();
        Record {
            index,
            due: now,
            sent: now,
            answered: now,
            outcome,
            id: None,
        }
    }

    #[test]
    fn answers_are_held_against_the_chain() {
        let refused = || Outcome::Refused("400 Bad Request: no".to_owned());
        let records = [
            record(0, Outcome::Accepted),
            record(1, Outcome::Accepted),
            record(2, Outcome::Accepted),
            record(3, refused()),
            record(4, refused()),
            record(5, Outcome::Unknown("time-out".to_owned())),
            record(6, Outcome::Unknown("time-out".to_owned())),
        ];
        let balances = [1, 2, 0, 0, 1, 1, 2].map(U256::from);
        let counts = count(&records, &balances);
        let expected = Counts {
            sent: 7,
            accepted: 3,
            refused: 2,
            unknown: 2,
            once: 3,
            doubled: 2,
            lost: 1,
            forgotten: 0,
            refused_but_executed: 1,
        };
        assert_eq!(counts, expected);
        assert!(!counts.is_exact());
        assert_eq!(refusals(&records), ["400 Bad Request: no", "time-out"]);
        let good = count(&records[..1], &balances);
        assert!(good.is_exact());
    }
}
