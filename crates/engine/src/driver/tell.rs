//! Tells what a commit changes, in the commit itself: into the relayer's events, and into the outbox of its webhooks.

use std::collections::VecDeque;
use std::sync::Arc;

use baton_coord::{BATCH_BYTES_MAX, Batch, Epoch, Key, Scan};
use baton_lanes::record::{RequestRecord, SummaryRecord, decode, encode, key};
use baton_model::{LaneId, RequestId, Timestamp, TxStatus};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::LaneContext;
use super::load::{LoadError, get, persist};
use crate::events::{self, EVENTS, EventChunk, Happened, number_in};
use crate::service::{DisabledReason, RelayerView, disabled_reason};
use crate::webhooks::{Bell, OutboxChunk, OutboxEvent, Payload, outbox_key, wants};

/// Keys read in one page.
const PAGE: usize = 1024;
/// Old chunks removed with one commit: more than one commit adds, so that a shorter memory is reached in time.
const FORGET_MAX: usize = 16;
/// Events in one chunk of the outbox, and bytes of their payloads: what is read and rewritten together.
const OUTBOX_EVENTS_MAX: usize = 32;
const OUTBOX_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a batch that payloads leave free: for the events themselves, with some 200 bytes each.
const RESERVED_BYTES: usize = 2 << 20;

/// What is told, and what was told before.
pub(super) struct Teller {
    context: Arc<LaneContext>,
    epoch: Epoch,
    bell: Arc<Bell>,
    /// Number of the next event.
    next: u64,
    /// The last numbers of the chunks that are kept, oldest first.
    chunks: VecDeque<u64>,
    /// Why none of the relayer's accounts can work, as it was last told.
    disabled: Option<DisabledReason>,
    /// Whether the outbox got something that is not rung for yet.
    has_post: bool,
}

impl Teller {
    /// Goes on behind what was told. `next` is what the last commit left, if it did.
    pub(super) async fn begin(
        context: &Arc<LaneContext>,
        epoch: Epoch,
        bell: Arc<Bell>,
        next: Option<u64>,
    ) -> Result<Self, LoadError> {
        let lane = context.relayer.lane();
        let chunks = stored_chunks(context, &lane).await?;
        let summary: Option<SummaryRecord> =
            get(&context.store, &lane, key::SUMMARY.to_owned()).await?;
        let alarms = summary.map(|summary| summary.alarms).unwrap_or_default();
        let newest = chunks.back().copied().unwrap_or(0);
        let next = next.unwrap_or(1).max(newest + 1);
        bell.ring(next - 1);
        Ok(Self {
            disabled: disabled_reason(&context.relayer, &alarms),
            context: Arc::clone(context),
            epoch,
            bell,
            next,
            chunks,
            has_post: false,
        })
    }

    /// Number of the next event.
    pub(super) const fn next(&self) -> u64 {
        self.next
    }

    /// Adds to a batch what its puts change. They must be in the order of their keys.
    pub(super) fn tell(
        &mut self,
        statuses: &[(RequestId, TxStatus)],
        alarms: Option<&[String]>,
        batch: &mut Batch,
    ) {
        let statuses = statuses.iter();
        let statuses = statuses.map(|(id, status)| Happened::Status(*id, *status));
        let happened: Vec<Happened> = statuses.chain(self.turn(alarms)).collect();
        let is_listened_to = self.context.hooks.is_some() || self.context.options.events_kept > 0;
        if happened.is_empty() || !is_listened_to {
            // What is left of a time when somebody listened.
            return self.forget(batch);
        }
        let (first, at) = (self.next, self.context.clock.now());
        self.next += happened.len() as u64;
        self.post(first, at, &happened, batch);
        if self.context.options.events_kept > 0 {
            let last = self.next - 1;
            let chunk = EventChunk {
                first,
                at,
                events: happened,
            };
            batch
                .puts
                .push((events::key(last).into(), encode(&chunk).into()));
            self.chunks.push_back(last);
        }
        self.forget(batch);
    }

    /// Says that the batch is durable.
    pub(super) fn told(&mut self) {
        if std::mem::take(&mut self.has_post) {
            self.bell.ring(self.next - 1);
        }
    }

    /// Whether alarms mean that the relayer cannot work any more, or can again.
    fn turn(&mut self, alarms: Option<&[String]>) -> Option<Happened> {
        let reason = disabled_reason(&self.context.relayer, alarms?);
        let before = std::mem::replace(&mut self.disabled, reason);
        match (before, &self.disabled) {
            (None, Some(reason)) => Some(Happened::Disabled(reason.text())),
            (Some(_), None) => Some(Happened::Enabled),
            (None, None) | (Some(_), Some(_)) => None,
        }
    }

