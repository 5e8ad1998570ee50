//! The same promises with many tasks at once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use baton_model::LaneId;
use tokio::task::JoinSet;

use super::{Backend, TTL, append, committed, entries, holder, key, lane, put, soon, text, value};
use crate::{
    Batch, CommitError, Epoch, LeaseError, ManualClock, Position, Precondition, Scan, Store,
    Version,
};

const TASKS: u64 = 32;
const TURNS: u64 = 25;

pub(super) async fn run<B: Backend>(backend: &B) {
    counters_lose_no_update(&backend.fresh().await.0).await;
    one_of_many_creates(&backend.fresh().await.0).await;
    the_last_batch_wins(&backend.fresh().await.0).await;
    readers_see_whole_batches(&backend.fresh().await.0).await;
    one_log_many_writers(&backend.fresh().await.0).await;
    let (store, clock) = backend.fresh().await;
    one_holder_at_a_time(&store, &clock).await;
}

/// Read, compare and set, again when another was faster.
async fn counters_lose_no_update<S: Store + Clone + 'static>(store: &S) {
    let name = lane("tx/counter");
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let (store, name) = (store.clone(), name.clone());
        tasks.spawn(async move {
            for _ in 0..TURNS {
                while !increment(&store, &name).await {}
            }
        });
    }
    soon("the counting tasks", tasks.join_all()).await;
    assert_eq!(
        value(store, &name, "count").await,
        Some(text(&(TASKS * TURNS).to_string()))
    );
}

async fn increment<S: Store>(store: &S, lane: &LaneId) -> bool {
    let found = store
        .get(lane, &key("count"))
        .await
        .expect("the store reads");
    let count = found.as_ref().map_or(0, |entry| number(&entry.value));
    let mut batch = put(lane, "count", &(count + 1).to_string());
    batch.require = vec![match found {
        Some(entry) => Precondition::At(entry.key, entry.version),
        None => Precondition::Absent(key("count")),
    }];
    match store.commit(batch).await {
        Ok(_) => true,
        Err(CommitError::Precondition { .. }) => false,
        Err(error) => panic!("{error}"),
    }
}

async fn one_of_many_creates<S: Store + Clone + 'static>(store: &S) {
    let name = lane("tx/create");
    for turn in 0..TURNS {
        let mut tasks = JoinSet::new();
        for task in 0..TASKS {
            let mut batch = put(&name, &format!("id/{turn}"), &task.to_string());
            batch.require = vec![Precondition::Absent(key(&format!("id/{turn}")))];
            batch.appends = vec![text(&format!("{turn}/{task}"))];
            let (store, name) = (store.clone(), name.clone());
            tasks.spawn(async move {
                let answer = store.commit(batch).await;
                let seen = value(&store, &name, &format!("id/{turn}")).await;
                assert!(
                    seen.is_some(),
                    "told that it is there, but it is not to be seen"
                );
                (task, answer)
            });
        }
        let answers = soon("the creating tasks", tasks.join_all()).await;
        let won: Vec<u64> = answers
            .iter()
            .filter(|(_, answer)| answer.is_ok())
            .map(|(task, _)| *task)
            .collect();
        assert_eq!(won.len(), 1, "exactly one of {TASKS} creates");
        let stored = value(store, &name, &format!("id/{turn}")).await;
        assert_eq!(stored, Some(text(&won[0].to_string())));
    }
    assert_eq!(
        store.last(&name).await,
        Ok(Position(TURNS)),
        "losers appended nothing"
    );
}

/// Batches that a backend writes together may put and delete the same key: the order of the log is
/// what counts.
async fn the_last_batch_wins<S: Store + Clone + 'static>(store: &S) {
    let name = lane("tx/last");
    for round in 0..TURNS {
        let mut tasks = JoinSet::new();
        for task in 0..TASKS {
            let mut batch = append(&name, &[&task.to_string()]);
            if task.is_multiple_of(2) {
                batch.deletes = vec![key("k")];
            } else {
                batch.puts = vec![(key("k"), text(&task.to_string()))];
            }
            let store = store.clone();
            tasks.spawn(async move { committed(&store, batch).await.version });
        }
        let mut versions = soon("the writing tasks", tasks.join_all()).await;
        versions.sort();
        versions.dedup();
        assert_eq!(
            versions.len() as u64,
            TASKS,
            "two batches got the same version"
        );
        let log = entries(store, &name, round * TASKS).await;
        let last = number(&log.last().expect("the log has grown").value);
        let expected = (!last.is_multiple_of(2)).then(|| text(&last.to_string()));
        assert_eq!(value(store, &name, "k").await, expected, "after {last}");
    }
}

