//! Logs and wake-ups.

use std::time::Duration;

use async_trait::async_trait;
use baton_coord::limits::{READ_WAIT_MAX, check_limit, check_topic};
use baton_coord::{Log, LogEntry, Position, StoreError, Wake, Wakeups};
use baton_model::LaneId;
use redis::cmd;
use tokio::time::{Instant, sleep, timeout};

use crate::commit;
use crate::events::Kind;
use crate::keys::lane_slot;
use crate::reply;
use crate::store::{ANSWER_BYTES_MAX, RedisStore, Shared, strange};

/// How often a waiting reader looks although it heard nothing: bounds what a lost message costs.
const LOOK_EVERY: Duration = Duration::from_secs(5);

#[async_trait]
impl Log for RedisStore {
    async fn read(
        &self,
        lane: &LaneId,
        after: Position,
        limit: usize,
        wait: Duration,
    ) -> Result<Vec<LogEntry>, StoreError> {
        check_limit(limit)?;
        if wait.is_zero() {
            return self.entries(lane, after, limit).await;
        }
        let deadline = Instant::now() + wait.min(READ_WAIT_MAX);
        let channel = self.settings().keys.appended(lane);
        // Listens before it looks, so that an append between the two is heard.
        let mut listener = self.shared.events.listen(&channel, Kind::Log);
        let mut was_confirmed = listener.as_ref().is_some_and(|l| l.is_confirmed());
        // The last entry is known to this process, and was read.
        let mut is_seen = was_confirmed && listener.as_mut().is_some_and(|l| l.is_at(after));
        loop {
            if let Some(listener) = &mut listener
                && !is_seen
            {
                listener.heard.mark_unchanged();
            }
            let found = if std::mem::take(&mut is_seen) {
                Vec::new()
            } else {
                self.entries(lane, after, limit).await?
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if !found.is_empty() || left.is_zero() {
                return Ok(found);
            }
            let longest = left.min(LOOK_EVERY);
            let Some(listener) = &mut listener else {
                sleep(longest).await;
                continue;
            };
            if !was_confirmed {
                // Then it has to look again: what came before was not heard.
                was_confirmed = listener.confirmed(longest).await;
                continue;
            }
            if let Ok(Err(_)) = timeout(longest, listener.heard.changed()).await {
                return Ok(found);
            }
        }
    }

    async fn last(&self, lane: &LaneId) -> Result<Position, StoreError> {
        let mut command = cmd("HGET");
        command.arg(self.settings().keys.meta(lane)).arg("last");
        let answer = self.ask(lane_slot(lane), command, None).await?;
        Ok(Position(reply::number(&answer).unwrap_or(0)))
    }
}

#[async_trait]
impl Wake for RedisStore {
    async fn publish(&self, topic: &str) -> Result<(), StoreError> {
        check_topic(topic)?;
        let Shared {
            events, publisher, ..
        } = &*self.shared;
        events.tell(&self.settings().keys.topic(topic), 0);
        if publisher.publish(topic) {
            return Ok(());
        }
        Err(StoreError::Unavailable {
            reason: "too many wake-ups wait to be published".to_owned(),
        })
    }

    async fn subscribe(&self, topic: &str) -> Result<Box<dyn Wakeups>, StoreError> {
        check_topic(topic)?;
        let channel = self.settings().keys.topic(topic);
        let unavailable = |reason: &str| StoreError::Unavailable {
            reason: reason.to_owned(),
        };
        let listener = self.shared.events.listen(&channel, Kind::Topic);
        let mut listener = listener.ok_or_else(|| unavailable("too many topics are heard"))?;
        let longest = self.settings().options.search_timeout;
        if !listener.confirmed(longest).await {
            return Err(unavailable("no server takes the subscription"));
        }
        Ok(Box::new(listener.into_subscription()))
    }
}

impl RedisStore {
    async fn entries(
        &self,
        lane: &LaneId,
        after: Position,
        limit: usize,
    ) -> Result<Vec<LogEntry>, StoreError> {
        let settings = self.settings();
        let script = &settings.scripts.read;
        let arguments = [
            after.0.to_string(),
            limit.to_string(),
            ANSWER_BYTES_MAX.to_string(),
        ];
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let keys = [settings.keys.log(lane)];
        let command = commit::script(&script.digest, &keys, &arguments);
        let answer = self.ask(lane_slot(lane), command, Some(script)).await?;
        let mut parts = reply::list(answer).ok_or_else(strange)?.into_iter();
        let mut entries = Vec::with_capacity(parts.len() / 2);
        while let (Some(id), Some(value)) = (parts.next(), parts.next()) {
            let position = reply::text(&id).and_then(|id| id.strip_suffix("-0")?.parse().ok());
            entries.push(LogEntry {
                position: Position(position.ok_or_else(strange)?),
                value: reply::bytes(value).ok_or_else(strange)?,
            });
        }
        Ok(entries)
    }
}
