//! Wake-ups within one process.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::watch;

use crate::{WakeEvent, Wakeups};

/// Wakes tasks of this process by topic. A publication is never lost; several may be heard as one.
#[derive(Debug)]
pub struct Topics {
    /// `None` once closed. A topic is kept while somebody listens to it.
    senders: Mutex<Option<BTreeMap<String, watch::Sender<()>>>>,
}

/// Hears one topic.
#[derive(Debug)]
pub struct Topic(watch::Receiver<()>);

impl Topics {
    /// No topics, open.
    #[expect(
        clippy::new_without_default,
        reason = "an empty set of topics is nothing to default to"
    )]
    pub const fn new() -> Self {
        Self {
            senders: Mutex::new(Some(BTreeMap::new())),
        }
    }

    /// Wakes whoever listens to the topic.
    pub fn publish(&self, topic: &str) {
        let mut senders = self.lock();
        let Some(senders) = senders.as_mut() else {
            return;
        };
        if senders
            .get(topic)
            .is_some_and(|sender| sender.send(()).is_err())
        {
            senders.remove(topic);
        }
    }

    /// Listens from now on. On closed topics the subscription has ended.
    pub fn subscribe(&self, topic: &str) -> Topic {
        let mut senders = self.lock();
        let Some(senders) = senders.as_mut() else {
            return Topic(watch::Sender::new(()).subscribe());
        };
        // Topics come and go with lanes: those without listeners go when a new one comes.
        if !senders.contains_key(topic) {
            senders.retain(|_, sender| sender.receiver_count() > 0);
        }
        Topic(senders.entry(topic.to_owned()).or_default().subscribe())
    }

    /// Ends all subscriptions.
    pub fn close(&self) {
        self.lock().take();
    }

    fn lock(&self) -> MutexGuard<'_, Option<BTreeMap<String, watch::Sender<()>>>> {
        self.senders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Wakeups for Topic {
    async fn next(&mut self) -> Option<WakeEvent> {
        self.0.changed().await.ok().map(|()| WakeEvent::Published)
    }
}
