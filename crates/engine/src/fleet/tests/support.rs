//! Several instances with one store, under paused time. Lanes do nothing but hold their batons.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use baton_coord::memory::MemoryStore;
use baton_coord::{
    Acquired, Batch, Clock, CommitError, Committed, Entry, Epoch, HolderId, Key, Lease, LeaseError,
    Log, LogEntry, Position, Scan, StoreError, Table, Wake, Wakeups,
};
use baton_model::{LaneId, Timestamp};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::driver::run::stopped;
use crate::driver::seek::Seeker;
use crate::fleet::{Fleet, FleetOptions};
use crate::{SharedClock, SharedStore};

/// As it is by default on Redis.
pub(super) const LEASE: Duration = Duration::from_millis(1200);
pub(super) const BEAT: Duration = Duration::from_millis(300);
/// What each operation of a store takes.
const TRIP: Duration = Duration::from_millis(1);

struct PausedClock(Instant);

impl Clock for PausedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000).saturating_add(self.0.elapsed())
    }
}

/// Operations of a store, by kind.
pub(super) const OPERATIONS: [&str; 8] = [
    "acquire",
    "commit",
    "get",
    "publish",
    "release",
    "renew",
    "scan",
    "subscribe",
];

/// How an instance reaches the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    Up,
    /// Every operation fails.
    Down,
    /// No operation is answered.
    Silent,
    /// What is stored cannot be read; all else works.
    Unreadable,
}

/// A connection to the store, which counts.
pub(super) struct Wire {
    inner: MemoryStore,
    link: watch::Sender<Link>,
    counts: Arc<[AtomicU64; OPERATIONS.len()]>,
}

impl Wire {
    async fn reach(&self, operation: &str) -> Result<(), StoreError> {
        let index = OPERATIONS
            .iter()
            .position(|name| *name == operation)
            .unwrap();
        self.counts[index].fetch_add(1, Ordering::SeqCst);
        sleep(TRIP).await;
        let link = *self.link.borrow();
        let reason = "scripted".to_owned();
        match link {
            Link::Up => Ok(()),
            Link::Unreadable if operation == "scan" => Err(StoreError::Damaged { reason }),
            Link::Unreadable => Ok(()),
            Link::Down => Err(StoreError::Unavailable { reason }),
            Link::Silent => std::future::pending().await,
        }
    }
}

#[async_trait]
impl Lease for Wire {
    async fn acquire(
        &self,
        lane: &LaneId,
        holder: &HolderId,
        ttl: Duration,
    ) -> Result<Acquired, LeaseError> {
        self.reach("acquire").await?;
        self.inner.acquire(lane, holder, ttl).await
    }

    async fn renew(&self, lane: &LaneId, epoch: Epoch, ttl: Duration) -> Result<(), LeaseError> {
        self.reach("renew").await?;
        self.inner.renew(lane, epoch, ttl).await
    }

    async fn release(&self, lane: &LaneId, epoch: Epoch) -> Result<(), LeaseError> {
        self.reach("release").await?;
        self.inner.release(lane, epoch).await
    }
}

#[async_trait]
impl Table for Wire {
    async fn get(&self, lane: &LaneId, key: &Key) -> Result<Option<Entry>, StoreError> {
        self.reach("get").await?;
        self.inner.get(lane, key).await
    }

    async fn scan(&self, lane: &LaneId, scan: &Scan) -> Result<Vec<Entry>, StoreError> {
        self.reach("scan").await?;
        self.inner.scan(lane, scan).await
    }

    async fn commit(&self, batch: Batch) -> Result<Committed, CommitError> {
        let reached = self.reach("commit").await;
        reached.map_err(|error| CommitError::Unavailable {
            reason: error.to_string(),
        })?;
        self.inner.commit(batch).await
    }
}

#[async_trait]
impl Log for Wire {
    async fn read(
        &self,
        lane: &LaneId,
        after: Position,
        limit: usize,
        wait: Duration,
    ) -> Result<Vec<LogEntry>, StoreError> {
        self.inner.read(lane, after, limit, wait).await
    }

    async fn last(&self, lane: &LaneId) -> Result<Position, StoreError> {
        self.inner.last(lane).await
    }
}

#[async_trait]
impl Wake for Wire {
    async fn publish(&self, topic: &str) -> Result<(), StoreError> {
        self.reach("publish").await?;
        self.inner.publish(topic).await
    }

    async fn subscribe(&self, topic: &str) -> Result<Box<dyn Wakeups>, StoreError> {
        self.reach("subscribe").await?;
        self.inner.subscribe(topic).await
    }
}

/// Who runs which lane, as it is.
#[derive(Default)]
pub(super) struct Ledger(Mutex<Book>);

