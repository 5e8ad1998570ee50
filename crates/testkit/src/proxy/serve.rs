//! Sockets: accepting, reading, answering, and the ways of not answering.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::exchange::{self, Done, Outcome, Shared};
use super::fault::Outage;

/// Most open connections: well below the usual 1024 file descriptors of a process, of which each
/// takes one here and, while it forwards, one to the node.
const CONNECTIONS_MAX: usize = 400;
/// Most bytes of a request: a batch of 500 transactions of geth's largest size in hexadecimal
/// digits does not fit, one of ordinary size does many times over.
const BODY_BYTES_MAX: usize = 32 << 20;
/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;
/// How long to wait after the operating system refused a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The proxy's port. Holding it keeps the port even while nothing listens on it.
#[derive(Debug)]
pub(super) struct Port {
    number: u16,
    _holder: TcpSocket,
}

/// Why a connection is closed in the middle of an exchange.
#[derive(Debug, thiserror::Error)]
#[error("cut")]
struct Cut;

impl Port {
    /// Takes a loopback port; 0 takes a free one.
    pub(super) fn take(number: u16) -> io::Result<Self> {
        let holder = socket(number)?;
        let number = holder.local_addr()?.port();
        Ok(Self {
            number,
            _holder: holder,
        })
    }

    pub(super) fn number(&self) -> u16 {
        self.number
    }

    pub(super) fn listen(&self) -> io::Result<TcpListener> {
        socket(self.number)?.listen(BACKLOG)
    }
}

/// A bound socket. Those of this user that ask for it may share the port, and only one that listens
/// gets connections. Without `SO_REUSEADDR`, for that would let anybody have the port while nothing
/// listens.
fn socket(port: u16) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseport(true)?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    Ok(socket)
}

/// Serves until it is dropped; while connections are to be refused, closes the listener.
pub(super) async fn serve(shared: Arc<Shared>, port: Port, mut listener: Option<TcpListener>) {
    let mut outages = shared.control.outages();
    let refusing = |outage: &Option<Outage>| *outage == Some(Outage::Refuse);
    let mut connections = JoinSet::new();
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        match listener.take().map_or_else(|| port.listen(), Ok) {
            Ok(listener) => {
                shared.control.set_listening(true);
                tokio::select! {
                    () = accept(&listener, &shared, &places, &mut connections) => {}
                    _ = outages.wait_for(refusing) => {}
                }
            }
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
        if refusing(&outages.borrow_and_update()) {
            connections.shutdown().await;
            shared.control.set_listening(false);
            // The sender lives as long as `shared`.
            let _ended = outages.wait_for(|outage| !refusing(outage)).await;
        }
    }
}

async fn accept(
    listener: &TcpListener,
    shared: &Arc<Shared>,
    places: &Arc<Semaphore>,
    connections: &mut JoinSet<()>,
) {
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(place) = Arc::clone(places).acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let shared = Arc::clone(shared);
        let mut cuts = shared.control.cuts();
        connections.spawn(async move {
            tokio::select! {
                () = connection(stream, shared) => {}
                _ = cuts.changed() => {}
            }
            drop(place);
        });
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    // Answers are written at once and are not to wait for more.
    let _slower_at_worst = stream.set_nodelay(true);
    let service = service_fn(move |request| respond(Arc::clone(&shared), request));
    let serving = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // An error is a cut, by either side.
    let _closed = serving.await;
}

async fn respond(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Cut> {
    if request.method() != Method::POST {
        return Ok(response(StatusCode::METHOD_NOT_ALLOWED, Bytes::new()));
    }
    let body = Limited::new(request.into_body(), BODY_BYTES_MAX);
    let Ok(body) = body.collect().await else {
        return Ok(response(StatusCode::PAYLOAD_TOO_LARGE, Bytes::new()));
    };
    let exchange = exchange::run(shared, body.to_bytes(), Instant::now());
    // In a task of its own, for this one ends when the client leaves.
    let Done { outcome, wait } = tokio::spawn(exchange).await.map_err(|_| Cut)?;
    if !wait.is_zero() {
        sleep(wait).await;
    }
    match outcome {
        Outcome::Answer(answer) => {
            let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
            Ok(response(status, answer.body))
        }
        Outcome::Cut => Err(Cut),
        Outcome::Silence => match pending::<Infallible>().await {},
    }
}

fn response(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}
