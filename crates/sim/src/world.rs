//! Everything that is outside of the processes, and who watches over it.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use baton_chain::ObservedTx;
use baton_coord::memory::MemoryStore;
use baton_coord::{Batch, CommitError, Committed, ManualClock, Table};
use baton_model::{Address, LaneId, Timestamp, U256};
use futures_util::FutureExt;

use crate::callers::Callers;
use crate::chain::{Chain, PooledTx, Setup, observed};
use crate::check::Watch;
use crate::coverage::Coverage;
use crate::fault::Fault;
use crate::plan::Plan;
use crate::rng::Rng;
use crate::signer::account;
use crate::store::{Topics, appended};
use crate::trace::Trace;

/// The world, as all its parts share it.
pub(crate) type Shared = Arc<Mutex<World>>;

/// The world's beginning, in milliseconds since the Unix epoch.
pub(crate) const EPOCH_MS: u64 = 1_700_000_000_000;

/// Wei of an account that lacks nothing.
pub(crate) const RICH: u128 = 1_000_000_000_000_000_000_000;

/// Tip in quiet times, in wei per gas.
const TIP: u128 = 1_000_000;

/// The world.
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) rng: Rng,
    /// Milliseconds since its beginning.
    pub(crate) now_ms: u64,
    /// Whether anything goes wrong any more.
    pub(crate) faulty: bool,
    pub(crate) chain: Chain,
    pub(crate) accounts: Vec<Address>,
    pub(crate) lane: LaneId,
    pub(crate) store: MemoryStore,
    pub(crate) topics: Topics,
    clock: Arc<ManualClock>,
    /// Commits that will be applied, by time.
    pub(crate) late_commits: Vec<(u64, Batch)>,
    /// Offers that will reach a node, by time.
    pub(crate) late_offers: Vec<(u64, usize, PooledTx)>,
    pub(crate) callers: Callers,
    pub(crate) watch: Watch,
    pub(crate) coverage: Coverage,
    /// Why the run has failed.
    pub(crate) failure: Option<String>,
    trace: Option<Trace>,
}

