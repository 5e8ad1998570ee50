//! How many requests one lane takes from the inbox to final blocks, on a store in memory and a chain that answers at
//! once and makes a block every 100 ms: the cost of the driver and the engine alone, without and with telling what
//! happens. `cargo bench -p baton-engine`.

mod chain;
mod tell;

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use baton_coord::memory::MemoryStore;
use baton_coord::{Batch, Clock, HolderId, Table};
use baton_engine::driver::{
    DriverMetrics, DriverOptions, Follower, LaneContext, LaneStatus, run_lane,
};
use baton_engine::{Network, Relayer};
use baton_lanes::record::{InboxRecord, RequestRecord, SummaryRecord, decode, encode, key};
use baton_model::{
    Address, Bytes, Call, ChainProfile, EvmPolicy, Mempool, Pricing, RelayerId, RequestId, Speed,
    Timestamp, TxSpec, TxStatus, U256,
};
use baton_vault::{LocalSigner, Signer};
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use chain::InstantChain;
use tell::Told;

/// Time between blocks.
const BLOCK: Duration = Duration::from_millis(100);
/// Requests of one run, all in the inbox when it starts.
const REQUESTS: u64 = 50_000;
/// Longest run. What is final by then is counted.
const RUN_MAX: Duration = Duration::from_secs(4);
/// Most unfinished nonces, for each run: with few of them the blocks set the pace, with many the engine does.
const IN_FLIGHT: [u32; 3] = [64, 1024, 8192];

struct SteadyClock(Instant);

impl Clock for SteadyClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000).saturating_add(self.0.elapsed())
    }
}

/// What one run gave.
struct Figures {
    confirmed: u64,
    wall: Duration,
    cpu: Duration,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout();
    writeln!(
        out,
        "in flight  told to   confirmed  seconds  per second  CPU us/transaction"
    )?;
    let all = IN_FLIGHT.into_iter().map(|most| (most, Told::Streams));
    let told = [Told::Nobody, Told::Webhooks].map(|told| (IN_FLIGHT[2], told));
    for (in_flight, told) in all.chain(told) {
        let figures = run(in_flight, told).await;
        let seconds = figures.wall.as_secs_f64();
        let rate = figures.confirmed as f64 / seconds;
        let cpu = figures.cpu.as_secs_f64() * 1e6 / figures.confirmed.max(1) as f64;
        let confirmed = figures.confirmed;
        writeln!(
            out,
            "{in_flight:9}  {:8}  {confirmed:9}  {seconds:7.2}  {rate:10.0}  {cpu:18.1}",
            told.name()
        )?;
    }
    Ok(())
}

async fn run(in_flight_max: u32, told: Told) -> Figures {
    let signer = LocalSigner::from_bytes(&[7; 32]).expect("a key");
    let chain = Arc::new(InstantChain::new());
    let clock: Arc<dyn Clock> = Arc::new(SteadyClock(Instant::now()));
    let store = Arc::new(MemoryStore::new(Arc::clone(&clock)));
    let network = Network {
        profile: profile(in_flight_max),
        chain: chain.clone(),
    };
    let relayer = relayer(network, signer.address());
    accept(&store, &relayer, clock.now()).await;
    let mut registry = Registry::default();
    let metrics = DriverMetrics::new(&mut registry);
    let follower = Arc::new(Follower::new(&relayer.network));
    let lane = relayer.lane();
    let context = LaneContext {
        signers: vec![Arc::new(signer)],
        store: store.clone(),
        clock,
        follower: Arc::clone(&follower),
        status: Arc::new(LaneStatus::new(relayer.id.clone(), metrics)),
        relayer,
        options: DriverOptions {
            pace: Duration::ZERO,
            holder: HolderId("bench".to_owned()),
            lease: Duration::from_secs(10),
            adopt: false,
            retention: Duration::from_secs(3600),
            events_kept: told.events_kept(),
        },
        hooks: told.hooks(&mut registry),
        fleet: None,
    };
    let (stop, stopping) = watch::channel(false);
    let following = tokio::spawn({
        let stopping = stopping.clone();
        async move { follower.run(stopping).await }
    });
    let (started, cpu) = (Instant::now(), cpu_time());
    let running = tokio::spawn(run_lane(Arc::new(context), stopping));
    let mut confirmed = 0;
    while confirmed < REQUESTS && started.elapsed() < RUN_MAX {
        sleep(BLOCK).await;
        chain.mine();
        let entry = store
            .get(&lane, &key::SUMMARY.into())
            .await
            .expect("the store answers");
        confirmed = entry.map_or(0, |entry| {
            let summary: SummaryRecord = decode(&entry.value).expect("a summary");
            summary.counts[TxStatus::Confirmed as usize]
        });
    }
    let (wall, cpu) = (started.elapsed(), cpu_time() - cpu);
    stop.send_replace(true);
    running.await.expect("the lane ends well");
    following.await.expect("the follower ends well");
    Figures {
        confirmed,
        wall,
        cpu,
    }
}

async fn accept(store: &MemoryStore, relayer: &Relayer, now: Timestamp) {
    for number in 1..=REQUESTS {
        let record = request(number, now);
        let id = record.id;
        let mut batch = Batch::new(relayer.lane());
        batch
            .puts
            .push((key::request(id).into(), encode(&record).into()));
        batch
            .appends
            .push(encode(&InboxRecord::Accept { id }).into());
        store.commit(batch).await.expect("the store takes it");
    }
}

fn request(number: u64, now: Timestamp) -> RequestRecord {
    let spec = TxSpec {
        call: Call {
            to: Some(Address::left_padding_from(&number.to_be_bytes())),
            value: U256::from(1),
            data: Bytes::new(),
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

fn profile(in_flight_max: u32) -> ChainProfile {
    ChainProfile {
        name: "bench".to_owned(),
        chain_id: chain::CHAIN_ID,
        required_confirmations: 1,
        average_block_time_ms: 100,
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

fn relayer(network: Network, account: Address) -> Relayer {
    Relayer {
        id: RelayerId::new("bench").expect("a good id"),
        name: "bench".to_owned(),
        network,
        paused: false,
        policy: EvmPolicy::default(),
        policy_given: false,
        signer_ids: vec!["bench".to_owned()],
        accounts: vec![account],
        notification_id: None,
        custom_rpc_urls: Vec::new(),
    }
}

/// CPU time of the whole process.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}
