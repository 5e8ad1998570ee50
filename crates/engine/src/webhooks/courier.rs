//! Who carries webhooks over the network.

use std::time::Duration;

use async_trait::async_trait;
use baton_vault::Secret;
use bytes::Bytes;

/// One attempt at a delivery.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Where to. It may hold a key.
    pub url: Secret,
    /// Headers besides the content type.
    pub headers: Vec<(&'static str, String)>,
    /// A JSON object.
    pub body: Bytes,
}

/// An answer, whatever it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// How long the receiver asks to be left alone.
    pub retry_after: Option<Duration>,
    /// The beginning of the answer's body, for people.
    pub excerpt: String,
}

/// Why there is no answer. The texts hold nothing of the URL but its host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CourierError {
    /// The address must not be called.
    #[error("{0}")]
    Forbidden(String),
    /// Nobody answered; the receiver may have taken it or not.
    #[error("{0}")]
    NoAnswer(String),
}

/// Carries webhooks.
#[async_trait]
pub trait Courier: Send + Sync {
    /// Makes one attempt, within limits of its own in time and size. Follows no redirects.
    async fn deliver(&self, webhook: Webhook) -> Result<Reply, CourierError>;
}
