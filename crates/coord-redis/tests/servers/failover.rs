//! Servers that others take the place of, and slots that move.

use std::time::Duration;

use baton_coord::{CommitError, Lease, LeaseError, Table};
use baton_coord_redis::{Options, RedisStore, Servers};
use baton_model::LaneId;
use baton_testkit::{RedisCluster, RedisSentinel};
use tokio::time::Instant;

use crate::support::{at, patient};
use crate::{TTL, Writer, acquire, everything, lane, mark, marked, number, open, until};

fn behind(servers: &RedisSentinel) -> Options {
    let sentinels = servers.sentinels.iter().map(|s| at(s.port())).collect();
    let master = servers.master_name().to_owned();
    let mut options = patient(Options::new(Servers::Sentinel { sentinels, master }));
    options.answer_timeout = Duration::from_secs(2);
    options
}

fn across(cluster: &RedisCluster) -> Options {
    let nodes = cluster.masters.iter().map(|s| at(s.port())).collect();
    let mut options = patient(Options::new(Servers::Cluster(nodes)));
    options.answer_timeout = Duration::from_secs(2);
    options
}

/// A lane whose keys a master of the cluster has.
async fn lane_on(cluster: &RedisCluster, master: usize) -> (LaneId, usize) {
    for n in 0.. {
        let name = format!("tx/on-{n}");
        let slot = cluster.masters[0]
            .command(&["CLUSTER", "KEYSLOT", &name])
            .await;
        let slot = slot.expect("a slot").parse().expect("a number");
        if cluster.index_of(slot) == master {
            return (lane(&name), slot);
        }
    }
    unreachable!("names do not end")
}

/// What a fenced batch comes to in the end.
async fn fenced_at_last(store: &RedisStore, lane: &LaneId, epoch: baton_coord::Epoch) {
    until(|| async {
        match store.commit(mark(lane, 1_000_000).fenced(epoch)).await {
            Err(CommitError::Fenced { given, .. }) if given == epoch => Ok(()),
            other => Err(other),
        }
    })
    .await;
}

/// Kills the master under load. Waiting for its replica costs a pause; whatever the new master has is whole.
#[tokio::test(flavor = "multi_thread")]
async fn sentinel_replaces_a_master() {
    let mut servers = RedisSentinel::start(2, &[]).await.expect("servers");
    let store = open(behind(&servers)).await;
    let held = lane("tx/held");
    let epoch = acquire(&store, &held, "holder").await;
    store
        .commit(mark(&held, 1).fenced(epoch))
        .await
        .expect("applied");
    let writers: Vec<Writer> = (0..8)
        .map(|n| Writer::start(&store, &format!("tx/sentinel-{n}")))
        .collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let old = servers.servers[0].port();
    servers.servers[0].kill().expect("a kill");
    let killed = Instant::now();
    servers.failed_over(old).await.expect("a failover");
    until(|| store.commit(mark(&held, 2))).await;
    assert!(
        killed.elapsed() < Duration::from_secs(30),
        "{:?}",
        killed.elapsed()
    );
    fenced_at_last(&store, &held, epoch).await;
    assert_eq!(store.renew(&held, epoch, TTL).await, Err(LeaseError::Lost));
    assert!(acquire(&store, &held, "another").await > epoch);
    for (lane, written) in Writer::stop(writers).await {
        whole(&store, &lane, written.last, written.unknown).await;
    }
    // The old one comes back as a replica, and nothing goes to it.
    servers.servers[0].restart().await.expect("a server again");
    store.commit(mark(&held, 3)).await.expect("applied");
}

