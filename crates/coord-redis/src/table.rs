//! Values, batches, and the list of lanes.

use async_trait::async_trait;
use baton_coord::limits::{check_key, check_limit};
use baton_coord::{Admin, Batch, CommitError, Committed, Entry, Key, Scan, StoreError, Table};
use baton_model::LaneId;
use redis::cmd;
use tokio::task::coop::unconstrained;
use tokio::time::{Instant, sleep, timeout_at};

use crate::call::Call;
use crate::commit::{self, Outcome};
use crate::error::Failure;
use crate::keys::{lane_slot, lanes_slot};
use crate::link::pause;
use crate::range;
use crate::reply::{self, Answer};
use crate::store::{ANSWER_BYTES_MAX, RedisStore, strange};

#[async_trait]
impl Table for RedisStore {
    async fn get(&self, lane: &LaneId, key: &Key) -> Result<Option<Entry>, StoreError> {
        check_key(key)?;
        let mut command = cmd("HGET");
        command.arg(self.settings().keys.values(lane)).arg(&key[..]);
        let answer = self.ask(lane_slot(lane), command, None).await?;
        if answer == redis::Value::Nil {
            return Ok(None);
        }
        let stored = reply::bytes(answer).ok_or_else(strange)?;
        entry(lane, key.clone(), &stored).map(Some)
    }

    async fn scan(&self, lane: &LaneId, scan: &Scan) -> Result<Vec<Entry>, StoreError> {
        scan.check()?;
        let settings = self.settings();
        let script = &settings.scripts.scan;
        let (command, first, second) = range::bounds(scan);
        let keys = [settings.keys.names(lane), settings.keys.values(lane)];
        let mut call = commit::script(&script.digest, &keys, &[command]);
        call.arg(first)
            .arg(second)
            .arg(scan.skip)
            .arg(scan.limit)
            .arg(ANSWER_BYTES_MAX);
        let answer = self.ask(lane_slot(lane), call, Some(script)).await?;
        let answer = Answer::of(answer).ok_or_else(strange)?;
        match answer.word.as_str() {
            "ok" => {}
            "large" => {
                let found = answer.number(0).ok_or_else(strange)?;
                return Err(StoreError::Invalid {
                    reason: format!(
                        "more than {ANSWER_BYTES_MAX} bytes in {} of the {} values asked for; ask for fewer",
                        found + 1,
                        scan.limit
                    ),
                });
            }
            _ => {
                return Err(StoreError::Damaged {
                    reason: format!("lane {lane}: a name without a value"),
                });
            }
        }
        let mut parts = answer.parts.into_iter();
        let mut entries = Vec::with_capacity(parts.len() / 2);
        while let (Some(key), Some(value)) = (parts.next(), parts.next()) {
            let key = reply::bytes(key).ok_or_else(strange)?;
            let value = reply::bytes(value).ok_or_else(strange)?;
            entries.push(entry(lane, key, &value)?);
        }
        Ok(entries)
    }

    async fn commit(&self, batch: Batch) -> Result<Committed, CommitError> {
        batch.check()?;
        // A task that has used up its share of the runtime would be held back before it has taken its place among the
        // calls, and lose it to its next one.
        unconstrained(self.apply(batch)).await
    }
}

#[async_trait]
impl Admin for RedisStore {
    async fn lanes(&self, after: Option<&LaneId>, limit: usize) -> Result<Vec<LaneId>, StoreError> {
        check_limit(limit)?;
        let mut command = cmd("ZRANGEBYLEX");
        let low = after.map_or_else(|| "-".to_owned(), |after| format!("({after}"));
        command.arg(self.settings().keys.lanes()).arg(low).arg("+");
        command.arg("LIMIT").arg(0).arg(limit);
        let answer = self.ask(lanes_slot(), command, None).await?;
        let names = reply::list(answer).ok_or_else(strange)?;
        let lane = |name| LaneId::new(reply::text(name)?).ok();
        let lanes: Option<Vec<LaneId>> = names.iter().map(lane).collect();
        lanes.ok_or_else(|| StoreError::Damaged {
            reason: "the list of lanes holds what is no lane".to_owned(),
        })
    }
}

impl RedisStore {
    async fn apply(&self, batch: Batch) -> Result<Committed, CommitError> {
        let give_up = Instant::now() + self.settings().options.search_timeout;
        let not_done = |reason: String| CommitError::Unavailable { reason };
        let kib = u32::try_from(batch.bytes() / 1024 + 1).unwrap_or(u32::MAX);
        let room = timeout_at(give_up, self.shared.room.acquire_many(kib)).await;
        let _room = room.map_err(|_| not_done("too much waits to be written".to_owned()))?;
        self.list_lane(&batch.lane)
            .await
            .map_err(|error| not_done(error.to_string()))?;
        let mut failed = 0;
        loop {
            match self.send(&batch).await? {
                Outcome::Committed { committed, is_new } => {
                    if let Some(last) = committed.last {
                        let channel = self.settings().keys.appended(&batch.lane);
                        self.shared.events.tell(&channel, last.0);
                    }
                    if is_new {
                        self.list_again(&batch.lane).await;
                    }
                    return Ok(committed);
                }
                Outcome::Not(error) => return Err(error),
                Outcome::Later(reason) => {
                    self.shared.caller.nodes.doubt();
                    failed += 1;
                    let pause = pause(failed);
                    if Instant::now() + pause >= give_up {
                        return Err(not_done(reason));
                    }
                    sleep(pause).await;
                }
            }
        }
    }

    async fn send(&self, batch: &Batch) -> Result<Outcome, CommitError> {
        let settings = self.settings();
        let on = batch
            .fence
            .and_then(|epoch| self.given_by(&batch.lane, epoch));
        let call = Call {
            slot: lane_slot(&batch.lane),
            command: commit::command(settings, batch),
            script: Some(&settings.scripts.commit),
            bytes: batch.bytes(),
            writes: true,
            on,
        };
        match self.shared.caller.call(&call).await {
            Ok(answered) => Ok(commit::outcome(batch, answered.value)),
            Err(Failure::NotDone(reason)) => Err(CommitError::Unavailable { reason }),
            Err(Failure::Unknown(reason)) => Err(CommitError::Unknown { reason }),
            Err(Failure::Elsewhere) => {
                let given = batch.fence.unwrap_or_default();
                let revoked = self.revoke(&batch.lane, given).await;
                let current = revoked.map_err(|error| CommitError::Unavailable {
                    reason: error.to_string(),
                })?;
                Err(CommitError::Fenced { given, current })
            }
        }
    }
}

fn entry(lane: &LaneId, key: Key, stored: &bytes::Bytes) -> Result<Entry, StoreError> {
    let Some((version, value)) = commit::split(stored) else {
        return Err(StoreError::Damaged {
            reason: format!("lane {lane}, key \"{}\": no version", key.escape_ascii()),
        });
    };
    Ok(Entry {
        key,
        version,
        value,
    })
}
