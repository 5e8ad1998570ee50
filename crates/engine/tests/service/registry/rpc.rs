//! The JSON-RPC passthrough.

use baton_chain::{NodeAnswer, RpcError};
use baton_model::B256;
use serde_json::{Value, json};

use super::one;

const RPC: &str = "/api/v1/relayers/main/rpc";

fn call(method: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": [] })
}

#[tokio::test]
async fn results_come_back_as_the_node_wrote_them() {
    let (_deployment, replica, client) = one().await;
    let chain = &replica.world.chain;
    chain.answer(Ok(
        r#"{"a":340282366920938463463374607431768211456,"b":null}"#,
    ));
    let answer = client.post(RPC, &call("eth_call")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.body,
        r#"{"jsonrpc":"2.0","result":{"a":340282366920938463463374607431768211456,"b":null},"id":7}"#
    );
    // What the reference takes for granted.
    chain.answer(Ok("null"));
    let answer = client.post(RPC, &json!({ "method": "eth_chainId" })).await;
    assert_eq!(answer.body, r#"{"jsonrpc":"2.0","result":null,"id":1}"#);
    chain.answer(Ok("\"0x1\""));
    let body = json!({ "method": "eth_chainId", "id": null, "params": null });
    let answer = client.post(RPC, &body).await;
    assert_eq!(answer.body, r#"{"jsonrpc":"2.0","result":"0x1"}"#);
    assert_eq!(
        chain.passed(),
        ["eth_call []", "eth_chainId []", "eth_chainId []"]
    );
}

#[tokio::test]
async fn revert_data_is_kept() {
    let (_deployment, replica, client) = one().await;
    replica.world.chain.answer(Err(RpcError::Answered {
        code: 3,
        message: "execution reverted: no".to_owned(),
        data: Some("\"0x08c379a0\"".to_owned()),
    }));
    let answer = client.post(RPC, &call("eth_call")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.json(),
        json!({
            "jsonrpc": "2.0", "id": 7,
            "error": {
                "code": 3, "message": "execution reverted: no", "data": "0x08c379a0",
                "description": "execution reverted: no",
            },
        })
    );
}

#[tokio::test]
async fn a_batch_is_answered_in_its_order() {
    let (_deployment, replica, client) = one().await;
    let chain = &replica.world.chain;
    chain.answer(Ok("\"first\""));
    chain.answer(Ok("\"second\""));
    let body = json!([
        { "jsonrpc": "2.0", "id": "a", "method": "eth_blockNumber" },
        { "jsonrpc": "2.0", "id": "b", "method": "personal_sign", "params": [] },
        17,
        { "jsonrpc": "2.0", "id": "c", "method": "eth_getBalance", "params": ["0x1", "latest"] },
        { "jsonrpc": "2.0", "id": "d" },
    ]);
    let answer = client.post(RPC, &body).await.json();
    let refused =
        |code: i64, text: &str| json!({ "code": code, "message": text, "description": text });
    assert_eq!(
        answer,
        json!([
            { "jsonrpc": "2.0", "id": "a", "result": "first" },
            {
                "jsonrpc": "2.0", "id": "b",
                "error": refused(-32601, "the method personal_sign is not allowed through this relayer"),
            },
            { "jsonrpc": "2.0", "error": refused(-32600, "a call must be a JSON object") },
            { "jsonrpc": "2.0", "id": "c", "result": "second" },
            { "jsonrpc": "2.0", "error": refused(-32600, "Missing 'method' field") },
        ])
    );
    assert_eq!(
        chain.passed(),
        ["eth_blockNumber []", "eth_getBalance [\"0x1\",\"latest\"]"]
    );
    for calls in [0, 101] {
        let body = Value::Array(vec![call("eth_chainId"); calls]);
        let answer = client.post(RPC, &body).await.json();
        let text = format!("a batch must have 1 to 100 calls; found {calls}");
        assert_eq!(answer["error"], refused(-32600, &text));
    }
}

#[tokio::test]
async fn nothing_that_signs_or_changes_a_node_is_passed() {
    let (_deployment, replica, client) = one().await;
    for method in [
        "eth_sendTransaction",
        "eth_sign",
        "eth_signTypedData_v4",
        "personal_unlockAccount",
        "admin_addPeer",
        "debug_setHead",
        "anvil_setBalance",
        "eth_newFilter",
        "ETH_CALL",
    ] {
        let answer = client.post(RPC, &call(method)).await;
        assert_eq!(
            (answer.status, &answer.json()["error"]["code"]),
            (200, &json!(-32601)),
            "{method}"
        );
    }
    assert!(replica.world.chain.passed().is_empty());
}

#[tokio::test]
async fn a_signed_transaction_goes_to_all_nodes() {
    let (_deployment, replica, client) = one().await;
    let chain = &replica.world.chain;
    let hash = B256::repeat_byte(9);
    let unknown = || NodeAnswer::Unknown {
        reason: "cut".to_owned(),
    };
    let rejected = || NodeAnswer::Rejected {
        code: -32000,
        message: "nonce too low".to_owned(),
    };
    let send = json!({ "id": 1, "method": "eth_sendRawTransaction", "params": ["0x02ab"] });
    for (said, expected) in [
        (
            vec![rejected(), NodeAnswer::Accepted(hash)],
            json!({ "result": hash }),
        ),
        (
            vec![unknown(), NodeAnswer::Accepted(hash)],
            json!({ "result": hash }),
        ),
        (
            vec![rejected()],
            json!({ "code": -32000, "message": "nonce too low" }),
        ),
        (vec![rejected(), unknown()], json!({ "code": -33002 })),
        (vec![], json!({ "code": -33002 })),
    ] {
        chain.offers(said.clone());
        let answer = client.post(RPC, &send).await.json();
        for (name, value) in expected.as_object().unwrap() {
            let found = if name == "result" {
                &answer["result"]
            } else {
                &answer["error"][name]
            };
            assert_eq!(found, value, "{said:?}: {answer}");
        }
    }
    for params in [
        json!([]),
        json!(["02ab"]),
        json!(["0x0"]),
        json!(["0x"]),
        json!(["0x0x02"]),
        json!([1]),
    ] {
        let body = json!({ "method": "eth_sendRawTransaction", "params": params });
        let answer = client.post(RPC, &body).await.json();
        assert_eq!(answer["error"]["code"], -32602, "{params}");
    }
}

#[tokio::test]
async fn calls_that_are_none() {
    let (_deployment, replica, client) = one().await;
    for (body, error) in [
        (json!({}), "Missing 'method' field"),
        (json!({ "method": "" }), "Missing 'method' field"),
        (json!({ "method": 5 }), "Missing 'method' field"),
        (json!("eth_call"), "a call must be a JSON object"),
        (
            json!({ "method": "eth_call", "jsonrpc": "1.0" }),
            "jsonrpc must be \"2.0\"",
        ),
        (
            json!({ "method": "eth_call", "id": 1.5 }),
            "id must be a string, a whole number or null",
        ),
        (
            json!({ "method": "eth_call", "id": {} }),
            "id must be a string, a whole number or null",
        ),
    ] {
        let answer = client.post(RPC, &body).await;
        assert_eq!(
            (answer.status, answer.error().as_str()),
            (400, error),
            "{body}"
        );
    }
    let answer = client
        .post(RPC, &json!({ "method": "eth_call", "params": 5 }))
        .await;
    assert_eq!(answer.json()["error"]["code"], -32602);
    // No node answers: that is part of the reply, and names no host.
    let answer = client.post(RPC, &call("eth_call")).await;
    assert_eq!(
        (answer.status, &answer.json()["error"]["code"]),
        (200, &json!(-33002))
    );
    assert!(!answer.body.contains("node.example"), "{}", answer.body);
    drop(replica);
}
