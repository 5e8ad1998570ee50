//! One lane under one baton: its engine, and the tasks that work for it.

use std::collections::VecDeque;
use std::sync::Arc;

use baton_coord::{Batch, CommitError, Epoch, Position};
use baton_lanes::{Alarm, Changes, Input, Lane, Offer, Output};
use baton_model::{Address, B256, Call, Classified, RequestId, Retry, Timestamp};
use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::work::{self, SignTask};
use super::{LaneContext, LaneState, broadcast, inbox};
use crate::changed_topic;

/// Answers that wait to be taken in, in batches. Tasks that bring more wait.
const INPUTS: usize = 256;

/// Batches of offers that wait for the task that sends them.
const OFFER_BATCHES: usize = 16;

/// Slots whose receipts are asked for in one question.
const LOOKUP_BATCH: usize = 256;

/// Pause before a commit that failed is repeated.
const COMMIT_RETRY: std::time::Duration = std::time::Duration::from_millis(100);

/// How often a lane's state is shown: looking through all slots for alarms is too much for every step.
const SHOW_PERIOD: std::time::Duration = std::time::Duration::from_millis(50);

/// How a commit ended.
pub(super) enum CommitEnd {
    /// Durable: the number of the stage.
    Durable(u64),
    /// The lane has another holder.
    Fenced,
    /// The store will never take it: a defect, or a damaged store.
    Refused(CommitError),
}

/// The commit under way, if any.
#[derive(Default)]
pub(super) struct Commits(JoinSet<CommitEnd>);

/// One lane under one baton.
pub(super) struct Session {
    context: Arc<LaneContext>,
    epoch: Epoch,
    pub(super) lane: Lane,
    now: Timestamp,
    /// Work that brings inputs. Ends with the session.
    tasks: JoinSet<()>,
    inputs: mpsc::Sender<Vec<Input>>,
    offers: mpsc::Sender<Vec<Offer>>,
    backlog: VecDeque<Offer>,
    queued: watch::Sender<usize>,
    asked: Asked,
    shown_at: Option<Instant>,
}

/// What one round of outputs asks for, gathered so that it is asked together.
#[derive(Default)]
struct Asked {
    signatures: Vec<SignTask>,
    estimates: Vec<(RequestId, Address, Call)>,
    lookups: Vec<(Address, u64, Vec<B256>)>,
}

impl Session {
    pub(super) fn start(
        context: &Arc<LaneContext>,
        epoch: Epoch,
        lane: Lane,
    ) -> (Self, mpsc::Receiver<Vec<Input>>) {
        let (inputs, received) = mpsc::channel(INPUTS);
        let (offers, offered) = mpsc::channel(OFFER_BATCHES);
        let (queued, _) = watch::channel(0);
        let mut session = Self {
            context: Arc::clone(context),
            epoch,
            lane,
            now: context.clock.now(),
            tasks: JoinSet::new(),
            inputs,
            offers,
            backlog: VecDeque::new(),
            queued,
            asked: Asked::default(),
            shown_at: None,
        };
        let chain = Arc::clone(&context.relayer.network.chain);
        session
            .tasks
            .spawn(broadcast::broadcast(chain, offered, session.inputs.clone()));
        (session, received)
    }

    /// Reads the inbox from where the lane stands; ends only with an error.
    pub(super) fn inbox(&self) -> impl Future<Output = super::load::LoadError> + use<> {
        inbox::read_inbox(
            Arc::clone(&self.context.store),
            self.context.relayer.lane(),
            Position(self.lane.summary().inbox),
            self.queued.subscribe(),
            self.inputs.clone(),
        )
    }

    /// The time, never earlier than before.
    pub(super) fn now(&mut self) -> Timestamp {
        self.now = self.now.max(self.context.clock.now());
        self.now
    }

    pub(super) fn handle(&mut self, inputs: impl IntoIterator<Item = Input>) {
        let now = self.now();
        for input in inputs {
            self.lane.handle(input, now);
        }
    }

    /// Does what the lane wants done, and starts the next commit if none is under way.
    pub(super) fn act(&mut self, commits: &mut Commits) {
        while let Some(output) = self.lane.poll_output() {
            self.dispatch(output);
        }
        self.ask();
        if commits.0.is_empty()
            && let Some(changes) = self.lane.poll_commit()
        {
            self.start_commit(changes, commits);
        }
        self.send_offers();
        self.queued.send_if_modified(|queued| {
            let now = self.lane.queued();
            std::mem::replace(queued, now) != now
        });
    }

    fn dispatch(&mut self, output: Output) {
        let chain = || Arc::clone(&self.context.relayer.network.chain);
        match output {
            Output::Survey => {
                let accounts = self.context.relayer.accounts.clone();
                let work = work::survey(chain(), accounts);
                self.spawn(work);
            }
            Output::Lookup {
                account,
                nonce,
                hashes,
            } => {
                self.asked.lookups.push((account, nonce, hashes));
            }
            Output::Observe { account, nonce } => {
                let chain_id = self.context.relayer.network.profile.chain_id;
                let work = work::observe(chain(), account, nonce, chain_id);
                self.spawn(work);
            }
            Output::Estimate { id, from, call } => self.asked.estimates.push((id, from, call)),
            Output::Sign {
                ticket,
                account,
                tx,
            } => {
                let signer = self.context.signers.iter().find(|s| s.address() == account);
                if let Some(signer) = signer.map(Arc::clone) {
                    self.asked.signatures.push(SignTask { ticket, signer, tx });
                }
            }
            Output::Broadcast(offer) => self.backlog.push_back(offer),
            Output::FetchMarket => {
                let work = work::market(chain());
                self.spawn(work);
            }
            Output::Status { id, status } => {
                tracing::debug!(%id, status = status.as_str(), "request");
                self.context.status.count_status(status);
            }
            Output::Alarm(alarm) => self.alarm(&alarm),
        }
    }

