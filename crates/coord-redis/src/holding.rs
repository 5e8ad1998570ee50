//! Who holds a lane, for people: nothing may be decided by it.

use std::time::Duration;

use baton_coord::{Epoch, HolderId, StoreError};
use baton_model::LaneId;
use redis::cmd;

use crate::keys::lane_slot;
use crate::reply;
use crate::store::{RedisStore, strange};

/// A lease that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// Who holds it.
    pub holder: HolderId,
    /// Under which epoch.
    pub epoch: Epoch,
    /// How long it runs, by the server's clock, unless renewed.
    pub remaining: Duration,
}

impl RedisStore {
    /// Who holds a lane now; `None` when nobody does. It may have changed by the time it is read.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn holding(&self, lane: &LaneId) -> Result<Option<Holding>, StoreError> {
        let mut command = cmd("HMGET");
        command.arg(self.settings().keys.meta(lane));
        command.arg(&["holder", "epoch", "expires"]);
        let answer = self.ask(lane_slot(lane), command, None).await?;
        let fields = reply::list(answer).ok_or_else(strange)?;
        let holder = fields.first().and_then(reply::text);
        let epoch = fields.get(1).and_then(reply::number);
        let expires = fields.get(2).and_then(reply::number);
        let (Some(holder), Some(epoch), Some(expires)) = (holder, epoch, expires) else {
            return Ok(None);
        };
        let remaining = expires.saturating_sub(self.server_now(lane).await?);
        Ok((remaining > 0).then(|| Holding {
            holder: HolderId(holder),
            epoch: Epoch(epoch),
            remaining: Duration::from_millis(remaining),
        }))
    }

    /// The time by which a lane's lease runs, in milliseconds.
    async fn server_now(&self, lane: &LaneId) -> Result<u64, StoreError> {
        if let Some(clock) = &self.settings().options.clock {
            return Ok(clock.now().as_millis());
        }
        let answer = self.ask(lane_slot(lane), cmd("TIME"), None).await?;
        let parts = reply::list(answer).ok_or_else(strange)?;
        let [seconds, micros] = parts.as_slice() else {
            return Err(strange());
        };
        let number = |part| reply::number(part).ok_or_else(strange);
        Ok(number(seconds)? * 1000 + number(micros)? / 1000)
    }
}
