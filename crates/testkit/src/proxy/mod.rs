//! A proxy between a client and a real node, over HTTP JSON-RPC: it delays, loses, spoils and
//! refuses as it is told, and remembers what went through.
//!
//! Without faults a request is forwarded byte by byte, on as many connections as clients use;
//! nothing serial stands between them. On one connection requests are forwarded in their order, for
//! each is answered before the next is read. Subscriptions (WebSocket) are not proxied.

mod careful;
mod control;
mod exchange;
mod fault;
mod pool;
mod recover;
mod serve;
mod stale;
mod trace;
mod upstream;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

pub use control::{ProxyControl, RuleId};
pub use fault::{Delay, Fault, FaultRule, Moment, Outage, Stale, When};
pub use pool::{GappedOverflow, PoolRules, Refusal, RefusalReason};
pub use trace::{Broadcast, ProxyTrace};

use exchange::Shared;
use pool::StrictPool;
use serve::{Port, serve};
use upstream::Upstream;

/// How often the strict pool looks for a new block: a fraction of the shortest block time in use.
const BLOCK_POLL: Duration = Duration::from_millis(50);
/// Accounts are read again after this time even without a new block, for balances and code can be
/// set by hand.
const ACCOUNTS_POLL: Duration = Duration::from_millis(500);

/// How a proxy is started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProxyOptions {
    /// Loopback port; 0 takes a free one.
    pub port: u16,
    /// Decides about faults with a share and about jitter. The same seed and the same sequence of
    /// requests give the same faults.
    pub seed: u64,
}

/// Why a proxy was not started.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The port could not be taken.
    #[error("proxy port {port} on 127.0.0.1: {source}")]
    Port {
        /// The port asked for.
        port: u16,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The node's address is none.
    #[error("address of the node behind the proxy, {url:?}: {reason}")]
    Upstream {
        /// The address given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The HTTP client could not be made.
    #[error("HTTP client of the proxy: {0}")]
    Client(String),
}

/// A running proxy. It listens on 127.0.0.1 only and ends when this is dropped.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    /// Aborted on drop.
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// Starts a proxy in front of the node at `url`, without faults.
    ///
    /// # Errors
    /// When the port is taken or `url` is not an address. The node need not be there yet.
    pub fn start(url: &str, options: ProxyOptions) -> Result<Self, ProxyError> {
        let upstream = Upstream::new(url)?;
        let failed = |source| ProxyError::Port {
            port: options.port,
            source,
        };
        let port = Port::take(options.port).map_err(failed)?;
        let listener = port.listen().map_err(failed)?;
        let shared = Arc::new(Shared {
            pool: StrictPool::new(upstream.clone()),
            upstream,
            control: ProxyControl::new(options.seed),
            trace: ProxyTrace::new(),
        });
        let number = port.number();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(Arc::clone(&shared), port, Some(listener)));
        tasks.spawn(follow(Arc::clone(&shared)));
        Ok(Self {
            port: number,
            shared,
            _tasks: tasks,
        })
    }

    /// Address for calls.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The handle that changes it.
    pub fn control(&self) -> ProxyControl {
        self.shared.control.clone()
    }

    /// What it has seen.
    pub fn trace(&self) -> ProxyTrace {
        self.shared.trace.clone()
    }

    /// Lets the strict pool read its accounts now, after a balance or code was set by hand.
    pub async fn refresh_pool(&self) {
        self.shared.pool.refresh().await;
    }
}

/// Keeps the strict pool in step with the node's blocks, while its rules are in force.
async fn follow(shared: Arc<Shared>) {
    let mut strict = shared.control.strict();
    loop {
        shared.pool.clear();
        if strict.wait_for(|on| *on).await.is_err() {
            return;
        }
        let mut last = (None, Instant::now());
        while *strict.borrow_and_update() {
            let head = shared.upstream.head().await.ok();
            if head != last.0 || last.1.elapsed() > ACCOUNTS_POLL {
                shared.pool.refresh().await;
                last = (head, Instant::now());
            }
            sleep(BLOCK_POLL).await;
        }
    }
}
