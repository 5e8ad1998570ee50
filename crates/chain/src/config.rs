//! Settings of a client, checked before anything is started.

use std::fmt;
use std::time::Duration;

use reqwest::Url;

/// Most endpoints of one network: every broadcast goes to all of them, and each has its own tasks.
const ENDPOINTS_MAX: usize = 32;
/// Most calls in one batch: geth's own limit is 1000; larger ones only make one slow call delay
/// more others.
const BATCH_CALLS_MAX: usize = 1000;

/// One node, or one provider's gateway. Its URL may hold an access key, so `Debug` shows the host
/// only.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// `http://` or `https://` for calls. With `ws://` or `wss://` the endpoint only announces
    /// heads.
    pub url: String,
    /// Share of reads among endpoints that are equally advanced: 0 (disabled) to 100.
    pub weight: u8,
    /// `ws://` or `wss://` address of the same node, for `newHeads`.
    pub ws_url: Option<String>,
}

impl Endpoint {
    /// An endpoint of weight 100 without a WebSocket.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            weight: 100,
            ws_url: None,
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("host", &Url::parse(&self.url).map(|url| host(&url)).ok())
            .field("weight", &self.weight)
            .field("has_ws_url", &self.ws_url.is_some())
            .finish()
    }
}

/// Settings of an [`EvmClient`](crate::EvmClient). Defaults are those of OpenZeppelin Relayer where
/// it has the setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvmClientConfig {
    /// Nodes of the network: 1 to 32, at least one of them enabled and usable for calls.
    pub endpoints: Vec<Endpoint>,
    /// Whether blocks have a base fee. Without, the market is `eth_gasPrice` alone.
    pub eip1559: bool,
    /// Average time between blocks; more than zero. Decides how often heads are polled.
    pub average_block_time: Duration,
    /// Longest wait for the answer to one HTTP request. Default 10 s.
    pub timeout: Duration,
    /// Longest wait for a connection. Default 2 s.
    pub connect_timeout: Duration,
    /// Attempts of a read at one endpoint: at least 1. Default 3.
    pub retries: u32,
    /// Wait before the second attempt; doubles with each further one, plus or minus 20 %. Default
    /// 100 ms.
    pub retry_base: Duration,
    /// Longest wait between attempts. Default 2 s.
    pub retry_max: Duration,
    /// How many further endpoints a read may go to. Default 3.
    pub failovers: u32,
    /// Failures within `failure_window` after which an endpoint is paused: at least 1. Default 3.
    pub failure_threshold: u32,
    /// How long a failure counts. Default 60 s.
    pub failure_window: Duration,
    /// How long a pause lasts. Default 60 s.
    pub pause: Duration,
    /// Most calls in one JSON-RPC batch: 1 to 1000. Default 100.
    pub batch_calls: usize,
    /// Most bytes of one request body that holds more than one call. Default 1 MiB: nodes refuse
    /// from 2 to 5 MiB on.
    pub batch_bytes: usize,
    /// Most bytes of one answer. Default 32 MiB: the receipts of a full block are some 10 MiB.
    pub response_bytes: usize,
}

impl EvmClientConfig {
    /// Default settings for a network with these endpoints, with EIP-1559 and 12-second blocks.
    pub fn new(endpoints: Vec<Endpoint>) -> Self {
        Self {
            endpoints,
            eip1559: true,
            average_block_time: Duration::from_secs(12),
            timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(2),
            retries: 3,
            retry_base: Duration::from_millis(100),
            retry_max: Duration::from_secs(2),
            failovers: 3,
            failure_threshold: 3,
            failure_window: Duration::from_secs(60),
            pause: Duration::from_secs(60),
            batch_calls: 100,
            batch_bytes: 1 << 20,
            response_bytes: 32 << 20,
        }
    }

    /// How often heads are polled: a quarter of the block time, at least every second (so that a
    /// slow chain's block is seen soon) and at most every 100 ms (so that a fast chain does not
    /// cost more calls than it has news).
    pub fn poll_interval(&self) -> Duration {
        (self.average_block_time / 4).clamp(Duration::from_millis(100), Duration::from_secs(1))
    }

    /// How long a WebSocket may bring no news before a poll checks on it: three blocks, at least 5
    /// s.
    pub(crate) fn silence(&self) -> Duration {
        (self.average_block_time * 3).max(Duration::from_secs(5))
    }

    /// How long after its last sign of life an endpoint still counts: nothing is asked of it during
    /// a silence, and the poll that follows may take a while; at least 30 s.
    pub(crate) fn lately(&self) -> Duration {
        (self.silence() + self.timeout).max(Duration::from_secs(30))
    }

