//! Cancelling and replacing. A command goes into the lane's inbox; whoever runs the lane carries it
//! out and writes the outcome into the transaction's record.

use std::collections::BTreeSet;
use std::time::Duration;

use baton_coord::{Batch, CommitError, Scan, Wakeups};
use baton_lanes::record::{InboxRecord, RequestRecord, encode, key};
use baton_model::{RequestId, TxSpec, TxStatus};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout_at};

use super::error::ServiceError;
use super::request::TxRequest;
use super::table::accepts;
use super::validate::replacing_spec;
use super::view::TransactionView;
use super::{Service, check_running};
use crate::registry::closed;
use crate::{Relayer, changed_topic};

/// How long to wait before looking again without being woken: what a lost wake-up costs.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Most transactions that one call cancels: its answer names each, about 4 MB. The next call goes
/// on.
const CANCEL_MAX: usize = 100_000;
/// Commands in one batch: some thousand small entries, so that new requests are not held up for
/// long.
const CANCEL_BATCH: usize = 1000;
/// Commits for one batch of cancels: one, and repetitions while the outcome is unknown.
const CANCEL_TRIES: usize = 3;

/// What a command led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commanded {
    /// The transaction now.
    pub transaction: TransactionView,
    /// Whether the command is taken but not carried out yet.
    pub pending: bool,
}

/// What a call to cancel everything led to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CancelledPending {
    /// Transactions that will be cancelled if they are not mined before.
    pub queued_for_cancellation_transaction_ids: Vec<String>,
    /// Transactions for which the store did not confirm the command. It may be repeated.
    pub failed_to_queue_transaction_ids: Vec<String>,
    /// Both together.
    pub total_processed: usize,
}

/// A command that was sent.
struct Command {
    id: RequestId,
    command: RequestId,
    /// What a replacement asks for.
    spec: Option<TxSpec>,
    /// Whether the store confirmed it.
    confirmed: bool,
}

/// How far a command is.
enum Progress {
    Waiting,
    Done,
    Refused(String),
}

impl Service {
    /// Cancels a transaction: at once while it has no nonce, otherwise by a no-op that competes
    /// with it for its nonce.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] when it is mined or has ended, or is when the command reaches its
    /// lane.
    pub async fn cancel(&self, relayer: &str, id: &str) -> Result<Commanded, ServiceError> {
        let relayer = &self.relayer(relayer)?.relayer;
        check_running(relayer)?;
        let record = self.record(relayer, id).await?;
        check_open(&record, "cancelled")?;
        let command = self.fresh_id();
        let id = record.id;
        let entry = InboxRecord::Cancel { id, command };
        let command = Command {
            id,
            command,
            spec: None,
            confirmed: true,
        };
        self.carry_out(relayer, command, entry, &record).await
    }

    /// Replaces what a transaction asks for, under the nonce that it has.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] when the body breaks a rule, or the transaction is mined or has
    /// ended, or the lane refuses the bid.
    pub async fn replace(
        &self,
        relayer: &str,
        id: &str,
        body: &RawValue,
    ) -> Result<Commanded, ServiceError> {
        let relayer = &self.relayer(relayer)?.relayer;
        check_running(relayer)?;
        let record = self.record(relayer, id).await?;
        check_open(&record, "replaced")?;
        if record.is_canceled {
            let text = format!(
                "transaction {} is being cancelled and cannot be replaced",
                record.id
            );
            return Err(ServiceError::Invalid(text));
        }
        let request = TxRequest::parse(body).map_err(ServiceError::Invalid)?;
        let spec = replacing_spec(&request, relayer, &record.spec, self.clock.now())
            .map_err(ServiceError::Invalid)?;
        let command = self.fresh_id();
        let id = record.id;
        let entry = InboxRecord::Replace {
            id,
            command,
            spec: spec.clone(),
        };
        let command = Command {
            id,
            command,
            spec: Some(spec),
            confirmed: true,
        };
        self.carry_out(relayer, command, entry, &record).await
    }

