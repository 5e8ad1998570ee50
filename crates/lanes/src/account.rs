//! One account of a lane: its nonces, its money and whether it may take work.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use baton_model::{Address, Timestamp, U256};

use crate::event::{Alarm, Observation};
use crate::record::AccountRecord;
use crate::slot::Slot;

/// Whether an account may take work.
#[derive(Clone, Debug)]
pub(crate) enum Phase {
    /// Its durable state is being compared with the chain.
    Surveying(Reconciliation),
    /// It works.
    Ready,
    /// It waits for a person.
    Stopped(Alarm),
}

/// What is still to be learnt before an account may work.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reconciliation {
    /// Slots whose receipts are looked for.
    pub(crate) lookups: BTreeSet<u64>,
    /// Nonces that the chain knows and this lane does not, up to but not including this one.
    pub(crate) ahead_to: u64,
    /// Nonces below this were asked for.
    pub(crate) asked_to: u64,
    /// What was found at those.
    pub(crate) observed: BTreeMap<u64, Option<Observation>>,
}

/// An account.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) address: Address,
    pub(crate) phase: Phase,
    /// What was known of unknown nonces when one of them stopped the account, and what was learnt since.
    pub(crate) stopped_search: Option<Reconciliation>,
    /// Unfinished slots, contiguous up to `next_nonce`.
    pub(crate) slots: BTreeMap<u64, Slot>,
    pub(crate) next_nonce: u64,
    /// Every nonce below this is final.
    pub(crate) settled: u64,
    /// Next nonce to be mined, at the head.
    pub(crate) chain_nonce: u64,
    pub(crate) balance: U256,
    /// Worst-case cost of the slots that are not mined at the head.
    pub(crate) reserved: U256,
    /// In-flight cap, lowered while nodes push back.
    pub(crate) cap: u32,
    /// The most that `cap` may be.
    pub(crate) cap_max: u32,
    /// The lowest nonce whose slot is only reserved; reserved slots are always the last ones.
    pub(crate) bound_next: u64,
    /// Slots whose latest attempt no node has acknowledged.
    pub(crate) unacknowledged: BTreeSet<u64>,
    /// Slots that the chain has decided, for now.
    pub(crate) decided: BTreeSet<u64>,
    /// The lowest slot, where a node found its bid too low and the market was not known.
    pub(crate) underpriced: Option<u64>,
    /// Slots in which a no-op competes, or is to.
    pub(crate) cancelling: BTreeSet<u64>,
    /// Slots whose signature failed and is to be asked for again.
    pub(crate) unsigned: BTreeSet<u64>,
    /// When work was last given to it; ties among accounts go to the longest idle.
    pub(crate) last_used: Timestamp,
    /// Whether its balance was too low when last looked at.
    pub(crate) low_balance: bool,
    /// Whether a durable record of it exists.
    pub(crate) known: bool,
}

impl Account {
    pub(crate) fn new(address: Address, record: Option<AccountRecord>, cap: u32) -> Self {
        let next_nonce = record.map_or(0, |r| r.next_nonce);
        let settled = record.map_or(0, |r| r.settled);
        Self {
            address,
            phase: Phase::Surveying(Reconciliation::default()),
            stopped_search: None,
            slots: BTreeMap::new(),
            next_nonce,
            settled,
            chain_nonce: 0,
            balance: U256::ZERO,
            reserved: U256::ZERO,
            cap: cap.max(1),
            cap_max: cap.max(1),
            bound_next: next_nonce,
            unacknowledged: BTreeSet::new(),
            decided: BTreeSet::new(),
            underpriced: None,
            cancelling: BTreeSet::new(),
            unsigned: BTreeSet::new(),
            last_used: Timestamp::default(),
            low_balance: false,
            known: record.is_some(),
        }
    }

    /// What is known of the nonces that the chain or a pool knows and this lane does not.
    pub(crate) const fn search(&self) -> Option<&Reconciliation> {
        match &self.phase {
            Phase::Surveying(search) => Some(search),
            Phase::Stopped(_) => self.stopped_search.as_ref(),
            Phase::Ready => None,
        }
    }

    /// Whether nobody has said yet what stands at one of those.
    pub(crate) fn has_unknown_ahead(&self) -> bool {
        let (ahead_to, observed) = match (&self.phase, &self.stopped_search) {
            (Phase::Surveying(search), _) => {
                (search.ahead_to.max(self.chain_nonce), &search.observed)
            }
            (Phase::Stopped(_), Some(search)) => (search.ahead_to, &search.observed),
            (Phase::Stopped(_), None) | (Phase::Ready, _) => return false,
        };
        (self.next_nonce..ahead_to).any(|nonce| !observed.contains_key(&nonce))
    }

    /// The durable form. A reserved nonce is not given out yet as far as a successor is concerned.
    pub(crate) const fn record(&self) -> AccountRecord {
        AccountRecord {
            next_nonce: self.bound_next,
            settled: self.settled,
        }
    }

    /// Begins at a nonce: nothing is known of those below.
    pub(crate) const fn begin_at(&mut self, nonce: u64) {
        self.next_nonce = nonce;
        self.bound_next = nonce;
    }

    /// Nonces that the chain has free and this lane begins behind.
    pub(crate) fn free_below(&self) -> Range<u64> {
        let first = self.lowest().map_or(self.next_nonce, |(nonce, _)| nonce);
        self.chain_nonce.max(self.settled)..first
    }

