//! Puts a whole engine together: store, networks, lanes, listener. The only place that names
//! concrete backends.

mod backends;
mod courier;
mod definitions;
mod fleet;
mod signers;
pub(crate) mod store;
mod supervisor;
mod watch;
mod work;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use baton_chain::RpcObserver;
use baton_coord::HolderId;
use baton_coord_local::SystemClock;
use baton_edge::{
    ApiKeys, ConnectionLimits, Drained, HttpMetrics, RateLimit, RateShare, Readiness,
    RequestLimits, Stack, metrics_router, serve,
};
use baton_engine::driver::DriverOptions;
use baton_engine::registry::{Definitions, Registry};
use baton_engine::service::{Ids, RPC_METHODS, Service, ServiceOptions, http};
use baton_engine::{SharedClock, SharedStore};
use baton_model::Timestamp;
use baton_vault::keys::uuid_v4;
use prometheus_client::registry::Registry as Metrics;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch as signal;
use tokio::task::JoinHandle;

use crate::config::{Content, Report, Server, Settings};
use crate::rpc_metrics::RpcMetrics;
use backends::AppBackends;
use store::RawStore;
use work::{Subject, Work};

/// How long broadcasts to slow nodes may still take when the process ends.
const CHAIN_GRACE: Duration = Duration::from_secs(2);

/// Largest request body: a transaction of 128 KiB (geth's limit) as hexadecimal in JSON, with room
/// to spare.
const BODY_BYTES_MAX: usize = 512 * 1024;

/// What is decided when the program is started, not in its configuration.
#[derive(Clone, Debug, Default)]
pub struct AppOptions {
    /// Go on behind nonces used by unknown transactions.
    pub adopt: bool,
}

/// A running engine.
pub struct App {
    address: SocketAddr,
    drain_delay: Duration,
    stop_serving: signal::Sender<bool>,
    servers: Vec<JoinHandle<Drained>>,
    work: Work,
    backends: Arc<AppBackends>,
    store: RawStore,
}

impl App {
    /// Opens and checks everything that can be wrong, then starts lanes and listener. Readiness
    /// follows when the lanes have been compared with their chains, or others run them.
    pub async fn start(settings: Settings, options: AppOptions) -> Result<Self> {
        let clock = Arc::new(SystemClock::start());
        let listener = bind(&settings.server).await?;
        let metrics_listener = bind_metrics(&settings.server)?;
        let address = listener
            .local_addr()
            .context("the listener has no address")?;
        let raw = RawStore::open(&settings.storage.backend, Arc::clone(&clock)).await?;
        let store = raw.seal(settings.storage.encryption.as_ref()).await?;
        let clock: SharedClock = clock;
        let mut metrics = Metrics::default();
        let opened = Opened::new(&settings, &raw, &store, &clock, &mut metrics).await?;
        let Opened { registry, backends } = opened;
        let http_metrics = HttpMetrics::register(&mut metrics);
        let subject = Subject {
            settings: &settings,
            driver: driver_options(&settings, &options)?,
            store: &store,
            clock: &clock,
            registry: &registry,
            is_shared: raw.is_shared(),
        };
        let work = Work::start(subject, &mut metrics)?;
        let service = Service::new(
            store,
            Arc::clone(&registry),
            clock,
            ids(),
            service_options(&settings),
        );
        let (stop_serving, draining) = signal::channel(false);
        let service = service.stopping(draining.clone());
        let parts = Parts {
            service: Arc::new(service),
            registry,
            readiness: work.readiness.clone(),
            metrics: Arc::new(metrics),
            http_metrics,
            rate_share: work.rate_share.clone(),
        };
        let listeners = (listener, metrics_listener);
        let servers = start_servers(&settings.server, listeners, parts, &draining);
        Ok(Self {
            address,
            drain_delay: settings.server.drain_delay,
            stop_serving,
            servers,
            work,
            backends,
            store: raw,
        })
    }

    /// Where the API listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends when a lane or a network is no longer run although nobody stopped it: a defect. What
    /// was accepted is durable, and the next process goes on with it.
    pub async fn broke(&mut self) -> anyhow::Error {
        self.work.broke().await
    }

    /// Drains: answers what is in flight, hands the lanes over, closes the store. Returns when
    /// nothing is left.
    pub async fn stop(self) {
        self.work.readiness.start_draining();
        self.work.hand_over().await;
        // Whoever asks for readiness has to see it before connections are refused.
        tokio::time::sleep(self.drain_delay).await;
        self.stop_serving.send_replace(true);
        for server in self.servers {
            match server.await {
                Ok(drained) => tracing::info!(?drained, "listener closed"),
                Err(error) => tracing::error!(%error, "the listener ended badly"),
            }
        }
        self.work.end().await;
        self.backends.shutdown(CHAIN_GRACE).await;
        self.store.close().await;
        tracing::info!("stopped");
    }
}

/// What is registered, with all that it needs.
struct Opened {
    registry: Arc<Registry>,
    backends: Arc<AppBackends>,
}

