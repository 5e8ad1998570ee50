//! What a transaction looks like, from acceptance to finality.

use serde_json::{Value, json};

use crate::support::lane::LaneHand;
use crate::support::{TARGET, World};

const LIST: &str = "/api/v1/relayers/main/transactions";
const FROM: &str = "0x1111111111111111111111111111111111111111";

/// The names that the reference gives, all of which are always there.
const REFERENCE_FIELDS: [&str; 20] = [
    "id",
    "hash",
    "status",
    "status_reason",
    "created_at",
    "sent_at",
    "confirmed_at",
    "gas_price",
    "gas_limit",
    "nonce",
    "value",
    "from",
    "to",
    "relayer_id",
    "data",
    "max_fee_per_gas",
    "max_priority_fee_per_gas",
    "signature",
    "speed",
    "is_canceled",
];

#[tokio::test]
async fn an_accepted_transaction_has_every_field() {
    let world = World::new();
    let client = world.listen().await;
    let fields = r#""value":"0xde0b6b3a7640000","data":"0xABcd","unknown":{"a":1}"#;
    let body = format!(r#"{{"to":"{TARGET}","speed":"safeLow",{fields}}}"#);
    let data = client.send(&body).await.data();
    for field in REFERENCE_FIELDS {
        assert!(data.as_object().unwrap().contains_key(field), "{field}");
    }
    let expected = json!({
        "id": data["id"], "hash": null, "status": "pending", "status_reason": null,
        "created_at": "2023-11-14T22:13:20.000Z", "sent_at": null, "confirmed_at": null,
        "gas_price": null, "gas_limit": null, "nonce": null, "value": "0xde0b6b3a7640000",
        "from": FROM, "to": TARGET, "relayer_id": "main", "data": "0xabcd",
        "max_fee_per_gas": null, "max_priority_fee_per_gas": null, "signature": null,
        "speed": "safeLow", "is_canceled": false,
        "chain_id": 31337, "valid_until": "2023-11-15T06:13:20.000Z", "hashes": [], "attempts": [],
        "mined_at": null, "finished_at": null, "block_number": null, "block_hash": null,
        "gas_used": null, "effective_gas_price": null, "contract_address": null,
    });
    assert_eq!(data, expected);
    let id = data["id"].as_str().unwrap();
    assert_eq!(id.len(), 36);
    assert_eq!(client.get(&format!("{LIST}/{id}")).await.data(), expected);
}

#[tokio::test]
async fn every_way_to_price_is_shown_as_it_was_given() {
    let world = World::new();
    let client = world.listen().await;
    let huge = u128::MAX;
    for (price, legacy, max, tip, speed) in [
        (
            r#""gas_price":7"#.to_owned(),
            json!("7"),
            Value::Null,
            Value::Null,
            Value::Null,
        ),
        (
            format!(r#""gas_price":{huge}"#),
            json!(huge.to_string()),
            Value::Null,
            Value::Null,
            Value::Null,
        ),
        (
            r#""max_fee_per_gas":"0x10","max_priority_fee_per_gas":"9""#.to_owned(),
            Value::Null,
            json!("16"),
            json!("9"),
            Value::Null,
        ),
        (
            r#""speed":"fastest""#.to_owned(),
            Value::Null,
            Value::Null,
            Value::Null,
            json!("fastest"),
        ),
    ] {
        let body = format!(r#"{{"to":"{TARGET}","value":0,"gas_limit":"21000",{price}}}"#);
        let data = client.send(&body).await.data();
        assert_eq!(data["gas_price"], legacy, "{price}");
        assert_eq!(data["max_fee_per_gas"], max, "{price}");
        assert_eq!(data["max_priority_fee_per_gas"], tip, "{price}");
        assert_eq!(data["speed"], speed, "{price}");
        assert_eq!(
            (&data["gas_limit"], &data["value"]),
            (&21_000.into(), &"0x0".into())
        );
    }
}

#[tokio::test]
async fn what_may_be_left_out_may_be_left_out() {
    let world = World::with(&[("main", |relayer| {
        relayer.policy.whitelist_receivers = Some(Vec::new());
        relayer.policy.gas_price_cap = Some(7);
    })]);
    let client = world.listen().await;
    let zero = "0x0000000000000000000000000000000000000000";
    for (to, price) in [
        (FROM, r#""gas_price":7"#),
        (zero, r#""max_fee_per_gas":7,"max_priority_fee_per_gas":7"#),
        (&FROM[2..], r#""speed":"average""#),
    ] {
        let body = format!(r#"{{"to":"{to}","value":"1",{price}}}"#);
        assert_eq!(client.send(&body).await.status, 200, "{body}");
    }
    let world = World::new();
    let client = world.listen().await;
    for body in [
        r#"{"data":"6001","value":0,"speed":"fast"}"#,
        r#"{"to":"","data":"0x6001","value":0,"speed":"fast"}"#,
        r#"{"to":null,"data":"0x6001","value":0,"speed":"fast","gas_price":null}"#,
    ] {
        let data = client.send(body).await.data();
        assert_eq!(
            (&data["to"], &data["data"]),
            (&Value::Null, &"0x6001".into()),
            "{body}"
        );
    }
}

#[tokio::test]
async fn a_transaction_fills_up_as_it_goes() {
    let world = World::new();
    let client = world.listen().await;
    let id = world.transfer().await;
    let path = format!("{LIST}/{id}");
    let mut lane = LaneHand::take(&world, "main", true).await;
    lane.take_in().await;
    let data = client.get(&path).await.data();
    assert_eq!(
        (&data["status"], &data["nonce"]),
        (&"submitted".into(), &7.into())
    );
    assert_eq!(data["sent_at"], "2023-11-14T22:13:20.000Z");
    assert_eq!(data["hashes"], json!([data["hash"]]));
    let attempt = &data["attempts"][0];
    assert_eq!(
        (&attempt["hash"], &attempt["nonce"]),
        (&data["hash"], &7.into())
    );
    assert_eq!(attempt["sent_at"], data["sent_at"]);
    assert_eq!(data["gas_limit"], 21_000);
    assert_eq!(data["max_priority_fee_per_gas"], "3");
    assert!(data["max_fee_per_gas"].is_string() && data["gas_price"].is_null());
    let half = "ab".repeat(32);
    assert_eq!(
        data["signature"],
        json!({"r": half, "s": half, "v": 28, "sig": format!("{half}{half}1c")})
    );

    lane.mine_one().await;
    let data = client.get(&path).await.data();
    assert_eq!(
        (&data["status"], &data["confirmed_at"]),
        (&"mined".into(), &Value::Null)
    );
    assert_eq!(data["mined_at"], "2023-11-14T22:13:20.000Z");
    assert_eq!(
        (&data["block_number"], &data["gas_used"]),
        (&101.into(), &21_000.into())
    );
    assert_eq!(data["effective_gas_price"], "1000000007");

    lane.finalize().await;
    let data = client.get(&path).await.data();
    assert_eq!(data["status"], "confirmed");
    assert_eq!(data["confirmed_at"], data["finished_at"]);
    assert!(data["confirmed_at"].is_string());
}
