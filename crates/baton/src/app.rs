//! Puts a whole engine together: store, networks, lanes, listener. The only place that names
//! concrete backends.

mod networks;
mod signers;
pub(crate) mod store;
mod watch;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use baton_coord::HolderId;
use baton_coord_local::{LocalStore, SystemClock};
use baton_edge::{
    ApiKeys, ConnectionLimits, Drained, HttpMetrics, RateLimit, Readiness, RequestLimits, Stack,
    metrics_router, serve,
};
use baton_engine::driver::{
    DriverMetrics, DriverOptions, Follower, LaneContext, LaneStatus, run_lane,
};
use baton_engine::service::{Service, ServiceOptions, http};
use baton_engine::{Relayer, SharedClock, SharedStore};
use baton_model::Timestamp;
use baton_vault::keys::uuid_v4;
use prometheus_client::registry::Registry;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch as signal;
use tokio::task::{JoinHandle, JoinSet};

use crate::config::{Server, Settings};
use networks::Networks;
use signers::Signers;

/// How long a baton lasts without renewal.
const LEASE: Duration = Duration::from_secs(10);

/// How long broadcasts to slow nodes may still take when the process ends.
const CHAIN_GRACE: Duration = Duration::from_secs(2);

/// Largest request body: a transaction of 128 KiB (geth's limit) as hexadecimal in JSON, with room
/// to spare.
const BODY_BYTES_MAX: usize = 512 * 1024;

/// What is decided when the program is started, not in its configuration.
#[derive(Clone, Debug)]
pub struct AppOptions {
    /// Go on behind nonces used by unknown transactions.
    pub adopt: bool,
    /// How long a baton lasts without renewal.
    pub lease: Duration,
}

impl Default for AppOptions {
    fn default() -> Self {
        Self {
            adopt: false,
            lease: LEASE,
        }
    }
}

/// A running engine.
pub struct App {
    address: SocketAddr,
    readiness: Readiness,
    stop_serving: signal::Sender<bool>,
    stop_lanes: signal::Sender<bool>,
    servers: Vec<JoinHandle<Drained>>,
    lanes: JoinSet<()>,
    networks: Networks,
    followers: JoinSet<()>,
    watcher: JoinHandle<()>,
    store: LocalStore,
}

impl App {
    /// Opens and checks everything that can be wrong, then starts lanes and listener. Readiness
    /// follows when the lanes have been compared with their chains.
    pub async fn start(settings: Settings, options: AppOptions) -> Result<Self> {
        let clock = Arc::new(SystemClock::start());
        let listener = bind(&settings.server).await?;
        let metrics_listener = bind_metrics(&settings.server)?;
        let address = listener
            .local_addr()
            .context("the listener has no address")?;
        let local = store::open(&settings.storage.data_dir, Arc::clone(&clock)).await?;
        let store = store::seal(&settings.storage, &local).await?;
        store::check_served(&local, &settings.relayers).await?;
        let mut registry = Registry::default();
        let signers = signers::open(&settings).await?;
        networks::check_owners(&settings, &signers)?;
        let networks = Networks::start(&settings, &signers, &mut registry).await?;
        let relayers = networks.relayers(&settings, &signers)?;
        let clock: SharedClock = clock;
        let driver_metrics = DriverMetrics::new(&mut registry);
        let http_metrics = HttpMetrics::register(&mut registry);
        let (stop_lanes, stopping) = signal::channel(false);
        let mut followers = JoinSet::new();
        for follower in networks.followers() {
            let stopping = stopping.clone();
            followers.spawn(async move { follower.run(stopping).await });
        }
        let running = Running {
            options: driver_options(&settings, &options)?,
            store: SharedStore::clone(&store),
            clock: SharedClock::clone(&clock),
            metrics: driver_metrics,
        };
        let (lanes, statuses) = running.start(&relayers, &signers, &stopping)?;
        let (readiness, watcher) = watch::start(statuses);
        let relayers = relayers.into_iter().map(|(relayer, _)| relayer).collect();
        let ids = Arc::new(new_id);
        let service = Arc::new(Service::new(
            store,
            relayers,
            clock,
            ids,
            ServiceOptions::default(),
        ));
        let registry = Arc::new(registry);
        let (stop_serving, draining) = signal::channel(false);
        let parts = Parts {
            service,
            readiness: readiness.clone(),
            registry,
            http_metrics,
        };
        let listeners = (listener, metrics_listener);
        let servers = start_servers(&settings.server, listeners, parts, &draining);
        Ok(Self {
            address,
            readiness,
            stop_serving,
            stop_lanes,
            servers,
            lanes,
            networks,
            followers,
            watcher,
            store: local,
        })
    }

    /// Where the API listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends when a lane or a network is no longer run although nobody stopped it: a defect. What
    /// was accepted is durable, and the next process goes on with it.
    pub async fn broke(&mut self) -> anyhow::Error {
        let (ended, what) = tokio::select! {
            Some(ended) = self.lanes.join_next() => (ended, "a lane"),
            Some(ended) = self.followers.join_next() => (ended, "following a network"),
            else => std::future::pending().await,
        };
        match ended {
            Ok(()) => anyhow::anyhow!("{what} ended by itself"),
            Err(error) => anyhow::anyhow!("{what} ended: {error}"),
        }
    }