/// A batch sets ten keys to one value: a scan finds all ten equal, whenever it looks.
async fn readers_see_whole_batches<S: Store + Clone + 'static>(store: &S) {
    let name = lane("tx/whole");
    let mut tasks = JoinSet::new();
    for task in 0..8 {
        let (store, name) = (store.clone(), name.clone());
        tasks.spawn(async move {
            for turn in 0..TURNS {
                let mut batch = Batch::new(name.clone());
                let mark = text(&format!("{task}/{turn}"));
                batch.puts = (0..10)
                    .map(|n| (key(&format!("k{n}")), mark.clone()))
                    .collect();
                let done = committed(&store, batch).await;
                let own = store.get(&name, &key("k0")).await.expect("the store reads");
                let seen = own.map_or(Version(0), |entry| entry.version);
                assert!(
                    seen >= done.version,
                    "a commit that was answered is not seen"
                );
            }
        });
    }
    for _ in 0..8 {
        let (store, name) = (store.clone(), name.clone());
        tasks.spawn(async move {
            for _ in 0..4 * TURNS {
                let scan = Scan::prefix("k", 100);
                let found = store.scan(&name, &scan).await.expect("the store scans");
                assert!(
                    found.is_empty() || found.len() == 10,
                    "{} of 10",
                    found.len()
                );
                let states: BTreeSet<_> =
                    found.iter().map(|e| (e.version, e.value.clone())).collect();
                assert!(states.len() <= 1, "half a batch: {states:?}");
                tokio::task::yield_now().await;
            }
        });
    }
    soon("writers and readers", tasks.join_all()).await;
}

async fn one_log_many_writers<S: Store + Clone + 'static>(store: &S) {
    let name = lane("tx/many");
    let follower = {
        let (store, name) = (store.clone(), name.clone());
        tokio::spawn(async move {
            let mut seen = Vec::new();
            while (seen.len() as u64) < TASKS * TURNS * 2 {
                let after = Position(seen.len() as u64);
                let read = store
                    .read(&name, after, 100, Duration::from_secs(600))
                    .await;
                seen.extend(read.expect("the store reads its log"));
            }
            seen
        })
    };
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let (store, name) = (store.clone(), name.clone());
        tasks.spawn(async move {
            for turn in 0..TURNS {
                let entry = format!("{task}/{turn}");
                committed(&store, append(&name, &[&entry, &entry])).await;
            }
        });
    }
    soon("the appending tasks", tasks.join_all()).await;
    let seen = soon("the follower", follower)
        .await
        .expect("the follower ran");
    assert_eq!(seen.len() as u64, TASKS * TURNS * 2);
    for (index, entry) in seen.iter().enumerate() {
        assert_eq!(entry.position.0, index as u64 + 1);
    }
    for pair in seen.chunks(2) {
        assert_eq!(
            pair[0].value, pair[1].value,
            "the entries of a batch stand together"
        );
    }
    for task in 0..TASKS {
        let own = format!("{task}/");
        let turns: Vec<String> = seen
            .iter()
            .step_by(2)
            .map(|entry| String::from_utf8_lossy(&entry.value).into_owned())
            .filter(|entry| entry.starts_with(&own))
            .collect();
        let expected: Vec<String> = (0..TURNS).map(|turn| format!("{task}/{turn}")).collect();
        assert_eq!(turns, expected, "one task's commits keep their order");
    }
}

/// Holders compete under a clock that runs. Each writes its epoch to the log: if two were ever let
/// in side by side, an older epoch stands behind a newer one.
async fn one_holder_at_a_time<S: Store + Clone + 'static>(store: &S, clock: &Arc<ManualClock>) {
    let name = lane("tx/baton");
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let (store, name, clock) = (store.clone(), name.clone(), Arc::clone(clock));
        tasks.spawn(async move {
            let me = holder(&format!("holder-{task}"));
            let mut given = Vec::new();
            while given.len() < 4 {
                match store.acquire(&name, &me, TTL).await {
                    Ok(acquired) => {
                        given.push(acquired.epoch);
                        hold(&store, &name, acquired.epoch, task).await;
                    }
                    Err(LeaseError::Held { remaining, .. }) => {
                        clock.advance((remaining / 2).max(Duration::from_millis(1)));
                    }
                    Err(error @ (LeaseError::Lost | LeaseError::Store(_))) => panic!("{error}"),
                }
                tokio::task::yield_now().await;
            }
            given
        });
    }
    let given = soon("the competing holders", tasks.join_all())
        .await
        .concat();
    let distinct: BTreeSet<Epoch> = given.iter().copied().collect();
    assert_eq!(distinct.len(), given.len(), "an epoch was given twice");
    let written = entries(store, &name, 0).await;
    let written: Vec<u64> = written.iter().map(|entry| number(&entry.value)).collect();
    assert!(!written.is_empty());
    assert!(
        written.is_sorted(),
        "an older epoch wrote after a newer one: {written:?}"
    );
}

async fn hold<S: Store>(store: &S, lane: &LaneId, epoch: Epoch, task: u64) {
    for _ in 0..3 {
        let mine = append(lane, &[&epoch.to_string()]).fenced(epoch);
        match store.commit(mine).await {
            Ok(_) => {}
            Err(CommitError::Fenced { current, .. }) => assert!(current >= epoch),
            Err(error) => panic!("{error}"),
        }
    }
    // Half of the holders vanish without a word.
    if task.is_multiple_of(2) {
        let released = store.release(lane, epoch).await;
        assert!(
            matches!(released, Ok(()) | Err(LeaseError::Lost)),
            "{released:?}"
        );
    }
}

fn number(value: &[u8]) -> u64 {
    let text = std::str::from_utf8(value).expect("a number");
    text.parse().expect("a number")
}
