//! One HTTP exchange with a key service, within limits, with secrets kept out of errors.

use std::error::Error;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Response, StatusCode, Url};
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::fault::{Fault, words};
use super::{OpenError, RemoteLimits};
use crate::Secret;

/// Most bytes of an answer: the largest, a key with its versions, has some thousand per version.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// Idle connections kept to one host: as many as signatures are asked for at a time.
const IDLE_PER_HOST: usize = 32;
/// How long a connection may be idle: below what common servers allow, so that a request does not
/// meet a connection that is just being closed.
const IDLE_MAX: Duration = Duration::from_secs(20);
/// Longest wait that a service may ask for. More would be a mistake of somebody's, and an account
/// stands still for as long.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);

pub(super) const JSON: &str = "application/json";
pub(super) const FORM: &str = "application/x-www-form-urlencoded";

/// Asks services.
#[derive(Clone, Debug)]
pub(super) struct Http {
    client: Client,
    exchange_max: Duration,
}

/// One question.
#[derive(Debug)]
pub(super) struct Ask {
    method: Method,
    url: Url,
    headers: Vec<(&'static str, String)>,
    hidden_headers: Vec<(&'static str, Secret)>,
    body: Option<(&'static str, Zeroizing<Vec<u8>>)>,
    hidden: Vec<Secret>,
}

/// What came back, whatever it says.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    wait: Option<Duration>,
    body: Zeroizing<Vec<u8>>,
    hidden: Vec<Secret>,
}

impl Http {
    /// A client that follows no redirects (they would carry credentials to a host nobody
    /// configured) and uses no proxy from the environment.
    pub(super) fn new(limits: &RemoteLimits) -> Result<Self, OpenError> {
        // The TLS library wants one provider per process; whoever comes first installs it.
        let _already_installed = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .connect_timeout(limits.exchange)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .pool_idle_timeout(IDLE_MAX)
            .redirect(Policy::none())
            .no_proxy()
            .build()
            .map_err(|error| OpenError::Unavailable {
                reason: format!("HTTP client: {}", describe(&error)),
            })?;
        Ok(Self {
            client,
            exchange_max: limits.exchange,
        })
    }

    /// Asks once. An answer of any status is an answer.
    pub(super) async fn ask(&self, ask: Ask) -> Result<Answer, Fault> {
        let hidden = ask.hidden.clone();
        let host = ask.url.host_str().unwrap_or_default().to_owned();
        let exchange = self.exchange(ask);
        match tokio::time::timeout(self.exchange_max, exchange).await {
            Ok(answer) => answer.map_err(|mut fault| {
                fault.reason = hide(&format!("{host}: {}", fault.reason), &hidden);
                fault
            }),
            Err(_) => Err(Fault::passing(format!(
                "{host}: no answer within {} ms",
                self.exchange_max.as_millis()
            ))),
        }
    }

    async fn exchange(&self, ask: Ask) -> Result<Answer, Fault> {
        let mut request = self.client.request(ask.method, ask.url);
        for (name, value) in &ask.headers {
            request = request.header(*name, header_value(name, value)?);
        }
        for (name, value) in &ask.hidden_headers {
            let mut value = header_value(name, value.expose())?;
            value.set_sensitive(true);
            request = request.header(HeaderName::from_static(name), value);
        }
        if let Some((kind, body)) = &ask.body {
            request = request
                .header(CONTENT_TYPE, HeaderValue::from_static(kind))
                .body(body.to_vec());
        }
        let response = request
            .send()
            .await
            .map_err(|error| Fault::passing(describe(&error.without_url())))?;
        let status = response.status();
        let wait = retry_after(&response);
        let body = collect(response).await?;
        Ok(Answer {
            status,
            wait,
            body,
            hidden: ask.hidden,
        })
    }
}

impl Ask {
    pub(super) fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            headers: Vec::new(),
            hidden_headers: Vec::new(),
            body: None,
            hidden: Vec::new(),
        }
    }

    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// A header that no error ever shows.
    pub(super) fn secret_header(mut self, name: &'static str, value: &Secret) -> Self {
        self.hidden_headers.push((name, value.clone()));
        self.hide(value)
    }

    /// A bearer token.
    pub(super) fn bearer(self, token: &Secret) -> Self {
        let value = Secret::new(format!("Bearer {}", token.expose()));
        self.hide(token).secret_header("authorization", &value)
    }

