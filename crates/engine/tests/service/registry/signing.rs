//! Signing messages and typed data, against values that other programs gave.

use alloy_primitives::{B256, keccak256};
use serde_json::{Value, json};

use super::{made, make_relayer, make_signer, one};

const SIGN: &str = "/api/v1/relayers/main/sign";
const TYPED: &str = "/api/v1/relayers/main/sign-typed-data";

fn joined(data: &Value) {
    let part = |name: &str| data[name].as_str().unwrap().to_owned();
    let v = data["v"].as_u64().unwrap();
    assert_eq!(part("sig"), format!("{}{}{v:02x}", part("r"), part("s")));
}

#[tokio::test]
async fn a_message_is_signed_as_personal_sign_does() {
    let (_deployment, _replica, client) = one().await;
    let data = client
        .post(SIGN, &json!({ "message": "hello" }))
        .await
        .data();
    // `cast wallet sign "hello"` with anvil's first key.
    assert_eq!(
        data["sig"],
        "f16ea9a3478698f695fd1401bfe27e9e4a7e8e3da94aa72b021125e31fa899cc573c4\
        8ea3fe1d4ab61a9db10c19032026e3ed2dbccba5a178235ac27f94504311c"
    );
    joined(&data);
    // Length is counted in bytes, not in characters.
    let data = client.post(SIGN, &json!({ "message": "é" })).await.data();
    joined(&data);
    let answer = client.post(SIGN, &json!({ "message": "" })).await;
    joined(&answer.data());
}

#[tokio::test]
async fn typed_data_is_signed_by_its_hashes() {
    let (_deployment, _replica, client) = one().await;
    let domain = B256::repeat_byte(0x11);
    let message = B256::repeat_byte(0x22);
    let body = json!({ "domain_separator": domain, "hash_struct_message": message });
    let prefixed = client.post(TYPED, &body).await.data();
    joined(&prefixed);
    let bare = |hash: B256| hash.to_string().trim_start_matches("0x").to_owned();
    let body = json!({
        "domain_separator": bare(domain), "hash_struct_message": bare(message),
    });
    assert_eq!(client.post(TYPED, &body).await.data(), prefixed);
    let whole = [&[0x19, 0x01][..], domain.as_slice(), message.as_slice()].concat();
    let hash = keccak256(whole);
    let part = |name: &str| prefixed[name].as_str().unwrap().parse::<B256>().unwrap();
    let key = baton_vault::LocalSigner::from_hex(super::KEYS[0]).unwrap();
    let expected = baton_vault::Signer::sign_hash(&key, hash).await.unwrap();
    assert_eq!(part("r"), B256::from(expected.r));
    assert_eq!(part("s"), B256::from(expected.s));
    assert_eq!(prefixed["v"], 27 + u64::from(expected.y_parity));
}

#[tokio::test]
async fn bodies_that_cannot_be_signed() {
    let (_deployment, _replica, client) = one().await;
    make_signer(&client, "second", 1).await;
    let mut paused = super::relayer_body("paused", "second");
    paused["paused"] = json!(true);
    made(&client.post("/api/v1/relayers", &paused).await);
    let hash = B256::ZERO.to_string();
    for (path, body, status, error) in [
        (SIGN, json!({}), 400, "message is required; found nothing"),
        (
            SIGN,
            json!({ "message": null }),
            400,
            "message is required; found nothing",
        ),
        (
            SIGN,
            json!({ "message": 5 }),
            400,
            "message must be a string; found 5",
        ),
        (SIGN, json!([]), 400, "body must be a JSON object; found []"),
        (
            TYPED,
            json!({ "domain_separator": hash }),
            400,
            "hash_struct_message is required; found nothing",
        ),
        (
            TYPED,
            json!({ "domain_separator": "0x11", "hash_struct_message": hash }),
            400,
            "domain_separator must be 32 bytes in hex; found \"0x11\"",
        ),
        (
            "/api/v1/relayers/nobody/sign",
            json!({ "message": "a" }),
            404,
            "Relayer with ID nobody not found",
        ),
        (
            "/api/v1/relayers/paused/sign",
            json!({ "message": "a" }),
            403,
            "Relayer paused",
        ),
    ] {
        let answer = client.post(path, &body).await;
        assert_eq!(
            (answer.status, answer.error().as_str()),
            (status, error),
            "{path} {body}"
        );
    }
}

#[tokio::test]
async fn a_relayer_signs_with_its_own_key() {
    let (_deployment, _replica, client) = one().await;
    make_signer(&client, "second", 1).await;
    make_relayer(&client, "other", "second").await;
    let body = json!({ "message": "hello" });
    let first = client.post(SIGN, &body).await.data();
    let other = client
        .post("/api/v1/relayers/other/sign", &body)
        .await
        .data();
    assert_ne!(first, other);
}
