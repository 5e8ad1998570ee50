//! The scenarios: what a relayer has to survive, one thing at a time, and what has to hold
//! afterwards.
//!
//! In each, a load goes through a relayer whose node, chain, callers or own process misbehave.
//! Whatever happens, every request that was accepted is executed once, which the balance of an
//! address of its own proves. The short form takes seconds and is a test; the long form measures.

mod chain;
mod crash;
mod fleet;
mod judge;
mod node;
mod oracle;
mod stage;
mod steady;
mod trial;

use std::time::Duration;

use anyhow::{Result, bail};

use super::plan::{OwnNode, Plan, Subject};
use super::runner::Runner;
use super::say;
use crate::cli::{ScenarioArgs, ScenarioName};

#[cfg(test)]
pub(super) use trial::Figure;
pub(super) use trial::Trial;

/// Time between blocks in the short form.
const BLOCK_SHORT: Duration = Duration::from_millis(250);
/// The relayer's longest wait for an answer of its node in the short form: some blocks, so that
/// answers that never come are waited for several times. In the long form it is the default.
const RPC_TIMEOUT_SHORT: Duration = Duration::from_secs(1);
/// Transfers that fit into a block: what was held up comes in several blocks, for anvil looks
/// through a whole block for each of its receipts and answers too late about a large one.
const BLOCK_TRANSFERS: u32 = 500;
/// The same when a rate is given, as a multiple of what comes in one second.
const BLOCK_SECONDS: u32 = 2;

/// What holds for all scenarios of a run.
#[derive(Clone, Debug)]
struct Form {
    plan: Plan,
    short: bool,
    block: Duration,
    rate: Option<u32>,
    seconds_max: Option<u32>,
}

/// How much load there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Size {
    /// Requests per second.
    rate: u32,
    seconds: u32,
}

/// Runs the scenarios, one after another.
pub(super) async fn run(runner: &mut Runner, arguments: &ScenarioArgs) -> Result<()> {
    let form = Form::new(runner.plan(), arguments)?;
    // Of what the plan says only the machine holds here.
    runner.report.conditions.truncate(1);
    runner.report.conditions.push(form.conditions());
    for name in ScenarioName::expanded(&arguments.scenario) {
        let text = format!("{name:?}");
        let played = play(name, &form).await;
        // The others can still be played.
        let trial = played.unwrap_or_else(|error| Trial::broken(&text, &error));
        say(trial.line())?;
        for problem in &trial.problems {
            say(format_args!("  FAILED: {problem}"))?;
        }
        runner.report.scenarios.push(trial);
    }
    Ok(())
}

/// Plays some of them in their long form, whatever their arguments.
pub(super) async fn play_long(plan: &Plan, names: &[ScenarioName]) -> Result<Vec<Trial>> {
    let arguments = ScenarioArgs {
        scenario: names.to_vec(),
        short: false,
        seconds_max: None,
        scenario_rate: None,
    };
    let form = Form::new(plan, &arguments)?;
    let mut trials = Vec::new();
    for name in names {
        let trial = play(*name, &form).await?;
        say(trial.line())?;
        trials.push(trial);
    }
    Ok(trials)
}

async fn play(name: ScenarioName, form: &Form) -> Result<Trial> {
    match name {
        ScenarioName::S1 => steady::one_sender(form).await,
        ScenarioName::S2 => steady::pool_of_ten(form).await,
        ScenarioName::S3 => steady::burst(form).await,
        ScenarioName::S4 => chain::dropped_transaction(form).await,
        ScenarioName::S5 => node::lost_answers(form).await,
        ScenarioName::S6 => node::stale_counts(form).await,
        ScenarioName::S7 => node::outages(form).await,
        ScenarioName::S8Kill => crash::kills(form).await,
        ScenarioName::S8Term => crash::drains(form).await,
        ScenarioName::S9 => chain::fee_spike(form).await,
        ScenarioName::S10 => chain::reorganisations(form).await,
        ScenarioName::S11 => node::strict_pool(form).await,
        ScenarioName::S12 => steady::repeated_posts(form).await,
        ScenarioName::S13 => chain::dry_account(form).await,
        ScenarioName::S14 => steady::soak(form).await,
        ScenarioName::F1 => fleet::steady(form).await,
        ScenarioName::F2 => fleet::kills(form).await,
        ScenarioName::F3 => fleet::rolling_restart(form).await,
        ScenarioName::F4Kill => fleet::store_kills(form).await,
        ScenarioName::F4Cut => fleet::lost_tail(form).await,
        ScenarioName::F5 => fleet::empty_restart(form).await,
        ScenarioName::F6 => fleet::sentinel_failovers(form).await,
        ScenarioName::F7 => fleet::cluster_failovers(form).await,
        ScenarioName::F8 => fleet::slot_moves(form).await,
        ScenarioName::F9 => fleet::full_memory(form).await,
        ScenarioName::F10 => fleet::pauses(form).await,
        ScenarioName::F11 => fleet::slow_wire(form).await,
        ScenarioName::F12 => fleet::floods(form).await,
        ScenarioName::F13 => fleet::partition(form).await,
        ScenarioName::Topology => fleet::tour(form).await,
        ScenarioName::All | ScenarioName::Fleet | ScenarioName::S8 | ScenarioName::F4 => {
            bail!("{name:?} names several scenarios")
        }
    }
}

impl Form {
    fn new(plan: &Plan, arguments: &ScenarioArgs) -> Result<Self> {
        let Subject::Own(own) = &plan.subject else {
            bail!("scenarios do harm, so they only run on what the bench started itself");
        };
        let OwnNode::Anvil(block) = own.node else {
            bail!("scenarios need a node that executes");
        };
        Ok(Self {
            plan: plan.clone(),
            short: arguments.short,
            block: if arguments.short { BLOCK_SHORT } else { block },
            rate: arguments.scenario_rate,
            seconds_max: arguments.seconds_max,
        })
    }

    fn conditions(&self) -> String {
        format!(
            "baton {}: each scenario with a fresh anvil, proxy and store, sealed records and durable \
             commits; a block every {:?}; RPC_TIMEOUT_MS {}; seed {}",
            env!("CARGO_PKG_VERSION"),
            self.block,
            self.rpc_timeout().as_millis(),
            self.plan.seed
        )
    }

    /// A load, as (requests per second, seconds) in the short and in the long form, within the
    /// bounds that were given.
    fn size(&self, short: (u32, u32), long: (u32, u32)) -> Size {
        let (rate, seconds) = if self.short { short } else { long };
        Size {
            rate: self.rate.unwrap_or(rate),
            seconds: seconds.min(self.seconds_max.unwrap_or(u32::MAX)),
        }
    }

    fn block_transfers(&self) -> u32 {
        BLOCK_TRANSFERS.max(self.rate.map_or(0, |rate| BLOCK_SECONDS * rate))
    }

    /// Seconds that some trouble lasts, within the same bound.
    fn span(&self, short: f64, long: u32) -> Duration {
        let long = long.min(self.seconds_max.unwrap_or(u32::MAX));
        if self.short {
            Duration::from_secs_f64(short)
        } else {
            Duration::from_secs(u64::from(long))
        }
    }

    /// Longest load that goes on until something is over, in seconds: its addresses are derived
    /// when it begins.
    fn load_max(&self) -> u32 {
        if self.short { 240 } else { 1800 }
    }

    fn rpc_timeout(&self) -> Duration {
        match &self.plan.subject {
            Subject::Own(own) if !self.short => own.rpc_timeout,
            Subject::Own(_) | Subject::Other(_) => RPC_TIMEOUT_SHORT,
        }
    }
}
