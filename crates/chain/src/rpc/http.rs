//! One HTTP exchange with limits, and what its failure means.

use std::error::Error;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode, Url};

use crate::config::{ConfigError, EvmClientConfig};

/// Idle connections kept to one host. Reads run a few at a time and sends one at a time, so more
/// would sit unused.
const IDLE_PER_HOST: usize = 16;

/// How long a connection may be idle. Less than the idle limits of common servers (from 30 s on),
/// so that a send does not meet a connection that the other side is just closing, which would leave
/// its outcome unknown.
const IDLE_MAX: Duration = Duration::from_secs(20);

/// What a failed exchange allows next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// It may work at the next try.
    Passing,
    /// The endpoint will not serve us: keys, paths, plans.
    Lasting,
    /// The endpoint does not take this many calls at once; it executed none.
    BatchRefused,
}

/// Why an exchange gave no answers. The text never holds more of a URL than its host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: FaultKind,
    pub(crate) reason: String,
}

impl Fault {
    pub(crate) fn passing(reason: impl Into<String>) -> Self {
        Self {
            kind: FaultKind::Passing,
            reason: reason.into(),
        }
    }
}

/// A client that follows no redirects (they would carry transactions to a host nobody configured)
/// and uses no proxy from the environment (only the binary reads the environment).
pub(crate) fn client(config: &EvmClientConfig) -> Result<Client, ConfigError> {
    // The TLS library wants one provider per process; whoever comes first installs it.
    let _already_installed = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .connect_timeout(config.connect_timeout)
        .pool_max_idle_per_host(IDLE_PER_HOST)
        .pool_idle_timeout(IDLE_MAX)
        .redirect(Policy::none())
        .no_proxy()
        .build()
        .map_err(|error| ConfigError::Http {
            reason: describe(&error.without_url()),
        })
}

/// Posts a body and returns the body of the answer.
pub(crate) async fn post(
    client: &Client,
    url: &Url,
    body: Vec<u8>,
    timeout: Duration,
    most_bytes: usize,
) -> Result<Vec<u8>, Fault> {
    let exchange = async {
        let response = client
            .post(url.clone())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(body)
            .send()
            .await
            .map_err(|error| Fault::passing(describe(&error.without_url())))?;
        let verdict = judge(response.status());
        let bytes = match &verdict {
            Verdict::Fault(fault) => return Err(fault.clone()),
            Verdict::Body | Verdict::BodyOr(_) => collect(response, most_bytes).await?,
        };
        match verdict {
            Verdict::BodyOr(fault) if !is_json(&bytes) => Err(fault),
            Verdict::Body | Verdict::BodyOr(_) | Verdict::Fault(_) => Ok(bytes),
        }
    };
    match tokio::time::timeout(timeout, exchange).await {
        Ok(result) => result,
        Err(_) => Err(Fault::passing(format!(
            "no answer within {} ms",
            timeout.as_millis()
        ))),
    }
}

enum Verdict {
    Body,
    /// The body if it is JSON: some nodes send their JSON-RPC errors with status 400.
    BodyOr(Fault),
    Fault(Fault),
}

fn judge(status: StatusCode) -> Verdict {
    let fault = |kind| Fault {
        kind,
        reason: format!("HTTP status {}", status.as_u16()),
    };
    match status.as_u16() {
        200..=299 => Verdict::Body,
        // A gateway's 5xx may come after the node took the request, whatever JSON it carries.
        408 | 425 | 429 | 500 | 502..=504 | 506..=599 => Verdict::Fault(fault(FaultKind::Passing)),
        401 | 403 | 404 | 410 => Verdict::Fault(fault(FaultKind::Lasting)),
        400 | 405 | 413 | 415 | 422 => Verdict::BodyOr(fault(FaultKind::BatchRefused)),
        _ => Verdict::Fault(fault(FaultKind::Lasting)),
    }
}

async fn collect(mut response: Response, most_bytes: usize) -> Result<Vec<u8>, Fault> {
    let oversized = || Fault::passing(format!("the answer has more than {most_bytes} bytes"));
    let announced = response.content_length().unwrap_or(0);
    if usize::try_from(announced).is_ok_and(|announced| announced > most_bytes) {
        return Err(oversized());
    }
    let mut bytes = Vec::new();
    loop {
        let chunk = response
            .chunk()
            .await
            .map_err(|error| Fault::passing(describe(&error.without_url())))?;
        match chunk {
            Some(chunk) if bytes.len() + chunk.len() > most_bytes => return Err(oversized()),
            Some(chunk) => bytes.extend_from_slice(&chunk),
            None => return Ok(bytes),
        }
    }
}

fn is_json(body: &[u8]) -> bool {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    matches!(first, Some(b'{' | b'['))
}

/// The error with its causes, which is where "connection refused" is found.
pub(crate) fn describe(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}
