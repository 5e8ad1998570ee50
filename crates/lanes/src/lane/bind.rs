//! From a queued request to a nonce: which account, which nonce, which bid.

use baton_model::{Address, Call, RequestId, Timestamp, TxSpec, TxStatus, U256, UnsignedTx};

use super::{Estimating, Gas, Lane};
use crate::account::{Account, Phase};
use crate::config::LaneConfig;
use crate::event::{GasEstimate, Output};
use crate::fees;
use crate::record::{AttemptKind, CancelReason};
use crate::slot::Slot;

/// How many requests are tried in one step: bounds its work where many are held.
const TRIES_MAX: usize = 256;

/// Most slots that wait for signatures at a time: bounds what a slow signer holds up.
const SIGNING_MAX: usize = 256;

/// Blocks for which a market view is good enough to bid by.
const MARKET_AGE_MAX: u64 = 5;

/// Added to an estimate, in percent: state may change before the call is mined (OpenZeppelin Relayer's margin).
const GAS_MARGIN_PERCENT: u64 = 10;

impl Lane {
    /// Gives nonces to as many queued requests as may have one now.
    pub(super) fn bind_ready(&mut self, now: Timestamp) {
        if self.queue.is_empty() || self.config.paused || self.is_searching() {
            return;
        }
        self.ask_gas(now);
        for _ in 0..TRIES_MAX {
            let config = &self.config;
            if self.tickets.len() >= SIGNING_MAX
                || !self.accounts.values().any(|a| has_room(a, config))
            {
                return;
            }
            let Some((position, id)) = self.queue.next() else {
                return;
            };
            if self.is_claimed(id) {
                self.queue.pass(position);
                continue;
            }
            if !self.market_is_fresh() {
                self.ask_market();
                return;
            }
            match self.bind(id, now) {
                Bound::Yes | Bound::PassOver => self.queue.pass(position),
                Bound::Wait => return,
            }
        }
    }

    fn market_is_fresh(&self) -> bool {
        match (&self.market, self.head) {
            (Some(market), Some(head)) => {
                head.number <= market.block.saturating_add(MARKET_AGE_MAX)
            }
            (None, _) | (_, None) => false,
        }
    }

    fn ask_gas(&mut self, now: Timestamp) {
        let Some(from) = self.accounts.keys().next().copied() else {
            return;
        };
        while let Some(id) = self.queue.next_unestimated(now) {
            let Some(request) = self.requests.get_mut(&id) else {
                continue;
            };
            // An answer to an older question is still to come; then this is asked.
            if request.estimating.is_some() {
                continue;
            }
            if let Gas::Unknown { tries, .. } = request.gas {
                request.gas = Gas::Asked { tries };
                request.estimating = Some(Estimating::Request);
                let call = request.record.spec.call.clone();
                self.outputs.push_back(Output::Estimate { id, from, call });
            }
        }
    }

    pub(super) fn handle_estimated(
        &mut self,
        id: RequestId,
        estimate: GasEstimate,
        now: Timestamp,
    ) {
        let Some(request) = self.requests.get_mut(&id) else {
            return;
        };
        match request.estimating.take() {
            None => {}
            Some(Estimating::Nothing) => {
                if let (None, Gas::Unknown { from, .. }) = (request.slot, request.gas) {
                    self.queue.estimate(request.position, from);
                }
                self.mend_replacing(id, now);
            }
            Some(Estimating::Request) => self.take_estimate(id, estimate, now),
            Some(Estimating::Replacement) => self.take_replacement_estimate(id, estimate, now),
        }
    }

    fn take_estimate(&mut self, id: RequestId, estimate: GasEstimate, now: Timestamp) {
        let timing = self.config.timing;
        let may_be_sent = self.may_be_sent(id);
        let Some(request) = self.requests.get_mut(&id) else {
            return;
        };
        let (position, slot) = (request.position, request.slot);
        let Gas::Asked { tries } = request.gas else {
            return;
        };
        match estimate {
            GasEstimate::Gas(needed) => request.gas = Gas::with_margin(needed),
            GasEstimate::Reverts(reason) if slot.is_none() && !may_be_sent => {
                let reason = Some(format!("execution reverted in gas estimation: {reason}"));
                self.finish(id, TxStatus::Failed, reason, now);
                return;
            }
            // With a slot, an adopted transaction stands for the request, and may be why the call reverts now; so may
            // one that is still to be found.
            GasEstimate::Unknown | GasEstimate::Reverts(_) => {
                request.gas = Gas::Unknown {
                    from: now.saturating_add(timing.retry_after(tries)),
                    tries: tries.saturating_add(1),
                };
            }
        }
        if slot.is_none() {
            if let Gas::Unknown { from, .. } = request.gas {
                self.queue.estimate(position, from);
            }
            self.queue.look_again(position);
        }
    }

