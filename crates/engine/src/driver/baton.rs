//! Holding a lane's baton: taking it, renewing it, and knowing when it may no longer be relied on.
//!
//! The store decides who holds a lane, and refuses the writes of whoever does not. Time is only the second line: it
//! keeps a holder that cannot reach the store from asking nodes and signers for what a successor is asking for already.
//! What a holder may still broadcast after its time, before it has noticed, is harmless: those bytes were durable under
//! its fence, so a successor has them too, counts them as offered, and never gives their nonce to anything else before
//! the chain has decided it.

use std::time::Duration;

use baton_coord::{Epoch, HolderId, LeaseError};
use baton_model::LaneId;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::SharedStore;

/// Share of a lease that is kept back for clocks that run at different speeds and for messages under way: a holder
/// stops acting when nine tenths have passed since it asked.
const MARGIN_DIVISOR: u32 = 10;

/// Renewals within one lease: two may fail.
const RENEWALS: u32 = 3;

/// Pause before a renewal that the store did not answer is repeated.
const RENEW_RETRY: Duration = Duration::from_millis(100);

/// Shortest pause before a baton that was not given is asked for again.
const ACQUIRE_RETRY: Duration = Duration::from_millis(50);

/// Longest wait for the store to take a baton back. It runs out anyway.
const RELEASE_MAX: Duration = Duration::from_secs(2);

/// A held baton, renewed in the background for as long as it is kept.
pub(crate) struct Baton {
    store: SharedStore,
    lane: LaneId,
    epoch: Epoch,
    lease: Duration,
    /// Until when this process may act on the lane; `None` once it is lost for sure.
    until: watch::Receiver<Option<Instant>>,
    keeper: JoinHandle<()>,
}

/// Why the baton was not given.
pub(crate) struct Refused {
    /// How long to wait before asking again, for one that hears nothing of others.
    pub(super) pause: Duration,
    /// The other process that holds it, if that is why.
    pub(super) holder: Option<HolderId>,
    /// How long that process holds it unless it renews; zero without a holder.
    pub(super) remaining: Duration,
}

impl Baton {
    /// Takes the baton, under a new epoch even when this process holds it already.
    pub(crate) async fn acquire(
        store: &SharedStore,
        lane: &LaneId,
        holder: &HolderId,
        lease: Duration,
    ) -> Result<Self, Refused> {
        let longest = (lease / RENEWALS).max(ACQUIRE_RETRY);
        let refused = |pause: Duration| Refused {
            pause: pause.clamp(ACQUIRE_RETRY, longest),
            holder: None,
            remaining: Duration::ZERO,
        };
        let asked = Instant::now();
        match timeout(lease, store.acquire(lane, holder, lease)).await {
            Ok(Ok(acquired)) => {
                let epoch = acquired.epoch;
                let (sender, until) = watch::channel(Some(asked + usable(lease)));
                let keeper = Keeper {
                    store: SharedStore::clone(store),
                    lane: lane.clone(),
                    epoch,
                    lease,
                    until: sender,
                };
                Ok(Self {
                    store: SharedStore::clone(store),
                    lane: lane.clone(),
                    epoch,
                    lease,
                    until,
                    keeper: tokio::spawn(keeper.keep(asked)),
                })
            }
            Ok(Err(LeaseError::Held { holder, remaining })) => Err(Refused {
                holder: Some(holder),
                remaining,
                ..refused(remaining)
            }),
            Ok(Err(LeaseError::Lost)) => Err(refused(Duration::ZERO)),
            Ok(Err(LeaseError::Store(error))) => {
                tracing::warn!(%lane, %error, "cannot ask for the baton; trying again");
                Err(refused(longest))
            }
            Err(_) => {
                tracing::warn!(%lane, "no answer to the question for the baton; trying again");
                Err(refused(ACQUIRE_RETRY))
            }
        }
    }

    /// The fence for what is written under it.
    pub(crate) const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Whether this process may act on the lane now. A process that was stopped for a while has to ask before it goes
    /// on: its timers may not have fired yet.
    pub(crate) fn may_act(&self) -> bool {
        self.until
            .borrow()
            .is_some_and(|until| Instant::now() < until)
    }

    /// Whether it is lost, by the store's word where it gives one.
    pub(super) async fn is_lost(&self) -> bool {
        if !self.may_act() {
            return true;
        }
        let renewed = self.store.renew(&self.lane, self.epoch, self.lease);
        match timeout(self.lease, renewed).await {
            Ok(Ok(())) => false,
            Ok(Err(LeaseError::Lost | LeaseError::Held { .. })) => true,
            Ok(Err(LeaseError::Store(_))) | Err(_) => !self.may_act(),
        }
    }

    /// Ends when this process may no longer act on the lane. May be dropped and called again.
    pub(crate) async fn lost(&self) {
        let mut until = self.until.clone();
        loop {
            let Some(end) = *until.borrow_and_update() else {
                return;
            };
            tokio::select! {
                biased;
                changed = until.changed() => if changed.is_err() { return },
                () = sleep_until(end) => return,
            }
        }
    }

    /// Gives the baton back: a successor takes it at once.
    pub(crate) async fn release(self) {
        self.keeper.abort();
        let released = timeout(RELEASE_MAX, self.store.release(&self.lane, self.epoch)).await;
        let error = match released {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the store does not answer".to_owned(),
        };
        tracing::warn!(lane = %self.lane, error, "cannot give the baton back; it will run out");
    }
}

impl Drop for Baton {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

/// Renews until the baton is lost.
struct Keeper {
    store: SharedStore,
    lane: LaneId,
    epoch: Epoch,
    lease: Duration,
    until: watch::Sender<Option<Instant>>,
}

impl Keeper {
    /// A store that does not answer changes nothing: time decides.
    async fn keep(self, mut asked: Instant) {
        let period = self.lease / RENEWALS;
        loop {
            sleep_until(asked + period).await;
            asked = loop {
                let asked = Instant::now();
                let renewed = self.store.renew(&self.lane, self.epoch, self.lease);
                let error = match timeout(period, renewed).await {
                    Ok(Ok(())) => break asked,
                    Ok(Err(LeaseError::Lost | LeaseError::Held { .. })) => {
                        self.until.send_replace(None);
                        return;
                    }
                    Ok(Err(LeaseError::Store(error))) => error.to_string(),
                    Err(_) => "the store does not answer".to_owned(),
                };
                tracing::warn!(lane = %self.lane, error, "cannot renew the baton; trying again");
                sleep(RENEW_RETRY).await;
            };
            self.until.send_replace(Some(asked + usable(self.lease)));
        }
    }
}

fn usable(lease: Duration) -> Duration {
    lease - lease / MARGIN_DIVISOR
}
