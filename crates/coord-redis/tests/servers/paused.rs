//! Servers that do not answer for a while.

use std::time::Duration;

use baton_coord::{CommitError, Lease, LeaseError, Table};
use baton_testkit::RedisServer;
use tokio::time::Instant;

use crate::support::{hasty, standalone};
use crate::{TTL, Writer, acquire, lane, mark, marked, open, until};

/// A stopped process: the first commits are unknown, those that follow are known not to be done, and all goes on when
/// the server does.
#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_server_is_noticed_and_used_again() {
    let server = RedisServer::start(&[]).await.expect("a server");
    let store = open(hasty(standalone(server.port()))).await;
    let (ahead, held) = (lane("tx/stopped"), lane("tx/held"));
    let epoch = acquire(&store, &held, "holder").await;
    store.commit(mark(&ahead, 1)).await.expect("applied");
    server.pause().expect("a stop");
    let stopped = Instant::now();
    let first = store.commit(mark(&ahead, 2)).await;
    assert!(
        matches!(first, Err(CommitError::Unknown { .. })),
        "{first:?}"
    );
    // Ten seconds, in which nothing new is unknown: there is no connection that anything could be sent on.
    let mut unavailable = 0;
    while stopped.elapsed() < Duration::from_secs(10) {
        let next = store.commit(mark(&ahead, 3)).await;
        assert!(
            matches!(next, Err(CommitError::Unavailable { .. })),
            "{next:?}"
        );
        let read = store.get(&ahead, &"first".into()).await;
        assert!(read.is_err(), "{read:?}");
        let renewed = store.renew(&held, epoch, TTL).await;
        assert!(matches!(renewed, Err(LeaseError::Store(_))), "{renewed:?}");
        unavailable += 1;
    }
    assert!(unavailable >= 2);
    server.resume().expect("a start");
    let resumed = Instant::now();
    until(|| store.commit(mark(&ahead, 4))).await;
    assert!(
        resumed.elapsed() < Duration::from_secs(5),
        "back after {:?}",
        resumed.elapsed()
    );
    assert_eq!(
        store.renew(&held, epoch, TTL).await,
        Ok(()),
        "nothing was lost, so the lease holds"
    );
    // The one that was unknown was applied when the server went on.
    let log = crate::everything(&store, &ahead).await.expect("a log");
    let numbers: Vec<u64> = log
        .iter()
        .map(|entry| crate::number(&entry.value))
        .collect();
    assert_eq!(numbers, [1, 2, 4]);
}

/// `CLIENT PAUSE`, as an operator's tools use it in a failover: connections work, writes wait.
#[tokio::test(flavor = "multi_thread")]
async fn paused_writes_are_applied_late_and_once() {
    let server = RedisServer::start(&[]).await.expect("a server");
    let store = open(standalone(server.port())).await;
    let writers: Vec<Writer> = (0..8)
        .map(|n| Writer::start(&store, &format!("tx/paused-{n}")))
        .collect();
    for _ in 0..3 {
        server
            .command(&["CLIENT", "PAUSE", "300", "WRITE"])
            .await
            .expect("a pause");
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    for (lane, written) in Writer::stop(writers).await {
        assert_eq!((written.unknown, written.unavailable), (0, 0), "it waited");
        assert!(written.last > 10, "{written:?}");
        assert_eq!(marked(&store, &lane).await, written.last);
    }
    let hasty = open(hasty(standalone(server.port()))).await;
    let lane = lane("tx/late");
    server
        .command(&["CLIENT", "PAUSE", "2000", "WRITE"])
        .await
        .expect("a pause");
    let late = hasty.commit(mark(&lane, 1)).await;
    let never_listed = matches!(late, Err(CommitError::Unavailable { .. }));
    assert!(
        never_listed,
        "the lane could not be listed, so nothing was sent: {late:?}"
    );
    until(|| hasty.commit(mark(&lane, 2))).await;
    server
        .command(&["CLIENT", "PAUSE", "2000", "WRITE"])
        .await
        .expect("a pause");
    let late = hasty.commit(mark(&lane, 3)).await;
    assert!(matches!(late, Err(CommitError::Unknown { .. })), "{late:?}");
    until(|| hasty.commit(mark(&lane, 4))).await;
    assert_eq!(marked(&hasty, &lane).await, 4);
}
