//! Stores that are full, that pause, and that everybody connects to: F9, F10, F12.

use std::time::Duration;

use anyhow::{Context, Result};
use baton_testkit::{RedisServer, RedisSession};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::super::stage::Stage;
use super::super::{Form, Trial};
use super::{FLEET, LOOK, PERSISTENT, setting};
use crate::commands::bench::load::{Load, Manner, Outcome};
use crate::commands::bench::pace::{Pacer, Schedule};
use crate::commands::bench::plan::Fleet;
use crate::commands::bench::stats::{Percentiles, float, milliseconds};
use crate::commands::bench::world::{field_of, info};
use crate::commands::child::Engine;

/// A policy that throws away what callers were told is kept.
const EVICTING: &str = "allkeys-lru";
/// What an engine says when it refuses it.
const POLICY: &str = "maxmemory-policy";
/// Longest time until an engine has refused to start.
const REFUSED_MAX: Duration = Duration::from_secs(30);
/// Connections that may come and go while the others stay: questions of the bench.
const OWN_CONNECTIONS_MAX: usize = 20;
/// How often scripts are forgotten.
const FLUSH_EVERY: Duration = Duration::from_millis(20);
/// Room for connections in F12, and how many are opened.
const CLIENTS_MAX: usize = 2000;
const CLIENTS_LINES: [&str; 1] = ["maxclients 2000"];
const CONNECTIONS: usize = 3000;

/// F9: the store's memory is full for a while.
pub(in super::super) async fn full_memory(form: &Form) -> Result<Trial> {
    let trial = Trial::new("F9", "maxmemory reached, and raised");
    let size = form.size((45, 4), (150, 60));
    let mut stage = Stage::start(form, trial, size, setting(FLEET)).await?;
    refuse_evicting(&mut stage).await?;
    let running = stage.load_until_ended(PERSISTENT)?;
    stage.wait_for_blocks(4).await?;
    let keys = keys_held(&stage).await?;
    let used = info(stage.shared()?.server()?, "used_memory").await?;
    set_maxmemory(&stage, &(used / 2).max(1).to_string()).await?;
    let (filled, before) = (Instant::now(), running.load.accepted());
    stage
        .wait_for("posts that are refused", async || {
            Ok(running.load.failures() > 0)
        })
        .await?;
    let refusal = refusal(&stage).await?;
    sleep(form.span(1.0, 15)).await;
    let (full_for, meanwhile) = (filled.elapsed(), running.load.accepted() - before);
    let full = keys_held(&stage).await?;
    let evicted = info(stage.shared()?.server()?, "evicted_keys").await?;
    let mut logs = stage
        .world
        .engines
        .iter()
        .map(|engine| engine.process.log());
    let logged = logs.any(|log| log.is_ok_and(|log| log.contains("'maxmemory'")));
    let accounts = stage.world.accounts.clone();
    let raised = Instant::now();
    set_maxmemory(&stage, "0").await?;
    stage.wait_for_new(&accounts, raised).await?;
    let resumed = raised.elapsed();
    running.end();
    let failures = running.load.failures();
    let played = stage.finish(running).await?;
    stage.require_all_accepted(&played);
    let trial = &mut stage.trial;
    trial.figure("posts refused", float(failures), "");
    trial.figure("accepted while full", float(meanwhile), "");
    trial.figure("keys evicted", float(usize::try_from(evicted)?), "");
    trial.figure("to the next broadcast", milliseconds(resumed), "ms");
    let is_clear = refusal.contains("503") && refusal.contains("nothing was changed");
    trial.require(is_clear, || format!("a refusal says: {refusal}"));
    let offered = f64::from(size.rate) * full_for.as_secs_f64();
    trial.require(float(meanwhile) < offered / 2.0, || {
        format!("{meanwhile} posts were accepted while the memory was full")
    });
    trial.require(logged, || "no instance's log names maxmemory".to_owned());
    trial.require(evicted == 0 && full >= keys, || {
        format!("{evicted} keys were evicted; {keys} before, {full} while the memory was full")
    });
    stage.close().await
}

