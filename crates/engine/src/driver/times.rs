//! How long requests take.

use std::collections::BTreeMap;

use baton_lanes::{Command, Input, Lane};
use baton_model::{RequestId, Timestamp, TxStatus};

use super::LaneStatus;
use super::metrics::Stage;

/// When open requests were accepted, and which steps they have taken.
#[derive(Debug, Default)]
pub(super) struct Times(BTreeMap<RequestId, Request>);

#[derive(Clone, Copy, Debug)]
struct Request {
    created_at: Timestamp,
    submitted_at: Option<Timestamp>,
    /// The furthest status whose time was taken: a reorganisation does not count twice.
    reached: TxStatus,
}

impl Times {
    /// Those of a restored lane.
    pub(super) fn of(lane: &Lane) -> Self {
        let requests = lane.requests().map(|record| {
            let request = Request {
                created_at: record.created_at,
                submitted_at: record.sent_at,
                reached: record.status,
            };
            (record.id, request)
        });
        Self(requests.collect())
    }

    /// Notes what is accepted.
    pub(super) fn note_input(&mut self, input: &Input, shown: &LaneStatus) {
        if let Input::Inbox {
            command: Command::Accept(record),
            ..
        } = input
        {
            shown.count_created();
            let request = Request {
                created_at: record.created_at,
                submitted_at: None,
                reached: TxStatus::Pending,
            };
            self.0.insert(record.id, request);
        }
    }

    /// Takes the time of a new status, and counts it.
    pub(super) fn note_status(
        &mut self,
        id: RequestId,
        status: TxStatus,
        now: Timestamp,
        shown: &LaneStatus,
    ) {
        let Some(request) = self.0.get_mut(&id) else {
            return;
        };
        if status > request.reached {
            let submitted = TxStatus::Submitted;
            // A node may be asked for receipts before it has answered to the offer.
            if request.reached < submitted && (submitted..=TxStatus::Confirmed).contains(&status) {
                request.submitted_at = Some(now);
                shown.count_status(submitted);
                shown.observe(Stage::CreationToSubmission, now.since(request.created_at));
            }
            request.take(status, now, shown);
            request.reached = status;
        }
        if status.is_final() {
            self.0.remove(&id);
            shown.count_status(status);
        }
    }
}

impl Request {
    fn take(&self, status: TxStatus, now: Timestamp, shown: &LaneStatus) {
        let age = now.since(self.created_at);
        match status {
            TxStatus::Sent => shown.observe(Stage::CreationToSent, age),
            TxStatus::Mined => shown.observe(Stage::CreationToMined, age),
            TxStatus::Confirmed => {
                shown.observe(Stage::CreationToConfirmation, age);
                if let Some(submitted_at) = self.submitted_at {
                    shown.observe(Stage::SubmissionToConfirmation, now.since(submitted_at));
                }
            }
            TxStatus::Pending
            | TxStatus::Submitted
            | TxStatus::Failed
            | TxStatus::Canceled
            | TxStatus::Expired => {}
        }
    }
}
