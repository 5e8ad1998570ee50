//! Stores of several servers, which take each other's places and hand each other keys: F6, F7, F8.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use baton_testkit::{RedisCluster, RedisSentinel};
use tokio::time::Instant;

use super::super::stage::{Loss, Stage};
use super::super::{Form, Trial};
use super::loss::Resumed;
use super::{FLEET, PERSISTENT, live, setting};
use crate::commands::bench::plan::{Fleet, SharedKind};
use crate::commands::bench::stats::{Percentiles, float};
use crate::commands::bench::world::{Servers, meta_key};

/// A master answers before its replicas have what it answered: what was under way in this time
/// before its end may be gone with it.
const UNREPLICATED: Duration = Duration::from_millis(100);

/// F6: the master behind Sentinel is killed, and another takes its place.
pub(in super::super) async fn sentinel_failovers(form: &Form) -> Result<Trial> {
    let trial = Trial::new("F6", "SIGKILL of the master behind Sentinel");
    let size = form.size((45, 4), (150, 60));
    let fleet = Fleet {
        store: SharedKind::Sentinel,
        ..FLEET
    };
    let mut stage = Stage::start(form, trial, size, setting(fleet)).await?;
    let running = stage.load_until_ended(PERSISTENT)?;
    let mut failovers = Failovers::default();
    for number in 0..form.count(1, 5) {
        live(form, "sentinel", number).await;
        let epochs = stage.epochs().await?;
        let redis = stage.sentinel()?;
        let port = redis.master_port().await?;
        let servers = &mut redis.servers;
        let master = servers.iter().position(|server| server.port() == port);
        let master = master.context("the master is one of the servers")?;
        let killed = Instant::now();
        servers[master].kill()?;
        stage.lost_before(killed);
        let redis = stage.sentinel()?;
        redis.failed_over(port).await?;
        let promoted = killed.elapsed();
        let resumed = stage.resume(Instant::now()).await?;
        failovers.note(promoted, killed.elapsed(), resumed);
        stage.require_taken_again(&epochs).await?;
        stage.sentinel()?.servers[master].restart().await?;
    }
    running.end();
    let failures = running.load.failures();
    let played = stage.finish(running).await?;
    stage.require_all_accepted(&played);
    failovers.tell(&mut stage, failures);
    stage.close().await
}

/// F7: the cluster's server that has a lane's slot is killed, and its replica takes its place.
pub(in super::super) async fn cluster_failovers(form: &Form) -> Result<Trial> {
    let trial = Trial::new("F7", "SIGKILL of a cluster's master");
    let size = form.size((45, 4), (150, 60));
    let fleet = Fleet {
        store: SharedKind::Cluster,
        ..FLEET
    };
    let mut stage = Stage::start(form, trial, size, setting(fleet)).await?;
    let running = stage.load_until_ended(PERSISTENT)?;
    let mut failovers = Failovers::default();
    // Each of the masters of the start once at most: later the pairs have changed their roles.
    let mut killed_before = Vec::new();
    for number in 0..form.count(1, 3) {
        live(form, "cluster", number).await;
        let relayer = usize::try_from(number)?;
        let slot = stage.slot(relayer).await?;
        let epoch = stage.epochs().await?[relayer];
        let redis = stage.cluster()?;
        let index = redis.index_of(slot);
        if killed_before.contains(&index) {
            continue;
        }
        killed_before.push(index);
        let killed = Instant::now();
        redis.masters[index].kill()?;
        stage.lost_before(killed);
        let redis = stage.cluster()?;
        redis.promoted(&redis.replicas[index]).await?;
        let promoted = killed.elapsed();
        let resumed = stage.resume(Instant::now()).await?;
        failovers.note(promoted, killed.elapsed(), resumed);
        let now = stage.epochs().await?[relayer];
        stage.trial.require(now > epoch, || {
            "the baton survived the server that gave it".to_owned()
        });
        stage.cluster()?.masters[index].restart().await?;
    }
    running.end();
    let failures = running.load.failures();
    let played = stage.finish(running).await?;
    stage.require_all_accepted(&played);
    failovers.tell(&mut stage, failures);
    stage.close().await
}

