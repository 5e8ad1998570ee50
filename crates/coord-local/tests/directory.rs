//! Directories that are not, or not yet, or not any more, a store of this version.

mod support;

use std::fs;
use std::path::Path;

use baton_coord::{Batch, CommitError, Lease, LeaseError, StoreError, Table, Wake};
use baton_coord_local::{LocalStore, OpenError, Options};
use baton_model::LaneId;
use bytes::Bytes;
use support::copy;

fn open(directory: &Path) -> Result<LocalStore, OpenError> {
    LocalStore::open(directory, Options::default())
}

fn batch() -> Batch {
    let mut batch = Batch::new(lane());
    batch.puts = vec![(Bytes::from("key"), Bytes::from("value"))];
    batch
}

fn lane() -> LaneId {
    LaneId::new("tx/a").expect("a lane id")
}

/// A directory with a store that holds one value.
async fn written() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path()).expect("the store opens");
    store.commit(batch()).await.expect("the commit is durable");
    store.close().await;
    directory
}

#[tokio::test]
async fn what_is_not_a_store_is_refused_by_name() {
    type Change = fn(&Path);
    let cases: [(&str, Change, &[&str]); 9] = [
        (
            "newer format",
            |d| put(d, "BATON", "baton-store 2\n"),
            &["\"baton-store 2\"", "reads"],
        ),
        ("empty marker", |d| put(d, "BATON", ""), &["format \"\""]),
        (
            "binary marker",
            |d| put(d, "BATON", "\u{0}\u{1}"),
            &["format"],
        ),
        (
            "marker gone",
            |d| gone(d, "BATON"),
            &["is not a store", "no file \"BATON\""],
        ),
        (
            "watermark gone",
            |d| gone(d, "acked"),
            &["damaged", "\"acked\""],
        ),
        (
            "watermark damaged",
            |d| put(d, "acked", "0123456789abcdef"),
            &["damaged", "\"acked\""],
        ),
        (
            "watermark cut",
            |d| put(d, "acked", "0"),
            &["damaged", "\"acked\""],
        ),
        (
            "data gone",
            |d| fs::remove_dir_all(d.join("data")).expect("a removal"),
            &["damaged", "\"data\" is missing"],
        ),
        (
            "data emptied",
            |d| {
                fs::remove_dir_all(d.join("data")).expect("a removal");
                fs::create_dir(d.join("data")).expect("a directory");
            },
            &["damaged", "acknowledged, only 0"],
        ),
    ];
    for (name, change, says) in cases {
        let directory = written().await;
        change(directory.path());
        // The second time as well: being refused changes nothing.
        for _ in 0..2 {
            let refused = open(directory.path()).err();
            let said = refused
                .unwrap_or_else(|| panic!("{name}: opened"))
                .to_string();
            for part in says {
                assert!(
                    said.contains(part),
                    "{name}: {said:?} does not say {part:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_foreign_directory_is_left_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    put(directory.path(), "holiday.jpg", "not a store");
    let said = open(directory.path())
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default();
    assert!(
        said.contains("is not a store: it holds \"holiday.jpg\""),
        "{said}"
    );
    assert_eq!(
        fs::read_dir(directory.path()).expect("a directory").count(),
        1
    );

    let file = directory.path().join("holiday.jpg");
    let said = open(&file)
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default();
    assert!(said.contains("cannot create"), "{said}");
}

#[tokio::test]
async fn a_store_that_was_not_finished_is_made_again() {
    let directory = written().await;
    // As a crash leaves it before the marker gets its name: nothing in it was ever acknowledged.
    let marker = directory.path().join("BATON");
    fs::rename(&marker, directory.path().join("BATON.making")).expect("a renaming");
    gone(directory.path(), "acked");
    let store = open(directory.path()).expect("the store opens");
    assert_eq!(store.get(&lane(), &Bytes::from("key")).await, Ok(None));
    store.commit(batch()).await.expect("the commit is durable");
    store.close().await;
    let store = open(directory.path()).expect("the store opens again");
    assert!(
        store
            .get(&lane(), &Bytes::from("key"))
            .await
            .is_ok_and(|found| found.is_some())
    );
}

#[tokio::test]
async fn an_older_copy_of_the_data_is_noticed() {
    let directory = written().await;
    let older = tempfile::tempdir().expect("a directory");
    copy(&directory.path().join("data"), &older.path().join("data"));
    let store = open(directory.path()).expect("the store opens");
    store.commit(batch()).await.expect("the commit is durable");
    store.close().await;
    fs::remove_dir_all(directory.path().join("data")).expect("a removal");
    copy(&older.path().join("data"), &directory.path().join("data"));
    let said = open(directory.path())
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default();
    assert!(
        said.contains("2 groups of commits were acknowledged, only 1 are there"),
        "{said}"
    );
}

#[tokio::test]
async fn a_closed_store_says_so_and_lets_go() {
    let directory = written().await;
    let store = open(directory.path()).expect("the store opens");
    let mut wakeups = store
        .subscribe("topic")
        .await
        .expect("the store subscribes");
    let commit = tokio::spawn({
        let store = store.clone();
        async move { store.commit(batch()).await }
    });
    tokio::task::yield_now().await;
    store.close().await;
    store.close().await;
    let handed_in = commit.await.expect("the task ran");
    assert!(
        matches!(handed_in, Ok(_) | Err(CommitError::Unavailable { .. })),
        "what was handed in is answered: {handed_in:?}"
    );
    assert_eq!(wakeups.next().await, None);
    let closed = StoreError::Unavailable {
        reason: "the store is closed".to_owned(),
    };
    assert_eq!(
        store.get(&lane(), &Bytes::from("key")).await,
        Err(closed.clone())
    );
    assert!(matches!(
        store.commit(batch()).await,
        Err(CommitError::Unavailable { .. })
    ));
    let holder = baton_coord::HolderId("a".to_owned());
    let acquired = store
        .acquire(&lane(), &holder, std::time::Duration::from_secs(1))
        .await;
    assert_eq!(acquired, Err(LeaseError::Store(closed)));
    let again = open(directory.path()).expect("the directory is free while a clone lives");
    drop(again);
    open(directory.path()).expect("a dropped store has let go");
}

fn put(directory: &Path, name: &str, content: &str) {
    fs::write(directory.join(name), content).expect("a write");
}

fn gone(directory: &Path, name: &str) {
    fs::remove_file(directory.join(name)).expect("a removal");
}
