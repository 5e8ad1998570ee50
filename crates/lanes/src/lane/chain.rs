//! What the chain says: blocks, reorganisations, receipts.

use baton_model::{Address, RequestId, Timestamp, TxStatus};

use super::{Head, Lane};
use crate::account::Phase;
use crate::event::{Alarm, BlockInput, Output};
use crate::record::{AttemptKind, CancelReason, ReceiptRecord, key};
use crate::slot::Slot;

impl Lane {
    pub(super) fn handle_block(&mut self, block: BlockInput, now: Timestamp) {
        if self.head.is_some_and(|head| block.number <= head.number) {
            return;
        }
        self.head = Some(Head {
            number: block.number,
            gas_limit: block.gas_limit,
        });
        for receipt in block.mined {
            self.note_mined(receipt, now);
        }
        for view in block.accounts {
            if let Some(account) = self.accounts.get_mut(&view.address) {
                if view.balance > account.balance {
                    account.low_balance = false;
                }
                account.balance = view.balance;
                account.chain_nonce = view.nonce;
                account.cap = account
                    .cap
                    .saturating_add(account.cap / 4 + 1)
                    .min(account.cap_max);
                account.forget_undecided();
                account.recount();
            }
            self.follow_account(view.address, now);
        }
        let open = self
            .accounts
            .values()
            .any(|a| a.lowest_open().is_some_and(|(_, s)| s.reoffered));
        if open || !self.queue.is_empty() {
            self.ask_market();
        }
    }

    fn follow_account(&mut self, address: Address, now: Timestamp) {
        let Some(account) = self.accounts.get(&address) else {
            return;
        };
        let (chain, settled) = (account.chain_nonce, account.settled);
        match &account.phase {
            Phase::Surveying(_) => return,
            Phase::Ready if chain < settled => {
                let alarm = Alarm::ChainBehind {
                    account: address,
                    chain,
                    settled,
                };
                self.stop(address, alarm);
                return;
            }
            // A node that was behind has caught up.
            Phase::Stopped(Alarm::ChainBehind { .. }) if chain >= settled => {
                if let Some(account) = self.account(address) {
                    account.phase = Phase::Ready;
                }
            }
            Phase::Ready | Phase::Stopped(_) => {}
        }
        self.look_up_used(address);
        self.settle(address, now);
        let ahead = self
            .accounts
            .get(&address)
            .is_some_and(|a| chain > a.durable_next());
        if ahead {
            self.survey_ahead(address, chain, now);
        }
    }

    /// Stops an account until a person has looked.
    pub(super) fn stop(&mut self, address: Address, alarm: Alarm) {
        if let Some(account) = self.accounts.get_mut(&address) {
            account.phase = Phase::Stopped(alarm.clone());
            self.outputs.push_back(Output::Alarm(alarm));
            self.stage.touch_summary();
        }
    }

    /// Looks for the receipts of slots whose nonce is used although no attempt was seen mined.
    fn look_up_used(&mut self, address: Address) {
        let Some(head) = self.head else { return };
        let depth = self.config.profile.required_confirmations;
        let Some(account) = self.accounts.get(&address) else {
            return;
        };
        let used: Vec<u64> = account
            .slots
            .range(..account.chain_nonce)
            .filter(|(_, slot)| match slot.foreign_since {
                Some(since) => head.number >= since.saturating_add(depth),
                None => slot.mined.is_none(),
            })
            .map(|(nonce, _)| *nonce)
            .collect();
        for nonce in used {
            self.look_up(address, nonce);
        }
    }

    pub(super) fn handle_found(
        &mut self,
        address: Address,
        nonce: u64,
        receipt: Option<ReceiptRecord>,
        now: Timestamp,
    ) {
        let depth = self.config.profile.required_confirmations;
        let head = self.head;
        let Some(account) = self.accounts.get_mut(&address) else {
            return;
        };
        if let Phase::Surveying(reconciliation) = &mut account.phase {
            reconciliation.lookups.remove(&nonce);
        }
        let used = account.chain_nonce > nonce;
        let Some(slot) = account.slots.get_mut(&nonce) else {
            return;
        };
        slot.looking = false;
        match (receipt, head) {
            // What blocks said since the question was asked is newer.
            (Some(_), _) if slot.mined.is_some() => {}
            (Some(receipt), _) => self.note_mined(receipt, now),
            (None, Some(head)) if used && slot.mined.is_none() => {
                let since = *slot.foreign_since.get_or_insert(head.number);
                if head.number > since && head.number >= since.saturating_add(depth) {
                    self.settle_foreign(address, nonce, now);
                }
            }
            (None, _) => {}
        }
        self.settle(address, now);
        self.finish_survey(address, now);
    }

    fn note_mined(&mut self, receipt: ReceiptRecord, now: Timestamp) {
        let Some((address, nonce)) = self.attempts.get(&receipt.hash).copied() else {
            return;
        };
        let Some(account) = self.accounts.get_mut(&address) else {
            return;
        };
        let Some(slot) = account.slots.get_mut(&nonce) else {
            return;
        };
        slot.mined = Some(receipt);
        slot.foreign_since = None;
        account.unacknowledged.remove(&nonce);
        let request = slot.request;
        if let Some(id) = request {
            if let Some(request) = self.requests.get_mut(&id) {
                request.record.mined_at = Some(now);
                request.record.status_reason = None;
            }
            self.refresh(id, address, nonce);
        }
    }

