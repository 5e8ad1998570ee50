//! What became of a relayer's webhooks, and asking for them again.

use baton_coord::{Batch, CommitError, Scan};
use baton_edge::Page;
use baton_lanes::record::{decode, encode};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::error::ServiceError;
use super::schema;
use super::validate::rfc3339;
use super::{Service, page_of};
use crate::Relayer;
use crate::events::{Happened, number_in};
use crate::registry::closed;
use crate::webhooks::{
    DELIVERIES, DeliveryRecord, DeliveryState, WishRecord, delivery_key, wish_key, wished_topic,
};

/// Records read at a time.
const PAGE: usize = 256;

/// A delivery as callers see it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Delivery")]
pub struct DeliveryView {
    /// The event's id: `id` in the body of its webhook.
    pub id: String,
    /// Its number among the relayer's events.
    pub number: u64,
    /// `transaction_update` or `relayer_state_update`.
    pub event: &'static str,
    /// The transaction that it is about.
    pub transaction_id: Option<String>,
    /// The status that the transaction got.
    pub transaction_status: Option<&'static str>,
    /// The notification that it was for.
    pub notification_id: String,
    /// `pending`, `delivered` or `failed`.
    pub status: &'static str,
    /// How often it was tried.
    pub attempts: u32,
    /// When it happened.
    #[schemars(with = "schema::Time")]
    pub created_at: String,
    /// When it was last tried.
    #[schemars(with = "schema::Time")]
    pub last_attempt_at: String,
    /// HTTP status of the last answer; null when there was none.
    pub response_status: Option<u16>,
    /// The beginning of the last answer, or why there was none.
    pub detail: Option<String>,
    /// What the receiver is told; only of a single delivery.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Value>")]
    pub payload: Option<Box<RawValue>>,
}

/// What came of asking for deliveries again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Redelivered {
    /// How many will be tried once more.
    pub queued: usize,
}

impl Service {
    /// A page of what became of a relayer's webhooks, newest first, and how many there are. Those that were never tried
    /// are not among them.
    pub async fn deliveries(
        &self,
        relayer: &str,
        status: Option<&str>,
        page: Page,
    ) -> Result<(Vec<DeliveryView>, u64), ServiceError> {
        let wanted = status.map(parse_state).transpose()?;
        let relayer = &self.relayer(relayer)?.relayer;
        let mut found = Vec::new();
        self.each_delivery(relayer, |record| {
            if wanted.is_none_or(|wanted| wanted == record.state) {
                found.push(DeliveryView::of(&record, false));
            }
            true
        })
        .await?;
        let total = found.len() as u64;
        Ok((page_of(&found, page).cloned().collect(), total))
    }

    /// What became of one.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`].
    pub async fn delivery(&self, relayer: &str, id: &str) -> Result<DeliveryView, ServiceError> {
        let relayer = &self.relayer(relayer)?.relayer;
        let record = self.delivery_record(relayer, id).await?;
        Ok(DeliveryView::of(&record, true))
    }

    /// Has one tried once more, whatever became of it.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], or [`ServiceError::Invalid`] while it is being tried anyway.
    pub async fn redeliver(&self, relayer: &str, id: &str) -> Result<DeliveryView, ServiceError> {
        let relayer = &self.relayer(relayer)?.relayer;
        let record = self.delivery_record(relayer, id).await?;
        if record.state == DeliveryState::Pending {
            let text = format!("delivery {id} is pending: it will be tried again anyway");
            return Err(ServiceError::Invalid(text));
        }
        self.wish(relayer, &[record.event.number]).await?;
        Ok(DeliveryView::of(&record, false))
    }

    /// Has all that failed tried once more.
    pub async fn redeliver_failed(&self, relayer: &str) -> Result<Redelivered, ServiceError> {
        let relayer = &self.relayer(relayer)?.relayer;
        let mut numbers = Vec::new();
        self.each_delivery(relayer, |record| {
            if record.state == DeliveryState::Failed {
                numbers.push(record.event.number);
            }
            true
        })
        .await?;
        if !numbers.is_empty() {
            self.wish(relayer, &numbers).await?;
        }
        Ok(Redelivered {
            queued: numbers.len(),
        })
    }

