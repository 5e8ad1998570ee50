//! Starting from what is durable, and comparing it with the chain before anything is written to either.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use baton_model::{Address, RequestId, Speed, Timestamp, TxStatus, UnsignedTx};

use super::queue::Queue;
use super::stage::Stage;
use super::{Head, Lane, Replacing, Request};
use crate::account::{Account, Phase, Reconciliation};
use crate::config::LaneConfig;
use crate::event::{Alarm, Observation, Output, Survey, SurveyedAccount};
use crate::fees;
use crate::record::{
    AccountRecord, AttemptKind, CancelReason, ReplaceRecord, RequestRecord, SlotRecord,
    SummaryRecord,
};
use crate::slot::Slot;

/// Most unknown nonces that are looked at one by one before an account is stopped: more than a node's pool keeps of one
/// account says that this is not a matter of a lost second.
const OBSERVE_MAX: u64 = 64;

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
            expiries: BTreeSet::new(),
            attempts: HashMap::new(),
            tickets: BTreeMap::new(),
            next_ticket: 0,
            unsigned: BTreeMap::new(),
            head: None,
            rollbacks: 0,
            market: None,
            market_asked: false,
            surveyed: false,
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
        lane.check_restored()?;
        lane.end_cancelled(now);
        Ok(lane)
    }

    /// Ends what was cancelled while its first bytes were being signed: there is no trace of a slot, so none was offered.
    fn end_cancelled(&mut self, now: Timestamp) {
        let requests = self.queue.ids().filter_map(|id| self.requests.get(&id));
        let cancelled: Vec<RequestId> = requests
            .filter(|request| request.record.is_canceled)
            .map(|request| request.record.id)
            .collect();
        for id in cancelled {
            let (status, reason) = Self::cancelled_end(CancelReason::Canceled);
            self.finish(id, status, reason, now);
        }
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

    pub(super) fn handle_surveyed(&mut self, survey: &Survey, now: Timestamp) {
        if self.surveyed {
            return;
        }
        self.surveyed = true;
        // Blocks that came in since the question was asked know more.
        let newer = self.head.is_some_and(|head| head.number > survey.block);
        if !newer {
            self.head = Some(Head {
                number: survey.block,
                gas_limit: survey.gas_limit,
            });
        }
        for view in &survey.accounts {
            if let Some(account) = self.accounts.get_mut(&view.address)
                && !newer
            {
                account.set_chain_nonce(view.nonce);
                account.balance = view.balance;
            }
            self.survey_account(*view, now);
        }
    }

    fn survey_account(&mut self, view: SurveyedAccount, now: Timestamp) {
        let Some(account) = self.accounts.get_mut(&view.address) else {
            return;
        };
        let (chain, settled) = (account.chain_nonce, account.settled);
        if !account.known {
            account.known = true;
            account.start_at(chain);
            self.stage.touch_account(view.address);
        } else if chain < settled {
            let alarm = Alarm::ChainBehind {
                account: view.address,
                chain,
                settled,
            };
            self.stop(view.address, alarm);
            return;
        }
        let lookups: BTreeSet<u64> = account
            .slots
            .range(..chain)
            .map(|(nonce, _)| *nonce)
            .collect();
        let undecided: Vec<u64> = account.slots.range(chain..).map(|(n, _)| *n).collect();
        let reconciliation = Reconciliation {
            lookups: lookups.clone(),
            ahead_to: view.pending.unwrap_or(chain),
            ..Reconciliation::default()
        };
        account.phase = Phase::Surveying(reconciliation);
        for nonce in undecided {
            self.show_taken_back(view.address, nonce);
        }
        for nonce in lookups {
            self.look_up(view.address, nonce);
        }
        self.finish_survey(view.address, now);
    }

    /// Shows a request whose transaction was mined when the lane was left, and is not any more.
    fn show_taken_back(&mut self, address: Address, nonce: u64) {
        let slot = self.account(address).and_then(|a| a.slots.get(&nonce));
        let request = slot.and_then(|slot| slot.request);
        let request = request.and_then(|id| self.requests.get(&id));
        if request.is_some_and(|request| request.record.status == TxStatus::Mined) {
            self.show_undecided(address, nonce);
        }
    }

    /// Stops an account whose nonces run ahead of what this lane gave out, to find out why.
    pub(super) fn survey_ahead(&mut self, address: Address, ahead_to: u64, now: Timestamp) {
        let Some(account) = self.accounts.get_mut(&address) else {
            return;
        };
        if !matches!(account.phase, Phase::Ready) {
            return;
        }
        let reserved = account.remove_reserved();
        account.phase = Phase::Surveying(Reconciliation {
            ahead_to,
            ..Reconciliation::default()
        });
        for slot in reserved {
            if let Some(signing) = &slot.signing {
                self.tickets.remove(&signing.ticket);
            }
            self.release_request(slot, now);
        }
        self.finish_survey(address, now);
    }

    /// Lets an account work once everything that was asked is answered.
    pub(super) fn finish_survey(&mut self, address: Address, now: Timestamp) {
        if !self.surveyed {
            return;
        }
        loop {
            let Some(account) = self.accounts.get(&address) else {
                return;
            };
            let Phase::Surveying(reconciliation) = &account.phase else {
                return;
            };
            if !reconciliation.lookups.is_empty() {
                return;
            }
            let next = account.next_nonce;
            if next >= reconciliation.ahead_to.max(account.chain_nonce) {
                break;
            }
            let Some(found) = reconciliation.observed.get(&next).cloned() else {
                self.observe_ahead(address);
                return;
            };
            if !self.take_over(address, next, found, now) {
                return;
            }
        }
        if let Some(account) = self.account(address) {
            account.phase = Phase::Ready;
        }
        self.stage.touch_account(address);
        self.stage.touch_summary();
        self.offer_unacknowledged(address, now);
    }

    /// Asks what stands at the next unknown nonces, for each once.
    fn observe_ahead(&mut self, address: Address) {
        let Some(account) = self.accounts.get_mut(&address) else {
            return;
        };
        let Phase::Surveying(reconciliation) = &mut account.phase else {
            return;
        };
        let next = account.next_nonce;
        let ahead_to = reconciliation.ahead_to.max(account.chain_nonce);
        let to = ahead_to.min(next.saturating_add(OBSERVE_MAX));
        for nonce in next.max(reconciliation.asked_to)..to {
            self.outputs.push_back(Output::Observe {
                account: address,
                nonce,
            });
        }
        reconciliation.asked_to = reconciliation.asked_to.max(to);
    }

    /// Deals with one nonce that this lane did not give out. False when the account has to stop or wait.
    fn take_over(
        &mut self,
        address: Address,
        nonce: u64,
        found: Option<Observation>,
        now: Timestamp,
    ) -> bool {
        let Some(account) = self.accounts.get_mut(&address) else {
            return false;
        };
        if let Some(seen) = &found
            && let Some(id) = Self::matching(&self.queue, &self.requests, seen)
        {
            // What is durable has no gaps: the no-ops below come first.
            if account.has_reserved() {
                return false;
            }
            self.adopt(address, id, seen.clone(), now);
            return true;
        }
        if !self.config.adopt {
            let alarm = Alarm::ForeignNonce {
                account: address,
                nonce,
            };
            self.stop(address, alarm);
            return false;
        }
        // Too deep for a reorganisation to free it. The unfinished slots below are settled first, so that no gap remains.
        if account.chain_nonce.saturating_sub(nonce) > OBSERVE_MAX {
            if account.slots.is_empty() {
                account.start_at(nonce + 1);
            }
            return account.next_nonce > nonce;
        }
        self.outbid(address, nonce, found, now)
    }

    /// The oldest request without a slot that asks for what a transaction does.
    fn matching(
        queue: &Queue,
        requests: &BTreeMap<RequestId, Request>,
        seen: &Observation,
    ) -> Option<RequestId> {
        queue.ids().find(|id| {
            let request = requests.get(id);
            request.is_some_and(|request| request.record.spec.call == seen.tx.call)
        })
    }

    /// Competes with an unknown transaction by a no-op, so that the nonce is used up whatever becomes of it: one in the
    /// pool may be dropped, and one in a block may be taken back.
    fn outbid(
        &mut self,
        address: Address,
        nonce: u64,
        found: Option<Observation>,
        now: Timestamp,
    ) -> bool {
        let Some(market) = &self.market else {
            self.ask_market();
            return false;
        };
        let market = fees::market_bid(
            Speed::Fast,
            &market.view,
            &self.config.policy,
            &self.config.profile,
        );
        let fees = match found {
            Some(found) => fees::replacement_bid(found.tx.fees, market, None).unwrap_or(market),
            None => market,
        };
        let tx = UnsignedTx {
            chain_id: self.config.profile.chain_id,
            nonce,
            gas_limit: self.config.noop_gas(),
            fees,
            call: Self::noop_call(address),
        };
        let account = self.accounts.get(&address);
        if account.is_none_or(|a| nonce >= a.chain_nonce && a.available() < tx.worst_cost()) {
            self.note_low_balance(address);
            return false;
        }
        self.reserve(address, None, AttemptKind::Noop, tx, now);
        true
    }

    /// Accounts whose survey waits for the market.
    pub(super) fn resume_surveys(&mut self, now: Timestamp) {
        let waiting: Vec<Address> = self
            .accounts
            .values()
            .filter(|a| matches!(a.phase, Phase::Surveying(_)))
            .map(|a| a.address)
            .collect();
        if self.surveyed {
            for address in waiting {
                self.finish_survey(address, now);
            }
        }
    }
}
