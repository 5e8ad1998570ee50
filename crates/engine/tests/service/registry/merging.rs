//! The file and the API, over restarts.

use std::collections::BTreeMap;

use baton_coord::Table;
use baton_engine::registry::{Definitions, Registry};
use serde_json::json;

use super::{ACCOUNTS, Deployment, KEYS, Replica, file, make_relayer, make_signer};
use crate::support::store::Fault;

const MAIN: &str = "/api/v1/relayers/main";

fn renamed(name: &str) -> Definitions {
    let mut file = file();
    file.relayers[0].name = name.to_owned();
    file
}

async fn names(replica: &Replica) -> Vec<String> {
    let snapshot = replica.registry.snapshot();
    snapshot
        .served
        .iter()
        .map(|one| one.relayer.name.clone())
        .collect()
}

#[tokio::test]
async fn what_was_made_outlives_the_process() {
    let deployment = Deployment::new();
    let first = deployment.replica(file()).await;
    let client = first.listen().await;
    make_signer(&client, "second", 1).await;
    make_relayer(&client, "shop", "second").await;
    drop((first, client));
    let again = deployment.replica(file()).await;
    let client = again.listen().await;
    assert_eq!(
        client.get("/api/v1/relayers/shop").await.data()["address"],
        ACCOUNTS[1]
    );
}

#[tokio::test]
async fn a_change_counts_until_the_file_says_something_else() {
    let deployment = Deployment::new();
    let first = deployment.replica(file()).await;
    let client = first.listen().await;
    client
        .patch(MAIN, &json!({ "name": "Patched" }))
        .await
        .data();
    for (file, expected) in [
        (file(), vec!["Patched"]),
        (renamed("Edited"), vec!["Edited"]),
        (file(), vec!["Patched"]),
        (
            Definitions {
                relayers: Vec::new(),
                ..file()
            },
            vec![],
        ),
    ] {
        assert_eq!(names(&deployment.replica(file).await).await, expected);
    }
    // A change on top of an edited file is held against that one.
    let edited = deployment.replica(renamed("Edited")).await;
    edited
        .listen()
        .await
        .patch(MAIN, &json!({ "paused": true }))
        .await
        .data();
    let again = deployment.replica(renamed("Edited")).await;
    let snapshot = again.registry.snapshot();
    let relayer = &snapshot.served[0].relayer;
    assert_eq!((relayer.name.as_str(), relayer.paused), ("Edited", true));
}

#[tokio::test]
async fn what_the_file_says_can_be_deleted() {
    let deployment = Deployment::new();
    let first = deployment.replica(file()).await;
    first.listen().await.delete(MAIN).await.data();
    assert!(names(&deployment.replica(file()).await).await.is_empty());
    assert_eq!(
        names(&deployment.replica(renamed("Edited")).await).await,
        ["Edited"]
    );
}

#[tokio::test]
async fn a_reset_forgets_the_api_and_nothing_else() {
    let deployment = Deployment::new();
    let first = deployment.replica(file()).await;
    let client = first.listen().await;
    make_signer(&client, "second", 1).await;
    make_relayer(&client, "shop", "second").await;
    client
        .patch(MAIN, &json!({ "name": "Patched" }))
        .await
        .data();
    let id = first.world.transfer().await;
    let store: baton_engine::SharedStore = deployment.store.clone();
    Registry::reset(&store, uuid::Uuid::from_u128(1))
        .await
        .unwrap();
    let again = deployment.replica(file()).await;
    assert_eq!(names(&again).await, ["Main"]);
    let client = again.listen().await;
    assert_eq!(
        client.get("/api/v1/signers").await.json()["pagination"]["total_items"],
        1
    );
    client
        .get(&format!("{MAIN}/transactions/{id}"))
        .await
        .data();
    // Nothing is left to forget: that is in order, too.
    Registry::reset(&store, uuid::Uuid::from_u128(2))
        .await
        .unwrap();
    Registry::reset(&store, uuid::Uuid::from_u128(3))
        .await
        .unwrap();
}

/// Two relayers with one account would take the same nonces, wherever they come from.
#[tokio::test]
async fn the_files_relayer_goes_before_one_of_the_api_with_its_key() {
    let deployment = Deployment::new();
    let first = deployment
        .replica(Definitions {
            relayers: Vec::new(),
            ..file()
        })
        .await;
    let client = first.listen().await;
    make_signer(&client, "copy", 0).await;
    make_relayer(&client, "shop", "copy").await;
    let again = deployment.replica(file()).await;
    assert_eq!(names(&again).await, ["Main"]);
    let broken: BTreeMap<String, String> = again.registry.snapshot().broken.clone();
    assert!(
        broken["shop"].contains("belongs to relayer main on chain 31337"),
        "{broken:?}"
    );
    let refused = again.listen().await.get("/api/v1/relayers/shop").await;
    assert_eq!(refused.status, 503);
    // It can still be mended: away with it.
    again
        .listen()
        .await
        .delete("/api/v1/relayers/shop")
        .await
        .data();
    assert!(again.registry.snapshot().broken.is_empty());
}

#[tokio::test]
async fn a_lost_answer_is_looked_up() {
    for (faults, status) in [
        (vec![Fault::ReplyLost], 201),
        (vec![Fault::RequestLost], 201),
        (vec![Fault::RequestLost, Fault::ReplyLost], 201),
        (vec![Fault::RequestLost; 3], 502),
        (vec![Fault::Refused], 503),
    ] {
        let deployment = Deployment::new();
        let replica = deployment.replica(file()).await;
        let client = replica.listen().await;
        let body = json!({ "id": "second", "type": "plain", "config": { "key": KEYS[1] } });
        deployment.store.fail_commits(faults.iter().copied());
        let answer = client.post("/api/v1/signers", &body).await;
        assert_eq!(answer.status, status, "{faults:?}: {}", answer.body);
        let again = client.get("/api/v1/signers/second").await;
        assert_eq!(
            again.status,
            if status == 201 { 200 } else { 404 },
            "{faults:?}"
        );
    }
}

#[tokio::test]
async fn records_of_a_newer_release_are_not_passed_over() {
    let deployment = Deployment::new();
    let replica = deployment.replica(file()).await;
    let lane = baton_model::LaneId::new("registry/main").unwrap();
    for (key, value) in [
        ("q/new", "{}"),
        (
            "h",
            r#"{"v":1,"r":{"change":"00000000-0000-0000-0000-000000000001"}}"#,
        ),
    ] {
        let mut batch = baton_coord::Batch::new(lane.clone());
        batch.puts.push((key.into(), value.into()));
        deployment.store.commit(batch).await.unwrap();
    }
    let error = replica.registry.refresh().await.unwrap_err().to_string();
    assert!(error.contains("registry/main/q/new"), "{error}");
    // What is known goes on; changes, which could undo what is not understood, are refused.
    let client = replica.listen().await;
    client.get(MAIN).await.data();
    assert_eq!(
        client.patch(MAIN, &json!({ "paused": true })).await.status,
        500
    );
}
