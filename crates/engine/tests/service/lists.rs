//! Lists, their pages and filters, and the scope of ids.

use std::collections::BTreeSet;
use std::time::Duration;

use baton_engine::service::DATA_BYTES_MAX;
use baton_model::{Address, RelayerId, TxStatus};

use crate::support::client::{Answer, Client};
use crate::support::lane::LaneHand;
use crate::support::{World, transfer_body};

const LIST: &str = "/api/v1/relayers/main/transactions";

fn ids(answer: &Answer) -> Vec<String> {
    let data = answer.data();
    let items = data.as_array().unwrap();
    items
        .iter()
        .map(|item| item["id"].as_str().unwrap().to_owned())
        .collect()
}

async fn list(client: &Client, query: &str) -> (Vec<String>, u64) {
    let answer = client.get(&format!("{LIST}?{query}")).await;
    let total = answer.json()["pagination"]["total_items"].as_u64().unwrap();
    (ids(&answer), total)
}

/// Accepts `count` transactions, three at each time, and gives their ids, newest first.
async fn accept(world: &World, count: usize) -> Vec<String> {
    let mut accepted = Vec::new();
    for _ in 0..count {
        if accepted.len() % 3 == 0 {
            world.clock.advance(Duration::from_millis(1));
        }
        let sent = world.transfer().await;
        accepted.push((world.clock_now(), sent));
    }
    // Of one time, the order is that of the ids.
    accepted.sort();
    accepted.reverse();
    accepted.into_iter().map(|(_, id)| id).collect()
}

impl World {
    fn clock_now(&self) -> u64 {
        baton_coord::Clock::now(&*self.clock).as_millis()
    }
}

#[tokio::test]
async fn pages_are_disjoint_complete_and_newest_first() {
    let world = World::new();
    let client = world.listen().await;
    let expected = accept(&world, 25).await;
    let mut lane = LaneHand::take(&world, "main", true).await;
    for taken_in in [false, true] {
        if taken_in {
            lane.take_in().await;
            lane.mine().await;
        }
        for size in [1, 7, 10, 25, 1000] {
            let mut found = Vec::new();
            for page in 1..=25_usize.div_ceil(size) {
                let (ids, total) = list(&client, &format!("page={page}&per_page={size}")).await;
                assert_eq!(total, 25, "taken in: {taken_in}");
                assert!(ids.len() <= size);
                found.extend(ids);
            }
            assert_eq!(found, expected, "pages of {size}, taken in: {taken_in}");
        }
    }
}