    fn take_replacement_estimate(&mut self, id: RequestId, estimate: GasEstimate, now: Timestamp) {
        let timing = self.config.timing;
        let request = self.requests.get_mut(&id);
        let Some(replacing) = request.and_then(|r| r.replacing.as_mut()) else {
            return;
        };
        let Gas::Asked { tries } = replacing.gas else {
            return;
        };
        match estimate {
            GasEstimate::Gas(needed) => replacing.gas = Gas::with_margin(needed),
            GasEstimate::Unknown => {
                replacing.gas = Gas::Unknown {
                    from: now.saturating_add(timing.retry_after(tries)),
                    tries: tries.saturating_add(1),
                };
            }
            GasEstimate::Reverts(reason) => {
                let reason = format!("the replacement would revert: {reason}");
                self.refuse_replacement(id, &reason);
            }
        }
        self.mend_replacing(id, now);
    }

    fn bind(&mut self, id: RequestId, now: Timestamp) -> Bound {
        let (Some(request), Some(market), Some(head)) =
            (self.requests.get(&id), &self.market, self.head)
        else {
            return Bound::PassOver;
        };
        let gas_limit = match request.gas {
            Gas::Known(gas_limit) => gas_limit,
            // Answers take about as long for all: the order of acceptance is kept.
            Gas::Asked { tries: 0 } | Gas::Unknown { tries: 0, .. } => return Bound::Wait,
            // A call that no node can estimate does not keep others waiting.
            Gas::Asked { .. } | Gas::Unknown { .. } => return Bound::PassOver,
        };
        let spec = &request.record.spec;
        if gas_limit > head.gas_limit {
            let reason = format!(
                "gas limit {gas_limit} exceeds the block gas limit {}",
                head.gas_limit
            );
            self.finish(id, TxStatus::Failed, Some(reason), now);
            return Bound::PassOver;
        }
        let bid = fees::first_bid(
            spec.pricing,
            &market.view,
            &self.config.policy,
            &self.config.profile,
        );
        let fees = match bid {
            Ok(fees) => fees,
            Err(hold) => {
                self.hold(id, Some(hold.reason()));
                return Bound::PassOver;
            }
        };
        let mut tx = UnsignedTx {
            chain_id: self.config.profile.chain_id,
            nonce: 0,
            gas_limit,
            fees,
            call: spec.call.clone(),
        };
        match self.choose(tx.worst_cost()) {
            Choice::Account(address) => {
                let Some(account) = self.account(address) else {
                    return Bound::Wait;
                };
                tx.nonce = account.next_nonce;
                if std::mem::take(&mut account.low_balance) {
                    self.stage.touch_summary();
                }
                self.reserve(address, Some(id), AttemptKind::Payload, tx, now);
                self.hold(id, None);
                Bound::Yes
            }
            Choice::AllBusy => Bound::Wait,
            Choice::NoFunds => {
                self.hold(id, Some("held: no account's balance covers it".to_owned()));
                Bound::Wait
            }
        }
    }

    /// The account with the fewest slots in flight among those that may take work worth `cost`.
    fn choose(&mut self, cost: U256) -> Choice {
        let config = &self.config;
        let eligible = || self.accounts.values().filter(|a| has_room(a, config));
        let best = eligible()
            .filter(|a| is_funded(a, cost, config))
            .min_by_key(|a| (a.in_flight(), a.last_used, a.address))
            .map(|a| a.address);
        if let Some(address) = best {
            return Choice::Account(address);
        }
        let short: Vec<Address> = eligible().map(|a| a.address).collect();
        for address in &short {
            self.note_low_balance(*address);
        }
        if short.is_empty() {
            Choice::AllBusy
        } else {
            Choice::NoFunds
        }
    }

    /// Why a request waits, for people. Where thousands wait, some are told of it with a later look.
    fn hold(&mut self, id: RequestId, reason: Option<String>) {
        let Some(request) = self.requests.get_mut(&id) else {
            return;
        };
        if request.record.status_reason == reason {
            return;
        }
        let has_room = !self.stage.must_defer(&request.record.spec.call);
        // One that goes on is written soon anyway.
        if has_room || reason.is_none() {
            request.record.status_reason = reason;
        }
        if has_room {
            self.stage.touch_request(id);
        }
    }

