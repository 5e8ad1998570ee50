//! The invariants that are about the lane itself, checked after every input.

use std::collections::BTreeSet;

use baton_lanes::{AccountView, Offer, Output, SlotState};
use baton_model::{Address, Fees, U256};

use super::World;

impl World {
    pub(super) fn note_output(&mut self, output: &Output) {
        match output {
            Output::Broadcast(offer) => self.check_durable(offer),
            Output::Status { id, status } => self.note_status(*id, *status),
            Output::Sign { account, tx, .. } => self.check_bid(*account, tx.nonce, tx.fees),
            Output::Survey
            | Output::Lookup { .. }
            | Output::Observe { .. }
            | Output::Estimate { .. }
            | Output::FetchMarket
            | Output::Alarm(_) => {}
        }
    }

    /// Invariant 3: what goes to a node is durable, byte for byte.
    fn check_durable(&self, offer: &Offer) {
        let slot = self.store.slot(offer.account, offer.nonce);
        let slot = slot.unwrap_or_else(|| panic!("{offer:?} has no durable slot"));
        assert!(
            slot.attempts
                .iter()
                .any(|a| a.hash == offer.hash && a.raw == offer.raw),
            "{offer:?} is not durable"
        );
    }

    /// Invariant 4: each bid for a nonce is 110 % of the one before, rounded up, on both fields.
    fn check_bid(&mut self, account: Address, nonce: u64, fees: Fees) {
        let slot = self.lane.accounts().find(|a| a.address == account);
        let slot = slot.and_then(|a| a.slots.into_iter().find(|s| s.nonce == nonce));
        let Some((_, old, _)) = slot.and_then(|s| s.attempts.last().copied()) else {
            return;
        };
        let enough = |old: u128, new: u128| new >= (old * 110).div_ceil(100) && new > old;
        assert!(
            enough(old.max_per_gas(), fees.max_per_gas())
                && enough(old.tip_per_gas(), fees.tip_per_gas()),
            "{fees:?} does not replace {old:?}"
        );
        self.bids.entry((account, nonce)).or_default().push(fees);
    }

    pub(super) fn check(&mut self) {
        let views: Vec<AccountView> = self.lane.accounts().collect();
        let mut owners = BTreeSet::new();
        for view in views {
            self.check_contiguous(&view);
            self.check_cost(&view);
            for slot in &view.slots {
                if let Some(id) = slot.request {
                    assert!(owners.insert(id), "request {id} has two slots");
                    assert_eq!(self.lane.slot_of(id), Some((view.address, slot.nonce)));
                }
            }
            self.check_opened(&view);
            self.before.insert(view.address, view);
        }
        let open = self.lane.requests();
        let queued = open.filter(|r| self.lane.slot_of(r.id).is_none()).count();
        assert_eq!(
            self.lane.queued(),
            queued,
            "the queue is not what has no slot"
        );
    }

    /// Invariant 1.
    fn check_contiguous(&self, view: &AccountView) {
        let known = self.store.account(view.address).is_some();
        if !known || !self.lane.is_reconciled() {
            return;
        }
        let from = view.chain_nonce.max(view.settled);
        let unfinished: Vec<u64> = view.slots.iter().map(|s| s.nonce).collect();
        let open: Vec<u64> = unfinished.iter().copied().filter(|n| *n >= from).collect();
        let whole: Vec<u64> = (from..view.next_nonce).collect();
        // An account that waits for a person has nothing to lose by a gap, and cannot fill one.
        if view.ready {
            assert_eq!(open, whole, "{view:?} has a free slot");
        }
        let first = unfinished.first().copied().unwrap_or(view.next_nonce);
        let all: Vec<u64> = (first..view.next_nonce).collect();
        assert_eq!(unfinished, all, "{view:?} has a gap");
    }

    /// The sum that invariant 5 is about is the sum of what is not mined.
    fn check_cost(&self, view: &AccountView) {
        let cost = view
            .slots
            .iter()
            .filter(|s| s.nonce >= view.chain_nonce)
            .fold(U256::ZERO, |sum, s| sum + s.cost);
        assert_eq!(view.reserved, cost, "{view:?} miscounts its cost");
    }

    /// Invariants 5 and 6: where a slot opens, the balance covers all of them and the cap allows it.
    fn check_opened(&mut self, view: &AccountView) {
        let opened: Vec<_> = view
            .slots
            .iter()
            .filter(|s| s.state == SlotState::Reserved)
            .map(|s| (view.address, s.nonce))
            .filter(|slot| !self.opened.contains(slot))
            .collect();
        let had = self.before.get(&view.address).map_or(0, |v| v.next_nonce);
        self.opened.extend(&opened);
        // No-ops against unknown transactions do not wait for room: they are there to make some.
        let working = view.ready && opened.iter().any(|(_, nonce)| *nonce >= had);
        if !working || self.config.adopt {
            return;
        }
        assert!(
            view.reserved <= view.balance,
            "{view:?} spends what it lacks"
        );
        assert!(
            view.in_flight <= view.in_flight_max as usize,
            "{view:?} is over its cap"
        );
    }
}
