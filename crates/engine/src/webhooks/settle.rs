//! Writes down what became of deliveries.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use baton_coord::{Batch, Epoch, Key, Precondition};
use baton_lanes::record::encode;
use baton_model::{LaneId, Timestamp};

use super::record::{
    DeliveryRecord, DeliveryState, OutboxChunk, OutboxEvent, delivery_key, outbox_key, wish_key,
};
use super::window::Rewrite;

/// Deliveries that are kept on record for people to look at.
const DELIVERED_KEPT: usize = 500;
/// Failed deliveries that are kept: more, because somebody may want them delivered after all.
const FAILED_KEPT: usize = 1000;

/// What became of an attempt.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) event: Arc<OutboxEvent>,
    pub(super) state: DeliveryState,
    pub(super) attempts: u32,
    pub(super) tried_at: Timestamp,
    pub(super) status: Option<u16>,
    pub(super) detail: Option<String>,
    /// Whether somebody asked for it by hand.
    pub(super) wished: bool,
}

/// Which deliveries are on record.
#[derive(Debug, Default)]
pub(super) struct Log {
    delivered: VecDeque<u64>,
    failed: VecDeque<u64>,
    /// How often events were tried that will be tried again.
    pub(super) tried: BTreeMap<u64, u32>,
}

impl Log {
    /// Notes a record that is there.
    pub(super) fn know(&mut self, number: u64, record: &DeliveryRecord) {
        match record.state {
            DeliveryState::Delivered => self.delivered.push_back(number),
            DeliveryState::Failed => self.failed.push_back(number),
            DeliveryState::Pending => {
                self.tried.insert(number, record.attempts);
            }
        }
    }

    /// Notes an outcome that is being written.
    fn note(&mut self, outcome: &Outcome) {
        let number = outcome.event.number;
        self.tried.remove(&number);
        if outcome.wished {
            self.delivered.retain(|known| *known != number);
            self.failed.retain(|known| *known != number);
        }
        match outcome.state {
            DeliveryState::Delivered => self.delivered.push_back(number),
            DeliveryState::Failed => self.failed.push_back(number),
            DeliveryState::Pending => {}
        }
    }

    /// Takes out what is no longer kept.
    fn trim(&mut self) -> Vec<u64> {
        let mut gone = Vec::new();
        for (kept, max) in [
            (&mut self.delivered, DELIVERED_KEPT),
            (&mut self.failed, FAILED_KEPT),
        ] {
            let over = kept.len().saturating_sub(max);
            gone.extend(kept.drain(..over));
        }
        gone
    }
}

/// The batch that writes outcomes: what is done leaves the outbox, and what became of it goes on record.
pub(super) fn batch(
    lane: LaneId,
    epoch: Epoch,
    notification: &str,
    rewrites: &[Rewrite],
    outcomes: &[Outcome],
    log: &mut Log,
) -> Batch {
    let mut batch = Batch::new(lane).fenced(epoch);
    for rewrite in rewrites {
        let key = Key::from(outbox_key(rewrite.first));
        // A batch whose answer was lost may be applied late, and must not bring back what was done since.
        batch
            .require
            .push(Precondition::At(key.clone(), rewrite.version));
        if rewrite.left.is_empty() {
            batch.deletes.push(key);
        } else {
            let events = rewrite.left.iter().map(|event| (**event).clone());
            let chunk = OutboxChunk {
                events: events.collect(),
            };
            batch.puts.push((key, encode(&chunk).into()));
        }
    }
    for outcome in outcomes {
        log.note(outcome);
        let number = outcome.event.number;
        let record = DeliveryRecord {
            event: (*outcome.event).clone(),
            notification: notification.to_owned(),
            state: outcome.state,
            attempts: outcome.attempts,
            tried_at: outcome.tried_at,
            status: outcome.status,
            detail: outcome.detail.clone(),
        };
        batch
            .puts
            .push((delivery_key(number).into(), encode(&record).into()));
        if outcome.wished {
            batch.deletes.push(wish_key(number).into());
        }
    }
    for number in log.trim() {
        batch.deletes.push(delivery_key(number).into());
    }
    batch
}
