//! A lane with everything around it, under paused time.

pub(crate) mod chain;
pub(crate) mod logs;
pub(crate) mod receiver;
pub(crate) mod signer;
pub(crate) mod store;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use baton_coord::memory::MemoryStore;
use baton_coord::{Batch, Clock, HolderId, Store};
use baton_engine::driver::{
    DriverMetrics, DriverOptions, Follower, LaneContext, LaneState, LaneStatus, run_lane,
};
use baton_engine::fleet::Fleet;
use baton_engine::webhooks::LaneHooks;
use baton_engine::{Network, Relayer};
use baton_lanes::record::{InboxRecord, Record, RequestRecord, SlotRecord, decode, encode, key};
use baton_model::{
    Address, Bytes, Call, ChainProfile, EvmPolicy, LaneId, Mempool, Pricing, RelayerId, RequestId,
    Speed, Timestamp, TxSpec, TxStatus, U256,
};
use baton_vault::Signer;
use futures_util::FutureExt;
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use chain::{CHAIN_ID, FakeChain, Tx};
use signer::{FakeSigner, account};
use store::{FaultyStore, Ledger};

/// How long a baton lasts in these tests.
pub(crate) const LEASE: Duration = Duration::from_secs(10);
/// Blocks on top of a transaction's own until it is final.
pub(crate) const CONFIRMATIONS: u64 = 2;
/// How long finished requests are kept.
pub(crate) const RETENTION: Duration = Duration::from_secs(3600);
/// How much time may pass, on the paused clock, before something that is to happen has not.
const PATIENCE: Duration = Duration::from_secs(600);

/// A clock that goes with the runtime's.
pub(crate) struct PausedClock(Instant);

impl Clock for PausedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000).saturating_add(self.0.elapsed())
    }
}

/// What all processes share.
pub(crate) struct World {
    pub(crate) chain: Arc<FakeChain>,
    pub(crate) inner: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) signers: Vec<Arc<FakeSigner>>,
    pub(crate) relayer: Relayer,
    pub(crate) retention: Duration,
    pub(crate) hooks: Option<LaneHooks>,
    next: AtomicU64,
}

/// One process with the lane in it.
pub(crate) struct Process {
    pub(crate) store: Arc<FaultyStore>,
    pub(crate) status: Arc<LaneStatus>,
    pub(crate) registry: Registry,
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) lane: JoinHandle<()>,
    follower: JoinHandle<()>,
}

impl World {
    /// One account, up to 64 in flight, a store in memory.
    pub(crate) fn new() -> Self {
        Self::with(1, 64)
    }

