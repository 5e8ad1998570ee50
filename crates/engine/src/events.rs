//! What happened to a relayer and its transactions, numbered in order: what streams tell, and what webhooks are made
//! of.
//!
//! The driver writes it in the batch that changes the records, so it tells what is durable and nothing else.

use baton_lanes::record::Record;
use baton_model::{RequestId, Timestamp, TxStatus};
use serde::{Deserialize, Serialize};

/// Start of the keys of what happened.
pub(crate) const EVENTS: &str = "e/";

/// What one commit changed. Its key names the last of its events, so that a scan behind a number finds what follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EventChunk {
    /// Number of the first event; the others follow without a gap.
    pub(crate) first: u64,
    /// When.
    pub(crate) at: Timestamp,
    /// The events.
    pub(crate) events: Vec<Happened>,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Happened {
    /// A transaction has a new status.
    Status(RequestId, TxStatus),
    /// None of the relayer's accounts can work any more: why.
    Disabled(String),
    /// The relayer can work again.
    Enabled,
}

impl Record for EventChunk {
    const WHAT: &'static str = "event";
}

impl Happened {
    /// Its name, as the reference has it.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Status(..) => "transaction_update",
            Self::Disabled(_) | Self::Enabled => "relayer_state_update",
        }
    }
}

/// The key of a chunk by its last event.
pub(crate) fn key(last: u64) -> String {
    format!("{EVENTS}{last:020}")
}

/// The number in a key that ends with one.
pub(crate) fn number_in(key: &[u8]) -> Option<u64> {
    std::str::from_utf8(key)
        .ok()?
        .rsplit('/')
        .next()?
        .parse()
        .ok()
}
