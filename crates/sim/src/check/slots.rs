//! Invariants 1, 2, 4, 5 and 6: nonces without gaps, one slot for a request, bids that replace, money, caps.

use std::collections::BTreeMap;

use baton_lanes::record::{AccountRecord, AttemptKind, SlotRecord};
use baton_model::{Address, B256, RequestId, U256};

use super::{Changed, replaces};
use crate::world::World;

/// Blocks from one of which a lane knows nonce and balance: what it acts on may be minutes old.
const KNOWN_BLOCKS: usize = 300;

impl World {
    pub(super) fn check_slots(&mut self, changed: &Changed) {
        let breach = self
            .gap(changed)
            .or_else(|| self.two_slots())
            .or_else(|| self.moved_too_early(changed))
            .or_else(|| self.opened_too_many(changed));
        if let Some(breach) = breach {
            self.fail(breach);
        }
    }

    /// Invariant 4.
    pub(super) fn check_bids(
        &mut self,
        account: Address,
        nonce: u64,
        record: &SlotRecord,
        known: &[B256],
    ) {
        for pair in record.attempts.windows(2) {
            let [old, new] = pair else { continue };
            // What was taken over from a node was not this lane's to choose.
            let chosen = !new.signature.is_empty() && !old.signature.is_empty();
            if chosen && !known.contains(&new.hash) && !replaces(old.tx.fees, new.tx.fees) {
                let (old, new) = (old.tx.fees, new.tx.fees);
                self.fail(format!(
                    "invariant 4: nonce {nonce} of {account}: {new:?} does not replace {old:?}"
                ));
                return;
            }
        }
    }

    /// Invariant 1: the slots from the first that is not final up to the next nonce are all there.
    fn gap(&self, changed: &Changed) -> Option<String> {
        changed.accounts.iter().find_map(|account| {
            let slots = self.watch.slots.range((*account, 0)..=(*account, u64::MAX));
            let nonces: Vec<u64> = slots.map(|((_, nonce), _)| *nonce).collect();
            let Some(AccountRecord {
                next_nonce,
                settled,
            }) = self.watch.accounts.get(account).copied()
            else {
                let text = format!("invariant 1: slots {nonces:?} of {account} without an account");
                return (!nonces.is_empty()).then_some(text);
            };
            let first = if self.plan.needs_operator() {
                // An operator may have had it begin anywhere.
                nonces.first().copied().unwrap_or(next_nonce)
            } else {
                settled
            };
            let whole = nonces.iter().copied().eq(first..next_nonce);
            (!whole).then(|| {
                format!(
                    "invariant 1: {account} has slots {nonces:?}, settled {settled}, next {next_nonce}"
                )
            })
        })
    }

    /// Invariant 2, first half.
    fn two_slots(&self) -> Option<String> {
        let mut owners: BTreeMap<RequestId, u64> = BTreeMap::new();
        self.watch.slots.iter().find_map(|((_, nonce), slot)| {
            let id = slot.request?;
            let other = owners.insert(id, *nonce)?;
            Some(format!(
                "invariant 2: {id} has the slots of nonces {other} and {nonce}"
            ))
        })
    }

    /// Invariant 2, second half: whatever was offered for the request before can never be mined.
    fn moved_too_early(&self, changed: &Changed) -> Option<String> {
        changed.opened.iter().find_map(|place| {
            let id = self.watch.slots.get(place)?.request?;
            let call = self.call_of(id);
            if call.is_some_and(|call| self.watch.excused.contains(&call)) {
                return None;
            }
            let earlier = self.watch.payloads.get(&id)?.iter();
            let mut earlier = earlier.filter_map(|hash| self.watch.durable.get(hash));
            let alive = earlier.find(|a| {
                (a.account, a.nonce) != *place && !self.is_dead(a) && !self.adopted(place)
            })?;
            Some(format!(
                "invariant 2: {id} moved to nonce {} while nonce {} of {} may still execute it",
                place.1, alive.nonce, alive.account
            ))
        })
    }

    /// Whether a slot was opened for a transaction that a node showed.
    fn adopted(&self, place: &(Address, u64)) -> bool {
        let first = self
            .watch
            .slots
            .get(place)
            .and_then(|slot| slot.attempts.first());
        first.is_some_and(|attempt| attempt.signature.is_empty())
    }

    /// Invariants 5 and 6, by what a lane can know of nonce and balance.
    fn opened_too_many(&self, changed: &Changed) -> Option<String> {
        let (account, _) = changed.opened.iter().rev().find(|place| {
            let first = self
                .watch
                .slots
                .get(place)
                .and_then(|slot| slot.attempts.first());
            first.is_some_and(|a| a.kind == AttemptKind::Payload && !a.signature.is_empty())
        })?;
        let AccountRecord {
            next_nonce,
            settled,
        } = self.watch.accounts.get(account).copied()?;
        let states = self
            .chain
            .blocks
            .ever()
            .take(KNOWN_BLOCKS)
            .map(|b| b.state(*account));
        let known: Vec<_> = states.filter(|state| state.nonce >= settled).collect();
        let cap = u64::from(if self.chain.pools.delegated.contains(account) {
            self.plan.profile.in_flight_max
        } else {
            let window = self.plan.profile.nonce_window.unwrap_or(u32::MAX);
            self.plan.profile.in_flight_max.min(window)
        });
        if !known
            .iter()
            .any(|state| next_nonce.saturating_sub(state.nonce) <= cap)
        {
            return Some(format!(
                "invariant 6: {account} has given out nonces up to {next_nonce}, more than {cap} at once"
            ));
        }
        let cost = |from: u64| {
            let slots = self
                .watch
                .slots
                .range((*account, from)..=(*account, u64::MAX));
            slots.fold(U256::ZERO, |sum, (_, slot)| sum + worst_cost(slot))
        };
        if !known.iter().any(|state| cost(state.nonce) <= state.balance) {
            return Some(format!(
                "invariant 5: slots of {account} up to {next_nonce} may cost more than it has"
            ));
        }
        None
    }
}

fn worst_cost(slot: &SlotRecord) -> U256 {
    let costs = slot.attempts.iter().map(|attempt| attempt.tx.worst_cost());
    costs.max().unwrap_or_default()
}
