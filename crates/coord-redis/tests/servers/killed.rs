//! Servers that end, and come back with all, some or nothing of what they had.

use std::fs::{self, OpenOptions};
use std::path::PathBuf;
use std::time::Duration;

use baton_coord::{CommitError, Lease, LeaseError, Table};
use baton_testkit::RedisServer;

use crate::support::{hasty, standalone};
use crate::{TTL, Writer, acquire, lane, mark, marked, open, until};

/// How long writers run at first before the server ends: long enough for some hundred commits on an idle machine.
const RUN: Duration = Duration::from_millis(400);
/// Rounds that have to show something, and the most that are tried: a busy machine gets more time in the next one.
const ROUNDS: usize = 3;
const ROUNDS_MAX: usize = 10;

/// With every commit flushed, whatever was acknowledged survives. A lost connection is never told as "not applied"
/// when it was: no number is missing between those that were told.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_when_every_commit_is_flushed() {
    let lines = ["appendonly yes", "appendfsync always"];
    let mut server = RedisServer::start(&lines).await.expect("a server");
    let store = open(hasty(standalone(server.port()))).await;
    let (mut run, mut telling) = (RUN, 0);
    for round in 0..ROUNDS_MAX {
        let names: Vec<String> = (0..16).map(|n| format!("tx/kill-{round}-{n}")).collect();
        let writers: Vec<Writer> = names.iter().map(|n| Writer::start(&store, n)).collect();
        tokio::time::sleep(run).await;
        server.kill().expect("a kill");
        let (mut told, mut unknown) = (0, 0);
        let stopped = Writer::stop(writers).await;
        server.restart().await.expect("a server again");
        for (lane, written) in stopped {
            let found = marked(&store, &lane).await;
            assert!(found >= written.last, "{lane}: {found} after {written:?}");
            assert!(
                found <= written.last + written.unknown,
                "{lane}: {found} after {written:?}"
            );
            told += written.last;
            unknown += written.unknown;
        }
        if told > 100 && unknown > 0 {
            telling += 1;
        } else {
            run *= 2;
        }
        if telling == ROUNDS {
            return;
        }
    }
    panic!("only {telling} rounds had a hundred commits and one in the air");
}

/// A server that loses the end of its file is what a crash of its machine leaves behind with `appendfsync everysec`.
/// What is left is whole batches, the holder is told before it writes, and nothing is numbered twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_lost_its_last_commits_costs_the_holder_its_lease() {
    let lines = ["appendonly yes", "appendfsync everysec"];
    let mut server = RedisServer::start(&lines).await.expect("a server");
    let store = open(hasty(standalone(server.port()))).await;
    let lane = lane("tx/rolled-back");
    let mut cut = 1;
    for round in 0..4 {
        let epoch = acquire(&store, &lane, "holder").await;
        let first = marked(&store, &lane).await + 1;
        let mut version = None;
        for number in first..first + 50 {
            let done = store.commit(mark(&lane, number).fenced(epoch)).await;
            version = Some(done.expect("the commit is applied").version);
        }
        server.kill().expect("a kill");
        shorten(&server, cut);
        cut = cut * 7 + 13;
        server.restart().await.expect("a server again");

        let left = marked(&store, &lane).await;
        assert!(left < first + 49, "round {round}: nothing was lost");
        let late = until_known(&store, mark(&lane, 1_000).fenced(epoch)).await;
        assert!(
            matches!(late, Err(CommitError::Fenced { given, .. }) if given == epoch),
            "{late:?}"
        );
        assert_eq!(store.renew(&lane, epoch, TTL).await, Err(LeaseError::Lost));
        assert_eq!(
            marked(&store, &lane).await,
            left,
            "the lost holder wrote nothing"
        );
        let next = acquire(&store, &lane, "another").await;
        assert!(next > epoch, "{next} after {epoch}");
        let done = store.commit(mark(&lane, left + 1).fenced(next)).await;
        let done = done.expect("the commit is applied");
        assert!(Some(done.version) > version, "versions are not given twice");
        store.release(&lane, next).await.expect("a release");
    }
}

