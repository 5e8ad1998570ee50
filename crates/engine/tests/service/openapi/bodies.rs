//! The descriptions of bodies, held against what reads them.

use std::collections::BTreeSet;

use baton_engine::service::http::openapi;
use serde_json::{Value, json};

use crate::support::World;

/// Bodies that refuse unknown fields: their description, and where they go.
const STRICT: [(&str, &str, &str); 7] = [
    ("CreateRelayerRequest", "POST", "/api/v1/relayers"),
    ("UpdateRelayerRequest", "PATCH", "/api/v1/relayers/main"),
    ("CreateSignerRequest", "POST", "/api/v1/signers"),
    ("CreateNotificationRequest", "POST", "/api/v1/notifications"),
    (
        "UpdateNotificationRequest",
        "PATCH",
        "/api/v1/notifications/none",
    ),
    ("UpdateNetworkRequest", "PATCH", "/api/v1/networks/evm:none"),
    ("CreateApiKeyRequest", "POST", "/api/v1/api-keys"),
];

/// Known, to be refused with a reason: a relayer is built on them.
const FIXED: [&str; 5] = ["id", "network", "network_type", "signer_id", "signer_ids"];

fn properties(name: &str) -> BTreeSet<String> {
    let document = openapi::document();
    let schema = &document["components"]["schemas"][name];
    schema["properties"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect()
}

/// The fields that a reader says it knows.
fn known(error: &str) -> BTreeSet<String> {
    let (_, names) = error.split_once("known are ").expect(error);
    names.split(", ").map(str::to_owned).collect()
}

#[tokio::test]
async fn bodies_are_described_as_they_are_read() {
    let client = World::new().listen().await;
    for (name, method, path) in STRICT {
        let refused = client
            .call(method, path, &[], r#"{"surplus":1}"#)
            .await
            .error();
        let mut described = properties(name);
        if name == "UpdateRelayerRequest" {
            described.extend(FIXED.map(str::to_owned));
        }
        assert_eq!(described, known(&refused), "{name}");
    }
}

#[tokio::test]
async fn parts_of_bodies_are_described_as_they_are_read() {
    let client = World::new().listen().await;
    let path = "/api/v1/relayers/main";
    let refused = client
        .call("PATCH", path, &[], r#"{"policies":{"surplus":1}}"#)
        .await
        .error();
    assert_eq!(properties("PolicyRequest"), known(&refused));
    let body = r#"{"custom_rpc_urls":[{"surplus":1}]}"#;
    let refused = client.call("PATCH", path, &[], body).await.error();
    let document = openapi::document();
    let node = &document["components"]["schemas"]["NodeRequest"]["anyOf"][1]["properties"];
    let node: BTreeSet<String> = node.as_object().unwrap().keys().cloned().collect();
    assert_eq!(node, known(&refused));
}

#[tokio::test]
async fn every_field_of_a_transaction_is_read() {
    let client = World::new().listen().await;
    let path = "/api/v1/relayers/main/transactions";
    for field in properties("TransactionRequest") {
        let mut body = json!({ "to": "0x00000000000000000000000000000000000000aa", "value": 1 });
        let price = ["gas_price", "max_fee_per_gas", "max_priority_fee_per_gas"];
        if !price.contains(&field.as_str()) {
            body["speed"] = Value::from("fast");
        }
        body[&field] = json!([true]);
        let refused = client
            .call("POST", path, &[], &body.to_string())
            .await
            .error();
        assert!(refused.contains(&field), "{field}: {refused}");
    }
    let domain = json!({ "domain_separator": format!("0x{}", "11".repeat(32)) });
    for (field, end, body) in [
        ("message", "sign", json!({})),
        ("domain_separator", "sign-typed-data", json!({})),
        ("hash_struct_message", "sign-typed-data", domain),
    ] {
        let path = format!("/api/v1/relayers/main/{end}");
        let refused = client.post(&path, &body).await.error();
        assert!(refused.starts_with(field), "{refused}");
    }
}
