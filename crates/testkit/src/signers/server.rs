//! The listener that all key services have in common.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::control::{KeyFault, KeyServiceControl, Step};

/// Most bytes of a request: a token and a hash have a few thousand.
const BODY_BYTES_MAX: usize = 1 << 20;
/// How long to wait after the operating system refused a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a service is asked.
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// What it answers.
pub(super) struct Given {
    pub(super) status: u16,
    pub(super) kind: &'static str,
    pub(super) body: String,
}

/// A kind of service.
pub(super) trait Fake: Send + Sync + 'static {
    /// What a request is for.
    fn step(&self, asked: &Asked) -> Step;

    /// Checks a request and answers it. The fault is one that only concerns signatures.
    fn answer(&self, asked: &Asked, fault: Option<&KeyFault>) -> Given;

    /// An error in the service's form.
    fn error(&self, status: u16, text: &str) -> Given;
}

/// A running key service. It listens on 127.0.0.1 only and ends when this is dropped.
pub struct KeyService {
    url: String,
    control: KeyServiceControl,
    /// Aborted on drop.
    _tasks: JoinSet<()>,
}

#[derive(Debug, thiserror::Error)]
#[error("cut")]
struct Cut;

impl KeyService {
    pub(super) async fn start(fake: impl Fake) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let control = KeyServiceControl::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::new(fake), control.clone()));
        Ok(Self {
            url,
            control,
            _tasks: tasks,
        })
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The handle that makes it fail, and tells what it was asked.
    pub fn control(&self) -> &KeyServiceControl {
        &self.control
    }
}

impl Asked {
    /// A header's value; empty when there is none.
    pub(super) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default()
    }

    /// The body as JSON; null when it is none.
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl Given {
    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self {
            status,
            kind: "application/json",
            body: body.to_string(),
        }
    }
}

/// The fields of a form.
pub(super) fn form(body: &[u8]) -> BTreeMap<String, String> {
    form_urlencoded::parse(body).into_owned().collect()
}

/// Seconds since the Unix epoch.
#[expect(
    clippy::disallowed_methods,
    reason = "services tell by their own clock whether a request is too old"
)]
pub(super) fn now() -> u64 {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since_epoch.unwrap_or_default().as_secs()
}

async fn accept<F: Fake>(listener: TcpListener, fake: Arc<F>, control: KeyServiceControl) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.spawn(serve(stream, Arc::clone(&fake), control.clone()));
            }
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn serve<F: Fake>(stream: TcpStream, fake: Arc<F>, control: KeyServiceControl) {
    let service = service_fn(move |request| {
        let (fake, control) = (Arc::clone(&fake), control.clone());
        async move { respond(&*fake, &control, request).await }
    });
    let serving = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // An error is a cut, by either side.
    let _closed = serving.await;
}

async fn respond(
    fake: &impl Fake,
    control: &KeyServiceControl,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Cut> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, BODY_BYTES_MAX).collect().await;
    let asked = Asked {
        method: head.method,
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        body: body.map_err(|_| Cut)?.to_bytes(),
    };
    let step = fake.step(&asked);
    let fault = control.next(step);
    let mut wait = None;
    let given = match fault {
        Some(KeyFault::Hang) => {
            control.saw(step, 0);
            match pending::<Infallible>().await {}
        }
        Some(KeyFault::Cut) => {
            control.saw(step, 0);
            return Err(Cut);
        }
        Some(KeyFault::Status(status)) => fake.error(status, &echo(&asked)),
        Some(KeyFault::Busy { seconds }) => {
            wait = Some(seconds);
            fake.error(429, "slow down")
        }
        Some(KeyFault::Garbage) => Given::json(200, &Value::String("…".to_owned())),
        Some(KeyFault::Slow(time)) => {
            sleep(time).await;
            fake.answer(&asked, None)
        }
        Some(KeyFault::OtherKey | KeyFault::HighS | KeyFault::NoSignature) | None => {
            fake.answer(&asked, fault.as_ref())
        }
    };
    control.saw(step, given.status);
    response(given, wait).map_err(|_| Cut)
}

/// Everything that was sent: what an error must not show again.
fn echo(asked: &Asked) -> String {
    let headers = asked.headers.values();
    let headers: Vec<_> = headers.filter_map(|value| value.to_str().ok()).collect();
    let body = String::from_utf8_lossy(&asked.body);
    format!("scripted; was sent {body} {}", headers.join(" "))
}

fn response(given: Given, wait: Option<u64>) -> Result<Response<Full<Bytes>>, hyper::http::Error> {
    let mut response = Response::builder()
        .status(StatusCode::from_u16(given.status)?)
        .header(CONTENT_TYPE, given.kind);
    if let Some(seconds) = wait {
        response = response.header(RETRY_AFTER, seconds);
    }
    response.body(Full::new(Bytes::from(given.body)))
}
