//! One lane under one baton: its engine, and the tasks that work for it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use baton_coord::Position;
use baton_lanes::record::RequestRecord;
use baton_lanes::{Alarm, Command, Input, Lane, Output, Ticket};
use baton_model::{Address, Call, RequestId, Timestamp, UnsignedTx};
use futures_util::stream;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::commit::Commits;
use super::inbox::{Inbox, Load};
use super::load::LoadError;
use super::tasks::{Offers, Tasks};
use super::times::Times;
use super::work::{self, LookupTask, SignTask};
use super::{LaneContext, LaneState, broadcast};

/// Pages of the inbox that wait to be taken in.
const PAGES: usize = 1;

/// Signatures asked for by one task: several tasks use several cores.
const SIGN_BATCH: usize = 64;

/// Inputs taken in between two commits, each receipt of a block being one. One changes eight records at most, and all
/// changes have to fit into one batch ([`baton_coord::BATCH_OPS_MAX`]) with those that a lane puts off by itself.
const GATHER_MAX: usize = 1024;

/// Bytes of calls and signed transactions taken in between two commits. A byte of a call stands eight times in the
/// records of its request and slot, which have to fit into one batch ([`baton_coord::BATCH_BYTES_MAX`]).
const GATHER_BYTES_MAX: usize = 1 << 20;

/// How often a lane's state is shown: looking for alarms is too much for every step.
const SHOW_PERIOD: Duration = Duration::from_millis(50);

/// How often figures that need a look at every request and slot are taken.
const FIGURES_PERIOD: Duration = Duration::from_secs(1);

/// How long a lane with nothing to do sleeps: it is woken by whatever comes.
const IDLE: Duration = Duration::from_secs(30);

/// One lane under one baton.
pub(super) struct Session {
    context: Arc<LaneContext>,
    pub(super) lane: Lane,
    now: Timestamp,
    pub(super) tasks: Tasks,
    pub(super) offers: Offers,
    load: watch::Sender<Load>,
    asked: Asked,
    market: MarketTask,
    /// What has come and is not taken in yet.
    arrived: VecDeque<Input>,
    gathered: Load,
    times: Times,
    tick_at: Option<Instant>,
    show_at: Instant,
    figures_at: Instant,
    /// Whether something happened since the state was last shown.
    unshown: bool,
}

/// Where the answers come.
pub(super) struct Received {
    pub(super) answers: mpsc::Receiver<Vec<Input>>,
    pub(super) inbox: mpsc::Receiver<Result<Vec<Input>, LoadError>>,
}

/// What one round of outputs asks for, gathered so that it is asked together.
#[derive(Default)]
struct Asked {
    signatures: Vec<SignTask>,
    estimates: Vec<(RequestId, Address, Call)>,
    lookups: Vec<LookupTask>,
    observations: Vec<(Address, u64)>,
}

/// The question for the fee market. A lane asks with every block, nodes may take longer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum MarketTask {
    Idle,
    Asked,
    /// Asked, and wanted again since.
    Again,
}

impl Session {
    pub(super) fn start(context: &Arc<LaneContext>, lane: Lane) -> (Self, Received) {
        let (mut tasks, answers) = Tasks::new();
        let (offers, offered) = Offers::new();
        let (entries, inbox) = mpsc::channel(PAGES);
        let (load, watched) = watch::channel(Load::default());
        let chain = Arc::clone(&context.relayer.network.chain);
        let reader = Inbox {
            store: Arc::clone(&context.store),
            lane: context.relayer.lane(),
            after: Position(lane.summary().inbox),
            load: watched,
            pace: context.options.pace,
        };
        let inputs = tasks.inputs().clone();
        tasks.run(broadcast::broadcast(chain, offered, inputs));
        tasks.run(reader.read(entries));
        let now = Instant::now();
        let session = Self {
            context: Arc::clone(context),
            now: context.clock.now(),
            tasks,
            offers,
            load,
            asked: Asked::default(),
            market: MarketTask::Idle,
            arrived: VecDeque::new(),
            gathered: Load::default(),
            times: Times::of(&lane),
            tick_at: None,
            show_at: now,
            figures_at: now,
            unshown: true,
            lane,
        };
        (session, Received { answers, inbox })
    }

