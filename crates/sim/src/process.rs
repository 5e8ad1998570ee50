//! One process: the real service and the real driver on a runtime of their own, whose clock moves only when the world
//! lets it. Dropping the runtime is its death, wherever its tasks are.

use std::sync::Arc;
use std::time::Duration;

use baton_coord::HolderId;
use baton_engine::driver::{
    DriverMetrics, DriverOptions, Follower, LaneContext, LaneState, LaneStatus, run_lane,
};
use baton_engine::service::{Service, ServiceOptions};
use baton_engine::{Network, Relayer, SharedClock, SharedStore};
use baton_model::{EvmPolicy, RelayerId};
use baton_vault::Signer;
use prometheus_client::registry::Registry;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use uuid::Uuid;

use crate::callers::{self, Action, RELAYER};
use crate::chain::SimChain;
use crate::gate::{Gate, Halt, lock};
use crate::signer::SimSigner;
use crate::store::SimStore;
use crate::world::Shared;

/// Millionths by which a process's clock may be fast or slow: within what a lease's margin allows for.
const DRIFT_PPM: u64 = 40_000;
/// How far wall clocks may differ, in milliseconds.
const SKEW_MS: u64 = 4_000;

/// One process.
pub(crate) struct Process {
    runtime: Runtime,
    pub(crate) gate: Arc<Gate>,
    chain: Arc<SimChain>,
    service: Arc<Service>,
    status: Arc<LaneStatus>,
    stop_lane: watch::Sender<bool>,
    stop_follower: watch::Sender<bool>,
    rate_ppm: u64,
    /// When it was told to stop, in milliseconds of the world.
    pub(crate) stopping_ms: Option<u64>,
    /// Whether its clock has to catch up with the world's: it has stood still.
    jumps: bool,
}

impl Process {
    /// Starts process number `number` in this world.
    pub(crate) fn start(world: &Shared, number: usize, adopt: bool) -> Self {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime without I/O can be built");
        let entered = runtime.enter();
        let (rate_ppm, skew_ms) = clock(world);
        let gate = Arc::new(Gate::new(world, number, skew_ms));
        let head = {
            let world = lock(world);
            world.chain.head_of(world.chain.best())
        };
        let chain = Arc::new(SimChain::new(Arc::clone(&gate), head));
        let store: SharedStore = Arc::new(SimStore {
            inner: lock(world).store.clone(),
            gate: Arc::clone(&gate),
        });
        let relayer = relayer(world, &chain);
        let clock: SharedClock = gate.clone();
        let service = Arc::new(Service::fixed(
            Arc::clone(&store),
            vec![relayer.clone()],
            Arc::clone(&clock),
            ids(&gate),
            ServiceOptions::default(),
        ));
        let status = status(&relayer);
        let follower = Arc::new(Follower::new(&relayer.network));
        let (lease, retention) = {
            let world = lock(world);
            (world.plan.lease, world.plan.retention)
        };
        let context = LaneContext {
            signers: signers(&relayer, &gate),
            relayer,
            store,
            clock,
            follower: Arc::clone(&follower),
            status: Arc::clone(&status),
            options: DriverOptions {
                pace: Duration::ZERO,
                holder: HolderId(format!("p{number}")),
                lease,
                adopt,
                retention,
                events_kept: 1000,
            },
            hooks: None,
            fleet: None,
        };
        // Two, so that it does not matter which of those who wait is woken first.
        let (stop_lane, lane_stops) = watch::channel(false);
        let (stop_follower, follower_stops) = watch::channel(false);
        runtime.spawn(async move { follower.run(follower_stops).await });
        runtime.spawn(run_lane(Arc::new(context), lane_stops));
        drop(entered);
        Self {
            runtime,
            gate,
            chain,
            service,
            status,
            stop_lane,
            stop_follower,
            rate_ppm,
            stopping_ms: None,
            jumps: false,
        }
    }

