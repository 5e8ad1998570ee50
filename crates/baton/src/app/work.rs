//! Whatever of an engine goes on by itself: lanes, the registry, and being one of several.

use std::sync::Arc;

use anyhow::Result;
use baton_edge::{RateShare, Readiness};
use baton_engine::driver::{DriverMetrics, DriverOptions};
use baton_engine::fleet::Fleet;
use baton_engine::registry::Registry;
use baton_engine::webhooks::WebhookMetrics;
use baton_engine::{SharedClock, SharedStore};
use prometheus_client::registry::Registry as Metrics;
use tokio::sync::watch as signal;
use tokio::task::{JoinHandle, JoinSet};

use super::courier::HttpCourier;
use super::fleet::{self, FleetMetrics};
use super::supervisor::{Running, Supervisor};
use super::watch::{self, LanesHeld};
use crate::config::Settings;

/// What it works on.
pub(super) struct Subject<'a> {
    pub(super) settings: &'a Settings,
    pub(super) driver: DriverOptions,
    pub(super) store: &'a SharedStore,
    pub(super) clock: &'a SharedClock,
    pub(super) registry: &'a Arc<Registry>,
    /// Whether other processes use the store too.
    pub(super) is_shared: bool,
}

/// The work of this process.
pub(super) struct Work {
    /// The supervisor of all lanes, alone.
    lanes: JoinSet<Result<()>>,
    others: JoinSet<Result<()>>,
    stop_lanes: signal::Sender<bool>,
    stop_others: signal::Sender<bool>,
    fleet: Option<Arc<Fleet>>,
    watcher: JoinHandle<()>,
    /// How it goes.
    pub(super) readiness: Readiness,
    /// This process's share of what callers may send.
    pub(super) rate_share: RateShare,
}

impl Work {
    /// Starts it all.
    pub(super) fn start(subject: Subject<'_>, metrics: &mut Metrics) -> Result<Self> {
        let Subject {
            settings,
            driver,
            store,
            clock,
            registry,
            is_shared,
        } = subject;
        let joined = is_shared.then(|| fleet::join(settings, store, clock, &driver.holder));
        let supervisor = Supervisor::new(Running {
            options: driver,
            store: SharedStore::clone(store),
            clock: SharedClock::clone(clock),
            metrics: DriverMetrics::new(metrics),
            courier: Arc::new(HttpCourier::new(settings.server.private_webhooks)?),
            webhook_metrics: WebhookMetrics::new(metrics),
            fleet: joined.clone(),
        });
        let shown = (supervisor.statuses(), registry.watch());
        let (readiness, watcher) = watch::start(shown, LanesHeld::register(metrics), is_shared);
        let mut work = Self {
            lanes: JoinSet::new(),
            others: JoinSet::new(),
            stop_lanes: signal::Sender::new(false),
            stop_others: signal::Sender::new(false),
            fleet: joined,
            watcher,
            readiness,
            rate_share: RateShare::default(),
        };
        let stopping = work.stop_lanes.subscribe();
        work.lanes.spawn(supervisor.run(registry.watch(), stopping));
        let registry = Arc::clone(registry);
        let stopping = work.stop_others.subscribe();
        work.others.spawn(async move {
            registry.run(stopping).await;
            Ok(())
        });
        work.start_fleet(settings.server.fleet_rate, store, metrics);
        Ok(work)
    }

    fn start_fleet(&mut self, divides_rate: bool, store: &SharedStore, metrics: &mut Metrics) {
        let Some(fleet) = self.fleet.clone() else {
            return;
        };
        let metrics = FleetMetrics::register(metrics);
        let stopping = self.stop_others.subscribe();
        let share = divides_rate.then(|| self.rate_share.clone());
        let counted = fleet::count(fleet.instances(), share, metrics.clone(), stopping.clone());
        let (store, readiness) = (SharedStore::clone(store), self.readiness.clone());
        let watched = fleet::watch_store(
            store,
            Arc::clone(&fleet),
            readiness,
            metrics,
            stopping.clone(),
        );
        self.others.spawn(async move {
            tokio::join!(counted, watched, fleet.run(stopping));
            Ok(())
        });
    }

    /// Ends when something is no longer run although nobody stopped it: a defect.
    pub(super) async fn broke(&mut self) -> anyhow::Error {
        let ended = tokio::select! {
            Some(ended) = self.lanes.join_next() => ended,
            Some(ended) = self.others.join_next() => ended,
            else => std::future::pending().await,
        };
        match ended {
            Ok(Err(error)) => error,
            Err(error) => anyhow::anyhow!("a part of the engine ended: {error}"),
            Ok(Ok(())) => anyhow::anyhow!("a part of the engine ended by itself"),
        }
    }

    /// Lets other processes go on with the lanes, if there are any: calls in flight are still answered here. Alone,
    /// whoever waits for a transaction needs its lane.
    pub(super) async fn hand_over(&self) {
        let others = self.fleet.as_ref();
        if let Some(fleet) = others.filter(|fleet| *fleet.instances().borrow() > 1) {
            fleet.drain().await;
            self.stop_lanes.send_replace(true);
        }
    }

    /// Ends it all in peace, the lanes first.
    pub(super) async fn end(mut self) {
        self.watcher.abort();
        self.stop_lanes.send_replace(true);
        while self.lanes.join_next().await.is_some() {}
        self.stop_others.send_replace(true);
        while self.others.join_next().await.is_some() {}
    }
}
