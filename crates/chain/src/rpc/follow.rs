//! Following the heads of each endpoint: by WebSocket where there is one, by polling otherwise.
//!
//! Polling never stops altogether. While a WebSocket brings news it only checks, after a silence,
//! that the silence is the chain's; while the WebSocket is down it runs at its full pace. Each
//! endpoint has one poll under way at most.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use reqwest::Url;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use super::node::Node;
use super::pool::Pool;
use super::wire::Ask;
use crate::config::{EvmClientConfig, ParsedEndpoint};
use crate::evm::quantity::Quantity;
use crate::{HeadRef, RpcError};

/// Longest WebSocket message. A header is about 1.5 KiB.
const MESSAGE_MAX: usize = 1 << 20;
/// First wait before a WebSocket is opened again; doubles up to the next constant.
const RECONNECT_BASE: Duration = Duration::from_millis(250);
/// Longest such wait. Polling goes on meanwhile, so this only delays the return to the cheaper way.
const RECONNECT_MAX: Duration = Duration::from_secs(30);
/// Longest wait between polls of an endpoint that does not answer.
const POLL_BACKOFF_MAX: Duration = Duration::from_secs(2);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// How the heads are followed.
pub(crate) struct Feed {
    pool: Arc<Pool>,
    poll: Duration,
    /// A WebSocket that was silent for so long is checked.
    silence: Duration,
    timeout: Duration,
    stop: watch::Receiver<bool>,
    /// One per endpoint that takes calls: asks for a poll at once.
    triggers: Vec<Arc<Notify>>,
}

/// What the poll and the WebSocket of one endpoint know of each other.
#[derive(Default)]
struct Link {
    live: Mutex<Socketed>,
    /// Ends a WebSocket that lags behind its own endpoint.
    drop_socket: Notify,
}

/// The state of a WebSocket.
#[derive(Clone, Copy, Default)]
enum Socketed {
    #[default]
    Down,
    /// Open; blocks may have come before the subscription, so that a poll has to come first.
    Open,
    Live(Live),
}

#[derive(Clone, Copy)]
struct Live {
    number: u64,
    heard: Instant,
}

impl Feed {
    /// Starts following every endpoint until `stop` is true.
    pub(crate) fn start(
        pool: &Arc<Pool>,
        endpoints: Vec<ParsedEndpoint>,
        config: &EvmClientConfig,
        stop: &watch::Receiver<bool>,
        tasks: &mut JoinSet<()>,
    ) {
        let feed = Arc::new(Self {
            pool: Arc::clone(pool),
            poll: config.poll_interval(),
            silence: config.silence(),
            timeout: config.timeout,
            stop: stop.clone(),
            triggers: pool.nodes.iter().map(|_| Arc::default()).collect(),
        });
        let mut links: Vec<Option<Arc<Link>>> = vec![None; endpoints.len()];
        for (node, trigger) in pool.nodes.iter().zip(&feed.triggers) {
            let link = Arc::<Link>::default();
            links[node.index] = Some(Arc::clone(&link));
            let poller = Poller {
                feed: Arc::clone(&feed),
                node: Arc::clone(node),
                trigger: Arc::clone(trigger),
                link,
            };
            tasks.spawn(async move { poller.run().await });
        }
        for (index, endpoint) in endpoints.into_iter().enumerate() {
            if let (Some(url), true) = (endpoint.ws, endpoint.weight > 0) {
                let listener = Listener {
                    feed: Arc::clone(&feed),
                    node: pool.nodes.iter().find(|node| node.index == index).cloned(),
                    link: links[index].take().unwrap_or_default(),
                    host: endpoint.host,
                    url,
                };
                tasks.spawn(async move { listener.run().await });
            }
        }
    }

    async fn stopped(&self) {
        let mut stop = self.stop.clone();
        // An error means that the client is gone, which is a stop too.
        let _gone = stop.wait_for(|stop| *stop).await;
    }
}

