//! Invariant 8, when all is over: every accepted request was executed exactly once, or its recorded end is true.

use baton_model::{RequestId, TxStatus};

use crate::callers::Call;
use crate::world::World;

impl World {
    /// What still has to end; `None` when nothing has.
    pub(crate) fn unsettled(&self) -> Option<String> {
        if !self.callers.all_done() {
            return Some("callers still ask".to_owned());
        }
        if !self.late_commits.is_empty() || !self.late_offers.is_empty() {
            return Some("messages are under way".to_owned());
        }
        let open = self
            .watch
            .requests
            .values()
            .find(|record| !record.status.is_final());
        if let Some(record) = open {
            let (status, reason) = (record.status, &record.status_reason);
            return Some(format!("{} is {status:?} ({reason:?})", record.id));
        }
        let waiting = self
            .callers
            .calls
            .iter()
            .enumerate()
            .find_map(|(index, call)| {
                let id = call.accepted.filter(|_| !call.lost)?;
                let known = self.watch.ended.contains_key(&id);
                (!known).then(|| format!("call {index}, accepted as {id}, has no record"))
            });
        let slot = || {
            let ((_, nonce), _) = self.watch.slots.first_key_value()?;
            Some(format!("nonce {nonce} is not final"))
        };
        waiting.or_else(slot)
    }

    /// Compares every request with the chain.
    pub(crate) fn check_settled(&mut self) {
        let mut breaches = Vec::new();
        for (index, call) in self.callers.calls.iter().enumerate() {
            let breach = self.check_call(index, call);
            breaches.extend(breach.map(|breach| format!("invariant 8: call {index}: {breach}")));
        }
        if let Some(breach) = breaches.into_iter().next() {
            self.fail(breach);
        }
        for node in &self.chain.nodes {
            for _ in 0..node.pool.evicted {
                self.coverage.end("executable slot evicted");
            }
            for _ in 0..node.pool.evicted_gapped {
                self.coverage.end("gapped slot evicted");
            }
        }
    }

    fn check_call(&self, index: usize, call: &Call) -> Option<String> {
        if call.lost || self.watch.excused.contains(&index) {
            return None;
        }
        let executions = self.executions(index);
        if call.refused && executions > 0 {
            return Some("it was refused for good and executed".to_owned());
        }
        let Some((id, status)) = self.end_of(index, call) else {
            let (accepted, refused) = (call.accepted.is_some(), call.refused);
            if accepted {
                return Some("it was accepted and has no end".to_owned());
            }
            let told = if refused { "refused" } else { "not answered" };
            return (executions > 0).then(|| format!("it was {told}, and executed"));
        };
        let expected = match status {
            TxStatus::Confirmed => Some((1, 0)),
            TxStatus::Failed => None,
            TxStatus::Canceled | TxStatus::Expired => Some((0, 0)),
            TxStatus::Pending | TxStatus::Sent | TxStatus::Submitted | TxStatus::Mined => {
                return Some(format!("{id} is {status:?} in the end"));
            }
        };
        let found = (self.succeeded(index), executions - self.succeeded(index));
        let wrong = match expected {
            Some(expected) => expected != found,
            // Reverted once, or never mined.
            None => found.0 > 0 || found.1 > 1,
        };
        wrong.then(|| {
            let (fine, reverted) = found;
            format!("{id} is {status:?}; executed {fine} times, reverted {reverted} times")
        })
    }

    fn end_of(&self, index: usize, call: &Call) -> Option<(RequestId, TxStatus)> {
        let found = |id: &RequestId| self.watch.ended.get(id).map(|status| (*id, *status));
        if let Some(id) = call.accepted {
            return found(&id);
        }
        let mut records = self.watch.requests.values();
        let record = records.find(|record| {
            let target = record.accepted.call.to;
            target.and_then(|to| self.callers.of_target(to)) == Some(index)
        });
        record.and_then(|record| found(&record.id))
    }

    fn executions(&self, index: usize) -> usize {
        self.of_call(index).count()
    }

    fn succeeded(&self, index: usize) -> usize {
        self.of_call(index).filter(|success| *success).count()
    }

    /// Whether each execution of a call succeeded.
    fn of_call(&self, index: usize) -> impl Iterator<Item = bool> {
        let executed = self
            .chain
            .blocks
            .canonical()
            .flat_map(|block| &block.executed);
        let of_call = executed.filter(move |executed| {
            let target = executed.tx.tx.call.to;
            target.and_then(|to| self.callers.of_target(to)) == Some(index)
        });
        of_call.map(|executed| executed.success)
    }
}
