//! Relayers made, changed and deleted.

use std::sync::atomic::Ordering;

use baton_coord::Table;
use baton_model::RelayerId;
use serde_json::{Value, json};

use super::{ACCOUNTS, Deployment, file, made, make_relayer, make_signer, one, relayer_body};
use crate::support::{TARGET, json as parse, transfer_body};

const RELAYERS: &str = "/api/v1/relayers";
const SHOP: &str = "/api/v1/relayers/shop";

#[tokio::test]
async fn a_relayer_is_made_and_works_at_once() {
    let (_deployment, replica, client) = one().await;
    make_signer(&client, "second", 1).await;
    let expected = json!({
        "id": "shop", "name": "Relayer shop", "network": "localhost", "network_type": "evm",
        "paused": false, "signer_id": "second", "address": ACCOUNTS[1], "system_disabled": false,
        "accounts": [ACCOUNTS[1]], "signer_ids": ["second"],
    });
    assert_eq!(make_relayer(&client, "shop", "second").await, expected);
    assert_eq!(client.get(SHOP).await.data(), expected);
    let list = client.get("/api/v1/relayers/").await.data();
    assert_eq!(
        (&list[0]["id"], &list[1]["id"]),
        (&json!("main"), &json!("shop"))
    );
    let sent = client
        .call(
            "POST",
            &format!("{SHOP}/transactions"),
            &[],
            &transfer_body(),
        )
        .await;
    assert_eq!(sent.data()["from"], ACCOUNTS[1]);
    // Relayers with the same nodes share one connection.
    assert_eq!(replica.backends.connected.lock().unwrap().len(), 1);
    let served = replica.registry.snapshot();
    let lines = served.served.iter().map(|one| &one.line);
    let [first, second] = lines.collect::<Vec<_>>()[..] else {
        panic!("two relayers")
    };
    assert!(std::sync::Arc::ptr_eq(first, second));
}

#[tokio::test]
async fn everything_of_a_relayer_can_be_given() {
    let (_deployment, replica, client) = one().await;
    make_signer(&client, "second", 1).await;
    make_signer(&client, "third", 2).await;
    let cap = u128::MAX.to_string();
    let body = format!(
        r#"{{"name":"All","network":"localhost","paused":true,"network_type":"evm",
            "signer_ids":["second","third"],"notification_id":"hook",
            "policies":{{"min_balance":"7","gas_price_cap":{cap},"eip1559_pricing":false,
              "gas_limit_estimation":false,"include_revert_data":true,
              "private_transactions":true,"whitelist_receivers":["{TARGET}"]}},
            "custom_rpc_urls":["https://a.example/hunter2",
              {{"url":"https://u:hunter2@b.example","weight":20,"ws_url":"wss://b.example/hunter2"}}]}}"#
    );
    let answer = client.call("POST", RELAYERS, &[], &body).await;
    assert!(!answer.body.contains("hunter2"), "{}", answer.body);
    assert!(
        answer.body.contains(&format!("\"gas_price_cap\":{cap}")),
        "{}",
        answer.body
    );
    let mut data = made(&answer);
    assert!(data["id"].as_str().unwrap().parse::<uuid::Uuid>().is_ok());
    data["id"].take();
    data["policies"]["gas_price_cap"].take();
    assert_eq!(
        data,
        json!({
            "id": null, "name": "All", "network": "localhost", "network_type": "evm",
            "paused": true, "signer_id": "second", "address": ACCOUNTS[1],
            "accounts": [ACCOUNTS[1], ACCOUNTS[2]], "signer_ids": ["second", "third"],
            "notification_id": "hook", "system_disabled": false,
            "policies": {
                "min_balance": 7, "gas_limit_estimation": false, "gas_price_cap": null,
                "whitelist_receivers": [TARGET], "eip1559_pricing": false,
                "private_transactions": true, "include_revert_data": true,
            },
            "exact_policies": { "min_balance": "7", "gas_price_cap": cap },
            "custom_rpc_urls": [
                { "url": "https://a.example/***", "weight": 100 },
                { "url": "https://b.example/***", "weight": 20 },
            ],
        })
    );
    let connected = replica.backends.connected.lock().unwrap().clone();
    assert_eq!(
        connected[1],
        ["https://a.example/hunter2", "https://u:hunter2@b.example"]
    );
}

