//! Settings as the rest of the program uses them: checked, typed, complete.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use baton_chain::Endpoint;
use baton_model::{ChainProfile, EvmPolicy, RelayerId};
use baton_vault::Secret;
use baton_vault::remote::{Ambient, RemoteConfig};

/// Everything Baton is told before it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Relayers, in the order of the file; their ids differ.
    pub relayers: Vec<Relayer>,
    /// Signers by id. Each names a key; none was opened yet.
    pub signers: BTreeMap<String, SignerSource>,
    /// Notifications by id.
    pub notifications: BTreeMap<String, Notification>,
    /// Every EVM network that is known, by name: Baton's own, overlaid with the operator's.
    pub networks: BTreeMap<String, Arc<Network>>,
    /// What the environment says of key services.
    pub ambient: Ambient,
    /// The HTTP listener and its limits.
    pub server: Server,
    /// Where and how records are kept.
    pub storage: Storage,
    /// How nodes are asked.
    pub rpc: Rpc,
    /// Where the log goes.
    pub log: Log,
}

/// One relayer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relayer {
    /// How callers address it.
    pub id: RelayerId,
    /// For people.
    pub name: String,
    /// The chain it works on.
    pub network: Arc<Network>,
    /// Whether it refuses new work.
    pub paused: bool,
    /// What it may do.
    pub policy: EvmPolicy,
    /// Signers of its accounts, at least one; each exists in [`Settings::signers`].
    pub signer_ids: Vec<String>,
    /// Who is told of its transactions; exists in [`Settings::notifications`].
    pub notification_id: Option<String>,
    /// Nodes that it uses instead of its network's.
    pub custom_rpc_urls: Option<Vec<Endpoint>>,
}

impl Relayer {
    /// The nodes to use: its own if it has any, otherwise its network's. At least one has a weight above zero.
    pub fn endpoints(&self) -> &[Endpoint] {
        self.custom_rpc_urls
            .as_deref()
            .unwrap_or(&self.network.endpoints)
    }
}

/// One EVM network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// What the engine needs to know of the chain.
    pub profile: ChainProfile,
    /// Nodes of the network; Baton's own networks have none, except local ones.
    pub endpoints: Vec<Endpoint>,
    /// Block explorers, for people.
    pub explorer_urls: Vec<String>,
    /// Features as written, such as `eip1559`.
    pub features: Vec<String>,
}

/// Where a key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignerSource {
    /// A Web3 Secret Storage file. It was found and can be read; whether the passphrase opens it is not known yet.
    Keystore {
        /// The file.
        path: PathBuf,
        /// What opens it.
        passphrase: Secret,
    },
    /// A private key as 64 hexadecimal digits; they are a valid key.
    RawKey {
        /// The digits, perhaps after `0x`.
        key: Secret,
    },
    /// A key that a service keeps. The service was not asked yet.
    Remote {
        /// Which service, and how it is asked.
        config: Box<RemoteConfig>,
        /// What of the configuration is no secret.
        shown: serde_json::Value,
    },
}

impl SignerSource {
    /// Its type and its configuration as the API shows them: without anything secret, and without
    /// where in this host it is.
    pub fn shown(&self) -> (&'static str, serde_json::Value) {
        match self {
            Self::Keystore { .. } | Self::RawKey { .. } => ("local", serde_json::json!({})),
            Self::Remote { config, shown } => (config.kind(), shown.clone()),
        }
    }
}

/// Who is told what happens to transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// Where webhooks go. It may hold a secret.
    pub url: Secret,
    /// Key of the webhooks' signatures, at least 32 characters.
    pub signing_key: Option<Secret>,
    /// What it is told of; empty for everything.
    pub events: Vec<String>,
}

/// The HTTP listener and its limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Address to listen on.
    pub host: IpAddr,
    /// Port to listen on; 0 lets the system choose one.
    pub port: u16,
    /// What callers must show, at least 32 characters.
    pub api_key: Secret,
    /// Requests per second that one caller may send on average.
    pub rate_per_second: NonZeroU32,
    /// Requests that one caller may send at once.
    pub rate_burst: NonZeroU32,
    /// Requests served at the same time.
    pub concurrent_requests_max: NonZeroUsize,
    /// Connections open at the same time.
    pub connections_max: NonZeroUsize,
    /// Connections that wait to be accepted.
    pub backlog: NonZeroU32,
    /// Longest time that a request may take.
    pub request_timeout: Duration,
    /// Port of the metrics without authentication; `None` when there is no such listener.
    pub metrics_port: Option<u16>,
    /// Whether webhooks may go to addresses that are not public.
    pub private_webhooks: bool,
    /// Whether the API is described at `/api-docs` and `/swagger-ui`, to which no key is needed.
    pub describes_api: bool,
    /// Whether the rate limits are for all processes that share the store together.
    pub fleet_rate: bool,
    /// How long connections are still taken after readiness is gone.
    pub drain_delay: Duration,
}

