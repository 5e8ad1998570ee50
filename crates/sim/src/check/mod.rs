//! Watches what becomes durable, what nodes are sent and what the chain executes, and says when a promise is broken.
//!
//! The invariants are those of the design: 1 and 2 and 4 to 6 on every commit ([`slots`]), 3 on every offer, 7 on
//! every record of a request ([`ends`]), and 8 at the end of a run ([`settled`]). What changes is told of ([`told`]).

mod ends;
mod settled;
mod slots;
mod told;

use std::collections::{BTreeMap, BTreeSet};

use baton_coord::Batch;
use baton_lanes::record::{self, AccountRecord, AttemptKind, RequestRecord, SlotRecord, key};
use baton_model::{Address, B256, Call, Fees, RequestId, TxStatus};

use crate::chain::PooledTx;
use crate::world::World;

/// For how long a no-op may be durable while the payload that it takes the place of is still on its way to nodes, in
/// milliseconds.
const OVERTAKEN_MS: u64 = 15_000;

/// What is known of the store, and of what it ever held.
#[derive(Default)]
pub(crate) struct Watch {
    pub(crate) slots: BTreeMap<(Address, u64), SlotRecord>,
    pub(crate) accounts: BTreeMap<Address, AccountRecord>,
    pub(crate) requests: BTreeMap<RequestId, RequestRecord>,
    /// Every attempt that was ever durable, also in a state that was rolled back.
    durable: BTreeMap<B256, Attempt>,
    /// Payload attempts of a request.
    payloads: BTreeMap<RequestId, BTreeSet<B256>>,
    /// Since when a no-op is the latest attempt of a slot, in milliseconds.
    noop_since: BTreeMap<(Address, u64), u64>,
    /// How requests ended.
    ended: BTreeMap<RequestId, TxStatus>,
    /// When the store was last rolled back, in milliseconds.
    pub(crate) rolled_back_ms: Option<u64>,
    /// Calls of which a rolled-back store forgot bytes that nobody can see.
    excused: BTreeSet<usize>,
    /// When a process last went on after it had stood still.
    pub(crate) thawed_ms: BTreeMap<usize, u64>,
}

impl Watch {
    /// Whether the store does not know a request any more because it went back in time.
    pub(crate) fn has_forgotten(&self, id: RequestId) -> bool {
        self.rolled_back_ms.is_some() && !self.requests.contains_key(&id)
    }
}

/// An attempt that was durable.
#[derive(Clone, Debug)]
struct Attempt {
    account: Address,
    nonce: u64,
    request: Option<RequestId>,
    kind: AttemptKind,
}

/// What one commit changed.
#[derive(Default)]
struct Changed {
    accounts: BTreeSet<Address>,
    /// Slots that were not there before.
    opened: BTreeSet<(Address, u64)>,
    requests: Vec<RequestRecord>,
}

impl World {
    /// Looks at a batch that was applied.
    pub(crate) fn note_commit(&mut self, batch: &Batch) {
        let mut changed = Changed::default();
        for (key, value) in &batch.puts {
            let Ok(key) = std::str::from_utf8(key) else {
                continue;
            };
            self.note_put(key, value, &mut changed);
        }
        for key in &batch.deletes {
            let Ok(key) = std::str::from_utf8(key) else {
                continue;
            };
            if let Some(place) = slot_place(key) {
                self.watch.slots.remove(&place);
                self.watch.noop_since.remove(&place);
                changed.accounts.insert(place.0);
            } else if let Some(id) = key.strip_prefix("r/").and_then(|id| id.parse().ok()) {
                self.watch.requests.remove(&id);
            }
        }
        self.check_slots(&changed);
        self.check_told(batch, &changed.requests);
        for record in changed.requests {
            self.check_record(&record);
            self.watch.requests.insert(record.id, record);
        }
    }

    fn note_put(&mut self, key: &str, value: &[u8], changed: &mut Changed) {
        if let Some((account, nonce)) = slot_place(key) {
            let record: SlotRecord = record::decode(value).expect("a slot can be read");
            changed.accounts.insert(account);
            self.note_slot(account, nonce, record, changed);
        } else if let Some(account) = key.strip_prefix("a/") {
            let account = account.parse().expect("an address");
            let record = record::decode(value).expect("an account can be read");
            changed.accounts.insert(account);
            self.watch.accounts.insert(account, record);
        } else if key.starts_with("r/") {
            let record = record::decode(value).expect("a request can be read");
            changed.requests.push(record);
        }
    }

