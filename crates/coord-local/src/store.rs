//! Opening, closing, and the contract.

use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use async_trait::async_trait;
use baton_coord::limits::{READ_WAIT_MAX, check_key, check_limit, check_topic, check_ttl};
use baton_coord::{
    Acquired, Admin, Batch, Clock, CommitError, Committed, Entry, Epoch, HolderId, Key, Lease,
    LeaseError, Log, LogEntry, Position, Scan, StoreError, Table, Topics, Wake, Wakeups,
};
use baton_model::LaneId;
use fjall::{Database, KeyspaceCreateOptions};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::Instant;

use crate::answers::{self, Stopped};
use crate::clock::SystemClock;
use crate::directory::{Content, Directory, io_error};
use crate::error::{OpenError, is_damage};
use crate::lanes::Lanes;
use crate::pace::Pace;
use crate::read::Reader;
use crate::record::StoreRecord;
use crate::torn::{is_torn, open_cut};
use crate::writer::{Job, Writer};

/// Most jobs that wait for the writer; whoever comes then waits to be let in.
const QUEUE_JOBS_MAX: usize = 4 * 1024;
/// Most memory, in KiB, of batches that wait for the writer: room for four of the largest.
const QUEUE_KIB_MAX: usize = 64 * 1024;
/// Longest read that is answered on the calling task; a longer one could hold up the runtime's
/// other tasks.
const INLINE_ENTRIES_MAX: usize = 256;
/// Smallest write buffer: below this the store does little but move data.
const BUFFER_BYTES_MIN: u64 = 64 * 1024;
/// The name of the one key space (see [`crate::keys`]).
const SPACE: &str = "baton";

/// Most durable groups that wait to be answered; they share the flush of the watermark.
const GROUPS_AHEAD_MAX: usize = 4;
/// Threads that move data from memory to sorted files and merge those.
const WORKERS: usize = 1;

/// How to open a store.
#[derive(Clone)]
pub struct Options {
    /// Decides when leases run out. Default: [`SystemClock`].
    pub clock: Arc<dyn Clock>,
    /// Memory for blocks of the store's files, in bytes. Default: 64 MiB.
    pub cache_bytes: u64,
    /// Bytes that are written to memory and the journal before they are moved to a sorted file.
    /// More means fewer moves, and a longer replay when the store is opened. At least 64 KiB.
    /// Default: 64 MiB.
    pub buffer_bytes: u64,
    /// Least time from one group of commits to the next while several writers share them: flushes cost processor time
    /// as well, and those who come meanwhile share one. A writer that is alone is not made to wait. Default: none.
    pub gather: Duration,
}

/// An embedded, durable store in a directory of its own. Clones share it. When the last one is
/// dropped the store finishes what was handed in and closes, as [`LocalStore::close`] does.
#[derive(Clone)]
pub struct LocalStore {
    shared: Arc<Shared>,
}

struct Shared {
    /// `None` once closed.
    jobs: RwLock<Option<mpsc::Sender<Job>>>,
    /// `None` once closed.
    reader: RwLock<Option<Reader>>,
    /// The writer and the one that answers, which ends after it.
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Permits of one KiB each for batches on their way to the writer.
    room: Arc<Semaphore>,
    appended: Arc<Topics>,
    topics: Topics,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock::start()),
            cache_bytes: 64 * 1024 * 1024,
            buffer_bytes: 64 * 1024 * 1024,
            gather: Duration::ZERO,
        }
    }
}

