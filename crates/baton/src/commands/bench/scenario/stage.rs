//! What every scenario stands on: a relayer with its node and the proxy between them, a load, and
//! the questions that are asked when it is over.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use baton_model::{Address, U256};
use baton_testkit::{ProxyControl, ProxyTrace};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::oracle::Sends;
use super::{Form, Size, Trial};
use crate::commands::bench::keys::{TRANSFER_GAS, targets};
use crate::commands::bench::load::{Load, Manner, Outcome, Record};
use crate::commands::bench::pace::{Pacer, Schedule};
use crate::commands::bench::plan::{OwnNode, Plan, Subject};
use crate::commands::bench::step::{count, refusals};
use crate::commands::bench::world::{OwnEngine, World};

/// How often it is looked whether something has happened.
const LOOK: Duration = Duration::from_millis(20);
/// How often the relayer is asked how far it is: each answer asks the node for balances.
const ASK: Duration = Duration::from_millis(100);
/// Blocks that are waited for in the end: a second execution would come late.
const BLOCKS_AFTER: u64 = 2;
/// Most requests or nonces that a problem names.
const NAMED_MAX: usize = 3;
/// Statuses of requests that end without having been executed.
const UNDONE: [&str; 3] = ["failed", "expired", "canceled"];

/// How a scenario's relayer is set up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    pub(super) relayers: u16,
    /// Of each relayer.
    pub(super) accounts: u16,
    pub(super) in_flight: u32,
    pub(super) confirmations: u32,
    /// No blocks until the scenario makes them.
    pub(super) paused: bool,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            relayers: 1,
            accounts: 1,
            // Enough for every load here: the limit is none of the things that are tried.
            in_flight: 4096,
            confirmations: 2,
            paused: false,
        }
    }
}

/// A scenario under way.
pub(super) struct Stage {
    pub(super) world: World,
    pub(super) trial: Trial,
    pub(super) size: Size,
    load_max: u32,
    plan: Plan,
    http: reqwest::Client,
    began: Instant,
}

/// A load under way.
pub(super) struct Running {
    pub(super) load: Arc<Load>,
    pub(super) pacer: Arc<Pacer>,
    sending: JoinHandle<Result<Vec<Record>>>,
}

/// What a load and the chain came to.
pub(super) struct Played {
    pub(super) records: Vec<Record>,
    pub(super) targets: Vec<Address>,
    pub(super) balances: Vec<U256>,
    /// When each target's transfer was first seen in a block.
    pub(super) mined: Vec<Option<Instant>>,
    pub(super) start: Instant,
    pub(super) sends: Sends,
    /// Mined transactions of each account.
    pub(super) nonces: Vec<u64>,
}

impl Stage {
    pub(super) async fn start(
        form: &Form,
        trial: Trial,
        size: Size,
        setting: Setting,
    ) -> Result<Self> {
        let mut plan = form.plan.clone();
        if let Subject::Own(own) = &mut plan.subject {
            own.relayers = setting.relayers;
            own.accounts = setting.accounts;
            own.in_flight = setting.in_flight;
            own.confirmations = setting.confirmations;
            own.rpc_timeout = form.rpc_timeout();
            own.gas_limit = TRANSFER_GAS * u64::from(form.block_transfers());
            own.node = if setting.paused {
                OwnNode::Paused
            } else {
                OwnNode::Anvil(form.block)
            };
        }
        Ok(Self {
            world: World::start(&plan).await?,
            trial,
            size,
            load_max: form.load_max(),
            plan,
            http: reqwest::Client::builder().no_proxy().build()?,
            began: Instant::now(),
        })
    }

    /// The handle by which the node's proxy does harm.
    pub(super) fn control(&self) -> Result<ProxyControl> {
        let tap = self.world.tap.as_ref();
        Ok(tap.context("an own relayer has a proxy")?.control())
    }

    /// What the proxy has seen.
    pub(super) fn trace(&self) -> Result<ProxyTrace> {
        let tap = self.world.tap.as_ref();
        Ok(tap.context("an own relayer has a proxy")?.trace())
    }

    /// The relayer's process.
    pub(super) fn engine(&mut self) -> Result<&mut OwnEngine> {
        let engine = self.world.engine.as_mut();
        engine.context("an own relayer is a process")
    }

    /// A load of the scenario's size.
    pub(super) fn load(&self, manner: Manner) -> Result<Running> {
        self.begin(manner, self.size.seconds)
    }

    /// A load that goes on until [`Running::end`].
    pub(super) fn load_until_ended(&self, manner: Manner) -> Result<Running> {
        self.begin(manner, self.load_max)
    }