#[derive(Default)]
struct Book {
    running: BTreeMap<LaneId, String>,
    free_since: BTreeMap<LaneId, Instant>,
    longest: Duration,
    tenures: usize,
    faults: Vec<String>,
    /// Lanes that fail on an instance.
    broken: BTreeSet<(String, LaneId)>,
    tried: Vec<(Instant, String)>,
}

/// Ends with the tenure, also when its task is killed.
struct Tenure {
    ledger: Arc<Ledger>,
    lane: LaneId,
}

impl Drop for Tenure {
    fn drop(&mut self) {
        let mut book = self.ledger.0.lock().unwrap();
        book.running.remove(&self.lane);
        book.free_since.insert(self.lane.clone(), Instant::now());
    }
}

impl Ledger {
    fn begin(self: &Arc<Self>, lane: &LaneId, name: &str) -> Tenure {
        let mut book = self.0.lock().unwrap();
        book.tenures += 1;
        if let Some(free) = book.free_since.remove(lane) {
            book.longest = book.longest.max(free.elapsed());
        }
        if let Some(other) = book.running.insert(lane.clone(), name.to_owned()) {
            book.faults
                .push(format!("{lane} runs on {other} and on {name}"));
        }
        let ledger = Arc::clone(self);
        Tenure {
            ledger,
            lane: lane.clone(),
        }
    }

    fn try_out(&self, lane: &LaneId, name: &str) -> bool {
        let mut book = self.0.lock().unwrap();
        book.tried.push((Instant::now(), name.to_owned()));
        !book.broken.contains(&(name.to_owned(), lane.clone()))
    }
}

/// What all instances share.
pub(super) struct World {
    pub(super) store: MemoryStore,
    clock: SharedClock,
    pub(super) ledger: Arc<Ledger>,
    counts: Arc<[AtomicU64; OPERATIONS.len()]>,
}

/// One instance.
pub(super) struct Instance {
    pub(super) name: String,
    pub(super) fleet: Arc<Fleet>,
    pub(super) link: watch::Sender<Link>,
    wire: SharedStore,
    ledger: Arc<Ledger>,
    lanes: BTreeMap<LaneId, (watch::Sender<bool>, JoinHandle<()>)>,
    stop: watch::Sender<bool>,
    run: JoinHandle<()>,
}

pub(super) fn lanes(numbers: std::ops::Range<usize>) -> BTreeSet<LaneId> {
    numbers
        .map(|number| LaneId::new(format!("tx/relayer-{number:05}")).unwrap())
        .collect()
}

impl World {
    pub(super) fn new() -> Self {
        let clock: SharedClock = Arc::new(PausedClock(Instant::now()));
        Self {
            store: MemoryStore::new(Arc::clone(&clock)),
            clock,
            ledger: Arc::default(),
            counts: Arc::default(),
        }
    }

    /// An instance that runs these lanes, and knows them.
    pub(super) fn start(&self, name: &str, lanes: &BTreeSet<LaneId>) -> Instance {
        let mut instance = self.join(name, lanes);
        for lane in lanes {
            instance.add(lane);
        }
        instance
    }

    /// An instance that knows these lanes, and runs none of them yet.
    pub(super) fn join(&self, name: &str, lanes: &BTreeSet<LaneId>) -> Instance {
        let (link, _) = watch::channel(Link::Up);
        let wire: SharedStore = Arc::new(Wire {
            inner: self.store.clone(),
            link: link.clone(),
            counts: Arc::clone(&self.counts),
        });
        let options = FleetOptions {
            holder: HolderId(name.to_owned()),
            name: name.to_owned(),
            version: "1".to_owned(),
            lease: LEASE,
        };
        let fleet = Fleet::new(Arc::clone(&wire), Arc::clone(&self.clock), options);
        fleet.set_lanes(lanes.clone());
        let (stop, stopping) = watch::channel(false);
        Instance {
            name: name.to_owned(),
            run: tokio::spawn(Arc::clone(&fleet).run(stopping)),
            fleet,
            link,
            wire,
            ledger: Arc::clone(&self.ledger),
            lanes: BTreeMap::new(),
            stop,
        }
    }

    /// Who runs what.
    pub(super) fn running(&self) -> BTreeMap<LaneId, String> {
        self.ledger.0.lock().unwrap().running.clone()
    }

    /// How many lanes these run, by their names.
    pub(super) fn spread(&self, names: &[&str]) -> Vec<usize> {
        let running = self.running();
        names
            .iter()
            .map(|name| running.values().filter(|by| by == name).count())
            .collect()
    }

