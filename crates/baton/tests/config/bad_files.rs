//! Bad configuration files.

use serde_json::{Value, json};

use crate::support::{RAW_KEY, Sample, assert_problems};

fn put(pointer: &str, value: Value) -> Sample {
    Sample::new().put(pointer, value)
}

fn relayer(field: &str, value: Value) -> Sample {
    put(&format!("/relayers/0/{field}"), value)
}

fn policy(field: &str, value: Value) -> Sample {
    put(&format!("/relayers/0/policies/{field}"), value)
}

fn raw_key(key: &Value) -> Sample {
    put("/signers/0/type", json!("raw_key")).put("/signers/0/config", json!({ "key": key }))
}

#[test]
fn the_sample_has_no_problem() {
    assert_eq!(Sample::new().check(), (vec![], vec![]));
}

#[test]
fn files_as_a_whole() {
    assert_problems(&[
        (
            Sample::new().text("{\"relayers\": [}"),
            "{dir}/config.json: must be JSON: expected value at line 1 column 15",
        ),
        (
            Sample::new().text(""),
            "{dir}/config.json: must be JSON: EOF while parsing a value at line 1 column 0",
        ),
        (
            Sample::new().text("[]"),
            "{dir}/config.json: must be an object, found a list",
        ),
        (
            Sample::new().text(format!("{}{}", "[".repeat(50), "]".repeat(50))),
            "{dir}/config.json: must be JSON: is nested deeper than 32 levels",
        ),
        (
            Sample::new().text(" ".repeat(9 * 1024 * 1024)),
            "{dir}/config.json: must have at most 8388608 bytes, found 9437184",
        ),
        (
            Sample::new().without("/relayers"),
            "relayers: must be given",
        ),
        (
            put("/signers", json!({})),
            "signers: must be a list, found an object",
        ),
        (
            put("/relayer", json!([])),
            "relayer: is not a known field; did you mean `relayers`?",
        ),
        (put("/colour", json!("red")), "colour: is not a known field"),
        (
            put("/plugins", json!([{ "id": "p", "path": "p.ts" }])),
            "plugins: are not supported; remove them",
        ),
        (
            Sample::new().text(
                r#"{"relayers": [], "signers": [], "networks": [], "plugins": [], "plugins": []}"#,
            ),
            "plugins: is given twice",
        ),
    ]);
}

#[test]
fn relayers() {
    assert_problems(&[
        (
            put("/relayers/-", json!(5)),
            "relayers[1]: must be an object, found a number",
        ),
        (
            Sample::new().without("/relayers/0/id"),
            "relayers[0].id: must be given",
        ),
        (
            relayer("id", json!("a b")),
            "relayers[0].id: relayer id contains ' '; allowed are letters, digits and -_, \
             found \"a b\"",
        ),
        (
            relayer("id", json!("a".repeat(37))),
            "relayers[0].id: relayer id has 37 bytes, at most 36 are allowed, \
             found \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"",
        ),
        (
            relayer("id", json!(7)),
            "relayers[0].id: must be a string that is not empty, found 7",
        ),
        (
            relayer("name", json!(" ")),
            "relayers[0].name: must be a string that is not empty, found \" \"",
        ),
        (
            relayer("netwrok", json!("sepolia")),
            "relayers[0].netwrok: is not a known field; did you mean `network`?",
        ),
        (
            relayer("network", json!("sepola")),
            "relayers[0].network: must name a known evm network, found \"sepola\"; did you mean \
             `sepolia`?",
        ),
        (
            relayer("network_type", json!("solana")),
            "relayers[0].network_type: only evm relayers are supported by this version, found \
             \"solana\"",
        ),
        (
            relayer("network_type", json!("EVM")),
            "relayers[0].network_type: must be `evm`, found \"EVM\"; did you mean `evm`?",
        ),
        (
            relayer("paused", json!("no")),
            "relayers[0].paused: must be true or false, found \"no\"",
        ),
    ]);
}

#[test]
fn what_relayers_refer_to() {
    assert_problems(&[
        (
            relayer("signer_id", json!("local-singer")),
            "relayers[0].signer_id: must name a signer, found \"local-singer\"; did you mean \
             `local-signer`?",
        ),
        (
            Sample::new().without("/relayers/0/signer_id"),
            "relayers[0].signer_id: must be given",
        ),
        (
            relayer("signer_ids", json!(["local-signer"])),
            "relayers[0].signer_ids: must not be given together with signer_id",
        ),
        (
            relayer("signer_ids", json!([])).without("/relayers/0/signer_id"),
            "relayers[0].signer_ids: must have 1 to 1000 entries, found 0",
        ),
        (
            relayer("signer_ids", json!(["local-signer", "local-signer"]))
                .without("/relayers/0/signer_id"),
            "relayers[0].signer_ids[1]: must not repeat a signer, found \"local-signer\"",
        ),
        (
            relayer("notification_id", json!("hook")),
            "relayers[0].notification_id: must name a notification, found \"hook\"",
        ),
        (
            Sample::new().without("/relayers/0/custom_rpc_urls"),
            "relayers[0].custom_rpc_urls: must be given, for network \"sepolia\" has no rpc_urls",
        ),
    ]);
}

