//! Damaged, cut off, missing and foreign files: a clear error, or nothing lost. Never silence.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use baton_coord::{Admin, Batch, Log, Position, Scan, StoreError, Table};
use baton_coord_local::{LocalStore, Options};
use baton_model::LaneId;
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use support::copy;

const SEED: u64 = 0xda3a_6ed0;
/// Bits flipped in each file, at random places.
const FLIPS: usize = 8;

type Content = BTreeMap<LaneId, (Vec<(Bytes, Bytes)>, Vec<Bytes>)>;

/// What became of a damaged store.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    RefusedToOpen(String),
    RefusedToRead(String),
    NothingLost,
    Silence(String),
}

fn options() -> Options {
    Options {
        // Small, so that there are sorted files besides the journal.
        buffer_bytes: 128 * 1024,
        ..Options::default()
    }
}

/// A store that was written to, closed, and opened again, so that it has every kind of file.
async fn template(directory: &Path) -> Content {
    for generation in 0..3 {
        let store = LocalStore::open(directory, options()).expect("the store opens");
        for turn in 0..120u32 {
            let lane = LaneId::new(format!("tx/{}", turn % 3)).expect("a lane id");
            let mut batch = Batch::new(lane);
            let value = format!("{generation}/{turn}/").repeat(200);
            batch.puts = vec![
                (
                    Bytes::from(format!("turn/{turn:03}")),
                    Bytes::from(value.clone()),
                ),
                (
                    Bytes::from(format!("gen/{generation}/{turn:03}")),
                    Bytes::from(value),
                ),
            ];
            batch.appends = vec![Bytes::from(format!("{generation}/{turn}"))];
            batch.trim = (turn == 100).then_some(Position(5));
            store.commit(batch).await.expect("the commit is durable");
        }
        store.close().await;
    }
    let store = LocalStore::open(directory, options()).expect("the store opens");
    let content = read_all(&store).await.expect("the store reads");
    store.close().await;
    content
}

async fn read_all(store: &LocalStore) -> Result<Content, StoreError> {
    let mut content = Content::new();
    for lane in store.lanes(None, 100).await? {
        let found = store.scan(&lane, &Scan::prefix("", 4096)).await?;
        let log = store.read(&lane, Position(0), 4096, Duration::ZERO).await?;
        for entry in &found {
            let again = store.get(&lane, &entry.key).await?;
            assert_eq!(again.as_ref(), Some(entry), "a scan and a read differ");
        }
        let values = found
            .into_iter()
            .map(|entry| (entry.key, entry.value))
            .collect();
        content.insert(
            lane,
            (values, log.into_iter().map(|entry| entry.value).collect()),
        );
    }
    Ok(content)
}

async fn outcome(directory: &Path, expected: &Content) -> Outcome {
    let store = match LocalStore::open(directory, options()) {
        Ok(store) => store,
        Err(error) => return Outcome::RefusedToOpen(error.to_string()),
    };
    let outcome = match read_all(&store).await {
        Err(error) => Outcome::RefusedToRead(error.to_string()),
        Ok(content) if content == *expected => Outcome::NothingLost,
        Ok(content) => Outcome::Silence(difference(&content, expected)),
    };
    store.close().await;
    outcome
}