    /// Whether its unfinished slots may be looked after. A foreign nonce is a reason to give out none, not to abandon
    /// those that are given out.
    pub(crate) const fn may_mend(&self) -> bool {
        matches!(
            self.phase,
            Phase::Ready | Phase::Stopped(Alarm::ForeignNonce { .. })
        )
    }

    /// Whether slots wait for their first signature.
    pub(crate) const fn has_reserved(&self) -> bool {
        self.bound_next < self.next_nonce
    }

    /// Slots that are not mined at the head.
    pub(crate) fn in_flight(&self) -> usize {
        let from = self.chain_nonce.max(self.settled);
        usize::try_from(self.next_nonce.saturating_sub(from)).unwrap_or(usize::MAX)
    }

    /// What the balance leaves for new work.
    pub(crate) fn available(&self) -> U256 {
        self.balance.saturating_sub(self.reserved)
    }

    /// The lowest unfinished slot.
    pub(crate) fn lowest(&self) -> Option<(u64, &Slot)> {
        self.slots.first_key_value().map(|(n, s)| (*n, s))
    }

    /// The lowest slot that the chain has not decided.
    pub(crate) fn lowest_open(&self) -> Option<(u64, &Slot)> {
        self.slots
            .range(self.chain_nonce..)
            .find(|(_, s)| !s.is_decided())
            .map(|(n, s)| (*n, s))
    }

    /// Adds the slot of the next nonce: reserved, or bound when it has an attempt.
    pub(crate) fn push_slot(&mut self, slot: Slot) {
        let nonce = self.next_nonce;
        self.next_nonce = nonce.saturating_add(1);
        if !slot.is_reserved() {
            self.bound_next = self.next_nonce;
        }
        self.insert_slot(nonce, slot);
    }

    /// Adds a slot below the next nonce.
    pub(crate) fn insert_slot(&mut self, nonce: u64, slot: Slot) {
        self.spend_more(nonce, slot.cost);
        if !slot.is_reserved() {
            self.unacknowledged.insert(nonce);
        }
        if slot.cancelling.is_some() {
            self.cancelling.insert(nonce);
        }
        self.slots.insert(nonce, slot);
    }

    /// Takes a slot out.
    pub(crate) fn remove_slot(&mut self, nonce: u64) -> Option<Slot> {
        let slot = self.slots.remove(&nonce)?;
        self.unacknowledged.remove(&nonce);
        self.decided.remove(&nonce);
        self.cancelling.remove(&nonce);
        self.unsigned.remove(&nonce);
        self.spend_less(nonce, slot.cost);
        Some(slot)
    }

    /// Takes back the nonces of which nothing is signed.
    pub(crate) fn remove_reserved(&mut self) -> Vec<Slot> {
        let removed = (self.bound_next..self.next_nonce)
            .filter_map(|nonce| self.remove_slot(nonce))
            .collect();
        self.next_nonce = self.bound_next;
        removed
    }

    /// Sets what a slot can cost at most.
    pub(crate) fn set_cost(&mut self, nonce: u64, cost: U256) {
        let Some(slot) = self.slots.get_mut(&nonce) else {
            return;
        };
        let old = std::mem::replace(&mut slot.cost, cost);
        self.spend_less(nonce, old);
        self.spend_more(nonce, cost);
    }

    /// Takes in the chain's nonce: slots below it cost nothing any more, or do again.
    pub(crate) fn set_chain_nonce(&mut self, nonce: u64) {
        let old = std::mem::replace(&mut self.chain_nonce, nonce);
        let moved = self.slots.range(old.min(nonce)..old.max(nonce));
        let cost = moved.fold(U256::ZERO, |sum, (_, s)| sum.saturating_add(s.cost));
        if nonce < old {
            self.reserved = self.reserved.saturating_add(cost);
        } else {
            self.release(cost);
        }
    }

    /// Notes that the chain has decided a slot.
    pub(crate) fn decide(&mut self, nonce: u64) {
        self.decided.insert(nonce);
        self.unacknowledged.remove(&nonce);
    }

    /// Takes back what was decided about a slot.
    pub(crate) fn undecide(&mut self, nonce: u64) {
        self.decided.remove(&nonce);
        if let Some(slot) = self.slots.get_mut(&nonce) {
            slot.mined = None;
            slot.foreign_since = None;
            self.unacknowledged.insert(nonce);
        }
    }

    /// Takes back what the head contradicts: a slot at or above the nonce to be mined next is not decided. Gives the
    /// slots concerned.
    pub(crate) fn forget_undecided(&mut self) -> Vec<u64> {
        let wrong: Vec<u64> = self.decided.range(self.chain_nonce..).copied().collect();
        for nonce in &wrong {
            self.undecide(*nonce);
        }
        wrong
    }

    fn spend_more(&mut self, nonce: u64, cost: U256) {
        if nonce >= self.chain_nonce {
            self.reserved = self.reserved.saturating_add(cost);
        }
    }

    fn spend_less(&mut self, nonce: u64, cost: U256) {
        if nonce >= self.chain_nonce {
            self.release(cost);
        }
    }

    fn release(&mut self, cost: U256) {
        if self.reserved < U256::MAX {
            self.reserved = self.reserved.saturating_sub(cost);
            return;
        }
        // The sum had no room for all costs: only adding them up again tells what is left.
        self.reserved = self
            .slots
            .range(self.chain_nonce..)
            .fold(U256::ZERO, |sum, (_, slot)| sum.saturating_add(slot.cost));
    }
}
