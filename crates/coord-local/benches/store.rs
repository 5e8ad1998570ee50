//! Durable commits per second, reads, scans and open time of the embedded store, as tables.
//!
//! `cargo bench -p baton-coord-local [-- DIRECTORY]`: the directory (default: the system's
//! temporary one) decides which disk is measured.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use baton_coord::{Batch, Log, Position, SCAN_LIMIT_MAX, Scan, Table};
use baton_coord_local::{LocalStore, Options};
use baton_model::LaneId;
use bytes::Bytes;
use mimalloc::MiMalloc;
use tokio::time::Instant;

/// The allocator of the `baton` program.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// How long each row of the commit table is measured.
const ROW: Duration = Duration::from_secs(4);
const RECORDS: u64 = 100_000;
const READS: u64 = 200_000;
const PUTS: u64 = 4;
/// Records made beforehand, so that their making is not measured.
const POOL: u64 = 4096;
static RECORD_POOL: OnceLock<Vec<Bytes>> = OnceLock::new();

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime starts");
    let root = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with("--"));
    let root = root.map_or_else(std::env::temp_dir, PathBuf::from);
    println!("store in {}, records of about 500 bytes\n", root.display());
    runtime.block_on(async {
        for puts in [1, PUTS] {
            commits(&root, puts).await;
        }
        reads(&root).await;
    });
}

async fn commits(root: &Path, puts: u64) {
    println!("\n{puts} puts a batch");
    println!(
        "{:>8} {:>12} {:>10} {:>10} {:>8}",
        "writers", "commits/s", "p50 us", "p99 us", "ratio"
    );
    let mut alone = None;
    for writers in [1, 16, 256] {
        let directory = tempfile::tempdir_in(root).expect("a directory for the store");
        let store = open(directory.path());
        let started = Instant::now();
        let tasks: Vec<_> = (0..writers)
            .map(|writer| tokio::spawn(write(store.clone(), lane(writer), puts, started + ROW)))
            .collect();
        let mut taken = Vec::new();
        for task in tasks {
            taken.extend(task.await.expect("the writer ran"));
        }
        let rate = taken.len() as f64 / started.elapsed().as_secs_f64();
        taken.sort_unstable();
        let at = |percent: usize| taken[(taken.len() - 1) * percent / 100].as_micros();
        let ratio = rate / *alone.get_or_insert(rate);
        println!(
            "{writers:>8} {rate:>12.0} {:>10} {:>10} {ratio:>8.1}",
            at(50),
            at(99)
        );
        store.close().await;
    }
}

/// One writer: the next batch follows the answer to the one before.
async fn write(store: LocalStore, lane: LaneId, puts: u64, until: Instant) -> Vec<Duration> {
    let mut taken = Vec::new();
    let mut turn = 0;
    while Instant::now() < until {
        let batch = batch(&lane, puts, turn);
        let asked = Instant::now();
        store.commit(batch).await.expect("the commit is durable");
        taken.push(asked.elapsed());
        turn += 1;
    }
    taken
}

async fn reads(root: &Path) {
    let directory = tempfile::tempdir_in(root).expect("a directory for the store");
    let store = open(directory.path());
    let lanes = 64;
    for turn in 0..RECORDS / PUTS / lanes {
        let commits = (0..lanes).map(|i| {
            let store = store.clone();
            tokio::spawn(async move { store.commit(batch(&lane(i), PUTS, turn)).await })
        });
        for commit in commits.collect::<Vec<_>>() {
            commit
                .await
                .expect("the task ran")
                .expect("the commit is durable");
        }
    }
    println!("\n{RECORDS} records in {lanes} lanes");
    let started = Instant::now();
    for read in 0..READS {
        let key = key(read % PUTS, read / lanes % (RECORDS / PUTS / lanes));
        let found = store
            .get(&lane(read % lanes), &key)
            .await
            .expect("the store reads");
        assert!(found.is_some(), "every key read was written");
    }
    println!(
        "reads/s                 {:>12.0}",
        READS as f64 / started.elapsed().as_secs_f64()
    );
    let started = Instant::now();
    let mut scanned = 0;
    for i in 0..lanes {
        let scan = Scan::prefix("", SCAN_LIMIT_MAX);
        scanned += store
            .scan(&lane(i), &scan)
            .await
            .expect("the store scans")
            .len();
    }
    println!(
        "scanned records/s       {:>12.0}",
        scanned as f64 / started.elapsed().as_secs_f64()
    );
    assert!(
        store
            .read(&lane(0), Position(0), 1, Duration::ZERO)
            .await
            .is_ok()
    );
    drop(store);
    let started = Instant::now();
    let store = open(directory.path());
    println!("open                    {:>12?}", started.elapsed());
    store.close().await;
}

fn open(directory: &Path) -> LocalStore {
    LocalStore::open(directory, Options::default()).expect("the store opens")
}

fn lane(index: u64) -> LaneId {
    LaneId::new(format!("tx/bench-{index:04}")).expect("a lane id")
}

/// A record, or the shape of accepting a request: its record and its idempotency key, which are
/// random, its place in the list, and one record that is overwritten each time.
fn batch(lane: &LaneId, puts: u64, turn: u64) -> Batch {
    let mut batch = Batch::new(lane.clone());
    let pool = RECORD_POOL.get_or_init(|| (0..POOL).map(record).collect());
    let record =
        |kind: u64| pool[usize::try_from((turn * PUTS + kind) % POOL).unwrap_or(0)].clone();
    batch.puts = (0..puts)
        .map(|kind| (key(kind, turn), record(kind)))
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

fn record(turn: u64) -> Bytes {
    let hash = turn.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let text = format!(
        r#"{{"version":1,"id":"{hash:016x}-{turn:016x}","status":"submitted",
"to":"0x{hash:016x}{:016x}{turn:08x}",
"value":"1","gas_limit":21000,"speed":"average","nonce":{turn},"created_at":1700000000000,
"attempts":[{{"hash":"0x{hash:016x}{:016x}{:016x}{:016x}","max_fee_per_gas":"1000000000",
"max_priority_fee_per_gas":"1000000000","raw":"0x02f86c{:016x}{hash:016x}{:016x}{:016x}"}}]}}"#,
        hash.rotate_left(7),
        hash.rotate_left(13),
        hash.rotate_left(29),
        hash.rotate_left(37),
        hash.rotate_left(43),
        hash.rotate_left(47),
        hash.rotate_left(53),
    );
    Bytes::from(text)
}