    async fn delivery_record(
        &self,
        relayer: &Relayer,
        id: &str,
    ) -> Result<DeliveryRecord, ServiceError> {
        let wanted: Option<Uuid> = id.parse().ok();
        let mut found = None;
        self.each_delivery(relayer, |record| {
            if Some(record.event.id) == wanted {
                found = Some(record);
            }
            found.is_none()
        })
        .await?;
        found.ok_or_else(|| ServiceError::NotFound(format!("Delivery with ID {id} not found")))
    }

    /// Looks at deliveries, the newest first, until `look` has seen enough.
    async fn each_delivery(
        &self,
        relayer: &Relayer,
        mut look: impl FnMut(DeliveryRecord) -> bool,
    ) -> Result<(), ServiceError> {
        let lane = relayer.lane();
        let mut scan = Scan::prefix(DELIVERIES, PAGE);
        scan.reverse = true;
        loop {
            let page = self.store.scan(&lane, &scan).await?;
            scan.after = page.last().map(|entry| entry.key.clone());
            let is_last = page.len() < PAGE;
            for entry in page {
                let record = decode(&entry.value).map_err(|error| {
                    let key = delivery_key(number_in(&entry.key).unwrap_or(0));
                    ServiceError::Defect(format!("{key}: {error}"))
                })?;
                if !look(record) {
                    return Ok(());
                }
            }
            if is_last {
                return Ok(());
            }
        }
    }

    /// Leaves word for the holder of the baton. Wishing twice is wishing, so nothing has to be absent.
    async fn wish(&self, relayer: &Relayer, numbers: &[u64]) -> Result<(), ServiceError> {
        let lane = relayer.lane();
        let wish = encode(&WishRecord {
            at: self.clock.now(),
        });
        let mut batch = Batch::new(lane.clone());
        batch.require.push(closed());
        let keys = numbers.iter().map(|number| wish_key(*number));
        batch.puts = keys.map(|key| (key.into(), wish.clone().into())).collect();
        match self.commit(batch).await {
            Ok(_) => {}
            Err(CommitError::Precondition { .. }) => {
                let text = format!("relayer {} is being deleted", relayer.id);
                return Err(ServiceError::Conflict(text));
            }
            Err(error) => return Err(ServiceError::Unavailable(error.to_string())),
        }
        if let Err(error) = self.store.publish(&wished_topic(&lane)).await {
            tracing::debug!(%error, "redeliveries wait until they are looked for");
        }
        Ok(())
    }
}

impl DeliveryView {
    fn of(record: &DeliveryRecord, is_single: bool) -> Self {
        let event = &record.event;
        let transaction = match &event.what {
            Happened::Status(id, status) => Some((id.to_string(), status.as_str())),
            Happened::Disabled(_) | Happened::Enabled => None,
        };
        let (transaction_id, transaction_status) = transaction.unzip();
        Self {
            id: event.id.to_string(),
            number: event.number,
            event: event.what.name(),
            transaction_id,
            transaction_status,
            notification_id: record.notification.clone(),
            status: name_of(record.state),
            attempts: record.attempts,
            created_at: rfc3339(event.at),
            last_attempt_at: rfc3339(record.tried_at),
            response_status: record.status,
            detail: record.detail.clone(),
            payload: event.payload.clone().filter(|_| is_single),
        }
    }
}

const fn name_of(state: DeliveryState) -> &'static str {
    match state {
        DeliveryState::Pending => "pending",
        DeliveryState::Delivered => "delivered",
        DeliveryState::Failed => "failed",
    }
}

fn parse_state(text: &str) -> Result<DeliveryState, ServiceError> {
    let all = [
        DeliveryState::Pending,
        DeliveryState::Delivered,
        DeliveryState::Failed,
    ];
    let known = all.into_iter().find(|state| name_of(*state) == text);
    known.ok_or_else(|| {
        let names = all.map(name_of).join(", ");
        ServiceError::Invalid(format!("status must be one of {names}; found {text:?}"))
    })
}
