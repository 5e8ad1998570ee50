//! How long requests take, and what they cost.

use std::collections::BTreeMap;

use baton_lanes::record::{ReceiptRecord, RequestRecord};
use baton_lanes::{Command, Input, Lane};
use baton_model::{RequestId, Timestamp, TxStatus, U256};
use tracing::Span;

use super::LaneStatus;
use super::metrics::Stage;

/// When open requests were accepted, and which steps they have taken.
#[derive(Debug, Default)]
pub(super) struct Times(BTreeMap<RequestId, Request>);

#[derive(Clone, Debug)]
struct Request {
    /// Its life in this process, for traces.
    life: Span,
    /// Id of the call that it came with.
    trace: Option<String>,
    created_at: Timestamp,
    submitted_at: Option<Timestamp>,
    /// The furthest status whose time was taken: a reorganisation does not count twice.
    reached: TxStatus,
    /// Wei that it cost, as far as a block says so.
    fee: U256,
}

impl Times {
    /// Those of a restored lane.
    pub(super) fn of(lane: &Lane) -> Self {
        let requests = lane.requests().map(|record| {
            let request = Request {
                life: life(record),
                trace: record.trace.clone(),
                created_at: record.created_at,
                submitted_at: record.sent_at,
                reached: record.status,
                fee: record.receipt.as_ref().map_or(U256::ZERO, fee),
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
                life: life(record),
                trace: record.trace.clone(),
                created_at: record.created_at,
                submitted_at: None,
                reached: TxStatus::Pending,
                fee: U256::ZERO,
            };
            self.0.insert(record.id, request);
        }
    }

    /// Takes the time of a new status, and counts it. `record` is the request's while it is open.
    pub(super) fn note_status(
        &mut self,
        id: RequestId,
        status: TxStatus,
        record: Option<&RequestRecord>,
        now: Timestamp,
        shown: &LaneStatus,
    ) {
        let Some(request) = self.0.get_mut(&id) else {
            return;
        };
        if let Some(receipt) = record.and_then(|record| record.receipt.as_ref()) {
            request.fee = fee(receipt);
        }
        let attempt = record.and_then(|record| record.current.as_ref());
        tracing::debug!(
            parent: &request.life,
            relayer_id = %shown.relayer(),
            %id,
            request_id = request.trace,
            status = status.as_str(),
            nonce = attempt.map(|attempt| attempt.nonce),
            hash = attempt.map(|attempt| tracing::field::display(attempt.hash)),
            "transaction"
        );
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
            shown.count_fee(request.fee);
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

/// Wei that a mined transaction cost beside its value.
fn fee(receipt: &ReceiptRecord) -> U256 {
    let execution = U256::from(receipt.gas_used) * U256::from(receipt.effective_gas_price);
    execution.saturating_add(receipt.l1_fee.unwrap_or_default())
}

/// Nobody's child: it outlives whatever it was begun in.
fn life(record: &RequestRecord) -> Span {
    tracing::debug_span!(
        parent: None,
        "life",
        transaction_id = %record.id,
        request_id = record.trace
    )
}
