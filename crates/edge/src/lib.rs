//! Everything about serving HTTP that is not business: listeners with limits, authentication, rate
//! and concurrency limits, request ids, the one mapping from errors to answers, readiness and
//! metrics.
//!
//! A service builds an [`axum::Router`] of its own routes, wraps it with [`Stack::wrap`] and hands
//! it to [`serve`]. The shapes of answers are those of OpenZeppelin Relayer's API.

mod auth;
mod connection;
mod envelope;
mod error;
mod extract;
mod guard;
mod metrics;
mod page;
mod rate;
mod ready;
mod request_id;
mod serve;
mod stack;

pub use auth::{ApiKeys, Caller, IssuedKey, IssuedKeys, key_digest};
pub use envelope::{ApiResponse, Pagination};
pub use error::{ApiError, ErrorKind, kind_of};
pub use extract::{ApiJson, ApiPath, ApiQuery};
pub use metrics::{HttpMetrics, metrics_router, render_metrics};
pub use page::{PER_PAGE_MAX, Page};
pub use rate::{RateLimit, RateShare};
pub use ready::{Component, Health, Readiness, ReadyReport, health_router};
pub use request_id::{RequestIdText, current_request_id};
pub use serve::{ConnectionLimits, Drained, PeerAddr, serve};
pub use stack::{RequestLimits, Stack};
