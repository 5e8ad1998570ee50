//! What callers send, and the answers that no type describes. Bodies are read field by field, so that errors can name
//! field, rule and value; a test holds each against its reader.

use serde_json::{Map, Value, json};

use super::operation::reference;
use crate::service::MANY_MAX;
use crate::webhooks::EVENT_WORDS;

/// The ways to give a price. Exactly one is allowed.
const PRICES: [&[&str]; 3] = [
    &["gas_price"],
    &["speed"],
    &["max_fee_per_gas", "max_priority_fee_per_gas"],
];

/// The schemas by their names.
pub(super) fn schemas() -> Map<String, Value> {
    let all = [
        ("Error", error()),
        ("Unauthorized", unauthorized()),
        ("TooManyRequests", too_many_requests()),
        ("WholeNumber", whole_number()),
        ("TransactionRequest", transaction(true)),
        ("TransactionsRequest", transactions()),
        ("ReplacementRequest", transaction(false)),
        (
            "SignRequest",
            open_object(&["message"], &json!({ "message": { "type": "string" } })),
        ),
        ("SignTypedDataRequest", typed_data()),
        ("RpcCall", rpc_call()),
        ("RpcRequest", rpc_request()),
        ("RpcAnswer", rpc_answer()),
        ("RpcReply", rpc_reply()),
        ("NodeRequest", node()),
        ("PolicyRequest", policy()),
        ("CreateRelayerRequest", create_relayer()),
        ("UpdateRelayerRequest", update_relayer()),
        ("CreateSignerRequest", create_signer()),
        ("CreateNotificationRequest", notification(true)),
        ("UpdateNotificationRequest", notification(false)),
        (
            "UpdateNetworkRequest",
            object(&["rpc_urls"], &json!({ "rpc_urls": nodes() })),
        ),
        ("CreateApiKeyRequest", create_api_key()),
    ];
    all.into_iter()
        .map(|(name, schema)| (name.to_owned(), schema))
        .collect()
}

/// An object whose other fields are refused.
fn object(required: &[&str], properties: &Value) -> Value {
    let mut object = open_object(required, properties);
    object["additionalProperties"] = json!(false);
    object
}

/// An object whose other fields are left alone.
fn open_object(required: &[&str], properties: &Value) -> Value {
    json!({ "type": "object", "required": required, "properties": properties })
}

/// The same, or null.
fn nullable(mut schema: Value) -> Value {
    match schema.get("type").cloned() {
        Some(kind) => {
            schema["type"] = json!([kind, "null"]);
            schema
        }
        None => json!({ "anyOf": [schema, { "type": "null" }] }),
    }
}

fn described(mut schema: Value, description: &str) -> Value {
    schema["description"] = json!(description);
    schema
}

fn error() -> Value {
    let properties = json!({
        "success": { "type": "boolean", "enum": [false] },
        "data": { "type": "null" },
        "error": { "type": "string" },
    });
    open_object(&["success", "data", "error"], &properties)
}

fn unauthorized() -> Value {
    let properties = json!({
        "success": { "type": "boolean", "enum": [false] },
        "code": { "type": "integer", "enum": [401] },
        "error": { "type": "string" },
        "message": { "type": "string" },
    });
    open_object(&["success", "code", "error", "message"], &properties)
}

fn too_many_requests() -> Value {
    let rate = json!({
        "success": { "type": "boolean", "enum": [false] },
        "code": { "type": "integer", "enum": [429] },
        "error": { "type": "string" },
        "message": { "type": "string" },
        "after": { "type": "integer", "minimum": 1, "description": "Seconds after which to try again" },
    });
    let at_once = json!({
        "error": { "type": "string" },
        "max_concurrent": { "type": "integer" },
    });
    json!({
        "anyOf": [
            open_object(&["success", "code", "error", "message", "after"], &rate),
            open_object(&["error", "max_concurrent"], &at_once),
        ],
    })
}

fn whole_number() -> Value {
    json!({
        "description": "A whole number: a JSON number, or a text of decimal digits or of hex digits after 0x",
        "anyOf": [
            { "type": "integer", "minimum": 0 },
            { "type": "string", "pattern": "^(0x[0-9a-fA-F]{1,32}|[0-9]{1,38})$" },
        ],
    })
}

