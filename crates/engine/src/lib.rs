//! The transaction service: what callers ask for becomes durable, runs on its lane, and is told.

pub mod driver;
mod events;
pub mod fleet;
pub mod registry;
mod relayer;
pub mod service;
pub mod webhooks;

pub use relayer::{Network, Notification, Relayer};

/// The store as the engine sees it.
pub type SharedStore = std::sync::Arc<dyn baton_coord::Store>;

/// The clock as the engine sees it.
pub type SharedClock = std::sync::Arc<dyn baton_coord::Clock>;

/// Topic that is published when a lane's records changed.
pub fn changed_topic(lane: &baton_model::LaneId) -> String {
    format!("changed/{lane}")
}
