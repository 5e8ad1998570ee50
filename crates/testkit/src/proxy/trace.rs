//! What went through a proxy, for oracles and counters.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alloy_primitives::map::HashMap;
use baton_chain::tx::DecodedTx;
use baton_model::{Address, B256, Fees, U256};
use tokio::sync::watch;
use tokio::time::Instant;

use super::pool::{Refusal, RefusalReason};
use super::recover;
use super::wire::Sent;

/// Most transactions remembered: an hour at 500 a second takes about 0.5 GB.
const BROADCASTS_MAX: usize = 2_000_000;
/// Most methods counted by name; nodes have about a hundred. The others are counted as `other`.
const METHODS_MAX: usize = 256;

/// One transaction that was sent through the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broadcast {
    /// Its hash.
    pub hash: B256,
    /// Who signed it; `None` for a type that Baton does not make, or a signature that is none.
    pub from: Option<Address>,
    /// Its nonce; `None` for a type that Baton does not make.
    pub nonce: Option<u64>,
    /// Its target; `None` if it creates a contract or is of a type that Baton does not make.
    pub to: Option<Address>,
    /// Wei sent along; zero for a type that Baton does not make.
    pub value: U256,
    /// What it bids; `None` for a type that Baton does not make.
    pub fees: Option<Fees>,
    /// When the proxy had read it first, before any delay.
    pub first: Instant,
    /// How often it was sent.
    pub count: u64,
}

/// What a proxy has seen since its start or the last [`ProxyTrace::clear`]. Clones read the same.
#[derive(Clone, Debug)]
pub struct ProxyTrace {
    seen: Arc<Mutex<Seen>>,
    sends: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Seen {
    requests: u64,
    calls: BTreeMap<String, u64>,
    broadcasts: Vec<Noted>,
    /// Places in `broadcasts`.
    by_hash: HashMap<B256, usize>,
    /// First place in `broadcasts`.
    by_target: HashMap<Address, usize>,
    overflow: u64,
    refusals: BTreeMap<RefusalReason, u64>,
    faults: BTreeMap<&'static str, u64>,
    forgotten: u64,
}

#[derive(Debug)]
struct Noted {
    hash: B256,
    tx: Option<DecodedTx>,
    /// Filled in when somebody asks: recovering a signer costs more than everything else.
    from: Option<Option<Address>>,
    first: Instant,
    count: u64,
}

impl ProxyTrace {
    pub(super) fn new() -> Self {
        Self {
            seen: Arc::default(),
            sends: watch::Sender::new(0),
        }
    }

    /// HTTP requests that were read.
    pub fn requests(&self) -> u64 {
        self.seen().requests
    }

    /// Calls by method, those answered by the proxy among them.
    pub fn calls_by_method(&self) -> BTreeMap<String, u64> {
        self.seen().calls.clone()
    }

    /// Calls of one method.
    pub fn calls(&self, method: &str) -> u64 {
        self.seen().calls.get(method).copied().unwrap_or(0)
    }

    /// When a transaction to an address was first sent.
    pub fn first_broadcast(&self, to: Address) -> Option<Instant> {
        let seen = self.seen();
        let place = *seen.by_target.get(&to)?;
        Some(seen.broadcasts[place].first)
    }

    /// Where a transaction that was sent goes; `None` for what [`Broadcast::to`] does not tell.
    pub fn target(&self, hash: B256) -> Option<Address> {
        let seen = self.seen();
        let noted = &seen.broadcasts[*seen.by_hash.get(&hash)?];
        noted.tx.as_ref()?.tx.call.to
    }

    /// When a transaction was first sent, and how often.
    pub fn broadcast(&self, hash: B256) -> Option<(Instant, u64)> {
        let seen = self.seen();
        let noted = &seen.broadcasts[*seen.by_hash.get(&hash)?];
        Some((noted.first, noted.count))
    }

    /// Every transaction that was sent, in the order of their first times. Recovers signers that
    /// were not asked for before, which takes about 0.1 ms each.
    pub fn broadcasts(&self) -> Vec<Broadcast> {
        let unknown: Vec<(B256, Option<DecodedTx>)> = {
            let seen = self.seen();
            let noted = seen.broadcasts.iter().filter(|noted| noted.from.is_none());
            noted.map(|noted| (noted.hash, noted.tx.clone())).collect()
        };
        // Not under the lock: the proxy notes sends meanwhile.
        let senders: Vec<(B256, Option<Address>)> = unknown
            .into_iter()
            .map(|(hash, tx)| (hash, tx.as_ref().and_then(recover::sender)))
            .collect();
        let mut seen = self.seen();
        for (hash, from) in senders {
            seen.name_sender(hash, from);
        }
        let mut shown: Vec<Broadcast> = seen.broadcasts.iter().map(Noted::shown).collect();
        shown.sort_by_key(|sent| sent.first);
        shown
    }

