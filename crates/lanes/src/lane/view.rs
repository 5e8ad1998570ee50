//! What can be seen of a lane from outside.

use baton_model::{Address, B256, Fees, RequestId, U256};

use super::Lane;
use crate::account::{Account, Phase};
use crate::event::Alarm;
use crate::record::{RequestRecord, SummaryRecord};
use crate::slot::Slot;

/// An account and its slots.
#[derive(Clone, Debug)]
pub struct AccountView {
    /// The account.
    pub address: Address,
    /// Whether it may take work.
    pub ready: bool,
    /// Next nonce to be given out.
    pub next_nonce: u64,
    /// Next nonce to be mined, at the head.
    pub chain_nonce: u64,
    /// Every nonce below is final.
    pub settled: u64,
    /// Wei, at the head.
    pub balance: U256,
    /// Worst-case cost of what is not mined, in wei.
    pub reserved: U256,
    /// Slots not mined.
    pub in_flight: usize,
    /// The most that may be.
    pub in_flight_max: u32,
    /// Unfinished slots, lowest nonce first.
    pub slots: Vec<SlotView>,
}

/// The state of a slot, in the words of the design.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SlotState {
    /// Being signed; nothing of it is durable.
    Reserved,
    /// Signed bytes exist; no node may have them yet.
    Bound,
    /// Offered: a node has it, or may have.
    Offered,
    /// Offered, and a no-op competes or is to.
    Cancelling,
    /// In a block.
    Mined,
    /// Used by an unknown transaction, not final.
    Foreign,
}

/// A slot.
#[derive(Clone, Debug)]
pub struct SlotView {
    /// Its nonce.
    pub nonce: u64,
    /// Its state.
    pub state: SlotState,
    /// Its request.
    pub request: Option<RequestId>,
    /// Hash, bid and durability of its attempts, oldest first.
    pub attempts: Vec<(B256, Fees, bool)>,
    /// The most it can cost, in wei.
    pub cost: U256,
}

impl Lane {
    /// Every account with its slots.
    pub fn accounts(&self) -> impl Iterator<Item = AccountView> + '_ {
        self.accounts.values().map(|account| AccountView {
            address: account.address,
            ready: matches!(account.phase, Phase::Ready),
            next_nonce: account.next_nonce,
            chain_nonce: account.chain_nonce,
            settled: account.settled,
            balance: account.balance,
            reserved: account.reserved,
            in_flight: account.in_flight(),
            in_flight_max: account.cap_max,
            slots: account
                .slots
                .iter()
                .map(|(nonce, slot)| slot.view(*nonce))
                .collect(),
        })
    }

    /// Open requests, by id.
    pub fn requests(&self) -> impl Iterator<Item = &RequestRecord> + '_ {
        self.requests.values().map(|request| &request.record)
    }

    /// An open request.
    pub fn request(&self, id: RequestId) -> Option<&RequestRecord> {
        self.requests.get(&id).map(|request| &request.record)
    }

    /// The slot of an open request.
    pub fn slot_of(&self, id: RequestId) -> Option<(Address, u64)> {
        self.requests.get(&id).and_then(|r| r.slot)
    }

    /// Slots of all accounts that are not mined.
    pub fn in_flight(&self) -> usize {
        self.accounts.values().map(Account::in_flight).sum()
    }

    /// Number of open requests without a slot.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Whether every account has been compared with the chain.
    pub fn is_reconciled(&self) -> bool {
        self.surveyed
            && !self
                .accounts
                .values()
                .any(|a| matches!(a.phase, Phase::Surveying(_)))
    }

    /// What needs a person now.
    pub fn alarms(&self) -> Vec<Alarm> {
        let mut alarms = Vec::new();
        for account in self.accounts.values() {
            if let Phase::Stopped(alarm) = &account.phase {
                alarms.push(alarm.clone());
            }
            let used = account.slots.range(..account.chain_nonce);
            let held = used.filter(|(_, slot)| slot.foreign_since.is_some() && slot.foreign_told);
            alarms.extend(held.map(|(nonce, _)| Alarm::ForeignNonce {
                account: account.address,
                nonce: *nonce,
            }));
            if account.low_balance {
                alarms.push(Alarm::LowBalance {
                    account: account.address,
                });
            }
            if !account.unsigned.is_empty() {
                alarms.push(Alarm::SignerFailing {
                    account: account.address,
                });
            }
        }
        alarms
    }

    /// Numbers about the lane.
    pub fn summary(&self) -> &SummaryRecord {
        &self.summary
    }

    /// Those of a block's transactions that are attempts of this lane.
    pub fn hits(&self, transactions: &[B256]) -> Vec<B256> {
        transactions
            .iter()
            .filter(|hash| self.attempts.contains_key(*hash))
            .copied()
            .collect()
    }
}

impl Slot {
    fn view(&self, nonce: u64) -> SlotView {
        let offered = self.attempts.iter().any(|a| a.offered);
        let state = if self.mined.is_some() {
            SlotState::Mined
        } else if self.foreign_since.is_some() {
            SlotState::Foreign
        } else if self.is_reserved() {
            SlotState::Reserved
        } else if self.cancelling.is_some() {
            SlotState::Cancelling
        } else if offered {
            SlotState::Offered
        } else {
            SlotState::Bound
        };
        SlotView {
            nonce,
            state,
            request: self.request,
            attempts: self
                .attempts
                .iter()
                .map(|a| (a.record.hash, a.record.tx.fees, a.durable))
                .collect(),
            cost: self.cost,
        }
    }
}
