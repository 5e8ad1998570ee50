//! What is done about slots that the chain does not take: the same bytes again, a higher bid, a no-op.

use baton_model::{Address, Fees, Mempool, Pricing, RequestId, Speed, Timestamp, UnsignedTx};

use super::attempt::ATTEMPTS_MAX;
use super::{Estimating, Gas, Lane};
use crate::account::Account;
use crate::event::Output;
use crate::fees;
use crate::record::AttemptKind;
use crate::slot::Slot;

/// Most slots that are offered again in one step: a whole pool that a node forgot, in a few batches.
const REOFFER_MAX: usize = 4096;

/// Most bytes of a slot that takes another payload: its record, with that one, has to stay below the 4 MiB that a store
/// takes as one value.
const SLOT_BYTES_MAX: usize = 3 << 20;

/// A tip is out-bid when the market asks this much more, in percent: less is noise.
const TIP_RISE_PERCENT: u128 = 110;

impl Lane {
    pub(super) fn handle_tick(&mut self, now: Timestamp) {
        self.retry_signing(now);
        self.expire(now);
        let addresses: Vec<Address> = self.accounts.keys().copied().collect();
        for address in addresses {
            if self.accounts.get(&address).is_some_and(Account::may_mend) {
                self.offer_unacknowledged(address, now);
                self.watch_lowest(address, now);
                self.mend_all_cancelled(address);
            }
        }
        let replacing: Vec<RequestId> = self.replacing.iter().copied().collect();
        for id in replacing {
            self.mend_replacing(id, now);
        }
    }

    /// Offers the bytes that no node has acknowledged, lowest nonce first, each after its pause.
    pub(super) fn offer_unacknowledged(&mut self, address: Address, now: Timestamp) {
        let timing = self.config.timing;
        let Some(account) = self.accounts.get_mut(&address) else {
            return;
        };
        let due: Vec<_> = account
            .unacknowledged
            .iter()
            .filter_map(|nonce| {
                let attempt = account.slots.get(nonce)?.attempts.last()?;
                let pause = timing.retry_after(attempt.tries);
                let due = !attempt.offered || now.since(attempt.last_offer) >= pause;
                due.then_some((*nonce, attempt.record.hash))
            })
            .take(REOFFER_MAX)
            .collect();
        for (nonce, hash) in due {
            self.offer_again(address, nonce, hash, now);
        }
    }

    /// Looks after the lowest slot that is not mined: it holds up all others.
    fn watch_lowest(&mut self, address: Address, now: Timestamp) {
        let timing = self.config.timing;
        let Some(account) = self.accounts.get(&address) else {
            return;
        };
        let Some((nonce, slot)) = account.lowest_open() else {
            return;
        };
        let Some(latest) = slot.attempts.last() else {
            return;
        };
        let waited = now.since(slot.watched_since) >= timing.rebroadcast_after;
        let old = now.since(latest.record.created_at) >= timing.bump_after;
        if waited && slot.is_acknowledged() {
            self.offer_forgotten(address, now);
        }
        let slot = self
            .accounts
            .get(&address)
            .and_then(|a| a.slots.get(&nonce));
        let Some(slot) = slot else { return };
        if old && slot.reoffered {
            if self.config.profile.mempool == Mempool::None {
                // Bids do not replace there: what a sequencer has, it has.
            } else if !self.market_is_current() {
                self.ask_market();
            } else if self.is_outpriced(address, nonce) || !self.has_bytes(address, nonce) {
                self.bump(address, nonce);
            }
        }
    }

    /// Offers again what was acknowledged and is still not mined: nodes restart, and pools evict without a word.
    fn offer_forgotten(&mut self, address: Address, now: Timestamp) {
        let pause = self.config.timing.rebroadcast_after;
        let Some(account) = self.accounts.get_mut(&address) else {
            return;
        };
        let chain_nonce = account.chain_nonce;
        let due: Vec<_> = account
            .slots
            .range_mut(chain_nonce..)
            .filter(|(_, slot)| !slot.is_decided())
            .filter_map(|(nonce, slot)| {
                let latest = slot.attempts.last()?;
                let due = now.since(latest.last_offer) >= pause;
                let hash = latest.record.hash;
                slot.reoffered |= due;
                due.then_some((*nonce, hash))
            })
            .take(REOFFER_MAX)
            .collect();
        for (nonce, hash) in due {
            self.offer_again(address, nonce, hash, now);
        }
    }

