//! Taking many requests in at once: each has its own outcome, and many share one durable batch.

use std::collections::BTreeSet;

use baton_coord::{Batch, CommitError};
use baton_lanes::record::RequestRecord;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep};

use super::accept::{COMMIT_TRIES_MAX, Named, REPEAT_PAUSE, accept_into, fresh_record};
use super::body::{Body, items};
use super::error::ServiceError;
use super::idempotency::IdempotencyKey;
use super::request::TxRequest;
use super::validate::accepted_spec;
use super::view::TransactionView;
use super::{Service, check_running};
use crate::Relayer;
use crate::registry::closed;

/// Most transactions of one call: their answer has about a megabyte.
pub(super) const MANY_MAX: usize = 1000;
/// Transactions in one durable batch: with five operations each, a quarter of what a store takes at once.
const GROUP_MAX: usize = 500;

/// What became of many transactions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "BatchResult")]
pub struct SentMany {
    /// How many were accepted, now or earlier under the same key.
    pub accepted: usize,
    /// How many were not.
    pub refused: usize,
    /// The outcomes, in the order of the request.
    pub results: Vec<SentOne>,
}

/// What became of one of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "BatchItem")]
pub struct SentOne {
    /// Whether it was accepted.
    pub success: bool,
    /// The transaction; null when it was not accepted.
    pub data: Option<TransactionView>,
    /// Why it was not accepted, or whether that is unknown.
    pub error: Option<String>,
    /// Whether it was accepted before, under the same idempotency key.
    pub replayed: bool,
}

/// A transaction that is to be accepted.
struct Item {
    index: usize,
    named: Option<Named>,
    record: RequestRecord,
}

/// How a group's commit ended.
enum Group {
    Accepted,
    /// The condition of this number does not hold.
    Refused(usize),
    Failed(String),
    Unknown,
}

impl Service {
    /// Accepts many transactions. Each stands for itself: one that breaks a rule keeps no other from being accepted.
    ///
    /// # Errors
    /// When the call as a whole cannot be done; then nothing was accepted.
    pub async fn send_many(
        &self,
        relayer: &str,
        body: &RawValue,
    ) -> Result<SentMany, ServiceError> {
        let relayer = &self.relayer(relayer)?.relayer;
        let body = Body::open("", body, &["transactions"]).map_err(ServiceError::Invalid)?;
        let raw = body.required("transactions");
        let raw = raw.map_err(ServiceError::Invalid)?;
        let given = items("transactions", raw, MANY_MAX).map_err(ServiceError::Invalid)?;
        if given.is_empty() {
            let text = "transactions must have an entry; found none";
            return Err(ServiceError::Invalid(text.to_owned()));
        }
        check_running(relayer)?;
        let mut results: Vec<Option<SentOne>> = vec![None; given.len()];
        let mut keys = BTreeSet::new();
        let mut group = Vec::new();
        for (index, (_, item)) in given.iter().enumerate() {
            match self.prepare(relayer, index, item, &mut keys).await {
                Ok(item) => group.push(item),
                Err(outcome) => results[index] = Some(*outcome),
            }
            if group.len() == GROUP_MAX {
                let full = std::mem::take(&mut group);
                self.accept_group(relayer, full, &mut results).await;
            }
        }
        self.accept_group(relayer, group, &mut results).await;
        let lost = || SentOne::refused("it was left out".to_owned());
        let results: Vec<SentOne> = results
            .into_iter()
            .map(|one| one.unwrap_or_else(lost))
            .collect();
        let accepted = results.iter().filter(|one| one.success).count();
        Ok(SentMany {
            accepted,
            refused: results.len() - accepted,
            results,
        })
    }

    /// Checks one; an outcome is given back when there is nothing to accept.
    async fn prepare(
        &self,
        relayer: &Relayer,
        index: usize,
        raw: &RawValue,
        keys: &mut BTreeSet<String>,
    ) -> Result<Item, Box<SentOne>> {
        let refuse = |error: String| Box::new(SentOne::refused(error));
        let request = TxRequest::parse(raw).map_err(refuse)?;
        let key = key_of(raw).map_err(refuse)?;
        let named = key.map(|key| Named::of(&key, &request));
        if let Some(named) = &named {
            if !keys.insert(named.key().to_owned()) {
                let text = "idempotency_key must be given once in a batch; found it twice";
                return Err(refuse(text.to_owned()));
            }
            match self.replay(relayer, named).await {
                Ok(Some(sent)) => return Err(Box::new(SentOne::accepted(sent.transaction, true))),
                Ok(None) => {}
                Err(error) => return Err(refuse(error.to_string())),
            }
        }
        let now = self.clock.now();
        let spec = accepted_spec(&request, relayer, now, self.options.validity).map_err(refuse)?;
        let digest = named.as_ref().map(|named| named.key().to_owned());
        Ok(Item {
            index,
            record: fresh_record(self.fresh_id(), now, spec, digest),
            named,
        })
    }

