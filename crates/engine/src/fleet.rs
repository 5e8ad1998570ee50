//! Who runs which lane: the processes that share a store tell each other what they hold and want, and each works out
//! from that which lanes it asks for and which it gives up.
//!
//! - Each instance has a beat in the store, which it writes four times per lease, and says what it holds and wants
//!   whenever that changes (`record`). It reads all beats as often. Another lives for as long as its beat changes, by
//!   the reader's own clock (`sight`); clocks of different machines are never compared.
//! - What follows from that is a pure function (`plan`): equal shares, and nothing moves that need not. An instance
//!   asks for what is free and assigned to it. It gives up what it holds beyond its share, once the one to whom it is
//!   assigned says that it wants it.
//! - None of this decides who runs a lane: the lease does. Whoever sees the others wrongly or late asks in vain or
//!   waits for nothing, which costs commands and time. A lane that nobody has held for one and a half leases is asked
//!   for by everybody, whatever their plans say.
//! - Topic `fleet` is published when others should look at once: one of them has to give something up, or somebody
//!   leaves. Topic `released/<lane>` is published when a baton was given back: whoever waits for it asks at once.

mod plan;
mod record;
mod rounds;
mod seat;
mod sight;
mod state;
#[cfg(test)]
mod tests;
mod view;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use baton_coord::{Epoch, HolderId, StoreError, Wakeups};
use baton_model::{LaneId, Timestamp};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{Instant, timeout};

use crate::{SharedClock, SharedStore};
use record::InstanceId;
use rounds::Told;
use sight::Sight;
use state::State;

pub(crate) use seat::Seat;
pub(crate) use state::Order;

/// Longest wait for one answer of the store: whoever does not answer for so long does not answer this time.
const OP_MAX: Duration = Duration::from_secs(2);
/// Longest time for which giving up lanes may wait for the others to be told of it.
const DRAIN_MAX: Duration = Duration::from_millis(200);
/// Batons asked for at the same time: a process that takes over thousands of lanes leaves the store room for others.
const ASKING_MAX: usize = 64;

/// Who this process is to the others.
#[derive(Clone, Debug)]
pub struct FleetOptions {
    /// Who it is to the leases.
    pub holder: HolderId,
    /// What it is called, for people.
    pub name: String,
    /// The release that it runs, for people.
    pub version: String,
    /// How long a baton lasts without renewal, as its lanes hold them.
    pub lease: Duration,
}

/// What one instance tells of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceView {
    /// Its id: who it is to the leases.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// The release that it runs.
    pub version: String,
    /// When it started, by its own clock.
    pub started_at: Timestamp,
    /// When it last told of itself, by its own clock.
    pub beat_at: Timestamp,
    /// Rises with every time that it tells of itself: an instance lives while this changes.
    pub sequence: u64,
    /// How long its batons last without renewal.
    pub lease: Duration,
    /// Whether it is giving up its lanes.
    pub is_draining: bool,
    /// The lanes that it holds.
    pub holds: Vec<HeldLane>,
    /// The lanes that it asks for.
    pub wants: Vec<LaneId>,
    /// The lanes that could not run on it lately.
    pub shuns: Vec<LaneId>,
    /// Why what it told cannot be read in full, as when a newer release wrote it.
    pub unreadable: Option<String>,
}

/// A lane that an instance holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldLane {
    /// Which.
    pub lane: LaneId,
    /// Under which epoch.
    pub epoch: Epoch,
    /// Since when, by the instance's clock.
    pub since: Timestamp,
}

/// This process among those that share its store.
pub struct Fleet {
    store: SharedStore,
    clock: SharedClock,
    options: FleetOptions,
    me: InstanceId,
    started_at: Timestamp,
    state: Mutex<State>,
    /// What was told last; locked while it is told.
    told: tokio::sync::Mutex<Told>,
    /// Something changed here that the others are to know, or that needs a decision.
    changed: Notify,
    instances: watch::Sender<usize>,
    /// Permits for questions for batons.
    asking: Semaphore,
    /// Whether the others could not be looked at the last time.
    is_blind: AtomicBool,
    /// Whether the others could not be told anything the last time.
    is_mute: AtomicBool,
    /// Sequence of the last beat that was acknowledged, 0 before one was.
    acknowledged: AtomicU64,
    /// When it was last looked whether that beat is still there.
    examined: tokio::sync::Mutex<Option<Instant>>,
}

