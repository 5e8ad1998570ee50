//! Who may act on a lane.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use baton_model::LaneId;
use serde::{Deserialize, Serialize};

use crate::StoreError;

/// The number of an acquisition. It rises at every acquisition of a lane and never repeats,
/// whatever restarts.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who holds a lease: host, process and a random part, so that a restarted process is another
/// holder.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HolderId(pub String);

/// A lease that was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acquired {
    /// The fence for every batch written under it.
    pub epoch: Epoch,
}

/// Why a lease was not given, renewed or released.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// Somebody else holds it.
    #[error("held by {} for another {remaining:?}", holder.0)]
    Held {
        /// Who.
        holder: HolderId,
        /// How long it runs, by the store's clock, unless renewed.
        remaining: Duration,
    },
    /// The epoch is not the lane's current one, or its lease has run out: stop acting on the lane.
    #[error("the lease was lost")]
    Lost,
    /// The store failed; whether the operation took effect is unknown.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Leases on lanes. The store's clock decides when one runs out; a holder must stop acting a margin
/// before that by its own clock, counted from before it asked.
#[async_trait]
pub trait Lease: Send + Sync {
    /// Takes the lane if nobody holds it or the holder's lease has run out. At most one holder is
    /// live at any time. A holder that acquires again what it holds gets a new epoch.
    async fn acquire(
        &self,
        lane: &LaneId,
        holder: &HolderId,
        ttl: Duration,
    ) -> Result<Acquired, LeaseError>;

    /// Extends the lease to `ttl` from now. A lease that ran out is [`LeaseError::Lost`] even if
    /// nobody took it.
    async fn renew(&self, lane: &LaneId, epoch: Epoch, ttl: Duration) -> Result<(), LeaseError>;

    /// Gives the lane back: the next `acquire` succeeds at once, with a higher epoch, and batches
    /// under this epoch are refused from now on.
    async fn release(&self, lane: &LaneId, epoch: Epoch) -> Result<(), LeaseError>;
}
