//! The child process: opens a store and reports each answer, one line each, after it has it.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use baton_coord::{Batch, Key, Lease, Position, Precondition, Table};
use baton_coord_local::{LocalStore, Options};
use baton_model::LaneId;
use bytes::Bytes;

/// Tasks that write at once, each to a lane of its own.
pub(crate) const TASKS: u64 = 4;
/// Values put by each batch, besides the head.
pub(crate) const PARTS: u64 = 3;
/// Entries appended by each batch.
pub(crate) const ENTRIES: u64 = 2;
/// Batches of a lane whose values and entries are kept.
pub(crate) const KEPT: u64 = 40;

pub(crate) fn role(name: &str) -> Option<fn(&Path)> {
    match name {
        "child-write" => Some(write),
        "child-hold" => Some(hold),
        "child-fill" => Some(fill),
        _ => None,
    }
}

pub(crate) fn lane(task: u64) -> LaneId {
    LaneId::new(format!("tx/kill-{task}")).expect("a lane id")
}

pub(crate) fn head() -> Key {
    Key::from_static(b"head")
}

pub(crate) fn part(turn: u64, part: u64) -> Key {
    Key::from(format!("part/{turn:010}/{part}"))
}

/// Content that says where it belongs, of a size that spans pages now and then.
pub(crate) fn content(task: u64, turn: u64, part: u64) -> Bytes {
    let mark = format!("{task}/{turn}/{part};");
    let length = usize::try_from(turn * 37 % 1500).expect("a small number") + mark.len();
    Bytes::from(
        mark.into_bytes()
            .into_iter()
            .cycle()
            .take(length)
            .collect::<Vec<u8>>(),
    )
}

pub(crate) fn open(directory: &Path) -> LocalStore {
    let options = Options {
        // Small, so that moving data to sorted files is among what is interrupted.
        buffer_bytes: 512 * 1024,
        ..Options::default()
    };
    LocalStore::open(directory, options).expect("the store opens")
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().expect("a runtime starts")
}

fn write(directory: &Path) {
    report("opening");
    let store = open(directory);
    report("opened");
    runtime().block_on(async {
        let tasks: Vec<_> = (0..TASKS)
            .map(|task| tokio::spawn(write_lane(store.clone(), task)))
            .collect();
        for task in tasks {
            task.await.expect("the task runs until it is killed");
        }
    });
}

async fn write_lane(store: LocalStore, task: u64) {
    let found = store
        .get(&lane(task), &head())
        .await
        .expect("the store reads");
    let mut turn = found.as_ref().map_or(0, |entry| number(&entry.value)) + 1;
    let mut version = found.map(|entry| entry.version);
    loop {
        let mut batch = Batch::new(lane(task));
        batch.require = vec![match version {
            Some(version) => Precondition::At(head(), version),
            None => Precondition::Absent(head()),
        }];
        batch.puts = (0..PARTS)
            .map(|n| (part(turn, n), content(task, turn, n)))
            .collect();
        batch.puts.push((head(), Bytes::from(turn.to_string())));
        batch.appends = (0..ENTRIES).map(|n| content(task, turn, n)).collect();
        if let Some(old) = turn.checked_sub(KEPT).filter(|old| *old > 0) {
            batch.deletes = (0..PARTS).map(|n| part(old, n)).collect();
            batch.trim = Some(Position(old * ENTRIES));
        }
        version = Some(
            store
                .commit(batch)
                .await
                .expect("the commit is durable")
                .version,
        );
        report(&format!("ack {task} {turn}"));
        turn += 1;
    }
}

pub(crate) fn number(value: &[u8]) -> u64 {
    let text = std::str::from_utf8(value).expect("a number");
    text.parse().expect("a number")
}

/// Holds the store and a lane until it is killed.
fn hold(directory: &Path) {
    let store = open(directory);
    runtime().block_on(async {
        let holder = baton_coord::HolderId("the child".to_owned());
        let acquired = store
            .acquire(&lane(0), &holder, Duration::from_secs(3600))
            .await;
        report(&format!(
            "holding {}",
            acquired.expect("the lane is free").epoch
        ));
        std::future::pending::<()>().await;
    });
}

/// Writes until the disk refuses, and once more.
fn fill(directory: &Path) {
    let store = open(directory);
    runtime().block_on(async {
        for turn in 0..200u64 {
            let mut batch = Batch::new(lane(0));
            let value: Vec<u8> = (0..500_000u64).map(|n| mixed(turn, n)).collect();
            batch.puts = vec![(part(turn, 0), Bytes::from(value))];
            match store.commit(batch).await {
                Ok(_) => report(&format!("ack 0 {turn}")),
                Err(first) => {
                    let again = store.commit(Batch::new(lane(0))).await;
                    let read = store
                        .get(&lane(0), &part(0, 0))
                        .await
                        .map(|found| found.is_some());
                    report(&format!("failed {first:?}"));
                    report(&format!("again {again:?}"));
                    report(&format!("read {read:?}"));
                    return;
                }
            }
        }
    });
    report("never full");
}

/// A byte that does not compress.
pub(crate) fn mixed(turn: u64, n: u64) -> u8 {
    let mut x = turn.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ n.wrapping_mul(0xd6e8_feb8_6659_fd93);
    x ^= x >> 32;
    x.wrapping_mul(0xd6e8_feb8_6659_fd93).to_be_bytes()[0]
}

fn report(line: &str) {
    let mut out = std::io::stdout().lock();
    let written = writeln!(out, "{line}").and_then(|()| out.flush());
    written.expect("the parent listens");
}
