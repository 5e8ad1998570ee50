//! What the chain says: blocks, reorganisations, receipts.

use baton_model::{Address, B256, Timestamp, TxStatus};

use super::{Head, Lane};
use crate::account::{Account, Phase, Reconciliation};
use crate::event::{Alarm, BlockInput, Output};
use crate::record::{AttemptKind, CancelReason, ReceiptRecord, key};
use crate::slot::{Mined, Slot};

impl Lane {
    pub(super) fn handle_mined(&mut self, receipts: Vec<ReceiptRecord>, now: Timestamp) {
        for receipt in receipts {
            if self.surveyed
                && self
                    .head
                    .is_none_or(|head| receipt.block_number > head.number)
            {
                self.note_mined(receipt, true, now);
            }
        }
    }

    pub(super) fn handle_block(&mut self, block: BlockInput, now: Timestamp) {
        // Before the survey there is nothing to compare with: it may be about another branch than this block.
        if !self.surveyed || self.head.is_some_and(|head| block.number <= head.number) {
            return;
        }
        self.head = Some(Head {
            number: block.number,
            gas_limit: block.gas_limit,
        });
        for receipt in block.mined {
            self.note_mined(receipt, true, now);
        }
        for view in block.accounts {
            if let Some(account) = self.accounts.get_mut(&view.address) {
                if view.balance > account.balance && account.low_balance {
                    account.low_balance = false;
                    self.stage.touch_summary();
                }
                account.balance = view.balance;
                account.set_chain_nonce(view.nonce);
                account.cap = account
                    .cap
                    .saturating_add(account.cap / 4 + 1)
                    .min(account.cap_max);
                for nonce in account.forget_undecided() {
                    self.show_undecided(view.address, nonce);
                }
            }
            self.follow_account(view.address, now);
        }
        // One that was asked for an older block may still come; this one is newer.
        self.market_asked = false;
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
                self.stage.touch_summary();
            }
            Phase::Ready if !account.free_below().is_empty() => {
                let phase = Phase::Surveying(Reconciliation::default());
                if let Some(account) = self.account(address) {
                    account.phase = phase;
                }
            }
            Phase::Surveying(_) | Phase::Ready | Phase::Stopped(_) => {}
        }
        self.look_up_used(address);
        self.settle(address, now);
        self.finish_survey(address, now);
        let ahead = self
            .accounts
            .get(&address)
            .is_some_and(|a| chain > a.bound_next);
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

    /// Notes a mined attempt. `certain` is false for what only a node said of a block that is not final.
    pub(super) fn note_mined(&mut self, receipt: ReceiptRecord, certain: bool, now: Timestamp) {
        let Some((address, nonce)) = self.attempts.get(&receipt.hash).copied() else {
            return;
        };
        let Some(account) = self.accounts.get_mut(&address) else {
            return;
        };
        let Some(slot) = account.slots.get_mut(&nonce) else {
            return;
        };
        slot.mined = Some(Mined { receipt, certain });
        slot.foreign_since = None;
        let request = slot.request;
        account.decide(nonce);
        if let Some(id) = request {
            if let Some(request) = self.requests.get_mut(&id) {
                request.record.mined_at = Some(now);
                request.record.status_reason = None;
            }
            self.refresh(id, address, nonce);
        }
    }

    /// Ends the slots that are final, lowest first.
    pub(super) fn settle(&mut self, address: Address, now: Timestamp) {
        while let Some((nonce, slot)) = self.accounts.get(&address).and_then(Account::lowest) {
            let mined = slot.mined.as_ref().filter(|mined| mined.certain);
            let block = mined.map(|mined| mined.receipt.block_number);
            if block.and_then(|block| self.is_final(block)) != Some(true) {
                return;
            }
            if slot
                .current()
                .is_some_and(|current| self.stage.must_defer(&current.tx.call))
            {
                return;
            }
            let account = self.accounts.get_mut(&address);
            let Some((account, slot)) = account.and_then(|a| {
                let slot = a.remove_slot(nonce)?;
                Some((a, slot))
            }) else {
                return;
            };
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
        let success = slot.mined.as_ref().is_some_and(|m| m.receipt.success);
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

    pub(super) fn handle_rollback(&mut self, to: u64, now: Timestamp) {
        let Some(head) = &mut self.head else { return };
        if to >= head.number {
            return;
        }
        head.number = to;
        self.rollbacks += 1;
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
        let undone: Vec<(u64, Vec<B256>)> = account
            .decided
            .iter()
            .filter_map(|nonce| {
                let slot = account.slots.get(nonce)?;
                let mined = slot.mined.as_ref().map(|m| m.receipt.block_number);
                let decided_at = mined.or(slot.foreign_since)?;
                (decided_at > to).then(|| (*nonce, Self::offers_after_undo(slot)))
            })
            .collect();
        for (nonce, _) in &undone {
            account.undecide(*nonce);
        }
        if let Some((lowest, _)) = account.slots.iter().find(|(_, s)| !s.is_decided()) {
            let nonce = account.chain_nonce.min(*lowest);
            account.set_chain_nonce(nonce);
        }
        for (nonce, offers) in undone {
            self.show_undecided(address, nonce);
            for hash in offers {
                self.offer_again(address, nonce, hash, now);
            }
        }
    }
}
