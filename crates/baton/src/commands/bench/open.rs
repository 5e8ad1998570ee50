//! Many open transactions: what they cost in memory, and how soon a relayer that was killed goes on
//! with them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde_json::json;
use tokio::time::Instant;

use super::keys::targets;
use super::load::{Load, Outcome};
use super::pace::{Pacer, Schedule};
use super::plan::{OwnNode, Plan};
use super::process::ProcessUse;
use super::rpc::Rpc;
use super::stats::{float, milliseconds, ratio};
use super::step::{self, Counts};
use super::tap::Tap;
use super::world::World;
use crate::commands::child::Engine;

/// How long the relayer may take to have everything at the node, before and after its restart.
const OFFER_MAX: Duration = Duration::from_secs(120);
/// How often it is looked how far the relayer is.
const LOOK: Duration = Duration::from_millis(1);
/// Time between blocks once everything may be mined.
const BLOCK: Duration = Duration::from_secs(1);

/// What open transactions cost.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Open {
    pub(super) counts: Counts,
    /// Of the relayer with all of them at the node, now and at most so far.
    pub(super) resident_bytes: Option<u64>,
    pub(super) resident_peak_bytes: Option<u64>,
    /// Before the first of them.
    pub(super) resident_idle_bytes: Option<u64>,
    pub(super) store_bytes_per_transaction: Option<f64>,
    /// From the start of the process after SIGKILL to its first transaction at the node, which has
    /// forgotten all of them.
    pub(super) restart_to_first_ms: f64,
    /// The same to the last.
    pub(super) restart_to_last_ms: f64,
    /// Of the relayer that was restarted, with all of them at the node again.
    pub(super) resident_after_restart_bytes: Option<u64>,
}

/// Runs it to the end, when everything has been mined.
pub(super) async fn run(plan: &Plan, number: u32, count: u32, rate: u32) -> Result<Open> {
    let plan = plan.on(OwnNode::Paused)?;
    let mut world = World::start(&plan, Duration::ZERO).await?;
    let idle = resident(&world);
    let schedule = Schedule::of_count(count, rate)?;
    let targets = targets(plan.seed, number, schedule.count());
    world.watcher.expect(&targets);
    let load = Arc::new(Load::new(&plan, &world.api, number, targets)?);
    let pacer = Arc::new(Pacer::start(schedule, Duration::ZERO));
    let records = load.run(&pacer, plan.connections).await?;
    let accepted = records
        .iter()
        .filter(|r| r.outcome == Outcome::Accepted)
        .count();
    let tap = world.tap.as_deref().context("an own relayer has a proxy")?;
    offered(tap, accepted, "before the restart").await?;
    let used = world.pid().and_then(ProcessUse::of);
    let engine = world
        .engine
        .as_mut()
        .context("an own relayer is a process")?;
    let disk = super::process::disk_bytes(&engine.data);

    engine.process.kill().await?;
    world
        .rpc
        .call("anvil_dropAllTransactions", json!([]))
        .await?;
    tap.forget_broadcasts();
    let restarted = Instant::now();
    engine.process = Engine::spawn(&engine.launch)?;
    let first = offered(tap, 1, "after the restart").await?;
    let last = offered(tap, accepted, "after the restart").await?;
    engine.process.ready().await?;
    let after_restart = resident(&world);

    mine(&world.rpc, &world, accepted).await?;
    let balances = world.rpc.balances(load.targets()).await?;
    let counts = step::count(&records, &balances);
    world.stop().await?;
    Ok(Open {
        counts,
        resident_bytes: used.map(|used| used.resident),
        resident_peak_bytes: used.map(|used| used.resident_peak),
        resident_idle_bytes: idle,
        store_bytes_per_transaction: ratio(float(usize::try_from(disk)?), float(accepted)),
        restart_to_first_ms: milliseconds(first.saturating_duration_since(restarted)),
        restart_to_last_ms: milliseconds(last.saturating_duration_since(restarted)),
        resident_after_restart_bytes: after_restart,
    })
}

fn resident(world: &World) -> Option<u64> {
    world
        .pid()
        .and_then(ProcessUse::of)
        .map(|used| used.resident)
}

/// Waits until so many transfers were sent. When that was seen.
async fn offered(tap: &dyn Tap, count: usize, when: &str) -> Result<Instant> {
    let deadline = Instant::now() + OFFER_MAX;
    while tap.broadcasts() < count {
        ensure!(
            Instant::now() < deadline,
            "{when}, {} of {count} transactions were sent to the node within {OFFER_MAX:?}",
            tap.broadcasts()
        );
        tokio::time::sleep(LOOK).await;
    }
    Ok(Instant::now())
}

async fn mine(rpc: &Rpc, world: &World, accepted: usize) -> Result<()> {
    let blocks = async {
        loop {
            rpc.call("anvil_mine", json!(["0x1"])).await?;
            tokio::time::sleep(BLOCK).await;
        }
    };
    tokio::select! {
        failed = blocks => failed,
        () = step::drain(world, accepted) => Ok(()),
    }
}