    fn note_slot(
        &mut self,
        account: Address,
        nonce: u64,
        record: SlotRecord,
        changed: &mut Changed,
    ) {
        let place = (account, nonce);
        let old = self.watch.slots.get(&place);
        if old.is_none() {
            changed.opened.insert(place);
        }
        let known: Vec<B256> = old
            .iter()
            .flat_map(|s| s.attempts.iter().map(|a| a.hash))
            .collect();
        self.check_bids(account, nonce, &record, &known);
        for (index, attempt) in record.attempts.iter().enumerate() {
            if known.contains(&attempt.hash) {
                continue;
            }
            match (attempt.signature.is_empty(), attempt.kind, index) {
                (true, ..) => self.coverage.end("attempt adopted"),
                (false, AttemptKind::Noop, _) => self.coverage.end("no-op signed"),
                (false, AttemptKind::Payload, 0) => {}
                (false, AttemptKind::Payload, _) => self.coverage.end("higher bid signed"),
            }
            let durable = Attempt {
                account,
                nonce,
                request: record.request,
                kind: attempt.kind,
            };
            self.watch.durable.insert(attempt.hash, durable);
            if let (Some(id), AttemptKind::Payload) = (record.request, attempt.kind) {
                self.watch
                    .payloads
                    .entry(id)
                    .or_default()
                    .insert(attempt.hash);
            }
        }
        let latest = record.attempts.last().map(|attempt| attempt.kind);
        if latest == Some(AttemptKind::Noop) {
            self.watch.noop_since.entry(place).or_insert(self.now_ms);
        } else {
            self.watch.noop_since.remove(&place);
        }
        self.watch.slots.insert(place, record);
    }

    /// Invariant 3: what goes to a node was durable before. And what was cancelled is not offered any more.
    pub(crate) fn check_offered(&mut self, process: usize, offered: &[PooledTx]) {
        for tx in offered {
            let nonce = tx.tx.nonce;
            self.say(Some(process), || {
                format!("offers {nonce} {} {:?}", tx.hash, tx.tx.fees)
            });
            let Some(attempt) = self.watch.durable.get(&tx.hash) else {
                self.fail(format!(
                    "invariant 3: {} of nonce {nonce} was offered before it was durable",
                    tx.hash
                ));
                return;
            };
            let since = self.watch.noop_since.get(&(attempt.account, attempt.nonce));
            let overtaken = since.is_some_and(|since| self.now_ms > since + OVERTAKEN_MS);
            let thawed = self.watch.thawed_ms.get(&process).copied();
            let excused = thawed.is_some_and(|at| self.now_ms < at + OVERTAKEN_MS);
            if attempt.kind == AttemptKind::Payload && overtaken && !excused {
                self.fail(format!(
                    "{} of nonce {nonce} was offered long after a no-op had taken its place",
                    tx.hash
                ));
                return;
            }
        }
    }

    /// Nothing is executed twice on the chain as it is.
    pub(crate) fn check_executed_once(&mut self) {
        let mut seen = BTreeSet::new();
        let executed = self
            .chain
            .blocks
            .canonical()
            .flat_map(|block| &block.executed);
        // What a rolled-back store has forgotten may be accepted, or sent, again.
        let excused =
            |call: &usize| self.watch.excused.contains(call) || self.callers.calls[*call].lost;
        let twice = executed
            .filter_map(|executed| executed.tx.tx.call.to)
            .filter_map(|to| self.callers.of_target(to))
            .find(|call| !seen.insert(*call) && !excused(call));
        if let Some(call) = twice {
            self.fail(format!("call {call} was executed twice"));
        }
    }

    /// The store forgets what came after a snapshot.
    pub(crate) fn note_rollback(&mut self, entries: Vec<(String, Vec<u8>)>) {
        self.watch.rolled_back_ms = Some(self.now_ms);
        self.watch.slots.clear();
        self.watch.accounts.clear();
        self.watch.requests.clear();
        self.watch.noop_since.clear();
        let mut changed = Changed::default();
        for (key, value) in entries {
            if let Some((account, nonce)) = slot_place(&key) {
                let record = record::decode(&value).expect("a slot can be read");
                self.watch.slots.insert((account, nonce), record);
            } else {
                self.note_put(&key, &value, &mut changed);
            }
        }
        for record in changed.requests {
            self.watch.requests.insert(record.id, record);
        }
        self.excuse_forgotten();
        self.note_lost();
    }

