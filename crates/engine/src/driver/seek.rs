//! Getting a lane's baton, and giving it back: alone by asking again and again, in a fleet when it is this process's
//! turn.

use std::time::Duration;

use baton_coord::{HolderId, WakeEvent, Wakeups};
use baton_model::LaneId;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::LaneContext;
use super::baton::{Baton, Refused};
use super::run::{FINISH_MAX, stopped};
use crate::SharedStore;
use crate::fleet::{Order, Seat};

/// Shortest pause before a baton that is about to run out elsewhere is asked for again. What the store says of its
/// time is rounded to milliseconds.
const HELD_RETRY: Duration = Duration::from_millis(10);

/// Asks for a lane's baton.
pub(crate) struct Seeker {
    pub(crate) store: SharedStore,
    pub(crate) lane: LaneId,
    pub(crate) holder: HolderId,
    pub(crate) lease: Duration,
    /// The lane's place in the fleet, if there is one.
    pub(crate) seat: Option<Seat>,
}

impl Seeker {
    pub(super) fn new(context: &LaneContext) -> Self {
        let lane = context.relayer.lane();
        Self {
            store: SharedStore::clone(&context.store),
            seat: context.fleet.as_ref().map(|fleet| fleet.seat(&lane)),
            holder: context.options.holder.clone(),
            lease: context.options.lease,
            lane,
        }
    }

    /// Waits for the baton; `None` when the process stops. `waits` is told whenever it is somebody else's.
    pub(crate) async fn baton(
        &mut self,
        stop: &mut watch::Receiver<bool>,
        waits: impl Fn(),
    ) -> Option<Baton> {
        let mut released = None;
        loop {
            tokio::select! {
                biased;
                () = stopped(stop) => return None,
                is_new = self.invited(&waits) => if is_new { released = None },
            }
            let refused = match self.ask(stop).await? {
                Ok(baton) => return Some(baton),
                Err(refused) => refused,
            };
            if refused.holder.is_some() {
                waits();
            }
            let Some(seat) = self.seat.as_mut() else {
                tokio::select! {
                    biased;
                    () = stopped(stop) => return None,
                    () = sleep(refused.pause) => continue,
                }
            };
            let pause = match &refused.holder {
                Some(holder) => {
                    seat.refused(holder);
                    if released.is_none() {
                        released = seat.listen().await;
                        if released.is_some() {
                            // It may have been given back before anybody listened.
                            continue;
                        }
                    }
                    refused.remaining.max(HELD_RETRY)
                }
                None => refused.pause,
            };
            tokio::select! {
                biased;
                () = stopped(stop) => return None,
                heard = heard(&mut released) => if heard.is_none() { released = None },
                () = seat.changed() => {}
                () = sleep(pause) => {}
            }
        }
    }

    /// Ends when the baton is to be given up for another. May be dropped and called again.
    pub(crate) async fn ceded(&mut self) {
        let Some(seat) = &mut self.seat else {
            return std::future::pending().await;
        };
        while seat.order() != Order::Cede {
            seat.changed().await;
        }
    }

    /// The baton is not held any more.
    pub(crate) fn lost(&self) {
        if let Some(seat) = &self.seat {
            seat.lost();
        }
    }

    /// Gives the baton back: a successor takes it at once.
    pub(crate) async fn release(&self, baton: Baton) {
        baton.release().await;
        if let Some(seat) = &self.seat {
            seat.released().await;
        }
    }

    /// Gives the baton back because the lane cannot run here. True when the fleet knows when it is tried here again.
    pub(crate) async fn fail(&self, baton: Baton) -> bool {
        baton.release().await;
        match &self.seat {
            Some(seat) => {
                seat.failed().await;
                true
            }
            None => false,
        }
    }

    /// Waits until the baton is to be asked for. True when it was not before.
    async fn invited(&mut self, waits: &impl Fn()) -> bool {
        let Some(seat) = &mut self.seat else {
            return false;
        };
        let mut is_new = false;
        loop {
            match seat.order() {
                // One that is to be given up has to be had first.
                Order::Take | Order::Cede => return is_new,
                Order::Wait => waits(),
                // It is shown as failed for as long as that is why it does not run here.
                Order::Shun => {}
            }
            is_new = true;
            seat.changed().await;
        }
    }

    /// Asks the store once; `None` when the process stops.
    async fn ask(&self, stop: &mut watch::Receiver<bool>) -> Option<Result<Baton, Refused>> {
        let _turn = match &self.seat {
            Some(seat) => tokio::select! {
                biased;
                () = stopped(stop) => return None,
                turn = seat.turn() => turn,
            },
            None => None,
        };
        let asked = Baton::acquire(&self.store, &self.lane, &self.holder, self.lease);
        let mut asked = std::pin::pin!(asked);
        let answer = tokio::select! {
            biased;
            () = stopped(stop) => {
                // It may have been given: then a successor should not have to wait for it to run out.
                if let Ok(Ok(baton)) = timeout(FINISH_MAX, asked).await {
                    self.release(baton).await;
                }
                return None;
            }
            answer = &mut asked => answer,
        };
        if let (Some(seat), Ok(baton)) = (&self.seat, &answer) {
            seat.took(baton.epoch());
        }
        Some(answer)
    }
}

/// The next wake-up; `None` when there will be no more. Without a subscription there are none.
async fn heard(wakeups: &mut Option<Box<dyn Wakeups>>) -> Option<WakeEvent> {
    match wakeups {
        Some(wakeups) => wakeups.next().await,
        None => std::future::pending().await,
    }
}
