//! Limits: one over is refused by name, the limit itself is accepted.

use std::time::Duration;

use bytes::Bytes;

use super::{Backend, TTL, append, committed, entries, holder, key, lane, put, refused, text};
use crate::limits::{LEASE_TTL_MAX, SCAN_SKIP_MAX, TOPIC_BYTES_MAX};
use crate::{
    BATCH_BYTES_MAX, BATCH_OPS_MAX, Batch, CommitError, KEY_BYTES_MAX, LeaseError, Position,
    Precondition, SCAN_LIMIT_MAX, Scan, Store, StoreError, VALUE_BYTES_MAX,
};

pub(super) async fn run<B: Backend>(backend: &B) {
    bad_batches_name_the_rule(&backend.fresh().await.0).await;
    the_longest_key_is_accepted(&backend.fresh().await.0).await;
    bad_questions_name_the_rule(&backend.fresh().await.0).await;
}

fn bad_batches() -> Vec<(&'static str, Batch)> {
    let lane = lane("tx/limits");
    let long = Bytes::from(vec![b'k'; KEY_BYTES_MAX + 1]);
    let huge = Bytes::from(vec![0; VALUE_BYTES_MAX + 1]);
    let large = Bytes::from(vec![0; VALUE_BYTES_MAX]);
    let mut cases = Vec::new();
    let mut case = |rule, change: &dyn Fn(&mut Batch)| {
        let mut batch = Batch::new(lane.clone());
        change(&mut batch);
        cases.push((rule, batch));
    };
    case("KEY_BYTES_MAX", &|b| b.puts.push((long.clone(), text("v"))));
    case("KEY_BYTES_MAX", &|b| b.deletes.push(long.clone()));
    case("KEY_BYTES_MAX", &|b| {
        b.require.push(Precondition::Absent(long.clone()))
    });
    case("KEY_BYTES_MAX", &|b| b.puts.push((key(""), text("v"))));
    case("VALUE_BYTES_MAX", &|b| {
        b.puts.push((key("k"), huge.clone()))
    });
    case("VALUE_BYTES_MAX", &|b| b.appends.push(huge.clone()));
    case("BATCH_OPS_MAX", &|b| {
        b.appends = vec![text(""); BATCH_OPS_MAX + 1]
    });
    case("BATCH_BYTES_MAX", &|b| {
        b.appends = vec![large.clone(); BATCH_BYTES_MAX / VALUE_BYTES_MAX + 1];
    });
    case("written twice", &|b| {
        b.puts = vec![(key("k"), text("1")), (key("k"), text("2"))]
    });
    case("written twice", &|b| {
        b.puts.push((key("k"), text("1")));
        b.deletes.push(key("k"));
    });
    case("trim is 3", &|b| {
        b.appends = vec![text("1"), text("2")];
        b.trim = Some(Position(3));
    });
    cases
}

async fn bad_batches_name_the_rule<S: Store>(store: &S) {
    for (rule, batch) in bad_batches() {
        let lane = batch.lane.clone();
        match refused(store, batch).await {
            CommitError::Invalid { reason } => {
                assert!(reason.contains(rule), "{reason:?} does not name {rule:?}");
            }
            error @ (CommitError::Fenced { .. }
            | CommitError::Precondition { .. }
            | CommitError::Unavailable { .. }
            | CommitError::Unknown { .. }) => panic!("expected {rule}, got {error:?}"),
        }
        assert!(
            entries(store, &lane, 0).await.is_empty(),
            "a refused batch left something"
        );
    }
}

async fn the_longest_key_is_accepted<S: Store>(store: &S) {
    let lane = lane(&"l".repeat(128));
    let longest = Bytes::from(vec![0xff; KEY_BYTES_MAX]);
    let mut batch = append(&lane, &["entry"]);
    batch.puts = vec![(longest.clone(), Bytes::from(vec![7; 1024 * 1024]))];
    committed(store, batch).await;
    let found = store.get(&lane, &longest).await.expect("the store reads");
    assert_eq!(found.map(|entry| entry.value.len()), Some(1024 * 1024));
    let mut scan = Scan::prefix(longest.clone(), SCAN_LIMIT_MAX);
    assert_eq!(
        store
            .scan(&lane, &scan)
            .await
            .expect("the store scans")
            .len(),
        1
    );
    scan.after = Some(longest);
    assert!(
        store
            .scan(&lane, &scan)
            .await
            .expect("the store scans")
            .is_empty()
    );
}

async fn bad_questions_name_the_rule<S: Store>(store: &S) {
    let lane = lane("tx/limits");
    committed(store, put(&lane, "a", "1")).await;
    let long = Bytes::from(vec![b'k'; KEY_BYTES_MAX + 1]);
    let scan = |change: &dyn Fn(&mut Scan)| {
        let mut scan = Scan::prefix("", 1);
        change(&mut scan);
        scan
    };
    let scans = [
        ("SCAN_LIMIT_MAX", scan(&|s| s.limit = 0)),
        ("SCAN_LIMIT_MAX", scan(&|s| s.limit = SCAN_LIMIT_MAX + 1)),
        ("SCAN_SKIP_MAX", scan(&|s| s.skip = SCAN_SKIP_MAX + 1)),
        ("KEY_BYTES_MAX", scan(&|s| s.prefix = long.clone())),
        ("KEY_BYTES_MAX", scan(&|s| s.after = Some(long.clone()))),
    ];
    for (rule, scan) in scans {
        expect_invalid(rule, store.scan(&lane, &scan).await.map(drop));
    }
    expect_invalid("KEY_BYTES_MAX", store.get(&lane, &long).await.map(drop));
    for limit in [0, SCAN_LIMIT_MAX + 1] {
        let read = store.read(&lane, Position(0), limit, Duration::ZERO).await;
        expect_invalid("SCAN_LIMIT_MAX", read.map(drop));
    }
    for topic in ["", &"t".repeat(TOPIC_BYTES_MAX + 1)] {
        expect_invalid("TOPIC_BYTES_MAX", store.publish(topic).await);
        expect_invalid("TOPIC_BYTES_MAX", store.subscribe(topic).await.map(drop));
    }
    let epoch = store
        .acquire(&lane, &holder("a"), TTL)
        .await
        .expect("the lane is free")
        .epoch;
    for ttl in [Duration::ZERO, LEASE_TTL_MAX + Duration::from_millis(1)] {
        let acquired = store.acquire(&lane, &holder("a"), ttl).await.map(drop);
        for answer in [acquired, store.renew(&lane, epoch, ttl).await] {
            match answer {
                Err(LeaseError::Store(error)) => expect_invalid("LEASE_TTL_MAX", Err(error)),
                Ok(()) | Err(LeaseError::Held { .. } | LeaseError::Lost) => {
                    panic!("a lease of {ttl:?} got {answer:?}")
                }
            }
        }
    }
}

fn expect_invalid(rule: &str, answer: Result<(), StoreError>) {
    match answer {
        Err(StoreError::Invalid { reason }) => {
            assert!(reason.contains(rule), "{reason:?} does not name {rule:?}");
        }
        Ok(()) | Err(StoreError::Unavailable { .. } | StoreError::Damaged { .. }) => {
            panic!("expected {rule}, got {answer:?}")
        }
    }
}
