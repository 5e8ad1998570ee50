//! A lane's durable form: versioned records and the keys under which they stand.
//!
//! Everything is JSON with a format number, so that a release reads what the one before it wrote and an operator can
//! read what a lane holds.

use baton_model::{
    Address, B256, Bytes, Fees, RequestId, Timestamp, TxSpec, TxStatus, U256, UnsignedTx,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Format of the records written by this release. Raised when an older release could not read them.
pub const RECORD_FORMAT: u16 = 1;

/// A record that can be stored.
pub trait Record: Serialize + DeserializeOwned {
    /// What the record is, for error messages.
    const WHAT: &'static str;
}

/// Why stored bytes are not a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The bytes are not what any release wrote.
    #[error("{what} record is damaged: {reason}")]
    Damaged {
        /// Which kind of record.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A newer release wrote it.
    #[error("{what} record has format {found}, this release reads up to {RECORD_FORMAT}")]
    Newer {
        /// Which kind of record.
        what: &'static str,
        /// Its format.
        found: u16,
    },
}

#[derive(Serialize)]
struct Out<'a, T> {
    v: u16,
    r: &'a T,
}

#[derive(Deserialize)]
struct In<T> {
    r: T,
}

#[derive(Deserialize)]
struct Format {
    v: u16,
}

/// The stored form of a record.
pub fn encode<T: Record>(record: &T) -> Vec<u8> {
    serde_json::to_vec(&Out {
        v: RECORD_FORMAT,
        r: record,
    })
    .expect("records hold no maps with other keys than text and no failing serialisers")
}

/// A record from its stored form.
pub fn decode<T: Record>(bytes: &[u8]) -> Result<T, RecordError> {
    let damaged = |e: serde_json::Error| RecordError::Damaged {
        what: T::WHAT,
        reason: e.to_string(),
    };
    let Format { v } = serde_json::from_slice(bytes).map_err(damaged)?;
    if v > RECORD_FORMAT {
        return Err(RecordError::Newer {
            what: T::WHAT,
            found: v,
        });
    }
    if v == 0 {
        return Err(RecordError::Damaged {
            what: T::WHAT,
            reason: "there is no format 0".to_owned(),
        });
    }
    serde_json::from_slice::<In<T>>(bytes)
        .map(|record| record.r)
        .map_err(damaged)
}

/// A request and where it stands: what the API shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestRecord {
    /// Its id.
    pub id: RequestId,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// What was asked for when it was accepted.
    pub accepted: TxSpec,
    /// What is asked for now: `accepted`, or the last replacement.
    pub spec: TxSpec,
    /// Digest of the idempotency key it came with, in hex; `None` without one.
    pub idempotency: Option<String>,
    /// Where it stands.
    pub status: TxStatus,
    /// Why it stands there, for people.
    pub status_reason: Option<String>,
    /// Whether the caller asked to cancel it.
    pub is_canceled: bool,
    /// When a node first acknowledged it.
    pub sent_at: Option<Timestamp>,
    /// When it was found mined.
    pub mined_at: Option<Timestamp>,
    /// When it reached a final status.
    pub finished_at: Option<Timestamp>,
    /// The attempt that stands for it: the mined one, else the latest.
    pub current: Option<AttemptSummary>,
    /// Hashes of all attempts, oldest first.
    pub hashes: Vec<B256>,
    /// All attempts, oldest first; empty while there is one payload at most, which `current` tells.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<PastAttempt>,
    /// Outcome on chain, once mined.
    pub receipt: Option<ReceiptRecord>,
    /// Outcome of the last cancel or replace.
    pub last_command: Option<CommandOutcome>,
    /// When the record is removed; set with a final status.
    pub delete_at: Option<Timestamp>,
    /// Id of the call that it came with, which logs name until it is final.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
}

impl Record for RequestRecord {
    const WHAT: &'static str = "request";
}

/// An attempt among others, as far as the API shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastAttempt {
    /// Sending account.
    pub account: Address,
    /// Nonce.
    pub nonce: u64,
    /// Transaction hash.
    pub hash: B256,
    /// What it stands for.
    pub kind: AttemptKind,
    /// Gas limit.
    pub gas_limit: u64,
    /// Fees.
    pub fees: Fees,
    /// When it was signed.
    pub created_at: Timestamp,
    /// When a node first acknowledged it.
    pub acknowledged_at: Option<Timestamp>,
}

