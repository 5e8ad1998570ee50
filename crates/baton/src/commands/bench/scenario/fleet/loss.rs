//! A store that is killed, that loses its last second, and that comes back empty: F4, F5.

use std::time::Duration;

use anyhow::Result;
use baton_model::Address;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::super::chain::mine;
use super::super::stage::{Loss, Running, Setting, Stage};
use super::super::{Form, Trial};
use super::{FLEET, LOOK, PERSISTENT, live, setting};
use crate::commands::bench::stats::{Percentiles, float};

/// What a crash of the machine takes with `appendfsync everysec`.
const UNFLUSHED: Duration = Duration::from_secs(1);
/// While a flush is under way Redis keeps what it answers in memory, for so long at most: a kill of
/// the process alone can take that.
pub(super) const UNWRITTEN: Duration = Duration::from_secs(2);
/// The alarm of a lane whose chain knows more than its store.
const ALARM: &str = "foreign_nonce";
/// Longest time from the start of a store until every lane has either gone on or raised an alarm.
const RESUMED_MAX: Duration = Duration::from_secs(120);

/// How lanes went on behind a store that may have lost something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resumed {
    /// By themselves.
    Alone,
    /// After an alarm, when an operator said `--adopt`.
    Adopted,
}

/// F4: the store's process is killed and started again with the files that it left.
pub(in super::super) async fn store_kills(form: &Form) -> Result<Trial> {
    let trial = Trial::new("F4", "SIGKILL of Redis, AOF everysec");
    let size = form.size((45, 4), (200, 60));
    let mut stage = Stage::start(form, trial, size, setting(FLEET)).await?;
    let running = stage.load_until_ended(PERSISTENT)?;
    let kills = form.count(3, 10);
    let mut times = Vec::new();
    let mut adopted = 0;
    for number in 0..kills {
        live(form, "store", number).await;
        let epochs = stage.epochs().await?;
        let killed = Instant::now();
        stage.shared_mut()?.server_mut()?.kill()?;
        stage.losses.push(Loss {
            from: killed - UNWRITTEN,
            until: Instant::now(),
        });
        stage.shared_mut()?.server_mut()?.restart().await?;
        let resumed = stage.resume(Instant::now()).await?;
        adopted += usize::from(resumed == Resumed::Adopted);
        times.push(killed.elapsed());
        stage.require_taken_again(&epochs).await?;
    }
    running.end();
    finish(&mut stage, running, adopted).await?;
    tell_resumptions(&mut stage, "kills", times);
    stage.close().await
}

/// F4, as the machine's crash: what had not been flushed is cut off the file.
pub(in super::super) async fn lost_tail(form: &Form) -> Result<Trial> {
    let trial = Trial::new("F4", "Redis loses its last second");
    let size = form.size((45, 4), (200, 60));
    let mut stage = Stage::start(form, trial, size, setting(FLEET)).await?;
    let running = stage.load_until_ended(PERSISTENT)?;
    let mut times = Vec::new();
    let (mut bytes, mut adopted) = (0, 0);
    for number in 0..form.count(2, 6) {
        live(form, "tail", number).await;
        let epochs = stage.epochs().await?;
        let from = Instant::now();
        let kept = stage.shared()?.server()?.appended_bytes().await?;
        sleep(UNFLUSHED).await;
        let killed = Instant::now();
        let server = stage.shared_mut()?.server_mut()?;
        server.kill()?;
        bytes += server.cut_appended(kept)?;
        let until = Instant::now();
        stage.losses.push(Loss { from, until });
        stage.shared_mut()?.server_mut()?.restart().await?;
        let resumed = stage.resume(Instant::now()).await?;
        adopted += usize::from(resumed == Resumed::Adopted);
        times.push(killed.elapsed());
        stage.require_taken_again(&epochs).await?;
    }
    running.end();
    finish(&mut stage, running, adopted).await?;
    let lost = float(usize::try_from(bytes)?);
    stage.trial.figure("bytes cut off", lost, "");
    stage
        .trial
        .require(bytes > 0, || "the file lost nothing".to_owned());
    tell_resumptions(&mut stage, "crashes", times);
    stage.close().await
}

/// F5: the store comes back empty, once while the node's pool holds what it knew of, and once when
/// everything is mined.
pub(in super::super) async fn empty_restart(form: &Form) -> Result<Trial> {
    let trial = Trial::new("F5", "Redis restarted empty, twice");
    let size = form.size((45, 4), (200, 60));
    let setting = Setting {
        paused: true,
        ..setting(FLEET)
    };
    let mut stage = Stage::start(form, trial, size, setting).await?;
    let from = Instant::now();
    let mut mining = tokio::spawn(mine(stage.world.rpc.clone(), form.block));
    let running = stage.load_until_ended(PERSISTENT)?;
    let (mut alarmed, mut resumed) = (Vec::new(), Vec::new());
    for is_pool_full in [true, false] {
        stage.wait_for_blocks(4).await?;
        live(form, "empty", u64::from(is_pool_full)).await;
        let epochs = stage.epochs().await?;
        if is_pool_full {
            mining.abort();
            stage.wait_for_pool().await?;
        }
        let killed = Instant::now();
        let server = stage.shared_mut()?.server_mut()?;
        server.kill()?;
        server.erase()?;
        let until = Instant::now();
        stage.losses.push(Loss { from, until });
        if !is_pool_full {
            stage.wait_for_empty_pool().await?;
        }
        stage.shared_mut()?.server_mut()?.restart().await?;
        stage.wait_for_alarms().await?;
        alarmed.push(killed.elapsed());
        if is_pool_full {
            mining = tokio::spawn(mine(stage.world.rpc.clone(), form.block));
        }
        stage.adopt(until).await?;
        resumed.push(killed.elapsed());
        stage.require_taken_again(&epochs).await?;
    }
    running.end();
    let rounds = resumed.len();
    finish(&mut stage, running, rounds).await?;
    mining.abort();
    if let Some(times) = Percentiles::of(alarmed) {
        stage
            .trial
            .figure("to every alarm at most", times.max, "ms");
    }
    tell_resumptions(&mut stage, "losses of everything", resumed);
    stage.close().await
}

