//! Slots: one account's nonces and what competes for them.

use baton_model::{B256, Fees, RequestId, Timestamp, U256, UnsignedTx};

use crate::event::{Signed, Ticket};
use crate::record::{
    AttemptKind, AttemptRecord, CancelReason, ReceiptRecord, ReplaceRecord, SlotRecord,
};

/// An attempt and what is known of its way to the chain.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) record: AttemptRecord,
    /// Whether the bytes are durable: only then may a node see them.
    pub(crate) durable: bool,
    /// Whether the bytes were ever handed out for broadcast, by this process or perhaps by one before it.
    pub(crate) offered: bool,
    /// Offers without an acknowledgement since the last one.
    pub(crate) tries: u32,
    /// When the last offer was made.
    pub(crate) last_offer: Timestamp,
    /// Whether an answer to the last offer is still to come.
    pub(crate) waiting: bool,
    /// Offers that were refused because the call would revert.
    pub(crate) reverts: u32,
}

/// A signature that is being made.
#[derive(Clone, Debug)]
pub(crate) struct Signing {
    pub(crate) ticket: Ticket,
    pub(crate) kind: AttemptKind,
    pub(crate) tx: UnsignedTx,
    /// The answer, kept until the slots below have theirs.
    pub(crate) signed: Option<Signed>,
    /// Failures so far.
    pub(crate) tries: u32,
    /// The replace command that wants it.
    pub(crate) command: Option<RequestId>,
}

/// A mined attempt.
#[derive(Clone, Debug)]
pub(crate) struct Mined {
    pub(crate) receipt: ReceiptRecord,
    /// Whether a block of the chain as the lane follows it said so, or a node when the block was final. What a node
    /// said before that may have been about a block that is gone.
    pub(crate) certain: bool,
}

/// A question to a node whose answer depends on the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The lane's head when it was asked.
    pub(crate) head: u64,
    /// Rollbacks that the lane had seen by then: after another one the answer means nothing.
    pub(crate) rollbacks: u64,
}

/// A nonce that was given out. Reserved while it has no attempts: nothing of it is durable then.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) request: Option<RequestId>,
    pub(crate) cancelling: Option<CancelReason>,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) signing: Option<Signing>,
    /// The attempt that the chain holds now.
    pub(crate) mined: Option<Mined>,
    /// The block at which the nonce was first seen used by none of the attempts.
    pub(crate) foreign_since: Option<u64>,
    /// The question for receipts that is not answered yet.
    pub(crate) looking: Option<Asked>,
    /// The question for the transaction at this nonce that is not answered yet.
    pub(crate) observing: Option<Asked>,
    /// Whether a person was told that another transaction has, or competes for, the nonce.
    pub(crate) foreign_told: bool,
    /// Since when the lowest-slot clock runs: the first acknowledgement, or the last offer after it.
    pub(crate) watched_since: Timestamp,
    /// Whether the bytes were offered again since they were last out-priced.
    pub(crate) reoffered: bool,
    /// The most that the attempts can cost, in wei.
    pub(crate) cost: U256,
}

impl Slot {
    /// A slot whose first attempt is being signed.
    pub(crate) fn reserved(request: Option<RequestId>, signing: Signing, now: Timestamp) -> Self {
        let cost = signing.tx.worst_cost();
        Self {
            request,
            cancelling: None,
            attempts: Vec::new(),
            signing: Some(signing),
            mined: None,
            foreign_since: None,
            looking: None,
            observing: None,
            foreign_told: false,
            watched_since: now,
            reoffered: false,
            cost,
        }
    }

    /// A slot for a request that a node's transaction stands for.
    pub(crate) fn adopted(request: RequestId, attempt: Attempt, now: Timestamp) -> Self {
        let record = SlotRecord {
            request: Some(request),
            cancelling: None,
            replacing: None,
            attempts: vec![attempt.record.clone()],
        };
        Self {
            attempts: vec![attempt],
            ..Self::restored(record, now)
        }
    }

    /// A slot as a process before left it: its attempts may have been offered, whatever it knew of that is gone.
    pub(crate) fn restored(record: SlotRecord, now: Timestamp) -> Self {
        let cost = record
            .attempts
            .iter()
            .map(|a| a.tx.worst_cost())
            .max()
            .unwrap_or_default();
        let attempts = record.attempts.into_iter().map(Attempt::restored).collect();
        Self {
            request: record.request,
            cancelling: record.cancelling,
            attempts,
            signing: None,
            mined: None,
            foreign_since: None,
            looking: None,
            observing: None,
            foreign_told: false,
            watched_since: now,
            reoffered: false,
            cost,
        }
    }

    pub(crate) fn record(&self, replacing: Option<ReplaceRecord>) -> SlotRecord {
        SlotRecord {
            request: self.request,
            cancelling: self.cancelling.clone(),
            replacing,
            attempts: self.attempts.iter().map(|a| a.record.clone()).collect(),
        }
    }

    /// Whether nothing of the slot is durable yet.
    pub(crate) fn is_reserved(&self) -> bool {
        self.attempts.is_empty()
    }

    /// Whether the chain has decided it, for now.
    pub(crate) fn is_decided(&self) -> bool {
        self.mined.is_some() || self.foreign_since.is_some()
    }

    /// The bid to beat.
    pub(crate) fn last_fees(&self) -> Option<Fees> {
        self.attempts.last().map(|a| a.record.tx.fees)
    }

    /// Whether a node acknowledged the latest attempt.
    pub(crate) fn is_acknowledged(&self) -> bool {
        self.attempts
            .last()
            .is_some_and(|a| a.record.acknowledged_at.is_some())
    }

    /// Roughly the bytes of its record: calls and signed bytes are written in hexadecimal.
    pub(crate) fn bytes(&self) -> usize {
        let attempt = |a: &Attempt| 1024 + 2 * (a.record.raw.len() + a.record.tx.call.data.len());
        self.attempts.iter().map(attempt).sum()
    }

    pub(crate) fn hashes(&self) -> Vec<B256> {
        self.attempts.iter().map(|a| a.record.hash).collect()
    }

    pub(crate) fn attempt_mut(&mut self, hash: B256) -> Option<&mut Attempt> {
        self.attempts.iter_mut().find(|a| a.record.hash == hash)
    }

    /// The kind of the attempt that the chain holds.
    pub(crate) fn mined_kind(&self) -> Option<AttemptKind> {
        self.mined.as_ref()?;
        self.current().map(|attempt| attempt.kind)
    }

    /// The attempt that stands for the slot: the mined one, else the latest.
    pub(crate) fn current(&self) -> Option<&AttemptRecord> {
        let mined = self.mined.as_ref().map(|m| m.receipt.hash);
        let attempt = match mined {
            Some(hash) => self.attempts.iter().find(|a| a.record.hash == hash),
            None => self.attempts.last(),
        };
        attempt.map(|a| &a.record)
    }
}

impl Attempt {
    pub(crate) const fn new(record: AttemptRecord, now: Timestamp) -> Self {
        Self {
            record,
            durable: false,
            offered: false,
            tries: 0,
            last_offer: now,
            waiting: false,
            reverts: 0,
        }
    }

    /// An attempt that a node showed: offered, not durable yet.
    pub(crate) const fn adopted(record: AttemptRecord, now: Timestamp) -> Self {
        let mut attempt = Self::new(record, now);
        attempt.offered = true;
        attempt
    }

    fn restored(record: AttemptRecord) -> Self {
        Self {
            record,
            durable: true,
            offered: true,
            tries: 0,
            last_offer: Timestamp::default(),
            waiting: false,
            reverts: 0,
        }
    }
}