#[test]
fn relayers_among_each_other() {
    let second = |id: &str, network: &str| {
        let mut relayer = Sample::new().file["relayers"][0].clone();
        relayer["id"] = json!(id);
        relayer["network"] = json!(network);
        put("/relayers/-", relayer)
    };
    assert_problems(&[
        (
            second("sepolia-example", "mainnet"),
            "relayers[1].id: must differ from relayers[0].id, found \"sepolia-example\"",
        ),
        (
            second("other", "sepolia"),
            "relayers[1].signer_id: must not share a signer on chain 11155111 with relayer \
             sepolia-example: they would use the same nonces, found \"local-signer\"",
        ),
    ]);
    assert_eq!(second("other", "mainnet").check(), (vec![], vec![]));
}

#[test]
fn policies() {
    let wei = "must be a whole number of wei, below 2^128, as a number or a string";
    let cap = "relayers[0].policies.gas_price_cap";
    let expected = |found: &str| format!("{cap}: {wei}, found {found}");
    let large = "340282366920938463463374607431768211456";
    let [negative, fraction, exponent, hex, overflow] = [
        expected("-5"),
        expected("1.5"),
        expected("1e+30"),
        expected("\"0x10\""),
        expected(&format!("\"{large}\"")),
    ];
    assert_problems(&[
        (policy("gas_price_cap", json!(-5)), &negative),
        (policy("gas_price_cap", json!(1.5)), &fraction),
        (policy("gas_price_cap", json!(1e30)), &exponent),
        (policy("gas_price_cap", json!("0x10")), &hex),
        (policy("gas_price_cap", json!(large)), &overflow),
        (
            policy("gas_price_cap", json!("0")),
            "relayers[0].policies.gas_price_cap: must be more than 0: nothing could be sent",
        ),
        (
            policy("gas_price_capp", json!(1)),
            "relayers[0].policies.gas_price_capp: is not a known field; did you mean \
             `gas_price_cap`?",
        ),
        (
            policy("whitelist_receivers", json!(["0x1234"])),
            "relayers[0].policies.whitelist_receivers[0]: must be an address: 0x and 40 \
             hexadecimal digits, found \"0x1234\"",
        ),
        (
            policy("whitelist_receivers", json!("0x1234")),
            "relayers[0].policies.whitelist_receivers: must be a list, found a string",
        ),
        (
            policy("eip1559_pricing", json!(1)),
            "relayers[0].policies.eip1559_pricing: must be true or false, found 1",
        ),
        (
            relayer("policies", json!(["min_balance"])),
            "relayers[0].policies: must be an object, found a list",
        ),
    ]);
}

#[test]
fn urls_of_nodes() {
    let url = |value: Value| relayer("custom_rpc_urls", json!([value]));
    assert_problems(&[
        (
            url(json!("node.example")),
            "relayers[0].custom_rpc_urls[0]: is not a URL: relative URL without a base",
        ),
        (
            url(json!("ftp://node.example/secret")),
            "relayers[0].custom_rpc_urls[0]: must begin with http:// or https:// or ws:// or \
             wss://, found ftp:",
        ),
        (
            url(json!({ "url": "https://node.example", "weight": 101 })),
            "relayers[0].custom_rpc_urls[0].weight: must be a whole number from 0 to 100, found 101",
        ),
        (
            url(json!({ "url": "https://node.example", "weight": 0 })),
            "relayers[0].custom_rpc_urls: must have an http or https URL with a weight above 0",
        ),
        (
            url(json!("wss://node.example")),
            "relayers[0].custom_rpc_urls: must have an http or https URL with a weight above 0",
        ),
        (
            url(json!({ "url": "https://node.example", "ws_url": "https://node.example" })),
            "relayers[0].custom_rpc_urls[0].ws_url: must begin with ws:// or wss://, found https:",
        ),
        (
            url(json!("http://169.254.169.254/latest")),
            "relayers[0].custom_rpc_urls[0]: host 169.254.169.254 is a cloud metadata service",
        ),
        (
            url(json!("http://0.0.0.0:8545")),
            "relayers[0].custom_rpc_urls[0]: host 0.0.0.0 is the unspecified address",
        ),
        (
            url(json!("http://127.0.0.1:8545")).with("RPC_BLOCK_PRIVATE_IPS", "true"),
            "relayers[0].custom_rpc_urls[0]: host 127.0.0.1 is private, and RPC_BLOCK_PRIVATE_IPS \
             is true",
        ),
        (
            Sample::new().with("RPC_ALLOWED_HOSTS", "other.example, third.example"),
            "relayers[0].custom_rpc_urls[0]: host node.example is not in RPC_ALLOWED_HOSTS",
        ),
        (
            relayer("custom_rpc_urls", json!("https://node.example")),
            "relayers[0].custom_rpc_urls: must be a list of URLs or of objects with url and \
             weight, found a string",
        ),
    ]);
}