/// F10: the store answers nobody for longer than leases last, by its own will and without it.
pub(in super::super) async fn pauses(form: &Form) -> Result<Trial> {
    let trial = Trial::new("F10", "Redis paused, CLIENT PAUSE and SIGSTOP");
    let size = form.size((45, 4), (150, 60));
    let mut stage = Stage::start(form, trial, size, setting(FLEET)).await?;
    let running = stage.load_until_ended(PERSISTENT)?;
    let pause = form.span(3.0, 10);
    let accounts = stage.world.accounts.clone();
    for name in ["after CLIENT PAUSE", "after SIGSTOP"] {
        stage.wait_for_blocks(2).await?;
        let epochs = stage.epochs().await?;
        let accepted = running.load.accepted();
        if name == "after SIGSTOP" {
            stage.shared()?.server()?.pause()?;
            sleep(pause).await;
            stage.shared()?.server()?.resume()?;
        } else {
            let millis = pause.as_millis().to_string();
            let words = ["CLIENT", "PAUSE", &millis, "ALL"];
            stage.shared()?.server()?.command(&words).await?;
            sleep(pause).await;
        }
        // Callers wait for their answers: what comes while nobody writes is little.
        let meanwhile = running.load.accepted() - accepted;
        let resumed = Instant::now();
        stage.wait_for_new(&accounts, resumed).await?;
        stage
            .trial
            .figure(name, milliseconds(resumed.elapsed()), "ms");
        let now = stage.epochs().await?;
        let lost = epochs.iter().zip(&now).filter(|(b, n)| n > b).count();
        stage.trial.figure("batons lost", float(lost), "");
        stage
            .trial
            .require(lost > 0, || format!("{name}: no baton was lost"));
        let offered = f64::from(stage.size.rate) * pause.as_secs_f64();
        stage.trial.require(float(meanwhile) < offered / 2.0, || {
            format!("{name}: {meanwhile} posts were accepted meanwhile")
        });
    }
    running.end();
    let played = stage.finish(running).await?;
    stage.require_all_accepted(&played);
    stage.trial.figure("pause", pause.as_secs_f64(), "s");
    stage.close().await
}

/// F12: as many connections as the store takes, and more; and it forgets its scripts all the time.
pub(in super::super) async fn floods(form: &Form) -> Result<Trial> {
    let trial = Trial::new("F12", "connections flooded, scripts flushed");
    let size = form.size((45, 4), (150, 60));
    let fleet = Fleet {
        lines: &CLIENTS_LINES,
        ..FLEET
    };
    let mut stage = Stage::start(form, trial, size, setting(fleet)).await?;
    let mut session = stage.shared()?.server()?.session().await?;
    let running = stage.load_until_ended(PERSISTENT)?;
    stage.wait_for_blocks(2).await?;
    let port = stage.shared()?.server()?.port();
    let (kept, refused) = flood(&mut session, port).await?;
    let span = form.span(2.0, 20);
    let flushes = flush_scripts(&mut session, span).await?;
    // Work goes on while they are there.
    let accounts = stage.world.accounts.clone();
    let flooded = Instant::now();
    stage.wait_for_new(&accounts, flooded).await?;
    let info = session.command(&["INFO"]).await?;
    let open = usize::try_from(field_of(&info, "connected_clients").unwrap_or(0))?;
    drop(kept);
    running.end();
    let played = stage.finish(running).await?;
    stage.require_all_accepted(&played);
    let times = played.records.iter();
    let times = times.map(|record| record.answered.duration_since(record.due));
    let trial = &mut stage.trial;
    trial.figure("connections", float(open), "");
    trial.figure("refused", float(refused), "");
    trial.figure("SCRIPT FLUSH", float(flushes), "times");
    if let Some(times) = Percentiles::of(times.collect()) {
        trial.figure("accepted p99", times.p99, "ms");
    }
    trial.require(open + OWN_CONNECTIONS_MAX >= CLIENTS_MAX, || {
        format!("{open} connections are no flood")
    });
    trial.require(flushes > 10, || format!("only {flushes} flushes"));
    stage.close().await
}

