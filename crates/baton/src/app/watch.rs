//! Tells readiness how the lanes are.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use baton_edge::{Component, Readiness};
use baton_engine::driver::{LaneState, LaneStatus};
use baton_engine::registry::Snapshot;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::supervisor::Statuses;

/// How often: a load balancer asks every few seconds.
const PERIOD: Duration = Duration::from_millis(100);

/// Keeps readiness up to date until the task is ended. Every lane has to have been compared with
/// its chain once before the process is ready; later, a lane that cannot run makes it unready, and
/// one with an alarm only degraded: what it accepts is durable, and held. A relayer that cannot be
/// served here at all is told of, and the others go on.
pub(super) fn start(
    statuses: watch::Receiver<Statuses>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
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
            let components = components(&statuses.borrow(), &snapshots.borrow());
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

fn components(lanes: &[Arc<LaneStatus>], snapshot: &Snapshot) -> Vec<(String, Component)> {
    let mut all: Vec<_> = lanes
        .iter()
        .map(|lane| (name(lane.relayer()), component(&lane.state())))
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

fn component(state: &LaneState) -> Component {
    match state {
        LaneState::Waiting => Component::unhealthy("waiting for its baton"),
        LaneState::Starting => Component::unhealthy("being compared with the chain"),
        LaneState::Running => Component::healthy(),
        LaneState::Alarmed(alarms) => Component::degraded(alarms.join("; ")),
        LaneState::Failed(_) => Component::unhealthy("cannot run; the log says why"),
    }
}
