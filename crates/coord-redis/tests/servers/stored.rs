//! What a server holds: nothing in the clear, nothing that could be lost, and time by its own clock.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use baton_coord::{
    BATCH_OPS_MAX, Batch, EntropyError, Entry, HolderId, Keyring, Lease, LeaseError, Precondition,
    SCAN_LIMIT_MAX, Scan, Sealed, StoreError, Table,
};
use baton_coord_redis::RedisStore;
use baton_model::LaneId;
use baton_testkit::{RedisCluster, RedisServer};
use bytes::Bytes;
use tokio::time::Instant;

use crate::support::standalone;
use crate::{acquire, lane, mark, open};

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const SECRET: &str = "transfer-to-0xdeadbeef";

/// Under encryption a dump holds no value and no log entry; without, it does, so the check sees what it looks for.
#[tokio::test(flavor = "multi_thread")]
async fn a_dump_holds_nothing_in_the_clear() {
    let mut batch = Batch::new(lane("tx/secret"));
    batch.puts = vec![(Bytes::from_static(b"r/1"), Bytes::from(SECRET))];
    batch.appends = vec![Bytes::from(SECRET)];
    for encrypted in [false, true] {
        let server = RedisServer::start(&["rdbcompression no"])
            .await
            .expect("a server");
        let store = open(standalone(server.port())).await;
        if encrypted {
            let keys = Keyring::parse(KEY, []).expect("a key");
            let entropy = |bytes: &mut [u8]| -> Result<(), EntropyError> {
                rand::fill(bytes);
                Ok(())
            };
            let store = Sealed::new(store, Arc::new(keys), Arc::new(entropy));
            store.commit(batch.clone()).await.expect("applied");
        } else {
            store.commit(batch.clone()).await.expect("applied");
        }
        server.command(&["SAVE"]).await.expect("a dump");
        let dump = std::fs::read(server.directory().join("dump.rdb")).expect("a file");
        let found = dump
            .windows(SECRET.len())
            .any(|bytes| bytes == SECRET.as_bytes());
        assert_eq!(found, !encrypted);
    }
}

/// No key expires: nothing that a policy on volatile keys could throw away.
#[tokio::test(flavor = "multi_thread")]
async fn no_key_expires() {
    let server = RedisServer::start(&[]).await.expect("a server");
    let store = open(standalone(server.port())).await;
    let lane = lane("tx/kept");
    acquire(&store, &lane, "holder").await;
    store.commit(mark(&lane, 1)).await.expect("applied");
    let keyspace = server
        .command(&["INFO", "keyspace"])
        .await
        .expect("an answer");
    assert!(keyspace.contains("keys=5,expires=0"), "{keyspace}");
}

/// Without a clock of the tests the server's decides.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_runs_out_by_the_servers_clock() {
    const SHORT: Duration = Duration::from_millis(300);
    let server = RedisServer::start(&[]).await.expect("a server");
    let store = open(standalone(server.port())).await;
    let lane = lane("tx/clock");
    let (a, b) = (HolderId("a".to_owned()), HolderId("b".to_owned()));
    let asked = Instant::now();
    let first = store
        .acquire(&lane, &a, SHORT)
        .await
        .expect("a lease")
        .epoch;
    let second = loop {
        match store.acquire(&lane, &b, SHORT).await {
            Ok(acquired) => break acquired.epoch,
            Err(LeaseError::Held { holder, remaining }) => {
                assert!(
                    holder == a && remaining <= SHORT,
                    "{holder:?} {remaining:?}"
                );
                tokio::time::sleep(remaining).await;
            }
            Err(error) => panic!("{error}"),
        }
    };
    assert!(asked.elapsed() >= SHORT, "{:?}", asked.elapsed());
    assert!(second > first);
    assert_eq!(
        store.renew(&lane, first, SHORT).await,
        Err(LeaseError::Lost)
    );
    assert_eq!(store.renew(&lane, second, SHORT).await, Ok(()));
}

/// An answer that would not fit is refused, a log is read in parts.
#[tokio::test(flavor = "multi_thread")]
async fn answers_are_bounded_in_bytes() {
    let server = RedisServer::start(&[]).await.expect("a server");
    let store = open(standalone(server.port())).await;
    let lane = lane("tx/large");
    let large = Bytes::from(vec![b'x'; 4 * 1024 * 1024]);
    for n in 0..17 {
        let mut batch = Batch::new(lane.clone());
        batch.puts = vec![(Bytes::from(format!("k/{n:02}")), large.clone())];
        batch.appends = vec![large.clone()];
        store.commit(batch).await.expect("applied");
    }
    let refused = store.scan(&lane, &Scan::prefix("", 100)).await;
    let Err(StoreError::Invalid { reason }) = refused else {
        panic!("{refused:?}");
    };
    assert!(reason.contains("bytes"), "{reason}");
    let some = store
        .scan(&lane, &Scan::prefix("", 8))
        .await
        .expect("a page");
    assert_eq!(some.len(), 8);
    let read = baton_coord::Log::read(&store, &lane, baton_coord::Position(0), 100, Duration::ZERO);
    let read = read.await.expect("a part");
    assert!((16..17).contains(&read.len()), "{}", read.len());
    let after = read.last().expect("an entry").position;
    let rest = baton_coord::Log::read(&store, &lane, after, 100, Duration::ZERO).await;
    assert_eq!(rest.expect("the rest").len() + read.len(), 17);
}

