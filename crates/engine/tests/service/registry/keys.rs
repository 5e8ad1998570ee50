//! API keys: given out, limited, revoked.

use baton_coord::{Scan, Table};
use baton_edge::{IssuedKeys, key_digest};
use baton_model::LaneId;
use serde_json::{Value, json};

use super::{Deployment, file, made, make_relayer, make_signer, one};
use crate::support::client::Client;
use crate::support::transfer_body;

const KEYS: &str = "/api/v1/api-keys";

/// The key and its id.
async fn make_key(client: &Client, permissions: Value) -> (String, String) {
    let data = made(
        &client
            .post(KEYS, &json!({ "name": "shop", "permissions": permissions }))
            .await,
    );
    let text = |name: &str| data[name].as_str().unwrap().to_owned();
    (text("value"), text("id"))
}

#[tokio::test]
async fn a_key_is_told_once_and_kept_as_a_digest() {
    let (deployment, _replica, client) = one().await;
    let body = json!({ "name": "shop", "permissions": ["read", "send:main"] });
    let mut data = made(&client.post(KEYS, &body).await);
    let value = data["value"].take().as_str().unwrap().to_owned();
    assert!(
        value.starts_with("baton_") && value.len() == 6 + 64,
        "{value}"
    );
    let id = data["id"].as_str().unwrap().to_owned();
    let expected = json!({
        "id": id, "name": "shop", "permissions": ["read", "send:main"],
        "allowed_origins": ["*"], "created_at": "2023-11-14T22:13:20.000Z",
    });
    data.as_object_mut().unwrap().remove("value");
    assert_eq!(data, expected);
    assert_eq!(client.get(KEYS).await.json()["data"], json!([expected]));
    assert_eq!(client.get(&format!("{KEYS}/{id}")).await.data(), expected);
    let permissions = client.get(&format!("{KEYS}/{id}/permissions")).await.data();
    assert_eq!(permissions, json!(["read", "send:main"]));
    let lane = LaneId::new("registry/main").unwrap();
    let scan = Scan::prefix("", 100);
    let stored = deployment.store.scan(&lane, &scan).await.unwrap();
    let random = value.trim_start_matches("baton_");
    for entry in &stored {
        assert!(!String::from_utf8_lossy(&entry.value).contains(random));
    }
    assert_eq!(stored.len(), 2, "the head and the key");
}

#[tokio::test]
async fn a_key_can_have_a_rate_of_its_own() {
    let (_deployment, replica, client) = one().await;
    let mut body = json!({ "name": "slow", "permissions": ["read"] });
    for (rate, rule) in [
        (json!(5), "rate_limit must be a JSON object"),
        (json!({ "per_second": 1 }), "rate_limit.burst is required"),
        (
            json!({ "per_second": 0, "burst": 2 }),
            "rate_limit.per_second must be 1 to 1000000; found 0",
        ),
    ] {
        body["rate_limit"] = rate;
        let refused = client.post(KEYS, &body).await;
        assert_eq!(refused.status, 400);
        assert!(refused.error().starts_with(rule), "{}", refused.body);
    }
    body["rate_limit"] = json!({ "per_second": 7, "burst": 2 });
    let data = made(&client.post(KEYS, &body).await);
    assert_eq!(data["rate_limit"], body["rate_limit"]);
    let id = data["id"].as_str().unwrap();
    let shown = client.get(&format!("{KEYS}/{id}")).await.data();
    assert_eq!(shown["rate_limit"], body["rate_limit"]);
    let digest = key_digest(data["value"].as_str().unwrap());
    let issued = replica.registry.find(&digest).unwrap();
    let rate = issued
        .rate
        .map(|rate| (rate.per_second.get(), rate.burst.get()));
    assert_eq!(rate, Some((7, 2)), "as the listener counts it");
}