struct Poller {
    feed: Arc<Feed>,
    node: Arc<Node>,
    trigger: Arc<Notify>,
    link: Arc<Link>,
}

impl Poller {
    async fn run(&self) {
        let mut wait = Duration::ZERO;
        loop {
            tokio::select! {
                () = self.feed.stopped() => return,
                () = self.trigger.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
            if self.link.is_fresh(self.feed.silence) {
                wait = self.feed.poll;
                continue;
            }
            let polled = tokio::select! {
                () = self.feed.stopped() => return,
                polled = self.poll() => polled,
            };
            wait = match polled {
                Ok(number) => {
                    self.link.compare(number);
                    let head = HeadRef { number, hash: None };
                    self.feed.pool.report(self.node.index, head);
                    self.feed.poll
                }
                Err(reason) => {
                    tracing::debug!(%reason, "head not polled");
                    wait.max(self.feed.poll)
                        .saturating_mul(2)
                        .min(POLL_BACKOFF_MAX)
                }
            };
        }
    }

    async fn poll(&self) -> Result<u64, String> {
        let ask = [Ask::new("eth_blockNumber", &[(); 0])];
        let replies = self
            .node
            .exchange(&ask)
            .await
            .map_err(|fault| fault.reason)?;
        let result = replies
            .into_iter()
            .next()
            .ok_or("no answer")?
            .map_err(|error: RpcError| error.to_string())?;
        serde_json::from_str::<Quantity<u64>>(result.get())
            .map(|quantity| quantity.0)
            .map_err(|error| format!("{}: unreadable block number: {error}", self.node.host))
    }
}

impl Link {
    /// Whether the WebSocket is open and brought news lately.
    fn is_fresh(&self, silence: Duration) -> bool {
        match *self.lock() {
            Socketed::Live(live) => live.heard.elapsed() < silence,
            Socketed::Down | Socketed::Open => false,
        }
    }

    /// Takes what a poll found after a silence: either the chain was silent, or the WebSocket has
    /// failed.
    fn compare(&self, polled: u64) {
        let mut socket = self.lock();
        match *socket {
            Socketed::Down => {}
            Socketed::Live(live) if live.number < polled => {
                *socket = Socketed::Down;
                self.drop_socket.notify_one();
            }
            Socketed::Live(_) | Socketed::Open => *socket = Socketed::heard(polled),
        }
    }

    fn set(&self, socket: Socketed) {
        *self.lock() = socket;
    }

    fn lock(&self) -> MutexGuard<'_, Socketed> {
        // The value is replaced as a whole.
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Socketed {
    fn heard(number: u64) -> Self {
        Self::Live(Live {
            number,
            heard: Instant::now(),
        })
    }
}

struct Listener {
    feed: Arc<Feed>,
    /// `None` for an endpoint that only announces: its news make the others be polled.
    node: Option<Arc<Node>>,
    link: Arc<Link>,
    host: String,
    url: Url,
}

impl Listener {
    async fn run(&self) {
        let mut wait = RECONNECT_BASE;
        loop {
            let ended = tokio::select! {
                () = self.feed.stopped() => return,
                ended = self.listen() => ended,
            };
            self.link.set(Socketed::Down);
            if ended.heard {
                wait = RECONNECT_BASE;
            }
            let reason = ended.reason;
            tracing::info!(endpoint = %self.host, reason, "no heads by WebSocket, polling");
            tokio::select! {
                () = self.feed.stopped() => return,
                () = tokio::time::sleep(wait.mul_f64(rand::random_range(0.8..=1.2))) => {}
            }
            wait = wait.saturating_mul(2).min(RECONNECT_MAX);
        }
    }

