//! From a queued request to a nonce: which account, which nonce, which bid.

use baton_model::{Address, Call, RequestId, Timestamp, TxSpec, TxStatus, U256, UnsignedTx};

use super::{Gas, Lane};
use crate::account::{Account, Phase};
use crate::config::LaneConfig;
use crate::event::{GasEstimate, Output};
use crate::fees;
use crate::record::{AttemptKind, CancelReason};

/// How many requests at the head of the queue are looked at: gas is estimated that far ahead, and so many held requests
/// may be passed over by ones that can go. Bounds the work of one step.
const LOOK_AHEAD: usize = 256;

/// Most slots that wait for signatures at a time: bounds what a slow signer holds up.
const SIGNING_MAX: usize = 256;

/// Blocks for which a market view is good enough to bid by.
const MARKET_AGE_MAX: u64 = 5;

/// Added to an estimate, in percent: state may change before the call is mined (OpenZeppelin Relayer's margin).
const GAS_MARGIN_PERCENT: u64 = 10;

impl Lane {
    /// Gives nonces to as many queued requests as may have one now.
    pub(super) fn bind_ready(&mut self, now: Timestamp) {
        if self.queue.is_empty() || self.config.paused || self.head.is_none() {
            return;
        }
        let waiting: Vec<RequestId> = self.queue.values().take(LOOK_AHEAD).copied().collect();
        for id in &waiting {
            self.ask_gas(*id, now);
        }
        if !self
            .accounts
            .values()
            .any(|a| matches!(a.phase, Phase::Ready))
        {
            return;
        }
        if !self.market_is_fresh() {
            self.ask_market();
            return;
        }
        for id in waiting {
            if self.tickets.len() >= SIGNING_MAX {
                return;
            }
            match self.bind(id, now) {
                Bound::Yes | Bound::PassOver => {}
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

    fn ask_gas(&mut self, id: RequestId, now: Timestamp) {
        let Some(from) = self.accounts.keys().next().copied() else {
            return;
        };
        let Some(request) = self.requests.get_mut(&id) else {
            return;
        };
        if let Gas::Unknown { from: due, tries } = request.gas
            && due <= now
        {
            request.gas = Gas::Asked { tries };
            let call = request.record.spec.call.clone();
            self.outputs.push_back(Output::Estimate { id, from, call });
        }
    }

    pub(super) fn handle_estimated(
        &mut self,
        id: RequestId,
        estimate: GasEstimate,
        now: Timestamp,
    ) {
        let timing = self.config.timing;
        let Some(request) = self.requests.get_mut(&id) else {
            return;
        };
        let gas = match &mut request.replacing {
            Some(replacing) => &mut replacing.gas,
            None => &mut request.gas,
        };
        let Gas::Asked { tries } = *gas else { return };
        match estimate {
            GasEstimate::Gas(needed) => {
                *gas = Gas::Known(needed.saturating_add(needed / 100 * GAS_MARGIN_PERCENT));
            }
            GasEstimate::Unknown => {
                let from = now.saturating_add(timing.retry_after(tries));
                *gas = Gas::Unknown {
                    from,
                    tries: tries.saturating_add(1),
                };
            }
            GasEstimate::Reverts(reason) => {
                if let Some(replacing) = request.replacing.take() {
                    let refused = Some(format!("the replacement would revert: {reason}"));
                    self.conclude(id, replacing.command, refused);
                } else if request.slot.is_none() {
                    let reason = Some(format!("execution reverted in gas estimation: {reason}"));
                    self.finish(id, TxStatus::Failed, reason, now);
                }
                return;
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
        let Gas::Known(gas_limit) = request.gas else {
            return Bound::Wait;
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

    /// Why a request waits, for people.
    fn hold(&mut self, id: RequestId, reason: Option<String>) {
        if let Some(request) = self.requests.get_mut(&id)
            && request.record.status_reason != reason
        {
            request.record.status_reason = reason;
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
        let slot = crate::slot::Slot::reserved(request, signing, now);
        account.next_nonce = nonce.saturating_add(1);
        account.reserved = account.reserved.saturating_add(slot.cost);
        account.last_used = now;
        account.slots.insert(nonce, slot);
        if let Some(request) = request.and_then(|id| self.requests.get_mut(&id)) {
            request.slot = Some((address, nonce));
            self.queue.remove(&request.position);
        }
    }

    /// Takes a request off a slot that will never execute it, back to its place in the queue.
    pub(super) fn requeue(&mut self, id: RequestId, now: Timestamp) {
        let Some(request) = self.requests.get_mut(&id) else {
            return;
        };
        request.slot = None;
        request.record.current = None;
        request.record.receipt = None;
        request.record.mined_at = None;
        let position = request.position;
        if let Some(replacing) = request.replacing.take() {
            let refused = Some("the transaction moved to another nonce; try again".to_owned());
            self.conclude(id, replacing.command, refused);
        }
        self.queue.insert(position, id);
        if let Some(request) = self.requests.get_mut(&id)
            && matches!(request.gas, Gas::Asked { .. })
        {
            request.gas = Gas::of(&request.record.spec, now);
        }
        self.set_status(id, TxStatus::Pending);
    }

    /// Ends requests whose time has passed, or starts to.
    pub(super) fn expire(&mut self, now: Timestamp) {
        let due: Vec<(Timestamp, RequestId)> = self
            .expiries
            .iter()
            .take_while(|(at, _)| *at <= now)
            .copied()
            .collect();
        for (at, id) in due {
            let slot = self.requests.get(&id).and_then(|r| r.slot);
            let Some((account, nonce)) = slot else {
                let (status, reason) = Self::cancelled_end(CancelReason::Expired);
                self.finish(id, status, reason, now);
                continue;
            };
            let decided = self
                .accounts
                .get(&account)
                .and_then(|a| a.slots.get(&nonce))
                .is_none_or(crate::slot::Slot::is_decided);
            // A decided slot may come back by a reorganisation: look again at every tick until it is final.
            if !decided {
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
