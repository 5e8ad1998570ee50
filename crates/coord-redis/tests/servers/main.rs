//! The store on real servers: the contract, and what becomes of commits and leases when servers and wires fail.

#[cfg(test)]
mod access;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod failover;
#[cfg(test)]
mod killed;
#[cfg(test)]
mod paused;
#[cfg(test)]
mod refused;
#[cfg(test)]
mod stored;
#[cfg(test)]
mod wire;

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use baton_coord::{
    Acquired, Batch, CommitError, Epoch, HolderId, Lease, Log, LogEntry, Position, Table,
};
use baton_coord_redis::RedisStore;
use baton_model::LaneId;
use bytes::Bytes;
use tokio::task::JoinHandle;

/// Longest wait for what must come about: machines are busy.
const PATIENCE: Duration = Duration::from_secs(60);
const TTL: Duration = Duration::from_secs(30);

fn lane(name: &str) -> LaneId {
    LaneId::new(name).expect("a lane")
}

async fn open(options: baton_coord_redis::Options) -> RedisStore {
    RedisStore::open(options).await.expect("the store opens")
}

async fn acquire(store: &RedisStore, lane: &LaneId, who: &str) -> Epoch {
    let holder = HolderId(who.to_owned());
    let Acquired { epoch } = until(|| store.acquire(lane, &holder, TTL)).await;
    epoch
}

/// A batch that puts a number twice and appends it: half of it would show.
fn mark(lane: &LaneId, number: u64) -> Batch {
    let text = Bytes::from(number.to_string());
    let mut batch = Batch::new(lane.clone());
    batch.puts = vec![
        (Bytes::from_static(b"first"), text.clone()),
        (Bytes::from_static(b"second"), text.clone()),
    ];
    batch.appends = vec![text];
    batch
}

/// The number that was written last, after a check that all parts of all batches agree.
async fn marked(store: &RedisStore, lane: &LaneId) -> u64 {
    let log = until(|| everything(store, lane)).await;
    for (index, entry) in log.iter().enumerate() {
        assert_eq!(
            entry.position,
            Position(index as u64 + 1),
            "no hole in the log"
        );
    }
    let last = log.last().map_or(0, |entry| number(&entry.value));
    for key in ["first", "second"] {
        let key = Bytes::from_static(key.as_bytes());
        let found = until(|| store.get(lane, &key)).await;
        assert_eq!(
            found.map_or(0, |entry| number(&entry.value)),
            last,
            "half a batch"
        );
    }
    assert_eq!(until(|| store.last(lane)).await, Position(log.len() as u64));
    last
}

async fn everything(
    store: &RedisStore,
    lane: &LaneId,
) -> Result<Vec<LogEntry>, baton_coord::StoreError> {
    let mut log = Vec::new();
    loop {
        let after = log
            .last()
            .map_or(Position(0), |entry: &LogEntry| entry.position);
        let page = store.read(lane, after, 4000, Duration::ZERO).await?;
        if page.is_empty() {
            return Ok(log);
        }
        log.extend(page);
    }
}

fn number(value: &[u8]) -> u64 {
    let text = std::str::from_utf8(value).expect("a number");
    text.parse().expect("a number")
}

/// Asks until there is an answer.
async fn until<T, E, F>(mut ask: impl FnMut() -> F) -> T
where
    E: std::fmt::Debug,
    F: Future<Output = Result<T, E>>,
{
    const PAUSE: Duration = Duration::from_millis(20);
    let asked = tokio::time::timeout(PATIENCE, async {
        loop {
            match ask().await {
                Ok(answer) => return answer,
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    });
    asked.await.expect("an answer at last")
}

/// Commits one number after the other to a lane until it is stopped, each as often as it takes to know what became of
/// it.
struct Writer {
    lane: LaneId,
    stop: Arc<AtomicBool>,
    task: JoinHandle<Written>,
}

/// What a writer was told.
#[derive(Debug, Default)]
struct Written {
    /// The last number that it was told was committed.
    last: u64,
    unknown: u64,
    unavailable: u64,
}

impl Writer {
    fn start(store: &RedisStore, name: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let lane = lane(name);
        let task = tokio::spawn(write(store.clone(), lane.clone(), Arc::clone(&stop)));
        Self { lane, stop, task }
    }

    /// Stops writers, all at once, and says what each was told.
    async fn stop(writers: Vec<Self>) -> Vec<(LaneId, Written)> {
        for writer in &writers {
            writer.stop.store(true, Ordering::SeqCst);
        }
        let mut stopped = Vec::new();
        for writer in writers {
            let written = tokio::time::timeout(PATIENCE, writer.task).await;
            let written = written.expect("the writer stops").expect("the writer ran");
            stopped.push((writer.lane, written));
        }
        stopped
    }
}

async fn write(store: RedisStore, lane: LaneId, stop: Arc<AtomicBool>) -> Written {
    let mut written = Written::default();
    let mut next = 1;
    while !stop.load(Ordering::SeqCst) {
        match store.commit(mark(&lane, next)).await {
            Ok(_) => {
                written.last = next;
                next += 1;
            }
            Err(CommitError::Unavailable { .. }) => written.unavailable += 1,
            Err(CommitError::Unknown { .. }) => {
                written.unknown += 1;
                // What was sent is told from what was not by a number of its own.
                next += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    written
}