    fn begin(&self, manner: Manner, seconds: u32) -> Result<Running> {
        let measure = Duration::from_secs(u64::from(seconds));
        let schedule = Schedule::new(self.size.rate, Duration::ZERO, measure)?;
        // Every scenario has a chain of its own, so the step's number can be the same.
        let targets = targets(self.plan.seed, 0, schedule.count());
        self.world.watcher.expect(&targets);
        let load = Load::new(&self.plan, &self.world.api, 0, targets)?.with(manner);
        let load = Arc::new(load);
        let pacer = Arc::new(Pacer::start(schedule, Duration::ZERO));
        let (callers, pace) = (Arc::clone(&load), Arc::clone(&pacer));
        let connections = self.plan.connections;
        let sending = tokio::spawn(async move { callers.run(&pace, connections).await });
        Ok(Running {
            load,
            pacer,
            sending,
        })
    }

    /// Waits until the load is over and everything that was accepted is final, and holds it
    /// against the chain.
    pub(super) async fn finish(&mut self, running: Running) -> Result<Played> {
        let start = running.pacer.started();
        let records = running.sending.await.context("the load ended badly")??;
        if let Err(left) = self.settle().await {
            let within = self.plan.drain;
            let problem = format!("not everything became final within {within:?}: {left:#}");
            self.trial.problems.push(problem);
        }
        self.wait_for_blocks(BLOCKS_AFTER).await?;
        // A load that was ended early has not used its last targets.
        let used = records.last().map_or(0, |record| record.index + 1);
        let targets = running.load.targets()[..used].to_vec();
        let balances = self.world.rpc.balances(&targets).await?;
        let mut nonces = Vec::new();
        for account in &self.world.accounts {
            nonces.push(self.nonce(*account).await?);
        }
        let (mined, _) = self.world.watcher.take();
        let played = Played {
            sends: Sends::of(&self.trace()?.broadcasts()),
            records,
            targets,
            balances,
            mined,
            start,
            nonces,
        };
        self.judge(&played).await?;
        Ok(played)
    }

    /// Ends the relayer as a user would, and reads its log.
    pub(super) async fn close(mut self) -> Result<Trial> {
        let engine = self.engine()?;
        engine.process.drain().await?;
        let log = engine.process.log()?;
        for line in log.lines() {
            let bad = line.contains(" ERROR ") || line.contains("panicked at");
            self.trial.require(!bad, || format!("in the log: {line}"));
        }
        self.trial.problems.truncate(10 * NAMED_MAX);
        self.trial.seconds = self.began.elapsed().as_secs_f64();
        Ok(self.trial)
    }

    /// Waits until the relayer has nothing left that is not final. What is left, or why the
    /// relayer did not tell, when that takes longer than it may.
    async fn settle(&self) -> Result<()> {
        let deadline = Instant::now() + self.plan.drain;
        while let Err(left) = self.check_settled().await {
            if Instant::now() > deadline {
                return Err(left);
            }
            tokio::time::sleep(ASK).await;
        }
        Ok(())
    }

    async fn check_settled(&self) -> Result<()> {
        for relayer in &self.world.api.relayers {
            let status = self.get(&format!("/relayers/{relayer}/status")).await?;
            let pending = &status["data"]["pending_transactions_count"];
            ensure!(pending == 0, "{relayer} has {pending} pending");
            let mined = self.total(relayer, "mined").await?;
            ensure!(mined == 0, "{relayer} has {mined} mined and not final");
        }
        Ok(())
    }