    /// Checks all settings and reads the URLs.
    pub(crate) fn check(&self) -> Result<Vec<ParsedEndpoint>, ConfigError> {
        within("endpoints", self.endpoints.len(), 1, ENDPOINTS_MAX)?;
        within("batch_calls", self.batch_calls, 1, BATCH_CALLS_MAX)?;
        positive("retries", self.retries == 0)?;
        positive("failure_threshold", self.failure_threshold == 0)?;
        positive("timeout", self.timeout.is_zero())?;
        positive("connect_timeout", self.connect_timeout.is_zero())?;
        positive("average_block_time", self.average_block_time.is_zero())?;
        positive("batch_bytes", self.batch_bytes == 0)?;
        positive("response_bytes", self.response_bytes == 0)?;
        let parsed: Vec<ParsedEndpoint> = self
            .endpoints
            .iter()
            .enumerate()
            .map(|(index, endpoint)| parse(index, endpoint))
            .collect::<Result<_, _>>()?;
        if !parsed.iter().any(|e| e.weight > 0 && e.http.is_some()) {
            return Err(ConfigError::NoneUsable);
        }
        Ok(parsed)
    }
}

/// Why a client was not started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A number outside its range.
    #[error("{field} is {value}, it must be from {min} to {max}")]
    Range {
        /// Which setting.
        field: &'static str,
        /// The value given.
        value: usize,
        /// Least allowed.
        min: usize,
        /// Most allowed.
        max: usize,
    },
    /// A setting that must not be zero.
    #[error("{field} is 0, it must be more than 0")]
    Zero {
        /// Which setting.
        field: &'static str,
    },
    /// A URL that cannot be read. The text does not repeat it, for it may hold an access key.
    #[error("endpoints[{index}].{field} is not a URL: {reason}")]
    Url {
        /// Place in the list.
        index: usize,
        /// Which setting of the endpoint.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A URL of another scheme.
    #[error("endpoints[{index}].{field} has scheme {scheme:?}, allowed are {allowed}")]
    Scheme {
        /// Place in the list.
        index: usize,
        /// Which setting of the endpoint.
        field: &'static str,
        /// The scheme given.
        scheme: String,
        /// The schemes allowed.
        allowed: &'static str,
    },
    /// A weight above 100.
    #[error("endpoints[{index}].weight is {value}, it must be from 0 to 100")]
    Weight {
        /// Place in the list.
        index: usize,
        /// The value given.
        value: u8,
    },
    /// Every endpoint is disabled or only announces heads.
    #[error("endpoints: at least one must have an http:// or https:// url and a weight above 0")]
    NoneUsable,
    /// The HTTP client could not be made.
    #[error("HTTP client: {reason}")]
    Http {
        /// What went wrong.
        reason: String,
    },
}

/// An endpoint whose URLs were read.
pub(crate) struct ParsedEndpoint {
    pub(crate) host: String,
    pub(crate) http: Option<Url>,
    pub(crate) ws: Option<Url>,
    pub(crate) weight: u8,
}

fn parse(index: usize, endpoint: &Endpoint) -> Result<ParsedEndpoint, ConfigError> {
    if endpoint.weight > 100 {
        return Err(ConfigError::Weight {
            index,
            value: endpoint.weight,
        });
    }
    let all = ["http", "https", "ws", "wss"];
    let url = url(index, "url", &endpoint.url, &all, "http, https, ws, wss")?;
    let ws = match &endpoint.ws_url {
        Some(text) => Some(self::url(index, "ws_url", text, &all[2..], "ws, wss")?),
        None => None,
    };
    let host = host(&url);
    let (http, ws) = if url.scheme().starts_with("http") {
        (Some(url), ws)
    } else {
        (None, Some(ws.unwrap_or(url)))
    };
    Ok(ParsedEndpoint {
        host,
        http,
        ws,
        weight: endpoint.weight,
    })
}

fn url(
    index: usize,
    field: &'static str,
    text: &str,
    schemes: &[&str],
    allowed: &'static str,
) -> Result<Url, ConfigError> {
    let unreadable = |reason: String| ConfigError::Url {
        index,
        field,
        reason,
    };
    let url = Url::parse(text).map_err(|error| unreadable(error.to_string()))?;
    if !schemes.contains(&url.scheme()) {
        return Err(ConfigError::Scheme {
            index,
            field,
            scheme: url.scheme().to_owned(),
            allowed,
        });
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(unreadable("it has no host".to_owned()));
    }
    Ok(url)
}

/// What may be shown of a URL: the host, and the port where it was given. Providers put access keys
/// into the rest.
fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

fn within(field: &'static str, value: usize, min: usize, max: usize) -> Result<(), ConfigError> {
    if (min..=max).contains(&value) {
        Ok(())
    } else {
        Err(ConfigError::Range {
            field,
            value,
            min,
            max,
        })
    }
}

fn positive(field: &'static str, is_zero: bool) -> Result<(), ConfigError> {
    if is_zero {
        Err(ConfigError::Zero { field })
    } else {
        Ok(())
    }
}
