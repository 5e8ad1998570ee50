//! What nodes say to what they are offered.

use baton_model::{Address, B256, Mempool, Timestamp};

use super::Lane;
use crate::account::Phase;
use crate::event::{Alarm, Answer, Offer, Output};
use crate::record::{AttemptKind, CancelReason};
use crate::triage::Verdict;

/// Times that a node may say "this reverts now" before the request is given up: state may change between blocks, but
/// not for ever.
const REVERTS_MAX: u32 = 10;

/// The answers to one offer, in one word: the most that any node's answer promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Acknowledged,
    /// The nonce is used, by one of the attempts or by somebody else.
    NonceUsed,
    /// A node lacks the slots below.
    PredecessorMissing,
    /// Somebody's transaction with this nonce stands in the way.
    Incumbent,
    /// The bid is below what the node takes now.
    TooCheap,
    NoFunds,
    PoolFull,
    OneInFlight,
    /// Every node answered that this payload can never be mined.
    Never,
    RevertsNow,
    /// Some node may have it, or may take it later.
    Unknown,
}

impl Lane {
    /// Notes that an attempt goes out; false when there is no such attempt any more.
    pub(super) fn note_offer(
        &mut self,
        account: Address,
        nonce: u64,
        hash: B256,
        now: Timestamp,
    ) -> bool {
        let slot = self.account(account).and_then(|a| a.slots.get_mut(&nonce));
        let Some(slot) = slot else { return false };
        slot.watched_since = now;
        let Some(attempt) = slot.attempt_mut(hash) else {
            return false;
        };
        attempt.offered = true;
        attempt.waiting = true;
        attempt.last_offer = now;
        true
    }

    /// Offers an attempt again, if its bytes are durable and known and no answer is outstanding.
    pub(super) fn offer_again(&mut self, account: Address, nonce: u64, hash: B256, now: Timestamp) {
        let slot = self
            .accounts
            .get_mut(&account)
            .and_then(|a| a.slots.get_mut(&nonce));
        let Some(attempt) = slot.and_then(|s| s.attempt_mut(hash)) else {
            return;
        };
        if !attempt.durable || attempt.waiting || attempt.record.raw.is_empty() {
            return;
        }
        let raw = attempt.record.raw.clone();
        self.outputs.push_back(Output::Broadcast(Offer {
            account,
            nonce,
            hash,
            raw,
        }));
        self.note_offer(account, nonce, hash, now);
    }

    pub(super) fn handle_answered(
        &mut self,
        address: Address,
        nonce: u64,
        hash: B256,
        answers: &[Answer],
        now: Timestamp,
    ) {
        let Some(account) = self.accounts.get_mut(&address) else {
            return;
        };
        let Some(slot) = account.slots.get_mut(&nonce) else {
            return;
        };
        let latest = slot.attempts.last().is_some_and(|a| a.record.hash == hash);
        let Some(attempt) = slot.attempt_mut(hash) else {
            return;
        };
        attempt.waiting = false;
        let outcome = Outcome::of(answers);
        if outcome == Outcome::Acknowledged {
            attempt.tries = 0;
            if attempt.record.acknowledged_at.is_none() {
                attempt.record.acknowledged_at = Some(now);
                self.note_acknowledged(address, nonce, latest);
            } else if latest {
                account.unacknowledged.remove(&nonce);
            }
            return;
        }
        attempt.tries = attempt.tries.saturating_add(1);
        if latest && !slot.is_decided() {
            account.unacknowledged.insert(nonce);
        }
        let price = matches!(outcome, Outcome::TooCheap | Outcome::Incumbent);
        // What a node says of a bid that was raised since is no news.
        if !slot.is_decided() && (latest || !price) {
            self.act_on(outcome, address, nonce, hash, answers, now);
        }
    }

    fn note_acknowledged(&mut self, address: Address, nonce: u64, latest: bool) {
        self.stage.touch_slot(address, nonce);
        let Some(account) = self.accounts.get_mut(&address) else {
            return;
        };
        if latest {
            account.unacknowledged.remove(&nonce);
        }
        let request = account.slots.get(&nonce).and_then(|s| s.request);
        if let Some(id) = request {
            self.refresh(id, address, nonce);
        }
    }

    fn act_on(
        &mut self,
        outcome: Outcome,
        address: Address,
        nonce: u64,
        hash: B256,
        answers: &[Answer],
        now: Timestamp,
    ) {
        match outcome {
            Outcome::NonceUsed => self.look_up(address, nonce),
            Outcome::Incumbent => self.meet_incumbent(address, nonce, now),
            Outcome::TooCheap => self.mend_price(address, nonce, now),
            Outcome::NoFunds => self.note_low_balance(address),
            Outcome::PoolFull => self.lower_cap(address),
            Outcome::OneInFlight => {
                if let Some(account) = self.account(address) {
                    account.cap = 1;
                    account.cap_max = 1;
                }
            }
            Outcome::Never => self.give_up(address, nonce, hash, answers),
            Outcome::RevertsNow => {
                let slot = self.account(address).and_then(|a| a.slots.get_mut(&nonce));
                let Some(attempt) = slot.and_then(|s| s.attempt_mut(hash)) else {
                    return;
                };
                attempt.reverts += 1;
                if attempt.reverts >= REVERTS_MAX {
                    self.give_up(address, nonce, hash, answers);
                }
            }
            Outcome::PredecessorMissing => self.offer_below(address, nonce, now),
            // The tick offers the same bytes again, lowest nonce first.
            Outcome::Unknown | Outcome::Acknowledged => {}
        }
    }