    /// Accepts what was checked, in one batch. What has a key that somebody was faster with goes its own way.
    async fn accept_group(
        &self,
        relayer: &Relayer,
        mut group: Vec<Item>,
        results: &mut [Option<SentOne>],
    ) {
        while !group.is_empty() {
            let (batch, owners) = group_batch(relayer, &group);
            match self.commit_group(batch).await {
                Group::Accepted => {
                    for item in group {
                        let view = TransactionView::of(&item.record, relayer);
                        results[item.index] = Some(SentOne::accepted(view, false));
                    }
                    return;
                }
                Group::Refused(condition) => match owners.get(condition).copied().flatten() {
                    Some(place) => {
                        let item = group.remove(place);
                        results[item.index] = Some(self.settle_taken(relayer, &item).await);
                    }
                    None => {
                        let text = format!("relayer {} is being deleted", relayer.id);
                        return refuse_all(&group, results, |_| text.clone());
                    }
                },
                Group::Failed(text) => return refuse_all(&group, results, |_| text.clone()),
                Group::Unknown => {
                    return refuse_all(&group, results, |item| {
                        let (id, keyed) = (item.record.id, item.named.is_some());
                        ServiceError::UnknownAccept { id, keyed }.to_string()
                    });
                }
            }
        }
    }

    /// What became of one whose key was taken while it was looked at.
    async fn settle_taken(&self, relayer: &Relayer, item: &Item) -> SentOne {
        let Some(named) = &item.named else {
            return SentOne::refused(format!("the id {} is taken", item.record.id));
        };
        match self.replay(relayer, named).await {
            Ok(Some(sent)) => SentOne::accepted(sent.transaction, true),
            Ok(None) => SentOne::refused(
                "its idempotency key came and went while it was looked at; nothing was accepted"
                    .to_owned(),
            ),
            Err(error) => SentOne::refused(error.to_string()),
        }
    }

    /// Commits, and repeats as it is while the outcome is unknown: that the first id is taken then tells that the batch
    /// was applied.
    async fn commit_group(&self, batch: Batch) -> Group {
        let mut deadline = None;
        for _ in 0..COMMIT_TRIES_MAX {
            match self.commit(batch.clone()).await {
                Ok(_) => return Group::Accepted,
                Err(CommitError::Precondition { index: 0, .. }) if deadline.is_some() => {
                    return Group::Accepted;
                }
                Err(CommitError::Precondition { index, .. }) => return Group::Refused(index),
                Err(error @ CommitError::Unavailable { .. }) if deadline.is_none() => {
                    let text = "the store takes nothing now and nothing was changed; try again";
                    tracing::warn!(%error, "a batch of transactions was not taken");
                    return Group::Failed(text.to_owned());
                }
                Err(error @ (CommitError::Unknown { .. } | CommitError::Unavailable { .. })) => {
                    tracing::warn!(%error, "whether transactions were accepted is unknown");
                    let end = Instant::now() + self.options.unknown_wait;
                    if Instant::now() >= *deadline.get_or_insert(end) {
                        return Group::Unknown;
                    }
                    sleep(REPEAT_PAUSE).await;
                }
                Err(error @ (CommitError::Fenced { .. } | CommitError::Invalid { .. })) => {
                    tracing::error!(%error, "a batch of transactions cannot be committed");
                    return Group::Failed("An unknown error occurred".to_owned());
                }
            }
        }
        Group::Unknown
    }
}

impl SentOne {
    const fn accepted(transaction: TransactionView, replayed: bool) -> Self {
        Self {
            success: true,
            data: Some(transaction),
            error: None,
            replayed,
        }
    }

    const fn refused(error: String) -> Self {
        Self {
            success: false,
            data: None,
            error: Some(error),
            replayed: false,
        }
    }
}

/// The key of one transaction, which stands beside its fields.
fn key_of(raw: &RawValue) -> Result<Option<IdempotencyKey>, String> {
    #[derive(serde::Deserialize)]
    struct Keyed {
        idempotency_key: Option<serde_json::Value>,
    }
    let Keyed { idempotency_key } =
        serde_json::from_str(raw.get()).map_err(|error| format!("body: {error}"))?;
    match idempotency_key {
        None => Ok(None),
        Some(serde_json::Value::String(key)) => IdempotencyKey::new(key.as_bytes()).map(Some),
        Some(other) => Err(format!("idempotency_key must be a string; found {other}")),
    }
}

/// The batch of a group, and whose each of its conditions is; that of the open lane is nobody's.
fn group_batch(relayer: &Relayer, group: &[Item]) -> (Batch, Vec<Option<usize>>) {
    let mut batch = Batch::new(relayer.lane());
    let mut owners = Vec::new();
    for (place, item) in group.iter().enumerate() {
        accept_into(&mut batch, &item.record, item.named.as_ref());
        owners.resize(batch.require.len(), Some(place));
    }
    batch.require.push(closed());
    owners.push(None);
    (batch, owners)
}

fn refuse_all(group: &[Item], results: &mut [Option<SentOne>], text: impl Fn(&Item) -> String) {
    for item in group {
        results[item.index] = Some(SentOne::refused(text(item)));
    }
}
