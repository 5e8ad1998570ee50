//! Servers that say no.

use std::time::Duration;

use baton_coord::{Batch, CommitError, Lease, Position, Table};
use baton_coord_redis::{OpenError, RedisStore};
use baton_testkit::RedisServer;
use bytes::Bytes;
use tokio::net::TcpStream;

use crate::support::{hasty, standalone};
use crate::{TTL, Writer, acquire, lane, mark, marked, open, until};

#[tokio::test(flavor = "multi_thread")]
async fn forgotten_scripts_are_given_again_under_load() {
    let server = RedisServer::start(&[]).await.expect("a server");
    let store = open(standalone(server.port())).await;
    let writers: Vec<Writer> = (0..32)
        .map(|n| Writer::start(&store, &format!("tx/flush-{n}")))
        .collect();
    for _ in 0..100 {
        server.command(&["SCRIPT", "FLUSH"]).await.expect("a flush");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for (lane, written) in Writer::stop(writers).await {
        assert_eq!((written.unknown, written.unavailable), (0, 0));
        assert!(written.last > 10, "{written:?}");
        assert_eq!(marked(&store, &lane).await, written.last, "each once");
    }
}

/// A full memory is a refusal that names it, with nothing applied. Leases go on, and what frees memory does.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_memory_refuses_records_and_keeps_leases() {
    let server = RedisServer::start(&["maxmemory 8mb", "maxmemory-policy noeviction"]).await;
    let server = server.expect("a server");
    let store = open(standalone(server.port())).await;
    let (lane, other) = (lane("tx/full"), lane("tx/other"));
    let epoch = acquire(&store, &lane, "holder").await;
    acquire(&store, &other, "holder").await;
    let large = Bytes::from(vec![b'x'; 64 * 1024]);
    let mut fills = 0;
    let refusal = loop {
        let mut batch = Batch::new(lane.clone());
        batch.puts = vec![(Bytes::from(format!("fill/{fills}")), large.clone())];
        batch.appends = vec![large.clone()];
        match store.commit(batch).await {
            Ok(_) => fills += 1,
            Err(error) => break error,
        }
        assert!(fills < 1000, "it never fills");
    };
    let CommitError::Unavailable { reason } = refusal else {
        panic!("{refusal:?}");
    };
    assert!(reason.contains("OOM"), "{reason}");
    let left = format!("fill/{fills}");
    assert_eq!(
        store.get(&lane, &left.into()).await,
        Ok(None),
        "no part of it"
    );
    let last = baton_coord::Log::last(&store, &lane).await;
    assert_eq!(last, Ok(Position(fills)), "no part of it");
    // Full beyond doubt, whatever a connection's buffers take and leave.
    let halve = ["CONFIG", "SET", "maxmemory", "4mb"];
    server.command(&halve).await.expect("a setting");
    let small = store.commit(mark(&other, 1)).await;
    assert!(
        matches!(small, Err(CommitError::Unavailable { .. })),
        "{small:?}"
    );
    let mut fenced = mark(&lane, 1).fenced(epoch);
    fenced.appends.clear();
    store
        .commit(fenced)
        .await
        .expect("what was accepted is finished");
    assert_eq!(store.renew(&lane, epoch, TTL).await, Ok(()));
    assert_eq!(store.release(&lane, epoch).await, Ok(()));
    let epoch = acquire(&store, &lane, "another").await;
    let mut freeing = Batch::new(lane.clone()).fenced(epoch);
    freeing.deletes = (0..fills)
        .map(|n| Bytes::from(format!("fill/{n}")))
        .collect();
    freeing.trim = Some(Position(fills));
    store
        .commit(freeing)
        .await
        .expect("what frees memory is taken");
    until(|| store.commit(mark(&other, 1))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_evicts_is_not_used() {
    let server = RedisServer::start(&["maxmemory 100mb", "maxmemory-policy allkeys-lru"]).await;
    let server = server.expect("a server");
    let options = hasty(standalone(server.port()));
    let error = RedisStore::open(options.clone())
        .await
        .err()
        .expect("refused");
    let OpenError::Unfit { reason, .. } = &error else {
        panic!("{error:?}");
    };
    assert!(
        reason.contains("allkeys-lru") && reason.contains("noeviction"),
        "{reason}"
    );
    server
        .command(&["CONFIG", "SET", "maxmemory-policy", "noeviction"])
        .await
        .expect("a setting");
    let store = open(options).await;
    // One that is set up badly later is refused at the next connection.
    let lane = lane("tx/evicts");
    store.commit(mark(&lane, 1)).await.expect("applied");
    server
        .command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lfu"])
        .await
        .expect("a setting");
    server
        .command(&["CLIENT", "KILL", "TYPE", "normal"])
        .await
        .expect("a kill");
    let refused = until(|| async {
        match store.commit(mark(&lane, 2)).await {
            Err(CommitError::Unavailable { reason }) => Ok(reason),
            other => Err(other),
        }
    });
    let reason = refused.await;
    assert!(reason.contains("allkeys-lfu"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_and_nobody_are_not_used() {
    let master = RedisServer::start(&[]).await.expect("a server");
    let replica = RedisServer::start(&[&format!("replicaof 127.0.0.1 {}", master.port())]).await;
    let replica = replica.expect("a server");
    let error = RedisStore::open(hasty(standalone(replica.port())))
        .await
        .err();
    let told = error.expect("refused").to_string();
    assert!(told.contains("slave"), "{told}");
    let mut options = standalone(1);
    options.search_timeout = Duration::from_millis(300);
    let error = RedisStore::open(options).await.err().expect("refused");
    assert!(matches!(error, OpenError::Unavailable { .. }), "{error}");
}

/// Others take all connections that the server has. Those that are there go on; one that breaks comes back when there
/// is room.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_connections_costs_nothing_that_is_connected() {
    let server = RedisServer::start(&["maxclients 64"])
        .await
        .expect("a server");
    let store = open(hasty(standalone(server.port()))).await;
    let writer = Writer::start(&store, "tx/flood");
    let mut flood = Vec::new();
    for _ in 0..200 {
        flood.push(
            TcpStream::connect(("127.0.0.1", server.port()))
                .await
                .expect("a connection"),
        );
    }
    let lane = lane("tx/more");
    for number in 1..100 {
        store.commit(mark(&lane, number)).await.expect("applied");
    }
    let refused = RedisStore::open(hasty(standalone(server.port())))
        .await
        .err();
    assert!(
        matches!(refused, Some(OpenError::Unavailable { .. })),
        "{refused:?}"
    );
    drop(flood);
    until(|| RedisStore::open(hasty(standalone(server.port())))).await;
    let (lane, written) = Writer::stop(vec![writer]).await.remove(0);
    assert_eq!((written.unknown, written.unavailable), (0, 0));
    assert_eq!(marked(&store, &lane).await, written.last);
}
