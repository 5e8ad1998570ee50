//! Commits per second, their latency and what travels for them, as tables.
//!
//! `cargo bench -p baton-coord-redis` starts redis-server on a free loopback port, once for each way of keeping data.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::time::Duration;

use baton_coord::{Batch, HolderId, Lease, Log, Position, Scan, Table};
use baton_coord_redis::{Address, Options, RedisStore, Servers};
use baton_model::LaneId;
use baton_testkit::{RedisServer, TcpProxy};
use bytes::Bytes;
use tokio::time::Instant;

/// How long each row of the commit tables is measured.
const ROW: Duration = Duration::from_secs(4);
const PUTS: u64 = 4;
const RECORD_BYTES: usize = 500;
/// A way of keeping data: its name, and the server's settings.
const KEPT: [(&str, &[&str]); 3] = [
    ("in memory only", &[]),
    (
        "appendfsync everysec",
        &["appendonly yes", "appendfsync everysec"],
    ),
    (
        "appendfsync always",
        &["appendonly yes", "appendfsync always"],
    ),
];

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime starts");
    println!("batches of {PUTS} puts of {RECORD_BYTES} bytes, one lane for each writer\n");
    runtime.block_on(async {
        for (name, lines) in KEPT {
            let server = RedisServer::start(lines).await.expect("a server");
            println!("{name}");
            commits(&server).await;
        }
        travel().await;
        others().await;
        memory().await;
    });
}

async fn commits(server: &RedisServer) {
    println!(
        "{:>8} {:>12} {:>10} {:>10}",
        "writers", "commits/s", "p50 us", "p99 us"
    );
    for writers in [1, 16, 256] {
        let store = open(server.port()).await;
        let (rate, taken) = load(&store, writers, ROW).await;
        let at = |percent: usize| taken[(taken.len() - 1) * percent / 100].as_micros();
        println!("{writers:>8} {rate:>12.0} {:>10} {:>10}", at(50), at(99));
        server
            .command(&["FLUSHALL"])
            .await
            .expect("an empty server");
    }
    println!();
}

/// Commits per second, and what each took, sorted.
async fn load(store: &RedisStore, writers: u64, row: Duration) -> (f64, Vec<Duration>) {
    let started = Instant::now();
    let tasks: Vec<_> = (0..writers)
        .map(|writer| tokio::spawn(write(store.clone(), lane(writer), started + row)))
        .collect();
    let mut taken = Vec::new();
    for task in tasks {
        taken.extend(task.await.expect("the writer ran"));
    }
    let rate = taken.len() as f64 / started.elapsed().as_secs_f64();
    taken.sort_unstable();
    (rate, taken)
}

/// One writer: the next batch follows the answer to the one before.
async fn write(store: RedisStore, lane: LaneId, until: Instant) -> Vec<Duration> {
    let mut taken = Vec::new();
    let mut turn = 0;
    while Instant::now() < until {
        let batch = batch(&lane, turn);
        let asked = Instant::now();
        store.commit(batch).await.expect("the commit is applied");
        taken.push(asked.elapsed());
        turn += 1;
    }
    taken
}

/// How often a client writes to its connection for a commit, on a link with a round trip of 2 ms.
async fn travel() {
    let server = RedisServer::start(&[]).await.expect("a server");
    let delay = Duration::from_millis(1);
    let proxy = TcpProxy::start(server.port(), delay)
        .await
        .expect("a proxy");
    println!("over a link with a round trip of 2 ms");
    println!(
        "{:>8} {:>12} {:>10} {:>18}",
        "writers", "commits/s", "p50 us", "writes per commit"
    );
    for writers in [1, 16, 256] {
        let store = open(proxy.port()).await;
        let before = proxy.pieces();
        let (rate, taken) = load(&store, writers, ROW / 2).await;
        let pieces = (proxy.pieces() - before) as f64 / taken.len() as f64;
        let p50 = taken[taken.len() / 2].as_micros();
        println!("{writers:>8} {rate:>12.0} {p50:>10} {pieces:>18.2}");
        server
            .command(&["FLUSHALL"])
            .await
            .expect("an empty server");
    }
    println!();
}