/// The examples of RFC 7396, as far as they concern what a relayer has.
#[tokio::test]
async fn patches_are_merged() {
    let (_deployment, _replica, client) = one().await;
    make_signer(&client, "second", 1).await;
    make_relayer(&client, "shop", "second").await;
    for (patch, expected) in [
        (
            json!({}),
            json!({ "name": "Relayer shop", "paused": false, "policies": null }),
        ),
        (
            json!({ "name": "New" }),
            json!({ "name": "New", "paused": false }),
        ),
        (
            json!({ "paused": true }),
            json!({ "name": "New", "paused": true }),
        ),
        (
            json!({ "policies": { "gas_price_cap": 1000, "whitelist_receivers": [TARGET] } }),
            json!({ "policies": {
                "gas_price_cap": 1000, "whitelist_receivers": [TARGET], "min_balance": 1,
                "gas_limit_estimation": true, "include_revert_data": false,
            } }),
        ),
        (
            // What is not named stays, what is null goes, a list is replaced as a whole.
            json!({ "policies": { "min_balance": 5, "gas_price_cap": null, "whitelist_receivers": [] } }),
            json!({ "policies": {
                "whitelist_receivers": [], "min_balance": 5, "gas_limit_estimation": true,
                "include_revert_data": false,
            } }),
        ),
        (json!({ "policies": null }), json!({ "policies": null })),
        (
            json!({ "notification_id": "hook" }),
            json!({ "notification_id": "hook" }),
        ),
        (
            json!({ "notification_id": null }),
            json!({ "notification_id": null }),
        ),
        (
            json!({ "custom_rpc_urls": ["https://a.example/x"] }),
            json!({ "custom_rpc_urls": [{ "url": "https://a.example/***", "weight": 100 }] }),
        ),
        (
            json!({ "custom_rpc_urls": null, "paused": false }),
            json!({ "custom_rpc_urls": null, "paused": false }),
        ),
    ] {
        let data = client.patch(SHOP, &patch).await.data();
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(&data[name], value, "{patch} {name}");
        }
        assert_eq!(client.get(SHOP).await.data(), data);
    }
}

#[tokio::test]
async fn a_patch_counts_for_the_next_request() {
    let (_deployment, _replica, client) = one().await;
    client
        .patch("/api/v1/relayers/main", &json!({ "paused": true }))
        .await
        .data();
    let refused = client.send(&transfer_body()).await;
    assert_eq!(
        (refused.status, refused.error().as_str()),
        (403, "Relayer paused")
    );
    let patch = json!({ "paused": false, "policies": { "whitelist_receivers": [] } });
    client.patch("/api/v1/relayers/main", &patch).await.data();
    let refused = client.send(&transfer_body()).await;
    assert_eq!(
        refused.error(),
        "Transaction target address is not whitelisted"
    );
}

#[tokio::test]
async fn an_idle_relayer_is_deleted_and_its_id_is_free_again() {
    let (deployment, _replica, client) = one().await;
    make_signer(&client, "second", 1).await;
    make_relayer(&client, "shop", "second").await;
    let answer = client.delete(SHOP).await;
    assert_eq!(
        answer.body,
        r#"{"success":true,"data":"Relayer deleted successfully","error":null}"#
    );
    for path in [SHOP, "/api/v1/relayers/shop/status"] {
        let gone = client.get(path).await;
        assert_eq!(
            (gone.status, gone.error().as_str()),
            (404, "Relayer with ID shop not found")
        );
    }
    assert_eq!(client.delete(SHOP).await.status, 404);
    // On another chain: nothing of the earlier one is in the way.
    let mut body = relayer_body("shop", "second");
    body["network"] = json!("testnet");
    made(&client.post(RELAYERS, &body).await);
    let sent = client
        .call(
            "POST",
            &format!("{SHOP}/transactions"),
            &[],
            &transfer_body(),
        )
        .await;
    assert_eq!(sent.data()["chain_id"], 5);
    drop(deployment);
}

#[tokio::test]
async fn a_relayer_with_unfinished_work_stays() {
    let (_deployment, replica, client) = one().await;
    let id = replica.world.transfer().await;
    let refused = client.delete("/api/v1/relayers/main").await;
    assert_eq!(refused.status, 400);
    assert!(
        refused
            .error()
            .starts_with("Cannot delete relayer 'main' because it has 1 transaction(s)"),
        "{}",
        refused.body
    );
    // It goes on: the lane is open again.
    assert_eq!(
        client
            .get(&format!("/api/v1/relayers/main/transactions/{id}"))
            .await
            .data()["id"],
        json!(id)
    );
    replica.world.transfer().await;
}

#[tokio::test]
async fn a_replica_that_has_not_heard_of_it_accepts_nothing_for_a_deleted_relayer() {
    let deployment = Deployment::new();
    let first = deployment.replica(file()).await;
    let second = deployment.replica(file()).await;
    let (client, late) = (first.listen().await, second.listen().await);
    client.delete("/api/v1/relayers/main").await.data();
    assert_eq!(
        late.get("/api/v1/relayers/main").await.status,
        200,
        "it has not heard of it"
    );
    let refused = late.send(&transfer_body()).await;
    assert_eq!(
        (refused.status, refused.error().as_str()),
        (404, "Relayer with ID main not found")
    );
    let lane = RelayerId::new("main").unwrap().lane();
    assert_eq!(deployment.store.count(&lane, "r/").await, 0);
}