    /// Cancels every transaction of a relayer that is pending, sent or submitted.
    pub async fn cancel_pending(&self, relayer: &str) -> Result<CancelledPending, ServiceError> {
        let relayer = &self.relayer(relayer)?.relayer;
        check_running(relayer)?;
        let open = self.open_requests(relayer).await?;
        let mut answer = CancelledPending {
            total_processed: open.len(),
            ..CancelledPending::default()
        };
        for ids in open.chunks(CANCEL_BATCH) {
            let names = ids.iter().map(ToString::to_string);
            if self.commit_cancels(relayer, ids).await {
                answer.queued_for_cancellation_transaction_ids.extend(names);
            } else {
                answer.failed_to_queue_transaction_ids.extend(names);
            }
        }
        Ok(answer)
    }

    async fn carry_out(
        &self,
        relayer: &Relayer,
        mut command: Command,
        entry: InboxRecord,
        record: &RequestRecord,
    ) -> Result<Commanded, ServiceError> {
        let lane = relayer.lane();
        // Listens before it sends, so that no wake-up is missed and nothing can fail once the
        // command is taken.
        let mut changes = self.store.subscribe(&changed_topic(&lane)).await?;
        let mut batch = Batch::new(lane);
        batch.require.push(closed());
        batch.appends.push(encode(&entry).into());
        match self.commit(batch).await {
            Ok(_) => {}
            // What has nothing unfinished has nothing that a command could change.
            Err(CommitError::Precondition { .. }) => {
                return Err(ServiceError::Conflict(format!(
                    "relayer {} is being deleted",
                    relayer.id
                )));
            }
            Err(CommitError::Unknown { reason }) => {
                // Not repeated: a replacement that took effect would be refused the second time.
                tracing::warn!(id = %command.id, reason, "whether a command was taken is unknown");
                command.confirmed = false;
            }
            Err(CommitError::Unavailable { reason }) => {
                return Err(ServiceError::Unavailable(reason));
            }
            Err(error @ (CommitError::Fenced { .. } | CommitError::Invalid { .. })) => {
                let text = format!("command for {}: {error}", command.id);
                return Err(ServiceError::Defect(text));
            }
        }
        let known = TransactionView::of(record, relayer);
        self.follow(relayer, &command, known, &mut *changes).await
    }

    /// Reads the record, again at every change, until the command's outcome is in it or the wait is
    /// over.
    async fn follow(
        &self,
        relayer: &Relayer,
        command: &Command,
        mut known: TransactionView,
        changes: &mut dyn Wakeups,
    ) -> Result<Commanded, ServiceError> {
        let lane = relayer.lane();
        let deadline = Instant::now() + self.options.command_wait;
        loop {
            // A read that fails now may succeed later, and the command is on its way.
            if let Ok(Some(record)) = self.table(&lane).request(command.id).await {
                known = TransactionView::of(&record, relayer);
                match command.progress(&record) {
                    Progress::Waiting => {}
                    Progress::Refused(text) => return Err(ServiceError::Invalid(text)),
                    Progress::Done => {
                        return Ok(Commanded {
                            transaction: known,
                            pending: false,
                        });
                    }
                }
            }
            if Instant::now() >= deadline {
                if !command.confirmed {
                    return Err(ServiceError::UnknownCommand { id: command.id });
                }
                return Ok(Commanded {
                    transaction: known,
                    pending: true,
                });
            }
            let look_again = (Instant::now() + LOOK_AGAIN).min(deadline);
            if let Ok(None) = timeout_at(look_again, changes.next()).await {
                // The store closed its wake-ups; only time can tell.
                tokio::time::sleep_until(look_again).await;
            }
        }
    }

