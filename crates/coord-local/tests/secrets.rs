//! With encryption on, no content is found in the store's files; without it, it is.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use baton_coord::{Batch, Entropy, EntropyError, Keyring, Position, Sealed, Store, Table};
use baton_coord_local::{LocalStore, Options};
use baton_model::LaneId;
use bytes::Bytes;

const OLD_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const NEW_KEY: &str = "/////////////////////////////////////////w8=";
const SECRET: &str = "correct-horse-battery-staple";
const ENTRY: &str = "swordfish-of-the-log";

fn open(directory: &Path) -> LocalStore {
    let options = Options {
        // Small, so that some content is in sorted files and some in the journal.
        buffer_bytes: 64 * 1024,
        ..Options::default()
    };
    LocalStore::open(directory, options).expect("the store opens")
}

fn sealed(store: LocalStore, active: &str, old: &[&str]) -> Sealed<LocalStore> {
    let keys = Keyring::parse(active, old.iter().copied()).expect("keys");
    let entropy: Entropy = Arc::new(|buffer: &mut [u8]| {
        rand::TryRngCore::try_fill_bytes(&mut rand::rngs::OsRng, buffer)
            .map_err(|error| EntropyError(error.to_string()))
    });
    Sealed::new(store, Arc::new(keys), entropy)
}

fn lane() -> LaneId {
    LaneId::new("tx/secret").expect("a lane id")
}

async fn write<S: Store>(store: &S) {
    for turn in 0..200 {
        let mut batch = Batch::new(lane());
        // Short enough that compression does not hide it in the control.
        let value = format!("{turn}:{SECRET}:{}", "padding".repeat(turn % 5));
        batch.puts = vec![(
            Bytes::from(format!("record/{turn}")),
            Bytes::from(value.repeat(20)),
        )];
        batch.appends = vec![Bytes::from(format!("{turn}:{ENTRY}"))];
        store.commit(batch).await.expect("the commit is durable");
    }
}

/// How many of the files below hold the text.
fn files_with(directory: &Path, text: &str) -> usize {
    let items = fs::read_dir(directory).expect("a directory");
    let count = |path: &Path| {
        if path.is_dir() {
            return files_with(path, text);
        }
        let bytes = fs::read(path).expect("a file");
        usize::from(
            bytes
                .windows(text.len())
                .any(|window| window == text.as_bytes()),
        )
    };
    items
        .map(|item| count(&item.expect("an item").path()))
        .sum()
}

#[tokio::test]
async fn no_content_is_found_in_the_files() {
    let open_directory = tempfile::tempdir().expect("a directory");
    let store = open(open_directory.path());
    write(&store).await;
    store.close().await;
    let sealed_directory = tempfile::tempdir().expect("a directory");
    let store = sealed(open(sealed_directory.path()), OLD_KEY, &[]);
    write(&store).await;
    store.inner().close().await;
    for text in [SECRET, ENTRY] {
        assert!(
            files_with(open_directory.path(), text) > 0,
            "the search finds {text}"
        );
        assert_eq!(
            files_with(sealed_directory.path(), text),
            0,
            "{text} is readable on disk"
        );
    }
    assert!(
        files_with(sealed_directory.path(), "record/7") > 0,
        "names are not encrypted"
    );
}

#[tokio::test]
async fn a_rotated_store_is_read_with_the_new_key_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = sealed(open(directory.path()), OLD_KEY, &[]);
    write(&store).await;
    let mut trim = Batch::new(lane());
    trim.trim = Some(Position(195));
    store.commit(trim).await.expect("the commit is durable");
    store.inner().close().await;

    let store = sealed(open(directory.path()), NEW_KEY, &[OLD_KEY]);
    let done = store.rotate().await.expect("the store is rotated");
    assert_eq!((done.lanes, done.rewritten, done.current), (1, 200, 0));
    assert_eq!(
        done.log_entries_under.values().sum::<u64>(),
        5,
        "entries wait to be worked off"
    );
    store.inner().close().await;

    let store = sealed(open(directory.path()), NEW_KEY, &[]);
    for turn in 0..200 {
        let found = store
            .get(&lane(), &Bytes::from(format!("record/{turn}")))
            .await;
        let value = found
            .expect("the new key opens it")
            .expect("it is there")
            .value;
        assert!(value.starts_with(format!("{turn}:{SECRET}").as_bytes()));
    }
    store.inner().close().await;
}
