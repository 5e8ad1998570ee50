//! Starting from what is durable.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use baton_model::{Address, Timestamp};

use super::queue::Queue;
use super::stage::Stage;
use super::{Lane, Replacing, Request};
use crate::account::Account;
use crate::config::LaneConfig;
use crate::event::Output;
use crate::record::{AccountRecord, ReplaceRecord, RequestRecord, SlotRecord, SummaryRecord};
use crate::slot::Slot;

/// What a lane left in the store.
#[derive(Clone, Debug, Default)]
pub struct Restored {
    /// Open requests with their inbox positions.
    pub requests: Vec<(u64, RequestRecord)>,
    /// Unfinished slots.
    pub slots: Vec<(Address, u64, SlotRecord)>,
    /// Accounts.
    pub accounts: Vec<(Address, AccountRecord)>,
    /// The summary.
    pub summary: Option<SummaryRecord>,
    /// The last entry of the inbox that is to be taken in before a nonce that nothing here explains is anybody else's:
    /// a store that was rolled back may have kept a request in its inbox, and forgotten that it was sent.
    pub inbox: u64,
    /// Whether the store is known to have lost what it held: an account that it does not know is then no new one, and
    /// nonces that the chain has used may be those of requests that are forgotten.
    pub has_lost: bool,
}

/// Why a lane cannot start from what it left.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// A slot belongs to an account that the relayer no longer has.
    #[error(
        "account {account} has an unfinished transaction at nonce {nonce}, but no signer of the relayer has this \
         address: bring its signer back until its transactions are final"
    )]
    AccountMissing {
        /// The account.
        account: Address,
        /// The lowest such nonce.
        nonce: u64,
    },
    /// Slots are not contiguous, or have no attempts.
    #[error("the slots of {account} are damaged at nonce {nonce}: {reason}")]
    Slots {
        /// The account.
        account: Address,
        /// Where.
        nonce: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// The lane worked on another chain.
    #[error(
        "the relayer worked on chain {found} and is now configured for chain {expected}: what it accepted and signed \
         belongs to that chain; give the relayer of the new chain another id"
    )]
    OtherChain {
        /// The chain of what is stored.
        found: u64,
        /// The chain of the configuration.
        expected: u64,
    },
    /// The relayer has no account.
    #[error("the relayer has no account")]
    NoAccount,
}

impl Lane {
    /// A lane as it was left, or a new one if nothing was. Its first output asks for a survey.
    pub fn restore(
        config: LaneConfig,
        restored: Restored,
        now: Timestamp,
    ) -> Result<Self, RestoreError> {
        if config.accounts.is_empty() {
            return Err(RestoreError::NoAccount);
        }
        check_chain(config.profile.chain_id, &restored)?;
        let records: BTreeMap<Address, AccountRecord> = restored.accounts.into_iter().collect();
        let accounts = config
            .accounts
            .iter()
            .map(|a| {
                (
                    *a,
                    Account::new(*a, records.get(a).copied(), config.profile.in_flight_max),
                )
            })
            .collect();
        let mut lane = Self {
            config,
            accounts,
            requests: BTreeMap::new(),
            queue: Queue::default(),
            replacing: BTreeSet::new(),
            cancelled: BTreeSet::new(),
            expiries: BTreeSet::new(),
            expiring: false,
            attempts: HashMap::new(),
            tickets: BTreeMap::new(),
            next_ticket: 0,
            unsigned: BTreeMap::new(),
            head: None,
            rollbacks: 0,
            market: None,
            market_asked: false,
            surveyed: false,
            inbox_awaited: restored.inbox,
            has_lost: restored.has_lost,
            stage: Stage::default(),
            summary: restored.summary.unwrap_or_default(),
            outputs: VecDeque::from([Output::Survey]),
        };
        for (position, record) in restored.requests {
            lane.admit(position, record, now);
        }
        for (address, nonce, record) in restored.slots {
            lane.restore_slot(address, nonce, record, now)?;
        }
        lane.summary.chain_id = Some(lane.config.profile.chain_id);
        lane.check_restored()?;
        let queued = lane.queue.ids();
        let cancelled =
            queued.filter(|id| lane.requests.get(id).is_some_and(Request::is_cancelled));
        lane.cancelled = cancelled.collect();
        Ok(lane)
    }

    fn restore_slot(
        &mut self,
        account: Address,
        nonce: u64,
        mut record: SlotRecord,
        now: Timestamp,
    ) -> Result<(), RestoreError> {
        if record.attempts.is_empty() {
            return Err(RestoreError::Slots {
                account,
                nonce,
                reason: "no attempts",
            });
        }
        if let Some(id) = record.request {
            let Some(request) = self.requests.get_mut(&id) else {
                let reason = "its request is not open";
                return Err(RestoreError::Slots {
                    account,
                    nonce,
                    reason,
                });
            };
            request.slot = Some((account, nonce));
            self.queue.remove(request.position);
            if let Some(ReplaceRecord { command, spec }) = record.replacing.take() {
                self.start_replacing(id, Replacing::new(command, spec, now));
            }
        }
        for attempt in &record.attempts {
            self.attempts.insert(attempt.hash, (account, nonce));
        }
        let Some(state) = self.accounts.get_mut(&account) else {
            return Err(RestoreError::AccountMissing { account, nonce });
        };
        state.insert_slot(nonce, Slot::restored(record, now));
        Ok(())
    }

    fn check_restored(&self) -> Result<(), RestoreError> {
        for account in self.accounts.values() {
            let Some((first, _)) = account.slots.first_key_value() else {
                continue;
            };
            let nonces = account.slots.keys().copied();
            for (expected, nonce) in (*first..account.next_nonce).zip(nonces) {
                if expected != nonce {
                    let (account, reason) = (account.address, "a nonce is missing");
                    return Err(RestoreError::Slots {
                        account,
                        nonce: expected,
                        reason,
                    });
                }
            }
            let count = u64::try_from(account.slots.len()).unwrap_or(u64::MAX);
            if first.saturating_add(count) != account.next_nonce {
                let (nonce, reason) = (account.next_nonce, "they do not end at the next nonce");
                return Err(RestoreError::Slots {
                    account: account.address,
                    nonce,
                    reason,
                });
            }
        }
        Ok(())
    }
}

/// Checks that what is stored was made for this chain.
fn check_chain(expected: u64, restored: &Restored) -> Result<(), RestoreError> {
    let summary = restored.summary.as_ref().and_then(|s| s.chain_id);
    let attempts = restored
        .slots
        .iter()
        .flat_map(|(_, _, slot)| &slot.attempts);
    let mut chains = summary.into_iter().chain(attempts.map(|a| a.tx.chain_id));
    match chains.find(|found| *found != expected) {
        Some(found) => Err(RestoreError::OtherChain { found, expected }),
        None => Ok(()),
    }
}
