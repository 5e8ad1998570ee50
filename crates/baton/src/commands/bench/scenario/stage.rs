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
use crate::commands::bench::plan::{Fleet, OwnNode, Plan, Subject};
use crate::commands::bench::step::refusals;
use crate::commands::bench::tap::Tap;
use crate::commands::bench::world::{OwnEngine, Shared, World};

/// How often it is looked whether something has happened.
const LOOK: Duration = Duration::from_millis(20);
/// How often the relayer is asked how far it is: each answer asks the node for balances.
const ASK: Duration = Duration::from_millis(100);
/// Longest wait for an answer to a question: one that was stopped gives none.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// How long instances of the short form take connections after SIGTERM: the default would be half
/// of what some scenarios take.
const DRAIN_DELAY_SHORT: Duration = Duration::from_millis(200);
/// Blocks that are waited for in the end: a second execution would come late.
const BLOCKS_AFTER: u64 = 2;
/// Most problems that are told.
const PROBLEMS_MAX: usize = 30;

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
    /// Several instances on a shared store.
    pub(super) fleet: Option<Fleet>,
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
            fleet: None,
        }
    }
}

/// A scenario under way.
pub(super) struct Stage {
    pub(super) world: World,
    pub(super) trial: Trial,
    pub(super) size: Size,
    /// When the store lost what it had.
    pub(super) losses: Vec<Loss>,
    load_max: u32,
    plan: Plan,
    http: reqwest::Client,
    began: Instant,
}

/// A time of which the store may have forgotten what it answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Loss {
    pub(super) from: Instant,
    pub(super) until: Instant,
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
            own.fleet = setting.fleet.map(|fleet| Fleet {
                drain_delay: form.short.then_some(DRAIN_DELAY_SHORT),
                ..fleet
            });
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
            losses: Vec::new(),
            load_max: form.load_max(),
            plan,
            http: reqwest::Client::builder()
                .timeout(ANSWER_MAX)
                .no_proxy()
                .build()?,
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
        Ok(self.tap()?.trace())
    }

    /// The proxies before the node.
    pub(super) fn tap(&self) -> Result<&Tap> {
        let tap = self.world.tap.as_ref();
        tap.context("an own relayer has a proxy")
    }

    /// The relayer's process, or the first of them.
    pub(super) fn engine(&mut self) -> Result<&mut OwnEngine> {
        self.instance(0)
    }

    /// One of the relayer's processes.
    pub(super) fn instance(&mut self, number: usize) -> Result<&mut OwnEngine> {
        let engine = self.world.engines.get_mut(number);
        engine.context("an own relayer is a process")
    }

    /// The store that the relayer's processes share.
    pub(super) fn shared(&self) -> Result<&Shared> {
        let shared = self.world.shared.as_ref();
        shared.context("instances share a store")
    }

    /// The same, to be killed and started again.
    pub(super) fn shared_mut(&mut self) -> Result<&mut Shared> {
        let shared = self.world.shared.as_mut();
        shared.context("instances share a store")
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
            sends: Sends::of(&self.tap()?.broadcasts()),
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
        self.world.drain().await?;
        for engine in &self.world.engines {
            let log = engine.process.log()?;
            for line in log.lines() {
                let bad = line.contains(" ERROR ") || line.contains("panicked at");
                self.trial.require(!bad, || format!("in the log: {line}"));
            }
        }
        self.trial.problems.truncate(PROBLEMS_MAX);
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

    /// Asks the relayer for a text; of several instances the first that gives it.
    pub(super) async fn text(&self, path: &str) -> Result<String> {
        let mut failed = None;
        for url in &self.world.api.urls {
            match self.text_of(url, path).await {
                Ok(text) => return Ok(text),
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.context("nobody to ask")?)
    }

    /// Asks one instance for a text.
    pub(super) async fn text_of(&self, url: &str, path: &str) -> Result<String> {
        let request = self.http.get(format!("{url}/api/v1{path}"));
        let key = self.world.api.key.expose();
        let answer = request.bearer_auth(key).send().await?;
        Ok(answer.error_for_status()?.text().await?)
    }

    /// Transactions of an account that are mined.
    pub(super) async fn nonce(&self, account: Address) -> Result<u64> {
        self.count_at(account, "latest").await
    }

    /// Transactions of an account up to a block, or in the node's pool as well.
    pub(super) async fn count_at(&self, account: Address, block: &str) -> Result<u64> {
        let params = json!([account, block]);
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

    /// What the scenario is played with.
    pub(super) const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The longest wait for anything.
    pub(super) const fn drain_max(&self) -> Duration {
        self.plan.drain
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
