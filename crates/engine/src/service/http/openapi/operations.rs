//! What is served: a row for each method of each path, under the names that OpenZeppelin Relayer gives to them.

use baton_model::TxStatus;
use serde_json::{Value, json};

use super::additions::waiting;
use super::operation::{METRICS, Operation, operation, reference};
use crate::service::{
    ApiKeyView, BalanceView, CancelledPending, NetworkView, NotificationView, RelayerView,
    SignatureView, SignerView, StatusView, TransactionView,
};

/// All of them.
pub(super) fn all() -> Vec<Operation> {
    [
        relayers(),
        transactions(),
        super::additions::all(),
        signing(),
        signers(),
        notifications(),
        networks(),
        api_keys(),
        operation_of_the_service(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn relayers() -> Vec<Operation> {
    let one = "/relayers/{relayer_id}";
    vec![
        operation("get", "/relayers", "listRelayers", "List relayers").lists::<RelayerView>(),
        operation("post", "/relayers", "createRelayer", "Make a relayer")
            .takes("CreateRelayerRequest")
            .makes::<RelayerView>()
            .may(&[404, 409, 502]),
        operation("get", one, "getRelayer", "A relayer").gives::<RelayerView>(),
        operation(
            "patch",
            one,
            "updateRelayer",
            "Change a relayer, by JSON Merge Patch",
        )
        .takes("UpdateRelayerRequest")
        .gives::<RelayerView>()
        .may(&[409, 502]),
        operation(
            "delete",
            one,
            "deleteRelayer",
            "Delete a relayer without unfinished transactions",
        )
        .tells("Relayer deleted successfully")
        .may(&[400, 409]),
        operation(
            "get",
            "/relayers/{relayer_id}/status",
            "getRelayerStatus",
            "How a relayer is",
        )
        .gives::<StatusView>()
        .may(&[502]),
        operation(
            "get",
            "/relayers/{relayer_id}/balance",
            "getRelayerBalance",
            "A relayer's balance",
        )
        .gives::<BalanceView>()
        .may(&[502]),
    ]
}

fn transactions() -> Vec<Operation> {
    let many = "/relayers/{relayer_id}/transactions";
    let one = "/relayers/{relayer_id}/transactions/{transaction_id}";
    let by_nonce = "/relayers/{relayer_id}/transactions/by-nonce/{nonce}";
    let pending = "/relayers/{relayer_id}/transactions/pending";
    let commanded = |operation: Operation| {
        operation
            .gives::<TransactionView>()
            .header(
                "Baton-Command",
                "pending",
                "There when the lane has yet to carry it out",
            )
            .may(&[400, 409])
    };
    let all = vec![
        waiting(send(many)),
        operation(
            "get",
            many,
            "listTransactions",
            "List transactions, newest first",
        )
        .lists::<TransactionView>()
        .query(status()),
        waiting(
            operation("get", one, "getTransactionById", "A transaction").gives::<TransactionView>(),
        ),
        commanded(
            operation(
                "put",
                one,
                "replaceTransaction",
                "Replace a transaction that is not mined",
            )
            .takes("ReplacementRequest"),
        ),
        commanded(operation(
            "delete",
            one,
            "cancelTransaction",
            "Cancel a transaction that is not mined",
        )),
        operation(
            "get",
            by_nonce,
            "getTransactionByNonce",
            "The transaction with a nonce",
        )
        .gives::<TransactionView>()
        .may(&[400]),
        operation(
            "delete",
            pending,
            "deletePendingTransactions",
            "Cancel all that are not mined",
        )
        .gives::<CancelledPending>(),
        operation(
            "get",
            pending,
            "getPendingTransactions",
            "No transaction has this id",
        )
        .refuses(404),
    ];
    tagged("Transactions", all)
}

fn send(path: &str) -> Operation {
    operation("post", path, "sendTransaction", "Send a transaction")
        .query(idempotency_key())
        .takes("TransactionRequest")
        .gives::<TransactionView>()
        .header(
            "Idempotent-Replayed",
            "true",
            "There when the key was known: the first answer",
        )
        .may(&[409])
}

fn signing() -> Vec<Operation> {
    let sign = "/relayers/{relayer_id}/sign";
    let typed = "/relayers/{relayer_id}/sign-typed-data";
    let rpc = "/relayers/{relayer_id}/rpc";
    let transaction = "/relayers/{relayer_id}/sign-transaction";
    let quote = "/relayers/{relayer_id}/transactions/sponsored/quote";
    let build = "/relayers/{relayer_id}/transactions/sponsored/build";
    let refused = "Refused: not for EVM relayers";
    let all = vec![
        operation("post", sign, "sign", "Sign a text (EIP-191)")
            .takes("SignRequest")
            .gives::<SignatureView>()
            .may(&[501, 502]),
        operation("post", typed, "signTypedData", "Sign typed data (EIP-712)")
            .takes("SignTypedDataRequest")
            .gives::<SignatureView>()
            .may(&[501, 502]),
        operation(
            "post",
            rpc,
            "rpc",
            "Hand JSON-RPC calls on to the network's nodes",
        )
        .takes("RpcRequest")
        .plain(&[("application/json", reference("RpcReply"))]),
        operation("post", transaction, "signTransaction", refused).refuses(400),
        operation("post", quote, "quoteSponsoredTransaction", refused).refuses(400),
        operation("post", build, "buildSponsoredTransaction", refused).refuses(400),
    ];
    tagged("Signing", all)
}

fn signers() -> Vec<Operation> {
    let one = "/signers/{signer_id}";
    let all = vec![
        operation("get", "/signers", "listSigners", "List signers").lists::<SignerView>(),
        operation("post", "/signers", "createSigner", "Make a signer")
            .takes("CreateSignerRequest")
            .makes::<SignerView>()
            .may(&[409]),
        operation("get", one, "getSigner", "A signer").gives::<SignerView>(),
        operation(
            "patch",
            one,
            "updateSigner",
            "Refused: signers cannot be changed",
        )
        .refuses(400),
        operation(
            "delete",
            one,
            "deleteSigner",
            "Delete a signer that no relayer uses",
        )
        .tells("Signer deleted successfully")
        .may(&[400]),
    ];
    tagged("Signers", all)
}

fn notifications() -> Vec<Operation> {
    let one = "/notifications/{notification_id}";
    let all = vec![
        operation(
            "get",
            "/notifications",
            "listNotifications",
            "List notifications",
        )
        .lists::<NotificationView>(),
        operation(
            "post",
            "/notifications",
            "createNotification",
            "Make a notification",
        )
        .takes("CreateNotificationRequest")
        .makes::<NotificationView>()
        .may(&[409]),
        operation("get", one, "getNotification", "A notification").gives::<NotificationView>(),
        operation("patch", one, "updateNotification", "Change a notification")
            .takes("UpdateNotificationRequest")
            .gives::<NotificationView>(),
        operation(
            "delete",
            one,
            "deleteNotification",
            "Delete a notification that no relayer uses",
        )
        .tells("Notification deleted successfully")
        .may(&[400]),
    ];
    tagged("Notifications", all)
}

fn networks() -> Vec<Operation> {
    let one = "/networks/{network_id}";
    let all = vec![
        operation("get", "/networks", "listNetworks", "List networks").lists::<NetworkView>(),
        operation("get", one, "getNetwork", "A network, such as `evm:sepolia`")
            .gives::<NetworkView>(),
        operation("patch", one, "updateNetwork", "Change a network's nodes")
            .takes("UpdateNetworkRequest")
            .gives::<NetworkView>(),
    ];
    tagged("Networks", all)
}

fn api_keys() -> Vec<Operation> {
    let one = "/api-keys/{id}";
    let permissions = "/api-keys/{id}/permissions";
    let all = vec![
        operation("get", "/api-keys", "listApiKeys", "List API keys").lists::<ApiKeyView>(),
        operation(
            "post",
            "/api-keys",
            "createApiKey",
            "Make an API key; it is told once",
        )
        .takes("CreateApiKeyRequest")
        .makes::<ApiKeyView>(),
        operation(
            "get",
            one,
            "getApiKey",
            "An API key, without the key itself",
        )
        .gives::<ApiKeyView>(),
        operation(
            "get",
            permissions,
            "getApiKeyPermissions",
            "What an API key may do",
        )
        .gives::<Vec<String>>(),
        operation("delete", one, "deleteApiKey", "Revoke an API key")
            .tells("API key deleted successfully"),
    ];
    tagged("API keys", all)
}

fn operation_of_the_service() -> Vec<Operation> {
    let text = json!({ "type": "string" });
    let names = json!({ "type": "array", "items": { "type": "string" } });
    let all = vec![
        operation("get", "/health", "health", "`OK` while the process runs")
            .plain(&[("text/plain", json!({ "type": "string", "enum": ["OK"] }))])
            .open(),
        operation(
            "get",
            "/ready",
            "readiness",
            "Whether this process can do its work",
        )
        .bare::<baton_edge::ReadyReport>()
        .open(),
        operation(
            "get",
            "/metrics",
            "listMetrics",
            "Metrics; their names, if JSON is asked for",
        )
        .plain(&[(METRICS, text.clone()), ("application/json", names)]),
        operation(
            "get",
            "/metrics/{metric_name}",
            "metricDetail",
            "One metric",
        )
        .plain(&[(METRICS, text.clone())]),
        operation(
            "get",
            "/debug/metrics/scrape",
            "scrapeMetrics",
            "All metrics",
        )
        .plain(&[(METRICS, text)]),
    ];
    tagged("Operation", all)
}

fn tagged(tag: &'static str, all: Vec<Operation>) -> Vec<Operation> {
    all.into_iter()
        .map(|operation| operation.tag(tag))
        .collect()
}

fn idempotency_key() -> Value {
    json!({
        "name": "Idempotency-Key",
        "in": "header",
        "description": "The same request with the same key is executed once and answered as the first time",
        "schema": { "type": "string", "pattern": "^[!-~]{1,255}$" },
    })
}

fn status() -> Value {
    json!({
        "name": "status",
        "in": "query",
        "description": "Only those with this status",
        "schema": { "type": "string", "enum": (TxStatus::ALL.map(TxStatus::as_str)) },
    })
}
