//! The thread that answers: it raises the watermark over the groups that have become durable, and
//! then tells whoever waits. Meanwhile the writer is at the next group.

use std::sync::mpsc::Receiver;
use std::sync::{Arc, OnceLock};

use baton_coord::{CommitError, Committed, Epoch, LeaseError, StoreError, Topics};
use baton_model::LaneId;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::watermark::Watermark;

/// Why nothing more is accepted, once a write has failed.
pub(crate) type Stopped = Arc<OnceLock<String>>;

/// What is told when a group is durable.
pub(crate) enum Answer {
    Committed {
        lane: LaneId,
        committed: Committed,
        answer: oneshot::Sender<Result<Committed, CommitError>>,
        /// The batch's share of the queue's memory.
        room: OwnedSemaphorePermit,
    },
    /// Told only after the group as well: what refuses a batch may be another of its group, and
    /// whoever is told of that must find it when it looks.
    Refused {
        error: CommitError,
        answer: oneshot::Sender<Result<Committed, CommitError>>,
    },
    Acquired {
        epoch: Epoch,
        answer: oneshot::Sender<Result<Epoch, LeaseError>>,
    },
}

/// A group that is in the flushed journal.
pub(crate) struct Durable {
    pub(crate) number: u64,
    pub(crate) answers: Vec<Answer>,
}

/// Answers groups, in order, until the writer ends.
pub(crate) fn run(
    groups: &Receiver<Durable>,
    watermark: &Watermark,
    appended: &Topics,
    stopped: &Stopped,
) {
    while let Ok(mut group) = groups.recv() {
        // Those that have queued up share one flush.
        while let Ok(next) = groups.try_recv() {
            group.number = next.number;
            group.answers.extend(next.answers);
        }
        match watermark.raise(group.number) {
            Ok(()) => tell(group.answers, appended),
            Err(error) => fail(group.answers, stop(stopped, &error.to_string())),
        }
    }
}

/// Stops the store for good, and says why.
///
/// Whether the failed write is on the disk is unknown, and a second flush that succeeds would prove
/// nothing about the first: only a look at the disk can tell, so nothing more is accepted until the
/// store is reopened.
pub(crate) fn stop<'a>(stopped: &'a Stopped, error: &str) -> &'a str {
    stopped.get_or_init(|| {
        tracing::error!(error, "the store failed to write and stops accepting");
        format!("the store stopped after a failed write ({error}); reopen it")
    })
}

/// Tells everybody that it is unknown what became of the group.
pub(crate) fn fail(answers: Vec<Answer>, reason: &str) {
    for answer in answers {
        let reason = reason.to_owned();
        match answer {
            Answer::Committed { answer, .. } => {
                drop(answer.send(Err(CommitError::Unknown { reason })));
            }
            Answer::Refused { answer, .. } => {
                drop(answer.send(Err(CommitError::Unavailable { reason })));
            }
            Answer::Acquired { answer, .. } => {
                drop(answer.send(Err(LeaseError::Store(StoreError::Unavailable { reason }))));
            }
        }
    }
}

/// Tells everybody what came of what they asked.
pub(crate) fn tell(answers: Vec<Answer>, appended: &Topics) {
    for answer in answers {
        // Whoever asked may have gone away; the commit stands.
        match answer {
            Answer::Committed {
                lane,
                committed,
                answer,
                room,
            } => {
                drop(room);
                drop(answer.send(Ok(committed)));
                if committed.last.is_some() {
                    appended.publish(lane.as_str());
                }
            }
            Answer::Refused { error, answer } => drop(answer.send(Err(error))),
            Answer::Acquired { epoch, answer } => drop(answer.send(Ok(epoch))),
        }
    }
}
