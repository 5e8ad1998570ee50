//! What callers were promised, and whether it is kept.

use baton_model::{Bytes, RequestId, TxStatus};

use super::World;

/// A request as its caller knows it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Inputs of the call and of its replacements: each says whose it is.
    pub(crate) data: Vec<Bytes>,
    /// The final status that was reported.
    pub(crate) ended: Option<TxStatus>,
    /// Whether a store that was rolled back has forgotten it.
    pub(crate) lost: bool,
}

impl Entry {
    pub(crate) const fn new(data: Vec<Bytes>) -> Self {
        Self {
            data,
            ended: None,
            lost: false,
        }
    }
}

pub(crate) fn request_id(index: u64) -> RequestId {
    format!("00000000-0000-4000-8000-{index:012x}")
        .parse()
        .expect("a UUID")
}

impl World {
    /// Invariant 7: a final status comes once, is durable, and is what the chain says at final depth.
    pub(super) fn note_status(&mut self, id: RequestId, status: TxStatus) {
        if !status.is_final() {
            return;
        }
        let record = self.store.request(id).expect("a request that is reported");
        assert_eq!(
            record.status, status,
            "a status was reported that is not durable"
        );
        let entry = self
            .ledger
            .get_mut(&id)
            .expect("a request that was accepted");
        assert_eq!(entry.ended, None, "{id} ended twice");
        entry.ended = Some(status);
        self.check_end(id, status);
    }

    /// Whether a final status is true on the chain, for good.
    pub(crate) fn check_end(&self, id: RequestId, status: TxStatus) {
        let entry = self.ledger.get(&id).expect("a request that was accepted");
        let done: Vec<_> = entry
            .data
            .iter()
            .flat_map(|data| self.chain.executions(data))
            .collect();
        let record = self.store.request(id);
        let mined = record.as_ref().and_then(|r| r.receipt.as_ref());
        let context = || format!("{id} is {status:?}, {record:?}; on chain {done:?}");
        let stable = self.chain.top.saturating_sub(self.chain.confirmations);
        match status {
            TxStatus::Confirmed => {
                assert_eq!(done.len(), 1, "{}", context());
                assert!(done[0].receipt.success, "{}", context());
                assert!(done[0].receipt.block_number <= stable, "{}", context());
                assert_eq!(mined, Some(&done[0].receipt), "{}", context());
            }
            TxStatus::Failed if mined.is_some() => {
                assert_eq!(done.len(), 1, "{}", context());
                assert!(!done[0].receipt.success, "{}", context());
            }
            TxStatus::Failed | TxStatus::Canceled | TxStatus::Expired => {
                assert!(done.is_empty(), "{}", context());
            }
            TxStatus::Pending | TxStatus::Sent | TxStatus::Submitted | TxStatus::Mined => {
                panic!("{}", context());
            }
        }
    }

    /// Invariant 8, first half: no request is ever executed twice on one chain.
    pub(super) fn check_single(&self, data: &Bytes) {
        let owner = self.ledger.values().find(|e| e.data.contains(data));
        let Some(owner) = owner.filter(|entry| !entry.lost) else {
            return;
        };
        let times: usize = owner
            .data
            .iter()
            .map(|data| self.chain.executions(data).len())
            .sum();
        assert!(times <= 1, "{owner:?} was executed {times} times");
    }

    /// Invariant 8, second half: every request has ended, and as its record says.
    pub(crate) fn check_all_ended(&self) {
        for (id, entry) in &self.ledger {
            if entry.lost {
                continue;
            }
            let record = self
                .store
                .request(*id)
                .expect("a request that was accepted");
            assert!(
                record.status.is_final(),
                "{id} never ended: {record:?}, slot {:?}, alarms {:?}",
                self.lane.slot_of(*id),
                self.lane.alarms(),
            );
            self.check_end(*id, record.status);
        }
    }

    /// Marks what a store that was rolled back does not know any more.
    pub(super) fn forget_lost(&mut self) {
        for (id, entry) in &mut self.ledger {
            match self.store.request(*id) {
                None => entry.lost = true,
                Some(record) if !record.status.is_final() => entry.ended = None,
                Some(_) => {}
            }
        }
    }
}
