//! The place of one lane's task in the fleet.

use std::sync::Arc;

use baton_coord::{Epoch, HolderId, Wakeups};
use baton_model::LaneId;
use tokio::sync::{SemaphorePermit, watch};

use super::Fleet;
use super::state::Order;

/// Where the task of a lane is told what to do, and tells what it did.
pub(crate) struct Seat {
    fleet: Arc<Fleet>,
    lane: LaneId,
    orders: watch::Receiver<Order>,
}

impl Seat {
    pub(super) const fn new(
        fleet: Arc<Fleet>,
        lane: LaneId,
        orders: watch::Receiver<Order>,
    ) -> Self {
        Self {
            fleet,
            lane,
            orders,
        }
    }

    /// What is to be done now.
    pub(crate) fn order(&self) -> Order {
        *self.orders.borrow()
    }

    /// Waits for another order. May be dropped and called again.
    pub(crate) async fn changed(&mut self) {
        // The fleet is kept here, and keeps the sender for as long as this is.
        let _: Result<(), _> = self.orders.changed().await;
    }

    /// Waits for its turn to ask the store: not all lanes ask at the same time.
    pub(crate) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.fleet.asking.acquire().await.ok()
    }

    /// Hears when the lane was given back; `None` when the store has no ear.
    pub(crate) async fn listen(&self) -> Option<Box<dyn Wakeups>> {
        self.fleet.listen(&released_topic(&self.lane)).await
    }

    /// The baton was given.
    pub(crate) fn took(&self, epoch: Epoch) {
        self.fleet.took(&self.lane, epoch);
    }

    /// Another process holds the baton.
    pub(crate) fn refused(&self, holder: &HolderId) {
        self.fleet.refused(&self.lane, holder);
    }

    /// The baton is not held any more; it may be somebody else's.
    pub(crate) fn lost(&self) {
        self.fleet.gave(&self.lane);
    }

    /// The baton was given back: whoever waits for it asks at once.
    pub(crate) async fn released(&self) {
        self.fleet.gave(&self.lane);
        self.fleet.publish(&released_topic(&self.lane)).await;
    }

    /// The lane could not run here, and its baton was given back: others are let try.
    pub(crate) async fn failed(&self) {
        self.fleet.failed(&self.lane);
        self.fleet.publish(&released_topic(&self.lane)).await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // Counted as gone only once it is.
        let (_, closed) = watch::channel(Order::Wait);
        drop(std::mem::replace(&mut self.orders, closed));
        self.fleet.leave(&self.lane);
    }
}

/// Topic that is published when a lane's baton was given back.
fn released_topic(lane: &LaneId) -> String {
    format!("released/{lane}")
}