/// A server that comes back with nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_lost_everything_gives_no_epoch_twice() {
    let mut server = RedisServer::start(&[]).await.expect("a server");
    let store = open(hasty(standalone(server.port()))).await;
    let lane = lane("tx/empty");
    let mut last = acquire(&store, &lane, "holder").await;
    let mut version = store
        .commit(mark(&lane, 1).fenced(last))
        .await
        .expect("applied")
        .version;
    for _ in 0..3 {
        server.kill().expect("a kill");
        server.restart().await.expect("a server again");
        let late = until_known(&store, mark(&lane, 2).fenced(last)).await;
        assert!(matches!(late, Err(CommitError::Fenced { .. })), "{late:?}");
        assert_eq!(marked(&store, &lane).await, 0);
        let epoch = acquire(&store, &lane, "holder").await;
        assert!(epoch > last, "{epoch} after {last}");
        let done = store
            .commit(mark(&lane, 1).fenced(epoch))
            .await
            .expect("applied");
        assert!(done.version > version, "versions are not given twice");
        let listed = until(|| baton_coord::Admin::lanes(&store, None, 10)).await;
        assert_eq!(
            listed,
            std::slice::from_ref(&lane),
            "the list of lanes is made again"
        );
        (last, version) = (epoch, done.version);
    }
}

/// Without a lease of its own, a process sees what another wrote after the server came back.
#[tokio::test(flavor = "multi_thread")]
async fn an_orderly_restart_loses_nothing_but_leases() {
    let lines = ["appendonly yes", "appendfsync everysec"];
    let mut server = RedisServer::start(&lines).await.expect("a server");
    let store = open(hasty(standalone(server.port()))).await;
    let lane = lane("tx/restart");
    let epoch = acquire(&store, &lane, "holder").await;
    for number in 1..=200 {
        store
            .commit(mark(&lane, number).fenced(epoch))
            .await
            .expect("applied");
    }
    // SIGKILL of the server alone: what it wrote is the kernel's, flushed or not.
    server.kill().expect("a kill");
    server.restart().await.expect("a server again");
    assert_eq!(marked(&store, &lane).await, 200);
    assert_eq!(
        until_renewed(&store, &lane, epoch).await,
        Err(LeaseError::Lost)
    );
    assert!(acquire(&store, &lane, "holder").await > epoch);
}

async fn until_known(
    store: &baton_coord_redis::RedisStore,
    batch: baton_coord::Batch,
) -> Result<baton_coord::Committed, CommitError> {
    until(|| async {
        match store.commit(batch.clone()).await {
            Err(error @ (CommitError::Unknown { .. } | CommitError::Unavailable { .. })) => {
                Err(error)
            }
            known => Ok(known),
        }
    })
    .await
}

async fn until_renewed(
    store: &baton_coord_redis::RedisStore,
    lane: &baton_model::LaneId,
    epoch: baton_coord::Epoch,
) -> Result<(), LeaseError> {
    until(|| async {
        match store.renew(lane, epoch, TTL).await {
            Err(LeaseError::Store(error)) => Err(error),
            known => Ok(known),
        }
    })
    .await
}

/// Cuts bytes off the end of the file that the server appends to.
fn shorten(server: &RedisServer, bytes: u64) {
    let files = fs::read_dir(server.directory().join("appendonlydir")).expect("a directory");
    let growing: Vec<PathBuf> = files
        .map(|file| file.expect("a file").path())
        .filter(|path| path.to_string_lossy().ends_with(".incr.aof"))
        .collect();
    let file = OpenOptions::new()
        .write(true)
        .open(growing.iter().max().expect("a file"));
    let file = file.expect("a file");
    let length = file.metadata().expect("a length").len();
    file.set_len(length.saturating_sub(bytes))
        .expect("a shorter file");
}