#[tokio::test]
async fn a_page_beyond_the_end_is_empty() {
    let world = World::new();
    let client = world.listen().await;
    let answer = client.get(&format!("{LIST}/?page=1")).await;
    let pagination = r#"{"current_page":1,"per_page":10,"total_items":0}"#;
    assert_eq!(
        answer.body,
        format!(r#"{{"success":true,"data":[],"error":null,"pagination":{pagination}}}"#)
    );
    accept(&world, 3).await;
    for query in [
        "page=2",
        "page=4&per_page=1",
        "page=99&status=pending",
        "page=99&status=sent",
    ] {
        assert_eq!(
            list(&client, query).await.0,
            Vec::<String>::new(),
            "{query}"
        );
    }
}

#[tokio::test]
async fn filters_follow_a_transaction_through_its_life() {
    let world = World::new();
    let client = world.listen().await;
    let all = accept(&world, 20).await;
    let none = Vec::<String>::new();
    let as_set = |ids: &[String]| ids.iter().cloned().collect::<BTreeSet<_>>();
    let (pending, total) = list(&client, "status=pending&per_page=100").await;
    assert_eq!((as_set(&pending), total), (as_set(&all), 20));

    let mut lane = LaneHand::take(&world, "main", true).await;
    lane.take_in().await;
    // 16 are in flight; of those with one time, the order of the inbox counts.
    let (submitted, total) = list(&client, "status=submitted&per_page=100").await;
    assert_eq!((submitted.len(), total), (16, 16));
    let (pending, total) = list(&client, "status=PENDING&per_page=100").await;
    assert_eq!((pending.len(), total), (4, 4));
    assert_eq!(as_set(&[pending, submitted.clone()].concat()), as_set(&all));
    assert_eq!(list(&client, "status=sent").await, (none.clone(), 0));
    let (page, total) = list(&client, "status=submitted&page=2&per_page=10").await;
    assert_eq!((page.as_slice(), total), (&submitted[10..], 16));

    lane.mine_one().await;
    let (mined, total) = list(&client, "status=mined&per_page=100").await;
    assert_eq!((mined, total), (submitted, 16));
    lane.mine().await;
    assert_eq!(
        list(&client, "status=confirmed&per_page=100").await,
        (all, 20)
    );
    for status in [
        "pending",
        "sent",
        "submitted",
        "mined",
        "failed",
        "canceled",
        "expired",
    ] {
        assert_eq!(
            list(&client, &format!("status={status}")).await,
            (none.clone(), 0),
            "{status}"
        );
    }
}

#[tokio::test]
async fn a_filter_by_an_open_status_leaves_out_what_is_being_cancelled() {
    let world = World::new();
    let client = world.listen().await;
    let all = accept(&world, 3).await;
    let mut hand = LaneHand::take(&world, "main", true).await;
    hand.take_in().await;
    let running = hand.run();
    let answer = client.delete(&format!("{LIST}/{}", all[1])).await;
    assert_eq!(answer.data()["is_canceled"], true);
    running.abort();
    let (ids, total) = list(&client, "status=submitted").await;
    assert_eq!((ids, total), (vec![all[0].clone(), all[2].clone()], 2));
    assert_eq!(list(&client, "").await, (all, 3));
}

#[tokio::test]
async fn a_list_mixes_what_the_lane_took_in_with_what_it_did_not() {
    let world = World::new();
    let client = world.listen().await;
    let old = accept(&world, 300).await;
    // Without money everything stays pending.
    let mut lane = LaneHand::take(&world, "main", false).await;
    lane.take_in().await;
    let new = accept(&world, 300).await;
    let expected: Vec<String> = new.into_iter().chain(old).collect();
    let (found, total) = list(&client, "per_page=1000").await;
    assert_eq!((&found, total), (&expected, 600));
    let mut pending = Vec::new();
    for page in 1..=6 {
        let (ids, total) = list(&client, &format!("status=pending&per_page=100&page={page}")).await;
        assert_eq!((ids.len(), total), (100, 600));
        pending.extend(ids);
    }
    let as_set = |ids: &[String]| ids.iter().cloned().collect::<BTreeSet<_>>();
    assert_eq!(as_set(&pending), as_set(&expected));
    assert_eq!(as_set(&pending[..300]), as_set(&expected[..300]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn totals_count_every_transaction_while_the_lane_takes_them_in() {
    let world = World::new();
    let running = LaneHand::take(&world, "main", false).await.run();
    let page = baton_edge::Page::parse("per_page=1").unwrap();
    for count in 1..=500 {
        let id = world.transfer().await;
        for status in [None, Some(TxStatus::Pending)] {
            let listed = world
                .service
                .transactions("main", status, page)
                .await
                .unwrap();
            assert_eq!(listed.total, count, "{status:?}");
            assert_eq!(listed.transactions.len(), 1);
            if status.is_some() {
                assert_eq!(listed.transactions[0].id, id);
            }
        }
    }
    running.abort();
}

#[tokio::test]
async fn what_is_taken_in_while_it_is_listed_is_listed_once() {
    let world = World::new();
    let all = accept(&world, 5).await;
    let mut lane = LaneHand::take(&world, "main", false).await;
    let gate = world.store.stop_next_scan();
    let service = world.service.clone();
    let page = baton_edge::Page::parse("").unwrap();
    let listing = tokio::spawn(async move {
        service
            .transactions("main", Some(TxStatus::Pending), page)
            .await
    });
    gate.reached().await;
    lane.take_in().await;
    gate.open();
    let listed = listing.await.unwrap().unwrap();
    let ids: Vec<String> = listed.transactions.into_iter().map(|tx| tx.id).collect();
    assert_eq!((ids.len(), listed.total), (5, 5));
    let as_set = |ids: &[String]| ids.iter().cloned().collect::<BTreeSet<_>>();
    assert_eq!(as_set(&ids), as_set(&all));
}

#[tokio::test]
async fn ids_belong_to_their_relayer() {
    let world = World::with(&[("main", |_| {}), ("other", |_| {})]);
    let client = world.listen().await;
    let id = world.transfer().await;
    let elsewhere = format!("/api/v1/relayers/other/transactions/{id}");
    let not_found = format!("Transaction with ID {id} not found");
    for method in ["GET", "DELETE", "PUT"] {
        let answer = client.call(method, &elsewhere, &[], &transfer_body()).await;
        assert_eq!(
            (answer.status, answer.error()),
            (404, not_found.clone()),
            "{method}"
        );
    }
    assert_eq!(
        client.get(&format!("{LIST}/{id}")).await.data()["id"],
        id.as_str()
    );
    let lists = client.get("/api/v1/relayers/other/transactions").await;
    assert_eq!(lists.json()["pagination"]["total_items"], 0);
    let lane = RelayerId::new("other").unwrap().lane();
    assert_eq!(
        world.store.count(&lane, "").await,
        0,
        "nothing reached its inbox either"
    );
}

#[tokio::test]
async fn transactions_are_found_by_nonce_while_they_are_open_and_after() {
    let world = World::new();
    let client = world.listen().await;
    let id = world.transfer().await;
    let by_nonce = format!("{LIST}/by-nonce/7");
    assert_eq!(client.get(&by_nonce).await.status, 404);
    let mut lane = LaneHand::take(&world, "main", true).await;
    lane.take_in().await;
    assert_eq!(client.get(&by_nonce).await.data()["id"], id.as_str());
    lane.mine().await;
    let data = client.get(&by_nonce).await.data();
    assert_eq!(
        (&data["id"], &data["status"]),
        (&id.into(), &"confirmed".into())
    );
    assert_eq!(client.get(&format!("{LIST}/by-nonce/8")).await.status, 404);
}

#[tokio::test]
async fn of_several_accounts_with_a_nonce_the_first_counts() {
    let world = World::with(&[("main", |relayer| {
        relayer.accounts = vec![Address::repeat_byte(0x22), Address::repeat_byte(0x11)];
    })]);
    let client = world.listen().await;
    let sent = [world.transfer().await, world.transfer().await];
    let before = client.get(&format!("{LIST}/{}", sent[0])).await.data();
    assert_eq!(
        before["from"],
        serde_json::Value::Null,
        "no account is chosen yet"
    );
    let mut lane = LaneHand::take(&world, "main", true).await;
    lane.take_in().await;
    let data = client.get(&format!("{LIST}/by-nonce/7")).await.data();
    assert_eq!(data["from"], format!("{:#x}", Address::repeat_byte(0x22)));
    assert_eq!(data["nonce"], 7);
}

#[tokio::test]
async fn a_page_of_too_much_data_is_refused() {
    let world = World::new();
    let client = world.listen().await;
    let data = "ab".repeat(DATA_BYTES_MAX);
    let body = format!(r#"{{"data":"{data}","value":0,"speed":"fast"}}"#);
    for _ in 0..65 {
        world.send("main", &body).await;
    }
    let answer = client.get(&format!("{LIST}?per_page=65")).await;
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.error(),
        "the page has more than 8388608 bytes of transaction data; ask for a smaller per_page"
    );
    assert_eq!(list(&client, "per_page=64").await.0.len(), 64);
}

#[tokio::test]
async fn a_store_that_cannot_be_read_is_503() {
    let world = World::new();
    let client = world.listen().await;
    let id = world.transfer().await;
    world.store.fail_reads(true);
    for path in [
        LIST.to_owned(),
        format!("{LIST}?status=pending"),
        format!("{LIST}?status=failed"),
        format!("{LIST}/{id}"),
        format!("{LIST}/by-nonce/1"),
        "/api/v1/relayers".to_owned(),
        "/api/v1/relayers/main/status".to_owned(),
    ] {
        let answer = client.get(&path).await;
        assert_eq!(answer.status, 503, "{path}");
        assert!(
            !answer.body.contains("cable"),
            "the cause is for the log: {}",
            answer.body
        );
    }
    let answer = client.delete(&format!("{LIST}/{id}")).await;
    assert_eq!(answer.status, 503);
}
