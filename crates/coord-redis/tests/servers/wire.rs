//! Slow, broken and silent wires.

use std::time::Duration;

use baton_coord::{CommitError, Lease, Log, Position, Table, Wake};
use baton_testkit::{RedisServer, TcpProxy};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::{hasty, standalone};
use crate::{TTL, Writer, acquire, lane, mark, marked, open, until};

const DELAY: Duration = Duration::from_millis(25);
const ROUND_TRIP: Duration = Duration::from_millis(50);

/// On a link with a round trip of 50 ms a commit takes one of them, and many take little more than one together.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_link_costs_one_round_trip_however_many_commit() {
    let server = RedisServer::start(&[]).await.expect("a server");
    let proxy = TcpProxy::start(server.port(), DELAY)
        .await
        .expect("a proxy");
    let store = open(standalone(proxy.port())).await;
    let lanes: Vec<_> = (0..50).map(|n| lane(&format!("tx/slow-{n}"))).collect();
    all(&store, &lanes, 1).await;
    let (pieces, started) = (proxy.pieces(), Instant::now());
    for turn in 2..6 {
        all(&store, &lanes, turn).await;
    }
    let taken = started.elapsed();
    let sent = proxy.pieces() - pieces;
    assert!(taken >= 4 * ROUND_TRIP, "{taken:?}");
    assert!(
        taken < 12 * ROUND_TRIP,
        "4 rounds of 50 commits took {taken:?}"
    );
    assert!(sent < 100, "200 commits went in {sent} pieces");
    let near = open(standalone(server.port())).await;
    for lane in &lanes {
        assert_eq!(marked(&near, lane).await, 5);
    }
}

async fn all(store: &baton_coord_redis::RedisStore, lanes: &[baton_model::LaneId], number: u64) {
    let mut tasks = JoinSet::new();
    for lane in lanes {
        let (store, batch) = (store.clone(), mark(lane, number));
        tasks.spawn(async move { store.commit(batch).await.map(drop) });
    }
    for done in tasks.join_all().await {
        done.expect("applied");
    }
}

/// The request arrives, the answer does not: unknown, and applied.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_unknown_never_unavailable() {
    let server = RedisServer::start(&[]).await.expect("a server");
    let proxy = TcpProxy::start(server.port(), Duration::ZERO)
        .await
        .expect("a proxy");
    let store = open(hasty(standalone(proxy.port()))).await;
    let witness = open(standalone(server.port())).await;
    let lane = lane("tx/deaf");
    store.commit(mark(&lane, 1)).await.expect("applied");
    proxy.deafen();
    let lost = store.commit(mark(&lane, 2)).await;
    assert!(matches!(lost, Err(CommitError::Unknown { .. })), "{lost:?}");
    assert_eq!(marked(&witness, &lane).await, 2, "it was applied");
    // Now there is no connection, and nothing is sent.
    let not_sent = store.commit(mark(&lane, 3)).await;
    assert!(
        matches!(not_sent, Err(CommitError::Unavailable { .. })),
        "{not_sent:?}"
    );
    assert_eq!(marked(&witness, &lane).await, 2);
    proxy.release();
    until(|| store.commit(mark(&lane, 3))).await;
    assert_eq!(marked(&store, &lane).await, 3);
}