    /// Takes in what has come, as far as there is room, does what the lane wants done, and starts the next commit if
    /// none is under way. Must only be called while the baton is held.
    pub(super) fn act(&mut self, commits: &mut Commits) {
        loop {
            self.take_in();
            self.tick();
            while let Some(output) = self.lane.poll_output() {
                self.dispatch(output);
            }
            self.ask();
            if commits.is_idle() && commits.due_at() <= Instant::now() {
                self.gathered = Load::default();
                if let Some(changes) = self.lane.poll_commit() {
                    commits.start(changes);
                }
            }
            if self.arrived.is_empty() || !self.has_room() {
                break;
            }
        }
        self.offers.send();
        self.show();
        let (queued, bytes) = (self.lane.queued(), self.load.borrow().bytes);
        self.set_load(Load { queued, bytes });
    }

    /// Whether more may be taken in before the commit under way has ended.
    pub(super) const fn has_room(&self) -> bool {
        self.gathered.queued < GATHER_MAX && self.gathered.bytes < GATHER_BYTES_MAX
    }

    /// Takes in what happened.
    pub(super) fn arrive(&mut self, inputs: impl IntoIterator<Item = Input>) {
        self.arrived.extend(inputs);
    }

    /// Takes in what cannot wait: the end of a commit.
    pub(super) fn handle(&mut self, input: Input) {
        let now = self.now();
        if matches!(input, Input::Market(_)) {
            self.market_answered();
        }
        self.times.note_input(&input, &self.context.status);
        self.lane.handle(input, now);
        self.unshown = true;
    }

    /// Removes the records of finished requests.
    pub(super) fn forget(&mut self, records: &[RequestRecord]) {
        for record in records {
            self.lane.forget(record);
        }
        self.gathered.queued += records.len();
    }

    /// When [`Session::act`] has to be called again, whatever happens.
    pub(super) fn wake_at(&self) -> Instant {
        let tick_at = self.tick_at.filter(|_| self.has_room());
        let show_at = self.unshown.then_some(self.show_at);
        let ends = [tick_at, show_at].into_iter().flatten().min();
        ends.unwrap_or_else(|| Instant::now() + IDLE)
    }

    /// The time, never earlier than before.
    fn now(&mut self) -> Timestamp {
        self.now = self.now.max(self.context.clock.now());
        self.now
    }

    fn take_in(&mut self) {
        while self.has_room() {
            let Some(input) = self.arrived.pop_front() else {
                return;
            };
            self.gathered.queued += count(&input);
            self.gathered.bytes += weight(&input);
            self.handle(input);
        }
    }

    /// Lets the lane look at its clocks when it is time, however much else there is to do.
    fn tick(&mut self) {
        let instant = Instant::now();
        if self.tick_at.is_some_and(|at| at <= instant) && self.has_room() {
            self.tick_at = None;
            self.handle(Input::Tick);
        }
        let now = self.now();
        match self.lane.poll_timeout(now) {
            Some(at) if self.tick_at.is_none() => self.tick_at = Some(instant + at.since(now)),
            Some(_) => {}
            None => self.tick_at = None,
        }
    }

    fn dispatch(&mut self, output: Output) {
        let relayer = &self.context.relayer;
        match output {
            Output::Survey => {
                let chain = Arc::clone(&relayer.network.chain);
                let work = work::survey(chain, relayer.accounts.clone());
                self.tasks.ask(stream::once(work));
            }
            Output::Lookup {
                account,
                nonce,
                hashes,
            } => {
                self.asked.lookups.push(LookupTask {
                    account,
                    nonce,
                    hashes,
                });
            }
            Output::Observe { account, nonce } => self.asked.observations.push((account, nonce)),
            Output::Estimate { id, from, call } => self.asked.estimates.push((id, from, call)),
            Output::Sign {
                ticket,
                account,
                tx,
            } => self.sign(ticket, account, tx),
            Output::Broadcast(offer) => self.offers.push(offer),
            Output::FetchMarket => self.fetch_market(),
            Output::Status { id, status } => {
                let (record, shown) = (self.lane.request(id), &self.context.status);
                self.times.note_status(id, status, record, self.now, shown);
            }
            Output::Alarm(alarm) => self.alarm(&alarm),
        }
    }

    fn sign(&mut self, ticket: Ticket, account: Address, tx: UnsignedTx) {
        let signer = self.context.signers.iter().find(|s| s.address() == account);
        match signer.map(Arc::clone) {
            Some(signer) => self.asked.signatures.push(SignTask { ticket, signer, tx }),
            // Every question needs an answer: the lane counts on it.
            None => self.arrived.push_back(Input::Signed {
                ticket,
                signed: None,
            }),
        }
    }