impl LocalStore {
    /// Opens the store in `directory`, and makes one if the directory is empty or absent. Blocks on
    /// the disk: well under a second with 100,000 records.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(directory: &Path, options: Options) -> Result<Self, OpenError> {
        let locked = Arc::new(Directory::lock(directory, options.clock.now())?);
        let (reader, watermark, record) = match locked.content()? {
            Content::Fresh => {
                let reader = open_database(&locked, &options);
                let reader = reader.map_err(|error| refused(&locked, error))?;
                (reader, locked.finish_making()?, StoreRecord::default())
            }
            Content::Store { watermark, acked } => {
                let (reader, record) = open_complete(&locked, &options, acked)?;
                (reader, watermark, record)
            }
        };
        let appended = Arc::new(Topics::new());
        let stopped = Stopped::default();
        let (durable, groups) = sync_channel(GROUPS_AHEAD_MAX);
        let writer = Writer {
            reader: reader.clone(),
            record,
            clock: options.clock,
            lanes: Lanes::default(),
            pace: Pace::new(options.gather),
            appended: Arc::clone(&appended),
            durable,
            stopped: Arc::clone(&stopped),
        };
        let (sender, jobs) = mpsc::channel(QUEUE_JOBS_MAX);
        let start = |name: &str, run: Box<dyn FnOnce() + Send>| {
            let thread = thread::Builder::new().name(name.to_owned()).spawn(run);
            thread.map_err(|source| io_error("start a thread for", directory, source))
        };
        let topics = Arc::clone(&appended);
        let answer = move || answers::run(&groups, &watermark, &topics, &stopped);
        let threads = vec![
            start("store-writer", Box::new(move || writer.run(jobs)))?,
            start("store-answers", Box::new(answer))?,
        ];
        Ok(Self {
            shared: Arc::new(Shared {
                jobs: RwLock::new(Some(sender)),
                reader: RwLock::new(Some(reader)),
                threads: Mutex::new(threads),
                room: Arc::new(Semaphore::new(QUEUE_KIB_MAX)),
                appended,
                topics: Topics::new(),
            }),
        })
    }

    /// Finishes what was handed in, answers it, ends all subscriptions and closes the files. Other
    /// clones get [`StoreError::Unavailable`] from then on. Closing twice is no error.
    pub async fn close(&self) {
        let shared = Arc::clone(&self.shared);
        let closed = tokio::task::spawn_blocking(move || shared.close()).await;
        if let Err(error) = closed {
            tracing::error!(%error, "the store did not close cleanly");
        }
    }

    /// Hands a job to the writer, waiting while its queue is full.
    async fn submit(&self, job: Job) -> Result<(), StoreError> {
        let jobs = self
            .shared
            .jobs
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let jobs = jobs.ok_or_else(closed)?;
        jobs.send(job).await.map_err(|_| closed())
    }

    async fn lease<T>(
        &self,
        job: Job,
        answer: oneshot::Receiver<Result<T, LeaseError>>,
    ) -> Result<T, LeaseError> {
        self.submit(job).await?;
        answer
            .await
            .unwrap_or_else(|_| Err(LeaseError::Store(closed())))
    }

    fn read_now<T>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let reader = self
            .shared
            .reader
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        read(reader.as_ref().ok_or_else(closed)?)
    }

    /// Reads on the calling task if it is short, else on a thread that may block.
    async fn read_many<T: Send + 'static>(
        &self,
        entries: usize,
        read: impl FnOnce(&Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        if entries <= INLINE_ENTRIES_MAX {
            return self.read_now(read);
        }
        let reader = self.read_now(|reader| Ok(reader.clone()))?;
        let done = tokio::task::spawn_blocking(move || read(&reader)).await;
        done.unwrap_or_else(|error| {
            Err(StoreError::Unavailable {
                reason: error.to_string(),
            })
        })
    }
}

impl Shared {
    fn close(&self) {
        drop(
            self.jobs
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for thread in threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the store had failed");
            }
        }
        drop(threads);
        drop(
            self.reader
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        self.appended.close();
        self.topics.close();
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.close();
    }
}

#[async_trait]
impl Lease for LocalStore {
    async fn acquire(
        &self,
        lane: &LaneId,
        holder: &HolderId,
        ttl: Duration,
    ) -> Result<Acquired, LeaseError> {
        check_ttl(ttl)?;
        let (sender, receiver) = oneshot::channel();
        let job = Job::Acquire {
            lane: lane.clone(),
            holder: holder.clone(),
            ttl,
            answer: sender,
        };
        let epoch = self.lease(job, receiver).await?;
        Ok(Acquired { epoch })
    }

    async fn renew(&self, lane: &LaneId, epoch: Epoch, ttl: Duration) -> Result<(), LeaseError> {
        check_ttl(ttl)?;
        let (sender, receiver) = oneshot::channel();
        let job = Job::Renew {
            lane: lane.clone(),
            epoch,
            ttl,
            answer: sender,
        };
        self.lease(job, receiver).await
    }

    async fn release(&self, lane: &LaneId, epoch: Epoch) -> Result<(), LeaseError> {
        let (sender, receiver) = oneshot::channel();
        let job = Job::Release {
            lane: lane.clone(),
            epoch,
            answer: sender,
        };
        self.lease(job, receiver).await
    }
}

#[async_trait]
impl Table for LocalStore {
    async fn get(&self, lane: &LaneId, key: &Key) -> Result<Option<Entry>, StoreError> {
        check_key(key)?;
        self.read_now(|reader| reader.value(lane, key))
    }

    async fn scan(&self, lane: &LaneId, scan: &Scan) -> Result<Vec<Entry>, StoreError> {
        scan.check()?;
        let (lane, scan) = (lane.clone(), scan.clone());
        let entries = scan.limit + scan.skip;
        self.read_many(entries, move |reader| reader.scan(&lane, &scan))
            .await
    }

