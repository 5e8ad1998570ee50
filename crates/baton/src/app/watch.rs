//! Tells readiness how the lanes are.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use baton_edge::{Component, Readiness};
use baton_engine::driver::{LaneState, LaneStatus};
use baton_engine::registry::Snapshot;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry as Metrics;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::supervisor::Statuses;

/// How often: a load balancer asks every few seconds.
const PERIOD: Duration = Duration::from_millis(100);

/// Which lanes this process holds, as metrics.
#[derive(Clone, Debug, Default)]
pub(super) struct LanesHeld {
    lanes: Family<LaneLabels, Gauge>,
    /// What is shown.
    shown: BTreeSet<String>,
    count: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LaneLabels {
    relayer_id: String,
}

impl LanesHeld {
    pub(super) fn register(registry: &mut Metrics) -> Self {
        let held = Self::default();
        registry.register(
            "lane_held",
            "1 while this process holds the relayer's lane, else 0",
            held.lanes.clone(),
        );
        registry.register(
            "lanes_held",
            "Lanes that this process holds",
            held.count.clone(),
        );
        held
    }

    fn show(&mut self, lanes: &[Arc<LaneStatus>]) {
        let mut count = 0;
        let here: BTreeSet<String> = lanes
            .iter()
            .map(|lane| lane.relayer().to_string())
            .collect();
        for gone in self.shown.difference(&here) {
            let relayer_id = gone.clone();
            self.lanes.remove(&LaneLabels { relayer_id });
        }
        self.shown = here;
        for lane in lanes {
            let is_held = match lane.state() {
                LaneState::Waiting | LaneState::Failed(_) => false,
                LaneState::Starting | LaneState::Running | LaneState::Alarmed(_) => true,
            };
            let relayer_id = lane.relayer().to_string();
            let gauge = self.lanes.get_or_create(&LaneLabels { relayer_id });
            gauge.set(i64::from(is_held));
            count += i64::from(is_held);
        }
        self.count.set(count);
    }
}

/// Keeps readiness up to date until the task is ended. Every lane has to have been compared with its chain once before
/// the process is ready, unless another process may hold it; later, a lane that cannot run makes it unready where there
/// is no other process, and one with an alarm only degraded: what it accepts is durable, and held. A relayer that
/// cannot be served here at all is told of, and the others go on.
pub(super) fn start(
    (statuses, snapshots): (watch::Receiver<Statuses>, watch::Receiver<Arc<Snapshot>>),
    mut held: LanesHeld,
    is_shared: bool,
) -> (Readiness, JoinHandle<()>) {
    let expected: Vec<String> = {
        let snapshot = snapshots.borrow();
        let served = snapshot.served.iter();
        served.map(|one| name(&one.relayer.id)).collect()
    };
    let readiness = Readiness::expecting(expected.iter().map(String::as_str));
    let watched = readiness.clone();
    let task = tokio::spawn(async move {
        let mut shown: BTreeSet<String> = expected.into_iter().collect();
        let mut period = tokio::time::interval(PERIOD);
        loop {
            period.tick().await;
            let components = components(&statuses.borrow(), &snapshots.borrow(), is_shared);
            held.show(&statuses.borrow());
            for gone in shown
                .iter()
                .filter(|name| !components.iter().any(|(n, _)| n == *name))
            {
                watched.remove(gone);
            }
            shown = components.iter().map(|(name, _)| name.clone()).collect();
            for (name, component) in components {
                watched.set(&name, component);
            }
        }
    });
    (readiness, task)
}

fn components(
    lanes: &[Arc<LaneStatus>],
    snapshot: &Snapshot,
    is_shared: bool,
) -> Vec<(String, Component)> {
    let mut all: Vec<_> = lanes
        .iter()
        .map(|lane| (name(lane.relayer()), component(&lane.state(), is_shared)))
        .collect();
    // A lane that the supervisor has not started yet counts as not ready.
    for served in &snapshot.served {
        let name = name(&served.relayer.id);
        if !all.iter().any(|(known, _)| *known == name) {
            all.push((name, Component::unhealthy("not started")));
        }
    }
    let broken = snapshot.broken.keys();
    all.extend(broken.map(|id| {
        let component = Component::degraded("cannot be served here; the log says why");
        (format!("relayer/{id}"), component)
    }));
    all
}

fn name(relayer: &baton_model::RelayerId) -> String {
    format!("lane/{relayer}")
}

fn component(state: &LaneState, is_shared: bool) -> Component {
    match state {
        // What is accepted here is durable, and whoever has the baton goes on with it.
        LaneState::Waiting if is_shared => Component::healthy().with("held", false),
        // Another may run it. If none can, all instances would be taken away, and the other relayers with them.
        LaneState::Failed(_) if is_shared => {
            Component::degraded("cannot run here; the log says why")
        }
        LaneState::Waiting => Component::unhealthy("waiting for its baton"),
        LaneState::Starting => Component::unhealthy("being compared with the chain"),
        LaneState::Running => Component::healthy(),
        LaneState::Alarmed(alarms) => Component::degraded(alarms.join("; ")),
        LaneState::Failed(_) => Component::unhealthy("cannot run; the log says why"),
    }
}