#[tokio::test]
async fn a_key_may_do_what_it_was_given_for_and_no_more() {
    let (_deployment, _replica, client) = one().await;
    make_signer(&client, "second", 1).await;
    make_relayer(&client, "shop", "second").await;
    let (read, _) = make_key(&client, json!(["read:main"])).await;
    let (send, _) = make_key(&client, json!(["send:shop"])).await;
    let (admin, _) = make_key(&client, json!(["admin"])).await;
    let transfer = transfer_body();
    let shop_sends = "POST /api/v1/relayers/shop/transactions";
    let main_sends = "POST /api/v1/relayers/main/transactions";
    let signs = "POST /api/v1/relayers/main/sign";
    let body = |call: &str| {
        if call == signs {
            r#"{"message":"a"}"#
        } else {
            transfer.as_str()
        }
    };
    for (call, expected) in [
        ("GET /api/v1/relayers/main", [200, 403, 200]),
        ("GET /api/v1/relayers/shop/", [403, 200, 200]),
        ("GET /api/v1/relayers/m%61in", [403, 403, 200]),
        ("GET /api/v1/relayers/main/transactions", [200, 403, 200]),
        (main_sends, [403, 403, 200]),
        (shop_sends, [403, 200, 200]),
        (signs, [403, 403, 200]),
        (
            "DELETE /api/v1/relayers/main/transactions/pending",
            [403, 403, 200],
        ),
        ("GET /api/v1/relayers", [200, 200, 200]),
        ("GET /api/v1/networks/evm:localhost", [200, 200, 200]),
        ("GET /api/v1/signers", [403, 403, 200]),
        ("GET /api/v1/notifications", [403, 403, 200]),
        ("GET /api/v1/api-keys", [403, 403, 200]),
        ("GET /api/v1/metrics", [403, 403, 200]),
        ("DELETE /api/v1/signers/nothing", [403, 403, 404]),
        ("GET /api/v1/plugins", [403, 403, 501]),
    ] {
        let (method, path) = call.split_once(' ').unwrap();
        let mut statuses = Vec::new();
        for key in [&read, &send, &admin] {
            statuses.push(client.call_as(key, method, path, body(call)).await.status);
        }
        assert_eq!(statuses, expected, "{call}");
    }
}

#[tokio::test]
async fn answers_hold_what_the_key_may_see() {
    let (_deployment, _replica, client) = one().await;
    make_signer(&client, "second", 1).await;
    make_relayer(&client, "shop", "second").await;
    let (read, _) = make_key(&client, json!(["read:main"])).await;
    let (send, _) = make_key(&client, json!(["send:shop"])).await;
    let (admin, _) = make_key(&client, json!(["admin"])).await;
    let transfer = transfer_body();
    let refused = client
        .call_as(
            &read,
            "POST",
            "/api/v1/relayers/main/transactions",
            &transfer,
        )
        .await;
    assert_eq!(
        refused.error(),
        "This API key lacks the permission send:main"
    );
    // Lists hold what may be read, and networks no keys of nodes.
    let list = client
        .call_as(&send, "GET", "/api/v1/relayers", "")
        .await
        .json();
    assert_eq!(list["data"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&list["data"][0]["id"], &list["pagination"]["total_items"]),
        (&json!("shop"), &json!(1))
    );
    for (key, url) in [
        (&send, "https://localhost.example/***"),
        (&admin, "https://localhost.example/v3/hunter2"),
    ] {
        let network = client
            .call_as(key, "GET", "/api/v1/networks/evm:localhost", "")
            .await;
        assert_eq!(network.json()["data"]["rpc_urls"][0]["url"], url);
    }
}

#[tokio::test]
async fn a_revoked_key_opens_nothing() {
    let deployment = Deployment::new();
    let (first, second) = (
        deployment.replica(file()).await,
        deployment.replica(file()).await,
    );
    let (client, other) = (first.listen().await, second.listen().await);
    let (key, id) = make_key(&client, json!(["read"])).await;
    let relayers = "/api/v1/relayers";
    assert_eq!(client.call_as(&key, "GET", relayers, "").await.status, 200);
    assert_eq!(
        other.call_as(&key, "GET", relayers, "").await.status,
        401,
        "not heard of yet"
    );
    second.registry.refresh().await.unwrap();
    assert_eq!(other.call_as(&key, "GET", relayers, "").await.status, 200);
    let path = format!("{KEYS}/{id}");
    assert_eq!(
        client.delete(&path).await.data(),
        "API key deleted successfully"
    );
    assert_eq!(client.call_as(&key, "GET", relayers, "").await.status, 401);
    second.registry.refresh().await.unwrap();
    assert_eq!(other.call_as(&key, "GET", relayers, "").await.status, 401);
    let gone = client.delete(&path).await;
    assert_eq!(
        (gone.status, gone.error()),
        (404, format!("API key with ID {id} not found"))
    );
}

#[tokio::test]
async fn a_key_for_one_page_is_refused_to_others() {
    let (_deployment, _replica, client) = one().await;
    let body = json!({
        "name": "page", "permissions": ["read"], "allowed_origins": ["https://shop.example"],
    });
    let key = made(&client.post(KEYS, &body).await)["value"]
        .as_str()
        .unwrap()
        .to_owned();
    let bearer = format!("Bearer {key}");
    for (origin, status) in [
        (None, 200),
        (Some("https://shop.example"), 200),
        (Some("https://other.example"), 403),
        (Some("null"), 403),
    ] {
        let mut headers = vec![("authorization", bearer.as_str())];
        headers.extend(origin.map(|origin| ("origin", origin)));
        let answer = client.call("GET", "/api/v1/relayers", &headers, "").await;
        assert_eq!(answer.status, status, "{origin:?}");
    }
}
