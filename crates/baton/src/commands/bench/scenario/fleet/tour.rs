//! What is deployed, as processes on one machine, and everything that is killed on an ordinary bad
//! day: `make fleet`.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::{Instant, sleep};

use super::super::stage::{Loss, Running, Stage};
use super::super::{Form, Trial};
use super::instances::PassedOn;
use super::loss::{Resumed, UNWRITTEN};
use super::{Ending, FLEET, PERSISTENT, setting};
use crate::commands::bench::plan::{Entry, Fleet};
use crate::commands::bench::say;
use crate::commands::bench::stats::{float, ratio};

/// How long an instance that is about to be killed takes calls and answers none.
const STALLED: Duration = Duration::from_millis(700);

/// Real nginx, real Redis, three instances; an instance is killed, another in the middle of its
/// calls, Redis is killed, and a third instance is told to end.
pub(in super::super) async fn tour(form: &Form) -> Result<Trial> {
    let trial = Trial::new("fleet", "nginx, 3 instances, Redis; one of each killed");
    let size = form.size((60, 4), (100, 60));
    let fleet = Fleet {
        entry: Entry::Nginx,
        ..FLEET
    };
    say("Starting anvil, Redis (AOF and RDB, noeviction), three instances and nginx…")?;
    let mut stage = Stage::start(form, trial, size, setting(fleet)).await?;
    let began = Instant::now();
    let running = stage.load_until_ended(PERSISTENT)?;
    say(format_args!(
        "{} requests a second for 3 relayers through nginx…",
        size.rate
    ))?;
    let mut endings = Vec::new();
    stage.quiet(form, &running).await?;
    endings.push(stage.kill_one().await?);
    stage.quiet(form, &running).await?;
    endings.push(stage.kill_at_work().await?);
    stage.quiet(form, &running).await?;
    let resumed = stage.kill_store().await?;
    stage.quiet(form, &running).await?;
    endings.push(stage.end_one().await?);
    stage.quiet(form, &running).await?;
    running.end();
    let failures = running.load.failures();
    say("The load is over; waiting until everything is final…")?;
    let played = stage.finish(running).await?;
    stage.require_all_accepted(&played);
    let rate = ratio(
        float(played.mined.iter().flatten().count()),
        played.seconds_to_last(),
    );
    let passed_on = PassedOn::of(&stage)?;
    let trial = &mut stage.trial;
    trial.figure("mined", rate.unwrap_or(0.0), "/s");
    trial.figure("instances killed", 2.0, "");
    trial.figure("Redis killed", 1.0, "");
    let adopted = u8::from(resumed == Resumed::Adopted);
    trial.figure("restarts with --adopt", f64::from(adopted), "");
    trial.figure("posts that failed and were repeated", float(failures), "");
    let calls = float(passed_on.calls);
    trial.figure("calls that nginx gave to another", calls, "");
    let interrupted = float(passed_on.interrupted);
    trial.figure("in the middle of them", interrupted, "");
    trial.require(passed_on.interrupted > 0, || {
        "no call was taken from the instance that was killed at work".to_owned()
    });
    stage.tell_takeovers(&endings, form.silent_max())?;
    tracing::debug!(elapsed = ?began.elapsed(), "the tour is over");
    stage.close().await
}

impl Stage {
    /// Lets it work for a while, and tells how it stands.
    async fn quiet(&self, form: &Form, running: &Running) -> Result<()> {
        sleep(form.span(0.5, 8)).await;
        let mined = self.world.watcher.mined_count();
        let accepted = running.load.accepted();
        Ok(say(format_args!("  {accepted} accepted, {mined} mined"))?)
    }

    /// SIGKILL for the instance that holds the first lane.
    async fn kill_one(&mut self) -> Result<Ending> {
        let instance = self.holder(0).await?;
        say(format_args!("SIGKILL for instance {}", instance + 1))?;
        let accounts = self.accounts_held(instance).await?;
        let at = Instant::now();
        self.instance(instance)?.process.kill().await?;
        self.replace(at, accounts, instance).await
    }

    /// SIGKILL for an instance that nginx waits for.
    async fn kill_at_work(&mut self) -> Result<Ending> {
        let instance = self.holder(1).await?;
        say(format_args!(
            "SIGKILL for instance {} in the middle of its calls",
            instance + 1
        ))?;
        let accounts = self.accounts_held(instance).await?;
        let at = Instant::now();
        self.instance(instance)?.process.pause()?;
        sleep(STALLED).await;
        self.instance(instance)?.process.kill().await?;
        self.replace(at, accounts, instance).await
    }

    /// SIGTERM for the instance that holds the last lane.
    async fn end_one(&mut self) -> Result<Ending> {
        let last = self.world.api.relayers.len().checked_sub(1);
        let instance = self.holder(last.context("there is a lane")?).await?;
        say(format_args!("SIGTERM for instance {}", instance + 1))?;
        let accounts = self.accounts_held(instance).await?;
        let at = Instant::now();
        self.instance(instance)?.process.drain().await?;
        self.replace(at, accounts, instance).await
    }

    /// SIGKILL for Redis.
    async fn kill_store(&mut self) -> Result<Resumed> {
        say("SIGKILL for Redis")?;
        let epochs = self.epochs().await?;
        let killed = Instant::now();
        self.shared_mut()?.server_mut()?.kill()?;
        self.losses.push(Loss {
            from: killed - UNWRITTEN,
            until: Instant::now(),
        });
        sleep(STALLED).await;
        self.shared_mut()?.server_mut()?.restart().await?;
        let resumed = self.resume(Instant::now()).await?;
        self.require_taken_again(&epochs).await?;
        say(format_args!(
            "  every lane goes on, {:.1} s after the kill",
            killed.elapsed().as_secs_f64()
        ))?;
        Ok(resumed)
    }
}
