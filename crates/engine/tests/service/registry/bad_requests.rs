//! What is refused, with which words.

use serde_json::{Value, json};

use super::{KEYS, make_signer, one, relayer_body};
use crate::support::TARGET;

const RELAYERS: &str = "POST /api/v1/relayers";
const MAIN: &str = "PATCH /api/v1/relayers/main";
const NETWORK: &str = "PATCH /api/v1/networks/evm:localhost";
const HOOKS: &str = "POST /api/v1/notifications";
const SIGNERS: &str = "POST /api/v1/signers";
const API_KEYS: &str = "POST /api/v1/api-keys";

async fn check(cases: &[(&str, Value, u16, &str)]) {
    let (_deployment, replica, client) = one().await;
    make_signer(&client, "second", 1).await;
    make_signer(&client, "copy", 0).await;
    let before = replica.registry.snapshot();
    for (call, body, status, error) in cases {
        let (method, path) = call.split_once(' ').unwrap();
        let answer = client.call(method, path, &[], &body.to_string()).await;
        assert_eq!(answer.status, *status, "{call} {body}: {}", answer.body);
        assert_eq!(answer.error(), *error, "{call} {body}");
        assert!(!answer.body.contains("hunter2"), "{}", answer.body);
    }
    replica.registry.refresh().await.unwrap();
    let after = replica.registry.snapshot();
    assert_eq!(
        after.definitions, before.definitions,
        "nothing was left behind"
    );
}

/// The body of a relayer with a field of another value, or none.
fn with(field: &str, value: Value) -> Value {
    let mut body = relayer_body("shop", "second");
    if value.is_null() {
        body.as_object_mut().unwrap().remove(field);
    } else {
        body[field] = value;
    }
    body
}

#[tokio::test]
async fn relayers_of_a_wrong_shape() {
    let solana = "network_type must be evm: Baton relays to EVM networks only, not to \
        Solana or Stellar; found";
    let solana_error: &'static str = format!("{solana} \"solana\"").leak();
    let stellar_error: &'static str = format!("{solana} \"stellar\"").leak();
    let known = "id, name, network, network_type, paused, policies, signer_id, \
        signer_ids, notification_id, custom_rpc_urls";
    let unknown: &'static str = format!("note is not a known field; known are {known}").leak();
    check(&[
        (
            RELAYERS,
            json!([]),
            400,
            "body must be a JSON object; found []",
        ),
        (RELAYERS, with("note", json!(1)), 400, unknown),
        (
            RELAYERS,
            with("name", Value::Null),
            400,
            "name is required; found nothing",
        ),
        (
            RELAYERS,
            with("name", json!(" ")),
            400,
            "name must be a string of 1 to 256 characters; found \" \"",
        ),
        (
            RELAYERS,
            with("paused", Value::Null),
            400,
            "paused is required; found nothing",
        ),
        (
            RELAYERS,
            with("paused", json!("no")),
            400,
            "paused must be true or false; found \"no\"",
        ),
        (
            RELAYERS,
            with("network_type", Value::Null),
            400,
            "network_type is required; found nothing",
        ),
        (
            RELAYERS,
            with("network_type", json!("solana")),
            400,
            solana_error,
        ),
        (
            RELAYERS,
            with("network_type", json!("stellar")),
            400,
            stellar_error,
        ),
        (
            RELAYERS,
            with("network_type", json!("EVM")),
            400,
            "network_type must be evm; found \"EVM\"",
        ),
    ])
    .await;
}

#[tokio::test]
async fn relayers_that_name_what_is_not_there_or_taken() {
    let shared: &'static str = "relayer shop: account 0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266 \
        belongs to relayer main on chain 31337: an account's nonces belong to \
        one relayer";
    let mut both = with("signer_ids", json!(["second"]));
    both["signer_id"] = json!("second");
    check(&[
        (
            RELAYERS,
            with("network", json!("sepola")),
            400,
            "network must name a known evm network; found \"sepola\"",
        ),
        (
            RELAYERS,
            with("id", json!("a b")),
            400,
            "id: relayer id contains ' '; allowed are letters, digits and -_",
        ),
        (
            RELAYERS,
            with("id", json!("main")),
            409,
            "Relayer with ID main already exists",
        ),
        (
            RELAYERS,
            with("signer_id", Value::Null),
            400,
            "signer_id is required; found nothing",
        ),
        (
            RELAYERS,
            with("signer_id", json!("nobody")),
            404,
            "Signer with ID nobody not found",
        ),
        (
            RELAYERS,
            with("signer_id", json!("local")),
            400,
            "signer local is used on chain 31337 by relayer main already: they \
        would use the same nonces",
        ),
        (RELAYERS, with("signer_id", json!("copy")), 400, shared),
        (
            RELAYERS,
            both,
            400,
            "signer_ids must not be given together with signer_id; found both",
        ),
        (
            RELAYERS,
            with("notification_id", json!("none")),
            404,
            "Notification with ID none not found",
        ),
    ])
    .await;
}

