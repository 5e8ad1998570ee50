//! `baton demo`: transfers through a crash, counted on the chain.

mod engine;
mod load;
mod observer;
mod report;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use baton_model::{Address, U256};
use baton_testkit::{Anvil, AnvilOptions};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tokio::time::Instant;

use super::child::Engine;
use super::say;
use crate::cli::DemoArgs;
use engine::Workspace;
use load::Load;
use observer::Observer;
use report::Report;

/// How long all transfers may take to be executed once they are accepted, beyond what the chain needs for them.
const EXECUTION_MAX: Duration = Duration::from_mins(2);

/// Transfers that fit into one of anvil's blocks: 30 million gas, 21 000 each.
const TRANSFERS_PER_BLOCK: u32 = 1428;

/// Balances read in one call to the chain.
const BALANCES: usize = 500;

/// Wei that the demo's account gets: enough for the largest demo at any fee a fresh local chain asks.
const FUNDS: u64 = 5_000_000_000_000_000_000;

/// Runs the demo.
pub async fn run(arguments: DemoArgs) -> Result<ExitCode> {
    let count = arguments.count;
    say("Starting a local chain (anvil, one block a second)…")?;
    let anvil = Anvil::start(&AnvilOptions::default()).await?;
    let observer = Observer::start(anvil.http_url()).await?;
    let workspace = Workspace::create(observer.url())?;
    fund(&anvil, workspace.account()).await?;
    say(format_args!(
        "Starting the engine on a fresh store; its account is {}…",
        workspace.account()
    ))?;
    let mut engine = Engine::start(&workspace.launch()).await?;

    say(format_args!(
        "Sending {count} transfers of 1 wei, each to a fresh address…"
    ))?;
    let load = Arc::new(Load::new(&workspace, count)?);
    observer.expect(load.targets());
    let bar = progress(count, "accepted");
    let sending = tokio::spawn(Arc::clone(&load).run());
    wait_until(&bar, Duration::from_mins(1), || {
        load.accepted() >= count / 2
    })
    .await?;
    engine.kill().await?;
    bar.suspend(|| say("Killed the engine with SIGKILL, half way. Starting it again…"))?;
    let restarted = Instant::now();
    observer.mark_restart();
    engine = Engine::start(&workspace.launch()).await?;
    wait_until(&bar, Duration::from_mins(2), || load.accepted() >= count).await?;
    sending.await.context("the sender ended badly")??;
    bar.finish();

    let bar = progress(count, "executed");
    let balances = wait_for_execution(&anvil, &load, &bar).await?;
    bar.finish();
    let report = Report::new(&load, &observer, &balances, restarted);
    say(&report)?;
    if arguments.keep {
        keep(&workspace, &anvil, &engine, &load).await?;
    }
    engine.stop().await?;
    Ok(if report.is_perfect() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn fund(anvil: &Anvil, account: Address) -> Result<()> {
    let accounts = anvil.accounts().await?;
    let rich = accounts
        .first()
        .context("the local chain has no account with funds")?;
    let value = format!("0x{FUNDS:x}");
    let transfer = json!([{ "from": rich, "to": account, "value": value }]);
    anvil.call("eth_sendTransaction", transfer).await?;
    let deadline = Instant::now() + Duration::from_secs(30);
    while balances(anvil, &[account]).await?[0].is_zero() {
        if Instant::now() > deadline {
            bail!("the account was not funded within 30 s");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

fn progress(count: u32, what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("  {bar:40} {pos}/{len} {msg} {elapsed}");
    let bar = ProgressBar::new(u64::from(count)).with_message(what);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

async fn wait_until(
    bar: &ProgressBar,
    longest: Duration,
    mut done: impl FnMut() -> bool,
) -> Result<()> {
    let deadline = Instant::now() + longest;
    while !done() {
        if Instant::now() > deadline {
            bail!(
                "no progress within {longest:?}; {} of {:?} so far",
                bar.position(),
                bar.length()
            );
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    bar.set_position(bar.length().unwrap_or_default());
    Ok(())
}

/// Waits until every target has its wei, and then a few blocks longer: a second execution would come late.
async fn wait_for_execution(anvil: &Anvil, load: &Load, bar: &ProgressBar) -> Result<Vec<U256>> {
    let blocks = u64::from(load.count() / TRANSFERS_PER_BLOCK);
    let deadline = Instant::now() + EXECUTION_MAX + Duration::from_secs(blocks);
    loop {
        let balances = balances(anvil, load.targets()).await?;
        let executed = balances.iter().filter(|balance| !balance.is_zero()).count();
        bar.set_position(u64::try_from(executed).unwrap_or(u64::MAX));
        if executed == balances.len() || Instant::now() > deadline {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    balances(anvil, load.targets()).await
}

async fn balances(anvil: &Anvil, addresses: &[Address]) -> Result<Vec<U256>> {
    let mut balances = Vec::with_capacity(addresses.len());
    for chunk in addresses.chunks(BALANCES) {
        let calls = chunk.iter().map(|address| {
            let answer = anvil.call("eth_getBalance", json!([address, "latest"]));
            async move { serde_json::from_value::<U256>(answer.await?).map_err(anyhow::Error::from) }
        });
        balances.extend(futures_util::future::try_join_all(calls).await?);
    }
    Ok(balances)
}

async fn keep(workspace: &Workspace, anvil: &Anvil, engine: &Engine, load: &Load) -> Result<()> {
    let url = engine.url();
    let key = workspace.api_key();
    let target = load.targets().first().copied().unwrap_or_default();
    say(format_args!(
        "\nThe chain ({}) and the engine stay up. Try:\n\n  \
         export BATON={url}/api/v1 KEY={key}\n  \
         curl -s -H \"Authorization: Bearer $KEY\" $BATON/relayers\n  \
         curl -s -H \"Authorization: Bearer $KEY\" $BATON/relayers/demo/status\n  \
         curl -s -H \"Authorization: Bearer $KEY\" -H 'Content-Type: application/json' \\\n    \
         -d '{{\"to\":\"{target}\",\"value\":\"1\",\"data\":\"0x\",\"speed\":\"fast\"}}' \\\n    \
         $BATON/relayers/demo/transactions\n  \
         curl -s -H \"Authorization: Bearer $KEY\" \"$BATON/relayers/demo/transactions?per_page=3\"\n  \
         curl -s -H \"Authorization: Bearer $KEY\" $BATON/metrics | grep transactions_\n\n\
         Ctrl-C ends both.",
        anvil.http_url()
    ))?;
    tokio::signal::ctrl_c()
        .await
        .context("cannot listen for Ctrl-C")
}