/// An orderly failover, on request, while the old master lives: its clients are moved over by themselves.
#[tokio::test(flavor = "multi_thread")]
async fn sentinel_moves_clients_off_a_master_that_lives() {
    let servers = RedisSentinel::start(1, &[]).await.expect("servers");
    let store = open(behind(&servers)).await;
    let held = lane("tx/held");
    let epoch = acquire(&store, &held, "holder").await;
    let old = servers.servers[0].port();
    let ask = ["SENTINEL", "FAILOVER", servers.master_name()];
    until(|| servers.sentinels[0].command(&ask)).await;
    let new = servers.failed_over(old).await.expect("a failover");
    fenced_at_last(&store, &held, epoch).await;
    until(|| store.commit(mark(&held, 1))).await;
    let at_new = servers
        .servers
        .iter()
        .find(|s| s.port() == new)
        .expect("it is known");
    let stored = at_new
        .command(&["HGET", "baton:{tx/held}:meta", "last"])
        .await;
    assert_eq!(
        stored.expect("a position"),
        "1",
        "written to the new master"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_replaces_a_master() {
    let mut cluster = RedisCluster::start(3, 1, &[]).await.expect("a cluster");
    let store = open(across(&cluster)).await;
    let (held, slot) = lane_on(&cluster, 1).await;
    let (elsewhere, _) = lane_on(&cluster, 2).await;
    let epoch = acquire(&store, &held, "holder").await;
    let other = acquire(&store, &elsewhere, "holder").await;
    store
        .commit(mark(&held, 1).fenced(epoch))
        .await
        .expect("applied");
    let writers: Vec<Writer> = (0..12)
        .map(|n| Writer::start(&store, &format!("tx/cluster-{n}")))
        .collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let index = cluster.index_of(slot);
    cluster.masters[index].kill().expect("a kill");
    cluster
        .promoted(&cluster.replicas[index])
        .await
        .expect("a failover");
    until(|| store.commit(mark(&held, 2))).await;
    fenced_at_last(&store, &held, epoch).await;
    assert!(acquire(&store, &held, "another").await > epoch);
    assert_eq!(
        store.renew(&elsewhere, other, TTL).await,
        Ok(()),
        "other masters' leases hold"
    );
    for (lane, written) in Writer::stop(writers).await {
        whole(&store, &lane, written.last, written.unknown).await;
    }
}

/// Moves slots from server to server under load. Nothing is lost or doubled; a lease on a lane that moved is.
#[tokio::test(flavor = "multi_thread")]
async fn slots_move_under_load() {
    let cluster = RedisCluster::start(3, 0, &[]).await.expect("a cluster");
    let store = open(across(&cluster)).await;
    let (held, slot) = lane_on(&cluster, 0).await;
    let epoch = acquire(&store, &held, "holder").await;
    store
        .commit(mark(&held, 1).fenced(epoch))
        .await
        .expect("applied");
    let writer = Writer::start(&store, held.as_str());
    let others: Vec<Writer> = (0..8)
        .map(|n| Writer::start(&store, &format!("tx/still-{n}")))
        .collect();
    tokio::time::sleep(Duration::from_millis(200)).await;
    cluster
        .migrate(slot, &cluster.masters[2])
        .await
        .expect("a migration");
    tokio::time::sleep(Duration::from_millis(200)).await;
    fenced_at_last(&store, &held, epoch).await;
    assert!(acquire(&store, &held, "holder").await > epoch);
    let (_, written) = Writer::stop(vec![writer]).await.remove(0);
    assert_eq!(
        (written.unknown, written.unavailable),
        (0, 0),
        "a move is no failure"
    );
    let log = everything(&store, &held).await.expect("a log");
    // The number of the batch before the writer came, and its own from one on.
    let numbers: Vec<u64> = log
        .iter()
        .skip(1)
        .map(|entry| number(&entry.value))
        .collect();
    assert_eq!(
        numbers,
        (1..=written.last).collect::<Vec<_>>(),
        "each once, in order"
    );
    for (lane, written) in Writer::stop(others).await {
        assert_eq!((written.unknown, written.unavailable), (0, 0));
        assert_eq!(marked(&store, &lane).await, written.last);
    }
    // A store that opens now finds it where it is.
    let fresh = open(across(&cluster)).await;
    assert_eq!(
        everything(&fresh, &held).await.expect("a log").len(),
        log.len()
    );
}

/// A slot whose keys have moved while the slot itself has not: each call is sent on, and says so.
#[tokio::test(flavor = "multi_thread")]
async fn calls_for_a_slot_between_two_servers_are_sent_on() {
    let cluster = RedisCluster::start(3, 0, &[]).await.expect("a cluster");
    let store = open(across(&cluster)).await;
    let (lane, slot) = lane_on(&cluster, 0).await;
    store.commit(mark(&lane, 1)).await.expect("applied");
    let to = &cluster.masters[1];
    cluster.migrate_keys(slot, to).await.expect("a migration");
    to.command(&["SCRIPT", "FLUSH"]).await.expect("a flush");
    for number in 2..5 {
        let done = store.commit(mark(&lane, number)).await;
        assert!(done.is_ok(), "{done:?}");
        assert_eq!(marked(&store, &lane).await, number);
    }
    let epoch = acquire(&store, &lane, "holder").await;
    assert_eq!(store.renew(&lane, epoch, TTL).await, Ok(()));
    store
        .commit(mark(&lane, 5).fenced(epoch))
        .await
        .expect("applied");
}

/// What a failover leaves of a writer's numbers: a rising row; what is missing at its end had not been replicated.
async fn whole(store: &RedisStore, lane: &LaneId, last: u64, unknown: u64) {
    let log = until(|| everything(store, lane)).await;
    let numbers: Vec<u64> = log.iter().map(|entry| number(&entry.value)).collect();
    assert!(
        numbers.is_sorted_by(|a, b| a < b),
        "{lane}: each at most once, in order"
    );
    assert!(
        !numbers.is_empty() && last > 0,
        "{lane}: nothing was tested"
    );
    assert!(numbers.iter().all(|number| *number <= last + unknown));
}