    /// Offers the slots below one again, for a node that lacks them.
    pub(super) fn offer_below(&mut self, address: Address, nonce: u64, now: Timestamp) {
        let pause = self.config.timing.retry_min;
        let Some(account) = self.accounts.get(&address) else {
            return;
        };
        // The answers for all slots above say the same: one walk over those below is enough for them.
        let lowest = account.lowest_open().and_then(|(_, s)| s.attempts.last());
        if lowest.is_none_or(|attempt| now.since(attempt.last_offer) < pause) {
            return;
        }
        let due: Vec<_> = account
            .slots
            .range(account.chain_nonce.min(nonce)..nonce)
            .filter(|(_, slot)| !slot.is_decided())
            .filter_map(|(n, slot)| slot.attempts.last().map(|a| (*n, a)))
            .filter(|(_, attempt)| now.since(attempt.last_offer) >= pause)
            .map(|(n, attempt)| (n, attempt.record.hash))
            .take(REOFFER_MAX)
            .collect();
        for (n, hash) in due {
            self.offer_again(address, n, hash, now);
        }
    }

    fn market_is_current(&self) -> bool {
        match (&self.market, self.head) {
            (Some(market), Some(head)) => market.block >= head.number,
            (None, _) | (_, None) => false,
        }
    }

    /// Whether the latest attempt can be offered again; an adopted one whose node did not show its bytes cannot.
    fn has_bytes(&self, address: Address, nonce: u64) -> bool {
        let slot = self.accounts.get(&address);
        let slot = slot.and_then(|a| a.slots.get(&nonce));
        let latest = slot.and_then(|s| s.attempts.last());
        latest.is_none_or(|a| !a.record.raw.is_empty())
    }

    fn is_outpriced(&self, address: Address, nonce: u64) -> bool {
        let slot = self
            .accounts
            .get(&address)
            .and_then(|a| a.slots.get(&nonce));
        let (Some(slot), Some(market)) = (slot, &self.market) else {
            return false;
        };
        let Some(bid) = slot.last_fees() else {
            return false;
        };
        if market
            .view
            .base_fee
            .is_some_and(|base_fee| base_fee > bid.max_per_gas())
        {
            return true;
        }
        let asked = self.market_at(self.speed_of(slot.request));
        asked.is_some_and(|asked| {
            let rise = bid.tip_per_gas().saturating_mul(TIP_RISE_PERCENT) / 100;
            asked.tip_per_gas() > rise
        })
    }

    fn speed_of(&self, request: Option<RequestId>) -> Speed {
        match request
            .and_then(|id| self.spec(id))
            .map(|spec| spec.pricing)
        {
            Some(Pricing::Speed(speed)) => speed,
            // The caller chose a price, not a place in the market: the lowest speed is the least that gets it mined.
            Some(Pricing::Legacy { .. } | Pricing::Eip1559 { .. }) => Speed::SafeLow,
            None => Speed::Fast,
        }
    }

    pub(super) fn market_at(&self, speed: Speed) -> Option<Fees> {
        let market = self.market.as_ref()?;
        Some(fees::market_bid(
            speed,
            &market.view,
            &self.config.policy,
            &self.config.profile,
        ))
    }

    /// The price was below what a node takes: the lowest nonce bids more, once the market tells how much.
    pub(super) fn mend_price(&mut self, address: Address, nonce: u64, now: Timestamp) {
        let account = self.accounts.get_mut(&address);
        let Some(account) = account.filter(|a| a.lowest_open().is_some_and(|(n, _)| n == nonce))
        else {
            return;
        };
        account.underpriced = Some(nonce);
        if self.market_is_current() {
            self.mend_underpriced(now);
        } else {
            self.ask_market();
        }
    }

    /// Bids more for what nodes found too cheap.
    pub(super) fn mend_underpriced(&mut self, now: Timestamp) {
        let slots: Vec<(Address, u64)> = self
            .accounts
            .values_mut()
            .filter_map(|a| Some((a.address, a.underpriced.take()?)))
            .collect();
        for (address, nonce) in slots {
            self.bump_in_turn(address, nonce, now);
        }
    }