/// Connections that break while commits are under way: what was told is there, and nothing was written twice.
#[tokio::test(flavor = "multi_thread")]
async fn broken_connections_lose_and_double_nothing() {
    let server = RedisServer::start(&[]).await.expect("a server");
    let proxy = TcpProxy::start(server.port(), Duration::from_millis(1))
        .await
        .expect("a proxy");
    let store = open(standalone(proxy.port())).await;
    let held = lane("tx/kept");
    let epoch = acquire(&store, &held, "holder").await;
    let writers: Vec<Writer> = (0..16)
        .map(|n| Writer::start(&store, &format!("tx/cut-{n}")))
        .collect();
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        proxy.cut();
    }
    let mut unknown = 0;
    for (lane, written) in Writer::stop(writers).await {
        let log = crate::everything(&store, &lane).await.expect("a log");
        let numbers: Vec<u64> = log
            .iter()
            .map(|entry| crate::number(&entry.value))
            .collect();
        assert!(
            numbers.is_sorted_by(|a, b| a < b),
            "each at most once, in order"
        );
        let told = numbers
            .iter()
            .filter(|number| **number <= written.last)
            .count() as u64;
        assert!(
            told + written.unknown >= written.last,
            "{lane}: {told} of {written:?}"
        );
        unknown += written.unknown;
    }
    assert!(unknown > 0, "nothing broke");
    assert_eq!(
        until(|| renew(&store, &held, epoch)).await,
        (),
        "the server lost nothing"
    );
}

async fn renew(
    store: &baton_coord_redis::RedisStore,
    lane: &baton_model::LaneId,
    epoch: baton_coord::Epoch,
) -> Result<(), baton_coord::LeaseError> {
    store.renew(lane, epoch, TTL).await
}

/// Readers and subscribers of another process hear at once, and again after their connection broke.
#[tokio::test(flavor = "multi_thread")]
async fn wake_ups_cross_processes_and_survive_a_broken_connection() {
    const LONG: Duration = Duration::from_secs(600);
    // Sooner than a reader that heard nothing would look again.
    const WOKEN: Duration = Duration::from_secs(4);
    let server = RedisServer::start(&[]).await.expect("a server");
    let proxy = TcpProxy::start(server.port(), Duration::ZERO)
        .await
        .expect("a proxy");
    let near = open(standalone(server.port())).await;
    let far = open(standalone(proxy.port())).await;
    let lane = lane("tx/heard");
    let mut topic = far.subscribe("inbox/a").await.expect("a subscription");
    for turn in 0..3_u64 {
        let reader = {
            let (far, lane) = (far.clone(), lane.clone());
            tokio::spawn(async move { far.read(&lane, Position(turn), 10, LONG).await })
        };
        near.commit(mark(&lane, turn + 1)).await.expect("applied");
        let found = tokio::time::timeout(WOKEN, reader).await;
        let found = found.expect("it heard").expect("it ran").expect("it read");
        assert_eq!(found.len(), 1);
        near.publish("inbox/a").await.expect("published");
        let heard = tokio::time::timeout(crate::PATIENCE, topic.next()).await;
        assert!(heard.expect("it heard").is_some());
        // Told that something may have been lost, and then as before.
        proxy.cut();
        let heard = tokio::time::timeout(crate::PATIENCE, topic.next()).await;
        assert!(heard.expect("it was told").is_some());
    }
}

/// A follower in another process hears each append itself: if it found them by looking now and then, this would take a
/// minute and a half.
#[tokio::test(flavor = "multi_thread")]
async fn followers_are_woken_by_each_append() {
    const APPENDS: u64 = 20;
    const WAIT: Duration = Duration::from_secs(600);
    let server = RedisServer::start(&[]).await.expect("a server");
    let (near, far) = (
        open(standalone(server.port())).await,
        open(standalone(server.port())).await,
    );
    let lane = lane("tx/followed");
    let started = Instant::now();
    for turn in 0..APPENDS {
        let (follower, name) = (far.clone(), lane.clone());
        let reader =
            tokio::spawn(async move { follower.read(&name, Position(turn), 10, WAIT).await });
        // The pace of the appends; most readers wait by then, and a few may not.
        tokio::time::sleep(Duration::from_millis(20)).await;
        near.commit(mark(&lane, turn + 1)).await.expect("applied");
        let found = reader.await.expect("it ran").expect("it read");
        assert_eq!(found.len(), 1);
    }
    assert!(
        started.elapsed() < Duration::from_secs(20),
        "{:?}",
        started.elapsed()
    );
}
