//! What several instances on a shared Redis take and cost, beside what they may.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::time::{Instant, sleep};

use super::keys::targets;
use super::load::{Load, Outcome};
use super::pace::{Pacer, Schedule};
use super::plan::{Entry, Fleet, OwnNode, Plan, SharedKind};
use super::runner::Runner;
use super::scenario::{Trial, play_long};
use super::stats::{float, ratio};
use super::step::{self, StepSpec};
use super::targets::{Better, Target, Unit, rate};
use super::world::{World, field_of};
use super::{runner, say};
use crate::cli::ScenarioName;

/// Times of each step, as for the figures of one instance.
const WARM_UP: Duration = Duration::from_secs(4);
const MEASURE: Duration = Duration::from_secs(12);
const BLOCK: Duration = Duration::from_secs(1);
/// Requests per second at which the store's work is counted.
const COST_RATE: u32 = 200;
/// How long the store's work is counted while nobody calls.
const IDLE: Duration = Duration::from_secs(5);
/// Where a search begins, as a share of what the node does with its receipts read: instances share
/// the machine with it, and a rate far above what they keep up with tells nothing.
const START_SHARE: f64 = 0.6;
/// The same when the node's ceiling is not known.
const FIRST_RATE: u32 = 200;
/// Posts one after another by which one is counted, and how many come in a second.
const POSTS: u32 = 200;
const POSTS_RATE: u32 = 50;
/// Transactions by which the memory of an open one is measured.
const OPEN_COUNT: u32 = 3000;
const OPEN_RATE: u32 = 300;
/// How long the node's own account of what is final may take to be written down.
const SETTLE: Duration = Duration::from_secs(3);
/// Longest wait until everything that was accepted has been sent.
const OFFER_MAX: Duration = Duration::from_secs(120);

/// Behind nginx, as deployed.
const DEPLOYED: Fleet = Fleet {
    instances: 3,
    store: SharedKind::Alone,
    lines: &[],
    entry: Entry::Nginx,
    wire: None,
    drain_delay: None,
};

/// What the store has done and holds, by its own count.
#[derive(Clone, Copy, Debug)]
struct Work {
    at: Instant,
    /// Commands, those within scripts included.
    commands: f64,
    /// Times that it read from a connection: what comes together is one.
    reads: f64,
    /// Scripts that were called.
    scripts: f64,
    memory: f64,
}

/// What one transaction costs the store.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    commands: Option<f64>,
    scripts: Option<f64>,
    reads: Option<f64>,
    idle_commands: Option<f64>,
    memory_finished: Option<f64>,
}

/// Runs all of it.
pub(super) async fn run(runner: &mut Runner) -> Result<()> {
    let plan = runner.plan().on(OwnNode::Anvil(BLOCK))?;
    let plan = Plan {
        warm_up: WARM_UP,
        measure: MEASURE,
        ..plan
    };
    runner.set_plan(plan.clone());
    let ceiling = runner.direct().await?;
    let direct = ceiling.map(|direct| direct.mined_per_second);
    let followed = ceiling.and_then(|direct| direct.with_receipts_per_second);
    let start = followed.map_or(FIRST_RATE, |followed| rate(followed * START_SHARE));
    let mut found = Vec::new();
    for (instances, relayers) in [(1, 1), (3, 1), (3, 3)] {
        say(format_args!(
            "{instances} instance(s) behind nginx, {relayers} relayer(s):"
        ))?;
        runner.set_plan(deployed(&plan, instances, relayers)?);
        found.push(runner.search(start, 0).await?.mined_per_second);
    }
    let fleet = deployed(&plan, 3, 3)?;
    say(format_args!("The store's work at {COST_RATE}/s…"))?;
    let cost = cost(runner.next_number(), &fleet).await?;
    say("Posts to an instance that runs no lane…")?;
    let trips = trips_of_post(runner.next_number(), &plan).await?;
    say("Open transactions…")?;
    let open = memory_of_open(runner.next_number(), &fleet).await?;
    say("Kills and a rolling restart…")?;
    let trials = play_long(&plan, &[ScenarioName::F2, ScenarioName::F3]).await?;
    let percent = |part: Option<f64>, whole: Option<f64>| Some(100.0 * ratio(part?, whole?)?);
    let time = |trial: usize, name| trials.get(trial).and_then(|t: &Trial| t.figure_named(name));
    const P50: &str = "to the next broadcast p50";
    let values = [
        percent(found[1], found[0]),
        percent(found[2], direct),
        percent(found[2], followed),
        trips,
        cost.reads,
        cost.scripts,
        cost.commands,
        cost.idle_commands,
        cost.memory_finished,
        open,
        time(0, P50),
        time(0, "at most"),
        time(1, P50),
        time(1, "at most"),
    ];
    runner.report.targets = table(values);
    runner.report.scenarios = trials;
    runner.set_plan(fleet);
    Ok(())
}