    async fn commit(&self, batch: Batch) -> Result<Committed, CommitError> {
        batch.check()?;
        let kib = u32::try_from(batch.bytes() / 1024 + 1).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.shared.room).acquire_many_owned(kib).await;
        let room = room.map_err(|_| not_applied(&closed()))?;
        let (sender, receiver) = oneshot::channel();
        let job = Job::Commit {
            batch,
            room,
            answer: sender,
        };
        self.submit(job)
            .await
            .map_err(|error| not_applied(&error))?;
        receiver.await.unwrap_or_else(|_| {
            Err(CommitError::Unknown {
                reason: "the store's writer ended without an answer".to_owned(),
            })
        })
    }
}

#[async_trait]
impl Log for LocalStore {
    async fn read(
        &self,
        lane: &LaneId,
        after: Position,
        limit: usize,
        wait: Duration,
    ) -> Result<Vec<LogEntry>, StoreError> {
        check_limit(limit)?;
        let deadline = Instant::now() + wait.min(READ_WAIT_MAX);
        // Listens before it looks, so that an append between the two is heard.
        let mut appended = self.shared.appended.subscribe(lane.as_str());
        loop {
            let name = lane.clone();
            let found = self
                .read_many(limit, move |reader| reader.entries(&name, after, limit))
                .await?;
            if !found.is_empty() || wait.is_zero() {
                return Ok(found);
            }
            match tokio::time::timeout_at(deadline, appended.next()).await {
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return Ok(found),
            }
        }
    }

    async fn last(&self, lane: &LaneId) -> Result<Position, StoreError> {
        self.read_now(|reader| reader.last(lane))
    }
}

#[async_trait]
impl Wake for LocalStore {
    async fn publish(&self, topic: &str) -> Result<(), StoreError> {
        check_topic(topic)?;
        self.shared.topics.publish(topic);
        Ok(())
    }

    async fn subscribe(&self, topic: &str) -> Result<Box<dyn Wakeups>, StoreError> {
        check_topic(topic)?;
        Ok(Box::new(self.shared.topics.subscribe(topic)))
    }
}

#[async_trait]
impl Admin for LocalStore {
    async fn lanes(&self, after: Option<&LaneId>, limit: usize) -> Result<Vec<LaneId>, StoreError> {
        check_limit(limit)?;
        let after = after.cloned();
        self.read_many(limit, move |reader| reader.lanes(after.as_ref(), limit))
            .await
    }
}

/// Opens the files, and checks that everything acknowledged is there.
fn open_complete(
    directory: &Arc<Directory>,
    options: &Options,
    acked: u64,
) -> Result<(Reader, StoreRecord), OpenError> {
    let complete = |reader: &Reader| {
        let record = reader
            .store_record()
            .map_err(|e| directory.damaged(e.to_string()))?;
        let record = record.unwrap_or_default();
        if record.groups >= acked {
            return Ok(record);
        }
        Err(directory.damaged(format!(
            "{acked} groups of commits were acknowledged, only {} are there",
            record.groups
        )))
    };
    let reader = match open_database(directory, options) {
        Ok(reader) => reader,
        Err(error) if is_torn(&error) => open_cut(
            directory,
            || open_database(directory, options),
            |reader| complete(reader).map(drop),
        )?,
        Err(error) => return Err(refused(directory, error)),
    };
    let record = complete(&reader)?;
    Ok((reader, record))
}

fn open_database(directory: &Arc<Directory>, options: &Options) -> Result<Reader, fjall::Error> {
    let database = Database::builder(directory.data())
        .cache_size(options.cache_bytes)
        .worker_threads(WORKERS)
        .open()?;
    let buffer = options.buffer_bytes.max(BUFFER_BYTES_MIN);
    let settings = || KeyspaceCreateOptions::default().max_memtable_size(buffer);
    let space = database.keyspace(SPACE, settings)?;
    Ok(Reader {
        database,
        space,
        _directory: Arc::clone(directory),
    })
}

fn refused(directory: &Directory, error: fjall::Error) -> OpenError {
    let path = directory.data();
    if is_damage(&error) {
        return directory.damaged(format!("{}: {error}", path.display()));
    }
    io_error(
        "open the store's files in",
        &path,
        std::io::Error::other(error),
    )
}

fn closed() -> StoreError {
    StoreError::Unavailable {
        reason: "the store is closed".to_owned(),
    }
}

fn not_applied(error: &StoreError) -> CommitError {
    CommitError::Unavailable {
        reason: error.to_string(),
    }
}
