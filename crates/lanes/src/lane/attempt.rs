//! Making attempts: asking for signatures and putting signed bytes into slots, in order of nonce.

use baton_model::{Address, RequestId, Timestamp, TxStatus, UnsignedTx};

use super::Lane;
use crate::event::{Alarm, Offer, Output, Signed, Ticket};
use crate::record::{AttemptKind, AttemptRecord, AttemptSummary, PastAttempt, RequestRecord};
use crate::slot::{Attempt, Signing, Slot};

/// Failures of a signer before somebody is told.
const SIGNER_TRIES_SILENT: u32 = 3;

/// Most attempts for one nonce. 50 bids of 10 % more each are a factor of 117; past that the fee is not the problem.
pub(super) const ATTEMPTS_MAX: usize = 50;

impl Lane {
    /// Asks for a signature.
    pub(super) fn start_signing(
        &mut self,
        account: Address,
        kind: AttemptKind,
        tx: UnsignedTx,
        command: Option<RequestId>,
    ) -> Signing {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.tickets.insert(ticket, (account, tx.nonce));
        self.outputs.push_back(Output::Sign {
            ticket,
            account,
            tx: tx.clone(),
        });
        Signing {
            ticket,
            kind,
            tx,
            signed: None,
            tries: 0,
            command,
        }
    }

    pub(super) fn handle_signed(&mut self, ticket: Ticket, signed: Option<Signed>, now: Timestamp) {
        let Some((address, nonce)) = self.tickets.remove(&ticket) else {
            return;
        };
        let timing = self.config.timing;
        let Some(account) = self.accounts.get_mut(&address) else {
            return;
        };
        let Some(slot) = account.slots.get_mut(&nonce) else {
            return;
        };
        let Some(signing) = slot.signing.as_mut().filter(|s| s.ticket == ticket) else {
            return;
        };
        if let Some(signed) = signed {
            signing.signed = Some(signed);
            if account.unsigned.remove(&nonce) {
                self.stage.touch_summary();
            }
            self.promote(address, nonce, now);
            return;
        }
        let retry_at = now.saturating_add(timing.retry_after(signing.tries));
        signing.tries = signing.tries.saturating_add(1);
        let told = signing.tries == SIGNER_TRIES_SILENT;
        account.unsigned.insert(nonce);
        self.unsigned.insert((retry_at, ticket), (address, nonce));
        if told {
            self.outputs
                .push_back(Output::Alarm(Alarm::SignerFailing { account: address }));
            self.stage.touch_summary();
        }
    }

    /// Asks again for the signatures that failed.
    pub(super) fn retry_signing(&mut self, now: Timestamp) {
        while let Some(((at, ticket), _)) = self.unsigned.first_key_value()
            && *at <= now
        {
            let ticket = *ticket;
            let Some((_, (account, nonce))) = self.unsigned.pop_first() else {
                return;
            };
            let slot = self.account(account).and_then(|a| a.slots.get(&nonce));
            let signing = slot.and_then(|s| s.signing.as_ref());
            let Some(signing) = signing.filter(|s| s.ticket == ticket) else {
                continue;
            };
            let tx = signing.tx.clone();
            self.tickets.insert(ticket, (account, nonce));
            self.outputs.push_back(Output::Sign {
                ticket,
                account,
                tx,
            });
        }
    }

    /// Has a no-op signed instead of the payload of a slot of which nothing is durable: the payload is never offered.
    pub(super) fn cancel_reserved(&mut self, address: Address, nonce: u64) {
        let Some(account) = self.accounts.get_mut(&address) else {
            return;
        };
        let Some(slot) = account.slots.get_mut(&nonce).filter(|s| s.is_reserved()) else {
            return;
        };
        let payload = slot
            .signing
            .take_if(|signing| signing.kind == AttemptKind::Payload);
        let Some(payload) = payload else { return };
        account.unsigned.remove(&nonce);
        self.tickets.remove(&payload.ticket);
        let reserved = payload.tx.worst_cost();
        let mut tx = UnsignedTx {
            gas_limit: self.config.noop_gas(),
            call: Self::noop_call(address),
            ..payload.tx
        };
        // A no-op needs no more gas than any call, and this much there is money for.
        if tx.worst_cost() > reserved.saturating_add(account.available()) {
            tx.gas_limit = payload.tx.gas_limit;
        }
        let cost = tx.worst_cost();
        let signing = self.start_signing(address, AttemptKind::Noop, tx, None);
        if let Some(account) = self.accounts.get_mut(&address) {
            account.set_cost(nonce, cost);
            if let Some(slot) = account.slots.get_mut(&nonce) {
                slot.signing = Some(signing);
            }
        }
    }

