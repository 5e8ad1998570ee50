//! Logs: order, positions, trims, and readers that wait.

use std::time::Duration;

use super::{Backend, append, committed, entries, lane, put, soon};
use crate::{Batch, Position, Store};

/// Longer than any check takes: a reader that is woken only by this fails.
const LONG: Duration = Duration::from_secs(600);

pub(super) async fn run<B: Backend>(backend: &B) {
    positions_rise_by_one(&backend.fresh().await.0).await;
    trims_remove_the_front_only(&backend.fresh().await.0).await;
    a_long_log_is_trimmed_whole(&backend.fresh().await.0).await;
    a_waiting_reader_is_woken_by_an_append(&backend.fresh().await.0).await;
    a_wait_ends_empty_handed(&backend.fresh().await.0).await;
}

async fn positions_rise_by_one<S: Store>(store: &S) {
    let lane = lane("tx/log");
    assert_eq!(store.last(&lane).await, Ok(Position(0)));
    for turn in 0..5 {
        let done = committed(store, append(&lane, &["a", "b", "c"])).await;
        assert_eq!(done.last, Some(Position(turn * 3 + 3)));
    }
    assert_eq!(store.last(&lane).await, Ok(Position(15)));
    let all = entries(store, &lane, 0).await;
    let positions: Vec<u64> = all.iter().map(|entry| entry.position.0).collect();
    assert_eq!(positions, (1..=15).collect::<Vec<_>>());
    let page = store.read(&lane, Position(4), 3, Duration::ZERO).await;
    let page = page.expect("the store reads its log");
    let found: Vec<_> = page
        .iter()
        .map(|entry| (entry.position.0, &entry.value[..]))
        .collect();
    assert_eq!(found, [(5, &b"b"[..]), (6, b"c"), (7, b"a")]);
    assert!(entries(store, &lane, 15).await.is_empty());
    assert!(entries(store, &lane, u64::MAX).await.is_empty());
}

async fn trims_remove_the_front_only<S: Store>(store: &S) {
    let lane = lane("tx/trim");
    committed(store, append(&lane, &["1", "2", "3", "4"])).await;
    let trim = |to| {
        let mut batch = Batch::new(lane.clone());
        batch.trim = Some(Position(to));
        batch
    };
    committed(store, trim(2)).await;
    let left = entries(store, &lane, 0).await;
    assert_eq!(
        left.iter()
            .map(|entry| entry.position.0)
            .collect::<Vec<_>>(),
        [3, 4]
    );
    committed(store, trim(1)).await;
    assert_eq!(
        entries(store, &lane, 0).await.len(),
        2,
        "trimming less again is no error"
    );
    let mut both = append(&lane, &["5"]);
    both.trim = Some(Position(5));
    assert_eq!(committed(store, both).await.last, Some(Position(5)));
    assert!(entries(store, &lane, 0).await.is_empty());
    assert_eq!(
        store.last(&lane).await,
        Ok(Position(5)),
        "a trim does not change the last"
    );
    let next = committed(store, append(&lane, &["6"])).await;
    assert_eq!(next.last, Some(Position(6)), "positions are never reused");
}

async fn a_long_log_is_trimmed_whole<S: Store>(store: &S) {
    let lane = lane("tx/long");
    let many = vec!["entry"; 6000];
    committed(store, append(&lane, &many)).await;
    committed(store, append(&lane, &many)).await;
    let mut trim = Batch::new(lane.clone());
    trim.trim = Some(Position(11_998));
    committed(store, trim).await;
    let left = entries(store, &lane, 0).await;
    assert_eq!(
        left.iter()
            .map(|entry| entry.position.0)
            .collect::<Vec<_>>(),
        [11_999, 12_000]
    );
    for turn in 0..4 {
        committed(store, put(&lane, "a", &turn.to_string())).await;
        assert_eq!(entries(store, &lane, 5).await, left);
    }
}

async fn a_waiting_reader_is_woken_by_an_append<S: Store + Clone + 'static>(store: &S) {
    let lane = lane("tx/wait");
    let readers: Vec<_> = (0..8)
        .map(|_| {
            let (store, lane) = (store.clone(), lane.clone());
            tokio::spawn(async move { store.read(&lane, Position(1), 10, LONG).await })
        })
        .collect();
    // Neither other lanes, nor values, nor entries before the position wake it for good.
    committed(store, append(&super::lane("tx/wait2"), &["other", "other"])).await;
    committed(store, put(&lane, "a", "1")).await;
    committed(store, append(&lane, &["before"])).await;
    tokio::task::yield_now().await;
    assert!(readers.iter().all(|reader| !reader.is_finished()));
    committed(store, append(&lane, &["awaited"])).await;
    for reader in readers {
        let found = soon("a reader that waits for an append", reader).await;
        let found = found
            .expect("the reader ran")
            .expect("the store reads its log");
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].position, &found[0].value[..]),
            (Position(2), &b"awaited"[..])
        );
    }
}

async fn a_wait_ends_empty_handed<S: Store>(store: &S) {
    let lane = lane("tx/timeout");
    let wait = Duration::from_millis(20);
    let read = soon(
        "a read that times out",
        store.read(&lane, Position(0), 1, wait),
    )
    .await;
    assert_eq!(read, Ok(Vec::new()));
    committed(store, append(&lane, &["there"])).await;
    let read = soon(
        "a read that need not wait",
        store.read(&lane, Position(0), 1, LONG),
    )
    .await;
    assert_eq!(read.map(|found| found.len()), Ok(1));
}