    async fn listen(&self) -> Ended {
        let mut ended = Ended {
            heard: false,
            reason: String::new(),
        };
        let subscribed = tokio::time::timeout(self.feed.timeout, self.subscribe()).await;
        let mut socket = match subscribed {
            Ok(Ok(socket)) => socket,
            Ok(Err(reason)) => return Ended { reason, ..ended },
            Err(_) => {
                ended.reason = "no answer to the subscription".to_owned();
                return ended;
            }
        };
        self.link.set(Socketed::Open);
        loop {
            let message = tokio::select! {
                message = socket.next() => message,
                () = self.link.drop_socket.notified() => {
                    ended.reason = "it lags behind its own node".to_owned();
                    return ended;
                }
            };
            match message {
                Some(Ok(Message::Text(text))) => {
                    ended.heard |= self.take(text.as_str());
                }
                Some(Ok(Message::Close(_))) | None => {
                    ended.reason = "closed".to_owned();
                    return ended;
                }
                // Pings are answered by the library when the socket is read.
                Some(Ok(
                    Message::Ping(_) | Message::Pong(_) | Message::Binary(_) | Message::Frame(_),
                )) => {}
                Some(Err(error)) => {
                    ended.reason = describe(&error);
                    return ended;
                }
            }
        }
    }

    async fn subscribe(&self) -> Result<Socket, String> {
        let limits = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_MAX))
            .max_frame_size(Some(MESSAGE_MAX));
        let (mut socket, _) = connect_async_with_config(self.url.as_str(), Some(limits), true)
            .await
            .map_err(|error| describe(&error))?;
        let request = r#"{"jsonrpc":"2.0","id":1,"method":"eth_subscribe","params":["newHeads"]}"#;
        socket
            .send(Message::text(request))
            .await
            .map_err(|error| describe(&error))?;
        while let Some(message) = socket.next().await {
            let message = message.map_err(|error| describe(&error))?;
            let Message::Text(text) = message else {
                continue;
            };
            let answer: Subscribed = serde_json::from_str(text.as_str())
                .map_err(|_| "unreadable answer to the subscription".to_owned())?;
            return match answer {
                Subscribed { result: Some(_) } => Ok(socket),
                Subscribed { result: None } => Err("it does not offer newHeads".to_owned()),
            };
        }
        Err("closed".to_owned())
    }

    /// True if the message was a head.
    fn take(&self, text: &str) -> bool {
        let Ok(Notice { params }) = serde_json::from_str::<Notice>(text) else {
            tracing::debug!(endpoint = %self.host, "unreadable message by WebSocket");
            return false;
        };
        let number = params.result.number.0;
        match &self.node {
            Some(node) => {
                self.link.set(Socketed::heard(number));
                node.heard();
                let head = HeadRef {
                    number,
                    hash: params.result.hash,
                };
                self.feed.pool.report(node.index, head);
            }
            None => self.feed.triggers.iter().for_each(|t| t.notify_one()),
        }
        true
    }
}

struct Ended {
    heard: bool,
    reason: String,
}

#[derive(Deserialize)]
struct Subscribed {
    result: Option<String>,
}

#[derive(Deserialize)]
struct Notice {
    params: NoticeParams,
}

#[derive(Deserialize)]
struct NoticeParams {
    result: Header,
}

#[derive(Deserialize)]
struct Header {
    number: Quantity<u64>,
    hash: Option<alloy_primitives::B256>,
}

/// The library's text of some errors holds the whole URL, and with it perhaps an access key.
fn describe(error: &WsError) -> String {
    match error {
        WsError::Url(_) => "unusable URL".to_owned(),
        WsError::Http(response) => format!("HTTP status {}", response.status().as_u16()),
        WsError::HttpFormat(_) => "malformed HTTP answer".to_owned(),
        WsError::ConnectionClosed
        | WsError::AlreadyClosed
        | WsError::Io(_)
        | WsError::Tls(_)
        | WsError::Capacity(_)
        | WsError::Protocol(_)
        | WsError::WriteBufferFull(_)
        | WsError::Utf8(_)
        | WsError::AttackAttempt => error.to_string(),
    }
}