fn transaction(is_new: bool) -> Value {
    let number = || nullable(reference("WholeNumber"));
    let properties = json!({
        "to": described(
            json!({ "type": ["string", "null"], "pattern": "^((0x)?[0-9a-fA-F]{40})?$" }),
            "Target; absent or empty creates a contract",
        ),
        "value": described(json!({ "anyOf": [reference("WholeNumber")] }), "Wei"),
        "data": described(
            json!({ "type": ["string", "null"], "pattern": "^(0x)?([0-9a-fA-F]{2})*$" }),
            "Input, or init code, in hex; at most 130560 bytes",
        ),
        "gas_limit": described(number(), "At least what the transaction uses before anything is executed"),
        "gas_price": described(number(), "Wei per gas of a legacy transaction"),
        "speed": { "type": ["string", "null"], "enum": ["fastest", "fast", "average", "safeLow", null] },
        "max_fee_per_gas": described(number(), "Wei per gas"),
        "max_priority_fee_per_gas": described(number(), "Wei per gas; not above max_fee_per_gas"),
        "valid_until": described(
            json!({ "type": ["string", "null"], "format": "date-time" }),
            "When it lapses; by default 8 h from now, or when the one that it replaces lapses",
        ),
    });
    let mut schema = open_object(&["value"], &properties);
    let mut prices: Vec<Value> = PRICES.iter().map(|given| priced(given)).collect();
    if !is_new {
        prices.push(priced(&[]));
    }
    schema["allOf"] = json!([{ "anyOf": prices }, { "anyOf": [
        open_object(&["to"], &json!({ "to": { "type": "string", "minLength": 1 } })),
        open_object(&["data"], &json!({ "data": { "type": "string" } })),
    ] }]);
    schema
}

fn transactions() -> Value {
    let key = json!({
        "type": "object",
        "properties": { "idempotency_key": { "type": ["string", "null"], "pattern": "^[!-~]{1,255}$" } },
    });
    let one = json!({ "allOf": [reference("TransactionRequest"), key] });
    let many = json!({ "type": "array", "items": one, "minItems": 1, "maxItems": MANY_MAX });
    object(&["transactions"], &json!({ "transactions": many }))
}

/// With these fields and no others that give a price. Null is the same as absent.
fn priced(given: &[&str]) -> Value {
    let fields = PRICES.iter().copied().flatten().map(|field| {
        let kind = if given.contains(field) {
            json!({ "not": { "type": "null" } })
        } else {
            json!({ "type": "null" })
        };
        ((*field).to_owned(), kind)
    });
    open_object(given, &Value::Object(fields.collect()))
}

fn typed_data() -> Value {
    let hash = || json!({ "type": "string", "pattern": "^(0x)?[0-9a-fA-F]{64}$" });
    let properties = json!({
        "domain_separator": described(hash(), "Hash of the domain"),
        "hash_struct_message": described(hash(), "Hash of the message"),
    });
    open_object(&["domain_separator", "hash_struct_message"], &properties)
}

fn rpc_call() -> Value {
    let properties = json!({
        "jsonrpc": { "type": ["string", "null"], "enum": ["2.0", null], "default": "2.0" },
        "method": { "type": "string", "minLength": 1, "examples": ["eth_blockNumber"] },
        "params": { "default": [] },
        "id": { "type": ["string", "integer", "null"], "default": 1 },
    });
    open_object(&["method"], &properties)
}

fn rpc_answer() -> Value {
    let failure = json!({
        "code": { "type": "integer" },
        "message": { "type": "string" },
        "data": {},
        "description": { "type": "string" },
    });
    let properties = json!({
        "jsonrpc": { "type": "string", "enum": ["2.0"] },
        "result": {},
        "error": open_object(&["code", "message", "description"], &failure),
        "id": { "type": ["string", "integer"] },
    });
    open_object(&["jsonrpc"], &properties)
}

/// What is no call in a batch gets an error in its place; the batch itself is answered.
fn rpc_request() -> Value {
    let batch = json!({ "type": "array", "description": "1 to 100 calls" });
    json!({ "anyOf": [reference("RpcCall"), batch] })
}

fn rpc_reply() -> Value {
    let one = reference("RpcAnswer");
    json!({ "anyOf": [one, { "type": "array", "items": one }] })
}

/// Texts that are a name, or an id of something else.
fn name() -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": 256, "pattern": "\\S" })
}

fn id() -> Value {
    json!({ "type": "string", "pattern": "^[a-zA-Z0-9_-]{1,36}$" })
}

fn url(schemes: &str) -> Value {
    json!({ "type": "string", "maxLength": 2048, "pattern": format!("^{schemes}://[^/?#\\\\]") })
}

fn node() -> Value {
    let properties = json!({
        "url": url("(https?|wss?)"),
        "weight": nullable(json!({ "type": "integer", "minimum": 0, "maximum": 100, "default": 100 })),
        "ws_url": nullable(url("wss?")),
    });
    let object = object(&["url"], &properties);
    json!({ "anyOf": [url("(https?|wss?)"), object] })
}

