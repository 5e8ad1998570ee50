//! What a store is opened with.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use baton_coord::Clock;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// Name or IP address.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Which servers keep the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Servers {
    /// One server.
    Standalone(Address),
    /// The master that Sentinel names.
    Sentinel {
        /// Sentinels to ask; one that answers is enough.
        sentinels: Vec<Address>,
        /// The name under which they know the master.
        master: String,
    },
    /// A cluster; any of its servers to begin with.
    Cluster(Vec<Address>),
}

/// A user and a password. Neither is shown by `Debug`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// ACL user; the default user if absent.
    pub user: Option<String>,
    /// Password.
    pub password: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

/// How connections are encrypted. Nothing of it is shown by `Debug`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// Authorities that a server's certificate may come from, as PEM; the system's if absent.
    pub authorities: Option<Vec<u8>>,
    /// The certificate chain and its key that this client shows, as PEM.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls(..)")
    }
}

/// How to open a store. [`Options::from_url`] reads most of it from one text.
#[derive(Clone)]
pub struct Options {
    /// Where the data is.
    pub servers: Servers,
    /// What the servers ask for.
    pub credentials: Credentials,
    /// What the sentinels ask for. Default: nothing.
    pub sentinel_credentials: Credentials,
    /// Number of the database; 0 on a cluster. Default: 0.
    pub database: u32,
    /// Encryption of connections, those to sentinels included. Default: none.
    pub tls: Option<Tls>,
    /// Begins the name of every key and channel, so that several Batons can share servers. 1 to 64 of
    /// `A-Z a-z 0-9 - _ . :`. Default: `baton`.
    pub prefix: String,
    /// Longest time for a connection to be made and checked. Default: 2 s, below which a server that is busy loading
    /// or far away would be given up.
    pub connect_timeout: Duration,
    /// Longest time that a call looks for a server that takes it. After that nothing was done. Default: 5 s.
    pub search_timeout: Duration,
    /// Longest wait for an answer to what was sent, plus a second for each MiB sent. After that it is unknown what was
    /// done. Default: 5 s.
    pub answer_timeout: Duration,
    /// Decides when leases run out, instead of the server's clock. For tests. Default: none.
    pub clock: Option<Arc<dyn Clock>>,
}

impl Options {
    /// Default options for servers.
    pub fn new(servers: Servers) -> Self {
        Self {
            servers,
            credentials: Credentials::default(),
            sentinel_credentials: Credentials::default(),
            database: 0,
            tls: None,
            prefix: "baton".to_owned(),
            connect_timeout: Duration::from_secs(2),
            search_timeout: Duration::from_secs(5),
            answer_timeout: Duration::from_secs(5),
            clock: None,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("servers", &self.servers)
            .field("database", &self.database)
            .field("tls", &self.tls)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}