    pub(super) fn body(mut self, kind: &'static str, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some((kind, Zeroizing::new(body.into())));
        self
    }

    pub(super) fn json(self, body: &serde_json::Value) -> Self {
        self.body(JSON, body.to_string())
    }

    /// A form; the values may be secrets, of which errors show none that was hidden.
    pub(super) fn form(self, fields: &[(&str, &str)]) -> Self {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields);
        self.body(FORM, form.finish())
    }

    /// Keeps a value out of every error about this question, whoever repeats it, as it is or as it
    /// stands in a form.
    pub(super) fn hide(mut self, secret: &Secret) -> Self {
        let in_form = form_urlencoded::byte_serialize(secret.expose().as_bytes());
        self.hidden.push(Secret::new(in_form.collect::<String>()));
        self.hidden.push(secret.clone());
        self
    }
}

impl Answer {
    pub(super) fn is_success(&self) -> bool {
        self.status.is_success()
    }

    pub(super) fn status(&self) -> u16 {
        self.status.as_u16()
    }

    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap_or_default()
    }

    /// The body as JSON of the form wanted.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        serde_json::from_slice(&self.body).map_err(|error| {
            // The error's own text may quote the body, in which there may be a key.
            let place = format!("line {} column {}", error.line(), error.column());
            Fault::passing(format!(
                "HTTP status {} with a body that is not what the service answers ({place})",
                self.status()
            ))
        })
    }

    /// The body as JSON if it is that.
    pub(super) fn value(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A failure by its status alone, with what the service says about it.
    pub(super) fn fault(&self, said: &str) -> Fault {
        let status = self.status();
        let said = words(&hide(said, &self.hidden));
        let reason = if said.is_empty() {
            format!("HTTP status {status}")
        } else {
            format!("HTTP status {status}: {said}")
        };
        let mut fault = match status {
            401 => Fault::credentials(reason),
            408 | 425 | 429 | 500..=599 => Fault::passing(reason),
            _ => Fault::lasting(reason),
        };
        fault.wait = self.wait;
        fault
    }
}

/// A URL of a service: `http` or `https`, with a host, without credentials in it.
pub(super) fn service_url(field: &'static str, text: &str) -> Result<Url, OpenError> {
    let refused = |rule: &str| OpenError::Setting {
        field,
        rule: rule.to_owned(),
    };
    let url = Url::parse(text).map_err(|_| refused("must be an http or https URL"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(refused("must be an http or https URL"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused("must be a URL without a user or password in it"));
    }
    Ok(url)
}

/// A URL with a path below another's, each segment encoded.
pub(super) fn below<'a>(base: &Url, segments: impl IntoIterator<Item = &'a str>) -> Url {
    let mut url = base.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    url
}

/// The error with its causes, which is where "connection refused" is found.
fn describe(error: &dyn Error) -> String {
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

fn hide(text: &str, hidden: &[Secret]) -> String {
    let mut text = text.to_owned();
    for secret in hidden.iter().filter(|secret| !secret.is_empty()) {
        text = text.replace(secret.expose(), "[redacted]");
    }
    text
}

fn header_value(name: &str, value: &str) -> Result<HeaderValue, Fault> {
    HeaderValue::from_str(value).map_err(|_| {
        Fault::lasting(format!(
            "the value for the header {name} has characters that HTTP does not allow"
        ))
    })
}

fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    // As a date it would need the service's clock; the usual backoff serves as well.
    let seconds = value.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

async fn collect(mut response: Response) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let oversized = || Fault::passing(format!("the answer has more than {ANSWER_BYTES_MAX} bytes"));
    // Reserved at once: a buffer that grows leaves unerased copies behind.
    let announced = response.content_length().unwrap_or(4096);
    let announced = usize::try_from(announced).map_err(|_| oversized())?;
    if announced > ANSWER_BYTES_MAX {
        return Err(oversized());
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(announced));
    loop {
        let chunk = response
            .chunk()
            .await
            .map_err(|error| Fault::passing(describe(&error.without_url())))?;
        match chunk {
            Some(chunk) if bytes.len() + chunk.len() > ANSWER_BYTES_MAX => return Err(oversized()),
            Some(chunk) => bytes.extend_from_slice(&chunk),
            None => return Ok(bytes),
        }
    }
}