/// Where and how records are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// Which store.
    pub backend: Backend,
    /// Keys that seal records; without them they are kept as they are.
    pub encryption: Option<EncryptionKeys>,
    /// How long a transaction is kept once it is final.
    pub retention: Duration,
    /// Whether what was made and changed over the API is forgotten at the start.
    pub reset: bool,
    /// How many events of each relayer are kept for streams; 0 turns streams off.
    pub events_kept: u64,
    /// How long a baton lasts without renewal.
    pub lease: Duration,
    /// What this process calls itself among others; the host's name if absent.
    pub instance: Option<String>,
}

impl Storage {
    /// Puts the embedded store into another directory.
    ///
    /// # Errors
    /// When the store is a shared one, which has none.
    pub fn use_directory(&mut self, directory: PathBuf) -> anyhow::Result<()> {
        match &mut self.backend {
            Backend::Embedded { data_dir } => {
                *data_dir = directory;
                Ok(())
            }
            Backend::Redis(_) => anyhow::bail!(
                "--data-dir is for the embedded store, but REPOSITORY_STORAGE_TYPE is `redis`: leave one of them out"
            ),
        }
    }
}

/// Least time between looks into an inbox of a store that is reached over a network.
const SHARED_PACE: Duration = Duration::from_millis(40);

impl Storage {
    /// Least time between a lane's looks into its inbox, under load.
    pub(crate) const fn pace(&self) -> Duration {
        match self.backend {
            Backend::Embedded { .. } => Duration::ZERO,
            Backend::Redis(_) => SHARED_PACE,
        }
    }
}

/// Where the records are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backend {
    /// In a directory that belongs to this process.
    Embedded {
        /// The directory.
        data_dir: PathBuf,
    },
    /// In Redis, which many processes share.
    Redis(RedisStorage),
}

/// How the shared store is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisStorage {
    /// Servers, user, password, database; it was read once and is in order.
    pub url: Secret,
    /// Begins the name of every key.
    pub prefix: String,
    /// Longest time for a connection to be made.
    pub connect_timeout: Duration,
    /// Certificates; only looked at when the URL asks for TLS.
    pub tls: RedisTls,
    /// ACL user of the sentinels.
    pub sentinel_user: Option<String>,
    /// What the sentinels ask for.
    pub sentinel_password: Option<Secret>,
}

/// Certificates for connections to the shared store, as PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedisTls {
    /// Authorities that a server's certificate may come from; the system's if absent.
    pub authorities: Option<String>,
    /// The certificate chain that this process shows, and its key.
    pub identity: Option<(String, Secret)>,
}

/// Keys that seal records, each the base64 form of 32 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncryptionKeys {
    /// Seals, and opens.
    pub current: Secret,
    /// Only open what was sealed before; none equals another or the current one.
    pub old: Vec<Secret>,
}

/// How nodes are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rpc {
    /// Longest wait for one answer.
    pub timeout: Duration,
    /// Attempts of a read at one node.
    pub attempts: u32,
    /// Wait before the second attempt.
    pub retry_base: Duration,
    /// Longest wait between attempts; not below `retry_base`.
    pub retry_max: Duration,
    /// How many further nodes a read may go to.
    pub failovers_max: u32,
    /// Failures after which a node is paused.
    pub failure_threshold: u32,
    /// How long a pause lasts.
    pub pause: Duration,
    /// How long a failure counts.
    pub failure_window: Duration,
    /// Hosts that nodes may have; empty allows all.
    pub allowed_hosts: Vec<String>,
    /// Whether nodes at private, loopback and link-local addresses are refused.
    pub block_private_ips: bool,
    /// Methods that callers may call through a relayer, besides those that they may anyway.
    pub passed_methods: Vec<String>,
}

/// Where the log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Which events are written, in the language of `RUST_LOG`.
    pub filter: String,
    /// How they look.
    pub format: LogFormat,
    /// Where they go.
    pub target: LogTarget,
    /// Where traces go, if anywhere.
    pub traces: Option<Traces>,
}

/// Where traces go: a collector that takes OTLP over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traces {
    /// Where it takes traces.
    pub endpoint: String,
    /// Headers sent along; they may hold a key.
    pub headers: Vec<(String, Secret)>,
    /// What this program calls itself there.
    pub service: String,
    /// How many of a million traces are kept.
    pub kept_of_a_million: u32,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One line, for people.
    Compact,
    /// Several lines, for people.
    Pretty,
    /// One JSON object to a line.
    Json,
}

/// Where log lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// Standard output.
    Stdout,
    /// Files in a directory.
    Files {
        /// The directory.
        directory: PathBuf,
        /// Bytes after which a new file is begun.
        bytes_max: u64,
    },
}
