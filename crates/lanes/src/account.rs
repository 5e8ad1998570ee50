//! One account of a lane: its nonces, its money and whether it may take work.

use std::collections::{BTreeMap, BTreeSet};

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
    /// What was found at those.
    pub(crate) observed: BTreeMap<u64, Option<Observation>>,
}

/// An account.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) address: Address,
    pub(crate) phase: Phase,
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
    /// Slots whose latest attempt no node has acknowledged.
    pub(crate) unacknowledged: BTreeSet<u64>,
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
            slots: BTreeMap::new(),
            next_nonce,
            settled,
            chain_nonce: 0,
            balance: U256::ZERO,
            reserved: U256::ZERO,
            cap,
            cap_max: cap,
            unacknowledged: BTreeSet::new(),
            last_used: Timestamp::default(),
            low_balance: false,
            known: record.is_some(),
        }
    }

    /// The durable form. A reserved nonce is not given out yet as far as a successor is concerned.
    pub(crate) fn record(&self) -> AccountRecord {
        AccountRecord {
            next_nonce: self.durable_next(),
            settled: self.settled,
        }
    }

    /// The next nonce of which nothing is signed.
    pub(crate) fn durable_next(&self) -> u64 {
        // Reserved slots are always the last ones.
        let reserved = self.slots.iter().rev().take_while(|(_, s)| s.is_reserved());
        reserved.last().map_or(self.next_nonce, |(nonce, _)| *nonce)
    }

    /// Slots that are not mined at the head.
    pub(crate) fn in_flight(&self) -> usize {
        usize::try_from(
            self.next_nonce
                .saturating_sub(self.chain_nonce.max(self.settled)),
        )
        .unwrap_or(usize::MAX)
    }

    /// What the balance leaves for new work.
    pub(crate) fn available(&self) -> U256 {
        self.balance.saturating_sub(self.reserved)
    }

    /// The lowest slot that the chain has not decided.
    pub(crate) fn lowest_open(&self) -> Option<(u64, &Slot)> {
        self.slots
            .range(self.chain_nonce..)
            .find(|(_, s)| !s.is_decided())
            .map(|(n, s)| (*n, s))
    }

    /// Takes back what the head contradicts: a slot at or above the nonce to be mined next is not decided. Happens when
    /// an answer about a block that is gone arrives late.
    pub(crate) fn forget_undecided(&mut self) {
        for (nonce, slot) in self.slots.range_mut(self.chain_nonce..) {
            if slot.is_decided() {
                slot.mined = None;
                slot.foreign_since = None;
                self.unacknowledged.insert(*nonce);
            }
        }
    }

    /// Recomputes what is reserved from the slots that are not mined at the head.
    pub(crate) fn recount(&mut self) {
        self.reserved = self
            .slots
            .range(self.chain_nonce..)
            .fold(U256::ZERO, |sum, (_, slot)| sum.saturating_add(slot.cost));
    }
}
