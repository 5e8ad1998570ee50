//! Accepting connections, within limits, until told to stop.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tower::ServiceExt;

use crate::connection::{Activity, Answer, Impatient, Patience};

/// How long to wait after the operating system refused a connection, typically because the process
/// has no file descriptor left: trying again at once would only burn the processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Size of a connection's read buffer. Bodies larger than it are read in parts.
const READ_BUFFER_BYTES: usize = 64 * 1024;

/// What a listener and each of its connections may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Open connections. Beyond, peers wait in the operating system's backlog until one is closed,
    /// as with the reference.
    pub connections: usize,
    /// Bytes of a request's head, request line included; beyond, 431.
    pub head_bytes: usize,
    /// Headers of a request; beyond, 431.
    pub headers: usize,
    /// How long the head of a request may take from its first byte, and a new connection's from
    /// its start. Then the connection is closed without an answer.
    pub head_timeout: Duration,
    /// How long a connection may be idle between requests.
    pub idle_timeout: Duration,
    /// How long a peer may take no byte of an answer.
    pub write_timeout: Duration,
    /// How long requests in flight may still take once serving is to end.
    pub drain: Duration,
}

impl Default for ConnectionLimits {
    /// 256 connections and 55 s idle are the reference's. Heads: proxies send at most 8 KiB in a
    /// line and 32 KiB in all by default, real clients below 4 KiB. 10 s for a head is what a
    /// mobile network needs at its worst; 30 s to drain is the time-out of a request.
    fn default() -> Self {
        Self {
            connections: 256,
            head_bytes: 32 * 1024,
            headers: 100,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(55),
            write_timeout: Duration::from_secs(30),
            drain: Duration::from_secs(30),
        }
    }
}

/// The peer's address, found in the extensions of a request. Behind a proxy it is the proxy's: what
/// `X-Forwarded-For` says can be made up, so it is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

/// How serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were open when serving was to end.
    pub open: usize,
    /// Of these, those that ended on their own: idle, or after the answer to their last request.
    pub finished: usize,
    /// Of these, those that were cut at the deadline, with a request in flight or half sent.
    pub cut: usize,
}

/// Serves `router` on a bound listener until `shutdown` is ready. Then no connection is accepted
/// any more, idle ones are closed, requests in flight are answered, and what is left at the
/// deadline ([`ConnectionLimits::drain`]) is cut. Returns when no connection is left.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ConnectionLimits,
    shutdown: impl Future<Output = ()>,
) -> Drained {
    let (stop, _) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(ended) = connections.join_next() => report(ended),
            accepted = listener.accept(), if connections.len() < limits.connections => {
                match accepted {
                    Ok((stream, peer)) => {
                        let connection =
                            Connection { stream, peer, router: router.clone(), limits };
                        connections.spawn(connection.run(stop.subscribe()));
                    }
                    Err(error) => pause_after(&error).await,
                }
            }
        }
    }
    drop(listener);
    drain(connections, &stop, limits.drain).await
}

struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    limits: ConnectionLimits,
}

impl Connection {
    async fn run(self, mut stop: watch::Receiver<bool>) {
        let Self {
            stream,
            peer,
            router,
            limits,
        } = self;
        // Answers are written whole; waiting to fill a packet only delays them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "TCP_NODELAY was not set");
        }
        let activity = Activity::new();
        let patience = Patience {
            head: limits.head_timeout,
            idle: limits.idle_timeout,
            write: limits.write_timeout,
        };
        let io = TokioIo::new(Impatient::new(stream, activity.clone(), patience));
        let service = service_fn(|request| answer(router.clone(), activity.clone(), peer, request));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .max_buf_size(READ_BUFFER_BYTES.max(limits.head_bytes))
            .max_header_size(limits.head_bytes)
            .max_headers(limits.headers)
            // The socket keeps the time; with this set as well, it is asked again after an answer.
            .header_read_timeout(limits.idle_timeout + limits.head_timeout)
            .serve_connection(io, service)
            .with_upgrades();
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = told(&mut stop) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "connection ended early");
        }
    }
}

/// Ready once serving is to end.
async fn told(stop: &mut watch::Receiver<bool>) {
    // The sender outlives every connection.
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn answer(
    router: Router,
    activity: Activity,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response<Answer>, Infallible> {
    let handling = activity.handling();
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(PeerAddr(peer));
    let response = router.oneshot(request).await?;
    Ok(response.map(|body| Answer {
        body,
        _handling: handling,
    }))
}

async fn drain(
    mut connections: JoinSet<()>,
    stop: &watch::Sender<bool>,
    deadline: Duration,
) -> Drained {
    let open = connections.len();
    stop.send_replace(true);
    let finish = async {
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    };
    // Either outcome is told by the number of connections left.
    let _ = timeout(deadline, finish).await;
    let cut = connections.len();
    connections.shutdown().await;
    Drained {
        open,
        finished: open - cut,
        cut,
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection's task failed");
    }
}

async fn pause_after(error: &std::io::Error) {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    // The peer gave up while it waited: its own affair.
    if [ConnectionAborted, ConnectionRefused, ConnectionReset].contains(&error.kind()) {
        return;
    }
    tracing::warn!(%error, "a connection could not be accepted");
    sleep(ACCEPT_PAUSE).await;
}
