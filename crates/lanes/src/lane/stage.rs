//! What changed since the last commit, and what waits for the next one.
//!
//! One commit is under way at a time; what changes meanwhile goes into the next. Outputs that must not precede a write
//! wait in the stage that holds it.

use std::collections::{BTreeMap, BTreeSet};

use baton_model::{Address, B256, Call, RequestId, Timestamp, TxStatus};

use super::{Lane, Replacing, Request};
use crate::event::Output;
use crate::record::{self, CancelReason, ReplaceRecord, RequestRecord, key};

/// Writes to be applied to the lane's table, atomically and under its fence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// Number of the stage, to be given back with [`crate::Input::Committed`].
    pub stage: u64,
    /// Values to set, by key.
    pub puts: Vec<(String, Vec<u8>)>,
    /// Keys to remove.
    pub deletes: Vec<String>,
    /// Inbox entries up to here are taken in.
    pub trim: Option<u64>,
    /// Statuses that these writes give to requests, in order. Of a request that gets several, `puts` holds the record
    /// with the last one.
    pub statuses: Vec<(RequestId, TxStatus)>,
    /// What needs a person now, when that is among what is written.
    pub alarms: Option<Vec<String>>,
}

#[derive(Debug, Default)]
pub(super) struct Stage {
    number: u64,
    writes: BTreeMap<String, Option<Vec<u8>>>,
    requests: BTreeSet<RequestId>,
    slots: BTreeSet<(Address, u64)>,
    accounts: BTreeSet<Address>,
    summary: bool,
    trim: Option<u64>,
    /// Attempts whose bytes this stage makes durable.
    bound: Vec<(Address, u64, B256)>,
    after: Vec<Output>,
    /// Records that need not be part of this very stage, and roughly their bytes.
    deferrable: usize,
    deferrable_bytes: usize,
    /// The stage that is being written.
    flying: Option<Flying>,
}

#[derive(Debug)]
struct Flying {
    number: u64,
    bound: Vec<(Address, u64, B256)>,
    after: Vec<Output>,
}

/// Most deferrable records in one stage. A request that ends changes eight at most: with what cannot be put off, a
/// stage stays within the 16,384 operations that a store takes in one batch, and what is new does not wait long.
const DEFERRABLE_MAX: usize = 256;

/// Most bytes of deferrable records in one stage: a quarter of the 16 MiB that a store takes in one batch.
const DEFERRABLE_BYTES_MAX: usize = 4 << 20;

/// What a small request and all its keys weigh.
const REQUEST_BYTES: usize = 1024;

/// How often a byte of a call stands in a request's record: twice, in hexadecimal.
const CALL_FACTOR: usize = 4;

impl Stage {
    /// Whether this stage has no room for a request's record that could as well be part of a later one; takes the room
    /// if it has.
    pub(super) fn must_defer(&mut self, call: &Call) -> bool {
        if self.deferrable >= DEFERRABLE_MAX || self.deferrable_bytes >= DEFERRABLE_BYTES_MAX {
            return true;
        }
        self.deferrable += 1;
        self.deferrable_bytes += REQUEST_BYTES + CALL_FACTOR * call.data.len();
        false
    }

    pub(super) fn put(&mut self, key: String, value: Vec<u8>) {
        self.writes.insert(key, Some(value));
    }

    pub(super) fn delete(&mut self, key: String) {
        self.writes.insert(key, None);
    }

    pub(super) fn touch_request(&mut self, id: RequestId) {
        self.requests.insert(id);
    }

    pub(super) fn touch_slot(&mut self, account: Address, nonce: u64) {
        self.slots.insert((account, nonce));
    }

    pub(super) fn touch_account(&mut self, account: Address) {
        self.accounts.insert(account);
    }

    pub(super) fn touch_summary(&mut self) {
        self.summary = true;
    }

    pub(super) fn trim(&mut self, position: u64) {
        self.trim = Some(position);
        self.summary = true;
    }

    pub(super) fn bound(&mut self, account: Address, nonce: u64, hash: B256) {
        self.bound.push((account, nonce, hash));
        self.touch_slot(account, nonce);
    }

    /// An output that waits until this stage is durable.
    pub(super) fn after(&mut self, output: Output) {
        self.after.push(output);
    }

    fn is_empty(&self) -> bool {
        self.writes.is_empty()
            && self.requests.is_empty()
            && self.slots.is_empty()
            && self.accounts.is_empty()
            && self.trim.is_none()
            && !self.summary
            && self.after.is_empty()
    }
}

impl Lane {
    /// What to write next; `None` while a commit is under way or nothing changed.
    ///
    /// A commit whose outcome is unknown may be repeated as it is: under the lane's fence it has the same effect once
    /// or twice. One that was refused by the fence means that the lane is somebody else's: drop it.
    pub fn poll_commit(&mut self) -> Option<Changes> {
        if self.stage.flying.is_some() || self.stage.is_empty() {
            return None;
        }
        let shows_alarms = self.stage.summary;
        self.write_touched();
        let stage = &mut self.stage;
        stage.number += 1;
        let number = stage.number;
        let bound = std::mem::take(&mut stage.bound);
        let after = std::mem::take(&mut stage.after);
        let statuses = after.iter().filter_map(Output::status).collect();
        (stage.deferrable, stage.deferrable_bytes) = (0, 0);
        stage.flying = Some(Flying {
            number,
            bound,
            after,
        });
        let mut changes = Changes {
            stage: number,
            puts: Vec::new(),
            deletes: Vec::new(),
            trim: stage.trim.take(),
            statuses,
            alarms: shows_alarms.then(|| self.summary.alarms.clone()),
        };
        for (key, value) in std::mem::take(&mut stage.writes) {
            match value {
                Some(value) => changes.puts.push((key, value)),
                None => changes.deletes.push(key),
            }
        }
        Some(changes)
    }

