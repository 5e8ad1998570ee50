//! What is served and the reference does not have: events, deliveries of webhooks, batches, dry runs, waiting.

use serde_json::{Value, json};

use super::operation::{Operation, operation};
use crate::service::{DeliveryView, DryRunView, Redelivered, SentMany};

/// Media type of events.
const EVENTS: &str = "text/event-stream";

pub(super) fn all() -> Vec<Operation> {
    let mut all: Vec<Operation> = following()
        .into_iter()
        .map(|operation| operation.tag("Transactions"))
        .collect();
    all.extend(
        deliveries()
            .into_iter()
            .map(|operation| operation.tag("Notifications")),
    );
    all
}

/// The same operation, which can be made to wait.
pub(super) fn waiting(operation: Operation) -> Operation {
    let goals = ["sent", "submitted", "mined", "confirmed"];
    operation
        .query(parameter(
            "wait",
            "Answer when the transaction has this status, a later one, or a final one",
            &json!({ "type": "string", "enum": goals }),
        ))
        .query(parameter(
            "timeout",
            "Longest wait; the answer then has the header Baton-Wait. Needs wait",
            &json!({ "type": "string", "pattern": "^[0-9]+(s|ms)?$", "examples": ["20s"] }),
        ))
        .may(&[400])
}

fn following() -> Vec<Operation> {
    let events = "/relayers/{relayer_id}/events";
    let batch = "/relayers/{relayer_id}/transactions/batch";
    let dry_run = "/relayers/{relayer_id}/transactions/dry-run";
    vec![
        operation(
            "get",
            events,
            "streamEvents",
            "What happens to a relayer and its transactions, as server-sent events",
        )
        .query(json!({
            "name": "Last-Event-ID",
            "in": "header",
            "description": "Go on behind the event with this id",
            "schema": number(),
        }))
        .query(parameter(
            "last_event_id",
            "The same, for those who cannot set headers",
            &number(),
        ))
        .query(parameter(
            "transaction_id",
            "Only what happens to this transaction",
            &json!({ "type": "string" }),
        ))
        .plain(&[(EVENTS, json!({ "type": "string" }))])
        .may(&[501]),
        operation(
            "post",
            batch,
            "sendTransactions",
            "Send up to 1000 transactions; each has its own outcome",
        )
        .takes("TransactionsRequest")
        .gives::<SentMany>(),
        operation(
            "post",
            dry_run,
            "dryRunTransaction",
            "What would become of a transaction if it were sent now",
        )
        .takes("TransactionRequest")
        .gives::<DryRunView>()
        .may(&[502]),
    ]
}

fn deliveries() -> Vec<Operation> {
    let many = "/relayers/{relayer_id}/deliveries";
    let one = "/relayers/{relayer_id}/deliveries/{delivery_id}";
    let again = "/relayers/{relayer_id}/deliveries/{delivery_id}/redeliver";
    let all_again = "/relayers/{relayer_id}/deliveries/redeliver";
    let states = ["pending", "delivered", "failed"];
    vec![
        operation(
            "get",
            many,
            "listDeliveries",
            "What became of a relayer's webhooks, newest first",
        )
        .lists::<DeliveryView>()
        .query(parameter(
            "status",
            "Only those with this status",
            &json!({ "type": "string", "enum": states }),
        )),
        operation(
            "get",
            one,
            "getDelivery",
            "What became of a webhook, with its payload",
        )
        .gives::<DeliveryView>(),
        operation("post", again, "redeliver", "Try a webhook once more")
            .gives::<DeliveryView>()
            .may(&[400, 409]),
        operation(
            "post",
            all_again,
            "redeliverFailed",
            "Try all webhooks that failed once more",
        )
        .gives::<Redelivered>()
        .may(&[409]),
    ]
}

fn parameter(name: &str, description: &str, schema: &Value) -> Value {
    json!({ "name": name, "in": "query", "description": description, "schema": schema })
}

fn number() -> Value {
    json!({ "type": "string", "pattern": "^[0-9]{1,19}$" })
}