#[tokio::test]
async fn patches_that_break_a_rule() {
    let policy = |name: &str, value: Value| json!({ "policies": { name: value } });
    let fixed = "name, paused, policies, notification_id, custom_rpc_urls can be";
    let network: &'static str =
        format!("network cannot be changed: make another relayer; {fixed}").leak();
    let signer: &'static str =
        format!("signer_id cannot be changed: make another relayer; {fixed}").leak();
    let known = "gas_price_cap, whitelist_receivers, eip1559_pricing, \
        private_transactions, min_balance, gas_limit_estimation, \
        include_revert_data";
    let unknown: &'static str =
        format!("policies.gas_cap is not a known field; known are {known}").leak();
    let number = "must be a whole number, as a JSON number or a decimal or 0x-hex \
        string; found";
    let least: &'static str = format!("policies.min_balance {number} -1").leak();
    check(&[
        (
            MAIN,
            json!("x"),
            400,
            "body must be a JSON object; found \"x\"",
        ),
        (MAIN, json!({ "network": "testnet" }), 400, network),
        (MAIN, json!({ "signer_id": null }), 400, signer),
        (
            MAIN,
            json!({ "name": null }),
            400,
            "name cannot be removed; found null",
        ),
        (
            MAIN,
            json!({ "paused": 1 }),
            400,
            "paused must be true or false; found 1",
        ),
        (
            MAIN,
            json!({ "policies": 5 }),
            400,
            "policies must be a JSON object; found 5",
        ),
        (MAIN, policy("gas_cap", json!(1)), 400, unknown),
        (
            MAIN,
            policy("gas_price_cap", json!(0)),
            400,
            "policies.gas_price_cap must be more than 0, or nothing could be \
        sent; found 0",
        ),
        (MAIN, policy("min_balance", json!(-1)), 400, least),
        (
            MAIN,
            policy("eip1559_pricing", json!("yes")),
            400,
            "policies.eip1559_pricing must be true or false; found \"yes\"",
        ),
        (
            MAIN,
            policy("whitelist_receivers", json!([TARGET, "0x12"])),
            400,
            "policies.whitelist_receivers[1] must be an address: 0x and 40 \
        hexadecimal digits; found \"0x12\"",
        ),
    ])
    .await;
}

#[tokio::test]
async fn patches_of_endpoints_that_break_a_rule() {
    let nodes = |value: Value| json!({ "custom_rpc_urls": value });
    let scheme = "custom_rpc_urls[0] must be a URL of at most 2048 bytes that begins \
        with http://, https://, ws://, wss://";
    check(&[
        (
            MAIN,
            nodes(json!("https://a.example")),
            400,
            "custom_rpc_urls must be a list; found \"https://a.example\"",
        ),
        (
            MAIN,
            nodes(json!([])),
            400,
            "custom_rpc_urls must have an http or https URL with a weight above 0",
        ),
        (MAIN, nodes(json!(["ftp://hunter2"])), 400, scheme),
        (
            MAIN,
            nodes(json!([{ "url": "https://a.example/hunter2", "weight": 101 }])),
            400,
            "custom_rpc_urls[0].weight must be a whole number from 0 to 100; found 101",
        ),
        (
            MAIN,
            nodes(json!([{ "url": "https://a.example/hunter2", "weight": 0 }])),
            400,
            "custom_rpc_urls must have an http or https URL with a weight above 0",
        ),
        (
            MAIN,
            nodes(json!(["https://a.example/***"])),
            400,
            "custom_rpc_urls[0] is masked, as this API shows URLs that may hold \
        keys; give the whole URL",
        ),
        (
            MAIN,
            nodes(json!(["http://metadata/hunter2"])),
            400,
            "custom_rpc_urls[0]: host metadata is a cloud metadata service",
        ),
        (
            MAIN,
            nodes(json!(["https://other-chain/hunter2"])),
            400,
            "relayer main: network localhost: endpoint other-chain serves chain 5",
        ),
    ])
    .await;
}