    /// Waits until so many lanes run evenly on these; says how long that took.
    pub(super) async fn until_even(&self, names: &[&str], lanes: usize) -> Duration {
        let is_even = || {
            let spread = self.spread(names);
            let difference = spread.iter().max().unwrap() - spread.iter().min().unwrap();
            spread.iter().sum::<usize>() == lanes && difference <= 1
        };
        self.until(&format!("{lanes} lanes evenly on {names:?}"), is_even)
            .await
    }

    /// Waits until so many lanes run; says how long that took.
    pub(super) async fn until_running(&self, lanes: usize) -> Duration {
        self.until(&format!("{lanes} lanes"), || self.running().len() == lanes)
            .await
    }

    pub(super) async fn until(&self, what: &str, wanted: impl Fn() -> bool) -> Duration {
        let began = Instant::now();
        while !wanted() {
            assert!(
                began.elapsed() < LEASE * 100,
                "{what}: {:?}",
                self.running()
            );
            sleep(TRIP).await;
        }
        began.elapsed()
    }

    /// How often lanes were taken.
    pub(super) fn tenures(&self) -> usize {
        self.ledger.0.lock().unwrap().tenures
    }

    /// The longest time that a lane was not run, since this was asked.
    pub(super) fn longest_gap(&self) -> Duration {
        std::mem::take(&mut self.ledger.0.lock().unwrap().longest)
    }

    /// No lane ever ran twice at a time.
    pub(super) fn check(&self) {
        let book = self.ledger.0.lock().unwrap();
        assert_eq!(book.faults, Vec::<String>::new());
    }

    pub(super) fn set_broken(&self, name: &str, lane: &LaneId, is_broken: bool) {
        let mut book = self.ledger.0.lock().unwrap();
        let key = (name.to_owned(), lane.clone());
        if is_broken {
            book.broken.insert(key);
        } else {
            book.broken.remove(&key);
        }
    }

    /// When lanes were tried, and where, since this was asked.
    pub(super) fn tried(&self) -> Vec<(Instant, String)> {
        std::mem::take(&mut self.ledger.0.lock().unwrap().tried)
    }

    /// Operations of all stores since this was asked.
    pub(super) fn counted(&self) -> BTreeMap<&'static str, u64> {
        let counts = self
            .counts
            .iter()
            .map(|count| count.swap(0, Ordering::SeqCst));
        OPERATIONS.into_iter().zip(counts).collect()
    }
}

impl Instance {
    /// Runs one more lane.
    pub(super) fn add(&mut self, lane: &LaneId) {
        let seeker = Seeker {
            store: Arc::clone(&self.wire),
            lane: lane.clone(),
            holder: HolderId(self.name.clone()),
            lease: LEASE,
            seat: Some(self.fleet.seat(lane)),
        };
        let (stop, stopping) = watch::channel(false);
        let ledger = Arc::clone(&self.ledger);
        let task = tokio::spawn(run(seeker, ledger, self.name.clone(), stopping));
        self.lanes.insert(lane.clone(), (stop, task));
    }

    /// Runs one lane less.
    pub(super) async fn remove(&mut self, lane: &LaneId) {
        let (stop, task) = self.lanes.remove(lane).unwrap();
        stop.send_replace(true);
        task.await.unwrap();
    }

    /// Ends as the program does.
    pub(super) async fn stop(mut self) {
        self.fleet.drain().await;
        for (stop, _) in self.lanes.values() {
            stop.send_replace(true);
        }
        for (_, task) in std::mem::take(&mut self.lanes).into_values() {
            task.await.unwrap();
        }
        self.stop.send_replace(true);
        self.run.await.unwrap();
    }

    /// Ends as a power cut does.
    pub(super) async fn kill(self) {
        self.run.abort();
        self.lanes.values().for_each(|(_, task)| task.abort());
        for (_, task) in self.lanes.into_values() {
            let _cancelled = task.await;
        }
        let _cancelled = self.run.await;
    }
}

async fn run(
    mut seeker: Seeker,
    ledger: Arc<Ledger>,
    name: String,
    mut stop: watch::Receiver<bool>,
) {
    while let Some(baton) = seeker.baton(&mut stop, || {}).await {
        if !ledger.try_out(&seeker.lane, &name) {
            assert!(seeker.fail(baton).await);
            continue;
        }
        let tenure = ledger.begin(&seeker.lane, &name);
        tokio::select! {
            biased;
            () = stopped(&mut stop) => {
                drop(tenure);
                return seeker.release(baton).await;
            }
            () = baton.lost() => {
                drop(tenure);
                seeker.lost();
            }
            () = seeker.ceded() => {
                drop(tenure);
                seeker.release(baton).await;
            }
        }
    }
}
