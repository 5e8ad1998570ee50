//! Finding transactions, and sending them once.

use std::collections::BTreeSet;

use baton_model::U256;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{Api, Setup, World, fresh_address, fresh_addresses, plain_transfer, transfer};

#[tokio::test]
async fn one_idempotency_key_is_one_transaction() {
    let world = World::new().await;
    let engine = world.engine().await;
    let (api, chain) = (engine.api(), world.chain());
    let to = fresh_address(0);
    let body = transfer(to);

    let answers = join_all((0..32).map(|_| api.try_post(&body, Some("once")))).await;
    let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    let is_replay = |answer: &&crate::support::Answer| {
        answer
            .headers
            .get("idempotent-replayed")
            .is_some_and(|value| value == "true")
    };
    assert_eq!(answers.iter().filter(is_replay).count(), 31);
    let ids: BTreeSet<String> = answers
        .into_iter()
        .map(|answer| answer.data()["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), 1);
    let id = ids.first().unwrap();

    let other = transfer(fresh_address(1));
    let conflict = api.try_post(&other, Some("once")).await.unwrap().error(409);
    assert!(conflict.contains(id), "{conflict}");

    api.reaches(id, "confirmed").await;
    assert_eq!(chain.balance(to).await, U256::ONE);
    engine.stop().await;

    // The key outlives the process.
    let engine = world.engine().await;
    let answer = engine.api().try_post(&body, Some("once")).await.unwrap();
    assert_eq!(answer.data()["id"], json!(id));
    assert_eq!(chain.nonce(world.account(0)).await, 1);
    engine.stop().await;
}

#[tokio::test]
async fn transactions_are_listed_by_status_and_found_by_nonce() {
    let world = Setup::default()
        .blocks_on_request()
        .network("in_flight_max", json!(3))
        .world()
        .await;
    let engine = world.engine().await;
    let (api, chain) = (engine.api(), world.chain());
    let bodies: Vec<Value> = fresh_addresses(5).into_iter().map(plain_transfer).collect();
    let mut ids = Vec::new();
    for body in &bodies {
        ids.push(api.send(body).await);
    }
    api.all_reach(&ids[..3], "submitted").await;

    assert_eq!(
        listed(&api, "status=submitted").await,
        (as_set(&ids[..3]), 3)
    );
    assert_eq!(listed(&api, "status=pending").await, (as_set(&ids[3..]), 2));
    assert_eq!(listed(&api, "status=confirmed").await, (BTreeSet::new(), 0));
    assert_eq!(listed(&api, "per_page=2&page=3").await.1, 5);
    let found = api
        .get("/relayers/main/transactions/by-nonce/1")
        .await
        .data();
    assert_eq!(found["id"], json!(ids[1]));
    assert!(
        api.get("/relayers/main/transactions/by-nonce/3")
            .await
            .error(404)
            .contains('3')
    );

    chain.mine(1).await;
    api.all_reach(&ids[3..], "submitted").await;
    assert_eq!(listed(&api, "status=mined").await, (as_set(&ids[..3]), 3));
    chain.mine(3).await;
    api.all_reach(&ids, "confirmed").await;
    assert_eq!(listed(&api, "status=confirmed").await, (as_set(&ids), 5));
    assert_eq!(listed(&api, "status=submitted").await.1, 0);
    let mut paged = BTreeSet::new();
    for page in 1..=3 {
        paged.extend(listed(&api, &format!("per_page=2&page={page}")).await.0);
    }
    assert_eq!(paged, as_set(&ids));
    let found = api
        .get("/relayers/main/transactions/by-nonce/4")
        .await
        .data();
    assert_eq!(
        (&found["id"], &found["status"]),
        (&json!(ids[4]), &json!("confirmed"))
    );
    engine.stop().await;
}

/// The ids on a page, and how many transactions there are in all.
async fn listed(api: &Api, query: &str) -> (BTreeSet<String>, u64) {
    let answer = api
        .get(&format!("/relayers/main/transactions?{query}"))
        .await;
    let total = answer.body["pagination"]["total_items"].as_u64().unwrap();
    let data = answer.data();
    let ids = data
        .as_array()
        .unwrap()
        .iter()
        .map(|tx| tx["id"].as_str().unwrap().to_owned());
    (ids.collect(), total)
}

fn as_set(ids: &[String]) -> BTreeSet<String> {
    ids.iter().cloned().collect()
}