/// As many operations as a batch may have, of each kind, are applied whole.
#[tokio::test(flavor = "multi_thread")]
async fn the_largest_batches_are_whole() {
    let server = RedisServer::start(&[]).await.expect("a server");
    let store = open(standalone(server.port())).await;
    let lane = lane("tx/largest");
    let keys: Vec<Bytes> = (0..BATCH_OPS_MAX)
        .map(|n| Bytes::from(format!("k/{n:05}")))
        .collect();
    let mut puts = Batch::new(lane.clone());
    puts.puts = keys.iter().map(|key| (key.clone(), key.clone())).collect();
    let version = store.commit(puts).await.expect("applied").version;
    let mut found = Vec::new();
    while let Some(page) = page(&store, &lane, found.last()).await {
        assert!(
            page.iter()
                .all(|entry| entry.version == version && entry.value == entry.key)
        );
        found.extend(page.into_iter().map(|entry| entry.key));
    }
    assert!(found == keys, "{} of {}", found.len(), keys.len());
    let mut requires = Batch::new(lane.clone());
    let rule = |key: &Bytes| Precondition::At(key.clone(), version);
    requires.require = keys.iter().map(rule).collect();
    store.commit(requires).await.expect("all hold");
    let mut deletes = Batch::new(lane.clone());
    deletes.deletes = keys;
    store.commit(deletes).await.expect("applied");
    assert!(page(&store, &lane, None).await.is_none());
    let names = server
        .command(&["EXISTS", "baton:{tx/largest}:names"])
        .await;
    assert_eq!(names.expect("an answer"), "0", "no name is left");
    let mut appends = Batch::new(lane.clone());
    appends.appends = vec![Bytes::from_static(b"e"); BATCH_OPS_MAX];
    store.commit(appends).await.expect("applied");
    let log = crate::everything(&store, &lane).await.expect("a log");
    assert_eq!(log.len(), BATCH_OPS_MAX);
}

async fn page(store: &RedisStore, lane: &LaneId, after: Option<&Bytes>) -> Option<Vec<Entry>> {
    let mut scan = Scan::prefix("k/", SCAN_LIMIT_MAX);
    scan.after = after.cloned();
    let page = store.scan(lane, &scan).await.expect("a page");
    (!page.is_empty()).then_some(page)
}

/// Calls that one task has under way together are applied in the order in which it made them.
#[tokio::test(flavor = "multi_thread")]
async fn calls_under_way_together_keep_their_order() {
    let server = RedisServer::start(&[]).await.expect("a server");
    let store = open(standalone(server.port())).await;
    let lane = lane("tx/order");
    store.commit(mark(&lane, 0)).await.expect("applied");
    let mut calls = Vec::new();
    for number in 1..=500 {
        let mut call = Box::pin(store.commit(mark(&lane, number)));
        let mut context = Context::from_waker(Waker::noop());
        match call.as_mut().poll(&mut context) {
            Poll::Pending => calls.push(call),
            Poll::Ready(done) => drop(done.expect("applied")),
        }
    }
    assert!(calls.len() > 100, "few were under way together");
    for done in futures_util::future::join_all(calls).await {
        done.expect("applied");
    }
    let log = crate::everything(&store, &lane).await.expect("a log");
    let numbers: Vec<u64> = log
        .iter()
        .map(|entry| crate::number(&entry.value))
        .collect();
    assert!(numbers.is_sorted() && numbers.len() == 501, "{numbers:?}");
}

/// Every key of a lane is in the slot that the store computes for it.
#[tokio::test(flavor = "multi_thread")]
async fn slots_are_the_servers() {
    let cluster = RedisCluster::start(1, 0, &[]).await.expect("a cluster");
    for (key, slot) in [
        ("{foo}:x", "12182"),
        ("{user1000}", "3443"),
        ("123456789", "12739"),
    ] {
        let found = cluster.masters[0]
            .command(&["CLUSTER", "KEYSLOT", key])
            .await;
        assert_eq!(found.expect("a slot"), slot);
    }
}
