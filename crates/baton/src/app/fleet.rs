//! This process among those that share its store: who they are, what share of a rate limit is its own, and whether the
//! store answers.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use baton_coord::{HolderId, Key};
use baton_edge::{Component, RateShare, Readiness};
use baton_engine::fleet::{Fleet, FleetOptions};
use baton_engine::{SharedClock, SharedStore};
use baton_model::LaneId;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry as Metrics;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::config::Settings;

/// How often the store is asked whether it is there.
const PULSE: Duration = Duration::from_secs(1);

/// How long the store may be silent until this process is not ready: a failover takes that long, and calls that come
/// meanwhile wait for it.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// What a store is asked: a key that is not there, in a lane that is not there.
const ASKED: &str = "fleet/pulse";

/// The name under which readiness tells of the store.
const COMPONENT: &str = "store";

/// What is shown of a fleet.
#[derive(Clone, Debug, Default)]
pub(super) struct FleetMetrics {
    instances: Gauge,
    store_up: Gauge,
}

impl FleetMetrics {
    pub(super) fn register(registry: &mut Metrics) -> Self {
        let metrics = Self::default();
        registry.register(
            "fleet_instances",
            "Live processes that share the store, as this one sees them",
            metrics.instances.clone(),
        );
        registry.register(
            "store_up",
            "1 while the shared store answers this process and takes what it writes, else 0",
            metrics.store_up.clone(),
        );
        metrics
    }
}

/// Makes this process one of those that share the store.
pub(super) fn join(
    settings: &Settings,
    store: &SharedStore,
    clock: &SharedClock,
    holder: &HolderId,
) -> Arc<Fleet> {
    let host = || {
        rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned()
    };
    let options = FleetOptions {
        holder: holder.clone(),
        name: settings.storage.instance.clone().unwrap_or_else(host),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        lease: settings.storage.lease,
    };
    Fleet::new(
        SharedStore::clone(store),
        SharedClock::clone(clock),
        options,
    )
}

/// Shows how many instances there are, and divides limits among them. Ends with `stop`.
pub(super) async fn count(
    mut instances: watch::Receiver<usize>,
    share: Option<RateShare>,
    metrics: FleetMetrics,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        let count = *instances.borrow_and_update();
        metrics
            .instances
            .set(i64::try_from(count).unwrap_or(i64::MAX));
        let parts = u32::try_from(count).ok().and_then(NonZeroU32::new);
        if let (Some(share), Some(parts)) = (&share, parts) {
            share.set(parts);
        }
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            changed = instances.changed() => if changed.is_err() { return },
        }
    }
}

/// Tells readiness whether the store answers and takes what is written. Ends with `stop`.
pub(super) async fn watch_store(
    store: SharedStore,
    fleet: Arc<Fleet>,
    readiness: Readiness,
    metrics: FleetMetrics,
    mut stop: watch::Receiver<bool>,
) {
    let lane = LaneId::new(ASKED).expect("a lane's name");
    let key = Key::from_static(ASKED.as_bytes());
    let mut ticks = interval(PULSE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut answered_at = Instant::now();
    loop {
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            _ = ticks.tick() => {}
        }
        let answer = timeout(SILENCE_MAX, store.get(&lane, &key));
        // One that answers may still take nothing: a full memory, too few replicas.
        let is_up = matches!(answer.await, Ok(Ok(_))) && fleet.is_heard();
        metrics.store_up.set(i64::from(is_up));
        if is_up {
            answered_at = Instant::now();
            readiness.set(COMPONENT, Component::healthy());
        } else if answered_at.elapsed() >= SILENCE_MAX {
            readiness.set(
                COMPONENT,
                Component::unhealthy("does not answer, or takes nothing"),
            );
        } else {
            readiness.set(
                COMPONENT,
                Component::degraded("did not answer, or took nothing, just now"),
            );
        }
    }
}