#[tokio::test]
async fn one_of_two_deletions_at_once_is_done() {
    let deployment = Deployment::new();
    let (first, second) = (
        deployment.replica(file()).await,
        deployment.replica(file()).await,
    );
    let (client, other) = (first.listen().await, second.listen().await);
    let path = "/api/v1/relayers/main";
    let (one, two) = tokio::join!(client.delete(path), other.delete(path));
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses[0], 200, "{one:?} {two:?}");
    assert!([404, 409].contains(&statuses[1]), "{one:?} {two:?}");
    // Whoever came second did not open the lane again.
    first.registry.refresh().await.unwrap();
    let refused = other.send(&transfer_body()).await;
    assert_eq!(refused.status, 404, "{}", refused.body);
}

/// Whoever closed the lane died before it went on.
#[tokio::test]
async fn a_deletion_that_was_given_up_is_undone_after_a_minute() {
    let (deployment, _replica, client) = one().await;
    let lane = RelayerId::new("main").unwrap().lane();
    let mut batch = baton_coord::Batch::new(lane);
    let at = crate::support::START.as_millis();
    let closed = format!(r#"{{"v":1,"r":{{"at":{at}}}}}"#);
    batch.puts.push(("z".into(), closed.into()));
    deployment.store.commit(batch).await.unwrap();
    deployment.clock.advance(std::time::Duration::from_secs(59));
    let refused = client.send(&transfer_body()).await;
    assert_eq!(
        (refused.status, refused.error().as_str()),
        (409, "relayer main is being deleted")
    );
    deployment.clock.advance(std::time::Duration::from_secs(1));
    client.send(&transfer_body()).await.data();
}

#[tokio::test]
async fn what_is_made_on_one_replica_is_there_on_the_other() {
    let deployment = Deployment::new();
    let first = deployment.replica(file()).await;
    let second = deployment.replica(file()).await;
    let (client, other) = (first.listen().await, second.listen().await);
    let (_stop, stopping) = tokio::sync::watch::channel(false);
    let mut heard = second.registry.watch();
    let registry = second.registry.clone();
    tokio::spawn(async move { registry.run(stopping).await });
    make_signer(&client, "second", 1).await;
    make_relayer(&client, "shop", "second").await;
    heard
        .wait_for(|now| now.relayer("shop").is_some())
        .await
        .unwrap();
    assert_eq!(other.get(SHOP).await.data()["address"], ACCOUNTS[1]);
    client.delete(SHOP).await.data();
    heard
        .wait_for(|now| now.relayer("shop").is_none())
        .await
        .unwrap();
    assert_eq!(other.get(SHOP).await.status, 404);
}

#[tokio::test]
async fn replicas_do_not_overwrite_each_other() {
    let deployment = Deployment::new();
    let first = deployment.replica(file()).await;
    let second = deployment.replica(file()).await;
    let (client, other) = (first.listen().await, second.listen().await);
    let names = |of: &str| (0..5).map(|n| format!("{of}{n}")).collect::<Vec<_>>();
    let make = async |client: &crate::support::client::Client, of: &str| {
        for id in names(of) {
            let body = json!({ "id": id, "url": "https://hook.example" });
            made(&client.post("/api/v1/notifications", &body).await);
        }
    };
    tokio::join!(make(&client, "a"), make(&other, "b"));
    // Each decides on the latest state: the same id is given once.
    let body = json!({ "id": "same", "url": "https://hook.example" });
    let (one, two) = tokio::join!(
        client.post("/api/v1/notifications", &body),
        other.post("/api/v1/notifications", &body)
    );
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409]);
    first.registry.refresh().await.unwrap();
    let list = client
        .get("/api/v1/notifications?per_page=100")
        .await
        .json();
    assert_eq!(list["pagination"]["total_items"], 12);
}

#[tokio::test]
async fn a_relayer_that_cannot_be_served_here_says_why() {
    let deployment = Deployment::new();
    let first = deployment.replica(file()).await;
    let client = first.listen().await;
    make_signer(&client, "second", 1).await;
    make_relayer(&client, "shop", "second").await;
    // A file that gives the same key to a relayer of its own.
    let mut other_file = file();
    other_file.signers[0].id = "second".to_owned();
    other_file.relayers[0].signer_ids = vec!["second".to_owned()];
    let backends = deployment.replica(other_file).await;
    let other = backends.listen().await;
    let refused = other.get("/api/v1/relayers/main").await;
    assert_eq!(refused.status, 503);
    assert!(
        refused.error().contains("cannot be opened: it is away"),
        "{}",
        refused.body
    );
    assert!(refused.error().contains("relayer main"), "{}", refused.body);
    first.backends.sealed.store(false, Ordering::SeqCst);
    let parsed = parse(&refused.body);
    assert_eq!(parsed["data"], Value::Null);
}
