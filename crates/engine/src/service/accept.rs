//! Taking a request in.

use std::time::Duration;

use baton_coord::{Batch, CommitError, Key, Precondition};
use baton_lanes::record::{IdempotencyRecord, InboxRecord, RequestRecord, encode, key};
use baton_model::{RequestId, Timestamp, TxSpec, TxStatus};
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep, timeout_at};

use super::error::ServiceError;
use super::idempotency::IdempotencyKey;
use super::request::TxRequest;
use super::validate::accepted_spec;
use super::view::TransactionView;
use super::{Service, check_running};
use crate::Relayer;
use crate::registry::{closed, closing, reopen};

/// Most commits for one request: one, and repetitions while the outcome is unknown.
pub(super) const COMMIT_TRIES_MAX: usize = 4;
/// Pause before a commit is repeated: a store that lost one answer is likely failing over.
pub(super) const REPEAT_PAUSE: Duration = Duration::from_millis(100);
/// Most times that a key's record is looked for again after it was forgotten in between.
const LOOK_TRIES_MAX: usize = 3;

/// An accepted transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// As it was accepted.
    pub transaction: TransactionView,
    /// Whether it was accepted before, under the same idempotency key.
    pub replayed: bool,
}

/// How a commit ended.
enum Outcome {
    Accepted,
    /// Another request has the idempotency key.
    KeyTaken,
    /// The relayer is being deleted, or was.
    Closed,
}

/// An idempotency key with what it is held against.
pub(super) struct Named {
    key: String,
    body: String,
}

impl Named {
    pub(super) fn of(key: &IdempotencyKey, request: &TxRequest) -> Self {
        Self {
            key: key.digest(),
            body: request.digest(),
        }
    }

    /// The digest that it is stored under.
    pub(super) fn key(&self) -> &str {
        &self.key
    }
}

impl Service {
    /// Accepts a transaction: when this returns, it is durable in the relayer's lane and will be
    /// executed.
    ///
    /// The body is held against the idempotency key before anything that may have changed since the
    /// first time: a repeated request gets the first answer also when the relayer was paused or
    /// `valid_until` passed meanwhile.
    pub async fn send(
        &self,
        relayer: &str,
        body: &RawValue,
        idempotency: Option<&IdempotencyKey>,
    ) -> Result<Sent, ServiceError> {
        let relayer = &self.relayer(relayer)?.relayer;
        let request = TxRequest::parse(body).map_err(ServiceError::Invalid)?;
        let named = idempotency.map(|key| Named::of(key, &request));
        for attempt in 0..LOOK_TRIES_MAX {
            let now = self.clock.now();
            let checked = check_running(relayer).and_then(|()| {
                let spec = accepted_spec(&request, relayer, now, self.options.validity);
                spec.map_err(ServiceError::Invalid)
            });
            // The commit itself finds out whether the key is taken: looking first would only cost time, unless nothing
            // is to be committed.
            if let Some(named) = &named
                && (attempt > 0 || checked.is_err())
                && let Some(sent) = self.replay(relayer, named).await?
            {
                return Ok(sent);
            }
            let spec = checked?;
            let digest = named.as_ref().map(|named| named.key.clone());
            let record = fresh_record(self.fresh_id(), now, spec, digest);
            match self.commit_accept(relayer, &record, named.as_ref()).await? {
                Outcome::Accepted => {
                    tracing::debug!(relayer_id = %relayer.id, id = %record.id, "accepted");
                    return Ok(Sent {
                        transaction: TransactionView::of(&record, relayer),
                        replayed: false,
                    });
                }
                Outcome::KeyTaken => {}
                Outcome::Closed => self.reopen_abandoned(relayer).await?,
            }
        }
        Err(ServiceError::Unavailable(
            "an idempotency key came and went, or the relayer, while it was looked at".to_owned(),
        ))
    }

    /// A relayer whose lane is closed is being deleted, unless whoever did so has died.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] when it was deleted, [`ServiceError::Conflict`] while it is.
    async fn reopen_abandoned(&self, relayer: &Relayer) -> Result<(), ServiceError> {
        self.registry.refresh().await?;
        self.relayer(relayer.id.as_str())?;
        let lane = relayer.lane();
        let Some(closing) = closing(&self.store, &lane).await? else {
            return Ok(());
        };
        if !closing.is_abandoned(self.clock.now()) {
            let text = format!("relayer {} is being deleted", relayer.id);
            return Err(ServiceError::Conflict(text));
        }
        tracing::warn!(relayer_id = %relayer.id, "deleting it was begun and given up; it goes on");
        let opened = reopen(&self.store, &lane, closing).await;
        opened.map_err(|error| ServiceError::Unavailable(error.to_string()))
    }

