//! What is stored of webhooks in a relayer's lane.

use baton_lanes::record::Record;
use baton_model::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::events::Happened;

/// Start of the keys of what is to be delivered.
pub(crate) const OUTBOX: &str = "q/";
/// Start of the keys of what became of deliveries.
pub(crate) const DELIVERIES: &str = "d/";
/// Start of the keys of deliveries that are wished for again.
pub(crate) const WISHES: &str = "y/";

/// Events to be delivered. Its key names the first of those that it was written with; those that are done leave it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct OutboxChunk {
    pub(crate) events: Vec<OutboxEvent>,
}

/// An event to be delivered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct OutboxEvent {
    /// Its number among the lane's events.
    pub(crate) number: u64,
    /// The id that its receiver knows it by.
    pub(crate) id: Uuid,
    /// When it happened.
    pub(crate) at: Timestamp,
    /// What happened.
    pub(crate) what: Happened,
    /// What the receiver is told: how things stood when it happened. `None` when a batch had no room for it: then it is
    /// made of the record when it is delivered.
    pub(crate) payload: Option<Box<RawValue>>,
    /// Whether the transaction's `data` was too long to be kept twice, and is to be filled in from its record.
    pub(crate) data_left: bool,
}

/// What became of a delivery so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DeliveryState {
    /// It was tried, and will be tried again.
    Pending,
    /// The receiver took it.
    Delivered,
    /// It was given up. It may be asked for again by hand.
    Failed,
}

/// What became of an event's delivery.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct DeliveryRecord {
    pub(crate) event: OutboxEvent,
    /// The notification that it was for.
    pub(crate) notification: String,
    pub(crate) state: DeliveryState,
    /// How often it was tried.
    pub(crate) attempts: u32,
    /// When it was last tried.
    pub(crate) tried_at: Timestamp,
    /// The HTTP status of the last answer.
    pub(crate) status: Option<u16>,
    /// The beginning of the last answer, or why there was none.
    pub(crate) detail: Option<String>,
}

/// Somebody asks for a delivery again.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct WishRecord {
    pub(crate) at: Timestamp,
}

impl Record for OutboxChunk {
    const WHAT: &'static str = "outbox";
}

impl Record for DeliveryRecord {
    const WHAT: &'static str = "delivery";
}

impl Record for WishRecord {
    const WHAT: &'static str = "redelivery";
}

pub(crate) fn outbox_key(first: u64) -> String {
    format!("{OUTBOX}{first:020}")
}

pub(crate) fn delivery_key(number: u64) -> String {
    format!("{DELIVERIES}{number:020}")
}

pub(crate) fn wish_key(number: u64) -> String {
    format!("{WISHES}{number:020}")
}