    fn forget(&mut self, batch: &mut Batch) {
        let kept = self.context.options.events_kept;
        for _ in 0..FORGET_MAX {
            let old = self.chunks.front().filter(|last| **last + kept < self.next);
            let Some(last) = old else { return };
            batch.deletes.push(events::key(*last).into());
            self.chunks.pop_front();
        }
    }

    /// Puts what the notification is to be told into the outbox.
    fn post(&mut self, first: u64, at: Timestamp, happened: &[Happened], batch: &mut Batch) {
        let Some(hooks) = &self.context.hooks else {
            return;
        };
        let filter = &hooks.notification.events;
        let numbered = (first..).zip(happened);
        let wanted = numbered.filter(|(_, what)| wants(filter, what));
        let mut room = BATCH_BYTES_MAX.saturating_sub(batch.bytes() + RESERVED_BYTES);
        let mut chunks: Vec<OutboxChunk> = Vec::new();
        let mut filled = OUTBOX_BYTES_MAX;
        for (number, what) in wanted {
            let mut event = OutboxEvent {
                number,
                id: self.event_id(number, at),
                at,
                what: what.clone(),
                payload: None,
                data_left: false,
            };
            let payload = self.payload(what, &batch.puts);
            let size = payload.as_ref().map_or(0, |(raw, _)| raw.get().len());
            if size <= room {
                room -= size;
                event.data_left = payload.as_ref().is_some_and(|(_, is_left)| *is_left);
                event.payload = payload.map(|(raw, _)| raw);
            }
            let has_room = |chunk: &&mut OutboxChunk| {
                filled < OUTBOX_BYTES_MAX && chunk.events.len() < OUTBOX_EVENTS_MAX
            };
            match chunks.last_mut().filter(has_room) {
                Some(chunk) => {
                    filled += size;
                    chunk.events.push(event);
                }
                None => {
                    filled = size;
                    chunks.push(OutboxChunk {
                        events: vec![event],
                    });
                }
            }
        }
        self.has_post |= !chunks.is_empty();
        for chunk in chunks {
            let first = chunk.events.first().map_or(first, |event| event.number);
            let record = encode(&chunk).into();
            batch.puts.push((outbox_key(first).into(), record));
        }
    }

    /// What a receiver is told, and whether a transaction's data is left out.
    fn payload(
        &self,
        what: &Happened,
        puts: &[(Key, bytes::Bytes)],
    ) -> Option<(Box<serde_json::value::RawValue>, bool)> {
        let relayer = &self.context.relayer;
        let (payload, is_left) = match what {
            Happened::Status(id, status) => {
                let name = Key::from(key::request(*id));
                let place = puts.binary_search_by(|(key, _)| key.cmp(&name)).ok()?;
                let record: RequestRecord = decode(&puts[place].1).ok()?;
                Payload::transaction(&record, relayer, *status)
            }
            Happened::Disabled(reason) => {
                let payload = Payload::RelayerDisabled {
                    relayer: Box::new(RelayerView::of(relayer, self.disabled.clone())),
                    disable_reason: reason.clone(),
                };
                (payload, false)
            }
            Happened::Enabled => {
                let payload = Payload::RelayerEnabled {
                    relayer: Box::new(RelayerView::of(relayer, None)),
                    retry_count: 0,
                };
                (payload, false)
            }
        };
        Some((payload.raw()?, is_left))
    }

    /// Unique: an epoch does not come twice, nor a number within it; and should a store that was rolled back have
    /// forgotten both, the time is another.
    fn event_id(&self, number: u64, at: Timestamp) -> Uuid {
        let name = format!(
            "{}/{}/{number}/{}",
            self.context.relayer.lane(),
            self.epoch,
            at.as_millis()
        );
        let digest: [u8; 32] = Sha256::digest(name.as_bytes()).into();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }
}

async fn stored_chunks(context: &LaneContext, lane: &LaneId) -> Result<VecDeque<u64>, LoadError> {
    let mut chunks = VecDeque::new();
    let mut scan = Scan::prefix(EVENTS, PAGE);
    loop {
        let page = persist(|| context.store.scan(lane, &scan)).await?;
        chunks.extend(page.iter().filter_map(|entry| number_in(&entry.key)));
        if page.len() < PAGE {
            return Ok(chunks);
        }
        scan.after = page.last().map(|entry| entry.key.clone());
    }
}
