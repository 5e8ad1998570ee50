//! What receivers are sent, byte for byte as the reference sends it, and its signatures.

use alloy_primitives::hex;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use baton_model::{RequestId, Timestamp, TxStatus};
use baton_vault::Secret;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use sha2::Sha256;

use super::record::OutboxEvent;
use crate::Relayer;
use crate::events::Happened;
use crate::service::{RelayerView, TransactionView};
use baton_lanes::record::RequestRecord;

/// Longest `data` in bytes that an event carries with it; longer ones are filled in from the transaction's record.
const DATA_BYTES_MAX: usize = 4 * 1024;
/// Most bytes that are kept of a text from outside: an answer, a reason.
pub(crate) const TEXT_BYTES_MAX: usize = 512;

/// The `payload` of a webhook.
#[derive(Debug, Serialize)]
#[serde(tag = "payload_type", rename_all = "snake_case")]
pub(crate) enum Payload {
    Transaction(Box<TransactionView>),
    RelayerDisabled {
        relayer: Box<RelayerView>,
        disable_reason: String,
    },
    RelayerEnabled {
        relayer: Box<RelayerView>,
        /// The reference's count of its checks; a lane looks with every block and counts none.
        retry_count: u32,
    },
}

impl Payload {
    /// A transaction as it stood in a record, with a status that it had then or on the way there. True when its data is
    /// left out.
    pub(crate) fn transaction(
        record: &RequestRecord,
        relayer: &Relayer,
        status: TxStatus,
    ) -> (Self, bool) {
        let mut view = TransactionView::of(record, relayer);
        view.status = status.as_str();
        let is_left = record.spec.call.data.len() > DATA_BYTES_MAX;
        if is_left {
            view.data = None;
        }
        (Self::Transaction(Box::new(view)), is_left)
    }

    pub(crate) fn raw(&self) -> Option<Box<RawValue>> {
        to_raw_value(self).ok()
    }
}

#[derive(Serialize)]
struct Body<'a> {
    id: String,
    event: &'static str,
    payload: &'a RawValue,
    timestamp: String,
}

/// The body of an event whose payload is known. `record` is the transaction's, for what the event does not carry.
///
/// # Errors
/// When neither the event nor the record tells what to say.
pub(super) fn body(
    event: &OutboxEvent,
    record: Option<&RequestRecord>,
    relayer: &Relayer,
) -> Result<Bytes, &'static str> {
    let made;
    let payload = match (&event.payload, &event.what, record) {
        (Some(payload), _, Some(record)) if event.data_left => {
            made = with_data(payload, record);
            made.as_deref().unwrap_or(payload)
        }
        (Some(payload), ..) => payload,
        (None, Happened::Status(_, status), Some(record)) => {
            let mut view = TransactionView::of(record, relayer);
            view.status = status.as_str();
            made = Payload::Transaction(Box::new(view)).raw();
            made.as_deref().ok_or("its payload cannot be written")?
        }
        (None, ..) => return Err("its transaction is no longer on record"),
    };
    let body = Body {
        id: event.id.to_string(),
        event: event.what.name(),
        payload,
        timestamp: crate::service::rfc3339(event.at),
    };
    let bytes = serde_json::to_vec(&body).map_err(|_| "its body cannot be written")?;
    Ok(bytes.into())
}

/// The request whose record is needed to make the body.
pub(super) const fn needs_record(event: &OutboxEvent) -> Option<RequestId> {
    match event.what {
        Happened::Status(id, _) if event.data_left || event.payload.is_none() => Some(id),
        Happened::Status(..) | Happened::Disabled(_) | Happened::Enabled => None,
    }
}

fn with_data(payload: &RawValue, record: &RequestRecord) -> Option<Box<RawValue>> {
    let mut fields: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(payload.get()).ok()?;
    let data = serde_json::to_value(&record.spec.call.data).ok()?;
    fields.insert("data".to_owned(), data);
    to_raw_value(&fields).ok()
}

/// Headers that say who sent a body and which event it is. `X-Signature` is the reference's: base64 of HMAC-SHA256 over
/// the body. `Baton-Signature` covers the time of the attempt, too, so that a receiver can refuse what is old.
pub(super) fn headers(
    event: &OutboxEvent,
    attempt: u32,
    body: &[u8],
    key: Option<&Secret>,
    now: Timestamp,
) -> Vec<(&'static str, String)> {
    let mut headers = vec![
        ("Baton-Event-Id", event.id.to_string()),
        ("Baton-Event-Number", event.number.to_string()),
        ("Baton-Attempt", attempt.to_string()),
    ];
    if let Some(key) = key {
        let time = now.as_millis() / 1000;
        let plain = mac(key, &[body]);
        let timed = mac(key, &[time.to_string().as_bytes(), b".", body]);
        headers.push(("X-Signature", STANDARD.encode(plain)));
        headers.push((
            "Baton-Signature",
            format!("t={time},v1={}", hex::encode(timed)),
        ));
    }
    headers
}

fn mac(key: &Secret, parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.expose().as_bytes())
        .expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

/// The beginning of a text from outside, cut where a character ends.
pub(super) fn cut(text: &str) -> String {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}
