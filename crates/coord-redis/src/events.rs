//! Hears what is published: one connection for the whole process, whatever is listened to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use baton_coord::{Position, WakeEvent, Wakeups};
use futures_util::StreamExt;
use redis::Msg;
use redis::aio::{PubSubSink, PubSubStream};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use crate::link::pause;
use crate::nodes::Nodes;
use crate::settings::Settings;

/// How long a channel that nobody listens to is kept: a reader that comes back at once finds it open.
const LINGER: Duration = Duration::from_secs(30);
/// How often the connection is tried, and channels without listeners are closed.
const TICK: Duration = Duration::from_secs(5);
/// Channels named in one command.
const CHANNELS_AT_ONCE: usize = 512;
/// Channels that are heard: more than the lanes of a process. Beyond it a reader finds entries by looking.
const CHANNELS_MAX: usize = 128 * 1024;

/// What a channel's messages are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Appends to a log: the position of the last entry.
    Log,
    /// Publications of a topic: who published.
    Topic,
}

/// What was heard so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    messages: u64,
    /// How often messages may have been lost.
    lagged: u64,
    position: u64,
    /// The highest position since all is heard: what one process appends and what it hears of others may cross.
    highest: u64,
}

/// Hears one channel.
pub(crate) struct Listener {
    pub(crate) heard: watch::Receiver<Heard>,
    confirmed: watch::Receiver<bool>,
}

/// A subscription to a topic.
pub(crate) struct Subscription {
    heard: watch::Receiver<Heard>,
    lagged: u64,
}

/// All that is listened to.
pub(crate) struct Events {
    /// `None` once closed.
    channels: Mutex<Option<BTreeMap<String, Channel>>>,
    wanted: Notify,
}

struct Channel {
    kind: Kind,
    heard: watch::Sender<Heard>,
    /// Whether the server sends its messages to this process.
    confirmed: watch::Sender<bool>,
    /// Since when nobody listens.
    idle: Option<Instant>,
}

impl Listener {
    /// Whether everything published from now on is heard.
    pub(crate) fn is_confirmed(&self) -> bool {
        *self.confirmed.borrow()
    }

    /// Whether the highest that was heard is an entry at this position. What is heard next counts as new.
    pub(crate) fn is_at(&mut self, position: Position) -> bool {
        position.0 > 0 && self.heard.borrow_and_update().highest == position.0
    }

    /// Waits until everything published from then on is heard; `false` if that does not come about in time.
    pub(crate) async fn confirmed(&mut self, longest: Duration) -> bool {
        let confirmed = timeout(longest, self.confirmed.wait_for(|confirmed| *confirmed)).await;
        matches!(confirmed, Ok(Ok(_)))
    }

    pub(crate) fn into_subscription(self) -> Subscription {
        let mut heard = self.heard;
        let lagged = heard.borrow_and_update().lagged;
        Subscription { heard, lagged }
    }
}

#[async_trait]
impl Wakeups for Subscription {
    async fn next(&mut self) -> Option<WakeEvent> {
        self.heard.changed().await.ok()?;
        let lagged = self.heard.borrow_and_update().lagged;
        if lagged == self.lagged {
            return Some(WakeEvent::Published);
        }
        self.lagged = lagged;
        Some(WakeEvent::Lagged)
    }
}

impl Events {
    pub(crate) fn new() -> Self {
        Self {
            channels: Mutex::new(Some(BTreeMap::new())),
            wanted: Notify::new(),
        }
    }

    /// Listens to a channel. `None` when there are too many, or all have ended.
    pub(crate) fn listen(&self, name: &str, kind: Kind) -> Option<Listener> {
        let mut channels = self.lock();
        let channels = channels.as_mut()?;
        if !channels.contains_key(name) {
            if channels.len() >= CHANNELS_MAX {
                return None;
            }
            channels.insert(name.to_owned(), Channel::new(kind));
            self.wanted.notify_one();
        }
        let channel = channels.get_mut(name)?;
        channel.idle = None;
        Some(Listener {
            heard: channel.heard.subscribe(),
            confirmed: channel.confirmed.subscribe(),
        })
    }

    /// Tells this process what it published itself: it need not wait for the server to say so.
    pub(crate) fn tell(&self, name: &str, position: u64) {
        if let Some(channel) = self.lock().as_ref().and_then(|all| all.get(name)) {
            channel.tell(position);
        }
    }

    /// Ends all subscriptions.
    pub(crate) fn close(&self) {
        self.lock().take();
    }

    /// Connects and hears, again and again, until the store is gone.
    pub(crate) async fn run(self: Arc<Self>, settings: Arc<Settings>, nodes: Arc<Nodes>) {
        // Any server of a cluster passes on what is published at another.
        let slot = u16::try_from(settings.process % 16_384).unwrap_or(0);
        let mut failed = 0;
        loop {
            match self.connect(&settings, &nodes, slot).await {
                Ok((sink, stream, address)) => {
                    let began = Instant::now();
                    let is_current = || {
                        let host = nodes.peek(slot);
                        host.is_some_and(|host| host.address == address)
                    };
                    self.hear(&settings, sink, stream, is_current).await;
                    self.unconfirm();
                    // One that is refused its subscriptions is connected all the same, and must not come back at once.
                    failed = if began.elapsed() > TICK {
                        0
                    } else {
                        failed + 1
                    };
                }
                Err(reason) => {
                    failed += 1;
                    tracing::debug!(reason, "cannot listen to wake-ups");
                }
            }
            sleep(pause(failed)).await;
        }
    }