    /// The first answer that was given under a key.
    pub(super) async fn replay(
        &self,
        relayer: &Relayer,
        named: &Named,
    ) -> Result<Option<Sent>, ServiceError> {
        let lane = relayer.lane();
        let table = self.table(&lane);
        let found: Option<IdempotencyRecord> = table.get(key::idempotency(&named.key)).await?;
        let Some(IdempotencyRecord { id, body }) = found else {
            return Ok(None);
        };
        if body != named.body {
            return Err(ServiceError::KeyReused { id });
        }
        // Both go in one batch, so a record that is gone means that its key is gone now too.
        let record = table.request(id).await?;
        Ok(record.map(|record| Sent {
            transaction: TransactionView::of(&as_accepted(record), relayer),
            replayed: true,
        }))
    }

    /// Commits a request. A commit with an unknown outcome is repeated as it is: the first
    /// condition lets it take effect once only, and whether that condition holds tells what became
    /// of the one before.
    async fn commit_accept(
        &self,
        relayer: &Relayer,
        record: &RequestRecord,
        named: Option<&Named>,
    ) -> Result<Outcome, ServiceError> {
        let batch = accept_batch(relayer, record, named);
        let open_index = batch.require.len() - 1;
        let id = record.id;
        let unknown = ServiceError::UnknownAccept {
            id,
            keyed: named.is_some(),
        };
        let mut deadline = None;
        for _ in 0..COMMIT_TRIES_MAX {
            let commit = self.commit(batch.clone());
            let answer = match deadline {
                None => commit.await,
                Some(deadline) => match timeout_at(deadline, commit).await {
                    Ok(answer) => answer,
                    Err(_) => return Err(unknown),
                },
            };
            match answer {
                Ok(_) => return Ok(Outcome::Accepted),
                Err(CommitError::Precondition { index: 0, .. }) if deadline.is_some() => {
                    return Ok(Outcome::Accepted);
                }
                Err(CommitError::Precondition { index, .. }) if index == open_index => {
                    return Ok(Outcome::Closed);
                }
                Err(CommitError::Precondition { index: 1, .. }) => return Ok(Outcome::KeyTaken),
                Err(CommitError::Unavailable { reason }) if deadline.is_none() => {
                    return Err(ServiceError::Unavailable(reason));
                }
                Err(CommitError::Unknown { reason } | CommitError::Unavailable { reason }) => {
                    tracing::warn!(%id, reason, "whether a request was accepted is unknown");
                    deadline.get_or_insert_with(|| Instant::now() + self.options.unknown_wait);
                    sleep(REPEAT_PAUSE).await;
                }
                Err(
                    error @ (CommitError::Fenced { .. }
                    | CommitError::Precondition { .. }
                    | CommitError::Invalid { .. }),
                ) => return Err(ServiceError::Defect(format!("accept {id}: {error}"))),
            }
        }
        Err(unknown)
    }
}

pub(super) fn fresh_record(
    id: RequestId,
    now: Timestamp,
    spec: TxSpec,
    idempotency: Option<String>,
) -> RequestRecord {
    RequestRecord {
        id,
        created_at: now,
        accepted: spec.clone(),
        spec,
        idempotency,
        status: TxStatus::Pending,
        status_reason: None,
        is_canceled: false,
        sent_at: None,
        mined_at: None,
        finished_at: None,
        current: None,
        hashes: Vec::new(),
        history: Vec::new(),
        receipt: None,
        last_command: None,
        delete_at: None,
        trace: baton_edge::current_request_id(),
    }
}

/// A record as it was when its request was accepted.
fn as_accepted(record: RequestRecord) -> RequestRecord {
    fresh_record(
        record.id,
        record.created_at,
        record.accepted,
        record.idempotency,
    )
}

fn accept_batch(relayer: &Relayer, record: &RequestRecord, named: Option<&Named>) -> Batch {
    let mut batch = Batch::new(relayer.lane());
    accept_into(&mut batch, record, named);
    batch.require.push(closed());
    batch
}

/// Adds a request to a batch. Its first condition is that its id is not taken, the second one, if it has a key, that
/// its key is not.
pub(super) fn accept_into(batch: &mut Batch, record: &RequestRecord, named: Option<&Named>) {
    let id = record.id;
    let request_key = Key::from(key::request(id));
    batch
        .require
        .push(Precondition::Absent(request_key.clone()));
    batch.puts.push((request_key, encode(record).into()));
    let created = key::created(record.created_at, id);
    batch.puts.push((created.into(), Key::new()));
    if let Some(named) = named {
        let name = Key::from(key::idempotency(&named.key));
        let body = named.body.clone();
        batch.require.push(Precondition::Absent(name.clone()));
        batch
            .puts
            .push((name, encode(&IdempotencyRecord { id, body }).into()));
    }
    batch
        .appends
        .push(encode(&InboxRecord::Accept { id }).into());
}
