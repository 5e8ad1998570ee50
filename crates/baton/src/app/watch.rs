//! Tells readiness how the lanes are.

use std::sync::Arc;
use std::time::Duration;

use baton_edge::{Component, Readiness};
use baton_engine::driver::{LaneState, LaneStatus};
use tokio::task::JoinHandle;

/// How often: a load balancer asks every few seconds.
const PERIOD: Duration = Duration::from_millis(100);

/// Keeps readiness up to date until the task is ended. Every lane has to have been compared with
/// its chain once before the process is ready; later, a lane that cannot run makes it unready, and
/// one with an alarm only degraded: what it accepts is durable, and held.
pub(super) fn start(lanes: Vec<Arc<LaneStatus>>) -> (Readiness, JoinHandle<()>) {
    let names: Vec<String> = lanes
        .iter()
        .map(|lane| format!("lane/{}", lane.relayer()))
        .collect();
    let readiness = Readiness::expecting(names.iter().map(String::as_str));
    let watched = readiness.clone();
    let task = tokio::spawn(async move {
        let mut period = tokio::time::interval(PERIOD);
        loop {
            period.tick().await;
            for (name, lane) in names.iter().zip(&lanes) {
                watched.set(name, component(&lane.state()));
            }
        }
    });
    (readiness, task)
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
