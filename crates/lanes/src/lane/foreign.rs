//! Nonces that are used although no attempt was seen mined: by an attempt in a block that was missed, by one that a
//! rolled-back store has forgotten, or by somebody else.

use baton_model::{Address, B256, Bytes, RequestId, Timestamp};

use super::Lane;
use crate::account::Phase;
use crate::event::{Alarm, Observation, Output};
use crate::record::{AttemptKind, AttemptRecord, CancelReason, ReceiptRecord};
use crate::slot::{Asked, Attempt, Slot};

impl Lane {
    pub(super) fn asked_now(&self) -> Option<Asked> {
        self.head.map(|head| Asked {
            head: head.number,
            rollbacks: self.rollbacks,
        })
    }

    /// Looks for the receipts of slots whose nonce is used although no attempt was seen mined for certain.
    pub(super) fn look_up_used(&mut self, address: Address) {
        let Some(head) = self.head else { return };
        let Some(account) = self.accounts.get(&address) else {
            return;
        };
        let deep = |block: u64| head.number > block && self.is_final_at(block, head.number);
        let used: Vec<u64> = account
            .slots
            .range(..account.chain_nonce)
            .filter(|(_, slot)| match (slot.foreign_since, &slot.mined) {
                (Some(since), _) => deep(since),
                (None, Some(mined)) => !mined.certain && deep(mined.receipt.block_number),
                (None, None) => true,
            })
            .map(|(nonce, _)| *nonce)
            .collect();
        for nonce in used {
            self.look_up(address, nonce);
        }
    }

    /// Whether a block is final at the head.
    pub(super) fn is_final(&self, block: u64) -> Option<bool> {
        self.head.map(|head| self.is_final_at(block, head.number))
    }

    const fn is_final_at(&self, block: u64, head: u64) -> bool {
        head >= block.saturating_add(self.config.profile.required_confirmations)
    }

    pub(super) fn handle_found(
        &mut self,
        address: Address,
        nonce: u64,
        receipt: Option<ReceiptRecord>,
        now: Timestamp,
    ) {
        let rollbacks = self.rollbacks;
        let Some(account) = self.accounts.get_mut(&address) else {
            return;
        };
        let used = account.chain_nonce > nonce;
        let slot = account.slots.get_mut(&nonce);
        let asked = slot.and_then(|slot| slot.looking.take());
        // What a node said before blocks were taken back is about a chain that is gone.
        let valid = asked.filter(|asked| asked.rollbacks == rollbacks);
        if asked.is_some() && valid.is_none() && used {
            self.look_up(address, nonce);
            return;
        }
        if let Phase::Surveying(reconciliation) = &mut account.phase {
            reconciliation.lookups.remove(&nonce);
        }
        if let Some(asked) = valid {
            self.weigh(address, nonce, receipt, asked, now);
        }
        self.settle(address, now);
        self.finish_survey(address, now);
    }

    fn weigh(
        &mut self,
        address: Address,
        nonce: u64,
        receipt: Option<ReceiptRecord>,
        asked: Asked,
        now: Timestamp,
    ) {
        let Some(head) = self.head else { return };
        let Some(account) = self.accounts.get_mut(&address) else {
            return;
        };
        let used = account.chain_nonce > nonce;
        let Some(slot) = account.slots.get_mut(&nonce) else {
            return;
        };
        if slot.mined.as_ref().is_some_and(|mined| mined.certain) {
            return;
        }
        let Some(receipt) = receipt else {
            if used {
                self.note_unknown(address, nonce, asked, now);
            }
            return;
        };
        // What the head does not know yet, a block above it will tell, or the question is repeated with the next one.
        let own = slot.attempts.iter().any(|a| a.record.hash == receipt.hash);
        if own && used && receipt.block_number <= head.number {
            let certain = self.is_final_at(receipt.block_number, asked.head);
            self.note_mined(receipt, certain, now);
        }
    }

    /// A used nonce and no receipt: a matter of time, or a transaction that is not known here.
    fn note_unknown(&mut self, address: Address, nonce: u64, asked: Asked, now: Timestamp) {
        let Some(head) = self.head else { return };
        let Some(account) = self.accounts.get_mut(&address) else {
            return;
        };
        if account.slots.get(&nonce).is_some_and(|s| s.mined.is_some()) {
            account.undecide(nonce);
            self.show_undecided(address, nonce);
        }
        let Some(account) = self.accounts.get_mut(&address) else {
            return;
        };
        let Some(slot) = account.slots.get_mut(&nonce) else {
            return;
        };
        let since = *slot.foreign_since.get_or_insert(head.number);
        account.decide(nonce);
        if asked.head > since && self.is_final_at(since, asked.head) {
            self.prove_foreign(address, nonce, now);
        }
    }