/// A figure, its unit, which way it improves, its target and its goal.
type Row = (&'static str, Unit, Better, Option<f64>, Option<f64>);

const ROWS: [Row; 14] = [
    (
        "one relayer, mined per second: 3 instances, of 1 instance",
        Unit::Percent,
        Better::More,
        Some(100.0),
        None,
    ),
    (
        "3 relayers on 3 instances, mined per second, of direct",
        Unit::Percent,
        Better::More,
        None,
        None,
    ),
    (
        "the same, of direct with receipts read",
        Unit::Percent,
        Better::More,
        None,
        None,
    ),
    (
        "Redis round trips on a POST's path",
        Unit::Requests,
        Better::Less,
        Some(2.0),
        None,
    ),
    (
        "Redis round trips per transaction at 200/s, in all",
        Unit::Requests,
        Better::Less,
        Some(4.0),
        Some(1.0),
    ),
    (
        "script calls within them",
        Unit::Requests,
        Better::Less,
        None,
        None,
    ),
    (
        "commands, those inside scripts included",
        Unit::Requests,
        Better::Less,
        None,
        None,
    ),
    (
        "commands per second of 3 idle instances with 3 lanes",
        Unit::Requests,
        Better::Less,
        None,
        None,
    ),
    (
        "Redis memory per finished transaction",
        Unit::Bytes,
        Better::Less,
        None,
        None,
    ),
    (
        "Redis memory per open transaction",
        Unit::Bytes,
        Better::Less,
        None,
        None,
    ),
    (
        "SIGKILL of a holder to the lane's next broadcast, p50",
        Unit::Milliseconds,
        Better::Less,
        Some(1500.0),
        None,
    ),
    (
        "the same, at most",
        Unit::Milliseconds,
        Better::Less,
        Some(3000.0),
        None,
    ),
    (
        "SIGTERM of a holder to the lane's next broadcast, p50",
        Unit::Milliseconds,
        Better::Less,
        Some(100.0),
        None,
    ),
    (
        "the same, at most",
        Unit::Milliseconds,
        Better::Less,
        Some(100.0),
        None,
    ),
];

fn table(values: [Option<f64>; 14]) -> Vec<Target> {
    let rows = ROWS.into_iter().zip(values);
    let target = |((figure, unit, better, target, goal), measured)| Target {
        figure,
        unit,
        better,
        target,
        goal,
        measured,
    };
    rows.map(target).collect()
}

fn deployed(plan: &Plan, instances: u16, relayers: u16) -> Result<Plan> {
    plan.with(|own| {
        own.relayers = relayers;
        own.fleet = Some(Fleet {
            instances,
            ..DEPLOYED
        });
    })
}

/// What the store does for each transaction, beyond what it does for nobody in the same time.
async fn cost(number: u32, plan: &Plan) -> Result<Cost> {
    let world = World::start(plan).await?;
    let idle_from = Work::of(&world).await?;
    sleep(IDLE).await;
    let idle_to = Work::of(&world).await?;
    let spec = StepSpec {
        number,
        schedule: Schedule::new(COST_RATE, plan.warm_up, plan.measure)?,
        delay: Duration::ZERO,
        direct: None,
    };
    let before = Work::of(&world).await?;
    let step = step::run(&world, plan, &spec).await?;
    sleep(SETTLE).await;
    let after = Work::of(&world).await?;
    say(runner::line(&step))?;
    world.stop().await?;
    let count = float(step.counts.accepted);
    let spent = |of: fn(&Work) -> f64| {
        let idle = ratio(of(&idle_to) - of(&idle_from), idle_to.since(&idle_from))?;
        ratio(
            of(&after) - of(&before) - idle * after.since(&before),
            count,
        )
    };
    Ok(Cost {
        commands: spent(|work| work.commands),
        scripts: spent(|work| work.scripts),
        reads: spent(|work| work.reads),
        idle_commands: ratio(
            idle_to.commands - idle_from.commands,
            idle_to.since(&idle_from),
        ),
        memory_finished: ratio(after.memory - before.memory, count),
    })
}

/// Pieces that an instance without a lane writes to the store for one POST, beyond what it writes
/// without any: they are posted one after another, so that each piece waits for an answer.
async fn trips_of_post(number: u32, plan: &Plan) -> Result<Option<f64>> {
    let plan = plan.with(|own| {
        own.relayers = 1;
        own.fleet = Some(Fleet {
            instances: 2,
            entry: Entry::Instances,
            wire: Some(Duration::ZERO),
            ..DEPLOYED
        });
    })?;
    let world = World::start(&plan).await?;
    let relayer = &world.api.relayers[0];
    let holder = world.holder(relayer).await?;
    let idle = 1 - holder.context("nobody holds the lane")?.min(1);
    let mut api = world.api.clone();
    api.urls = vec![world.engines[idle].process.url().to_owned()];
    let wire = world
        .shared
        .as_ref()
        .context("a store is shared")?
        .wire(idle)?;
    let pieces = || float(usize::try_from(wire.pieces()).unwrap_or(usize::MAX));
    let (began, before) = (Instant::now(), pieces());
    sleep(IDLE).await;
    let idle_rate = (pieces() - before) / began.elapsed().as_secs_f64();
    let schedule = Schedule::of_count(POSTS, POSTS_RATE)?;
    let targets = targets(plan.seed, number, schedule.count());
    let load = Arc::new(Load::new(&plan, &api, number, targets)?);
    let pacer = Arc::new(Pacer::start(schedule, Duration::ZERO));
    let (began, before) = (Instant::now(), pieces());
    let records = load.run(&pacer, 1).await?;
    let spent = pieces() - before - idle_rate * began.elapsed().as_secs_f64();
    let accepted = records.iter().filter(|r| r.outcome == Outcome::Accepted);
    let accepted = accepted.count();
    ensure!(accepted == records.len(), "not every post was accepted");
    let still = world.holder(relayer).await?;
    ensure!(still == holder, "the lane changed its holder meanwhile");
    world.stop().await?;
    Ok(ratio(spent, float(accepted)))
}

/// What the store holds for a transaction that is at the node and not mined.
async fn memory_of_open(number: u32, plan: &Plan) -> Result<Option<f64>> {
    let plan = plan.on(OwnNode::Paused)?;
    let world = World::start(&plan).await?;
    let before = Work::of(&world).await?;
    let schedule = Schedule::of_count(OPEN_COUNT, OPEN_RATE)?;
    let targets = targets(plan.seed, number, schedule.count());
    let load = Arc::new(Load::new(&plan, &world.api, number, targets)?);
    let pacer = Arc::new(Pacer::start(schedule, Duration::ZERO));
    let records = load.run(&pacer, plan.connections).await?;
    let accepted = records.iter().filter(|r| r.outcome == Outcome::Accepted);
    let accepted = accepted.count();
    let tap = world.tap.as_ref().context("an own relayer has a proxy")?;
    let deadline = Instant::now() + OFFER_MAX;
    while tap.broadcasts().len() < accepted {
        ensure!(
            Instant::now() < deadline,
            "not everything was sent within {OFFER_MAX:?}"
        );
        sleep(Duration::from_millis(200)).await;
    }
    sleep(SETTLE).await;
    let after = Work::of(&world).await?;
    // Nothing of it can end any more: it is killed with its world.
    Ok(ratio(after.memory - before.memory, float(accepted)))
}

impl Work {
    async fn of(world: &World) -> Result<Self> {
        let shared = world.shared.as_ref().context("a store is shared")?;
        let info = shared.server()?.command(&["INFO", "everything"]).await?;
        let field = |name: &str| {
            let number = field_of(&info, name).with_context(|| format!("no {name}"))?;
            anyhow::Ok(float(usize::try_from(number)?))
        };
        Ok(Self {
            at: Instant::now(),
            commands: field("total_commands_processed")?,
            reads: field("total_reads_processed")?,
            scripts: calls(&info, "evalsha"),
            memory: field("used_memory")?,
        })
    }

    fn since(&self, earlier: &Self) -> f64 {
        self.at.duration_since(earlier.at).as_secs_f64()
    }
}

/// Calls of a command: `cmdstat_evalsha:calls=12,usec=…`; none if there is no such line.
fn calls(info: &str, command: &str) -> f64 {
    let start = format!("cmdstat_{command}:calls=");
    let mut lines = info.lines();
    let calls = lines.find_map(|line| line.strip_prefix(&start)?.split(',').next()?.parse().ok());
    float(calls.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_a_command_are_read() {
        let info = "cmdstat_get:calls=5,usec=1\r\ncmdstat_evalsha:calls=12,usec=3,x=1\n";
        assert!((calls(info, "evalsha") - 12.0).abs() < f64::EPSILON);
        assert!(calls(info, "eval").abs() < f64::EPSILON);
    }

    #[test]
    fn what_has_no_target_only_has_to_be_measured() {
        let measured = table([Some(50.0); 14]);
        let missed: Vec<&str> = measured
            .iter()
            .filter(|row| !row.is_met())
            .map(|row| row.figure)
            .collect();
        assert_eq!(
            missed,
            [
                "one relayer, mined per second: 3 instances, of 1 instance",
                "Redis round trips on a POST's path",
                "Redis round trips per transaction at 200/s, in all",
            ]
        );
        assert!(table([None; 14]).iter().all(|row| !row.is_met()));
    }
}