    /// Takes the next nonce of an account and asks for the signature of what it is for.
    pub(super) fn reserve(
        &mut self,
        address: Address,
        request: Option<RequestId>,
        kind: AttemptKind,
        tx: UnsignedTx,
        now: Timestamp,
    ) {
        let signing = self.start_signing(address, kind, tx, None);
        let Some(account) = self.accounts.get_mut(&address) else {
            return;
        };
        let nonce = account.next_nonce;
        account.last_used = now;
        account.push_slot(Slot::reserved(request, signing, now));
        if let Some(request) = request.and_then(|id| self.requests.get_mut(&id)) {
            request.slot = Some((address, nonce));
            self.queue.remove(request.position);
        }
    }

    /// Takes a request off a slot that will never execute it, back to its place in the queue.
    pub(super) fn requeue(&mut self, id: RequestId, now: Timestamp) {
        if let Some(replacing) = self.take_replacing(id) {
            let refused = Some("the transaction moved to another nonce; try again".to_owned());
            self.conclude(id, replacing.command, refused);
        }
        let Some(request) = self.requests.get_mut(&id) else {
            return;
        };
        request.slot = None;
        request.record.current = None;
        request.record.receipt = None;
        request.record.mined_at = None;
        let position = request.position;
        self.queue.insert(position, id);
        if matches!(request.gas, Gas::Unknown { .. }) {
            self.queue.estimate(position, now);
        }
        self.set_status(id, TxStatus::Pending);
    }

    /// Ends requests whose time has passed, or starts to: as many as one stage takes, the others with the next one.
    pub(super) fn expire(&mut self, now: Timestamp) {
        self.expiring = false;
        let due: Vec<(Timestamp, RequestId)> = self
            .expiries
            .iter()
            .take_while(|(at, _)| *at <= now)
            .copied()
            .collect();
        for (at, id) in due {
            let Some(request) = self.requests.get(&id) else {
                continue;
            };
            let (slot, call) = (request.slot, &request.record.spec.call);
            let Some((account, nonce)) = slot else {
                if self.may_be_sent(id) {
                    continue;
                }
                if self.stage.must_defer(call) {
                    self.expiring = true;
                    return;
                }
                let (status, reason) = Self::cancelled_end(CancelReason::Expired);
                self.finish(id, status, reason, now);
                continue;
            };
            let decided = self
                .accounts
                .get(&account)
                .and_then(|a| a.slots.get(&nonce))
                .is_none_or(Slot::is_decided);
            // A decided slot may come back by a reorganisation: look again at every tick until it is final.
            if !decided {
                if self.stage.must_defer(call) {
                    self.expiring = true;
                    return;
                }
                self.expiries.remove(&(at, id));
                // The slot is there and not mined, so cancelling cannot be refused.
                let _: Result<(), String> = self.cancel(id, CancelReason::Expired, now);
            }
        }
    }

    /// The call of a no-op: nothing, to oneself.
    pub(super) fn noop_call(address: Address) -> Call {
        Call {
            to: Some(address),
            value: U256::ZERO,
            data: baton_model::Bytes::new(),
        }
    }

    /// What a request asks for now.
    pub(super) fn spec(&self, id: RequestId) -> Option<&TxSpec> {
        self.requests.get(&id).map(|r| &r.record.spec)
    }
}

impl Gas {
    /// An estimate, and some more.
    const fn with_margin(needed: u64) -> Self {
        Self::Known(gas_with_margin(needed))
    }
}

/// The gas limit of a call that was estimated to need so much.
pub const fn gas_with_margin(needed: u64) -> u64 {
    needed.saturating_add(needed / 100 * GAS_MARGIN_PERCENT)
}

enum Bound {
    Yes,
    /// This one cannot go now, the next one may.
    PassOver,
    /// None behind it may go before it.
    Wait,
}

enum Choice {
    Account(Address),
    AllBusy,
    NoFunds,
}

fn has_room(account: &Account, config: &LaneConfig) -> bool {
    let in_flight = account.in_flight();
    let window = config.profile.nonce_window.unwrap_or(u32::MAX);
    let cap = account.cap.min(window);
    matches!(account.phase, Phase::Ready) && in_flight < cap as usize
}

fn is_funded(account: &Account, cost: U256, config: &LaneConfig) -> bool {
    account.balance >= U256::from(config.policy.min_balance) && account.available() >= cost
}