    pub(crate) fn with(accounts: u64, in_flight_max: u32) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(PausedClock(Instant::now()));
        let store = Arc::new(MemoryStore::new(Arc::clone(&clock)));
        Self::on(store, clock, accounts, in_flight_max)
    }

    pub(crate) fn on(
        inner: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        accounts: u64,
        in_flight_max: u32,
    ) -> Self {
        let chain = FakeChain::new();
        let accounts: Vec<Address> = (0..accounts).map(account).collect();
        let signers = accounts.iter().map(|a| Arc::new(FakeSigner::new(*a)));
        let network = Network {
            profile: profile(in_flight_max),
            chain: chain.clone(),
        };
        let world = Self {
            signers: signers.collect(),
            relayer: relayer(network, accounts),
            inner,
            clock,
            chain,
            ledger: Arc::default(),
            retention: RETENTION,
            hooks: None,
            next: AtomicU64::new(1),
        };
        world.check_durability();
        world
    }

    /// Every offer's bytes must be durable, unless their nonce is used already.
    pub(crate) fn check_durability(&self) {
        let (inner, lane) = (Arc::clone(&self.inner), self.lane());
        let account_key = move |tx: &Tx| key::slot(tx.from, tx.tx.nonce);
        self.chain.check_offers(move |tx| {
            let key = account_key(tx).into();
            // What a store does not answer at once is not checked: offers are made in the middle of a task.
            let Some(found) = inner.get(&lane, &key).now_or_never() else {
                return;
            };
            let Some(entry) = found.unwrap() else { return };
            let slot: SlotRecord = decode(&entry.value).unwrap();
            let durable = slot.attempts.iter().any(|attempt| attempt.hash == tx.hash);
            assert!(durable, "{:?} was offered before it was durable", tx.tx);
        });
    }

    pub(crate) fn lane(&self) -> LaneId {
        self.relayer.lane()
    }

    /// A process under its own name.
    pub(crate) fn start(&self, process: &str) -> Process {
        let ledger = Arc::clone(&self.ledger);
        let store = Arc::new(FaultyStore::new(Arc::clone(&self.inner), process, ledger));
        self.start_on(process, store)
    }

    /// A process whose connection was prepared.
    pub(crate) fn start_on(&self, process: &str, store: Arc<FaultyStore>) -> Process {
        self.start_with(process, store, None)
    }

    /// A process whose connection was prepared, and that may be one of several.
    pub(crate) fn start_with(
        &self,
        process: &str,
        store: Arc<FaultyStore>,
        fleet: Option<Arc<Fleet>>,
    ) -> Process {
        let mut registry = Registry::default();
        let metrics = DriverMetrics::new(&mut registry);
        let status = Arc::new(LaneStatus::new(self.relayer.id.clone(), metrics));
        let follower = Arc::new(Follower::new(&self.relayer.network));
        let signers = self.signers.iter();
        let context = LaneContext {
            relayer: self.relayer.clone(),
            signers: signers.map(|s| s.clone() as Arc<dyn Signer>).collect(),
            store: store.clone(),
            clock: Arc::clone(&self.clock),
            follower: Arc::clone(&follower),
            status: Arc::clone(&status),
            options: DriverOptions {
                pace: Duration::ZERO,
                holder: HolderId(process.to_owned()),
                lease: LEASE,
                adopt: false,
                retention: self.retention,
                events_kept: 1000,
            },
            hooks: self.hooks.clone(),
            fleet,
        };
        let (stop, stopping) = watch::channel(false);
        let follow = stopping.clone();
        Process {
            store,
            status,
            registry,
            stop,
            lane: tokio::spawn(run_lane(Arc::new(context), stopping)),
            follower: tokio::spawn(async move { follower.run(follow).await }),
        }
    }

    /// Accepts transfers to fresh targets, as the service does.
    pub(crate) async fn accept(&self, count: usize) -> Vec<RequestId> {
        self.accept_calls(count, 0).await
    }

    /// Accepts calls with so many bytes of data.
    pub(crate) async fn accept_calls(&self, count: usize, bytes: usize) -> Vec<RequestId> {
        let mut ids = Vec::new();
        for _ in 0..count {
            let record = self.fresh_request(bytes);
            let id = record.id;
            let mut batch = Batch::new(self.lane());
            batch
                .puts
                .push((key::request(id).into(), encode(&record).into()));
            let created = key::created(record.created_at, id);
            batch.puts.push((created.into(), baton_coord::Key::new()));
            batch
                .appends
                .push(encode(&InboxRecord::Accept { id }).into());
            self.inner.commit(batch).await.unwrap();
            ids.push(id);
        }
        ids
    }

    fn fresh_request(&self, bytes: usize) -> RequestRecord {
        let number = self.next.fetch_add(1, Ordering::SeqCst);
        let now = self.clock.now();
        let spec = TxSpec {
            call: Call {
                to: Some(target(number)),
                value: U256::from(1),
                data: Bytes::from(vec![7; bytes]),
            },
            gas_limit: None,
            pricing: Pricing::Speed(Speed::Fast),
            valid_until: now.saturating_add(Duration::from_secs(86_400)),
        };
        RequestRecord {
            id: RequestId::from_uuid(Uuid::from_u128(number.into())),
            created_at: now,
            accepted: spec.clone(),
            spec,
            idempotency: None,
            status: TxStatus::Pending,
            status_reason: None,
            is_canceled: false,
            sent_at: None,
            mined_at: None,
            finished_at: None,
            current: None,
            hashes: Vec::new(),
            history: Vec::new(),
            receipt: None,
            last_command: None,
            delete_at: None,
            trace: None,
        }
    }

    pub(crate) async fn record<T: Record>(&self, key: String) -> Option<T> {
        let entry = self.inner.get(&self.lane(), &key.into()).await.unwrap();
        entry.map(|entry| decode(&entry.value).unwrap())
    }

    pub(crate) async fn status(&self, id: RequestId) -> TxStatus {
        let record: Option<RequestRecord> = self.record(key::request(id)).await;
        record.expect("the request is there").status
    }

    /// Waits until all have a status.
    pub(crate) async fn until_all(&self, ids: &[RequestId], status: TxStatus) {
        let deadline = Instant::now() + PATIENCE;
        for id in ids {
            let mut pause = Duration::from_millis(5);
            loop {
                let now = self.status(*id).await;
                if now == status {
                    break;
                }
                assert!(Instant::now() < deadline, "{id} is {now:?}, not {status:?}");
                sleep(pause).await;
                pause = (pause * 2).min(Duration::from_millis(320));
            }
        }
    }

    /// Makes a block every second until the end of the test.
    pub(crate) fn mine_every(&self, period: Duration) -> Mining {
        let chain = Arc::clone(&self.chain);
        Mining(tokio::spawn(async move {
            loop {
                sleep(period).await;
                chain.mine(1);
            }
        }))
    }

    /// Every request was executed exactly once.
    pub(crate) fn assert_executed_once(&self, count: usize) {
        let executed = self.chain.executed();
        let first = 1;
        for number in first..first + count as u64 {
            let times = executed.get(&target(number)).copied().unwrap_or_default();
            assert_eq!(times, 1, "request {number} was executed {times} times");
        }
    }
}

