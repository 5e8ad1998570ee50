//! What callers ask for.

use baton_model::{Fees, Pricing, RequestId, Timestamp, TxSpec, TxStatus};

use super::{Gas, Lane, Replacing, Request};
use crate::event::Command;
use crate::fees;
use crate::record::{CancelReason, CommandOutcome, RequestRecord, key};

impl Lane {
    pub(super) fn handle_inbox(&mut self, position: u64, command: Command, now: Timestamp) {
        if position <= self.summary.inbox {
            return;
        }
        self.summary.inbox = position;
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
        self.expiries.insert((record.spec.valid_until, id));
        self.requests.insert(
            id,
            Request {
                record,
                position,
                slot: None,
                gas,
                replacing: None,
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
        let Some(request) = self.requests.get_mut(&id) else {
            return Err("the transaction has already ended".to_owned());
        };
        request.record.is_canceled |= reason == CancelReason::Canceled;
        let Some((account, nonce)) = request.slot else {
            let (status, why) = Self::cancelled_end(reason);
            self.finish(id, status, why, now);
            return Ok(());
        };
        self.stage.touch_request(id);
        let Some(slot) = self.account(account).and_then(|a| a.slots.get_mut(&nonce)) else {
            return Err("the transaction has no slot".to_owned());
        };
        if slot.mined.is_some() {
            let request = self.requests.get_mut(&id);
            if let Some(request) = request {
                request.record.is_canceled = false;
            }
            return Err("the transaction is already mined".to_owned());
        }
        if slot.cancelling.is_none() {
            slot.cancelling = Some(reason);
            if !slot.is_reserved() {
                self.stage.touch_slot(account, nonce);
            }
            self.mend_cancelled(account, nonce);
        }
        Ok(())
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
            self.respecify(id, spec.clone());
            if let Some(request) = self.requests.get_mut(&id) {
                request.gas = Gas::of(&spec, now);
            }
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
        let gas = Gas::of(&spec, now);
        request.replacing = Some(Replacing { command, spec, gas });
        self.mend_replacing(id, now);
        Ok(())
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

impl Gas {
    pub(super) fn of(spec: &TxSpec, now: Timestamp) -> Self {
        spec.gas_limit.map_or(
            Self::Unknown {
                from: now,
                tries: 0,
            },
            Self::Known,
        )
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
                "Gas price increase does not meet minimum bump requirement: at least {} wei per gas and a tip of {} wei",
                least.max_per_gas(),
                least.tip_per_gas()
            ))
        }
    }
}
