//! JSON Schemas of the configuration, for editors. What they allow is at least what is read: rules over several fields
//! are the business of `baton config check`.

use baton_engine::webhooks::EVENT_WORDS;
use serde_json::{Map, Value, json};

use super::{file, networks, relayers, signers};

/// The dialect.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";
/// OpenZeppelin Relayer's rule for ids.
const ID: &str = "^[A-Za-z0-9_-]{1,36}$";

/// The schema of the configuration file.
pub fn config_schema() -> Value {
    let description = "See docs/configuration.md. `baton config check` finds what a schema cannot.";
    let mut schema = object(
        file::FIELDS,
        &["relayers", "signers"],
        json!({
            "$schema": { "type": "string" },
            "relayers": { "type": "array", "items": reference("relayer") },
            "signers": { "type": "array", "items": reference("signer") },
            "notifications": { "type": "array", "items": reference("notification") },
            "networks": {
                "description": "A list of networks, or a directory of files with networks.",
                "oneOf": [
                    { "type": "string", "minLength": 1 },
                    { "type": "array", "items": reference("network") },
                    { "type": "null" },
                ],
            },
            "plugins": {
                "description": "Must be empty: Baton runs no plugins.",
                "type": ["array", "null"], "maxItems": 0,
            },
        }),
    );
    schema["$schema"] = json!(DIALECT);
    schema["title"] = json!("Baton configuration");
    schema["description"] = json!(description);
    schema["$defs"] = definitions();
    schema
}

/// The schema of a file of networks.
pub fn networks_schema() -> Value {
    json!({
        "$schema": DIALECT,
        "title": "Baton networks",
        "type": "object",
        "required": ["networks"],
        "properties": {
            "$schema": { "type": "string" },
            "networks": { "type": "array", "items": reference("network") },
        },
        "additionalProperties": false,
        "$defs": definitions(),
    })
}

fn definitions() -> Value {
    json!({
        "id": { "type": "string", "pattern": ID },
        "wei": {
            "description": "A whole number of wei; exact as a string or a number of any size.",
            "oneOf": [
                { "type": "integer", "minimum": 0 },
                { "type": "string", "pattern": "^[0-9]+$" },
                { "type": "null" },
            ],
        },
        "address": { "type": "string", "pattern": "^0x[0-9a-fA-F]{40}$" },
        "url": { "type": "string", "pattern": "^(https?|wss?)://" },
        "secret": {
            "description": "Where a secret is: an environment variable, a file, or here.",
            "type": "object",
            "required": ["type", "value"],
            "properties": {
                "type": { "enum": ["env", "file", "plain"] },
                "value": { "type": "string", "minLength": 1 },
            },
            "additionalProperties": false,
        },
        "nodes": nodes(),
        "relayer": relayer(),
        "policies": policies(),
        "signer": signer(),
        "notification": notification(),
        "network": network(),
    })
}

fn nodes() -> Value {
    json!({
        "type": ["array", "null"],
        "maxItems": 32,
        "items": {
            "oneOf": [
                reference("url"),
                {
                    "type": "object",
                    "required": ["url"],
                    "properties": {
                        "url": reference("url"),
                        "weight": {
                            "description": "Share of reads; 0 disables.",
                            "type": "integer", "minimum": 0, "maximum": 100, "default": 100,
                        },
                        "ws_url": {
                            "description": "Where the same node announces blocks.",
                            "type": "string", "pattern": "^wss?://",
                        },
                    },
                    "additionalProperties": false,
                },
            ],
        },
    })
}

fn relayer() -> Value {
    object(
        relayers::FIELDS,
        &["id", "name", "network", "network_type"],
        json!({
            "id": reference("id"),
            "name": { "type": "string", "minLength": 1 },
            "network": { "type": "string", "minLength": 1 },
            "network_type": { "const": "evm" },
            "paused": { "type": ["boolean", "null"], "default": false },
            "signer_id": { "description": "The account that signs.", "type": "string" },
            "signer_ids": {
                "description": "Instead of signer_id: accounts that share the work.",
                "type": "array", "items": { "type": "string" }, "minItems": 1, "maxItems": 1000,
                "uniqueItems": true,
            },
            "policies": reference("policies"),
            "notification_id": { "type": ["string", "null"] },
            "custom_rpc_urls": reference("nodes"),
        }),
    )
}

