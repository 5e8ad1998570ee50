//! A strict transaction pool in front of anvil's.
//!
//! The pool keeps, per account, what the node has acknowledged and what is under way to it. That
//! knowledge may be old, so it is enough to let a transaction through (the node has the last word)
//! but not to refuse one: a refusal is given only after the account was read afresh, with no block
//! between the first and the last reading and nothing of the account under way. Where that cannot
//! be had, the transaction is let through.

mod rules;
mod survey;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use baton_model::{Address, B256};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

pub(super) use rules::Candidate;
pub use rules::{GappedOverflow, PoolRules, Refusal, RefusalReason};

use super::upstream::Upstream;
use rules::{Account, Head, Place, judge, judge_alone};
use survey::Survey;

/// Longest wait for what is under way before a transaction is let through undecided. The node
/// answers within milliseconds; a paused node must not hold the proxy.
const SETTLE_MAX: Duration = Duration::from_secs(5);
/// Readings of an account before a transaction is let through undecided: blocks that come faster
/// than three calls are rare, and so many in a row do not happen.
const READINGS_MAX: usize = 8;

/// Pool state of the accounts seen.
#[derive(Debug)]
pub(super) struct StrictPool {
    upstream: Upstream,
    known: Mutex<Known>,
    settled: Notify,
}

#[derive(Debug, Default)]
struct Known {
    head: Head,
    accounts: BTreeMap<Address, Account>,
    /// Counts readings, so that an older one never overwrites a newer one.
    readings: u64,
    applied: BTreeMap<Address, u64>,
}

/// What the pool says to a transaction.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Forward it, and then tell what the node answered.
    Forward(Admission),
    /// Refuse it.
    Refuse(Refusal),
    /// Answer it as accepted and do not forward it.
    Forget,
}

/// A transaction on its way to the node.
#[derive(Debug)]
pub(super) struct Admission {
    candidate: Candidate,
    takes_slot: bool,
}

/// What became of a transaction at the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NodeSaid {
    Accepted,
    Refused,
    /// No answer came.
    Nothing,
}

impl StrictPool {
    pub(super) fn new(upstream: Upstream) -> Self {
        Self {
            upstream,
            known: Mutex::default(),
            settled: Notify::new(),
        }
    }

    /// Decides from what is known; `None` when that is not enough.
    pub(super) fn judge(&self, rules: &PoolRules, tx: &Candidate) -> Option<Verdict> {
        if let Err(refusal) = judge_alone(rules, tx) {
            return Some(Verdict::Refuse(refusal));
        }
        let mut known = self.known();
        let head = known.head;
        let account = known.accounts.get_mut(&tx.from)?;
        match judge(rules, head, account, tx) {
            Ok(place @ (Place::Known | Place::Slot)) => {
                Some(Verdict::Forward(admit(account, tx, place)))
            }
            Ok(Place::Overflow) | Err(_) => None,
        }
    }

    /// Decides after having read the account. Whatever the caller itself has admitted before must
    /// have been settled, or this waits for it in vain.
    pub(super) async fn judge_afresh(&self, rules: &PoolRules, tx: &Candidate) -> Verdict {
        let deadline = Instant::now() + SETTLE_MAX;
        for _ in 0..READINGS_MAX {
            if !self.quiet(tx.from, deadline).await {
                break;
            }
            match self.read(tx.from, true).await {
                Some(true) => {}
                Some(false) => continue,
                None => break,
            }
            if let Some(verdict) = self.decide(rules, tx) {
                return verdict;
            }
        }
        self.unchecked(tx)
    }

    /// Tells what the node made of an admitted transaction.
    pub(super) fn settle(&self, admission: &Admission, said: NodeSaid) {
        if !admission.takes_slot {
            return;
        }
        let Candidate {
            from, nonce, hash, ..
        } = admission.candidate;
        let mut known = self.known();
        let account = known.accounts.get_mut(&from);
        let entries = account.map(|account| &mut account.entries);
        if let Some(entries) = entries
            && entries.get(&nonce).is_some_and(|entry| entry.hash == hash)
        {
            let displaced = entries.get_mut(&nonce).and_then(|entry| {
                entry.settled = true;
                entry.displaced.take()
            });
            if said == NodeSaid::Refused {
                entries.remove(&nonce);
                entries.extend(displaced.map(|old| (nonce, *old)));
            }
        }
        drop(known);
        self.settled.notify_waiters();
    }

