//! Webhooks: a durable outbox in the relayer's lane, and whoever holds its baton delivers.
//!
//! The driver writes what is to be told into the outbox in the very batch that changes the records: nothing that became
//! durable is left untold by a crash, and nothing is told that did not become durable. The holder of the baton delivers
//! and writes what became of it under its fence. A crash between the two delivers again: every event has an id that
//! stays the same, by which a receiver knows what it has seen. Events of one transaction are delivered in order.

mod attempt;
mod body;
mod courier;
mod deliver;
mod filter;
mod metrics;
mod record;
mod settle;
mod tenure;
mod window;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use baton_model::LaneId;
use tokio::sync::Notify;

pub use courier::{Courier, CourierError, Reply, Webhook};
pub use filter::{EVENT_WORDS, check_event};
pub use metrics::WebhookMetrics;

pub(crate) use body::Payload;
pub(crate) use filter::wants;
pub(crate) use record::{
    DELIVERIES, DeliveryRecord, DeliveryState, OutboxChunk, OutboxEvent, WishRecord, delivery_key,
    outbox_key, wish_key,
};
pub(crate) use tenure::Deliverer;

use crate::registry::NotificationDef;

/// What a lane needs to tell of its transactions.
#[derive(Clone)]
pub struct LaneHooks {
    /// Whom to tell, and what.
    pub notification: Arc<NotificationDef>,
    /// Who carries it.
    pub courier: Arc<dyn Courier>,
    /// Where it is counted.
    pub metrics: WebhookMetrics,
}

/// Topic that is published when a delivery is wished for again.
pub(crate) fn wished_topic(lane: &LaneId) -> String {
    format!("wished/{lane}")
}

/// Rung when the outbox has more.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    rung: Notify,
    newest: AtomicU64,
}

impl Bell {
    pub(crate) fn ring(&self, newest: u64) {
        self.newest.store(newest, Ordering::Relaxed);
        self.rung.notify_one();
    }

    pub(crate) async fn rung(&self) {
        self.rung.notified().await;
    }

    /// The number of the newest event known.
    pub(crate) fn newest(&self) -> u64 {
        self.newest.load(Ordering::Relaxed)
    }
}