    /// Bytes that the store forgot and not every node shows may come to light at any later time: no engine can know
    /// them.
    fn excuse_forgotten(&mut self) {
        let kept: BTreeSet<B256> = self
            .watch
            .slots
            .values()
            .flat_map(|slot| slot.attempts.iter().map(|attempt| attempt.hash))
            .collect();
        let forgotten: Vec<(B256, Attempt)> = self
            .watch
            .durable
            .iter()
            .filter(|(hash, attempt)| attempt.kind == AttemptKind::Payload && !kept.contains(*hash))
            .map(|(hash, attempt)| (*hash, attempt.clone()))
            .collect();
        for (hash, attempt) in forgotten {
            if self.is_shown(hash, &attempt) {
                continue;
            }
            if let Some(call) = attempt.request.and_then(|id| self.call_of(id)) {
                self.watch.excused.insert(call);
            }
        }
    }

    /// Whether every node shows an attempt, so that it can be told whose it is: a replacement that was forgotten
    /// cannot.
    fn is_shown(&self, hash: B256, attempt: &Attempt) -> bool {
        let record = attempt.request.and_then(|id| self.watch.requests.get(&id));
        let (account, nonce) = (attempt.account, attempt.nonce);
        // Without its record an account is a new one, which begins where the chain is.
        if !self.watch.accounts.contains_key(&account) {
            return false;
        }
        let is_known =
            |call: &Call| record.is_some_and(|r| r.spec.call == *call || r.accepted.call == *call);
        (0..self.chain.nodes.len()).all(|node| {
            let seen = self.find_at(node, account, nonce);
            // What waits behind a gap is in no count that a node gives.
            let counted = nonce < self.pending_at(node, account);
            counted && seen.is_some_and(|seen| seen.hash == hash && is_known(&seen.call))
        })
    }

    fn note_lost(&mut self) {
        let kept: BTreeSet<usize> = self
            .watch
            .requests
            .values()
            .filter_map(|record| self.callers.of_target(record.accepted.call.to?))
            .collect();
        for (index, call) in self.callers.calls.iter_mut().enumerate() {
            if !kept.contains(&index) && (call.accepted.is_some() || call.maybe) && !call.lost {
                call.lost = true;
                self.coverage.end("request lost by a rolled-back store");
            }
        }
        self.watch
            .ended
            .retain(|id, _| self.watch.requests.contains_key(id));
        let requests = &self.watch.requests;
        self.watch
            .ended
            .retain(|id, _| requests.get(id).is_some_and(|r| r.status.is_final()));
    }

    /// The call that a request stands for.
    fn call_of(&self, id: RequestId) -> Option<usize> {
        let accepted = self
            .callers
            .calls
            .iter()
            .position(|call| call.accepted == Some(id));
        let record = || {
            self.callers
                .of_target(self.watch.requests.get(&id)?.accepted.call.to?)
        };
        accepted.or_else(record)
    }

    /// Whether the nonce of an attempt is used for good by something else than its request.
    fn is_dead(&self, attempt: &Attempt) -> bool {
        let request = attempt.request;
        let used = self.final_at(attempt.account, attempt.nonce);
        used.is_some_and(|tx| match self.watch.durable.get(&tx.hash) {
            Some(other) => other.kind == AttemptKind::Noop || other.request != request,
            None => true,
        })
    }

    /// The transaction with which an account used a nonce for good.
    fn final_at(&self, account: Address, nonce: u64) -> Option<&PooledTx> {
        let last = self.last_final();
        let blocks = self
            .chain
            .blocks
            .canonical()
            .filter(|block| block.number <= last);
        let mut executed = blocks
            .flat_map(|block| &block.executed)
            .map(|executed| &executed.tx);
        executed.find(|tx| tx.from == account && tx.tx.nonce == nonce)
    }

    /// The highest block that is never taken back.
    fn last_final(&self) -> u64 {
        self.chain
            .blocks
            .top()
            .saturating_sub(self.chain.confirmations)
    }
}

/// Whether a bid is 110 % of the one before, on both fields.
fn replaces(old: Fees, new: Fees) -> bool {
    let enough = |old: u128, new: u128| new > old && new * 10 >= old * 11;
    enough(old.max_per_gas(), new.max_per_gas()) && enough(old.tip_per_gas(), new.tip_per_gas())
}

fn slot_place(key: &str) -> Option<(Address, u64)> {
    let (account, nonce) = key.strip_prefix(key::SLOTS)?.split_once('/')?;
    Some((account.parse().ok()?, nonce.parse().ok()?))
}
