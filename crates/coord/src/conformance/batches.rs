//! Batches: all or nothing, in order, under fences and preconditions.

use baton_model::LaneId;

use super::{Backend, append, committed, entries, key, lane, put, refused, text, value};
use crate::{Admin, Batch, CommitError, Position, Precondition, Store, Table, Version};

pub(super) async fn run<B: Backend>(backend: &B) {
    a_batch_does_everything_it_says(&backend.fresh().await.0).await;
    preconditions_hold_or_nothing_happens(&backend.fresh().await.0).await;
    versions_rise_and_never_repeat(&backend.fresh().await.0).await;
    lanes_do_not_see_each_other(&backend.fresh().await.0).await;
    what_was_answered_is_there_after_a_restart(backend).await;
}

async fn a_batch_does_everything_it_says<S: Store>(store: &S) {
    let lane = lane("tx/batch");
    committed(store, put(&lane, "gone", "1")).await;
    let mut batch = append(&lane, &["first", "second"]);
    batch.puts = vec![(key("a"), text("A")), (key("b"), text(""))];
    batch.deletes = vec![key("gone"), key("never-there")];
    let done = committed(store, batch).await;
    assert_eq!(done.last, Some(Position(2)));
    assert_eq!(value(store, &lane, "a").await, Some(text("A")));
    assert_eq!(
        value(store, &lane, "b").await,
        Some(text("")),
        "an empty value is a value"
    );
    assert_eq!(value(store, &lane, "gone").await, None);
    let log = entries(store, &lane, 0).await;
    assert_eq!(
        log.iter().map(|e| e.value.clone()).collect::<Vec<_>>(),
        ["first", "second"]
    );
    let stored = store.get(&lane, &key("a")).await.expect("the store reads");
    assert_eq!(stored.map(|entry| entry.version), Some(done.version));
    let empty = committed(store, Batch::new(lane.clone())).await;
    assert_eq!(empty.last, None, "an empty batch is no error");
}

async fn preconditions_hold_or_nothing_happens<S: Store>(store: &S) {
    let lane = lane("tx/require");
    let first = committed(store, put(&lane, "a", "1")).await;
    let attempts = [
        (vec![Precondition::Absent(key("a"))], 0, "a"),
        (
            vec![Precondition::At(key("a"), Version(first.version.0 + 1))],
            0,
            "a",
        ),
        (
            vec![Precondition::At(key("none"), first.version)],
            0,
            "none",
        ),
        (
            vec![
                Precondition::Absent(key("none")),
                Precondition::Absent(key("a")),
            ],
            1,
            "a",
        ),
    ];
    for (require, index, name) in attempts {
        let mut batch = append(&lane, &["half"]);
        batch.puts = vec![(key("half"), text("half")), (key("a"), text("2"))];
        batch.require = require;
        let expected = CommitError::Precondition {
            index,
            key: key(name),
        };
        assert_eq!(refused(store, batch).await, expected);
    }
    assert_eq!(
        value(store, &lane, "half").await,
        None,
        "no part of a refused batch"
    );
    assert_eq!(value(store, &lane, "a").await, Some(text("1")));
    assert!(entries(store, &lane, 0).await.is_empty());

    let mut batch = put(&lane, "a", "2");
    batch.require = vec![
        Precondition::At(key("a"), first.version),
        Precondition::Absent(key("b")),
    ];
    committed(store, batch).await;
    assert_eq!(value(store, &lane, "a").await, Some(text("2")));
}

async fn versions_rise_and_never_repeat<S: Store>(store: &S) {
    let lane = lane("tx/version");
    let mut last = Version(0);
    for turn in 0..6 {
        let mut batch = put(&lane, "a", "x");
        if turn % 2 == 1 {
            batch.deletes = vec![key("a")];
            batch.puts = vec![(key("b"), text("x"))];
        }
        let done = committed(store, batch).await;
        assert!(done.version > last, "{:?} after {last:?}", done.version);
        last = done.version;
    }
    let mut stale = put(&lane, "b", "y");
    stale.require = vec![Precondition::At(key("b"), Version(last.0 - 1))];
    assert!(matches!(
        refused(store, stale).await,
        CommitError::Precondition { .. }
    ));
}

async fn lanes_do_not_see_each_other<S: Store + Admin>(store: &S) {
    // Names that are prefixes of one another, and that sort between a lane's own keys.
    let lanes = [lane("tx/a"), lane("tx/ab"), lane("tx/a/b"), lane("tx")];
    for (index, lane) in lanes.iter().enumerate() {
        let mut batch = append(lane, &[lane.as_str()]);
        batch.puts = vec![(key("b"), text(lane.as_str()))];
        let done = committed(store, batch).await;
        assert_eq!(
            done.last,
            Some(Position(1)),
            "lane {index} has its own positions"
        );
    }
    for lane in &lanes {
        assert_eq!(value(store, lane, "b").await, Some(text(lane.as_str())));
        let log = entries(store, lane, 0).await;
        assert_eq!(log.len(), 1);
        assert_eq!(log[0].value, lane.as_str());
    }
    let mut listed = Vec::new();
    while let Some(next) = next_lane(store, listed.last()).await {
        listed.push(next);
    }
    let mut expected = lanes.to_vec();
    expected.sort();
    assert_eq!(listed, expected, "lanes are listed in order, page by page");
}

async fn next_lane<S: Admin>(store: &S, after: Option<&LaneId>) -> Option<LaneId> {
    store
        .lanes(after, 1)
        .await
        .expect("the store lists its lanes")
        .pop()
}

async fn what_was_answered_is_there_after_a_restart<B: Backend>(backend: &B) {
    let (store, _) = backend.fresh().await;
    let lane = lane("tx/restart");
    let mut batch = append(&lane, &["one", "two", "three"]);
    batch.puts = vec![(key("a"), text("A"))];
    let first = committed(&store, batch).await;
    let mut trim = Batch::new(lane.clone());
    trim.trim = Some(Position(3));
    committed(&store, trim).await;
    let Some(store) = backend.restart(store).await else {
        return;
    };
    let found = store.get(&lane, &key("a")).await.expect("the store reads");
    let found = found.expect("the value is there");
    assert_eq!((found.version, found.value), (first.version, text("A")));
    assert!(
        entries(&store, &lane, 0).await.is_empty(),
        "trimmed entries stay trimmed"
    );
    let next = committed(&store, append(&lane, &["four"])).await;
    assert_eq!(
        next.last,
        Some(Position(4)),
        "positions are not reused after a restart"
    );
    assert!(
        next.version > first.version,
        "versions rise across restarts"
    );
}
