//! Runs a lane for each relayer that is registered, and follows each network that one works on.
//!
//! A lane whose relayer changed is stopped, hands its baton back with everything durable, and starts again under the
//! new rules. A lane that ends by itself is a defect, and ends the process.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Result, bail};
use baton_engine::driver::{DriverMetrics, DriverOptions, LaneContext, LaneStatus, run_lane};
use baton_engine::fleet::Fleet;
use baton_engine::registry::{Line, Served, Snapshot};
use baton_engine::webhooks::{Courier, LaneHooks, WebhookMetrics};
use baton_engine::{SharedClock, SharedStore};
use baton_model::RelayerId;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

/// What all lanes have in common.
pub(super) struct Running {
    pub(super) options: DriverOptions,
    pub(super) store: SharedStore,
    pub(super) clock: SharedClock,
    pub(super) metrics: DriverMetrics,
    pub(super) courier: Arc<dyn Courier>,
    pub(super) webhook_metrics: WebhookMetrics,
    /// The others that share the store; `None` where there are none.
    pub(super) fleet: Option<Arc<Fleet>>,
}

/// The lanes of this process, for whoever shows how they are.
pub(super) type Statuses = Vec<Arc<LaneStatus>>;

/// Runs what is registered.
pub(super) struct Supervisor {
    running: Arc<Running>,
    lanes: BTreeMap<RelayerId, Kept>,
    lane_tasks: JoinSet<()>,
    followed: Vec<Followed>,
    follower_tasks: JoinSet<()>,
    statuses: watch::Sender<Statuses>,
}

/// A lane that is kept running.
struct Kept {
    /// What it is to run as; nothing ends it.
    wanted: watch::Sender<Option<Arc<Served>>>,
    status: Arc<LaneStatus>,
}

struct Followed {
    line: Arc<Line>,
    stop: watch::Sender<bool>,
}

impl Supervisor {
    pub(super) fn new(running: Running) -> Self {
        Self {
            running: Arc::new(running),
            lanes: BTreeMap::new(),
            lane_tasks: JoinSet::new(),
            followed: Vec::new(),
            follower_tasks: JoinSet::new(),
            statuses: watch::Sender::default(),
        }
    }

    /// The lanes as they come and go.
    pub(super) fn statuses(&self) -> watch::Receiver<Statuses> {
        self.statuses.subscribe()
    }

    /// Runs what is registered until `stop` is true; then ends it all in peace.
    ///
    /// # Errors
    /// When something ended by itself.
    pub(super) async fn run(
        mut self,
        mut snapshots: watch::Receiver<Arc<Snapshot>>,
        mut stop: watch::Receiver<bool>,
    ) -> Result<()> {
        let outcome = loop {
            let snapshot = Arc::clone(&snapshots.borrow_and_update());
            self.apply(&snapshot);
            let ended = tokio::select! {
                biased;
                () = stopped(&mut stop) => break Ok(()),
                Some(ended) = self.lane_tasks.join_next() => self.was_ended(ended),
                Some(ended) = self.follower_tasks.join_next() => ended.map_err(Into::into),
                Ok(()) = snapshots.changed() => Ok(()),
                else => break Ok(()),
            };
            if ended.is_err() {
                break ended;
            }
        };
        for lane in self.lanes.values() {
            lane.wanted.send_replace(None);
        }
        while self.lane_tasks.join_next().await.is_some() {}
        for followed in &self.followed {
            followed.stop.send_replace(true);
        }
        while self.follower_tasks.join_next().await.is_some() {}
        outcome
    }

    fn apply(&mut self, snapshot: &Snapshot) {
        self.follow(snapshot);
        if let Some(fleet) = &self.running.fleet {
            let served = snapshot.served.iter();
            fleet.set_lanes(served.map(|served| served.relayer.lane()).collect());
        }
        for served in &snapshot.served {
            let id = &served.relayer.id;
            match self.lanes.get(id) {
                Some(lane) => {
                    lane.wanted.send_replace(Some(Arc::clone(served)));
                }
                None => self.start(served),
            }
        }
        let is_served = |id: &RelayerId| snapshot.relayer(id.as_str()).is_some();
        self.lanes.retain(|id, lane| {
            let stays = is_served(id);
            if !stays {
                tracing::info!(relayer_id = %id, "its lane is given up here");
                lane.wanted.send_replace(None);
            }
            stays
        });
        let statuses = self.lanes.values().map(|lane| Arc::clone(&lane.status));
        self.statuses.send_replace(statuses.collect());
    }

