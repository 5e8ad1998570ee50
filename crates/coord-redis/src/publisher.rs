//! Publishes wake-ups behind the callers' backs: whoever publishes need not wait for the server.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::aio::ConnectionLike;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use crate::nodes::Nodes;
use crate::settings::Settings;

/// Topics that wait to be published: more only pile up behind a server that does not answer.
const WAITING_MAX: usize = 4096;

/// Least time from one piece to the next: under load what comes meanwhile travels together.
const GAP: Duration = Duration::from_millis(5);

/// Topics that wait; a topic that is published again meanwhile is published once.
#[derive(Default)]
pub(crate) struct Publisher {
    waiting: Mutex<BTreeSet<String>>,
    added: Notify,
}

impl Publisher {
    /// Hands a topic over. `false` when too many wait.
    pub(crate) fn publish(&self, topic: &str) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if !waiting.contains(topic) {
            if waiting.len() >= WAITING_MAX {
                return false;
            }
            waiting.insert(topic.to_owned());
            self.added.notify_one();
        }
        true
    }

    /// Publishes what waits, all at once, again and again.
    pub(crate) async fn run(self: Arc<Self>, settings: Arc<Settings>, nodes: Arc<Nodes>) {
        let slot = u16::try_from(settings.process % 16_384).unwrap_or(0);
        let process = settings.process.to_string();
        let mut next = Instant::now();
        loop {
            self.added.notified().await;
            sleep_until(next).await;
            next = Instant::now() + GAP;
            let topics =
                std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
            let mut pipeline = redis::pipe();
            for topic in &topics {
                let channel = settings.keys.topic(topic);
                pipeline.cmd("PUBLISH").arg(channel).arg(&process);
            }
            // Losing one costs its hearers time, and they would look late if it was sent late.
            let sent = async {
                let deadline = Instant::now() + settings.options.connect_timeout;
                let host = nodes.route(slot, deadline).await.map_err(|no| no.reason)?;
                let link = host.link(slot, false);
                let connected = link.connected(deadline).await.map_err(|no| no.reason)?;
                let mut connection = connected.connection;
                let sent = connection.req_packed_commands(&pipeline, 0, topics.len());
                sent.await.map_err(|error| error.to_string())
            };
            match timeout(settings.options.answer_timeout, sent).await {
                Ok(Ok(_)) => {}
                Ok(Err(reason)) => tracing::debug!(reason, "wake-ups were lost"),
                Err(_) => tracing::debug!("wake-ups were lost: the server does not answer"),
            }
        }
    }
}