    /// Bids higher at a node's word, but not faster than the retry pauses allow: fifty answers in a second are no
    /// reason to pay a hundred times as much.
    pub(super) fn bump_in_turn(&mut self, address: Address, nonce: u64, now: Timestamp) {
        let slot = self.accounts.get(&address);
        let Some(slot) = slot.and_then(|a| a.slots.get(&nonce)) else {
            return;
        };
        let Some(latest) = slot.attempts.last() else {
            return;
        };
        let bids = u32::try_from(slot.attempts.len() - 1).unwrap_or(u32::MAX);
        if now.since(latest.record.created_at) >= self.config.timing.retry_after(bids) {
            self.bump(address, nonce);
        }
    }

    /// Bids higher for what the slot's latest attempt does.
    fn bump(&mut self, address: Address, nonce: u64) {
        let Some(slot) = self
            .accounts
            .get(&address)
            .and_then(|a| a.slots.get(&nonce))
        else {
            return;
        };
        if slot.cancelling.is_some()
            && slot
                .attempts
                .last()
                .is_some_and(|a| a.record.kind == AttemptKind::Payload)
        {
            self.mend_cancelled(address, nonce);
            return;
        }
        let request = slot.request;
        let Some(market) = self.market_at(self.speed_of(request)) else {
            self.ask_market();
            return;
        };
        let Some(latest) = slot.attempts.last().filter(|a| a.durable) else {
            return;
        };
        let cap = self.config.policy.gas_price_cap;
        match fees::replacement_bid(latest.record.tx.fees, market, cap) {
            Ok(fees) => {
                let tx = UnsignedTx {
                    fees,
                    ..latest.record.tx.clone()
                };
                let kind = latest.record.kind;
                self.compete(address, nonce, kind, tx, None);
            }
            Err(hold) => {
                if let Some(request) = request.and_then(|id| self.requests.get_mut(&id)) {
                    let reason = Some(hold.reason());
                    if request.record.status_reason != reason {
                        request.record.status_reason = reason;
                        let id = request.record.id;
                        self.stage.touch_request(id);
                    }
                }
            }
        }
    }

    /// Adds an attempt to a slot, if the slot is open for one and the account can pay for it.
    fn compete(
        &mut self,
        address: Address,
        nonce: u64,
        kind: AttemptKind,
        tx: UnsignedTx,
        command: Option<RequestId>,
    ) -> bool {
        let Some(account) = self.accounts.get(&address) else {
            return false;
        };
        let Some(slot) = account.slots.get(&nonce) else {
            return false;
        };
        if slot.signing.is_some() || slot.is_decided() || is_full(slot, kind) {
            return false;
        }
        let cost = tx.worst_cost().max(slot.cost);
        if cost.saturating_sub(slot.cost) > account.available() {
            self.note_low_balance(address);
            return false;
        }
        let signing = self.start_signing(address, kind, tx, command);
        let Some(account) = self.accounts.get_mut(&address) else {
            return false;
        };
        account.set_cost(nonce, cost);
        if let Some(slot) = account.slots.get_mut(&nonce) {
            slot.signing = Some(signing);
        }
        true
    }

    fn mend_all_cancelled(&mut self, address: Address) {
        let Some(account) = self.accounts.get(&address) else {
            return;
        };
        let cancelled: Vec<u64> = account.cancelling.iter().copied().collect();
        for nonce in cancelled {
            self.mend_cancelled(address, nonce);
        }
    }

    /// Sees to it that a no-op competes in a slot that is to be cancelled.
    ///
    /// The relayer's cap does not hold it up: nothing else can free the nonce, and it costs a plain transfer.
    pub(super) fn mend_cancelled(&mut self, address: Address, nonce: u64) {
        let Some(slot) = self
            .accounts
            .get(&address)
            .and_then(|a| a.slots.get(&nonce))
        else {
            return;
        };
        let Some(latest) = slot
            .attempts
            .last()
            .filter(|a| a.record.kind == AttemptKind::Payload)
        else {
            return;
        };
        if slot.cancelling.is_none() || slot.is_decided() || slot.signing.is_some() {
            return;
        }
        let old = latest.record.tx.fees;
        let Some(market) = self.market_at(Speed::Fast) else {
            self.ask_market();
            return;
        };
        let cap = self.config.policy.gas_price_cap;
        let fees = fees::replacement_bid(old, market, cap)
            .unwrap_or_else(|_| fees::least_replacement(old));
        let tx = UnsignedTx {
            chain_id: self.config.profile.chain_id,
            nonce,
            gas_limit: self.config.noop_gas(),
            fees,
            call: Self::noop_call(address),
        };
        self.compete(address, nonce, AttemptKind::Noop, tx, None);
    }