impl Opened {
    /// Opens and connects what is registered. What the file says has to work; what was made over
    /// the API is told of when it does not.
    async fn new(
        settings: &Settings,
        raw: &RawStore,
        store: &SharedStore,
        clock: &SharedClock,
        metrics: &mut Metrics,
    ) -> Result<Self> {
        let file = definitions::definitions(settings);
        let counts = counting(settings, store, &file).await?;
        store::check_served(raw, &counts.relayers).await?;
        let opened = signers::open(settings).await?;
        let shared = signers::shared_keys(&settings.relayers, &opened);
        if !shared.is_empty() {
            bail!(shared.join("; "));
        }
        if settings.storage.reset {
            Registry::reset(store, new_id()).await?;
        }
        let observer: Arc<dyn RpcObserver> = Arc::new(RpcMetrics::new(metrics));
        let backends = Arc::new(AppBackends::new(settings, opened, observer));
        let (store, clock) = (SharedStore::clone(store), SharedClock::clone(clock));
        let shared = Arc::clone(&backends);
        let registry = Registry::open(store, clock, ids(), file, shared).await?;
        let snapshot = registry.snapshot();
        let of_file = settings.relayers.iter().filter_map(|relayer| {
            let reason = snapshot.broken.get(relayer.id.as_str())?;
            Some(format!("relayer {}: {reason}", relayer.id))
        });
        let broken: Vec<String> = of_file.collect();
        if !broken.is_empty() {
            bail!(broken.join("; "));
        }
        Ok(Self {
            registry: Arc::new(registry),
            backends,
        })
    }
}

/// What counts when the file and the API have both been heard.
async fn counting(
    settings: &Settings,
    store: &SharedStore,
    file: &Definitions,
) -> Result<Definitions> {
    if settings.storage.reset {
        return Ok(file.clone());
    }
    Ok(Registry::preview(store, file).await?)
}

struct Parts {
    service: Arc<Service>,
    registry: Arc<Registry>,
    readiness: Readiness,
    metrics: Arc<Metrics>,
    http_metrics: HttpMetrics,
    rate_share: RateShare,
}

fn start_servers(
    server: &Server,
    (listener, metrics_listener): (TcpListener, Option<TcpListener>),
    parts: Parts,
    draining: &signal::Receiver<bool>,
) -> Vec<JoinHandle<Drained>> {
    let keys = ApiKeys::new([("API_KEY".to_owned(), server.api_key.expose())]);
    let stack = Stack {
        keys: Some(keys.and_issued(parts.registry)),
        open_prefixes: open_prefixes(server),
        rate: Some(RateLimit {
            per_second: server.rate_per_second,
            burst: server.rate_burst,
        }),
        rate_share: parts.rate_share,
        limits: RequestLimits {
            concurrent: server.concurrent_requests_max.get(),
            body_bytes: BODY_BYTES_MAX,
            timeout: server.request_timeout,
        },
        metrics: Some(parts.http_metrics),
    };
    let readiness = parts.readiness.clone();
    let mut router = http::router(parts.service, parts.readiness, Arc::clone(&parts.metrics));
    if server.describes_api {
        router = router.merge(http::description());
    }
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
    let mut servers = vec![spawn(
        listener,
        readiness.close_connections(stack.wrap(router)),
        limits,
    )];
    if let Some(listener) = metrics_listener {
        // The port may be one that the operating system chose.
        if let Ok(address) = listener.local_addr() {
            tracing::info!(%address, "metrics are served");
        }
        let open = Stack::default().wrap(metrics_router(parts.metrics));
        servers.push(spawn(listener, open, ConnectionLimits::default()));
    }
    servers
}

fn open_prefixes(server: &Server) -> Vec<String> {
    let probes = ["/api/v1/health", "/api/v1/ready"];
    let described = http::DESCRIPTION_PREFIXES.iter();
    let described = described.filter(|_| server.describes_api);
    let all = probes.iter().chain(described);
    all.map(|prefix| (*prefix).to_owned()).collect()
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

/// Opens the keys of a configuration, and reports those that do not open or are used twice on one
/// chain. One that no relayer uses keeps no engine from starting.
pub(crate) async fn check_keys(content: &Content, report: &mut Report) -> Result<()> {
    let opened = signers::open_all(&content.signers, &content.ambient).await?;
    let used = signers::used(&content.relayers);
    for (id, reason) in &opened.failures {
        let text = format!("signer {id:?} cannot be opened: {reason}");
        if used.contains(id.as_str()) {
            report.problem("signers", text);
        } else {
            report.warn("signers", text);
        }
    }
    for text in signers::shared_keys(&content.relayers, &opened.signers) {
        report.problem("relayers", text);
    }
    Ok(())
}

/// The time.
pub(crate) fn now() -> Timestamp {
    use baton_coord::Clock;
    SystemClock::start().now()
}

fn service_options(settings: &Settings) -> ServiceOptions {
    let added = settings.rpc.passed_methods.iter();
    // They last as long as the process, of which this happens once.
    let added = added.map(|name| &*name.clone().leak());
    let methods: Vec<&'static str> = RPC_METHODS.iter().copied().chain(added).collect();
    ServiceOptions {
        rpc_methods: methods.leak(),
        wait_max: settings.server.request_timeout * 14 / 15,
        waiters_max: settings.server.concurrent_requests_max.get().div_ceil(2),
        streams_max: settings.server.connections_max.get() / 2,
        has_streams: settings.storage.events_kept > 0,
        ..ServiceOptions::default()
    }
}

fn driver_options(settings: &Settings, options: &AppOptions) -> Result<DriverOptions> {
    let unique = uuid_v4().context("no randomness from the operating system")?;
    Ok(DriverOptions {
        holder: HolderId(format!(
            "{}-{}-{unique}",
            rustix::system::uname().nodename().to_string_lossy(),
            std::process::id()
        )),
        lease: settings.storage.lease,
        pace: settings.storage.pace(),
        adopt: options.adopt,
        retention: settings.storage.retention,
        events_kept: settings.storage.events_kept,
    })
}

fn ids() -> Ids {
    Arc::new(new_id)
}

/// A fresh id. Without randomness nothing can be done safely.
fn new_id() -> uuid::Uuid {
    uuid_v4().expect("the operating system has randomness")
}