#[test]
fn signers() {
    assert_problems(&[
        (
            put("/signers/0/type", json!("locla")),
            "signers[0].type: must be one of local, raw_key, aws_kms, azure_key_vault, cdp, \
             google_cloud_kms, turnkey, vault, vault_transit, found \"locla\"; did you mean \
             `local`?",
        ),
        (
            Sample::new().without("/signers/0/config"),
            "signers[0].config: must be given",
        ),
        (
            put("/signers/0/config/path", json!("/nonexistent/key.json")),
            "signers[0].config.path: must be a readable key store file: No such file or directory \
             (os error 2), found /nonexistent/key.json",
        ),
        (
            put("/signers/0/config/path", json!("/")),
            "signers[0].config.path: must be a readable key store file: it is not a file, found /",
        ),
        (
            Sample::new().unset("KEYSTORE_PASSPHRASE"),
            "signers[0].config.passphrase.value: environment variable KEYSTORE_PASSPHRASE must be \
             set and not empty",
        ),
        (
            put("/signers/0/config/passphrase", json!("secret")),
            "signers[0].config.passphrase: must be an object, found a string",
        ),
        (
            put("/signers/0/config/passphrase/type", json!("environment")),
            "signers[0].config.passphrase.type: must be `env`, `plain` or `file`, found \
             \"environment\"",
        ),
        (
            put(
                "/signers/0/config/passphrase/value",
                json!("correct horse battery"),
            ),
            "signers[0].config.passphrase.value: must be the name of an environment variable",
        ),
        (
            put("/signers/-", Sample::new().file["signers"][0].clone()),
            "signers[1].id: must differ from all other signer ids, found \"local-signer\"",
        ),
        (
            raw_key(&json!({ "type": "plain", "value": "0x1234" })),
            "signers[0].config.key: must be a private key: a key is 64 hexadecimal digits, \
             optionally after 0x; 4 characters were given",
        ),
        (
            raw_key(&json!({ "type": "env", "value": "MY_KEY" })).with("MY_KEY", &"0".repeat(64)),
            "signers[0].config.key: must be a private key: a key must not be zero",
        ),
        (
            raw_key(&json!({ "type": "file", "value": "/nonexistent" })),
            "signers[0].config.key.value: must be a readable file: No such file or directory (os \
             error 2), found \"/nonexistent\"",
        ),
        (
            raw_key(&json!({ "type": "plain", "value": RAW_KEY, "note": "mine" })),
            "signers[0].config.key.note: is not a known field",
        ),
    ]);
}

#[test]
fn notifications() {
    let hook = |field: &str, value: Value| {
        let hook = json!({ "id": "hook", "type": "webhook", "url": "https://hook.example/in" });
        put("/notifications/-", hook).put(&format!("/notifications/0/{field}"), value)
    };
    assert_problems(&[
        (
            hook("url", json!("hook.example")),
            "notifications[0].url: is not a URL: relative URL without a base",
        ),
        (
            hook("type", json!("email")),
            "notifications[0].type: must be `webhook`, found \"email\"",
        ),
        (
            hook(
                "signing_key",
                json!({ "type": "plain", "value": "too short" }),
            ),
            "notifications[0].signing_key: must have at least 32 characters, found 9",
        ),
        (
            hook("id", json!("a/b")),
            "notifications[0].id: must be 1 to 36 letters, digits, `-` or `_`, found \"a/b\"",
        ),
        (
            hook("events", json!("mined")),
            "notifications[0].events: must be a list, found a string",
        ),
        (
            hook("events", json!(["mined", "confirmd"])),
            "notifications[0].events[1]: must be one of transaction_update, sent, submitted, mined, \
             confirmed, failed, canceled, expired, relayer_state_update, relayer_disabled, \
             relayer_enabled, found \"confirmd\"; did you mean `confirmed`?",
        ),
    ]);
}

#[test]
fn all_problems_are_found_at_once() {
    let (problems, _) = Sample::new()
        .put("/relayers/0/network", json!("nowhere"))
        .put("/relayers/0/policies/min_balance", json!("all"))
        .put("/signers/0/type", json!("trezor"))
        .put("/plugins", json!({}))
        .unset("API_KEY")
        .with("APP_PORT", "http")
        .check();
    let places: Vec<&str> = problems
        .iter()
        .filter_map(|problem| problem.split(": ").next())
        .collect();
    let expected = [
        "APP_PORT",
        "API_KEY",
        "plugins",
        "signers[0].type",
        "relayers[0].network",
        "relayers[0].policies.min_balance",
    ];
    assert_eq!(places, expected, "{problems:#?}");
}