    async fn connect(
        &self,
        settings: &Settings,
        nodes: &Nodes,
        slot: u16,
    ) -> Result<(PubSubSink, PubSubStream, crate::Address), String> {
        let longest = settings.options.connect_timeout;
        let deadline = Instant::now() + longest;
        let host = nodes.route(slot, deadline).await.map_err(|no| no.reason)?;
        let link = host.link(slot, false);
        // Checks the server as well.
        link.connected(deadline).await.map_err(|no| no.reason)?;
        let client = settings.client(&link.address);
        let client = client.map_err(|error| error.to_string())?;
        let connected = timeout(longest, client.get_async_pubsub()).await;
        let connected = connected
            .map_err(|_| "no connection in time".to_owned())?
            .map_err(|error| error.to_string())?;
        let (sink, stream) = connected.split();
        Ok((sink, stream, link.address.clone()))
    }

    /// Until the connection ends, or another server should be listened to.
    async fn hear(
        &self,
        settings: &Settings,
        mut sink: PubSubSink,
        mut stream: PubSubStream,
        is_current: impl Fn() -> bool,
    ) {
        let longest = settings.options.connect_timeout;
        let silence = settings.keys.silence();
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        if !self.open_channels(&mut sink, longest).await {
            return;
        }
        loop {
            let goes_on = tokio::select! {
                message = stream.next() => match message {
                    Some(message) => {
                        self.heard(settings, &message);
                        true
                    }
                    None => false,
                },
                () = self.wanted.notified() => self.open_channels(&mut sink, longest).await,
                _ = ticks.tick() => {
                    // An answer to anything shows that the connection still leads to the server.
                    let answered = timeout(longest, sink.subscribe(&silence)).await;
                    matches!(answered, Ok(Ok(())))
                        && is_current()
                        && self.close_channels(&mut sink, longest).await
                }
            };
            if !goes_on {
                return;
            }
        }
    }

    /// Opens those that are not. `false` when the connection has ended.
    async fn open_channels(&self, sink: &mut PubSubSink, longest: Duration) -> bool {
        loop {
            let names = self.unconfirmed();
            if names.is_empty() {
                return true;
            }
            let subscribed = timeout(longest, sink.subscribe(&names)).await;
            if !matches!(subscribed, Ok(Ok(()))) {
                return false;
            }
            let channels = self.lock();
            for name in &names {
                if let Some(channel) = channels.as_ref().and_then(|all| all.get(name)) {
                    channel.confirm();
                }
            }
        }
    }

    fn unconfirmed(&self) -> Vec<String> {
        let channels = self.lock();
        let all = channels.iter().flatten();
        let unconfirmed = all.filter(|(_, channel)| !*channel.confirmed.borrow());
        unconfirmed
            .map(|(name, _)| name.clone())
            .take(CHANNELS_AT_ONCE)
            .collect()
    }

    async fn close_channels(&self, sink: &mut PubSubSink, longest: Duration) -> bool {
        let names = self.remove_idle();
        for names in names.chunks(CHANNELS_AT_ONCE) {
            let closed = timeout(longest, sink.unsubscribe(names)).await;
            if !matches!(closed, Ok(Ok(()))) {
                return false;
            }
        }
        // One that was closed may be wanted again by now.
        self.open_channels(sink, longest).await
    }

    fn remove_idle(&self) -> Vec<String> {
        let now = Instant::now();
        let mut removed = Vec::new();
        let mut channels = self.lock();
        let Some(channels) = channels.as_mut() else {
            return removed;
        };
        channels.retain(|name, channel| {
            if channel.heard.receiver_count() > 0 {
                channel.idle = None;
                return true;
            }
            let keep = *channel.idle.get_or_insert(now) + LINGER > now;
            if !keep {
                removed.push(name.clone());
            }
            keep
        });
        removed
    }

    fn heard(&self, settings: &Settings, message: &Msg) {
        let channels = self.lock();
        let name = message.get_channel_name();
        let Some(channel) = channels.as_ref().and_then(|all| all.get(name)) else {
            return;
        };
        let payload = std::str::from_utf8(message.get_payload_bytes()).ok();
        let number = payload
            .and_then(|payload| payload.parse().ok())
            .unwrap_or(0);
        match channel.kind {
            Kind::Topic if number == settings.process => {}
            Kind::Topic => channel.tell(0),
            Kind::Log => channel.tell(number),
        }
    }

    fn unconfirm(&self) {
        for channel in self.lock().iter().flat_map(BTreeMap::values) {
            channel.confirmed.send_replace(false);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<BTreeMap<String, Channel>>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Channel {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            heard: watch::Sender::new(Heard::default()),
            confirmed: watch::Sender::new(false),
            idle: None,
        }
    }

    /// Whoever listens already is told that messages may have been lost, before those that wait for this are let on.
    fn confirm(&self) {
        self.heard.send_modify(|heard| {
            heard.lagged += 1;
            heard.position = 0;
            heard.highest = 0;
        });
        self.confirmed.send_replace(true);
    }

    /// What this process appended comes a second time from the server, and is told once.
    fn tell(&self, position: u64) {
        let kind = self.kind;
        self.heard.send_if_modified(|heard| {
            if kind == Kind::Log && heard.position == position {
                return false;
            }
            heard.messages += 1;
            heard.position = position;
            heard.highest = heard.highest.max(position);
            true
        });
    }
}