    /// Puts signed bytes into their slot. A first attempt waits until every slot below has one: what is durable has no
    /// gaps.
    fn promote(&mut self, address: Address, nonce: u64, now: Timestamp) {
        let Some(account) = self.accounts.get(&address) else {
            return;
        };
        if nonce < account.bound_next {
            self.add_attempt(address, nonce, now);
            self.mend_cancelled(address, nonce);
            return;
        }
        while let Some(account) = self.accounts.get_mut(&address) {
            let next = account.bound_next;
            let signing = account.slots.get(&next).and_then(|s| s.signing.as_ref());
            if signing.is_none_or(|s| s.signed.is_none()) {
                break;
            }
            account.bound_next = next + 1;
            self.add_attempt(address, next, now);
            self.stage.touch_account(address);
            self.mend_cancelled(address, next);
        }
        self.finish_survey(address, now);
    }

    fn add_attempt(&mut self, address: Address, nonce: u64, now: Timestamp) {
        let Some(account) = self.accounts.get_mut(&address) else {
            return;
        };
        let Some(slot) = account.slots.get_mut(&nonce) else {
            return;
        };
        let Some(signing) = slot.signing.take() else {
            return;
        };
        let Signing {
            kind,
            tx,
            signed: Some(signed),
            command,
            ..
        } = signing
        else {
            return;
        };
        let record = AttemptRecord {
            kind,
            tx,
            hash: signed.hash,
            raw: signed.raw,
            signature: signed.signature,
            created_at: now,
            acknowledged_at: None,
        };
        let hash = record.hash;
        let offer = Offer {
            account: address,
            nonce,
            hash,
            raw: record.raw.clone(),
        };
        if slot.attempts.iter().any(|a| a.record.hash == hash) {
            return;
        }
        slot.attempts.push(Attempt::new(record, now));
        slot.reoffered = false;
        let request = slot.request;
        if !slot.is_decided() {
            account.unacknowledged.insert(nonce);
        }
        self.attempts.insert(hash, (address, nonce));
        self.stage.bound(address, nonce, hash);
        self.stage.after(Output::Broadcast(offer));
        if let Some(id) = request {
            self.show_attempt(id, address, nonce, command);
        }
    }

    /// Copies what a slot holds into the record that callers see.
    fn show_attempt(
        &mut self,
        id: RequestId,
        address: Address,
        nonce: u64,
        command: Option<RequestId>,
    ) {
        self.refresh(id, address, nonce);
        let replacing = self.requests.get(&id).and_then(|r| r.replacing.as_ref());
        if command.is_some()
            && replacing.map(|r| r.command) == command
            && let Some(replacing) = self.take_replacing(id)
        {
            self.respecify(id, replacing.spec);
            self.conclude(id, replacing.command, None);
        }
    }

    /// Notes the attempts of a slot as they are now.
    pub(super) fn note_history(record: &mut RequestRecord, account: Address, slot: &Slot) {
        for attempt in &slot.attempts {
            let past = PastAttempt::of(account, &attempt.record);
            match record.history.iter_mut().find(|p| p.hash == past.hash) {
                Some(known) => *known = past,
                None => record.history.push(past),
            }
        }
    }

    /// Brings a request's record up to date with its slot.
    pub(super) fn refresh(&mut self, id: RequestId, address: Address, nonce: u64) {
        let Some(slot) = self
            .accounts
            .get(&address)
            .and_then(|a| a.slots.get(&nonce))
        else {
            return;
        };
        let current = slot.current().map(|record| AttemptSummary {
            account: address,
            nonce,
            hash: record.hash,
            gas_limit: record.tx.gas_limit,
            fees: record.tx.fees,
            signature: record.signature.clone(),
        });
        let payload_mined = slot.mined_kind() == Some(AttemptKind::Payload);
        let acknowledged = slot
            .attempts
            .iter()
            .filter_map(|a| a.record.acknowledged_at)
            .min();
        let status = match (slot.is_reserved(), payload_mined, acknowledged) {
            (true, ..) => TxStatus::Pending,
            (false, true, _) => TxStatus::Mined,
            (false, false, Some(_)) => TxStatus::Submitted,
            (false, false, None) => TxStatus::Sent,
        };
        let mined = slot.mined.as_ref().filter(|_| payload_mined);
        let receipt = mined.map(|m| m.receipt.clone());
        let hashes = slot.hashes();
        let Some(request) = self.requests.get_mut(&id) else {
            return;
        };
        let record = &mut request.record;
        record.current = current;
        record.receipt = receipt;
        record.sent_at = record.sent_at.or(acknowledged);
        for hash in hashes {
            if !record.hashes.contains(&hash) {
                record.hashes.push(hash);
            }
        }
        let is_noop = |attempt: &Attempt| attempt.record.kind == AttemptKind::Noop;
        if record.hashes.len() > 1 || slot.attempts.iter().any(is_noop) {
            Self::note_history(record, address, slot);
        }
        self.set_status(id, status);
    }
}
