//! The node behind the proxy.

use std::time::Duration;

use hyper::body::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Url};
use serde_json::Value;
use serde_json::value::RawValue;

use super::ProxyError;
use super::wire::{self, Answer};

/// Longest wait for the node. Longer than any client waits, so that the proxy never gives up
/// before its client; without an end, requests to a paused node would pile up.
const ANSWER_MAX: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
pub(super) struct Upstream {
    http: Client,
    url: Url,
}

/// The node gave no usable answer; whether it acted is unknown.
#[derive(Debug)]
pub(super) struct NoAnswer;

/// An answer as it came.
#[derive(Debug)]
pub(super) struct Forwarded {
    pub(super) status: u16,
    pub(super) body: Bytes,
}

impl Upstream {
    pub(super) fn new(url: &str) -> Result<Self, ProxyError> {
        // The HTTP library asks for a TLS provider even where no TLS is used; whoever comes first
        // installs it.
        let _already_installed = rustls::crypto::ring::default_provider().install_default();
        let url = Url::parse(url).map_err(|error| ProxyError::Upstream {
            url: url.to_owned(),
            reason: error.to_string(),
        })?;
        let http = Client::builder()
            .timeout(ANSWER_MAX)
            .no_proxy()
            .gzip(false)
            .build()
            .map_err(|error| ProxyError::Client(error.to_string()))?;
        Ok(Self { http, url })
    }

    /// Hands a body on as it is.
    pub(super) async fn forward(&self, body: Bytes) -> Result<Forwarded, NoAnswer> {
        let request = self
            .http
            .post(self.url.clone())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(body);
        let response = request.send().await.map_err(|_| NoAnswer)?;
        let status = response.status().as_u16();
        let body = response.bytes().await.map_err(|_| NoAnswer)?;
        Ok(Forwarded { status, body })
    }

    /// Makes calls in one batch; answers come in their order.
    pub(super) async fn call<'a>(
        &self,
        calls: impl ExactSizeIterator<Item = (&'a str, &'a RawValue)>,
    ) -> Result<Vec<Answer>, NoAnswer> {
        let count = calls.len();
        if count == 0 {
            return Ok(Vec::new());
        }
        let answer = self.forward(wire::batch(calls)).await?;
        wire::replies(&answer.body, count).ok_or(NoAnswer)
    }

    /// Asks the node on the proxy's own account. Every question must be answered with a result.
    pub(super) async fn ask(&self, calls: &[(&str, Value)]) -> Result<Vec<Value>, NoAnswer> {
        let raws: Vec<(&str, Box<RawValue>)> = calls
            .iter()
            .map(|(method, params)| (*method, wire::raw(params)))
            .collect();
        let calls = raws.iter().map(|(method, params)| (*method, &**params));
        let answers = self.call(calls).await?;
        let values: Option<Vec<Value>> = answers.iter().map(Answer::value).collect();
        values.ok_or(NoAnswer)
    }

    /// Number of the latest block.
    pub(super) async fn head(&self) -> Result<u64, NoAnswer> {
        let answers = self
            .ask(&[("eth_blockNumber", serde_json::json!([]))])
            .await?;
        quantity(&answers[0]).ok_or(NoAnswer)
    }
}

/// A hexadecimal quantity.
pub(super) fn quantity(value: &Value) -> Option<u64> {
    u64::from_str_radix(value.as_str()?.strip_prefix("0x")?, 16).ok()
}