impl PastAttempt {
    pub(crate) fn of(account: Address, attempt: &AttemptRecord) -> Self {
        Self {
            account,
            nonce: attempt.tx.nonce,
            hash: attempt.hash,
            kind: attempt.kind,
            gas_limit: attempt.tx.gas_limit,
            fees: attempt.tx.fees,
            created_at: attempt.created_at,
            acknowledged_at: attempt.acknowledged_at,
        }
    }
}

/// The attempt that stands for a request, as far as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptSummary {
    /// Sending account.
    pub account: Address,
    /// Nonce.
    pub nonce: u64,
    /// Transaction hash.
    pub hash: B256,
    /// Gas limit.
    pub gas_limit: u64,
    /// Fees.
    pub fees: Fees,
    /// `r`, `s` and parity of the signature, 65 bytes.
    pub signature: Bytes,
}

/// The outcome of a mined transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptRecord {
    /// Transaction hash.
    pub hash: B256,
    /// Block number.
    pub block_number: u64,
    /// Block hash.
    pub block_hash: B256,
    /// Whether it executed without reverting.
    pub success: bool,
    /// Gas used.
    pub gas_used: u64,
    /// Wei paid per gas.
    pub effective_gas_price: u128,
    /// Data fee of a parent chain in wei.
    pub l1_fee: Option<U256>,
    /// Created contract.
    pub contract: Option<Address>,
}

/// What became of a cancel or replace command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandOutcome {
    /// The command's id.
    pub command: RequestId,
    /// `None` when it was carried out, else the reason for refusing it, fit for the caller.
    pub refused: Option<String>,
}

/// What stands for a request on chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptKind {
    /// The request's call.
    Payload,
    /// A transfer of nothing to oneself, which only uses up the nonce.
    Noop,
}

/// One signed transaction for a slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptRecord {
    /// What it stands for.
    pub kind: AttemptKind,
    /// What was signed.
    pub tx: UnsignedTx,
    /// Transaction hash.
    pub hash: B256,
    /// Signed bytes; empty only for a transaction adopted from a node that did not show them.
    pub raw: Bytes,
    /// `r`, `s` and parity, 65 bytes.
    pub signature: Bytes,
    /// When it was signed.
    pub created_at: Timestamp,
    /// When a node first acknowledged it.
    pub acknowledged_at: Option<Timestamp>,
}

/// Why a slot's nonce is to be used up by a no-op.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CancelReason {
    /// The caller cancelled.
    Canceled,
    /// `valid_until` passed.
    Expired,
    /// Every node refused the payload for good.
    Refused(String),
}

/// A replace command that is being carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplaceRecord {
    /// The command's id.
    pub command: RequestId,
    /// What is asked for instead.
    pub spec: TxSpec,
}

/// An unfinished slot. Its state beyond this is read from the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotRecord {
    /// Whose request it serves; `None` for a gap filled by a no-op.
    pub request: Option<RequestId>,
    /// Set while a no-op competes with the payload.
    pub cancelling: Option<CancelReason>,
    /// A replacement that is not signed yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replacing: Option<ReplaceRecord>,
    /// All attempts, oldest first; never empty.
    pub attempts: Vec<AttemptRecord>,
}

impl Record for SlotRecord {
    const WHAT: &'static str = "slot";
}

/// An account's high-water marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountRecord {
    /// The next nonce to give out.
    pub next_nonce: u64,
    /// Every nonce below this is final on chain; 0 until a first slot is.
    pub settled: u64,
}

impl Record for AccountRecord {
    const WHAT: &'static str = "account";
}

/// Numbers about a lane that any replica may show.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SummaryRecord {
    /// The chain that the lane works on. A lane never moves to another: nonces and signed bytes belong to one.
    pub chain_id: Option<u64>,
    /// Last inbox position taken in.
    pub inbox: u64,
    /// Requests per status, in the order of [`TxStatus::ALL`].
    pub counts: [u64; 8],
    /// When the last request was confirmed.
    pub last_confirmed_at: Option<Timestamp>,
    /// Next nonce of each account.
    pub accounts: Vec<(Address, u64)>,
    /// Why the lane, or an account of it, does not take new work.
    pub alarms: Vec<String>,
}

impl Record for SummaryRecord {
    const WHAT: &'static str = "summary";
}