/// F8: the slots of the lanes move to other servers of the cluster, with everything in them.
pub(in super::super) async fn slot_moves(form: &Form) -> Result<Trial> {
    let trial = Trial::new("F8", "lanes' slots moved to other masters");
    let size = form.size((45, 4), (150, 60));
    let fleet = Fleet {
        store: SharedKind::Cluster,
        ..FLEET
    };
    let mut stage = Stage::start(form, trial, size, setting(fleet)).await?;
    let running = stage.load_until_ended(PERSISTENT)?;
    let mut silent = Vec::new();
    let mut moved = 0;
    for relayer in 0..stage.world.api.relayers.len() {
        live(form, "slot", u64::try_from(relayer)?).await;
        let account = stage.world.accounts[relayer];
        let slot = stage.slot(relayer).await?;
        let epochs = stage.epochs().await?;
        let redis = stage.cluster()?;
        let to = (redis.index_of(slot) + 1) % redis.masters.len();
        redis.migrate(slot, &redis.masters[to]).await?;
        let at = Instant::now();
        let text = slot.to_string();
        let question = ["CLUSTER", "COUNTKEYSINSLOT", &text];
        let there = redis.masters[to].command(&question).await?;
        let left = redis.master_of(slot).command(&question).await?;
        stage.trial.require(there != "0" && left == "0", || {
            format!("of slot {slot}, {there} keys have moved and {left} have not")
        });
        moved += usize::from(there != "0");
        stage.wait_for_new(&[account], at).await?;
        silent.push(at.elapsed());
        let now = stage.epochs().await?;
        stage.trial.require(now[relayer] > epochs[relayer], || {
            format!("{text}: the baton survived the server that gave it")
        });
    }
    running.end();
    let played = stage.finish(running).await?;
    stage.require_all_accepted(&played);
    stage.trial.figure("slots moved", float(moved), "");
    if let Some(times) = Percentiles::of(silent) {
        stage
            .trial
            .figure("from there to the next broadcast at most", times.max, "ms");
    }
    stage.close().await
}

/// What failovers took.
#[derive(Debug, Default)]
struct Failovers {
    promoted: Vec<Duration>,
    resumed: Vec<Duration>,
    adopted: usize,
}

impl Failovers {
    fn note(&mut self, promoted: Duration, resumed: Duration, how: Resumed) {
        self.promoted.push(promoted);
        self.resumed.push(resumed);
        self.adopted += usize::from(how == Resumed::Adopted);
    }

    fn tell(self, stage: &mut Stage, failures: usize) {
        let trial = &mut stage.trial;
        trial.figure("failovers", float(self.promoted.len()), "");
        trial.figure("posts that failed", float(failures), "");
        trial.figure("restarts with --adopt", float(self.adopted), "");
        if let Some(times) = Percentiles::of(self.promoted) {
            trial.figure("to a new master at most", times.max, "ms");
        }
        if let Some(times) = Percentiles::of(self.resumed) {
            trial.figure("until all lanes send again at most", times.max, "ms");
        }
    }
}

impl Stage {
    fn lost_before(&mut self, killed: Instant) {
        self.losses.push(Loss {
            from: killed - UNREPLICATED,
            until: Instant::now(),
        });
    }

    fn sentinel(&mut self) -> Result<&mut RedisSentinel> {
        match &mut self.shared_mut()?.servers {
            Servers::Sentinel(redis) => Ok(redis),
            Servers::Alone(_) | Servers::Cluster(_) => bail!("the store has no sentinels"),
        }
    }

    fn cluster(&mut self) -> Result<&mut RedisCluster> {
        match &mut self.shared_mut()?.servers {
            Servers::Cluster(redis) => Ok(redis),
            Servers::Alone(_) | Servers::Sentinel(_) => bail!("the store is no cluster"),
        }
    }

    /// The slot of a relayer's lane.
    async fn slot(&mut self, relayer: usize) -> Result<usize> {
        let key = meta_key(&self.world.api.relayers[relayer]);
        let mut asked = Vec::new();
        for server in &self.cluster()?.masters {
            asked.push(server.command(&["CLUSTER", "KEYSLOT", &key]).await);
        }
        let slot = asked.into_iter().find_map(Result::ok);
        Ok(slot.context("no server tells a key's slot")?.parse()?)
    }
}
