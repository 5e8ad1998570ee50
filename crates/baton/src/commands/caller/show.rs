//! What people want to know of an answer.

use std::fmt::Write;

use baton_model::U256;
use serde_json::Value;

use crate::cli::shown;
use crate::commands::table;

/// Characters of an id, a hash or an address in a list that still tell it from others.
const SHORT: usize = 10;

/// A transaction.
pub(super) fn transaction(transaction: &Value) -> String {
    let text = |field: &str| plain(&transaction[field]);
    let attempts = transaction["hashes"].as_array().map(Vec::len);
    facts(&[
        ("id", text("id")),
        ("status", text("status")),
        ("reason", text("status_reason")),
        ("relayer", text("relayer_id")),
        ("from", text("from")),
        (
            "to",
            text("to").or_else(|| Some("(creates a contract)".to_owned())),
        ),
        ("value", amount(&transaction["value"])),
        ("data", data(&transaction["data"])),
        ("nonce", text("nonce")),
        ("gas limit", text("gas_limit")),
        ("gas price", amount(&transaction["gas_price"])),
        ("max fee", amount(&transaction["max_fee_per_gas"])),
        (
            "priority fee",
            amount(&transaction["max_priority_fee_per_gas"]),
        ),
        ("hash", text("hash")),
        (
            "attempts",
            attempts
                .filter(|count| *count > 1)
                .map(|count| count.to_string()),
        ),
        ("block", text("block_number")),
        ("contract", text("contract_address")),
        ("gas used", text("gas_used")),
        ("fee paid", fee(transaction)),
        ("created", text("created_at")),
        ("sent", text("sent_at")),
        ("mined", text("mined_at")),
        ("finished", text("finished_at")),
        ("valid until", text("valid_until")),
    ])
}

/// A page of transactions.
pub(super) fn transactions(body: &Value) -> String {
    let row = |transaction: &Value| {
        let text = |field: &str| plain(&transaction[field]).unwrap_or_default();
        vec![
            text("id"),
            text("status"),
            text("nonce"),
            short(&text("to")),
            amount(&transaction["value"]).unwrap_or_default(),
            text("created_at").chars().take(19).collect(),
            short(&text("hash")),
        ]
    };
    let headings = [
        "ID",
        "STATUS",
        "NONCE",
        "TO",
        "VALUE",
        "CREATED (UTC)",
        "HASH",
    ];
    page(body, &headings, row, "transactions")
}

/// A page of relayers.
pub(super) fn relayers(body: &Value) -> String {
    let row = |relayer: &Value| {
        let text = |field: &str| plain(&relayer[field]).unwrap_or_default();
        vec![
            text("id"),
            text("name"),
            text("network"),
            text("address"),
            state(relayer).to_owned(),
        ]
    };
    page(
        body,
        &["ID", "NAME", "NETWORK", "ADDRESS", "STATE"],
        row,
        "relayers",
    )
}

/// A relayer and its status.
pub(super) fn relayer(both: &Value) -> String {
    let (relayer, status) = (&both["relayer"], &both["status"]);
    let text = |field: &str| plain(&relayer[field]);
    let nodes = list(&relayer["custom_rpc_urls"])
        .iter()
        .filter_map(|node| plain(&node["url"]));
    let mut told = facts(&[
        ("id", text("id")),
        ("name", text("name")),
        ("network", text("network")),
        ("state", Some(state(relayer).to_owned())),
        ("reason", plain(&relayer["disabled_reason"]["details"])),
        ("signers", Some(texts(&relayer["signer_ids"]))),
        ("notification", text("notification_id")),
        ("nodes", Some(nodes.collect::<Vec<_>>().join(", "))),
        ("open", plain(&status["pending_transactions_count"])),
        (
            "last confirmed",
            plain(&status["last_confirmed_transaction_timestamp"]),
        ),
        ("balance", amount(&status["balance"])),
    ]);
    let rows = list(&status["accounts"]).iter().map(|account| {
        let text = |field: &str| plain(&account[field]).unwrap_or_default();
        let balance = amount(&account["balance"]).unwrap_or_default();
        vec![text("address"), balance, text("nonce"), text("next_nonce")]
    });
    told.push('\n');
    told.push_str(&table(
        &["ACCOUNT", "BALANCE", "NONCE", "NEXT NONCE"],
        rows.collect(),
    ));
    for alarm in list(&status["alarms"]).iter().filter_map(plain) {
        // Writing to a string cannot fail.
        let _: std::fmt::Result = write!(told, "\nalarm: {alarm}");
    }
    told
}

fn state(relayer: &Value) -> &'static str {
    match (&relayer["paused"], &relayer["system_disabled"]) {
        (Value::Bool(true), _) => "paused",
        (_, Value::Bool(true)) => "needs a person",
        (_, _) => "running",
    }
}

/// Lists and what they say of themselves.
fn page(
    body: &Value,
    headings: &[&str],
    row: impl Fn(&Value) -> Vec<String>,
    what: &str,
) -> String {
    let rows: Vec<_> = list(&body["data"]).iter().map(row).collect();
    let (shown, total) = (rows.len(), body["pagination"]["total_items"].as_u64());
    let mut text = if rows.is_empty() {
        String::new()
    } else {
        table(headings, rows)
    };
    if let Some(total) = total {
        let page = &body["pagination"]["current_page"];
        // Writing to a string cannot fail.
        let _: std::fmt::Result = write!(text, "{shown} of {total} {what}, page {page}");
    }
    text
}

/// Names and values, without those that there are none of.
fn facts(facts: &[(&str, Option<String>)]) -> String {
    let known = facts
        .iter()
        .filter_map(|(name, value)| Some((name, value.as_ref()?)));
    let known: Vec<_> = known.filter(|(_, value)| !value.is_empty()).collect();
    let width = known.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines = known
        .iter()
        .map(|(name, value)| format!("{name:<width$}  {value}\n"));
    lines.collect()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn texts(value: &Value) -> String {
    list(value)
        .iter()
        .filter_map(plain)
        .collect::<Vec<_>>()
        .join(", ")
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        // What somebody else wrote must not move the cursor.
        Value::String(text) => Some(text.chars().filter(|c| !c.is_control()).collect()),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Some(value.to_string())
        }
    }
}

fn short(text: &str) -> String {
    match text.char_indices().nth(SHORT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn wei(value: &Value) -> Option<U256> {
    let text = plain(value)?;
    match text.strip_prefix("0x") {
        Some(digits) => U256::from_str_radix(digits, 16).ok(),
        None => U256::from_str_radix(&text, 10).ok(),
    }
}

fn amount(value: &Value) -> Option<String> {
    wei(value).map(shown)
}

fn data(value: &Value) -> Option<String> {
    let text = plain(value)?;
    let bytes = text.len().saturating_sub(2) / 2;
    // A selector and a few arguments are worth reading, more is not.
    match text.char_indices().nth(74) {
        Some((end, _)) => Some(format!("{}… ({bytes} bytes)", &text[..end])),
        None => Some(text),
    }
}

fn fee(transaction: &Value) -> Option<String> {
    let price = wei(&transaction["effective_gas_price"])?;
    price.checked_mul(wei(&transaction["gas_used"])?).map(shown)
}
