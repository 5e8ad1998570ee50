//! A second process, a dead one, and a disk that is full.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use baton_coord::{HolderId, Lease, Table};
use baton_coord_local::{LocalStore, OpenError, Options};

use crate::child::{lane, mixed, open, part, runtime};
use crate::kill::start;

pub(crate) fn second_process() {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut child, _) = holding(directory.path());
    let refused = LocalStore::open(directory.path(), Options::default()).err();
    let refused = refused.expect("the child has the store");
    let said = refused.to_string();
    assert!(matches!(refused, OpenError::InUse { .. }), "{said}");
    for part in [format!("process {} on ", child.id()), " since 2".to_owned()] {
        assert!(said.contains(&part), "{said:?} does not say {part:?}");
    }
    // Asking did not take the name away.
    let again = LocalStore::open(directory.path(), Options::default()).err();
    assert_eq!(again.map(|error| error.to_string()), Some(said));
    child.kill().expect("the child is running");
    child.wait().expect("the child ends");
    let store = open(directory.path());
    runtime().block_on(store.close());
}

pub(crate) fn dead_holder() {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut child, epoch) = holding(directory.path());
    child.kill().expect("the child is running");
    child.wait().expect("the child ends");
    let store = open(directory.path());
    runtime().block_on(async {
        let heir = HolderId("the heir".to_owned());
        let acquired = store
            .acquire(&lane(0), &heir, Duration::from_secs(10))
            .await;
        let acquired = acquired.expect("a dead process holds nothing");
        assert!(acquired.epoch.0 > epoch, "{} after {epoch}", acquired.epoch);
        store.close().await;
    });
}

/// Starts a child that holds the store and a lane, and returns it with the epoch that it was given.
fn holding(directory: &Path) -> (Child, u64) {
    let mut child = start("child-hold", directory);
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let line = lines
        .next()
        .expect("the child says that it holds")
        .expect("a line");
    let epoch = line.strip_prefix("holding ").expect("an epoch");
    (child, epoch.parse().expect("a number"))
}

/// A limit on the size of files stands in for a full disk: the kernel refuses the write either way.
pub(crate) fn full_disk() {
    let directory = tempfile::tempdir().expect("a directory");
    runtime().block_on(open(directory.path()).close());
    let executable = std::env::current_exe().expect("the path of this executable");
    // 8,000 or, where the shell counts in KiB, 16,000 blocks of 512 bytes.
    let script = "trap '' XFSZ; ulimit -f 8000; exec \"$0\" child-fill \"$1\"";
    let child = Command::new("sh")
        .args(["-c", script])
        .arg(executable)
        .arg(directory.path())
        .stderr(Stdio::null())
        .output()
        .expect("the child starts");
    let said = String::from_utf8_lossy(&child.stdout).into_owned();
    let acked: Vec<u64> = said
        .lines()
        .filter_map(|line| line.strip_prefix("ack 0 "))
        .map(|turn| turn.parse().expect("a number"))
        .collect();
    assert!(acked.len() > 1, "the child wrote something: {said}");
    assert!(
        said.contains("failed Unknown"),
        "the batch may be on the disk: {said}"
    );
    assert!(
        said.contains("again Err(Unavailable"),
        "nothing more is accepted: {said}"
    );
    assert!(
        said.contains("reopen it"),
        "the error says what to do: {said}"
    );
    assert!(said.contains("read Ok(true)"), "reads go on: {said}");

    let store = open(directory.path());
    runtime().block_on(async {
        for turn in acked {
            let found = store
                .get(&lane(0), &part(turn, 0))
                .await
                .expect("the store reads");
            let value = found.expect("it was acknowledged").value;
            let whole = value
                .iter()
                .zip(0..)
                .all(|(byte, n)| *byte == mixed(turn, n));
            assert!(whole && value.len() == 500_000, "batch {turn} is not whole");
        }
        store.close().await;
    });
}