fn policies() -> Value {
    let flag = |default: Value| json!({ "type": ["boolean", "null"], "default": default });
    let mut schema = object(
        relayers::POLICY_FIELDS,
        &[],
        json!({
            "gas_price_cap": reference("wei"),
            "min_balance": reference("wei"),
            "whitelist_receivers": { "type": ["array", "null"], "items": reference("address") },
            "eip1559_pricing": flag(json!(true)),
            "private_transactions": flag(Value::Null),
            "gas_limit_estimation": flag(json!(true)),
            "include_revert_data": flag(json!(false)),
        }),
    );
    schema["type"] = json!(["object", "null"]);
    schema
}

fn signer() -> Value {
    json!({
        "type": "object",
        "required": ["id", "type", "config"],
        "properties": {
            "id": reference("id"),
            "type": { "enum": signers::KINDS },
            "config": { "type": "object" },
        },
        "additionalProperties": false,
        "allOf": [
            {
                "if": { "properties": { "type": { "const": "local" } } },
                "then": { "properties": { "config": {
                    "required": ["path", "passphrase"],
                    "properties": {
                        "path": { "type": "string" }, "passphrase": reference("secret"),
                    },
                    "additionalProperties": false,
                } } },
            },
            {
                "if": { "properties": { "type": { "const": "raw_key" } } },
                "then": { "properties": { "config": {
                    "required": ["key"],
                    "properties": { "key": reference("secret") },
                    "additionalProperties": false,
                } } },
            },
        ],
    })
}

fn notification() -> Value {
    json!({
        "type": "object",
        "required": ["id", "type", "url"],
        "properties": {
            "id": reference("id"),
            "type": { "const": "webhook" },
            "url": { "type": "string", "pattern": "^https?://" },
            "signing_key": reference("secret"),
            "events": {
                "description": "What it is told of; everything when left out or empty.",
                "type": ["array", "null"],
                "items": { "enum": EVENT_WORDS },
            },
        },
        "additionalProperties": false,
    })
}

fn network() -> Value {
    let words = json!({ "type": ["array", "null"], "items": { "type": "string" } });
    let whole = |min: u64| json!({ "type": ["integer", "null"], "minimum": min });
    object(
        networks::FIELDS,
        &["type", "network"],
        json!({
            "type": {
                "description": "Networks of other types than evm are passed over.",
                "enum": ["evm", "solana", "stellar"],
            },
            "network": { "type": "string", "minLength": 1 },
            "from": { "description": "What fills its gaps.", "type": ["string", "null"] },
            "rpc_urls": reference("nodes"),
            "explorer_urls": words,
            "average_blocktime_ms": whole(1),
            "is_testnet": { "type": ["boolean", "null"] },
            "tags": words,
            "chain_id": whole(1),
            "required_confirmations": whole(0),
            "features": words,
            "symbol": { "type": ["string", "null"] },
            "gas_price_cache": { "type": ["object", "null"] },
            "in_flight_max": whole(1),
            "nonce_window": whole(1),
        }),
    )
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{name}") })
}

/// An object with the fields that are read, and no others.
fn object(fields: &[&str], required: &[&str], described: Value) -> Value {
    let Value::Object(mut described) = described else {
        return described;
    };
    let mut properties = Map::new();
    for field in fields {
        let schema = described.remove(*field).unwrap_or_else(|| json!({}));
        properties.insert((*field).to_owned(), schema);
    }
    json!({
        "type": "object",
        "required": required,
        "properties": properties,
        "additionalProperties": false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every reference leads somewhere, and every object says what it has and refuses the rest.
    fn check(schema: &Value, root: &Value, place: &str) {
        match schema {
            Value::Object(fields) => {
                if let Some(Value::String(name)) = fields.get("$ref") {
                    let pointer = name.trim_start_matches('#');
                    assert!(root.pointer(pointer).is_some(), "{place}: {name}");
                }
                for (name, value) in fields {
                    check(value, root, &format!("{place}/{name}"));
                }
            }
            Value::Array(items) => items.iter().for_each(|item| check(item, root, place)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn schemas_are_closed() {
        for schema in [config_schema(), networks_schema()] {
            check(&schema, &schema, "#");
        }
    }

    #[test]
    fn every_field_that_is_read_is_described() {
        let schema = config_schema();
        for (pointer, fields) in [
            ("/properties", file::FIELDS),
            ("/$defs/relayer/properties", relayers::FIELDS),
            ("/$defs/policies/properties", relayers::POLICY_FIELDS),
            ("/$defs/network/properties", networks::FIELDS),
        ] {
            let found = schema.pointer(pointer).unwrap().as_object().unwrap();
            assert_eq!(found.len(), fields.len(), "{pointer}");
            for (name, described) in found {
                assert_ne!(described, &json!({}), "{pointer}/{name}");
            }
        }
    }
}
