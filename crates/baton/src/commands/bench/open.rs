//! Many open transactions: what they cost in memory, and how soon a relayer that was killed goes on
//! with them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use baton_model::Address;
use serde::Serialize;
use serde_json::json;
use tokio::time::Instant;

use super::keys::targets;
use super::load::{Load, Outcome};
use super::pace::{Pacer, Schedule};
use super::plan::{OwnNode, Plan};
use super::say;
use super::stats::{float, milliseconds, ratio};
use super::step::{self, Counts};
use super::tap::Tap;
use super::world::World;

/// How long the relayer may take to have everything at the node, before and after its restart.
const OFFER_MAX: Duration = Duration::from_secs(120);
/// How often it is looked how far the relayer is.
const LOOK: Duration = Duration::from_millis(10);
/// Seconds between blocks once everything may be mined.
const BLOCK_SECONDS: u64 = 1;

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
    let mut world = World::start(&plan).await?;
    let idle = resident(&world);
    let schedule = Schedule::of_count(count, rate)?;
    let targets = targets(plan.seed, number, schedule.count());
    world.watcher.expect(&targets);
    let load = Arc::new(Load::new(&plan, &world.api, number, targets)?);
    let pacer = Arc::new(Pacer::start(schedule, Duration::ZERO));
    let records = load.run(&pacer, plan.connections).await?;
    let tap = world.tap.as_ref().context("an own relayer has a proxy")?;
    let accepted_targets: Vec<Address> = records
        .iter()
        .filter(|record| record.outcome == Outcome::Accepted)
        .map(|record| load.targets()[record.index])
        .collect();
    offered(tap, &accepted_targets, "before the restart").await?;
    let accepted = accepted_targets.len();
    say("  all are at the node; killing the relayer, and making the node forget…")?;
    let used = world.used();
    let engine = world.engines.first_mut();
    let engine = engine.context("an own relayer is a process")?;
    let disk = super::process::disk_bytes(&engine.data);

    engine.process.kill().await?;
    world
        .rpc
        .call("anvil_dropAllTransactions", json!([]))
        .await?;
    tap.forget();
    let restarted = Instant::now();
    engine.restart()?;
    let sent = offered(tap, &accepted_targets, "after the restart").await?;
    engine.process.ready().await?;
    let after_restart = resident(&world);
    say("  all are at the node again; letting them be mined…")?;

    world
        .rpc
        .call("evm_setIntervalMining", json!([BLOCK_SECONDS]))
        .await?;
    step::drain(&world, &plan, accepted).await;
    let balances = world.rpc.balances(load.targets()).await?;
    let counts = step::count(&records, &balances);
    world.stop().await?;
    let since = |at: Option<&Instant>| {
        milliseconds(at.map_or(OFFER_MAX, |at| at.saturating_duration_since(restarted)))
    };
    Ok(Open {
        counts,
        resident_bytes: used.map(|used| used.resident),
        resident_peak_bytes: used.map(|used| used.resident_peak),
        resident_idle_bytes: idle,
        store_bytes_per_transaction: ratio(float(usize::try_from(disk)?), float(accepted)),
        restart_to_first_ms: since(sent.iter().min()),
        restart_to_last_ms: since(sent.iter().max()),
        resident_after_restart_bytes: after_restart,
    })
}

fn resident(world: &World) -> Option<u64> {
    world.used().map(|used| used.resident)
}

/// Waits until all of these were sent. When each was first.
async fn offered(tap: &Tap, targets: &[Address], when: &str) -> Result<Vec<Instant>> {
    let deadline = Instant::now() + OFFER_MAX;
    let mut sent = Vec::with_capacity(targets.len());
    for target in targets {
        let at = loop {
            if let Some(at) = tap.first_broadcast(*target) {
                break at;
            }
            ensure!(
                Instant::now() < deadline,
                "{when}, {} of {} transactions were sent to the node in order within {OFFER_MAX:?}",
                sent.len(),
                targets.len()
            );
            tokio::time::sleep(LOOK).await;
        };
        sent.push(at);
    }
    Ok(sent)
}