    /// Takes a replacement one step further: gas, bid, signature.
    pub(super) fn mend_replacing(&mut self, id: RequestId, now: Timestamp) {
        let Some(gas_limit) = self.replacement_gas(id, now) else {
            return;
        };
        let Some(request) = self.requests.get(&id) else {
            return;
        };
        let (Some((address, nonce)), Some(replacing)) = (request.slot, &request.replacing) else {
            return;
        };
        let (command, spec) = (replacing.command, replacing.spec.clone());
        if self.head.is_some_and(|head| gas_limit > head.gas_limit) {
            return self.refuse_replacement(id, "the gas limit exceeds the block gas limit");
        }
        let slot = self
            .accounts
            .get(&address)
            .and_then(|a| a.slots.get(&nonce));
        let Some(slot) = slot.filter(|s| !s.is_decided() && s.cancelling.is_none()) else {
            let reason = "the transaction is already mined or being cancelled";
            return self.refuse_replacement(id, reason);
        };
        if slot.signing.is_some() {
            return;
        }
        if is_full(slot, AttemptKind::Payload) {
            let reason =
                "the transaction has as many attempts as it may have: it can only be cancelled";
            return self.refuse_replacement(id, reason);
        }
        let Some(old) = slot.last_fees() else { return };
        let fees = match self.replacement_fees(old, spec.pricing) {
            Some(Ok(fees)) => fees,
            Some(Err(reason)) => return self.refuse_replacement(id, &reason),
            None => return self.ask_market(),
        };
        let chain_id = self.config.profile.chain_id;
        let tx = UnsignedTx {
            chain_id,
            nonce,
            gas_limit,
            fees,
            call: spec.call,
        };
        if !self.compete(address, nonce, AttemptKind::Payload, tx, Some(command)) {
            self.refuse_replacement(id, "the account cannot pay for the replacement");
        }
    }

    /// The gas limit of a replacement, once it is known.
    fn replacement_gas(&mut self, id: RequestId, now: Timestamp) -> Option<u64> {
        let request = self.requests.get_mut(&id)?;
        let (from, _) = request.slot?;
        let replacing = request.replacing.as_mut()?;
        match replacing.gas {
            Gas::Known(gas) => Some(gas),
            Gas::Unknown { from: due, tries } if due <= now && request.estimating.is_none() => {
                replacing.gas = Gas::Asked { tries };
                request.estimating = Some(Estimating::Replacement);
                let call = replacing.spec.call.clone();
                self.outputs.push_back(Output::Estimate { id, from, call });
                None
            }
            Gas::Unknown { .. } | Gas::Asked { .. } => None,
        }
    }

    /// The bid of a replacement, or why there is none; `None` while the market is not known.
    fn replacement_fees(&self, old: Fees, pricing: Pricing) -> Option<Result<Fees, String>> {
        let fees = match pricing {
            Pricing::Speed(speed) => {
                let market = self.market_at(speed)?;
                match fees::replacement_bid(old, market, self.config.policy.gas_price_cap) {
                    Ok(fees) => fees,
                    Err(hold) => return Some(Err(hold.reason())),
                }
            }
            Pricing::Legacy { gas_price } => Fees::Legacy { gas_price },
            Pricing::Eip1559 {
                max_fee,
                max_priority_fee,
            } => Fees::Eip1559 {
                max_fee,
                max_priority_fee,
            },
        };
        let least = "Gas price increase does not meet minimum bump requirement";
        Some(if fees::replaces(old, fees) {
            Ok(fees)
        } else {
            Err(least.to_owned())
        })
    }

    pub(super) fn refuse_replacement(&mut self, id: RequestId, reason: &str) {
        if let Some(replacing) = self.take_replacing(id) {
            self.conclude(id, replacing.command, Some(reason.to_owned()));
        }
    }
}

/// Whether a slot takes no further attempt of a kind. No-ops always have as many left as payloads had: nothing else
/// frees a nonce.
fn is_full(slot: &Slot, kind: AttemptKind) -> bool {
    let count = slot.attempts.len();
    match kind {
        AttemptKind::Payload => count >= ATTEMPTS_MAX || slot.bytes() > SLOT_BYTES_MAX,
        AttemptKind::Noop => count >= 2 * ATTEMPTS_MAX,
    }
}