#[tokio::test]
async fn patches_that_name_what_is_not_there() {
    check(&[
        (
            MAIN,
            json!({ "notification_id": "none" }),
            404,
            "Notification with ID none not found",
        ),
        (
            "PATCH /api/v1/relayers/nobody",
            json!({}),
            404,
            "Relayer with ID nobody not found",
        ),
        (
            "DELETE /api/v1/relayers/nobody",
            json!({}),
            404,
            "Relayer with ID nobody not found",
        ),
    ])
    .await;
}

#[tokio::test]
async fn signers_that_cannot_be_made() {
    check(&[
        (SIGNERS, json!({}), 400, "type is required; found nothing"),
        (
            SIGNERS,
            json!({ "type": "plain" }),
            400,
            "config is required; found nothing",
        ),
        (
            SIGNERS,
            json!({ "type": "paper", "config": {} }),
            400,
            "type must be plain; found \"paper\"",
        ),
        (
            SIGNERS,
            json!({ "type": "plain", "config": { "key": 1 } }),
            400,
            "config.key must be a string",
        ),
        (
            SIGNERS,
            json!({ "type": "plain", "config": { "key": "hunter2" } }),
            400,
            "config.key: a key is 64 hexadecimal digits, optionally after 0x; 7 \
        characters were given",
        ),
        (
            SIGNERS,
            json!({ "id": "a b", "type": "plain", "config": { "key": KEYS[2] } }),
            400,
            "id must be 1 to 36 letters, digits, `-` or `_`; found \"a b\"",
        ),
        (
            SIGNERS,
            json!({ "id": "local", "type": "plain", "config": { "key": KEYS[2] } }),
            409,
            "Signer with ID local already exists",
        ),
        (
            "GET /api/v1/signers/nobody",
            json!({}),
            404,
            "Signer with ID nobody not found",
        ),
    ])
    .await;
}

#[tokio::test]
async fn notifications_that_cannot_be_made() {
    let key_rule = "signing_key must have 32 to 512 characters, or none to remove it";
    let url_rule = "url must be an http or https URL of at most 2048 characters";
    check(&[
        (HOOKS, json!({}), 400, "url is required; found nothing"),
        (HOOKS, json!({ "url": "ftp://hunter2" }), 400, url_rule),
        (HOOKS, json!({ "url": "https:///hunter2" }), 400, url_rule),
        (
            HOOKS,
            json!({ "url": "https://a.example", "type": "mail" }),
            400,
            "type must be webhook; found \"mail\"",
        ),
        (
            HOOKS,
            json!({ "url": "https://a.example", "signing_key": "hunter2" }),
            400,
            key_rule,
        ),
        (
            HOOKS,
            json!({ "id": "hook", "url": "https://a.example" }),
            409,
            "Notification with ID hook already exists",
        ),
        (
            "GET /api/v1/notifications/none",
            json!({}),
            404,
            "Notification with ID none not found",
        ),
    ])
    .await;
}

#[tokio::test]
async fn networks_that_cannot_be_changed() {
    check(&[
        (
            NETWORK,
            json!({}),
            400,
            "rpc_urls is required; found nothing",
        ),
        (
            NETWORK,
            json!({ "rpc_urls": [] }),
            400,
            "rpc_urls must have an http or https URL with a weight above 0",
        ),
        (
            NETWORK,
            json!({ "chain_id": 5 }),
            400,
            "chain_id is not a known field; known are rpc_urls",
        ),
        (
            "PATCH /api/v1/networks/evm:none",
            json!({ "rpc_urls": ["https://a.example"] }),
            404,
            "Network with ID 'evm:none' not found",
        ),
        (
            "GET /api/v1/networks/solana:devnet",
            json!({}),
            404,
            "Network with ID 'solana:devnet' not found: only EVM networks are \
        served",
        ),
    ])
    .await;
}

#[tokio::test]
async fn api_keys_that_cannot_be_made() {
    let permission = "permissions must be admin, read, send, read:<relayer id> or \
        send:<relayer id>; found \"all\"";
    check(&[
        (
            API_KEYS,
            json!({ "permissions": ["read"] }),
            400,
            "name is required; found nothing",
        ),
        (
            API_KEYS,
            json!({ "name": "a" }),
            400,
            "permissions is required; found nothing",
        ),
        (
            API_KEYS,
            json!({ "name": "a", "permissions": [] }),
            400,
            "permissions must have an entry; found none",
        ),
        (
            API_KEYS,
            json!({ "name": "a", "permissions": ["all"] }),
            400,
            permission,
        ),
        (
            "GET /api/v1/api-keys/none/permissions",
            json!({}),
            404,
            "API key with ID none not found",
        ),
    ])
    .await;
}
