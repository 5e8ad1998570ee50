//! Requests without a slot, in the order of acceptance.
//!
//! Every look at the queue costs no more than what has changed: how far it was gone through and whose gas is to be
//! asked for is remembered.

use std::collections::{BTreeMap, BTreeSet};

use baton_model::{RequestId, Timestamp};

/// How many requests may have their gas estimated before they have a nonce: enough to keep every account busy, few
/// enough that estimates are fresh when they are used.
const ESTIMATED_AHEAD: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Queue {
    order: BTreeMap<u64, RequestId>,
    /// Where to go on binding: what is before was looked at since the market last changed, and cannot go.
    from: u64,
    /// Positions whose gas is to be asked for.
    unestimated: BTreeSet<u64>,
    /// Positions whose gas is to be asked for from a time on.
    later: BTreeSet<(Timestamp, u64)>,
    /// Positions whose gas was asked for.
    estimated: BTreeSet<u64>,
}

impl Queue {
    pub(super) fn insert(&mut self, position: u64, id: RequestId) {
        self.order.insert(position, id);
        self.look_again(position);
    }

    pub(super) fn remove(&mut self, position: u64) {
        self.order.remove(&position);
        self.unestimated.remove(&position);
        self.estimated.remove(&position);
    }

    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// All requests, oldest first.
    pub(super) fn ids(&self) -> impl Iterator<Item = RequestId> + '_ {
        self.order.values().copied()
    }

    /// The oldest request that was not passed over.
    pub(super) fn next(&self) -> Option<(u64, RequestId)> {
        self.order
            .range(self.from..)
            .next()
            .map(|(position, id)| (*position, *id))
    }

    /// Goes on behind a position.
    pub(super) fn pass(&mut self, position: u64) {
        self.from = position + 1;
    }

    /// Goes back to a position, because something about it changed.
    pub(super) fn look_again(&mut self, position: u64) {
        self.from = self.from.min(position);
    }

    /// Notes that the gas of a position is to be asked for from a time on.
    pub(super) fn estimate(&mut self, position: u64, from: Timestamp) {
        self.estimated.remove(&position);
        self.later.insert((from, position));
    }

    /// The next position whose gas is to be asked for now; it counts as asked for.
    pub(super) fn next_unestimated(&mut self, now: Timestamp) -> Option<RequestId> {
        while let Some((from, position)) = self.later.first().copied() {
            if from > now {
                break;
            }
            self.later.pop_first();
            if self.order.contains_key(&position) {
                self.unestimated.insert(position);
            }
        }
        let first = *self.unestimated.first()?;
        // Whoever is before one that was asked for goes first: its turn comes earlier.
        let full = self.estimated.len() >= ESTIMATED_AHEAD;
        if full && self.estimated.last().is_some_and(|last| first > *last) {
            return None;
        }
        self.unestimated.pop_first();
        self.estimated.insert(first);
        self.order.get(&first).copied()
    }
}
