//! One caller of the HTTP API.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use baton_vault::Secret;
use reqwest::redirect::Policy;
use reqwest::{Method, Response, StatusCode};
use serde_json::Value;
use url::Url;

use crate::cli::CallerArgs;
use crate::config::Variables;

const URL_DEFAULT: &str = "http://localhost:8080";
/// Longest wait for an answer: longer than the engine takes by default before it gives up.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// Longest wait for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// Most bytes of an answer: a page of a thousand transactions has at most 8 MiB of data, as 16 MiB of hex.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// A caller.
pub(super) struct Client {
    http: reqwest::Client,
    base: Url,
    key: Secret,
}

/// Why there is no success.
#[derive(Debug)]
pub(super) enum Failure {
    /// The engine said so.
    Refused {
        /// Its status.
        status: StatusCode,
        /// Its words.
        text: String,
    },
    /// There was no answer, or none that can be understood: what happened is not known.
    NoAnswer(anyhow::Error),
}

/// A success.
pub(super) struct Answer {
    /// The whole body.
    pub(super) body: Value,
    /// Whether the lane has yet to carry the command out.
    pub(super) is_pending: bool,
    /// Whether the request was known already.
    pub(super) is_replayed: bool,
}

impl Answer {
    pub(super) fn data(&self) -> &Value {
        &self.body["data"]
    }
}

impl Failure {
    /// Whether the same call may well succeed in a moment.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::NoAnswer(_) => true,
            Self::Refused { status, .. } => {
                *status == StatusCode::TOO_MANY_REQUESTS
                    || (status.is_server_error() && *status != StatusCode::NOT_IMPLEMENTED)
            }
        }
    }
}

impl From<Failure> for anyhow::Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused { status, text } => anyhow!("{text} ({})", status.as_u16()),
            Failure::NoAnswer(error) => error,
        }
    }
}

impl Client {
    pub(super) fn new(arguments: &CallerArgs, variables: &dyn Variables) -> Result<Self> {
        let given = |name: &str| variables.get(name).filter(|value| !value.is_empty());
        let url = arguments.url.clone().or_else(|| given("BATON_URL"));
        let url = url.unwrap_or_else(|| URL_DEFAULT.to_owned());
        let base = Url::parse(&url).ok().filter(|base| {
            let is_http = base.scheme() == "http" || base.scheme() == "https";
            is_http && base.username().is_empty() && base.password().is_none()
        });
        let base = base.with_context(|| {
            format!("--url or BATON_URL must be an http or https URL without a user, such as {URL_DEFAULT}")
        })?;
        let Some(key) = given("API_KEY") else {
            bail!(
                "API_KEY must be set to a key of the engine: the one that it was started with, or one made with its API"
            );
        };
        // Another part of the program may have been first; its choice is the same.
        let _already_installed = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .timeout(ANSWER_MAX)
            .connect_timeout(CONNECT_MAX)
            // The key is for this engine, not for where it may point to.
            .redirect(Policy::none())
            .build()?;
        let key = Secret::new(key);
        Ok(Self { http, base, key })
    }

    pub(super) async fn get(
        &self,
        path: &[&str],
        query: &[(&str, String)],
    ) -> Result<Answer, Failure> {
        self.call(Method::GET, path, query, None, None).await
    }

    pub(super) async fn delete(&self, path: &[&str]) -> Result<Answer, Failure> {
        self.call(Method::DELETE, path, &[], None, None).await
    }

    pub(super) async fn post(
        &self,
        path: &[&str],
        body: &Value,
        idempotency_key: &str,
    ) -> Result<Answer, Failure> {
        self.call(Method::POST, path, &[], Some(body), Some(idempotency_key))
            .await
    }

    async fn call(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<&Value>,
        idempotency_key: Option<&str>,
    ) -> Result<Answer, Failure> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self
            .http
            .request(method, url)
            .bearer_auth(self.key.expose());
        if let Some(body) = body {
            request = request.json(body);
        }
        if let Some(key) = idempotency_key {
            request = request.header("Idempotency-Key", key);
        }
        let told = |error: reqwest::Error| {
            let text = format!("no answer from {}", self.base);
            Failure::NoAnswer(anyhow::Error::from(error.without_url()).context(text))
        };
        let response = request.send().await.map_err(told)?;
        self.read(response).await
    }

    async fn read(&self, mut response: Response) -> Result<Answer, Failure> {
        let status = response.status();
        let has = |name: &str| response.headers().contains_key(name);
        let (is_pending, is_replayed) = (has("baton-command"), has("idempotent-replayed"));
        let mut bytes = Vec::new();
        while let Some(part) = response.chunk().await.map_err(|error| {
            let text = format!("the answer from {} broke off", self.base);
            Failure::NoAnswer(anyhow::Error::from(error.without_url()).context(text))
        })? {
            if bytes.len() + part.len() > ANSWER_BYTES_MAX {
                return Err(Failure::NoAnswer(anyhow!(
                    "an answer of more than {ANSWER_BYTES_MAX} bytes"
                )));
            }
            bytes.extend_from_slice(&part);
        }
        let body: Option<Value> = serde_json::from_slice(&bytes).ok();
        if status.is_success() {
            let body = body.filter(|body| body["success"] == true).ok_or_else(|| {
                Failure::NoAnswer(anyhow!("{} does not answer as a relayer does", self.base))
            })?;
            return Ok(Answer {
                body,
                is_pending,
                is_replayed,
            });
        }
        let text = body.as_ref().and_then(|body| body["error"].as_str());
        let text = match (text, status) {
            (_, StatusCode::UNAUTHORIZED) => "the key in API_KEY is not one of this engine",
            (Some(text), _) => text,
            (None, _) => "the engine refused without a reason",
        };
        let text = text.to_owned();
        Err(Failure::Refused { status, text })
    }
}