impl Fleet {
    /// A member that nobody knows of before [`Fleet::run`].
    pub fn new(store: SharedStore, clock: SharedClock, options: FleetOptions) -> Arc<Self> {
        let me = InstanceId::of(&options.holder);
        let sight = Sight::new(me.clone(), options.lease);
        Arc::new(Self {
            state: Mutex::new(State::new(me.clone(), options.lease, sight)),
            started_at: clock.now(),
            store,
            clock,
            options,
            me,
            told: tokio::sync::Mutex::default(),
            changed: Notify::new(),
            instances: watch::Sender::new(1),
            asking: Semaphore::new(ASKING_MAX),
            is_blind: AtomicBool::new(false),
            is_mute: AtomicBool::new(false),
            acknowledged: AtomicU64::new(0),
            examined: tokio::sync::Mutex::default(),
        })
    }

    /// Beats, looks at the others and decides, until `stop` is true; then withdraws. The lanes are to have ended by
    /// then: without this they are told nothing any more.
    pub async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        tokio::select! {
            biased;
            // Nobody can stop it any more: the process is ending anyway.
            _ = stop.wait_for(|stop| *stop) => {}
            never = self.rounds() => match never {},
        }
        self.withdraw().await;
    }

    /// Tells the others that this process is about to give up its lanes, so that they are ready to take them, and takes
    /// none any more. Ends after 200 ms at most, whether they were told or not.
    pub async fn drain(&self) {
        self.lock().drain();
        self.decide();
        if timeout(DRAIN_MAX, self.tell()).await.is_err() {
            tracing::warn!("the others could not be told in time that this instance stops");
        }
    }

    /// The lanes that this process could run: of all relayers that it has.
    pub fn set_lanes(&self, lanes: BTreeSet<LaneId>) {
        self.lock().set_lanes(lanes);
        self.changed.notify_one();
    }

    /// Live instances, this one included: at least 1.
    pub fn instances(&self) -> watch::Receiver<usize> {
        self.instances.subscribe()
    }

    /// Whether the store took the last that this instance told of itself.
    pub fn is_heard(&self) -> bool {
        !self.is_mute.load(Ordering::Relaxed)
    }

    /// What all instances told of themselves, read without being one of them; by their ids. Those that died lately are
    /// among them: the [`InstanceView::sequence`] of one that lives changes within its lease.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn view(store: &SharedStore) -> Result<Vec<InstanceView>, StoreError> {
        view::read(store).await
    }

    /// A place for the task of a lane.
    pub(crate) fn seat(self: &Arc<Self>, lane: &LaneId) -> Seat {
        let orders = self.lock().orders_for(lane);
        self.changed.notify_one();
        Seat::new(Arc::clone(self), lane.clone(), orders)
    }

    fn took(&self, lane: &LaneId, epoch: Epoch) {
        let since = self.clock.now();
        self.lock().took(lane, epoch, since, Instant::now());
        self.changed.notify_one();
    }

    fn gave(&self, lane: &LaneId) {
        self.lock().gave(lane, Instant::now());
        self.changed.notify_one();
    }

    fn failed(&self, lane: &LaneId) {
        self.lock().failed(lane, Instant::now());
        self.changed.notify_one();
    }

    fn refused(&self, lane: &LaneId, holder: &HolderId) {
        let holder = InstanceId::of(holder);
        self.lock().refused(lane, &holder, Instant::now());
        self.changed.notify_one();
    }

    fn leave(&self, lane: &LaneId) {
        self.lock().leave(lane);
        self.changed.notify_one();
    }

    fn decide(&self) {
        self.lock().decide(Instant::now());
    }

    /// Hears a topic, if the store lets it in time.
    async fn listen(&self, topic: &str) -> Option<Box<dyn Wakeups>> {
        let heard = timeout(self.op_max(), self.store.subscribe(topic)).await;
        heard.ok()?.ok()
    }

    /// Wakes the others. Losing it costs them time only.
    async fn publish(&self, topic: &str) {
        let told = timeout(self.op_max(), self.store.publish(topic)).await;
        if !matches!(told, Ok(Ok(()))) {
            tracing::debug!(topic, "a wake-up was lost");
        }
    }

    /// A look or a beat that takes longer than half a lease has come too late.
    fn op_max(&self) -> Duration {
        OP_MAX.min(self.options.lease / 2)
    }

    /// Says that something does not work, or works again, once.
    fn note(&self, fails: &AtomicBool, what: &str, outcome: Result<(), String>) {
        let instance = &self.me;
        let failed = fails.swap(outcome.is_err(), Ordering::Relaxed);
        match outcome {
            Err(error) if !failed => {
                tracing::warn!(%instance, error, "cannot {what}: what was decided stays");
            }
            Ok(()) if failed => tracing::info!(%instance, "can {what} again"),
            Ok(()) | Err(_) => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock can be left half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