/// An entry of the lane's inbox, written by whoever took the call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InboxRecord {
    /// A request was accepted; its record stands under its key.
    Accept {
        /// The request.
        id: RequestId,
    },
    /// Cancel a request.
    Cancel {
        /// The request.
        id: RequestId,
        /// Id of this command.
        command: RequestId,
    },
    /// Replace a request's payload or bid.
    Replace {
        /// The request.
        id: RequestId,
        /// Id of this command.
        command: RequestId,
        /// What is asked for instead.
        spec: TxSpec,
    },
}

impl Record for InboxRecord {
    const WHAT: &'static str = "inbox";
}

/// Which request an idempotency key stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdempotencyRecord {
    /// The request.
    pub id: RequestId,
    /// Digest of the body it came with, in hex.
    pub body: String,
}

impl Record for IdempotencyRecord {
    const WHAT: &'static str = "idempotency";
}

/// Keys of the records, within the lane. Numbers are padded so that byte order is their order.
pub mod key {
    use baton_model::{Address, RequestId, Timestamp, TxStatus};

    /// Prefix of the open requests.
    pub const OPEN: &str = "o/";
    /// Prefix of the slots.
    pub const SLOTS: &str = "s/";
    /// Prefix of all requests by time of acceptance.
    pub const CREATED: &str = "c/";
    /// Prefix of the records to be removed, by time.
    pub const EXPIRY: &str = "x/";
    /// The lane's summary.
    pub const SUMMARY: &str = "l";

    /// A request.
    pub fn request(id: RequestId) -> String {
        format!("r/{id}")
    }

    /// An open request by its inbox position; the value is its id.
    pub fn open(position: u64) -> String {
        format!("{OPEN}{position:020}")
    }

    /// A slot.
    pub fn slot(account: Address, nonce: u64) -> String {
        format!("{SLOTS}{account:x}/{nonce:020}")
    }

    /// An account.
    pub fn account(account: Address) -> String {
        format!("a/{account:x}")
    }

    /// A request by its time of acceptance; no value.
    pub fn created(at: Timestamp, id: RequestId) -> String {
        format!("{CREATED}{:015}/{id}", at.as_millis())
    }

    /// Prefix of the finished requests with a status.
    pub fn finished_prefix(status: TxStatus) -> String {
        format!("f/{}/", status.as_str())
    }

    /// A finished request by status and time of acceptance; no value.
    pub fn finished(status: TxStatus, created_at: Timestamp, id: RequestId) -> String {
        format!(
            "{}{:015}/{id}",
            finished_prefix(status),
            created_at.as_millis()
        )
    }

    /// The request that used a nonce; the value is its id.
    pub fn nonce(account: Address, nonce: u64) -> String {
        format!("n/{account:x}/{nonce:020}")
    }

    /// A record to be removed at a time; no value.
    pub fn expiry(at: Timestamp, id: RequestId) -> String {
        format!("{EXPIRY}{:015}/{id}", at.as_millis())
    }

    /// An idempotency key by its digest.
    pub fn idempotency(digest: &str) -> String {
        format!("i/{digest}")
    }

    /// The request id at the end of a key of [`created`], [`finished`] or [`expiry`].
    pub fn id_of(key: &[u8]) -> Option<RequestId> {
        std::str::from_utf8(key)
            .ok()?
            .rsplit('/')
            .next()?
            .parse()
            .ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_carry_their_format_and_refuse_newer_ones() {
        let record = AccountRecord {
            next_nonce: 7,
            settled: 5,
        };
        let bytes = encode(&record);
        assert_eq!(bytes, br#"{"v":1,"r":{"next_nonce":7,"settled":5}}"#);
        assert_eq!(decode::<AccountRecord>(&bytes), Ok(record));
        let newer = br#"{"v":2,"r":{"next_nonce":7,"settled":5}}"#;
        assert_eq!(
            decode::<AccountRecord>(newer),
            Err(RecordError::Newer {
                what: "account",
                found: 2
            })
        );
        assert!(matches!(
            decode::<AccountRecord>(b"{\"v\":1,\"r\":{}}"),
            Err(RecordError::Damaged {
                what: "account",
                ..
            })
        ));
    }

    #[test]
    fn keys_sort_as_their_numbers() {
        let account = Address::repeat_byte(1);
        assert!(key::slot(account, 9) < key::slot(account, 10));
        assert!(key::open(99) < key::open(100));
        let id: RequestId = "00000000-0000-4000-8000-000000000001".parse().unwrap();
        let key = key::finished(TxStatus::Failed, Timestamp::from_millis(5), id);
        assert_eq!(key::id_of(key.as_bytes()), Some(id));
    }
}
