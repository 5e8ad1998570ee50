//! What callers ask for.

use baton_model::{Call, Fees, Pricing, RequestId, Timestamp, TxSpec, TxStatus};

use super::{Estimating, Gas, Lane, Replacing, Request};
use crate::event::Command;
use crate::fees;
use crate::record::{CancelReason, CommandOutcome, RequestRecord, key};

impl Lane {
    pub(super) fn handle_inbox(&mut self, position: u64, command: Command, now: Timestamp) {
        if position <= self.summary.inbox {
            return;
        }
        let before = std::mem::replace(&mut self.summary.inbox, position);
        self.stage.trim(position);
        match command {
            Command::Accept(record) => self.accept(position, *record, now),
            Command::Cancel { id, command } => {
                let refused = self.cancel(id, CancelReason::Canceled, now).err();
                self.conclude(id, command, refused);
            }
            Command::Replace { id, command, spec } => {
                if let Err(refused) = self.replace(id, command, *spec, now) {
                    self.conclude(id, command, Some(refused));
                }
            }
        }
        if position >= self.inbox_awaited && before < self.inbox_awaited {
            self.resume_surveys(now);
        }
    }

    fn accept(&mut self, position: u64, record: RequestRecord, now: Timestamp) {
        let id = record.id;
        self.summary.counts[TxStatus::Pending as usize] += 1;
        self.stage
            .put(key::open(position), id.to_string().into_bytes());
        self.admit(position, record, now);
    }

    /// Takes an unbound request into the queue.
    pub(super) fn admit(&mut self, position: u64, record: RequestRecord, now: Timestamp) {
        let id = record.id;
        let gas = Gas::of(&record.spec, now);
        self.queue.insert(position, id);
        if let Gas::Unknown { from, .. } = gas {
            self.queue.estimate(position, from);
        }
        self.expiries.insert((record.spec.valid_until, id));
        self.requests.insert(
            id,
            Request {
                record,
                position,
                slot: None,
                gas,
                replacing: None,
                estimating: None,
            },
        );
    }

    /// Records what became of a command. A request that has ended keeps its record as it is.
    pub(super) fn conclude(&mut self, id: RequestId, command: RequestId, refused: Option<String>) {
        if let Some(request) = self.requests.get_mut(&id) {
            request.record.last_command = Some(CommandOutcome { command, refused });
            self.stage.touch_request(id);
        }
    }

    /// Cancels a request: at once while it has no nonce, else by a no-op that competes for it.
    pub(super) fn cancel(
        &mut self,
        id: RequestId,
        reason: CancelReason,
        now: Timestamp,
    ) -> Result<(), String> {
        let may_be_sent = self.may_be_sent(id);
        let Some(request) = self.requests.get_mut(&id) else {
            return Err("the transaction has already ended".to_owned());
        };
        let by_caller = reason == CancelReason::Canceled;
        let Some((address, nonce)) = request.slot else {
            request.record.is_canceled |= by_caller;
            if may_be_sent {
                self.cancelled.insert(id);
                self.stage.touch_request(id);
                return Ok(());
            }
            let (status, why) = Self::cancelled_end(reason);
            self.finish(id, status, why, now);
            return Ok(());
        };
        let account = self.accounts.get_mut(&address);
        let Some((account, slot)) = account.and_then(|a| {
            let slot = a.slots.get_mut(&nonce)?;
            Some((&mut a.cancelling, slot))
        }) else {
            return Err("the transaction has no slot".to_owned());
        };
        if slot.mined.is_some() {
            return Err("the transaction is already mined".to_owned());
        }
        request.record.is_canceled |= by_caller;
        self.stage.touch_request(id);
        if slot.cancelling.is_none() {
            slot.cancelling = Some(reason);
            account.insert(nonce);
            self.stage.touch_slot(address, nonce);
            self.cancel_reserved(address, nonce);
            self.mend_cancelled(address, nonce);
        }
        Ok(())
    }

    /// Ends what was cancelled without a nonce, once it is known that it was never sent.
    pub(super) fn end_cancelled(&mut self, now: Timestamp) {
        if self.cancelled.is_empty() || self.is_searching() {
            return;
        }
        for id in std::mem::take(&mut self.cancelled) {
            match self.requests.get(&id) {
                Some(request) if request.slot.is_none() && self.is_claimed(id) => {
                    self.cancelled.insert(id);
                }
                Some(request) if request.slot.is_none() => {
                    if self.stage.must_defer(&request.record.spec.call) {
                        self.cancelled.insert(id);
                        continue;
                    }
                    let (status, reason) = Self::cancelled_end(CancelReason::Canceled);
                    self.finish(id, status, reason, now);
                }
                Some(_) | None => {}
            }
        }
    }

