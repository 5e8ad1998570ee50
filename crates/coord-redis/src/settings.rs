//! Options after they were checked, with what is derived from them.

use std::sync::Arc;
use std::time::Duration;

use redis::{
    Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion,
    RedisConnectionInfo, RedisResult, TlsCertificates,
};

use crate::error::OpenError;
use crate::keys::Keys;
use crate::options::{Address, Credentials, Options, Servers};
use crate::scripts::Scripts;

/// Bytes of a prefix: every key of a lane repeats it.
const PREFIX_BYTES_MAX: usize = 64;

/// Checks what key names are to begin with.
///
/// # Errors
/// What it must be.
pub fn check_prefix(prefix: &str) -> Result<(), &'static str> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    if (1..=PREFIX_BYTES_MAX).contains(&prefix.len()) && prefix.chars().all(allowed) {
        Ok(())
    } else {
        Err("must be 1 to 64 letters, digits and - _ . :")
    }
}

/// What every part of a store knows.
pub(crate) struct Settings {
    pub(crate) options: Options,
    pub(crate) keys: Keys,
    pub(crate) scripts: Scripts,
    /// Names this process among the publishers.
    pub(crate) process: u64,
}

impl Settings {
    pub(crate) fn check(options: Options) -> Result<Arc<Self>, OpenError> {
        let prefix = &options.prefix;
        check_prefix(prefix).map_err(|rule| OpenError::Option {
            option: "prefix",
            rule,
            found: prefix.clone(),
        })?;
        if matches!(options.servers, Servers::Cluster(_)) && options.database != 0 {
            return Err(OpenError::Option {
                option: "database",
                rule: "is 0 on a cluster",
                found: options.database.to_string(),
            });
        }
        let (option, servers) = match &options.servers {
            Servers::Standalone(_) => ("servers", 1),
            Servers::Sentinel { sentinels, .. } => ("sentinels", sentinels.len()),
            Servers::Cluster(nodes) => ("servers", nodes.len()),
        };
        if servers == 0 {
            return Err(OpenError::Option {
                option,
                rule: "names at least one address",
                found: String::new(),
            });
        }
        let settings = Self {
            keys: Keys::new(prefix),
            scripts: Scripts::new(),
            process: rand::random(),
            options,
        };
        // Certificates that cannot be read are found now.
        let probe = Address {
            host: "localhost".to_owned(),
            port: 1,
        };
        settings.client(&probe).map_err(|error| OpenError::Option {
            option: "tls",
            rule: "holds certificates and a key as PEM",
            found: error.to_string(),
        })?;
        Ok(Arc::new(settings))
    }

    pub(crate) const fn is_cluster(&self) -> bool {
        matches!(self.options.servers, Servers::Cluster(_))
    }

    /// A client for a server that keeps data.
    pub(crate) fn client(&self, address: &Address) -> RedisResult<Client> {
        self.client_for(address, &self.options.credentials, self.options.database)
    }

    /// A client for a sentinel.
    pub(crate) fn sentinel_client(&self, address: &Address) -> RedisResult<Client> {
        self.client_for(address, &self.options.sentinel_credentials, 0)
    }

    /// The time in milliseconds by the tests' clock; empty for the server's.
    pub(crate) fn now(&self) -> String {
        let clock = self.options.clock.as_ref();
        clock.map_or_else(String::new, |clock| clock.now().as_millis().to_string())
    }

    /// How long to wait for an answer to what has so many bytes.
    pub(crate) fn answer_timeout(&self, bytes: usize) -> Duration {
        let mebibytes = u32::try_from(bytes >> 20).unwrap_or(u32::MAX);
        self.options.answer_timeout + Duration::from_secs(1) * mebibytes
    }

    fn client_for(
        &self,
        address: &Address,
        credentials: &Credentials,
        database: u32,
    ) -> RedisResult<Client> {
        let Address { host, port } = address.clone();
        let addr = match &self.options.tls {
            None => ConnectionAddr::Tcp(host, port),
            Some(_) => ConnectionAddr::TcpTls {
                host,
                port,
                insecure: false,
                tls_params: None,
            },
        };
        // The newer protocol tells at once when a connection has ended.
        let mut redis = RedisConnectionInfo::default()
            .set_protocol(ProtocolVersion::RESP3)
            .set_db(i64::from(database));
        if let Some(user) = &credentials.user {
            redis = redis.set_username(user);
        }
        if let Some(password) = &credentials.password {
            redis = redis.set_password(password);
        }
        let info: ConnectionInfo = addr.into_connection_info()?.set_redis_settings(redis);
        match &self.options.tls {
            None => Client::open(info),
            Some(tls) => {
                let identity = tls.identity.clone();
                let client_tls = identity.map(|(client_cert, client_key)| ClientTlsConfig {
                    client_cert,
                    client_key,
                });
                let root_cert = tls.authorities.clone();
                let certificates = TlsCertificates {
                    client_tls,
                    root_cert,
                };
                Client::build_with_tls(info, certificates)
            }
        }
    }
}
