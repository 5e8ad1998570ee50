//! Holding a lane's baton: taking it, renewing it, and knowing when it may no longer be relied on.

use std::time::Duration;

use baton_coord::{Epoch, HolderId, LeaseError};
use baton_model::LaneId;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::SharedStore;

/// Share of a lease that is kept back for clocks that run at different speeds and for messages under way: a holder stops
/// acting when nine tenths have passed since it asked.
const MARGIN_DIVISOR: u32 = 10;

/// Renewals within one lease: two may fail.
const RENEWALS: u32 = 3;

/// Pause before a renewal that the store did not answer is repeated.
const RENEW_RETRY: Duration = Duration::from_millis(100);

/// A held baton, renewed in the background for as long as it is kept.
pub(super) struct Baton {
    store: SharedStore,
    lane: LaneId,
    epoch: Epoch,
    /// Until when this process may act on the lane; `None` once it is lost for sure.
    until: watch::Receiver<Option<Instant>>,
    keeper: JoinHandle<()>,
}

impl Baton {
    /// Takes the baton; the error says how long to wait before trying again.
    pub(super) async fn acquire(
        store: &SharedStore,
        lane: &LaneId,
        holder: &HolderId,
        lease: Duration,
    ) -> Result<Self, Duration> {
        let asked = Instant::now();
        match store.acquire(lane, holder, lease).await {
            Ok(acquired) => {
                let epoch = acquired.epoch;
                let (sender, until) = watch::channel(Some(asked + usable(lease)));
                let keeper = keep(
                    SharedStore::clone(store),
                    lane.clone(),
                    epoch,
                    lease,
                    sender,
                );
                let (store, lane) = (SharedStore::clone(store), lane.clone());
                Ok(Self {
                    store,
                    lane,
                    epoch,
                    until,
                    keeper: tokio::spawn(keeper),
                })
            }
            Err(LeaseError::Held { remaining, .. }) => {
                Err(remaining.clamp(Duration::from_millis(50), lease / RENEWALS))
            }
            Err(LeaseError::Lost) => Err(Duration::from_millis(50)),
            Err(LeaseError::Store(error)) => {
                tracing::warn!(%lane, %error, "cannot ask for the baton; trying again");
                Err(lease / RENEWALS)
            }
        }
    }

    /// The fence for what is written under it.
    pub(super) const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Ends when this process may no longer act on the lane.
    pub(super) async fn lost(&mut self) {
        loop {
            let Some(until) = *self.until.borrow_and_update() else {
                return;
            };
            tokio::select! {
                () = tokio::time::sleep_until(until) => return,
                changed = self.until.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Gives the baton back: a successor takes it at once.
    pub(super) async fn release(self) {
        self.keeper.abort();
        if let Err(error) = self.store.release(&self.lane, self.epoch).await {
            tracing::warn!(lane = %self.lane, %error, "cannot give the baton back; it will run out");
        }
    }
}

impl Drop for Baton {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

/// Renews until the baton is lost. A store that does not answer changes nothing: time decides.
async fn keep(
    store: SharedStore,
    lane: LaneId,
    epoch: Epoch,
    lease: Duration,
    until: watch::Sender<Option<Instant>>,
) {
    loop {
        tokio::time::sleep(lease / RENEWALS).await;
        loop {
            let asked = Instant::now();
            match store.renew(&lane, epoch, lease).await {
                Ok(()) => {
                    until.send_replace(Some(asked + usable(lease)));
                    break;
                }
                Err(LeaseError::Lost | LeaseError::Held { .. }) => {
                    until.send_replace(None);
                    return;
                }
                Err(LeaseError::Store(error)) => {
                    tracing::warn!(%lane, %error, "cannot renew the baton; trying again");
                    tokio::time::sleep(RENEW_RETRY).await;
                }
            }
        }
    }
}

fn usable(lease: Duration) -> Duration {
    lease - lease / MARGIN_DIVISOR
}