    /// None of the attempts was mined under a nonce that is used for good. That proves foreign use only if the store
    /// knows all attempts, which a store that was rolled back does not: what was mined has to be seen.
    fn prove_foreign(&mut self, address: Address, nonce: u64, now: Timestamp) {
        let asked = self.asked_now();
        let slot = self.account(address).and_then(|a| a.slots.get_mut(&nonce));
        let Some(slot) = slot else { return };
        if slot.request.is_none() {
            return self.settle_foreign(address, nonce, now);
        }
        if slot.observing.is_none() {
            slot.observing = asked;
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
        let rollbacks = self.rollbacks;
        let Some(account) = self.accounts.get_mut(&address) else {
            return;
        };
        let slot = account.slots.get_mut(&nonce);
        if let Some(asked) = slot.and_then(|slot| slot.observing.take()) {
            if asked.rollbacks == rollbacks {
                self.judge(address, nonce, transaction, now);
            }
            return;
        }
        if let Phase::Surveying(search) = &mut account.phase {
            search.observed.insert(nonce, transaction);
        } else if let Some(search) = &mut account.stopped_search {
            search.observed.insert(nonce, transaction);
        }
        self.finish_survey(address, now);
    }

    /// Decides whose transaction it was that used a slot's nonce.
    fn judge(
        &mut self,
        address: Address,
        nonce: u64,
        transaction: Option<Observation>,
        now: Timestamp,
    ) {
        let adopt = self.config.adopt;
        let own = transaction
            .as_ref()
            .is_some_and(|seen| self.is_own(address, nonce, seen));
        let slot = self.accounts.get_mut(&address);
        let Some(slot) = slot.and_then(|a| a.slots.get_mut(&nonce)) else {
            return;
        };
        if slot.foreign_since.is_none() {
            return;
        }
        match transaction {
            Some(seen) if slot.attempts.iter().any(|a| a.record.hash == seen.hash) => {
                self.look_up(address, nonce);
            }
            Some(seen) if own => {
                self.adopt_attempt(address, nonce, seen, now);
                self.look_up(address, nonce);
            }
            Some(_) => self.settle_foreign(address, nonce, now),
            None if adopt => {
                // It may have been this very request: the operator goes on, but not by doing it again.
                let text = format!(
                    "nonce {nonce} was used by a transaction that no node shows; it may have been this request: look \
                     at the chain before repeating it"
                );
                slot.cancelling.get_or_insert(CancelReason::Refused(text));
                self.settle_foreign(address, nonce, now);
            }
            // It may be an attempt that was forgotten: nothing is done twice on a guess. Asked again with later blocks.
            None => {
                if !std::mem::replace(&mut slot.foreign_told, true) {
                    self.outputs.push_back(Output::Alarm(Alarm::ForeignNonce {
                        account: address,
                        nonce,
                    }));
                }
            }
        }
    }

    /// Whether a transaction does what a slot's request asks for, or asked for.
    fn is_own(&self, address: Address, nonce: u64, seen: &Observation) -> bool {
        let Some(slot) = self
            .accounts
            .get(&address)
            .and_then(|a| a.slots.get(&nonce))
        else {
            return false;
        };
        let call = &seen.tx.call;
        let request = slot.request.and_then(|id| self.requests.get(&id));
        slot.attempts
            .iter()
            .any(|a| a.record.kind == AttemptKind::Payload && a.record.tx.call == *call)
            || request
                .is_some_and(|r| r.record.spec.call == *call || r.record.accepted.call == *call)
    }

    /// Takes an attempt that the store has forgotten into its slot, in its place among the bids.
    fn adopt_attempt(&mut self, address: Address, nonce: u64, seen: Observation, now: Timestamp) {
        let attempt = Attempt::adopted(seen.into_record(now), now);
        let (hash, cost) = (attempt.record.hash, attempt.record.tx.worst_cost());
        let Some(account) = self.accounts.get_mut(&address) else {
            return;
        };
        let Some(slot) = account.slots.get_mut(&nonce) else {
            return;
        };
        let bid = attempt.record.tx.fees.max_per_gas();
        let place = slot
            .attempts
            .partition_point(|a| a.record.tx.fees.max_per_gas() <= bid);
        slot.attempts.insert(place, attempt);
        let (request, cost) = (slot.request, cost.max(slot.cost));
        account.set_cost(nonce, cost);
        self.attempts.insert(hash, (address, nonce));
        self.stage.bound(address, nonce, hash);
        if let Some(id) = request {
            self.refresh(id, address, nonce);
        }
    }

    /// Takes what a node shows into the slot of a request that has none: it is what the request asks for.
    pub(super) fn adopt(
        &mut self,
        address: Address,
        id: RequestId,
        seen: Observation,
        now: Timestamp,
    ) {
        let cancelled = self.cancelled.remove(&id);
        let Some(account) = self.accounts.get_mut(&address) else {
            return;
        };
        let nonce = account.next_nonce;
        let used = nonce < account.chain_nonce;
        let attempt = Attempt::adopted(seen.into_record(now), now);
        let hash = attempt.record.hash;
        let mut slot = Slot::adopted(id, attempt, now);
        slot.cancelling = cancelled.then_some(CancelReason::Canceled);
        account.push_slot(slot);
        self.attempts.insert(hash, (address, nonce));
        if let Some(request) = self.requests.get_mut(&id) {
            request.slot = Some((address, nonce));
            self.queue.remove(request.position);
        }
        self.stage.bound(address, nonce, hash);
        self.stage.touch_account(address);
        self.refresh(id, address, nonce);
        if used {
            self.look_up(address, nonce);
        }
    }

    /// Ends a slot whose nonce somebody else used, for good: its request has not executed and goes on under another
    /// one.
    fn settle_foreign(&mut self, address: Address, nonce: u64, now: Timestamp) {
        let Some(account) = self.accounts.get_mut(&address) else {
            return;
        };
        // Slots below are decided too, but perhaps not final yet: keep the order.
        let lowest = account.slots.first_key_value().map(|(lowest, _)| *lowest);
        if lowest != Some(nonce) {
            return;
        }
        let Some(slot) = account.remove_slot(nonce) else {
            return;
        };
        account.settled = nonce + 1;
        self.drop_slot(address, nonce, &slot);
        // Whoever said `adopt` knows of those that were skipped by it.
        let expected = self.config.adopt && slot.request.is_none();
        if !slot.foreign_told && !expected {
            self.outputs.push_back(Output::Alarm(Alarm::ForeignNonce {
                account: address,
                nonce,
            }));
        }
        self.release_request(slot, now);
        self.settle(address, now);
    }

    /// Ends or requeues the request of a slot that will never execute it.
    pub(super) fn release_request(&mut self, slot: Slot, now: Timestamp) {
        let Some(id) = slot.request else { return };
        match slot.cancelling {
            Some(reason) => {
                let (status, reason) = Self::cancelled_end(reason);
                self.finish(id, status, reason, now);
            }
            None => {
                if let Some(request) = self.requests.get_mut(&id)
                    && let Some((account, _)) = request.slot
                {
                    Self::note_history(&mut request.record, account, &slot);
                }
                self.requeue(id, now);
            }
        }
    }

    pub(super) fn drop_slot(&mut self, address: Address, nonce: u64, slot: &Slot) {
        for attempt in &slot.attempts {
            self.attempts.remove(&attempt.record.hash);
        }
        self.stage.touch_slot(address, nonce);
        self.stage.touch_account(address);
    }

    /// Shows a request as it is now that its slot is no longer decided.
    pub(super) fn show_undecided(&mut self, address: Address, nonce: u64) {
        let slot = self.account(address).and_then(|a| a.slots.get(&nonce));
        let Some(id) = slot.and_then(|slot| slot.request) else {
            return;
        };
        if let Some(request) = self.requests.get_mut(&id) {
            request.record.mined_at = None;
        }
        self.refresh(id, address, nonce);
    }

    /// Hashes to offer after a slot's winner was taken back: it first, unless it is to be cancelled.
    pub(super) fn offers_after_undo(slot: &Slot) -> Vec<B256> {
        let latest = slot.attempts.last().map(|a| a.record.hash);
        let mined = slot.mined.as_ref().map(|m| m.receipt.hash);
        let winner = mined.filter(|hash| slot.cancelling.is_none() && latest != Some(*hash));
        winner.into_iter().chain(latest).collect()
    }
}

impl Observation {
    fn into_record(self, now: Timestamp) -> AttemptRecord {
        AttemptRecord {
            kind: AttemptKind::Payload,
            tx: self.tx,
            hash: self.hash,
            raw: self.raw,
            signature: Bytes::new(),
            created_at: now,
            acknowledged_at: Some(now),
        }
    }
}