/// Ends mining when dropped.
pub(crate) struct Mining(JoinHandle<()>);

impl Drop for Mining {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Process {
    /// Waits for a state.
    pub(crate) async fn until(&self, wanted: impl Fn(&LaneState) -> bool) {
        let what = || format!("the lane is {:?}", self.status.state());
        until(what, || wanted(&self.status.state())).await;
    }

    pub(crate) async fn until_running(&self) {
        self.until(|state| *state == LaneState::Running).await;
    }

    /// Stops it as the program does, and waits for its end.
    pub(crate) async fn shut_down(self) {
        self.stop.send_replace(true);
        self.lane.await.expect("the lane ends well");
        self.follower.await.expect("the follower ends well");
    }

    /// Ends it as a power cut does.
    pub(crate) async fn kill(self) {
        self.lane.abort();
        self.follower.abort();
        let _cancelled = self.lane.await;
    }

    /// The text of the metrics.
    pub(crate) fn metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text
    }
}

/// Waits on the paused clock.
pub(crate) async fn until(what: impl Fn() -> String, wanted: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !wanted() {
        assert!(Instant::now() < deadline, "{}", what());
        sleep(Duration::from_millis(5)).await;
    }
}

/// What request number `number` calls.
pub(crate) fn target(number: u64) -> Address {
    Address::left_padding_from(&(0xdead_0000_0000 + number).to_be_bytes())
}

fn profile(in_flight_max: u32) -> ChainProfile {
    ChainProfile {
        name: "test".to_owned(),
        chain_id: CHAIN_ID,
        required_confirmations: CONFIRMATIONS,
        average_block_time_ms: 1000,
        eip1559: true,
        symbol: "ETH".to_owned(),
        is_testnet: true,
        tags: Vec::new(),
        mempool: Mempool::Public,
        in_flight_max,
        nonce_window: None,
        l1_data_fee: false,
    }
}

fn relayer(network: Network, accounts: Vec<Address>) -> Relayer {
    Relayer {
        id: RelayerId::new("main").unwrap(),
        name: "main".to_owned(),
        network,
        paused: false,
        policy: EvmPolicy::default(),
        policy_given: false,
        signer_ids: accounts.iter().map(ToString::to_string).collect(),
        accounts,
        notification_id: None,
        custom_rpc_urls: Vec::new(),
    }
}