fn nodes() -> Value {
    json!({ "type": "array", "items": reference("NodeRequest"), "minItems": 1, "maxItems": 32 })
}

fn policy() -> Value {
    let flag = || json!({ "type": ["boolean", "null"] });
    let address = json!({ "type": "string", "pattern": "^0x[0-9a-fA-F]{40}$" });
    let addresses = json!({ "type": "array", "items": address, "maxItems": 10_000 });
    let number = || nullable(reference("WholeNumber"));
    let properties = json!({
        "gas_price_cap": described(number(), "Most wei per gas that is bid"),
        "whitelist_receivers": described(nullable(addresses), "Who may be called"),
        "eip1559_pricing": flag(),
        "private_transactions": flag(),
        "min_balance": described(number(), "Wei below which an account takes no new work"),
        "gas_limit_estimation": flag(),
        "include_revert_data": flag(),
    });
    described(object(&[], &properties), "What is null becomes the default")
}

fn create_relayer() -> Value {
    let signers = json!({ "type": "array", "items": name(), "minItems": 1, "maxItems": 1000, "uniqueItems": true });
    let signers = described(nullable(signers), "Several, whose accounts share the work");
    let properties = json!({
        "id": nullable(id()),
        "name": name(),
        "network": name(),
        "network_type": { "type": "string", "enum": ["evm"] },
        "paused": { "type": "boolean" },
        "policies": nullable(reference("PolicyRequest")),
        "signer_id": nullable(name()),
        "signer_ids": signers,
        "notification_id": nullable(name()),
        "custom_rpc_urls": nullable(nodes()),
    });
    let mut schema = object(&["name", "network", "network_type", "paused"], &properties);
    let text = json!({ "type": "string" });
    let list = json!({ "type": "array" });
    let nothing = json!({ "type": "null" });
    schema["anyOf"] = json!([
        open_object(
            &["signer_id"],
            &json!({ "signer_id": text, "signer_ids": null })
        ),
        open_object(
            &["signer_ids"],
            &json!({ "signer_id": nothing, "signer_ids": list })
        ),
    ]);
    schema
}

fn update_relayer() -> Value {
    let properties = json!({
        "name": name(),
        "paused": { "type": "boolean" },
        "policies": nullable(reference("PolicyRequest")),
        "notification_id": nullable(name()),
        "custom_rpc_urls": nullable(nodes()),
    });
    described(
        object(&[], &properties),
        "What is absent stays; null removes",
    )
}

fn create_signer() -> Value {
    let kinds = [
        "plain",
        "aws_kms",
        "azure_key_vault",
        "cdp",
        "google_cloud_kms",
        "turnkey",
        "vault",
        "vault_transit",
    ];
    let properties = json!({
        "id": nullable(id()),
        "type": { "type": "string", "enum": kinds },
        "config": { "type": "object", "description": "What the type needs; `{\"key\": \"…\"}` for `plain`" },
    });
    object(&["type", "config"], &properties)
}

fn notification(is_new: bool) -> Value {
    let key = json!({ "type": "string", "pattern": "^(.{32,512})?$" });
    let word = json!({ "type": "string", "enum": EVENT_WORDS });
    let events = json!({ "type": "array", "items": word, "maxItems": EVENT_WORDS.len() });
    let mut properties = json!({
        "type": { "type": ["string", "null"], "enum": ["webhook", null] },
        "url": url("https?"),
        "signing_key": described(nullable(key), "Signs the webhooks; empty removes it"),
        "events": described(nullable(events), "Only these; all when empty"),
    });
    if is_new {
        properties["id"] = nullable(id());
        return object(&["url"], &properties);
    }
    properties["url"] = nullable(url("https?"));
    object(&[], &properties)
}

fn rate_limit() -> Value {
    let number = json!({ "type": "integer", "minimum": 1, "maximum": 1_000_000 });
    let properties = json!({ "per_second": number, "burst": number });
    object(&["per_second", "burst"], &properties)
}

fn create_api_key() -> Value {
    let permission = "^(admin|(read|send)(:[a-zA-Z0-9_-]{1,36})?)$";
    let permission = json!({ "type": "string", "pattern": permission, "examples": ["send:shop"] });
    let properties = json!({
        "name": name(),
        "permissions": { "type": "array", "items": permission, "minItems": 1, "maxItems": 100 },
        "allowed_origins": nullable(json!({ "type": "array", "items": name(), "maxItems": 100 })),
        "rate_limit": described(nullable(rate_limit()), "Without it, that of the configuration"),
    });
    object(&["name", "permissions"], &properties)
}