/// What one task that waits for each answer gets of everything else.
async fn others() {
    let server = RedisServer::start(&[]).await.expect("a server");
    let store = open(server.port()).await;
    let lane = lane(0);
    for turn in 0..2_000 {
        store
            .commit(batch(&lane, turn))
            .await
            .expect("the commit is applied");
    }
    let holder = HolderId("bench".to_owned());
    let ttl = Duration::from_secs(10);
    let epoch = store
        .acquire(&lane, &holder, ttl)
        .await
        .expect("a lease")
        .epoch;
    println!("one task, each answer awaited");
    let key = key(2, 7);
    row("reads by key", || async {
        drop(store.get(&lane, &key).await)
    })
    .await;
    let scan = Scan::prefix("list/", 100);
    row("scans of 100", || async {
        drop(store.scan(&lane, &scan).await)
    })
    .await;
    row("renewals", || async {
        drop(store.renew(&lane, epoch, ttl).await)
    })
    .await;
    let read = || async { drop(store.read(&lane, Position(0), 100, Duration::ZERO).await) };
    row("looks at an empty log", read).await;
    println!();
}

async fn row<F: Future<Output = ()>>(name: &str, mut act: impl FnMut() -> F) {
    const TIMES: u32 = 10_000;
    let started = Instant::now();
    for _ in 0..TIMES {
        act().await;
    }
    let each = started.elapsed() / TIMES;
    println!(
        "{name:<24} {:>10.0}/s {each:>12.1?}",
        1.0 / each.as_secs_f64()
    );
}

/// The server's memory for each record.
async fn memory() {
    const BATCHES: u64 = 10_000;
    let server = RedisServer::start(&[]).await.expect("a server");
    let store = open(server.port()).await;
    let before = used(&server).await;
    let lane = lane(0);
    for turn in 0..BATCHES {
        store
            .commit(batch(&lane, turn))
            .await
            .expect("the commit is applied");
    }
    let records = BATCHES * (PUTS - 1) + 1;
    let each = (used(&server).await - before) / records;
    println!(
        "{records} records of {RECORD_BYTES} bytes take {each} bytes of the server's memory each"
    );
}

async fn used(server: &RedisServer) -> u64 {
    let info = server
        .command(&["INFO", "memory"])
        .await
        .expect("an answer");
    let used = info
        .lines()
        .find_map(|line| line.strip_prefix("used_memory:"));
    used.and_then(|used| used.trim().parse().ok())
        .expect("a number")
}

async fn open(port: u16) -> RedisStore {
    let host = "127.0.0.1".to_owned();
    let options = Options::new(Servers::Standalone(Address { host, port }));
    RedisStore::open(options).await.expect("the store opens")
}

fn lane(index: u64) -> LaneId {
    LaneId::new(format!("tx/bench-{index:04}")).expect("a lane id")
}

/// The shape of accepting a request: its record and its idempotency key, which are random, its place in the list, and
/// one record that is overwritten each time.
fn batch(lane: &LaneId, turn: u64) -> Batch {
    let record = Bytes::from(vec![b'r'; RECORD_BYTES]);
    let mut batch = Batch::new(lane.clone());
    batch.puts = (0..PUTS)
        .map(|kind| (key(kind, turn), record.clone()))
        .collect();
    batch
}

fn key(kind: u64, turn: u64) -> Bytes {
    let scattered = turn.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Bytes::from(match kind {
        0 => format!("req/{scattered:016x}{turn:016x}"),
        1 => format!("idem/{scattered:016x}"),
        2 => format!("list/{turn:016x}"),
        _ => "account".to_owned(),
    })
}