    /// Ids of the transactions that can still be cancelled and are not yet, oldest first.
    async fn open_requests(&self, relayer: &Relayer) -> Result<Vec<RequestId>, ServiceError> {
        let lane = relayer.lane();
        let table = self.table(&lane);
        let mut open = Vec::new();
        let mut select = |record: &RequestRecord| {
            if is_open(record.status) && !record.is_canceled {
                open.push(record.id);
            }
        };
        // The inbox first: what the lane takes in meanwhile is then in the index at the latest.
        let glimpse = self.glimpse(table).await?;
        let mut after = glimpse.summary.inbox;
        let mut unread = Vec::new();
        while unread.len() < CANCEL_MAX {
            let entries = self.inbox(table, after, u64::MAX).await?;
            let Some(last) = entries.last() else { break };
            after = last.position.0;
            unread.extend(accepts(&entries)?);
        }
        let mut index = Scan::prefix(key::OPEN, CANCEL_BATCH);
        let mut seen = BTreeSet::new();
        while seen.len() < CANCEL_MAX {
            let entries = table.ids_by_value(&index).await?;
            let Some((key, _)) = entries.last() else {
                break;
            };
            index.after = Some(key.clone());
            seen.extend(entries.iter().map(|(_, id)| *id));
            let ids = entries.into_iter().map(|(_, id)| id);
            table.each(ids, &mut select).await?;
        }
        unread.retain(|id| !seen.contains(id));
        table.each(unread, &mut select).await?;
        open.truncate(CANCEL_MAX);
        Ok(open)
    }

    /// Appends cancels. Cancelling twice is cancelling, so an unknown outcome is followed by
    /// another try.
    async fn commit_cancels(&self, relayer: &Relayer, ids: &[RequestId]) -> bool {
        let mut batch = Batch::new(relayer.lane());
        batch.require.push(closed());
        for id in ids {
            let (id, command) = (*id, self.fresh_id());
            let entry = encode(&InboxRecord::Cancel { id, command });
            batch.appends.push(entry.into());
        }
        for _ in 0..CANCEL_TRIES {
            match self.commit(batch.clone()).await {
                Ok(_) => return true,
                Err(CommitError::Unknown { reason }) => {
                    let relayer = &relayer.id;
                    tracing::warn!(%relayer, reason, "whether cancels were taken is unknown");
                }
                Err(error) => {
                    tracing::warn!(relayer = %relayer.id, %error, "cancels were not taken");
                    return false;
                }
            }
        }
        false
    }
}

impl Command {
    fn progress(&self, record: &RequestRecord) -> Progress {
        let outcome = record.last_command.as_ref();
        if let Some(outcome) = outcome.filter(|outcome| outcome.command == self.command) {
            return match &outcome.refused {
                None => Progress::Done,
                Some(text) => Progress::Refused(text.clone()),
            };
        }
        // The outcome of another command, or the end of the transaction, may stand in the place of
        // this one's.
        let took_effect = match &self.spec {
            Some(spec) => record.spec == *spec,
            None => record.is_canceled || record.status == TxStatus::Canceled,
        };
        match (took_effect, record.status.is_final()) {
            (true, true) => Progress::Done,
            (true, false) if self.spec.is_none() => Progress::Done,
            (true | false, false) => Progress::Waiting,
            (false, true) => Progress::Refused(ended(record)),
        }
    }
}

const fn is_open(status: TxStatus) -> bool {
    matches!(
        status,
        TxStatus::Pending | TxStatus::Sent | TxStatus::Submitted
    )
}

fn check_open(record: &RequestRecord, what: &str) -> Result<(), ServiceError> {
    if is_open(record.status) {
        return Ok(());
    }
    Err(ServiceError::Invalid(format!(
        "only a pending, sent or submitted transaction can be {what}; found {} to be {}",
        record.id,
        record.status.as_str()
    )))
}

fn ended(record: &RequestRecord) -> String {
    format!(
        "transaction {} became {} before the command reached it",
        record.id,
        record.status.as_str()
    )
}