    fn alarm(&self, alarm: &Alarm) {
        let relayer = &self.context.relayer.id;
        tracing::warn!(relayer_id = %relayer, alarm = alarm.name(), "{alarm}");
        self.context.status.count_alarm(alarm.name());
    }

    fn fetch_market(&mut self) {
        if self.market != MarketTask::Idle {
            self.market = MarketTask::Again;
            return;
        }
        self.market = MarketTask::Asked;
        let chain = Arc::clone(&self.context.relayer.network.chain);
        self.tasks.ask(stream::once(work::market(chain)));
    }

    fn market_answered(&mut self) {
        let before = std::mem::replace(&mut self.market, MarketTask::Idle);
        if before == MarketTask::Again {
            self.fetch_market();
        }
    }

    fn ask(&mut self) {
        let chain = || Arc::clone(&self.context.relayer.network.chain);
        let (for_estimates, for_lookups, for_observations) = (chain(), chain(), chain());
        let chain_id = self.context.relayer.network.profile.chain_id;
        let asked = std::mem::take(&mut self.asked);
        for signatures in work::chunks(asked.signatures, SIGN_BATCH) {
            self.tasks.ask(work::sign(signatures));
        }
        if !asked.estimates.is_empty() {
            self.tasks
                .ask(work::estimate(for_estimates, asked.estimates));
        }
        if !asked.lookups.is_empty() {
            self.tasks.ask(work::look_up(for_lookups, asked.lookups));
        }
        if !asked.observations.is_empty() {
            self.tasks.ask(work::observe(
                for_observations,
                chain_id,
                asked.observations,
            ));
        }
    }

    /// Shows where the lane stands, every now and then.
    fn show(&mut self) {
        let now = Instant::now();
        if !self.unshown || now < self.show_at {
            return;
        }
        self.unshown = false;
        self.show_at = now + SHOW_PERIOD;
        let status = &self.context.status;
        let alarms = self.lane.alarms();
        status.set(if !self.lane.is_reconciled() {
            LaneState::Starting
        } else if alarms.is_empty() {
            LaneState::Running
        } else {
            LaneState::Alarmed(alarms.iter().map(ToString::to_string).collect())
        });
        status.show_alarms(&alarms);
        let counts = &self.lane.summary().counts;
        status.show_counts(counts, self.lane.queued(), self.lane.in_flight());
        if now >= self.figures_at {
            self.figures_at = now + FIGURES_PERIOD;
            status.show_accounts(self.lane.accounts());
            let waiting = self
                .lane
                .requests()
                .filter(|r| self.lane.slot_of(r.id).is_none());
            let oldest = waiting.map(|r| r.created_at).min();
            status.show_oldest(oldest.map_or(Duration::ZERO, |oldest| self.now.since(oldest)));
            let calls = self.lane.requests().map(|r| r.spec.call.data.len());
            let (queued, bytes) = (self.lane.queued(), calls.sum());
            self.set_load(Load { queued, bytes });
        }
    }

    fn set_load(&self, load: Load) {
        self.load
            .send_if_modified(|old| std::mem::replace(old, load) != load);
    }
}

/// How many inputs one is worth: what a block brings changes a record for each receipt.
fn count(input: &Input) -> usize {
    match input {
        Input::Mined(receipts) => receipts.len(),
        Input::Block(block) => block.mined.len().max(1),
        Input::Inbox { .. }
        | Input::Surveyed(_)
        | Input::Found { .. }
        | Input::Observed { .. }
        | Input::Estimated { .. }
        | Input::Signed { .. }
        | Input::Committed { .. }
        | Input::Answered { .. }
        | Input::Rollback { .. }
        | Input::Market(_)
        | Input::Tick => 1,
    }
}

/// How many bytes of records an input may make, as a share of [`GATHER_BYTES_MAX`].
fn weight(input: &Input) -> usize {
    match input {
        Input::Inbox { command, .. } => match command {
            Command::Accept(record) => record.spec.call.data.len(),
            Command::Replace { spec, .. } => spec.call.data.len(),
            Command::Cancel { .. } => 0,
        },
        Input::Signed { signed, .. } => signed.as_ref().map_or(0, |signed| signed.raw.len()),
        Input::Observed { transaction, .. } => transaction
            .as_ref()
            .map_or(0, |seen| seen.tx.call.data.len()),
        Input::Surveyed(_)
        | Input::Found { .. }
        | Input::Estimated { .. }
        | Input::Committed { .. }
        | Input::Answered { .. }
        | Input::Mined(_)
        | Input::Block(_)
        | Input::Rollback { .. }
        | Input::Market(_)
        | Input::Tick => 0,
    }
}