/// An engine does not start on a store that throws away what it is given.
async fn refuse_evicting(stage: &mut Stage) -> Result<()> {
    let line = format!("maxmemory-policy {EVICTING}");
    let server = RedisServer::start(&["maxmemory 1gb", &line]).await?;
    let log = stage.refused_start(&server).await?;
    let is_named = log.contains(POLICY) && log.contains(EVICTING);
    stage.trial.require(is_named, || {
        format!("an engine refused an evicting store without naming its policy: {log}")
    });
    stage
        .trial
        .figure("evicting stores refused", f64::from(u8::from(is_named)), "");
    Ok(())
}

async fn set_maxmemory(stage: &Stage, bytes: &str) -> Result<()> {
    let server = stage.shared()?.server()?;
    server
        .command(&["CONFIG", "SET", "maxmemory", bytes])
        .await?;
    Ok(())
}

async fn keys_held(stage: &Stage) -> Result<u64> {
    let server = stage.shared()?.server()?;
    Ok(server.command(&["DBSIZE"]).await?.parse()?)
}

/// What a caller is told whose request is not accepted.
async fn refusal(stage: &Stage) -> Result<String> {
    let schedule = Schedule::of_count(1, 1)?;
    let targets = vec![baton_model::Address::ZERO];
    let load = Load::new(stage.plan(), &stage.world.api, u32::MAX, targets)?;
    let load = std::sync::Arc::new(load.with(Manner::Once));
    let pacer = std::sync::Arc::new(Pacer::start(schedule, Duration::ZERO));
    let records = load.run(&pacer, 1).await?;
    let first = records.into_iter().next().context("one was posted")?;
    Ok(match first.outcome {
        Outcome::Refused(text) | Outcome::Failed(text) | Outcome::Unknown(text) => text,
        Outcome::Accepted | Outcome::Split => "it was accepted".to_owned(),
    })
}

/// Opens connections and leaves them alone, until the store has refused all for which it has no
/// room. How many.
async fn flood(session: &mut RedisSession, port: u16) -> Result<(Vec<TcpStream>, usize)> {
    allow_files();
    let mut all = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        all.push(TcpStream::connect(("127.0.0.1", port)).await?);
    }
    let deadline = Instant::now() + REFUSED_MAX;
    loop {
        let info = session.command(&["INFO"]).await?;
        let refused = field_of(&info, "rejected_connections").unwrap_or(0);
        let refused = usize::try_from(refused)?;
        if refused >= CONNECTIONS - CLIENTS_MAX {
            return Ok((all, refused));
        }
        anyhow::ensure!(
            Instant::now() < deadline,
            "of {CONNECTIONS} connections only {refused} were refused"
        );
        sleep(LOOK).await;
    }
}

/// Many systems let a process have a thousand files unless it asks for more.
fn allow_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let allowed = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: allowed.maximum,
        ..allowed
    };
    // Without it, connecting fails and says so.
    let _: Result<(), _> = setrlimit(Resource::Nofile, most);
}

/// Has all scripts forgotten again and again. How often.
async fn flush_scripts(session: &mut RedisSession, span: Duration) -> Result<usize> {
    let until = Instant::now() + span;
    let mut flushes = 0;
    while Instant::now() < until {
        session.command(&["SCRIPT", "FLUSH"]).await?;
        flushes += 1;
        sleep(FLUSH_EVERY).await;
    }
    Ok(flushes)
}

impl Stage {
    /// Starts a further engine on a store. What it said before it ended; an error if it goes on.
    async fn refused_start(&mut self, server: &RedisServer) -> Result<String> {
        let url = format!("redis://127.0.0.1:{}", server.port());
        let launch = self.world.another(&url)?;
        let mut engine = Engine::spawn(&launch)?;
        let ended = timeout(REFUSED_MAX, engine.ended()).await;
        let status = ended.context("an engine goes on with a store that evicts")??;
        anyhow::ensure!(
            !status.success(),
            "an engine that refused ended with {status}"
        );
        engine.log()
    }
}
