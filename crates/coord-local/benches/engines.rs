//! The two candidates for what is below the embedded store, by the work that it gives them: one
//! thread that writes groups of batches, each group as one atomic, flushed write.
//!
//! `cargo bench -p baton-coord-local --bench engines [-- DIRECTORY]`

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fjall::{KeyspaceCreateOptions, PersistMode, Readable};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use redb::{ReadableDatabase, ReadableTable, TableDefinition};
use tokio::time::Instant;

const TABLE: TableDefinition<&[u8], &[u8]> = TableDefinition::new("table");
/// Batches stored before anything is measured: 100,000 records.
const STORED: u64 = 25_000;
/// Batches written at each size of a group.
const BATCHES: u64 = 12_500;
const PUTS: u64 = 4;
const READS: u64 = 200_000;
const CACHE_BYTES: usize = 64 << 20;

type Group = BTreeMap<Vec<u8>, Vec<u8>>;
type Holds = dyn Fn(&[u8]) -> bool;

/// What is asked of a candidate.
struct Engine {
    write: Box<dyn Fn(&Group)>,
    holds: Box<Holds>,
    /// Reads everything; the bytes of all values.
    scan: Box<dyn Fn() -> usize>,
}

fn main() {
    let root = std::env::args().skip(1).find(|a| !a.starts_with("--"));
    let root = root.map_or_else(std::env::temp_dir, PathBuf::from);
    println!("in {}", root.display());
    measure("redb, one-phase", &root, |directory| redb(directory, false));
    measure("redb, two-phase", &root, |directory| redb(directory, true));
    measure("fjall", &root, fjall);
}

fn measure(name: &str, root: &Path, open: impl Fn(&Path) -> Engine) {
    let directory = tempfile::tempdir_in(root).expect("a directory");
    let engine = open(directory.path());
    println!("\n{name}\n   group    batches/s     p99 us");
    let mut random = StdRng::seed_from_u64(1);
    let mut batches = 0;
    let mut groups = |count: u64, size: u64| -> Vec<Group> {
        let groups = (0..count / size).map(|_| {
            batches += size;
            group(&mut random, batches - size, size)
        });
        groups.collect()
    };
    groups(STORED, 250).iter().for_each(&engine.write);
    for size in [1, 16, 64, 256] {
        let mut taken = Vec::new();
        let groups = groups(BATCHES, size);
        let begun = Instant::now();
        for group in &groups {
            let asked = Instant::now();
            (engine.write)(group);
            taken.push(asked.elapsed());
        }
        let rate = (groups.len() as u64 * size) as f64 / begun.elapsed().as_secs_f64();
        taken.sort_unstable();
        let p99 = taken[(taken.len() - 1) * 99 / 100].as_micros();
        println!("{size:>8} {rate:>12.0} {p99:>10}");
    }
    let begun = Instant::now();
    for read in 0..READS {
        let key = key(read * 7 % batches, read % PUTS);
        assert!((engine.holds)(&key), "every key read was written");
    }
    println!(
        "reads/s  {:>12.0}",
        READS as f64 / begun.elapsed().as_secs_f64()
    );
    let begun = Instant::now();
    let bytes = (engine.scan)();
    let taken = begun.elapsed();
    println!("scan     {taken:>12?} of {} MB", bytes / 1_000_000);
    drop(engine);
    println!(
        "on disk  {:>9} MB",
        bytes_under(directory.path()) / 1_000_000
    );
}

/// Batches from a number on, each in a lane of its own: records of 500 random bytes, and a small one
/// that is overwritten each time.
fn group(random: &mut StdRng, first: u64, size: u64) -> Group {
    let mut group = Group::new();
    for batch in first..first + size {
        for put in 0..PUTS {
            let mut record = vec![0; 500];
            random.fill(record.as_mut_slice());
            group.insert(key(batch, put), record);
        }
        group.insert(format!("lane/{}", batch % size).into_bytes(), vec![1; 16]);
    }
    group
}

fn key(batch: u64, put: u64) -> Vec<u8> {
    let scattered = batch.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("tx/{:03}/{put}/{scattered:016x}", batch % 256).into_bytes()
}

fn redb(directory: &Path, two_phase: bool) -> Engine {
    let database = redb::Builder::new()
        .set_cache_size(CACHE_BYTES)
        .create(directory.join("redb"));
    let database = std::rc::Rc::new(database.expect("it opens"));
    let (read, scanned) = (database.clone(), database.clone());
    let table = |database: &redb::Database| {
        let read = database.begin_read().expect("a transaction");
        read.open_table(TABLE).expect("a table")
    };
    Engine {
        write: Box::new(move |group| {
            let mut write = database.begin_write().expect("a transaction");
            write.set_two_phase_commit(two_phase);
            let mut table = write.open_table(TABLE).expect("a table");
            for (key, value) in group {
                table.insert(&**key, &**value).expect("it is taken");
            }
            drop(table);
            write.commit().expect("it is durable");
        }),
        holds: Box::new(move |key| table(&read).get(key).expect("it reads").is_some()),
        scan: Box::new(move || {
            let table = table(&scanned);
            let records = table.iter().expect("it reads");
            let bytes = records.map(|record| record.expect("a record").1.value().len());
            bytes.sum()
        }),
    }
}

fn fjall(directory: &Path) -> Engine {
    let database = fjall::Database::builder(directory).cache_size(CACHE_BYTES as u64);
    let database = database.open().expect("it opens");
    let space = database
        .keyspace("v", KeyspaceCreateOptions::default)
        .expect("a keyspace");
    let (written, read, scanned) = (space.clone(), space, database.clone());
    let listed = written.clone();
    Engine {
        write: Box::new(move |group| {
            let mut batch = database.batch().durability(Some(PersistMode::SyncData));
            for (key, value) in group {
                batch.insert(&written, &**key, &**value);
            }
            batch.commit().expect("it is durable");
        }),
        holds: Box::new(move |key| read.get(key).expect("it reads").is_some()),
        scan: Box::new(move || {
            let records = scanned.snapshot().iter(&listed);
            let bytes = records.map(|record| record.into_inner().expect("a record").1.len());
            bytes.sum()
        }),
    }
}

fn bytes_under(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).expect("a directory").flatten();
    let bytes = entries.map(|entry| match entry.metadata().expect("its size") {
        folder if folder.is_dir() => bytes_under(&entry.path()),
        file => file.len(),
    });
    bytes.sum()
}
