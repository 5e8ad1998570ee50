//! Leases: taken, kept, given back, and lost with the server that gave them.

use std::time::Duration;

use async_trait::async_trait;
use baton_coord::limits::check_ttl;
use baton_coord::{Acquired, Epoch, HolderId, Lease, LeaseError, StoreError};
use baton_model::LaneId;

use crate::call::{Call, On};
use crate::commit;
use crate::error::Failure;
use crate::keys::lane_slot;
use crate::reply::Answer;
use crate::server::Run;
use crate::store::{RedisStore, strange};

/// Why the script of leases has no answer.
enum LeaseCall {
    Elsewhere,
    Failed(StoreError),
}

#[async_trait]
impl Lease for RedisStore {
    async fn acquire(
        &self,
        lane: &LaneId,
        holder: &HolderId,
        ttl: Duration,
    ) -> Result<Acquired, LeaseError> {
        check_ttl(ttl)?;
        self.list_lane(lane).await?;
        let (now, ttl) = (self.settings().now(), ttl.as_millis().to_string());
        let seen = self.shared.leases.seen(lane).to_string();
        let arguments = ["acquire", &now, &holder.0, &ttl, &seen];
        let (answer, run) = match self.lease(lane, &arguments, None).await {
            Ok(answered) => answered,
            Err(LeaseCall::Failed(error)) => return Err(LeaseError::Store(error)),
            Err(LeaseCall::Elsewhere) => return Err(LeaseError::Store(strange())),
        };
        if answer.word == "held" {
            return Err(LeaseError::Held {
                holder: HolderId(answer.text(0).ok_or_else(strange)?),
                remaining: Duration::from_millis(answer.number(1).ok_or_else(strange)?),
            });
        }
        let epoch = answer.number(0).map(Epoch).ok_or_else(strange)?;
        self.shared.leases.acquired(lane, epoch, run);
        if answer.text(1).is_some_and(|known| known.is_empty()) {
            self.list_again(lane).await;
        }
        Ok(Acquired { epoch })
    }

    async fn renew(&self, lane: &LaneId, epoch: Epoch, ttl: Duration) -> Result<(), LeaseError> {
        check_ttl(ttl)?;
        let (now, ttl) = (self.settings().now(), ttl.as_millis().to_string());
        let arguments = ["renew", &now, &epoch.to_string(), &ttl];
        let on = self.given_by(lane, epoch);
        self.keep_or_lose(lane, epoch, &arguments, on).await
    }

    async fn release(&self, lane: &LaneId, epoch: Epoch) -> Result<(), LeaseError> {
        let now = self.settings().now();
        let arguments = ["release", &now, &epoch.to_string()];
        let released = self.keep_or_lose(lane, epoch, &arguments, None).await;
        if released.is_ok() {
            self.shared.leases.lost(lane, epoch);
        }
        released
    }
}

impl RedisStore {
    /// Runs the script of leases.
    async fn lease(
        &self,
        lane: &LaneId,
        arguments: &[&str],
        on: Option<On>,
    ) -> Result<(Answer, Run), LeaseCall> {
        let settings = self.settings();
        let script = &settings.scripts.lease;
        let keys = [settings.keys.meta(lane)];
        let call = Call {
            slot: lane_slot(lane),
            command: commit::script(&script.digest, &keys, arguments),
            script: Some(script),
            bytes: 0,
            writes: true,
            on,
        };
        let answered = self
            .shared
            .caller
            .call(&call)
            .await
            .map_err(|failure| match failure {
                Failure::Elsewhere => LeaseCall::Elsewhere,
                Failure::NotDone(_) | Failure::Unknown(_) => LeaseCall::Failed(failure.of_read()),
            })?;
        let answer = Answer::of(answered.value).ok_or_else(|| LeaseCall::Failed(strange()))?;
        if answer.word == "refused" {
            let reason = answer.text(0).unwrap_or_default();
            if reason.starts_with("READONLY") {
                self.shared.caller.nodes.doubt();
            }
            return Err(LeaseCall::Failed(StoreError::Unavailable { reason }));
        }
        Ok((answer, answered.run))
    }

    /// Takes a lease back that was given by a server, or a run of it, that does not serve the lane any more: what was
    /// written under it may be gone. Returns the lane's epoch.
    pub(crate) async fn revoke(&self, lane: &LaneId, epoch: Epoch) -> Result<Epoch, StoreError> {
        tracing::warn!(%lane, %epoch, "the lane is served by another run of a server: its lease is lost");
        let now = self.settings().now();
        let given = epoch.to_string();
        match self.lease(lane, &["revoke", &now, &given], None).await {
            Ok((answer, _)) => {
                self.shared.leases.lost(lane, epoch);
                answer.number(0).map(Epoch).ok_or_else(strange)
            }
            Err(LeaseCall::Failed(error)) => Err(error),
            Err(LeaseCall::Elsewhere) => Err(strange()),
        }
    }

    async fn keep_or_lose(
        &self,
        lane: &LaneId,
        epoch: Epoch,
        arguments: &[&str],
        on: Option<On>,
    ) -> Result<(), LeaseError> {
        match self.lease(lane, arguments, on).await {
            Ok((answer, _)) if answer.word == "ok" => Ok(()),
            Ok(_) => {
                self.shared.leases.lost(lane, epoch);
                Err(LeaseError::Lost)
            }
            Err(LeaseCall::Failed(error)) => Err(LeaseError::Store(error)),
            Err(LeaseCall::Elsewhere) => {
                self.revoke(lane, epoch).await?;
                Err(LeaseError::Lost)
            }
        }
    }
}