    /// Starts to look for the receipts of a slot's attempts.
    pub(super) fn look_up(&mut self, account: Address, nonce: u64) {
        let Some(asked) = self.asked_now() else {
            return;
        };
        let slot = self.account(account).and_then(|a| a.slots.get_mut(&nonce));
        if let Some(slot) = slot.filter(|s| s.looking.is_none() && !s.is_reserved()) {
            slot.looking = Some(asked);
            let hashes = slot.hashes();
            self.outputs.push_back(Output::Lookup {
                account,
                nonce,
                hashes,
            });
        }
    }

    /// A node holds another transaction with this nonce and a bid near ours. If it is an attempt of ours that this node
    /// keeps, bidding higher than all of them gets past it; if not, the key is shared.
    fn meet_incumbent(&mut self, account: Address, nonce: u64, now: Timestamp) {
        let slot = self.account(account).and_then(|a| a.slots.get_mut(&nonce));
        let Some(slot) = slot else { return };
        if slot.attempts.len() == 1 && !std::mem::replace(&mut slot.foreign_told, true) {
            self.outputs
                .push_back(Output::Alarm(Alarm::ForeignNonce { account, nonce }));
        }
        if self.config.profile.mempool == Mempool::Public {
            self.bump_in_turn(account, nonce, now);
        }
    }

    /// Uses the nonce up with a no-op, because no node will ever take this payload.
    fn give_up(&mut self, account: Address, nonce: u64, hash: B256, answers: &[Answer]) {
        let text = answers
            .iter()
            .find_map(|answer| match answer {
                Answer::Refused { message, .. } => Some(message.clone()),
                Answer::Accepted | Answer::Unknown => None,
            })
            .unwrap_or_default();
        let Some(slot) = self.account(account).and_then(|a| a.slots.get_mut(&nonce)) else {
            return;
        };
        let payload = slot
            .attempt_mut(hash)
            .is_some_and(|attempt| attempt.record.kind == AttemptKind::Payload);
        if payload && slot.cancelling.is_none() {
            slot.cancelling = Some(CancelReason::Refused(format!(
                "refused by the node: {text}"
            )));
            self.stage.touch_slot(account, nonce);
            if let Some(account) = self.account(account) {
                account.cancelling.insert(nonce);
            }
            self.mend_cancelled(account, nonce);
        }
    }

    fn lower_cap(&mut self, address: Address) {
        if let Some(account) = self.account(address) {
            let half = u32::try_from(account.in_flight() / 2).unwrap_or(u32::MAX);
            account.cap = half.clamp(1, account.cap_max);
        }
    }

    /// Tells once, until the balance has risen again, that an account cannot pay.
    pub(super) fn note_low_balance(&mut self, address: Address) {
        let Some(account) = self.account(address) else {
            return;
        };
        if !account.low_balance && !matches!(account.phase, Phase::Stopped(_)) {
            account.low_balance = true;
            self.outputs
                .push_back(Output::Alarm(Alarm::LowBalance { account: address }));
            self.stage.touch_summary();
        }
    }
}

impl Outcome {
    fn of(answers: &[Answer]) -> Self {
        let mut refusals = Vec::new();
        let mut unknown = answers.is_empty();
        for answer in answers {
            match answer {
                Answer::Accepted => return Self::Acknowledged,
                Answer::Refused { verdict, .. } => refusals.push(Self::of_verdict(*verdict)),
                Answer::Unknown => unknown = true,
            }
        }
        let said = |outcome| refusals.contains(&outcome);
        // What promises most comes first: one node that has it outweighs all that do not.
        for outcome in [Self::Acknowledged, Self::NonceUsed, Self::Incumbent] {
            if said(outcome) {
                return outcome;
            }
        }
        if unknown || said(Self::Unknown) {
            return Self::Unknown;
        }
        for outcome in [
            Self::PredecessorMissing,
            Self::OneInFlight,
            Self::PoolFull,
            Self::NoFunds,
            Self::TooCheap,
            Self::RevertsNow,
        ] {
            if said(outcome) {
                return outcome;
            }
        }
        Self::Never
    }

    const fn of_verdict(verdict: Verdict) -> Self {
        match verdict {
            Verdict::AlreadyKnown => Self::Acknowledged,
            Verdict::NonceTooLow => Self::NonceUsed,
            Verdict::NonceTooHigh => Self::PredecessorMissing,
            Verdict::ReplacementUnderpriced => Self::Incumbent,
            Verdict::Underpriced => Self::TooCheap,
            Verdict::InsufficientFunds => Self::NoFunds,
            Verdict::PoolFull => Self::PoolFull,
            Verdict::NeverMinable => Self::Never,
            Verdict::RevertsNow | Verdict::UnminableAtHead => Self::RevertsNow,
            Verdict::DelegatedLimit => Self::OneInFlight,
            Verdict::AddressReserved
            | Verdict::SameNonceInProgress
            | Verdict::Busy
            | Verdict::Unknown => Self::Unknown,
        }
    }
}