    fn replace(
        &mut self,
        id: RequestId,
        command: RequestId,
        spec: TxSpec,
        now: Timestamp,
    ) -> Result<(), String> {
        let Some(request) = self.requests.get_mut(&id) else {
            return Err("the transaction has already ended".to_owned());
        };
        if request.record.is_canceled {
            return Err("the transaction is being cancelled".to_owned());
        }
        let Some((account, nonce)) = request.slot else {
            request.gas = Gas::of(&spec, now);
            request.estimating = request.estimating.map(|_| Estimating::Nothing);
            let position = request.position;
            if let Gas::Unknown { from, .. } = request.gas {
                self.queue.estimate(position, from);
            }
            self.queue.look_again(position);
            self.respecify(id, spec);
            self.conclude(id, command, None);
            return Ok(());
        };
        let slot = self
            .accounts
            .get(&account)
            .and_then(|a| a.slots.get(&nonce));
        let Some(slot) = slot.filter(|s| !s.is_decided() && s.cancelling.is_none()) else {
            return Err("the transaction is already mined or being cancelled".to_owned());
        };
        if request.replacing.is_some() || slot.signing.is_some() {
            return Err("another replacement is under way; try again".to_owned());
        }
        if let Some(old) = slot.last_fees() {
            check_bid(old, spec.pricing)?;
        }
        self.start_replacing(id, Replacing::new(command, spec, now));
        self.stage.touch_slot(account, nonce);
        self.mend_replacing(id, now);
        Ok(())
    }

    pub(super) fn start_replacing(&mut self, id: RequestId, replacing: Replacing) {
        if let Some(request) = self.requests.get_mut(&id) {
            request.replacing = Some(replacing);
            self.replacing.insert(id);
        }
    }

    /// Ends a replacement, whatever became of it.
    pub(super) fn take_replacing(&mut self, id: RequestId) -> Option<Replacing> {
        let request = self.requests.get_mut(&id)?;
        let replacing = request.replacing.take()?;
        if request.estimating == Some(Estimating::Replacement) {
            request.estimating = Some(Estimating::Nothing);
        }
        self.replacing.remove(&id);
        if let Some((account, nonce)) = request.slot {
            self.stage.touch_slot(account, nonce);
        }
        Some(replacing)
    }

    /// Gives a request another content.
    pub(super) fn respecify(&mut self, id: RequestId, spec: TxSpec) {
        let Some(request) = self.requests.get_mut(&id) else {
            return;
        };
        self.expiries.remove(&(request.record.spec.valid_until, id));
        self.expiries.insert((spec.valid_until, id));
        request.record.spec = spec;
        self.stage.touch_request(id);
    }
}

impl Request {
    /// Whether this is what it asks for, or asked for when it was accepted.
    pub(super) fn asks_for(&self, call: &Call) -> bool {
        self.record.spec.call == *call || self.record.accepted.call == *call
    }

    pub(super) const fn is_cancelled(&self) -> bool {
        self.record.is_canceled
    }
}

impl Replacing {
    pub(super) fn new(command: RequestId, spec: TxSpec, now: Timestamp) -> Self {
        let gas = Gas::of(&spec, now);
        Self { command, spec, gas }
    }
}

/// Whether a price that the caller gave can replace `old`.
fn check_bid(old: Fees, pricing: Pricing) -> Result<(), String> {
    let new = match pricing {
        Pricing::Speed(_) => return Ok(()),
        Pricing::Legacy { gas_price } => Fees::Legacy { gas_price },
        Pricing::Eip1559 {
            max_fee,
            max_priority_fee,
        } => Fees::Eip1559 {
            max_fee,
            max_priority_fee,
        },
    };
    match (old, new) {
        (Fees::Legacy { .. }, Fees::Eip1559 { .. }) => {
            Err("Cannot replace legacy transaction with EIP1559 transaction".to_owned())
        }
        (Fees::Eip1559 { .. }, Fees::Legacy { .. }) => {
            Err("Cannot replace EIP1559 transaction with legacy transaction".to_owned())
        }
        (Fees::Legacy { .. }, Fees::Legacy { .. })
        | (Fees::Eip1559 { .. }, Fees::Eip1559 { .. }) => {
            if fees::replaces(old, new) {
                return Ok(());
            }
            let least = fees::least_replacement(old);
            Err(format!(
                "Gas price increase does not meet minimum bump requirement: at least {} wei per gas and \
                 a tip of {} wei",
                least.max_per_gas(),
                least.tip_per_gas()
            ))
        }
    }
}
