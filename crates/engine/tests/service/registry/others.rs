//! Signers, notifications and networks.

use std::sync::atomic::Ordering;

use serde_json::json;

use super::{KEYS, made, make_relayer, make_signer, one};

#[tokio::test]
async fn a_signer_never_tells_its_key() {
    let (_deployment, _replica, client) = one().await;
    let body = json!({ "id": "second", "type": "plain", "config": { "key": KEYS[1] } });
    let answer = client.post("/api/v1/signers", &body).await;
    let expected = json!({ "id": "second", "type": "local", "config": {} });
    assert_eq!(made(&answer), expected);
    assert_eq!(client.get("/api/v1/signers/second").await.data(), expected);
    let list = client.get("/api/v1/signers").await;
    assert_eq!(list.json()["pagination"]["total_items"], 2);
    assert_eq!(list.json()["data"][1], expected);
    let fresh = json!({ "type": "plain", "config": { "key": KEYS[2] } });
    let fresh = made(&client.post("/api/v1/signers", &fresh).await);
    assert!(fresh["id"].as_str().unwrap().parse::<uuid::Uuid>().is_ok());
    let patched = client.patch("/api/v1/signers/second", &json!({})).await;
    assert_eq!(patched.status, 400);
    assert!(
        patched
            .error()
            .starts_with("Signer updates are not allowed")
    );
}

#[tokio::test]
async fn a_signer_in_use_stays() {
    let (_deployment, _replica, client) = one().await;
    make_signer(&client, "second", 1).await;
    make_relayer(&client, "shop", "second").await;
    let refused = client.delete("/api/v1/signers/second").await;
    assert_eq!(
        (refused.status, refused.error().as_str()),
        (
            400,
            "Cannot delete signer 'second' because it is being used by 1 relayer(s): Relayer shop"
        )
    );
    client.delete("/api/v1/relayers/shop").await.data();
    assert_eq!(
        client.delete("/api/v1/signers/second").await.data(),
        "Signer deleted successfully"
    );
    let gone = client.delete("/api/v1/signers/second").await;
    assert_eq!(
        (gone.status, gone.error().as_str()),
        (404, "Signer with ID second not found")
    );
    assert_eq!(client.get("/api/v1/signers/second").await.status, 404);
}

#[tokio::test]
async fn secrets_go_only_into_a_store_that_encrypts() {
    let (_deployment, replica, client) = one().await;
    replica.backends.sealed.store(false, Ordering::SeqCst);
    let signer = json!({ "id": "second", "type": "plain", "config": { "key": KEYS[1] } });
    let hook = json!({ "id": "two", "url": "https://a.example", "signing_key": "s".repeat(32) });
    for (path, body) in [("/api/v1/signers", signer), ("/api/v1/notifications", hook)] {
        let refused = client.post(path, &body).await;
        assert_eq!(refused.status, 403, "{}", refused.body);
        assert!(
            refused.error().contains("STORAGE_ENCRYPTION_KEY"),
            "{}",
            refused.body
        );
    }
    let open = json!({ "id": "two", "url": "https://a.example" });
    made(&client.post("/api/v1/notifications", &open).await);
    // Changing the file's notification would write its key into the store.
    let refused = client
        .patch(
            "/api/v1/notifications/hook",
            &json!({ "url": "https://b.example" }),
        )
        .await;
    assert_eq!(refused.status, 403);
}

#[tokio::test]
async fn a_notification_lives() {
    let (_deployment, _replica, client) = one().await;
    let path = "/api/v1/notifications/two";
    let body = json!({
        "id": "two", "type": "webhook", "url": "https://a.example/x",
        "signing_key": "s".repeat(32),
    });
    let mut view = json!({
        "id": "two", "type": "webhook", "url": "https://a.example/x", "has_signing_key": true,
    });
    assert_eq!(
        made(&client.post("/api/v1/notifications", &body).await),
        view
    );
    for (patch, url, has_key) in [
        (
            json!({ "url": "https://b.example" }),
            "https://b.example",
            true,
        ),
        (json!({ "signing_key": "" }), "https://b.example", false),
        (
            json!({ "signing_key": "t".repeat(32), "type": "webhook" }),
            "https://b.example",
            true,
        ),
        (json!({ "signing_key": null }), "https://b.example", false),
        (json!({}), "https://b.example", false),
    ] {
        view["url"] = json!(url);
        view["has_signing_key"] = json!(has_key);
        assert_eq!(client.patch(path, &patch).await.data(), view, "{patch}");
        assert_eq!(client.get(path).await.data(), view);
    }
    client
        .patch(
            "/api/v1/relayers/main",
            &json!({ "notification_id": "two" }),
        )
        .await
        .data();
    let refused = client.delete(path).await;
    assert_eq!(
        (refused.status, refused.error().as_str()),
        (
            400,
            "Cannot delete notification 'two' because it is being used by 1 relayer(s): Main"
        )
    );
    client
        .patch("/api/v1/relayers/main", &json!({ "notification_id": null }))
        .await
        .data();
    assert_eq!(
        client.delete(path).await.data(),
        "Notification deleted successfully"
    );
    assert_eq!(client.get(path).await.status, 404);
}

#[tokio::test]
async fn networks_are_shown_and_their_nodes_changed() {
    let (_deployment, replica, client) = one().await;
    let path = "/api/v1/networks/evm:localhost";
    let before = client.get(path).await.data();
    assert_eq!(
        before,
        json!({
            "id": "evm:localhost", "name": "localhost", "network_type": "evm", "chain_id": 31337,
            "rpc_urls": [{ "url": "https://localhost.example/v3/hunter2", "weight": 100 }],
            "explorer_urls": ["https://explorer.example"], "average_blocktime_ms": 1000,
            "is_testnet": true, "tags": [], "required_confirmations": 1,
            "features": ["eip1559"], "symbol": "ETH",
        })
    );
    let first = client.get("/api/v1/networks?per_page=1").await.json();
    let second = client
        .get("/api/v1/networks?per_page=1&page=2")
        .await
        .json();
    assert_eq!(first["data"], json!([before]));
    assert_eq!(second["data"][0]["id"], "evm:testnet");
    assert_eq!(second["pagination"]["total_items"], 2);
    let patch = json!({
        "rpc_urls": ["https://a.example/1", { "url": "https://b.example/2", "weight": 20 }],
    });
    let after = client.patch(path, &patch).await.data();
    assert_eq!(
        after["rpc_urls"],
        json!([
            { "url": "https://a.example/1", "weight": 100 },
            { "url": "https://b.example/2", "weight": 20 },
        ])
    );
    assert_eq!(client.get(path).await.data(), after);
    // The relayer goes on with the new nodes, without its own.
    let connected = replica.backends.connected.lock().unwrap().clone();
    assert_eq!(
        connected.last().unwrap(),
        &["https://a.example/1", "https://b.example/2"]
    );
    let restored = client
        .patch(path, &json!({ "rpc_urls": before["rpc_urls"] }))
        .await
        .data();
    assert_eq!(restored, before);
}