    /// Runs until its own clock shows this time of the world, or it halts.
    pub(crate) fn step(&mut self, now_ms: u64) {
        let end = self.gate.local(now_ms, self.rate_ppm);
        let jumps = std::mem::take(&mut self.jumps);
        let gate = Arc::clone(&self.gate);
        self.runtime.block_on(async move {
            if jumps {
                // The time has passed for its tasks before any of them goes on.
                let behind = end.saturating_duration_since(tokio::time::Instant::now());
                tokio::time::advance(behind.saturating_sub(Duration::from_millis(1))).await;
            }
            gate.run_until(end).await;
        });
    }

    /// Lets it go on after it stood still.
    pub(crate) fn thaw(&mut self) {
        self.jumps = true;
        self.gate.set(Halt::Running);
    }

    /// Tells it to stop, as a signal does.
    pub(crate) fn stop(&mut self, now_ms: u64) {
        self.stopping_ms = Some(now_ms);
        self.stop_lane.send_replace(true);
        self.stop_follower.send_replace(true);
    }

    /// Announces the head that a node sees.
    pub(crate) fn announce(&self, head: baton_chain::HeadRef) {
        self.chain.heads.send_replace(Some(head));
    }

    /// Lets a caller ask it.
    pub(crate) fn call(&self, world: &Shared, action: Action) {
        let (gate, service) = (Arc::clone(&self.gate), Arc::clone(&self.service));
        match action {
            Action::Send(index) => {
                let request = lock(world).callers.calls[index].request.clone();
                self.runtime
                    .spawn(callers::send(gate, service, index, request));
            }
            Action::Cancel(_, id) => {
                self.runtime.spawn(callers::cancel(gate, service, id));
            }
            Action::Replace(index, id) => {
                let request = lock(world).callers.calls[index].request.clone();
                self.runtime
                    .spawn(callers::replace(gate, service, index, request, id));
            }
        }
    }

    /// What its lane shows.
    pub(crate) fn state(&self) -> LaneState {
        self.status.state()
    }
}

/// How fast its clock goes, in millionths, and how far it is ahead, in milliseconds.
fn clock(world: &Shared) -> (u64, i64) {
    let mut world = lock(world);
    if !world.plan.skewed {
        return (1_000_000, 0);
    }
    let rate = world
        .rng
        .within(&(1_000_000 - DRIFT_PPM..=1_000_000 + DRIFT_PPM));
    let skew = i64::try_from(world.rng.below(2 * SKEW_MS)).expect("a few seconds");
    (rate, skew - SKEW_MS.cast_signed())
}

fn relayer(world: &Shared, chain: &Arc<SimChain>) -> Relayer {
    let world = lock(world);
    Relayer {
        id: RelayerId::new(RELAYER).expect("a fine id"),
        name: RELAYER.to_owned(),
        network: Network {
            profile: world.plan.profile.clone(),
            chain: chain.clone(),
        },
        paused: false,
        policy: EvmPolicy {
            gas_price_cap: world.plan.gas_price_cap,
            ..EvmPolicy::default()
        },
        policy_given: true,
        signer_ids: world.accounts.iter().map(ToString::to_string).collect(),
        accounts: world.accounts.clone(),
        notification_id: None,
        custom_rpc_urls: Vec::new(),
    }
}

fn status(relayer: &Relayer) -> Arc<LaneStatus> {
    let metrics = DriverMetrics::new(&mut Registry::default());
    Arc::new(LaneStatus::new(relayer.id.clone(), metrics))
}

fn signers(relayer: &Relayer, gate: &Arc<Gate>) -> Vec<Arc<dyn Signer>> {
    let signers = relayer.accounts.iter().map(|address| {
        let gate = Arc::clone(gate);
        let address = *address;
        Arc::new(SimSigner { address, gate }) as Arc<dyn Signer>
    });
    signers.collect()
}

/// Ids from the seed.
fn ids(gate: &Arc<Gate>) -> Arc<dyn Fn() -> Uuid + Send + Sync> {
    let gate = Arc::clone(gate);
    Arc::new(move || {
        let mut world = gate.world();
        let (high, low) = (world.rng.next(), world.rng.next());
        uuid::Builder::from_random_bytes((u128::from(high) << 64 | u128::from(low)).to_be_bytes())
            .into_uuid()
    })
}
