//! Invariant 7: an end is told once, and is true.

use baton_lanes::record::RequestRecord;
use baton_model::{RequestId, TxStatus};

use crate::plan::Nature;
use crate::world::World;

/// How far a clock may be ahead when it finds that a time has passed: in milliseconds from the beginning, and as a
/// share of what has passed since.
const SKEW_MS: u64 = 5_000;
const DRIFT_SHARE: u64 = 20;

impl World {
    pub(super) fn check_record(&mut self, record: &RequestRecord) {
        let id = record.id;
        let before = self.watch.ended.get(&id).copied();
        match before {
            Some(before) if before == record.status => return,
            Some(before) => {
                let now = record.status;
                self.fail(format!(
                    "invariant 7: {id} ended as {before:?} and is {now:?} now"
                ));
                return;
            }
            None if !record.status.is_final() => return,
            None => {}
        }
        self.watch.ended.insert(id, record.status);
        match self.check_end(record) {
            Ok(end) => self.coverage.end(end),
            Err(breach) => {
                let (status, reason) = (record.status, &record.status_reason);
                self.fail(format!(
                    "invariant 7: {id} is {status:?} ({reason:?}): {breach}"
                ));
            }
        }
    }

    /// What coverage calls the end, or why it is not true.
    fn check_end(&self, record: &RequestRecord) -> Result<&'static str, String> {
        let call = record
            .accepted
            .call
            .to
            .and_then(|to| self.callers.of_target(to));
        let index = call.ok_or("nobody asked for it")?;
        let call = &self.callers.calls[index];
        let nature = call.request.nature;
        let reason = record.status_reason.as_deref().unwrap_or_default();
        match record.status {
            TxStatus::Confirmed => {
                self.check_mined(record, index, true)?;
                let replaced = record.spec != record.accepted;
                Ok(if replaced {
                    "executed by a replacement"
                } else {
                    "confirmed"
                })
            }
            TxStatus::Failed if reason.contains("reverted on-chain") => {
                self.check_mined(record, index, false)?;
                Ok("failed: reverted")
            }
            TxStatus::Failed if reason.starts_with("execution reverted in gas estimation") => {
                self.check_dead(record.id)?;
                true_if(nature == Nature::Reverts, "its call does not revert")?;
                Ok("failed: estimate reverts")
            }
            TxStatus::Failed if reason.starts_with("refused by the node") => {
                self.check_dead(record.id)?;
                true_if(nature == Nature::Poison, "nodes take it")?;
                Ok("failed: refused")
            }
            TxStatus::Failed if reason.contains("it may have been this request") => {
                let justified = self.plan.needs_operator();
                true_if(justified, "the key and the store are Baton's alone")?;
                Ok("failed: refused")
            }
            TxStatus::Canceled => {
                true_if(call.cancel_asked, "nobody cancelled it")?;
                self.check_dead(record.id)?;
                Ok("canceled")
            }
            TxStatus::Expired => {
                let valid_ms = call.request.valid_ms.ok_or("it had no end")?;
                let latest_ms = self.now_ms + self.now_ms / DRIFT_SHARE + SKEW_MS;
                let passed = latest_ms >= call.request.at_ms + valid_ms;
                true_if(passed, "its time has not passed")?;
                self.check_dead(record.id)?;
                Ok("expired")
            }
            TxStatus::Failed
            | TxStatus::Pending
            | TxStatus::Sent
            | TxStatus::Submitted
            | TxStatus::Mined => Err("there is no reason for it".to_owned()),
        }
    }

    /// It is executed, with this result, in a block that is never taken back.
    fn check_mined(
        &self,
        record: &RequestRecord,
        index: usize,
        success: bool,
    ) -> Result<(), String> {
        let receipt = record.receipt.as_ref().ok_or("it has no receipt")?;
        let last = self.last_final();
        let mut blocks = self
            .chain
            .blocks
            .canonical()
            .filter(|block| block.number <= last);
        let found = blocks.find(|block| block.hash == receipt.block_hash);
        let block = found.ok_or("its block is not final")?;
        let executed = block
            .executed
            .iter()
            .find(|executed| executed.tx.hash == receipt.hash);
        let executed = executed.ok_or("its block does not hold it")?;
        true_if(executed.success == success, "it ended otherwise")?;
        let target = executed
            .tx
            .tx
            .call
            .to
            .and_then(|to| self.callers.of_target(to));
        true_if(target == Some(index), "its transaction does something else")
    }

    /// Nothing that was ever signed for it can be mined any more.
    fn check_dead(&self, id: RequestId) -> Result<(), String> {
        let call = self.call_of(id);
        if call.is_some_and(|call| self.watch.excused.contains(&call)) {
            return Ok(());
        }
        let hashes = self.watch.payloads.get(&id).into_iter().flatten();
        let mut attempts = hashes.filter_map(|hash| self.watch.durable.get(hash));
        match attempts.find(|attempt| !self.is_dead(attempt)) {
            Some(alive) => Err(format!("nonce {} may still execute it", alive.nonce)),
            None => Ok(()),
        }
    }
}

fn true_if(holds: bool, breach: &str) -> Result<(), String> {
    if holds {
        Ok(())
    } else {
        Err(breach.to_owned())
    }
}