    fn alarm(&self, alarm: &Alarm) {
        let relayer = &self.context.relayer.id;
        tracing::warn!(relayer_id = %relayer, alarm = alarm.name(), "{alarm}");
        self.context.status.count_alarm(alarm.name());
    }

    fn ask(&mut self) {
        let chain = Arc::clone(&self.context.relayer.network.chain);
        let Asked {
            signatures,
            estimates,
            mut lookups,
        } = std::mem::take(&mut self.asked);
        if !signatures.is_empty() {
            self.spawn(work::sign(signatures));
        }
        if !estimates.is_empty() {
            self.spawn(work::estimate(Arc::clone(&chain), estimates));
        }
        while !lookups.is_empty() {
            let rest = lookups.split_off(lookups.len().min(LOOKUP_BATCH));
            self.spawn(work::look_up(
                Arc::clone(&chain),
                std::mem::replace(&mut lookups, rest),
            ));
        }
    }

    fn spawn(&mut self, work: impl Future<Output = Vec<Input>> + Send + 'static) {
        while self.tasks.try_join_next().is_some() {}
        let inputs = self.inputs.clone();
        self.tasks.spawn(async move {
            let batch = work.await;
            // The session has ended: nobody needs the answer.
            let _: Result<(), _> = inputs.send(batch).await;
        });
    }

    fn send_offers(&mut self) {
        while !self.backlog.is_empty() {
            let Ok(permit) = self.offers.try_reserve() else {
                return;
            };
            let count = self.backlog.len().min(broadcast::BATCH);
            permit.send(self.backlog.drain(..count).collect());
        }
    }

    /// Whether offers wait for room; [`Session::act`] has to be called again once there is some.
    pub(super) fn has_backlog(&self) -> bool {
        !self.backlog.is_empty()
    }

    fn start_commit(&self, changes: Changes, commits: &mut Commits) {
        let stage = changes.stage;
        let mut batch = Batch::new(self.context.relayer.lane()).fenced(self.epoch);
        batch.puts = changes
            .puts
            .into_iter()
            .map(|(k, v)| (k.into(), Bytes::from(v)))
            .collect();
        batch.deletes = changes.deletes.into_iter().map(Bytes::from).collect();
        batch.trim = changes.trim.map(Position);
        let context = Arc::clone(&self.context);
        commits
            .0
            .spawn(async move { commit(&context, batch, stage).await });
        let in_flight = self.lane.in_flight();
        let counts = &self.lane.summary().counts;
        self.context
            .status
            .show_counts(counts, self.lane.queued(), in_flight);
    }

    /// Shows where the lane stands, every now and then.
    pub(super) fn show(&mut self) {
        if self.shown_at.is_some_and(|at| at.elapsed() < SHOW_PERIOD) {
            return;
        }
        self.shown_at = Some(Instant::now());
        let alarms = self.lane.alarms();
        self.context.status.set(if !self.lane.is_reconciled() {
            LaneState::Starting
        } else if alarms.is_empty() {
            LaneState::Running
        } else {
            LaneState::Alarmed(alarms.iter().map(ToString::to_string).collect())
        });
    }
}

impl Commits {
    /// The end of the commit under way; pending while there is none.
    pub(super) async fn next(&mut self) -> CommitEnd {
        match self.0.join_next().await {
            Some(Ok(end)) => end,
            Some(Err(error)) => {
                let reason = format!("the commit task ended: {error}");
                CommitEnd::Refused(CommitError::Unknown { reason })
            }
            None => std::future::pending().await,
        }
    }

    /// Waits for the commit under way, so that nothing is left half told when the baton is given back.
    pub(super) async fn finish(mut self) {
        while self.0.join_next().await.is_some() {}
    }
}

/// Commits, for as long as it takes: under the lane's fence the same batch has the same effect once or twice.
async fn commit(context: &LaneContext, batch: Batch, stage: u64) -> CommitEnd {
    let started = Instant::now();
    loop {
        let error = match context.store.commit(batch.clone()).await {
            Ok(_) => break,
            Err(CommitError::Fenced { .. }) => return CommitEnd::Fenced,
            Err(error) if error.retry() == Retry::Never => return CommitEnd::Refused(error),
            Err(error) => error,
        };
        tracing::warn!(lane = %batch.lane, %error, "cannot commit; trying again");
        context.status.count_retried_commit();
        tokio::time::sleep(COMMIT_RETRY).await;
    }
    context
        .status
        .observe_commit(started.elapsed().as_secs_f64());
    if let Err(error) = context.store.publish(&changed_topic(&batch.lane)).await {
        tracing::debug!(%error, "a wake-up was lost");
    }
    CommitEnd::Durable(stage)
}