    fn start(&mut self, served: &Arc<Served>) {
        let id = served.relayer.id.clone();
        let status = Arc::new(LaneStatus::new(id.clone(), self.running.metrics.clone()));
        let (wanted, watched) = watch::channel(Some(Arc::clone(served)));
        let running = Arc::clone(&self.running);
        self.lane_tasks
            .spawn(keep(running, Arc::clone(&status), watched));
        self.lanes.insert(id, Kept { wanted, status });
    }

    /// Follows what is new before its lanes start, and leaves what nobody works on any more.
    fn follow(&mut self, snapshot: &Snapshot) {
        for served in &snapshot.served {
            let line = &served.line;
            if self.followed.iter().any(|one| Arc::ptr_eq(&one.line, line)) {
                continue;
            }
            let (stop, stopping) = watch::channel(false);
            let follower = Arc::clone(&line.follower);
            self.follower_tasks
                .spawn(async move { follower.run(stopping).await });
            self.followed.push(Followed {
                line: Arc::clone(line),
                stop,
            });
        }
        self.followed.retain(|followed| {
            let mut lines = snapshot.served.iter().map(|served| &served.line);
            let stays = lines.any(|line| Arc::ptr_eq(line, &followed.line));
            if !stays {
                followed.stop.send_replace(true);
            }
            stays
        });
    }

    /// A lane may end only when nobody wants it any more.
    fn was_ended(&self, ended: Result<(), JoinError>) -> Result<()> {
        ended?;
        let unwanted = self.lanes.iter().find(|(_, lane)| lane.wanted.is_closed());
        match unwanted {
            Some((id, _)) => bail!("the lane of relayer {id} ended by itself"),
            None => Ok(()),
        }
    }
}

/// Runs a lane, and starts it anew when it is to run as something else. Ends when it is not to run, or when it ended by
/// itself.
async fn keep(
    running: Arc<Running>,
    status: Arc<LaneStatus>,
    mut wanted: watch::Receiver<Option<Arc<Served>>>,
) {
    loop {
        let Some(served) = wanted.borrow_and_update().clone() else {
            return;
        };
        let context = Arc::new(LaneContext {
            relayer: served.relayer.clone(),
            signers: served.signers.clone(),
            store: SharedStore::clone(&running.store),
            clock: SharedClock::clone(&running.clock),
            follower: Arc::clone(&served.line.follower),
            status: Arc::clone(&status),
            options: running.options.clone(),
            hooks: hooks(&running, &served),
            fleet: running.fleet.clone(),
        });
        let (stop, stopping) = watch::channel(false);
        let mut lane = std::pin::pin!(run_lane(context, stopping));
        loop {
            tokio::select! {
                biased;
                changed = wanted.changed() => {
                    let is_same = changed.is_ok() && runs_alike(&served, wanted.borrow().as_ref());
                    if !is_same {
                        stop.send_replace(true);
                        lane.as_mut().await;
                        break;
                    }
                }
                () = lane.as_mut() => return,
            }
        }
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // Nobody can stop it any more: the process is ending anyway.
    let _: Result<(), _> = stop.wait_for(|stop| *stop).await.map(drop);
}

fn hooks(running: &Running, served: &Served) -> Option<LaneHooks> {
    let notification = served.notification.as_ref()?;
    Some(LaneHooks {
        notification: Arc::clone(notification),
        courier: Arc::clone(&running.courier),
        metrics: running.webhook_metrics.clone(),
    })
}

/// Whether a lane need not notice the difference.
fn runs_alike(now: &Served, wanted: Option<&Arc<Served>>) -> bool {
    let Some(wanted) = wanted else { return false };
    let mut pairs = now.signers.iter().zip(&wanted.signers);
    Arc::ptr_eq(&now.line, &wanted.line)
        && now.relayer.policy == wanted.relayer.policy
        && now.relayer.paused == wanted.relayer.paused
        && now.relayer.accounts == wanted.relayer.accounts
        && now.notification == wanted.notification
        && pairs.all(|(one, other)| Arc::ptr_eq(one, other))
}
