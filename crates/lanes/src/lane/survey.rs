//! Comparing what is durable with the chain before anything new is written to either.

use std::collections::{BTreeMap, BTreeSet};

use baton_model::{Address, RequestId, Speed, Timestamp, TxStatus, UnsignedTx};

use super::queue::Queue;
use super::{Head, Lane, Request};
use crate::account::{Account, Phase, Reconciliation};
use crate::event::{Alarm, Observation, Output, Survey, SurveyedAccount};
use crate::fees;
use crate::record::AttemptKind;
use crate::slot::Slot;

/// Most unknown nonces that are looked at one by one before an account is stopped: more than a node's pool keeps of
/// one account says that this is not a matter of a lost second.
const OBSERVE_MAX: u64 = 64;

impl Lane {
    pub(super) fn handle_surveyed(&mut self, survey: &Survey, now: Timestamp) {
        if self.surveyed {
            return;
        }
        self.surveyed = true;
        self.head = Some(Head {
            number: survey.block,
            gas_limit: survey.gas_limit,
        });
        for view in &survey.accounts {
            if let Some(account) = self.accounts.get_mut(&view.address) {
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
            // Behind a loss somebody has to look before the account goes on: what was accepted may be gone.
            account.begin_at(if self.has_lost {
                chain.saturating_sub(OBSERVE_MAX)
            } else {
                chain
            });
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
            if !reconciliation.lookups.is_empty() || !self.fill_below(address, now) {
                return;
            }
            let Some(account) = self.accounts.get(&address) else {
                return;
            };
            let Phase::Surveying(reconciliation) = &account.phase else {
                return;
            };
            let next = account.next_nonce;
            if next >= reconciliation.ahead_to.max(account.chain_nonce) {
                break;
            }
            let Some(found) = reconciliation.observed.get(&next).cloned() else {
                self.observe_ahead(address);
                return;
            };
            if self.summary.inbox < self.inbox_awaited {
                return;
            }
            if !self.take_over(address, next, found.as_ref(), now) {
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
        found: Option<&Observation>,
        now: Timestamp,
    ) -> bool {
        let Some(account) = self.accounts.get_mut(&address) else {
            return false;
        };
        if let Some(seen) = found
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
            if let Phase::Surveying(search) = &account.phase {
                // Only what was asked for will be answered.
                let ahead_to = search
                    .ahead_to
                    .max(account.chain_nonce)
                    .min(search.asked_to);
                account.stopped_search = Some(Reconciliation {
                    ahead_to,
                    ..search.clone()
                });
            }
            let alarm = Alarm::ForeignNonce {
                account: address,
                nonce,
            };
            self.stop(address, alarm);
            return false;
        }
        // Too deep for a reorganisation to free it. The unfinished slots below are settled first, so that no gap
        // remains.
        if account.chain_nonce.saturating_sub(nonce) > OBSERVE_MAX {
            if account.slots.is_empty() {
                account.begin_at(nonce + 1);
                account.settled = nonce + 1;
            }
            return account.next_nonce > nonce;
        }
        self.outbid(address, nonce, found, now)
    }

    /// The oldest request without a slot that asks for what a transaction does, or did when it was accepted.
    fn matching(
        queue: &Queue,
        requests: &BTreeMap<RequestId, Request>,
        seen: &Observation,
    ) -> Option<RequestId> {
        let asks = |id: &RequestId| requests.get(id).is_some_and(|r| r.asks_for(&seen.tx.call));
        queue.ids().find(asks)
    }

    /// Whether a request without a slot may have been sent: a store that was rolled back has forgotten it, and it is
    /// not known yet what stands at all nonces that this lane did not give out. Until then no such request is given a
    /// nonce of any account, and none ends.
    pub(super) fn is_searching(&self) -> bool {
        !self.surveyed || self.accounts.values().any(Account::has_unknown_ahead)
    }

    /// Whether a request without a slot may have been sent, as far as is known now.
    pub(super) fn may_be_sent(&self, id: RequestId) -> bool {
        self.is_searching() || self.is_claimed(id)
    }

    /// Whether what a node shows under a nonce of any account may be this request, which has no slot yet.
    pub(super) fn is_claimed(&self, id: RequestId) -> bool {
        let Some(request) = self.requests.get(&id) else {
            return false;
        };
        let mut searches = self
            .accounts
            .values()
            .filter_map(|a| Some((a.next_nonce, a.search()?)));
        searches.any(|(next, search)| {
            let mut seen = search
                .observed
                .range(next..)
                .filter_map(|(_, seen)| seen.as_ref());
            seen.any(|seen| request.asks_for(&seen.tx.call))
        })
    }

    /// Competes with an unknown transaction by a no-op, so that the nonce is used up whatever becomes of it: one in
    /// the pool may be dropped, and one in a block may be taken back.
    fn outbid(
        &mut self,
        address: Address,
        nonce: u64,
        found: Option<&Observation>,
        now: Timestamp,
    ) -> bool {
        let Some(tx) = self.noop(address, nonce, found) else {
            return false;
        };
        self.reserve(address, None, AttemptKind::Noop, tx, now);
        true
    }

    /// Fills the nonces between the chain's and the lowest slot: the lane found them used when it began, and the chain
    /// has taken that back. False while they cannot be filled.
    fn fill_below(&mut self, address: Address, now: Timestamp) -> bool {
        let Some(account) = self.accounts.get_mut(&address) else {
            return false;
        };
        let free = account.free_below();
        if free.is_empty() {
            return true;
        }
        if account.slots.is_empty() {
            account.begin_at(free.start);
            self.stage.touch_account(address);
            return true;
        }
        for nonce in free.rev() {
            let Some(tx) = self.noop(address, nonce, None) else {
                return false;
            };
            let signing = self.start_signing(address, AttemptKind::Noop, tx, None);
            if let Some(account) = self.accounts.get_mut(&address) {
                account.insert_slot(nonce, Slot::reserved(None, signing, now));
            }
        }
        true
    }

    /// The no-op for a nonce, dear enough to replace what was found there; `None` while there is no price for it, or
    /// the account cannot pay it.
    fn noop(
        &mut self,
        address: Address,
        nonce: u64,
        found: Option<&Observation>,
    ) -> Option<UnsignedTx> {
        let Some(market) = self.market_at(Speed::Fast) else {
            self.ask_market();
            return None;
        };
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
        let account = self.accounts.get(&address)?;
        if nonce >= account.chain_nonce && account.available() < tx.worst_cost() {
            self.note_low_balance(address);
            return None;
        }
        Some(tx)
    }

    /// Accounts whose survey waits for the market, or for the inbox.
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
