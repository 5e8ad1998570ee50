//! Scans: the order of bytes, in both directions, page by page.

use super::{Backend, committed, key, lane, names, text};
use crate::{Batch, Key, Scan, Store};

pub(super) async fn run<B: Backend>(backend: &B) {
    scans_are_ordered_and_bounded(&backend.fresh().await.0).await;
    pages_join_to_the_whole(&backend.fresh().await.0).await;
}

async fn scans_are_ordered_and_bounded<S: Store>(store: &S) {
    let lane = lane("tx/scan");
    let mut batch = Batch::new(lane.clone());
    for name in ["b/2", "a", "b", "b/10", "c", "b/1", "b0"] {
        batch.puts.push((key(name), text(name)));
    }
    batch
        .puts
        .push((Key::from_static(b"\xff\xff"), text("last")));
    committed(store, batch).await;
    let all = Scan::prefix("", 100);
    assert_eq!(names(store, &lane, &all).await.len(), 8);
    let last = Scan::prefix(Key::from_static(b"\xff"), 100);
    assert_eq!(
        store
            .scan(&lane, &last)
            .await
            .expect("the store scans")
            .len(),
        1
    );
    for (scan, expected) in cases() {
        assert_eq!(names(store, &lane, &scan).await, expected, "{scan:?}");
    }
}

fn cases() -> Vec<(Scan, &'static [&'static str])> {
    let of = |prefix: &str| Scan::prefix(key(prefix), 100);
    let after = |prefix: &str, name: &str| Scan {
        after: Some(key(name)),
        ..of(prefix)
    };
    let skip = |skip, scan| Scan { skip, ..scan };
    let limit = |limit, scan| Scan { limit, ..scan };
    let reverse = |scan| Scan {
        reverse: true,
        ..scan
    };
    vec![
        (of("b"), &["b", "b/1", "b/10", "b/2", "b0"]),
        (of("b/"), &["b/1", "b/10", "b/2"]),
        (of("x"), &[]),
        (limit(2, of("b")), &["b", "b/1"]),
        (skip(3, of("b")), &["b/2", "b0"]),
        (skip(1, limit(2, of("b"))), &["b/1", "b/10"]),
        (skip(9, of("b")), &[]),
        (after("b/", "b/1"), &["b/10", "b/2"]),
        (limit(1, after("b", "a")), &["b"]),
        (after("b", "z"), &[]),
        (reverse(of("b/")), &["b/2", "b/10", "b/1"]),
        (skip(1, reverse(after("b", "b/2"))), &["b/1", "b"]),
        (reverse(after("b", "a")), &[]),
        (limit(1, reverse(after("b/", "z"))), &["b/2"]),
    ]
}

async fn pages_join_to_the_whole<S: Store>(store: &S) {
    let lane = lane("tx/pages");
    let mut batch = Batch::new(lane.clone());
    let mut expected: Vec<String> = (0..97)
        .map(|n| format!("page/{}", n * 7919 % 997))
        .collect();
    for name in &expected {
        batch.puts.push((key(name), text(name)));
    }
    committed(store, batch).await;
    expected.sort();
    for reverse in [false, true] {
        let mut scan = Scan::prefix("page/", 10);
        scan.reverse = reverse;
        let mut found = Vec::new();
        loop {
            let page = names(store, &lane, &scan).await;
            let Some(last) = page.last() else {
                break;
            };
            scan.after = Some(key(last));
            found.extend(page);
        }
        assert_eq!(found, expected, "reverse: {reverse}");
        expected.reverse();
    }
}