impl World {
    pub(crate) fn new(plan: Plan, lane: LaneId, traced: bool) -> Self {
        let rng = Rng::new(plan.seed ^ 0x5eed_0000_0000_0000);
        let accounts: Vec<Address> = (0..plan.accounts).map(account).collect();
        let balance = if plan.poor {
            poverty(&plan)
        } else {
            U256::from(RICH)
        };
        let chain = Chain::new(Setup {
            flavour: plan.flavour,
            eip1559: plan.profile.eip1559,
            confirmations: plan.profile.required_confirmations,
            nodes: plan.nodes,
            accounts: accounts.clone(),
            balance,
            delegated: accounts
                .iter()
                .take(usize::from(plan.delegated))
                .copied()
                .collect(),
        });
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(EPOCH_MS)));
        Self {
            rng,
            now_ms: 0,
            faulty: true,
            chain,
            accounts,
            lane,
            store: MemoryStore::new(clock.clone()),
            topics: Topics::default(),
            clock,
            late_commits: Vec::new(),
            late_offers: Vec::new(),
            callers: Callers::new(&plan),
            watch: Watch::default(),
            coverage: Coverage::default(),
            failure: None,
            trace: traced.then(Trace::default),
            plan,
        }
    }

    pub(crate) fn set_time(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        self.clock.set(Timestamp::from_millis(EPOCH_MS + now_ms));
    }

    /// Whether a fault happens now.
    pub(crate) fn strikes(&mut self, fault: Fault) -> bool {
        self.strikes_times(fault, 1)
    }

    /// Whether a fault happens now, so many times as often as elsewhere.
    pub(crate) fn strikes_times(&mut self, fault: Fault, times: u64) -> bool {
        let rate = self.plan.rate(fault) * times;
        if !self.faulty || rate == 0 || !self.rng.permille(rate) {
            return false;
        }
        self.coverage.fault(fault);
        self.say(None, || format!("fault: {}", fault.name()));
        true
    }

    pub(crate) fn latency(&mut self) -> u64 {
        match self.plan.latency_ms {
            0 => 0,
            most => self.rng.below(most + 1),
        }
    }

    /// Writes a line of the trace, where one is kept.
    pub(crate) fn say(&mut self, process: Option<usize>, text: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.line(self.now_ms, process, &text());
        }
    }

    /// The run has failed, unless it had before.
    pub(crate) fn fail(&mut self, why: String) {
        self.say(None, || format!("FAILED: {why}"));
        self.failure.get_or_insert(why);
    }

    pub(crate) fn take_trace(&mut self) -> String {
        self.trace.take().map(Trace::into_text).unwrap_or_default()
    }

    /// Applies a batch, if the store takes it, and looks at what it changed.
    pub(crate) fn commit(
        &mut self,
        process: Option<usize>,
        batch: &Batch,
    ) -> Result<Committed, CommitError> {
        let lane = batch.lane.clone();
        let wakes = !batch.appends.is_empty();
        let committed = self.store.commit(batch.clone()).now_or_never();
        let committed = committed.expect("the reference model does not wait");
        match &committed {
            Ok(_) => {
                self.say(process, || describe(batch));
                self.note_commit(batch);
                if wakes && !self.strikes(Fault::WakeLost) {
                    self.topics.publish(&appended(&lane));
                }
            }
            Err(error) => {
                if matches!(error, CommitError::Fenced { .. }) {
                    self.coverage.end("fenced");
                }
                self.say(process, || format!("commit refused: {error}"));
            }
        }
        committed
    }

    /// The node that answers a question.
    pub(crate) fn node_to_ask(&mut self) -> usize {
        if self.strikes(Fault::NodeStale) {
            self.rng.index(self.chain.nodes.len())
        } else {
            self.chain.best()
        }
    }

    /// Tip of the market, in wei per gas.
    pub(crate) fn tip(&self) -> u128 {
        TIP.max(self.chain.pools.tip_floor)
    }

    /// Next nonce of an account with what a node could execute counted in.
    pub(crate) fn pending_at(&self, node: usize, account: Address) -> u64 {
        let node = &self.chain.nodes[node];
        let mined = self.chain.blocks.state(node.head, account).nonce;
        node.pool.pending(account, mined)
    }

    /// What a node shows for a nonce.
    pub(crate) fn find_at(&self, node: usize, account: Address, nonce: u64) -> Option<ObservedTx> {
        let node = &self.chain.nodes[node];
        let mined = self.chain.blocks.branch(node.head).find_map(|block| {
            let of_block = block.executed.iter().map(|executed| &executed.tx);
            let found = of_block
                .into_iter()
                .find(|tx| tx.from == account && tx.tx.nonce == nonce);
            found.map(|tx| observed(tx, Some(block.number)))
        });
        mined.or_else(|| node.pool.get(account, nonce).map(|tx| observed(tx, None)))
    }
}

/// Enough for a few transactions at a time.
fn poverty(plan: &Plan) -> U256 {
    let one = U256::from(25_000) * U256::from(crate::chain::BASE_FEE * 12);
    one * U256::from(2 + plan.seed % 3)
}

fn describe(batch: &Batch) -> String {
    let mut text = match batch.fence {
        Some(epoch) => format!("commit under {epoch}:"),
        None => "commit:".to_owned(),
    };
    for (key, value) in &batch.puts {
        let _: std::fmt::Result = write!(text, " {}", key.escape_ascii());
        if value.len() < 60 {
            let _: std::fmt::Result = write!(text, "={}", value.escape_ascii());
        }
    }
    for key in &batch.deletes {
        let _: std::fmt::Result = write!(text, " -{}", key.escape_ascii());
    }
    for value in &batch.appends {
        let _: std::fmt::Result = write!(text, " +{}", value.escape_ascii());
    }
    if let Some(trim) = batch.trim {
        let _: std::fmt::Result = write!(text, " trim {}", trim.0);
    }
    text
}