fn difference(content: &Content, expected: &Content) -> String {
    let count = |content: &Content| {
        content
            .values()
            .map(|(values, log)| (values.len(), log.len()))
            .collect::<Vec<_>>()
    };
    format!(
        "values and entries {:?} instead of {:?}",
        count(content),
        count(expected)
    )
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![directory.to_owned()];
    while let Some(next) = left.pop() {
        for item in fs::read_dir(next).expect("a directory") {
            let path = item.expect("an item").path();
            if path.is_dir() {
                left.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Ways of damaging a file of this length: what it is called, and the bytes that are left, `None`
/// for no file.
fn damages(bytes: &[u8], random: &mut StdRng) -> Vec<(String, Option<Vec<u8>>)> {
    let mut ways = vec![("removed".to_owned(), None)];
    if bytes.is_empty() {
        return ways;
    }
    for keep in [0, 1, bytes.len() / 2, bytes.len() - 1] {
        ways.push((format!("cut to {keep}"), Some(bytes[..keep].to_vec())));
    }
    ways.push(("zeroed".to_owned(), Some(vec![0; bytes.len()])));
    for _ in 0..FLIPS {
        let place = random.random_range(0..bytes.len());
        let bit = random.random_range(0..8);
        let mut flipped = bytes.to_vec();
        flipped[place] ^= 1 << bit;
        ways.push((format!("bit {bit} of byte {place} flipped"), Some(flipped)));
    }
    ways
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_never_silent() {
    let original = tempfile::tempdir().expect("a directory");
    let expected = template(original.path()).await;
    let mut random = StdRng::seed_from_u64(SEED);
    let mut counts = BTreeMap::new();
    let mut silent = Vec::new();
    for file in files(original.path()) {
        let name = file
            .strip_prefix(original.path())
            .expect("inside")
            .to_owned();
        let bytes = fs::read(&file).expect("a file");
        for (way, left) in damages(&bytes, &mut random) {
            let scratch = tempfile::tempdir().expect("a directory");
            copy(original.path(), scratch.path());
            match left {
                Some(left) => fs::write(scratch.path().join(&name), left).expect("a write"),
                None => fs::remove_file(scratch.path().join(&name)).expect("a removal"),
            }
            let outcome = outcome(scratch.path(), &expected).await;
            let kind = match &outcome {
                Outcome::RefusedToOpen(_) => "refused to open",
                Outcome::RefusedToRead(_) => "refused to read",
                Outcome::NothingLost => "nothing lost",
                Outcome::Silence(_) => "silence",
            };
            *counts.entry(kind).or_insert(0) += 1;
            println!("{} {way}: {outcome:?}", name.display());
            if kind == "silence" {
                silent.push(format!("{} {way}: {outcome:?}", name.display()));
            }
        }
    }
    println!("{counts:?}");
    assert!(
        silent.is_empty(),
        "{} silent:\n{}",
        silent.len(),
        silent.join("\n")
    );
    assert!(counts["refused to open"] > 50 && counts.contains_key("refused to read"));
}

/// A group of commits of which the disk kept the end but not the middle, as a loss of power can
/// leave it.
#[tokio::test(flavor = "multi_thread")]
async fn a_torn_write_that_nobody_was_told_of_is_dropped() {
    let original = tempfile::tempdir().expect("a directory");
    let lane = LaneId::new("tx/torn").expect("a lane id");
    let batch = |turn: usize| {
        let mut batch = Batch::new(lane.clone());
        // Random, so that it is stored in its full length.
        let mut value = vec![0; 60_000];
        StdRng::seed_from_u64(SEED).fill(&mut value[..]);
        value.splice(..3, format!("{turn:02};").into_bytes());
        batch.puts = vec![(Bytes::from("key"), Bytes::from(value))];
        batch.appends = vec![Bytes::from(turn.to_string())];
        batch
    };
    let store = LocalStore::open(original.path(), Options::default()).expect("the store opens");
    let mut acked_before_last = Vec::new();
    for turn in 0..20 {
        acked_before_last = fs::read(original.path().join("acked")).expect("the watermark");
        store
            .commit(batch(turn))
            .await
            .expect("the commit is durable");
    }
    store.close().await;
    let journal = original.path().join("data/0.jnl");
    let mut bytes = fs::read(&journal).expect("the journal");
    let end = bytes
        .iter()
        .rposition(|byte| *byte != 0)
        .expect("the journal has content");
    bytes[end - 20_000..end - 15_904].fill(0);
    fs::write(&journal, &bytes).expect("a write");

    // The last group was acknowledged: its loss is an error, the same each time.
    for _ in 0..2 {
        let refused = LocalStore::open(original.path(), Options::default()).err();
        let said = refused.expect("it is refused").to_string();
        assert!(
            said.contains("20 groups of commits were acknowledged, only 19"),
            "{said}"
        );
    }
    // It was not: the store opens without it, whole.
    fs::write(original.path().join("acked"), acked_before_last).expect("a write");
    let store = LocalStore::open(original.path(), Options::default()).expect("the store opens");
    let found = store
        .get(&lane, &Bytes::from("key"))
        .await
        .expect("the store reads");
    assert_eq!(
        found.map(|entry| entry.value.slice(..3)),
        Some(Bytes::from("18;"))
    );
    assert_eq!(store.last(&lane).await, Ok(Position(19)));
    let next = store
        .commit(batch(99))
        .await
        .expect("the commit is durable");
    assert_eq!(next.last, Some(Position(20)));
    store.close().await;
    let store = LocalStore::open(original.path(), Options::default()).expect("it opens again");
    assert_eq!(store.last(&lane).await, Ok(Position(20)));
    store.close().await;
}