async fn finish(stage: &mut Stage, running: Running, adopted: usize) -> Result<()> {
    let failures = running.load.failures();
    let played = stage.finish(running).await?;
    stage.require_all_accepted(&played);
    stage.trial.figure("posts that failed", float(failures), "");
    stage
        .trial
        .figure("restarts with --adopt", float(adopted), "");
    stage
        .trial
        .figure("nonces skipped", float(played.sends.no_ops), "");
    Ok(())
}

fn tell_resumptions(stage: &mut Stage, what: &'static str, times: Vec<Duration>) {
    stage.trial.figure(what, float(times.len()), "");
    if let Some(times) = Percentiles::of(times) {
        stage
            .trial
            .figure("until all lanes send again p50", times.p50, "ms");
        stage.trial.figure("at most", times.max, "ms");
    }
}

impl Stage {
    /// Waits until every lane sends something new, and if one of them stops with an alarm instead,
    /// does what the alarm asks for.
    pub(super) async fn resume(&mut self, since: Instant) -> Result<Resumed> {
        let accounts = self.world.accounts.clone();
        let deadline = Instant::now() + RESUMED_MAX;
        loop {
            if self.has_sent(&accounts, since, |_| true)? {
                return Ok(Resumed::Alone);
            }
            if self.alarms().await.unwrap_or(0) > 0 {
                self.adopt(since).await?;
                return Ok(Resumed::Adopted);
            }
            anyhow::ensure!(
                Instant::now() < deadline,
                "a lane neither sent anything nor raised an alarm within {RESUMED_MAX:?}"
            );
            sleep(LOOK).await;
        }
    }

    /// Each lane's baton was given anew since: whoever held it compared it with the chain.
    pub(super) async fn require_taken_again(&mut self, before: &[u64]) -> Result<()> {
        let epochs = self.epochs().await?;
        let same = before
            .iter()
            .zip(&epochs)
            .filter(|(b, now)| now <= b)
            .count();
        self.trial.require(same == 0, || {
            format!("{same} batons survived the store that gave them: {before:?}, {epochs:?}")
        });
        Ok(())
    }

    /// Lanes that have stopped with the alarm.
    async fn alarms(&self) -> Result<usize> {
        let mut alarmed = 0;
        for relayer in &self.world.api.relayers {
            let status = self.get(&format!("/relayers/{relayer}/status")).await?;
            let alarms = status["data"]["alarms"].to_string();
            alarmed += usize::from(alarms.contains(ALARM));
        }
        Ok(alarmed)
    }

    async fn wait_for_alarms(&self) -> Result<()> {
        let lanes = self.world.api.relayers.len();
        self.wait_for("every lane raises the alarm", async || {
            Ok(self.alarms().await.unwrap_or(0) == lanes)
        })
        .await
    }

    async fn wait_for_empty_pool(&self) -> Result<()> {
        self.wait_for("everything that was sent is mined", async || {
            let pool = self.world.rpc.call("txpool_status", json!([])).await?;
            Ok(pool["pending"] == "0x0")
        })
        .await
    }

    /// What an operator does about the alarm: every instance is started with `--adopt`, and without
    /// it again once no lane has an alarm and all of them send requests that were not sent before.
    async fn adopt(&mut self, since: Instant) -> Result<()> {
        self.restart_all(&["--adopt"]).await?;
        let accounts = self.world.accounts.clone();
        self.wait_for_new(&accounts, since).await?;
        self.wait_for("the end of all alarms", async || {
            Ok(self.alarms().await? == 0)
        })
        .await?;
        self.restart_all(&[]).await
    }

    async fn restart_all(&mut self, arguments: &[&'static str]) -> Result<()> {
        self.world.drain().await?;
        for engine in &mut self.world.engines {
            engine.launch.set_arguments(arguments);
            engine.restart()?;
        }
        for engine in &mut self.world.engines {
            engine.process.ready().await?;
        }
        Ok(())
    }

    async fn wait_for_pool(&self) -> Result<()> {
        self.wait_for("transactions of every lane in the pool", async || {
            for account in &self.world.accounts {
                if self.pending(*account).await? <= self.nonce(*account).await? {
                    return Ok(false);
                }
            }
            Ok(true)
        })
        .await
    }

    async fn pending(&self, account: Address) -> Result<u64> {
        self.count_at(account, "pending").await
    }
}
