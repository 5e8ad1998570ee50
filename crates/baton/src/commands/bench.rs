//! `baton bench`: what a relayer does under load, and whether the chain agrees.

mod blocks;
mod direct;
mod fleet_figures;
mod keys;
mod load;
mod null_node;
mod open;
mod pace;
mod plan;
mod process;
mod report;
mod rpc;
mod runner;
mod scenario;
mod stats;
mod step;
mod tap;
mod targets;
mod world;

use std::process::ExitCode;

use anyhow::Result;

use super::say;
use crate::cli::{BenchArgs, Preset};
use plan::{OwnNode, Plan};
use runner::Runner;

/// Runs the bench. The status tells whether every request was executed as it was answered.
pub async fn run(arguments: BenchArgs) -> Result<ExitCode> {
    // The HTTP library asks for a TLS provider even where no TLS is used; whoever comes first
    // installs it.
    let _already_installed = rustls::crypto::ring::default_provider().install_default();
    let plan = Plan::new(&arguments)?;
    let mut runner = Runner::new(plan);
    measure(&mut runner, &arguments).await?;
    say(report::terminal(&runner.report))?;
    runner.report.write(&arguments.output)?;
    if runner.report.is_exact() {
        say("Every request was executed exactly as it was answered.")?;
        Ok(ExitCode::SUCCESS)
    } else {
        say(
            "FAILED: requests were executed twice, or were accepted and not executed, or refused and \
             executed, or a scenario found something else (above).",
        )?;
        Ok(ExitCode::FAILURE)
    }
}

async fn measure(runner: &mut Runner, arguments: &BenchArgs) -> Result<()> {
    if !arguments.scenario.scenario.is_empty() {
        return scenario::run(runner, &arguments.scenario).await;
    }
    let load = &arguments.load;
    match load.preset {
        Some(Preset::Targets) => return targets::run(runner).await,
        Some(Preset::FleetFigures) => return fleet_figures::run(runner).await,
        None => {}
    }
    let first = load.rates.first().copied().unwrap_or(100);
    if let Some(count) = load.open {
        say(format_args!("{count} open transactions, and a restart…"))?;
        runner.set_plan(runner.plan().on(OwnNode::Paused)?);
        let number = runner.next_number();
        runner.report.open = Some(open::run(runner.plan(), number, count, first).await?);
        return Ok(());
    }
    let direct = if load.no_direct {
        None
    } else {
        runner.direct().await?
    };
    for delay in &load.proxy_delay {
        if load.search {
            let start = direct.map_or(first, |direct| targets::start_rate(direct.mined_per_second));
            runner.search(start, *delay).await?;
            continue;
        }
        for rate in &load.rates {
            runner.step(*rate, *delay).await?;
        }
    }
    Ok(())
}
