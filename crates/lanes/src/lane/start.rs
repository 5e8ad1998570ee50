//! Starting from what is durable, and comparing it with the chain before anything is written to either.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use baton_model::{Address, Bytes, RequestId, Speed, Timestamp, UnsignedTx};

use super::stage::Stage;
use super::{Head, Lane};
use crate::account::{Account, Phase, Reconciliation};
use crate::config::LaneConfig;
use crate::event::{Alarm, Observation, Output, Survey, SurveyedAccount};
use crate::fees;
use crate::record::{
    AccountRecord, AttemptKind, AttemptRecord, RequestRecord, SlotRecord, SummaryRecord,
};
use crate::slot::{Attempt, Slot};

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
            queue: BTreeMap::new(),
            expiries: BTreeSet::new(),
            attempts: HashMap::new(),
            tickets: BTreeMap::new(),
            next_ticket: 0,
            head: None,
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
        Ok(lane)
    }

    fn restore_slot(
        &mut self,
        account: Address,
        nonce: u64,
        record: SlotRecord,
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
            self.queue.remove(&request.position);
        }
        for attempt in &record.attempts {
            self.attempts.insert(attempt.hash, (account, nonce));
        }
        let Some(state) = self.accounts.get_mut(&account) else {
            return Err(RestoreError::AccountMissing { account, nonce });
        };
        state.slots.insert(nonce, Slot::restored(record, now));
        state.unacknowledged.insert(nonce);
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
        if self.head.is_none() {
            self.head = Some(Head {
                number: survey.block,
                gas_limit: survey.gas_limit,
            });
        }
        for view in &survey.accounts {
            self.survey_account(*view, now);
        }
    }

    fn survey_account(&mut self, view: SurveyedAccount, now: Timestamp) {
        let Some(account) = self.accounts.get_mut(&view.address) else {
            return;
        };
        account.chain_nonce = view.nonce;
        account.balance = view.balance;
        if !account.known {
            account.known = true;
            account.next_nonce = view.nonce;
            account.settled = view.nonce;
            self.stage.touch_account(view.address);
        }
        account.recount();
        if view.nonce < account.settled {
            let settled = account.settled;
            let alarm = Alarm::ChainBehind {
                account: view.address,
                chain: view.nonce,
                settled,
            };
            self.stop(view.address, alarm);
            return;
        }
        let lookups: BTreeSet<u64> = account
            .slots
            .range(..view.nonce)
            .map(|(nonce, _)| *nonce)
            .collect();
        let ahead_to = view.pending.unwrap_or(view.nonce).max(view.nonce);
        let reconciliation = Reconciliation {
            lookups: lookups.clone(),
            ahead_to,
            observed: BTreeMap::new(),
        };
        account.phase = Phase::Surveying(reconciliation);
        for nonce in lookups {
            self.look_up(view.address, nonce);
        }
        self.observe_ahead(view.address);
        self.finish_survey(view.address, now);
    }

    /// Stops an account whose nonces run ahead of what this lane gave out, to find out why.
    pub(super) fn survey_ahead(&mut self, address: Address, ahead_to: u64, now: Timestamp) {
        let Some(account) = self.accounts.get_mut(&address) else {
            return;
        };
        if !matches!(account.phase, Phase::Ready) {
            return;
        }
        let next = account.durable_next();
        let reserved = account.slots.split_off(&next);
        account.next_nonce = next;
        let reconciliation = Reconciliation {
            ahead_to,
            ..Reconciliation::default()
        };
        account.phase = Phase::Surveying(reconciliation);
        account.recount();
        for slot in reserved.into_values() {
            if let Some(signing) = &slot.signing {
                self.tickets.remove(&signing.ticket);
            }
            if let Some(id) = slot.request {
                self.requeue(id, now);
            }
        }
        self.observe_ahead(address);
    }

    fn observe_ahead(&mut self, address: Address) {
        let Some(account) = self.accounts.get(&address) else {
            return;
        };
        let Phase::Surveying(reconciliation) = &account.phase else {
            return;
        };
        for nonce in account.next_nonce..observe_to(account.next_nonce, reconciliation) {
            self.outputs.push_back(Output::Observe {
                account: address,
                nonce,
            });
        }
    }

    pub(super) fn handle_observed(
        &mut self,
        address: Address,
        nonce: u64,
        transaction: Option<Observation>,
        now: Timestamp,
    ) {
        let Some(account) = self.accounts.get_mut(&address) else {
            return;
        };
        if let Phase::Surveying(reconciliation) = &mut account.phase {
            reconciliation.observed.insert(nonce, transaction);
        }
        self.finish_survey(address, now);
    }

    /// Lets an account work once everything that was asked is answered.
    pub(super) fn finish_survey(&mut self, address: Address, now: Timestamp) {
        loop {
            let Some(account) = self.accounts.get(&address) else {
                return;
            };
            let Phase::Surveying(reconciliation) = &account.phase else {
                return;
            };
            let (next, ahead_to) = (account.next_nonce, reconciliation.ahead_to);
            if !reconciliation.lookups.is_empty() {
                return;
            }
            if next >= ahead_to {
                break;
            }
            let Some(found) = reconciliation.observed.get(&next).cloned() else {
                let beyond = next >= observe_to(account.settled.max(next), reconciliation);
                debug_assert!(!beyond, "every nonce up to the bound is asked for");
                return;
            };
            let many = ahead_to - next > OBSERVE_MAX;
            if !self.take_over(address, next, found, many, now) {
                return;
            }
            self.observe_more(address);
        }
        if let Some(account) = self.account(address) {
            account.phase = Phase::Ready;
        }
        self.stage.touch_account(address);
        self.stage.touch_summary();
        self.offer_unacknowledged(address, now);
    }

    /// Asks for the nonce that came within the bound as the one before it was dealt with.
    fn observe_more(&mut self, address: Address) {
        let Some(account) = self.accounts.get(&address) else {
            return;
        };
        let Phase::Surveying(reconciliation) = &account.phase else {
            return;
        };
        let last = observe_to(account.next_nonce, reconciliation).saturating_sub(1);
        if last >= account.next_nonce && last == account.next_nonce + OBSERVE_MAX - 1 {
            self.outputs.push_back(Output::Observe {
                account: address,
                nonce: last,
            });
        }
    }

    /// Deals with one nonce that this lane did not give out. False when the account has to stop or wait.
    fn take_over(
        &mut self,
        address: Address,
        nonce: u64,
        found: Option<Observation>,
        many: bool,
        now: Timestamp,
    ) -> bool {
        if let Some(observation) = &found
            && let Some(id) = self.matching(observation)
        {
            self.adopt(address, nonce, id, observation.clone(), now);
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
        let Some(account) = self.accounts.get_mut(&address) else {
            return false;
        };
        if nonce < account.chain_nonce || many && found.is_none() {
            account.next_nonce = nonce + 1;
            return true;
        }
        self.outbid(address, nonce, found, now)
    }

    /// The oldest request without a slot that asks for what a transaction does.
    fn matching(&self, observation: &Observation) -> Option<RequestId> {
        self.queue
            .values()
            .find(|id| {
                self.spec(**id)
                    .is_some_and(|spec| spec.call == observation.tx.call)
            })
            .copied()
    }

    fn adopt(
        &mut self,
        address: Address,
        nonce: u64,
        id: RequestId,
        observation: Observation,
        now: Timestamp,
    ) {
        let record = AttemptRecord {
            kind: AttemptKind::Payload,
            tx: observation.tx,
            hash: observation.hash,
            raw: observation.raw,
            signature: Bytes::new(),
            created_at: now,
            acknowledged_at: Some(now),
        };
        let hash = record.hash;
        let slot_record = SlotRecord {
            request: Some(id),
            cancelling: None,
            attempts: vec![record.clone()],
        };
        let mut slot = Slot::restored(slot_record, now);
        slot.attempts = vec![Attempt {
            offered: true,
            ..Attempt::new(record, now)
        }];
        let Some(account) = self.accounts.get_mut(&address) else {
            return;
        };
        let used = nonce < account.chain_nonce;
        account.next_nonce = nonce + 1;
        account.slots.insert(nonce, slot);
        account.recount();
        self.attempts.insert(hash, (address, nonce));
        if let Some(request) = self.requests.get_mut(&id) {
            request.slot = Some((address, nonce));
            self.queue.remove(&request.position);
        }
        self.stage.bound(address, nonce, hash);
        self.refresh(id, address, nonce);
        if used {
            self.look_up(address, nonce);
        }
    }

    /// Competes with an unknown pooled transaction by a no-op, so that the nonce is used up whatever becomes of it.
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

fn observe_to(next: u64, reconciliation: &Reconciliation) -> u64 {
    reconciliation
        .ahead_to
        .min(next.saturating_add(OBSERVE_MAX))
}