    /// Ends the slots that are final, lowest first.
    fn settle(&mut self, address: Address, now: Timestamp) {
        let Some(head) = self.head else { return };
        let depth = self.config.profile.required_confirmations;
        loop {
            let Some(account) = self.accounts.get_mut(&address) else {
                return;
            };
            let Some(lowest) = account.slots.first_entry() else {
                return;
            };
            let mined = lowest.get().mined.as_ref();
            if mined.is_none_or(|m| head.number < m.block_number.saturating_add(depth)) {
                return;
            }
            let (nonce, slot) = lowest.remove_entry();
            account.settled = nonce + 1;
            self.drop_slot(address, nonce, &slot);
            self.finish_mined(address, nonce, slot, now);
        }
    }

    fn finish_mined(&mut self, address: Address, nonce: u64, slot: Slot, now: Timestamp) {
        let Some(id) = slot.request else { return };
        self.stage
            .put(key::nonce(address, nonce), id.to_string().into_bytes());
        let payload = slot.mined_kind() == Some(AttemptKind::Payload);
        let success = slot.mined.as_ref().is_some_and(|m| m.success);
        if payload {
            // An older attempt may have won over a replacement: the record shows what was executed.
            let call = slot.current().map(|record| record.tx.call.clone());
            if let (Some(call), Some(request)) = (call, self.requests.get_mut(&id)) {
                request.record.spec.call = call;
            }
        }
        let (status, reason) = match (payload, success) {
            (true, true) => (TxStatus::Confirmed, None),
            (true, false) => (
                TxStatus::Failed,
                Some("Transaction reverted on-chain (receipt status: failed)".to_owned()),
            ),
            (false, _) => Self::cancelled_end(slot.cancelling.unwrap_or(CancelReason::Canceled)),
        };
        self.finish(id, status, reason, now);
    }

    /// Ends a slot whose nonce somebody else used, for good: its request has not executed and goes on under another one.
    fn settle_foreign(&mut self, address: Address, nonce: u64, now: Timestamp) {
        let Some(account) = self.accounts.get_mut(&address) else {
            return;
        };
        // Slots below are decided too, but perhaps not final yet: keep the order.
        if account
            .slots
            .first_key_value()
            .is_none_or(|(lowest, _)| *lowest != nonce)
        {
            return;
        }
        let Some(slot) = account.slots.remove(&nonce) else {
            return;
        };
        account.settled = nonce + 1;
        self.drop_slot(address, nonce, &slot);
        self.outputs.push_back(Output::Alarm(Alarm::ForeignNonce {
            account: address,
            nonce,
        }));
        let Some(id) = slot.request else { return };
        match slot.cancelling {
            Some(reason) => {
                let (status, reason) = Self::cancelled_end(reason);
                self.finish(id, status, reason, now);
            }
            None => self.requeue(id, now),
        }
    }

    fn drop_slot(&mut self, address: Address, nonce: u64, slot: &Slot) {
        for attempt in &slot.attempts {
            self.attempts.remove(&attempt.record.hash);
        }
        if let Some(account) = self.account(address) {
            account.unacknowledged.remove(&nonce);
        }
        self.stage.touch_slot(address, nonce);
        self.stage.touch_account(address);
    }

    pub(super) fn handle_rollback(&mut self, to: u64, now: Timestamp) {
        let Some(head) = &mut self.head else { return };
        if to >= head.number {
            return;
        }
        head.number = to;
        let addresses: Vec<Address> = self.accounts.keys().copied().collect();
        for address in addresses {
            self.undo(address, to, now);
        }
    }

    /// Takes back what blocks above `to` had decided, and offers it again: the winner first.
    fn undo(&mut self, address: Address, to: u64, now: Timestamp) {
        let Some(account) = self.accounts.get_mut(&address) else {
            return;
        };
        let mut undone: Vec<(u64, Option<RequestId>, Vec<baton_model::B256>)> = Vec::new();
        for (nonce, slot) in &mut account.slots {
            if slot.foreign_since.is_some_and(|since| since > to) {
                slot.foreign_since = None;
            }
            let Some(mined) = slot.mined.take_if(|m| m.block_number > to) else {
                continue;
            };
            let mut offers = slot
                .attempts
                .last()
                .map_or_else(Vec::new, |a| vec![a.record.hash]);
            if slot.cancelling.is_none() && !offers.contains(&mined.hash) {
                offers.insert(0, mined.hash);
            }
            account.unacknowledged.insert(*nonce);
            undone.push((*nonce, slot.request, offers));
        }
        if let Some((lowest, _)) = account.slots.iter().find(|(_, s)| !s.is_decided()) {
            account.chain_nonce = account.chain_nonce.min(*lowest);
        }
        account.recount();
        for (nonce, request, offers) in undone {
            if let Some(id) = request {
                if let Some(request) = self.requests.get_mut(&id) {
                    request.record.mined_at = None;
                }
                self.refresh(id, address, nonce);
            }
            for hash in offers {
                self.offer_again(address, nonce, hash, now);
            }
        }
    }
}