    /// Drains: answers what is in flight, hands the lanes over, closes the store. Returns when
    /// nothing is left.
    pub async fn stop(mut self) {
        self.readiness.start_draining();
        self.stop_serving.send_replace(true);
        for server in self.servers {
            match server.await {
                Ok(drained) => tracing::info!(?drained, "listener closed"),
                Err(error) => tracing::error!(%error, "the listener ended badly"),
            }
        }
        self.watcher.abort();
        self.stop_lanes.send_replace(true);
        while self.lanes.join_next().await.is_some() {}
        while self.followers.join_next().await.is_some() {}
        self.networks.shutdown(CHAIN_GRACE).await;
        self.store.close().await;
        tracing::info!("stopped");
    }
}

/// What all lanes have in common.
struct Running {
    options: DriverOptions,
    store: SharedStore,
    clock: SharedClock,
    metrics: DriverMetrics,
}

impl Running {
    /// Starts a lane for each relayer.
    fn start(
        &self,
        relayers: &[(Relayer, Arc<Follower>)],
        signers: &Signers,
        stopping: &signal::Receiver<bool>,
    ) -> Result<(JoinSet<()>, Vec<Arc<LaneStatus>>)> {
        let mut lanes = JoinSet::new();
        let mut statuses = Vec::new();
        for (relayer, follower) in relayers {
            let status = Arc::new(LaneStatus::new(relayer.id.clone(), self.metrics.clone()));
            statuses.push(Arc::clone(&status));
            let context = Arc::new(LaneContext {
                relayer: relayer.clone(),
                signers: signers.of(&relayer.signer_ids)?,
                store: SharedStore::clone(&self.store),
                clock: SharedClock::clone(&self.clock),
                follower: Arc::clone(follower),
                status,
                options: self.options.clone(),
            });
            lanes.spawn(run_lane(context, stopping.clone()));
        }
        Ok((lanes, statuses))
    }
}

struct Parts {
    service: Arc<Service>,
    readiness: Readiness,
    registry: Arc<Registry>,
    http_metrics: HttpMetrics,
}

fn start_servers(
    server: &Server,
    (listener, metrics_listener): (TcpListener, Option<TcpListener>),
    parts: Parts,
    draining: &signal::Receiver<bool>,
) -> Vec<JoinHandle<Drained>> {
    let stack = Stack {
        keys: Some(ApiKeys::new([(
            "API_KEY".to_owned(),
            server.api_key.expose(),
        )])),
        open_prefixes: vec!["/api/v1/health".to_owned(), "/api/v1/ready".to_owned()],
        rate: Some(RateLimit {
            per_second: server.rate_per_second,
            burst: server.rate_burst,
        }),
        limits: RequestLimits {
            concurrent: server.concurrent_requests_max.get(),
            body_bytes: BODY_BYTES_MAX,
            timeout: server.request_timeout,
        },
        metrics: Some(parts.http_metrics),
    };
    let router = http::router(parts.service, parts.readiness, Arc::clone(&parts.registry));
    let limits = ConnectionLimits {
        connections: server.connections_max.get(),
        ..ConnectionLimits::default()
    };
    let spawn = |listener, router, limits| {
        let mut draining = draining.clone();
        tokio::spawn(serve(listener, router, limits, async move {
            let _: Result<_, _> = draining.wait_for(|draining| *draining).await;
        }))
    };
    let mut servers = vec![spawn(listener, stack.wrap(router), limits)];
    if let Some(listener) = metrics_listener {
        let open = Stack::default().wrap(metrics_router(parts.registry));
        servers.push(spawn(listener, open, ConnectionLimits::default()));
    }
    servers
}

fn bind_metrics(server: &Server) -> Result<Option<TcpListener>> {
    let bind = |port| {
        listen(SocketAddr::new(server.host, port), server.backlog.get())
            .with_context(|| format!("METRICS_PORT {port}"))
    };
    server.metrics_port.map(bind).transpose()
}

async fn bind(server: &Server) -> Result<TcpListener> {
    let address = SocketAddr::new(server.host, server.port);
    listen(address, server.backlog.get())
        .with_context(|| format!("cannot listen on {address} (HOST, APP_PORT)"))
}

fn listen(address: SocketAddr, backlog: u32) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(backlog)
}

/// Opens every key that a relayer uses, and refuses those that are used twice on one chain.
pub(crate) async fn check_keys(settings: &Settings) -> Result<()> {
    let signers = signers::open(settings).await?;
    networks::check_owners(settings, &signers)
}

/// The time.
pub(crate) fn now() -> Timestamp {
    use baton_coord::Clock;
    SystemClock::start().now()
}

fn driver_options(settings: &Settings, options: &AppOptions) -> Result<DriverOptions> {
    let unique = uuid_v4().context("no randomness from the operating system")?;
    if options.lease < Duration::from_secs(1) {
        bail!(
            "a lease of {:?} is shorter than a second: a pause of the process would lose it",
            options.lease
        );
    }
    Ok(DriverOptions {
        holder: HolderId(format!(
            "{}-{}-{unique}",
            rustix::system::uname().nodename().to_string_lossy(),
            std::process::id()
        )),
        lease: options.lease,
        adopt: options.adopt,
        retention: settings.storage.retention,
    })
}

/// A fresh id.
#[expect(
    clippy::expect_used,
    reason = "a process without randomness cannot do anything safely"
)]
fn new_id() -> uuid::Uuid {
    uuid_v4().expect("the operating system has randomness")
}