    /// What has to hold after every scenario.
    async fn judge(&mut self, played: &Played) -> Result<()> {
        let counts = count(&played.records, &played.balances);
        self.trial.counts = counts;
        let executed = played.balances.iter().filter(|b| !b.is_zero()).count();
        let mut confirmed = 0;
        for relayer in &self.world.api.relayers {
            confirmed += self.total(relayer, "confirmed").await?;
            for status in UNDONE {
                let total = self.total(relayer, status).await?;
                self.trial
                    .require(total == 0, || format!("{total} requests are {status}"));
            }
        }
        let pool = self.world.rpc.call("txpool_status", json!([])).await?;
        let used: u64 = played.nonces.iter().sum();
        let trial = &mut self.trial;
        trial.require(counts.is_exact(), || format!("{counts:?}"));
        trial.require(counts.accepted > 0, || "nothing was accepted".to_owned());
        trial.require(usize::try_from(confirmed).ok() == Some(executed), || {
            format!("{executed} requests were executed, and {confirmed} are confirmed")
        });
        trial.require(usize::try_from(used).ok() == Some(executed), || {
            format!("{used} nonces were used for {executed} requests")
        });
        trial.require(pool["pending"] == "0x0" && pool["queued"] == "0x0", || {
            format!("the node's pool is not empty: {pool}")
        });
        let Sends {
            shared,
            moved,
            low_bids,
            ..
        } = &played.sends;
        trial.require(shared.is_empty(), || {
            let some = &shared[..shared.len().min(NAMED_MAX)];
            format!(
                "{} nonces were signed for several requests: {some:?}",
                shared.len()
            )
        });
        trial.require(moved.is_empty(), || {
            let some = &moved[..moved.len().min(NAMED_MAX)];
            format!(
                "{} requests were signed under several nonces: {some:?}",
                moved.len()
            )
        });
        trial.require(low_bids.is_empty(), || {
            let some = &low_bids[..low_bids.len().min(NAMED_MAX)];
            format!(
                "{} nonces have bids that displace nothing: {some:?}",
                low_bids.len()
            )
        });
        Ok(())
    }

    /// Every request was accepted when it was posted.
    pub(super) fn require_all_accepted(&mut self, played: &Played) {
        let counts = self.trial.counts;
        self.trial.require(counts.accepted == counts.sent, || {
            let said = refusals(&played.records);
            format!(
                "{} of {} were accepted: {said:?}",
                counts.accepted, counts.sent
            )
        });
    }

    /// A relayer's requests with a status.
    pub(super) async fn total(&self, relayer: &str, status: &str) -> Result<u64> {
        let path = format!("/relayers/{relayer}/transactions?status={status}&per_page=1");
        let found = self.get(&path).await?;
        let total = found["pagination"]["total_items"].as_u64();
        total.with_context(|| format!("{path}: no total in {found}"))
    }

    /// Asks the relayer.
    pub(super) async fn get(&self, path: &str) -> Result<Value> {
        Ok(serde_json::from_str(&self.text(path).await?)?)
    }

    /// Asks the relayer for a text.
    pub(super) async fn text(&self, path: &str) -> Result<String> {
        let api = &self.world.api;
        let request = self.http.get(format!("{}/api/v1{path}", api.url));
        let answer = request.bearer_auth(api.key.expose()).send().await?;
        Ok(answer.error_for_status()?.text().await?)
    }

    /// Transactions of an account that are mined.
    pub(super) async fn nonce(&self, account: Address) -> Result<u64> {
        let params = json!([account, "latest"]);
        let found = self
            .world
            .rpc
            .call("eth_getTransactionCount", params)
            .await?;
        let number: U256 = serde_json::from_value(found)?;
        Ok(number.saturating_to())
    }

    pub(super) async fn block_number(&self) -> Result<u64> {
        self.world.rpc.number("eth_blockNumber").await
    }

    /// Waits until so many blocks have come.
    pub(super) async fn wait_for_blocks(&self, count: u64) -> Result<()> {
        let until = self.block_number().await? + count;
        self.wait_for("the next blocks", async || {
            Ok(self.block_number().await? >= until)
        })
        .await
    }

    /// Waits until a look finds something, for as long as a drain may take.
    pub(super) async fn wait_for(
        &self,
        what: &str,
        mut look: impl AsyncFnMut() -> Result<bool>,
    ) -> Result<()> {
        let deadline = Instant::now() + self.plan.drain;
        while !look().await? {
            ensure!(
                Instant::now() < deadline,
                "not within {:?}: {what}",
                self.plan.drain
            );
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }
}

impl Running {
    /// Sends nothing more.
    pub(super) fn end(&self) {
        self.pacer.end();
    }
}

impl Played {
    /// Latencies from when requests were due to the blocks that hold them, of those that a filter
    /// lets through.
    pub(super) fn to_mined(&self, filter: impl Fn(&Record) -> bool) -> Vec<Duration> {
        let times = self.records.iter().filter(|record| filter(record));
        times
            .filter(|record| record.outcome == Outcome::Accepted)
            .filter_map(|record| {
                let mined = self.mined.get(record.index).copied().flatten()?;
                Some(mined.saturating_duration_since(record.due))
            })
            .collect()
    }

    /// Seconds from the start of the load to the block that holds the last of it.
    pub(super) fn seconds_to_last(&self) -> f64 {
        let last = self.mined.iter().flatten().max();
        last.map_or(0.0, |last| {
            last.saturating_duration_since(self.start).as_secs_f64()
        })
    }
}
