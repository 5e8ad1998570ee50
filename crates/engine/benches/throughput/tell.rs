//! Who is told of what happens.

use std::sync::Arc;

use async_trait::async_trait;
use baton_engine::registry::NotificationDef;
use baton_engine::webhooks::{Courier, CourierError, LaneHooks, Reply, Webhook, WebhookMetrics};
use baton_vault::Secret;
use prometheus_client::registry::Registry;

/// Events kept for streams.
const EVENTS_KEPT: u64 = 10_000;

/// Who is told.
#[derive(Clone, Copy)]
pub(crate) enum Told {
    Nobody,
    Streams,
    /// And to streams, and to a receiver that answers at once.
    Webhooks,
}

struct InstantReceiver;

impl Told {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Streams => "streams",
            Self::Webhooks => "webhooks",
        }
    }

    pub(crate) const fn events_kept(self) -> u64 {
        match self {
            Self::Nobody => 0,
            Self::Streams | Self::Webhooks => EVENTS_KEPT,
        }
    }

    pub(crate) fn hooks(self, registry: &mut Registry) -> Option<LaneHooks> {
        let notification = NotificationDef {
            id: "hook".to_owned(),
            url: Some(Secret::new("https://receiver.example")),
            signing_key: Some(Secret::new("k".repeat(32))),
            events: Vec::new(),
        };
        match self {
            Self::Nobody | Self::Streams => None,
            Self::Webhooks => Some(LaneHooks {
                notification: Arc::new(notification),
                courier: Arc::new(InstantReceiver),
                metrics: WebhookMetrics::new(registry),
            }),
        }
    }
}

#[async_trait]
impl Courier for InstantReceiver {
    async fn deliver(&self, _: Webhook) -> Result<Reply, CourierError> {
        Ok(Reply {
            status: 200,
            retry_after: None,
            excerpt: String::new(),
        })
    }
}