    /// The refusal that holds now, for a transaction that the node has refused in its own words.
    pub(super) async fn refusal_now(&self, rules: &PoolRules, tx: &Candidate) -> Option<Refusal> {
        match self.judge_afresh(rules, tx).await {
            Verdict::Refuse(refusal) => Some(refusal),
            Verdict::Forward(admission) => {
                self.settle(&admission, NodeSaid::Refused);
                None
            }
            Verdict::Forget => None,
        }
    }

    /// Reads the nonces, balances and code of all known accounts again.
    pub(super) async fn refresh(&self) {
        let accounts: Vec<Address> = self.known().accounts.keys().copied().collect();
        for account in accounts {
            let _read = self.read(account, false).await;
        }
    }

    /// Forgets all accounts.
    pub(super) fn clear(&self) {
        let mut known = self.known();
        known.accounts.clear();
        known.applied.clear();
    }

    /// Waits until nothing of an account is under way.
    async fn quiet(&self, account: Address, deadline: Instant) -> bool {
        loop {
            let settled = self.settled.notified();
            let known = self.known().accounts.get(&account).is_none_or(is_quiet);
            if known {
                return true;
            }
            if timeout_at(deadline, settled).await.is_err() {
                return false;
            }
        }
    }

    /// Reads an account, and on demand whether the node still has its transactions. `Some(false)`
    /// when a block came in between, `None` without an answer.
    async fn read(&self, address: Address, with_entries: bool) -> Option<bool> {
        let (reading, asked, is_new) = {
            let mut known = self.known();
            known.readings += 1;
            let account = known.accounts.get(&address);
            let settled = account.map(|account| {
                let settled = account
                    .entries
                    .values()
                    .filter(|entry| with_entries && entry.settled);
                settled.map(|entry| entry.hash).collect::<Vec<B256>>()
            });
            let is_new = settled.is_none();
            (known.readings, settled.unwrap_or_default(), is_new)
        };
        let survey = Survey::take(&self.upstream, address, asked, is_new).await;
        let Some(survey) = survey.ok()? else {
            return Some(false);
        };
        let mut known = self.known();
        let applied = known.applied.entry(address).or_default();
        if *applied > reading {
            return Some(true);
        }
        *applied = reading;
        known.head = survey.head;
        survey.apply(known.accounts.entry(address).or_default());
        Some(true)
    }

    /// Decides from what was just read; `None` when something came under way since.
    fn decide(&self, rules: &PoolRules, tx: &Candidate) -> Option<Verdict> {
        let mut known = self.known();
        let head = known.head;
        let account = known.accounts.get_mut(&tx.from)?;
        match judge(rules, head, account, tx) {
            Ok(place @ (Place::Known | Place::Slot)) => {
                Some(Verdict::Forward(admit(account, tx, place)))
            }
            Ok(Place::Overflow) | Err(_) if !is_quiet(account) => None,
            Ok(Place::Overflow) => {
                let highest = account.entries.last_key_value().map(|(nonce, _)| *nonce);
                if highest.is_some_and(|highest| highest > tx.nonce) {
                    // geth drops the highest. anvil can drop none that waits for a nonce.
                    return Some(Verdict::Forward(admit(account, tx, Place::Slot)));
                }
                Some(Verdict::Forget)
            }
            Err(refusal) => Some(Verdict::Refuse(refusal)),
        }
    }

    /// Lets a transaction through without a judgement.
    fn unchecked(&self, tx: &Candidate) -> Verdict {
        let mut known = self.known();
        let account = known.accounts.get_mut(&tx.from);
        let admitted = account.map(|account| admit(account, tx, Place::Slot));
        Verdict::Forward(admitted.unwrap_or_else(|| Admission {
            candidate: tx.clone(),
            takes_slot: false,
        }))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Every change is complete before anything that could panic.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Admission {
    pub(super) fn candidate(&self) -> &Candidate {
        &self.candidate
    }
}

/// Takes the nonce for a transaction.
fn admit(account: &mut Account, tx: &Candidate, place: Place) -> Admission {
    let takes_slot = place != Place::Known;
    if takes_slot {
        let mut entry = tx.entry();
        entry.displaced = account.entries.remove(&tx.nonce).map(Box::new);
        account.entries.insert(tx.nonce, entry);
    }
    Admission {
        candidate: tx.clone(),
        takes_slot,
    }
}

fn is_quiet(account: &Account) -> bool {
    account.entries.values().all(|entry| entry.settled)
}
