//! SIGKILL at random points: whatever was acknowledged is whole, and nothing is there by half.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use baton_coord::{Log, Position, Scan, Table};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::child::{ENTRIES, KEPT, PARTS, TASKS, content, head, lane, number, open, part, runtime};

const ROUNDS: u64 = 60;
/// Replays the same kill points; the kernel's scheduling adds its own chance.
const SEED: u64 = 0x5eed_ba70;

pub(crate) fn run() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut random = StdRng::seed_from_u64(SEED);
    let mut acked = BTreeMap::new();
    let runtime = runtime();
    for round in 0..ROUNDS {
        let lines = match random.random_range(0..10) {
            // Before, while and right after it opens the store.
            0 => 0,
            1 => 1,
            2 => 2,
            _ => random.random_range(3..200),
        };
        let seen = write_and_kill(directory.path(), lines, &mut random);
        for (task, turn) in seen {
            acked.insert(task, turn);
        }
        let store = open(directory.path());
        for task in 0..TASKS {
            let told = acked.get(&task).copied().unwrap_or(0);
            let found = runtime.block_on(verify(&store, task, told));
            assert!(
                found >= told,
                "round {round}: lane {task} is at {found}, {told} was acknowledged"
            );
            acked.insert(task, found);
        }
        runtime.block_on(store.close());
    }
    let total: u64 = acked.values().sum();
    assert!(
        total > 10 * ROUNDS,
        "only {total} batches in {ROUNDS} rounds: nothing was tested"
    );
    println!("{ROUNDS} kills, {total} batches by {TASKS} tasks, seed {SEED:#x}");
}

/// Starts a writer, kills it after so many lines, and returns everything that it said it was told.
fn write_and_kill(directory: &Path, lines: usize, random: &mut StdRng) -> Vec<(u64, u64)> {
    let mut child = start("child-write", directory);
    let out = child.stdout.take().expect("the child's output is piped");
    let mut out = BufReader::new(out).lines();
    let mut said: Vec<String> = Vec::new();
    while said.len() < lines {
        said.push(
            out.next()
                .expect("the child runs until it is killed")
                .expect("a line"),
        );
    }
    // A moment more, so that the kill does not always follow an acknowledgement.
    for _ in 0..random.random_range(0..200_000) {
        std::hint::spin_loop();
    }
    child.kill().expect("the child is running");
    child.wait().expect("the child ends");
    // What it managed to say before it died counts as well; a torn last line does not.
    said.extend(out.map_while(Result::ok));
    said.iter()
        .filter_map(|line| acknowledgement(line))
        .collect()
}

fn acknowledgement(line: &str) -> Option<(u64, u64)> {
    let (task, turn) = line.strip_prefix("ack ")?.split_once(' ')?;
    Some((task.parse().ok()?, turn.parse().ok()?))
}

/// Checks that the lane holds exactly whole batches, and returns the number of the last.
async fn verify(store: &baton_coord_local::LocalStore, task: u64, told: u64) -> u64 {
    let lane = lane(task);
    let found = store.get(&lane, &head()).await.expect("the store reads");
    let last = found.as_ref().map_or(0, |entry| number(&entry.value));
    assert!(
        last <= told + 200,
        "lane {task}: far more than was ever asked for"
    );
    let first = last.saturating_sub(KEPT) + 1;
    let parts = store
        .scan(&lane, &Scan::prefix("part/", 1000))
        .await
        .expect("the store scans");
    let expected: Vec<_> = (first..=last)
        .flat_map(|turn| (0..PARTS).map(move |n| (part(turn, n), content(task, turn, n))))
        .collect();
    let stored: Vec<_> = parts
        .iter()
        .map(|e| (e.key.clone(), e.value.clone()))
        .collect();
    assert!(
        stored == expected,
        "lane {task}: half a batch, or a lost one, around {last}"
    );
    for batch in parts.chunk_by(|a, b| a.key[..15] == b.key[..15]) {
        assert!(batch.iter().all(|entry| entry.version == batch[0].version));
    }
    if let (Some(head), Some(newest)) = (&found, parts.last()) {
        assert_eq!(
            head.version, newest.version,
            "lane {task}: the head is of another batch"
        );
    }
    let log = store.read(&lane, Position(0), 1000, Duration::ZERO).await;
    let log = log.expect("the store reads its log");
    let stored: Vec<_> = log
        .iter()
        .map(|entry| (entry.position.0, entry.value.clone()))
        .collect();
    let expected: Vec<_> = (first..=last)
        .flat_map(|turn| (0..ENTRIES).map(move |n| (turn, n)))
        .map(|(turn, n)| ((turn - 1) * ENTRIES + n + 1, content(task, turn, n)))
        .collect();
    assert!(
        stored == expected,
        "lane {task}: the log does not fit the values at {last}"
    );
    assert_eq!(store.last(&lane).await, Ok(Position(last * ENTRIES)));
    last
}

pub(crate) fn start(role: &str, directory: &Path) -> Child {
    let executable = std::env::current_exe().expect("the path of this executable");
    Command::new(executable)
        .arg(role)
        .arg(directory)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the child starts")
}
