//! The bodies that make and change relayers and nodes.

use baton_model::{Address, EvmPolicy, RelayerId};
use serde_json::value::RawValue;

use super::body::{Body, Given, boolean, items, text};
use super::number::{read_u64, read_u128, shown};
use crate::registry::{Backends, NodeDef, RelayerDef};

const CREATE_FIELDS: &[&str] = &[
    "id",
    "name",
    "network",
    "network_type",
    "paused",
    "policies",
    "signer_id",
    "signer_ids",
    "notification_id",
    "custom_rpc_urls",
];
const PATCH_FIELDS: &[&str] = &[
    "name",
    "paused",
    "policies",
    "notification_id",
    "custom_rpc_urls",
];
/// What a relayer is built on. Another one is another relayer.
const FIXED_FIELDS: &[&str] = &["id", "network", "network_type", "signer_id", "signer_ids"];
const POLICY_FIELDS: &[&str] = &[
    "gas_price_cap",
    "whitelist_receivers",
    "eip1559_pricing",
    "private_transactions",
    "min_balance",
    "gas_limit_estimation",
    "include_revert_data",
];
/// Most accounts of one relayer: all of them are one lane's work.
const SIGNERS_MAX: usize = 1000;
/// Most receivers that are allowed by name: each acceptance looks through them.
const RECEIVERS_MAX: usize = 10_000;
/// Most nodes of one network: every broadcast goes to all of them.
const NODES_MAX: usize = 32;
/// Longest URL of a node: browsers and proxies take about as much.
const URL_BYTES_MAX: usize = 2048;

/// Reads what a new relayer is to be.
///
/// # Errors
/// The first rule that it breaks, in words fit for the caller.
pub(super) fn new_relayer(
    raw: &RawValue,
    fresh_id: impl FnOnce() -> String,
    backends: &dyn Backends,
) -> Result<RelayerDef, String> {
    let body = Body::open("", raw, CREATE_FIELDS)?;
    network_type(&body)?;
    let id = body.text("id")?.unwrap_or_else(fresh_id);
    let id = RelayerId::new(id).map_err(|error| format!("id: {error}"))?;
    let blank = RelayerDef {
        id,
        name: body.required_text("name")?,
        network: body.required_text("network")?,
        paused: boolean("paused", body.required("paused")?)?,
        policy: EvmPolicy::default(),
        signer_ids: signer_ids(&body)?,
        notification_id: None,
        custom_rpc_urls: None,
    };
    merged(&body, blank, backends)
}

/// Reads what a relayer is to be after a JSON Merge Patch (RFC 7396).
///
/// # Errors
/// The first rule that it breaks, in words fit for the caller.
pub(super) fn patched_relayer(
    raw: &RawValue,
    old: &RelayerDef,
    backends: &dyn Backends,
) -> Result<RelayerDef, String> {
    let all = [PATCH_FIELDS, FIXED_FIELDS].concat();
    let body = Body::open("", raw, &all)?;
    for name in FIXED_FIELDS {
        if !matches!(body.get(name), Given::Absent) {
            return Err(format!(
                "{name} cannot be changed: make another relayer; {} can be",
                PATCH_FIELDS.join(", ")
            ));
        }
    }
    for name in ["name", "paused"] {
        if matches!(body.get(name), Given::Null) {
            return Err(format!("{name} cannot be removed; found null"));
        }
    }
    merged(&body, old.clone(), backends)
}

/// Reads a list of nodes: texts, or objects with `url`, `weight` and `ws_url`.
///
/// # Errors
/// The first rule that it breaks; of a URL no more than its host is repeated.
pub(super) fn nodes(
    place: &str,
    raw: &RawValue,
    backends: &dyn Backends,
) -> Result<Vec<NodeDef>, String> {
    let mut nodes = Vec::new();
    for (place, item) in items(place, raw, NODES_MAX)? {
        nodes.push(node(&place, item, backends)?);
    }
    let is_usable = |node: &NodeDef| node.weight > 0 && node.url.starts_with("http");
    if !nodes.iter().any(is_usable) {
        return Err(format!(
            "{place} must have an http or https URL with a weight above 0"
        ));
    }
    Ok(nodes)
}

fn merged(
    body: &Body<'_>,
    mut relayer: RelayerDef,
    backends: &dyn Backends,
) -> Result<RelayerDef, String> {
    if let Some(name) = body.text("name")? {
        relayer.name = name;
    }
    if let Some(raw) = body.value("paused") {
        relayer.paused = boolean("paused", raw)?;
    }
    match body.get("policies") {
        Given::Absent => {}
        Given::Null => relayer.policy = EvmPolicy::default(),
        Given::Value(raw) => relayer.policy = policy(raw, relayer.policy)?,
    }
    match body.get("notification_id") {
        Given::Absent => {}
        Given::Null => relayer.notification_id = None,
        Given::Value(raw) => relayer.notification_id = Some(text("notification_id", raw)?),
    }
    match body.get("custom_rpc_urls") {
        Given::Absent => {}
        Given::Null => relayer.custom_rpc_urls = None,
        Given::Value(raw) => {
            relayer.custom_rpc_urls = Some(nodes("custom_rpc_urls", raw, backends)?);
        }
    }
    Ok(relayer)
}

fn network_type(body: &Body<'_>) -> Result<(), String> {
    let found = body.required_text("network_type")?;
    match found.as_str() {
        "evm" => Ok(()),
        "solana" | "stellar" => Err(format!(
            "network_type must be evm: Baton relays to EVM networks only, not to Solana or \
             Stellar; found {found:?}"
        )),
        _ => Err(format!("network_type must be evm; found {found:?}")),
    }
}