    fn write_touched(&mut self) {
        for id in std::mem::take(&mut self.stage.requests) {
            if let Some(request) = self.requests.get(&id) {
                self.stage
                    .put(key::request(id), record::encode(&request.record));
            }
        }
        for (account, nonce) in std::mem::take(&mut self.stage.slots) {
            let slot = self
                .accounts
                .get(&account)
                .and_then(|a| a.slots.get(&nonce));
            let key = key::slot(account, nonce);
            match slot.filter(|s| !s.is_reserved()) {
                Some(slot) => {
                    let request = slot.request.and_then(|id| self.requests.get(&id));
                    let replacing = request.and_then(|r| r.replacing.as_ref());
                    let record = slot.record(replacing.map(Replacing::record));
                    self.stage.put(key, record::encode(&record));
                }
                None => self.stage.delete(key),
            }
        }
        for address in std::mem::take(&mut self.stage.accounts) {
            if let Some(account) = self.accounts.get(&address) {
                self.stage
                    .put(key::account(address), record::encode(&account.record()));
            }
        }
        if std::mem::take(&mut self.stage.summary) {
            self.summary.accounts = self
                .accounts
                .values()
                .map(|a| (a.address, a.next_nonce))
                .collect();
            self.summary.alarms = self.alarms().iter().map(ToString::to_string).collect();
            self.stage
                .put(key::SUMMARY.to_owned(), record::encode(&self.summary));
        }
    }

    pub(super) fn handle_committed(&mut self, number: u64, now: Timestamp) {
        let Some(flying) = self.stage.flying.take_if(|f| f.number == number) else {
            return;
        };
        for (account, nonce, hash) in flying.bound {
            let slot = self.account(account).and_then(|a| a.slots.get_mut(&nonce));
            if let Some(attempt) = slot.and_then(|s| s.attempt_mut(hash)) {
                attempt.durable = true;
            }
        }
        for output in flying.after {
            // A slot that ended before its bytes were written has none to offer.
            if let Output::Broadcast(offer) = &output
                && !self.note_offer(offer.account, offer.nonce, offer.hash, now)
            {
                continue;
            }
            self.outputs.push_back(output);
        }
        let addresses: Vec<Address> = self.accounts.keys().copied().collect();
        for address in addresses {
            self.settle(address, now);
        }
        if self.expiring {
            self.expire(now);
        }
    }

    /// Gives a request a status, and says so once it is durable.
    pub(super) fn set_status(&mut self, id: RequestId, status: TxStatus) {
        let Some(request) = self.requests.get_mut(&id) else {
            return;
        };
        let old = request.record.status;
        self.stage.touch_request(id);
        if old == status {
            return;
        }
        request.record.status = status;
        let counts = &mut self.summary.counts;
        counts[old as usize] = counts[old as usize].saturating_sub(1);
        counts[status as usize] += 1;
        self.stage.touch_summary();
        self.stage.after(Output::Status { id, status });
    }

    /// Ends a request: its record stays, everything that keeps it open goes.
    pub(super) fn finish(
        &mut self,
        id: RequestId,
        status: TxStatus,
        reason: Option<String>,
        now: Timestamp,
    ) {
        debug_assert!(status.is_final(), "a request ends with a final status");
        if let Some(replacing) = self.take_replacing(id) {
            let refused = Some("the transaction has already ended".to_owned());
            self.conclude(id, replacing.command, refused);
        }
        self.set_status(id, status);
        let Some(request) = self.requests.remove(&id) else {
            return;
        };
        let Request {
            mut record,
            position,
            ..
        } = request;
        let delete_at = now.saturating_add(self.config.retention);
        record.status_reason = reason;
        record.finished_at = Some(now);
        record.delete_at = Some(delete_at);
        if status == TxStatus::Confirmed {
            self.summary.last_confirmed_at = Some(now);
        }
        self.queue.remove(position);
        self.expiries.remove(&(record.spec.valid_until, id));
        self.stage.put(key::request(id), record::encode(&record));
        self.stage.delete(key::open(position));
        self.stage
            .put(key::finished(status, record.created_at, id), Vec::new());
        self.stage.put(key::expiry(delete_at, id), Vec::new());
    }

    /// Removes what is left of a finished request whose time has come.
    pub fn forget(&mut self, record: &RequestRecord) {
        if !record.status.is_final() || self.requests.contains_key(&record.id) {
            return;
        }
        let id = record.id;
        self.stage.delete(key::request(id));
        self.stage.delete(key::created(record.created_at, id));
        self.stage
            .delete(key::finished(record.status, record.created_at, id));
        if let Some(delete_at) = record.delete_at {
            self.stage.delete(key::expiry(delete_at, id));
        }
        if let Some(current) = &record.current {
            self.stage
                .delete(key::nonce(current.account, current.nonce));
        }
        if let Some(digest) = &record.idempotency {
            self.stage.delete(key::idempotency(digest));
        }
        let count = &mut self.summary.counts[record.status as usize];
        *count = count.saturating_sub(1);
        self.stage.touch_summary();
    }

    /// The status with which a cancelled request ends, and why.
    pub(super) fn cancelled_end(reason: CancelReason) -> (TxStatus, Option<String>) {
        match reason {
            CancelReason::Canceled => (TxStatus::Canceled, None),
            CancelReason::Expired => (
                TxStatus::Expired,
                Some("valid_until passed before it was mined".to_owned()),
            ),
            CancelReason::Refused(text) => (TxStatus::Failed, Some(text)),
        }
    }
}

impl Replacing {
    fn record(&self) -> ReplaceRecord {
        ReplaceRecord {
            command: self.command,
            spec: self.spec.clone(),
        }
    }
}