    /// The transactions that used a nonce of an account, in the order of their first times: more
    /// than one is a replacement.
    pub fn broadcasts_of(&self, from: Address, nonce: u64) -> Vec<Broadcast> {
        let mut all = self.broadcasts();
        all.retain(|sent| sent.from == Some(from) && sent.nonce == Some(nonce));
        all
    }

    /// Transactions that were sent but not remembered, for there were two million before them.
    pub fn not_remembered(&self) -> u64 {
        self.seen().overflow
    }

    /// Sends that the strict pool refused, by reason.
    pub fn refusals(&self) -> BTreeMap<RefusalReason, u64> {
        self.seen().refusals.clone()
    }

    /// Faults that struck, by name: `cut`, `no-reply`, `status`, `garbage`, `empty`, `truncated`,
    /// `wrong-id`, `omitted`, `refused`, `forgotten`, and `node-silent` for requests that the node
    /// itself left without an answer.
    pub fn faults(&self) -> BTreeMap<&'static str, u64> {
        self.seen().faults.clone()
    }

    /// Transactions that were answered as accepted and then not kept: by a fault, or by the strict
    /// pool's limit of gapped ones.
    pub fn forgotten(&self) -> u64 {
        self.seen().forgotten
    }

    /// Waits until so many sends, repeated ones included, were read.
    pub async fn wait_for_sends(&self, count: u64) {
        let mut sends = self.sends.subscribe();
        // The sender is in `self`.
        let _reached = sends.wait_for(|now| *now >= count).await;
    }

    /// Forgets everything.
    pub fn clear(&self) {
        *self.seen() = Seen::default();
        self.sends.send_replace(0);
    }

    pub(super) fn note<'a>(
        &self,
        at: Instant,
        methods: impl Iterator<Item = &'a str>,
        sends: impl Iterator<Item = Sent>,
    ) {
        let mut seen = self.seen();
        seen.requests += 1;
        for method in methods {
            seen.count_call(method);
        }
        let mut count = 0;
        for sent in sends {
            seen.note_send(at, sent.hash, sent.tx);
            count += 1;
        }
        drop(seen);
        if count > 0 {
            self.sends.send_modify(|sends| *sends += count);
        }
    }

    pub(super) fn count_refusal(&self, refusal: &Refusal) {
        *self.seen().refusals.entry(refusal.reason).or_default() += 1;
    }

    pub(super) fn count_fault(&self, name: &'static str) {
        *self.seen().faults.entry(name).or_default() += 1;
    }

    pub(super) fn count_forgotten(&self) {
        self.seen().forgotten += 1;
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Counters: a panic elsewhere leaves at most one of them behind by one.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn count_call(&mut self, method: &str) {
        if let Some(count) = self.calls.get_mut(method) {
            *count += 1;
            return;
        }
        let room = self.calls.len() < METHODS_MAX;
        let name = if room { method } else { "other" };
        *self.calls.entry(name.to_owned()).or_default() += 1;
    }

    fn note_send(&mut self, at: Instant, hash: B256, tx: Option<DecodedTx>) {
        if let Some(place) = self.by_hash.get(&hash) {
            let noted = &mut self.broadcasts[*place];
            noted.count += 1;
            // Two connections may note their sends in another order than they read them.
            noted.first = noted.first.min(at);
            return;
        }
        let place = self.broadcasts.len();
        if place == BROADCASTS_MAX {
            self.overflow += 1;
            return;
        }
        self.by_hash.insert(hash, place);
        if let Some(to) = tx.as_ref().and_then(|decoded| decoded.tx.call.to) {
            self.by_target.entry(to).or_insert(place);
        }
        self.broadcasts.push(Noted {
            hash,
            tx,
            from: None,
            first: at,
            count: 1,
        });
    }

    fn name_sender(&mut self, hash: B256, from: Option<Address>) {
        if let Some(place) = self.by_hash.get(&hash) {
            self.broadcasts[*place].from = Some(from);
        }
    }
}

impl Noted {
    fn shown(&self) -> Broadcast {
        let tx = self.tx.as_ref().map(|decoded| &decoded.tx);
        Broadcast {
            hash: self.hash,
            from: self.from.flatten(),
            nonce: tx.map(|tx| tx.nonce),
            to: tx.and_then(|tx| tx.call.to),
            value: tx.map(|tx| tx.call.value).unwrap_or_default(),
            fees: tx.map(|tx| tx.fees),
            first: self.first,
            count: self.count,
        }
    }
}