fn signer_ids(body: &Body<'_>) -> Result<Vec<String>, String> {
    match (body.value("signer_id"), body.value("signer_ids")) {
        (Some(one), None) => Ok(vec![text("signer_id", one)?]),
        (None, Some(many)) => {
            let mut ids = Vec::new();
            for (place, raw) in items("signer_ids", many, SIGNERS_MAX)? {
                let id = text(&place, raw)?;
                if ids.contains(&id) {
                    return Err(format!("{place} must not repeat a signer; found {id:?}"));
                }
                ids.push(id);
            }
            if ids.is_empty() {
                return Err("signer_ids must have an entry; found none".to_owned());
            }
            Ok(ids)
        }
        (None, None) => Err("signer_id is required; found nothing".to_owned()),
        (Some(_), Some(_)) => {
            Err("signer_ids must not be given together with signer_id; found both".to_owned())
        }
    }
}

/// What is absent stays, what is null becomes the default.
fn policy(raw: &RawValue, old: EvmPolicy) -> Result<EvmPolicy, String> {
    let body = Body::open("policies", raw, POLICY_FIELDS)?;
    let default = EvmPolicy::default();
    let flag = |name: &str, old: Option<bool>, default| match body.get(name) {
        Given::Absent => Ok(old),
        Given::Null => Ok(default),
        Given::Value(raw) => boolean(&body.place(name), raw).map(Some),
    };
    let amount = |name: &str, old: Option<u128>, default| match body.get(name) {
        Given::Absent => Ok(old),
        Given::Null => Ok(default),
        Given::Value(raw) => read_u128(&body.place(name), raw).map(Some),
    };
    let gas_price_cap = amount("gas_price_cap", old.gas_price_cap, None)?;
    if gas_price_cap == Some(0) {
        return Err(
            "policies.gas_price_cap must be more than 0, or nothing could be sent; found 0"
                .to_owned(),
        );
    }
    let is_estimated = flag("gas_limit_estimation", Some(old.gas_limit_estimation), None)?;
    let is_fetched = flag("include_revert_data", Some(old.include_revert_data), None)?;
    let min_balance = amount("min_balance", Some(old.min_balance), None)?;
    Ok(EvmPolicy {
        gas_price_cap,
        whitelist_receivers: match body.get("whitelist_receivers") {
            Given::Absent => old.whitelist_receivers,
            Given::Null => None,
            Given::Value(raw) => Some(addresses(&body.place("whitelist_receivers"), raw)?),
        },
        eip1559_pricing: flag("eip1559_pricing", old.eip1559_pricing, None)?,
        private_transactions: flag("private_transactions", old.private_transactions, None)?,
        min_balance: min_balance.unwrap_or(default.min_balance),
        gas_limit_estimation: is_estimated.unwrap_or(default.gas_limit_estimation),
        include_revert_data: is_fetched.unwrap_or(default.include_revert_data),
    })
}

fn addresses(place: &str, raw: &RawValue) -> Result<Vec<Address>, String> {
    let mut addresses = Vec::new();
    for (place, item) in items(place, raw, RECEIVERS_MAX)? {
        let text: Option<String> = serde_json::from_str(item.get()).ok();
        let address = text
            .filter(|text| text.starts_with("0x"))
            .and_then(|text| text.parse().ok());
        addresses.push(address.ok_or_else(|| {
            format!(
                "{place} must be an address: 0x and 40 hexadecimal digits; found {}",
                shown(item)
            )
        })?);
    }
    Ok(addresses)
}

fn node(place: &str, raw: &RawValue, backends: &dyn Backends) -> Result<NodeDef, String> {
    if raw.get().starts_with('"') {
        return Ok(NodeDef {
            url: url(
                place,
                raw,
                &["http://", "https://", "ws://", "wss://"],
                backends,
            )?,
            weight: 100,
            ws_url: None,
        });
    }
    let body = Body::open(place, raw, &["url", "weight", "ws_url"])?;
    let given = body.required("url")?;
    let schemes = ["http://", "https://", "ws://", "wss://"];
    let url_of = |name: &str, raw, schemes: &[&str]| url(&body.place(name), raw, schemes, backends);
    let weight = match body.value("weight") {
        None => 100,
        Some(raw) => weight(&body.place("weight"), raw)?,
    };
    let ws_url = body.value("ws_url");
    Ok(NodeDef {
        url: url_of("url", given, &schemes)?,
        weight,
        ws_url: ws_url
            .map(|raw| url_of("ws_url", raw, &schemes[2..]))
            .transpose()?,
    })
}

fn weight(place: &str, raw: &RawValue) -> Result<u8, String> {
    let refuse = || {
        let found = shown(raw);
        format!("{place} must be a whole number from 0 to 100; found {found}")
    };
    let weight = read_u64(place, raw).map_err(|_| refuse())?;
    u8::try_from(weight)
        .ok()
        .filter(|weight| *weight <= 100)
        .ok_or_else(refuse)
}

/// A URL may hold a key: of one that is refused no more than its host is told.
fn url(
    place: &str,
    raw: &RawValue,
    schemes: &[&str],
    backends: &dyn Backends,
) -> Result<String, String> {
    let text: Option<String> = serde_json::from_str(raw.get()).ok();
    let fits = |text: &String| {
        text.len() <= URL_BYTES_MAX && schemes.iter().any(|scheme| text.starts_with(scheme))
    };
    let text = text.filter(fits).ok_or_else(|| {
        format!(
            "{place} must be a URL of at most {URL_BYTES_MAX} bytes that begins with {}",
            schemes.join(", ")
        )
    })?;
    if text.ends_with("/***") {
        return Err(format!(
            "{place} is masked, as this API shows URLs that may hold keys; give the whole URL"
        ));
    }
    backends
        .check_node(&text)
        .map_err(|reason| format!("{place}: {reason}"))?;
    Ok(text)
}
