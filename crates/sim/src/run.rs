//! One run: a world, its processes, and the order in which they move.

use std::sync::{Arc, Mutex};

use baton_engine::driver::LaneState;
use baton_model::{RelayerId, U256};

use crate::callers::{Action, RELAYER};
use crate::chain::{BASE_FEE, Flavour, Kind, PooledTx};
use crate::coverage::Coverage;
use crate::fault::Fault;
use crate::gate::{Halt, lock};
use crate::history::History;
use crate::logs;
use crate::plan::Plan;
use crate::process::Process;
use crate::world::{RICH, Shared, World};

/// How often the world rolls its dice about what happens by itself, in milliseconds.
const WEATHER_MS: u64 = 500;

/// How long a world without faults may take to settle, in milliseconds: what waits longest is a retry after half a
/// minute without answers, some times over, and the deepest finality.
const SETTLE_MS: u64 = 30 * 60_000;

/// How long an ordered stop may take, in milliseconds; then the process is killed.
const STOP_MS: u64 = 15_000;

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its seed.
    pub seed: u64,
    /// Which promise was broken; `None` when none was.
    pub failure: Option<String>,
    /// What happened; empty unless it was asked for.
    pub trace: String,
    /// How often what happened.
    pub coverage: Coverage,
    /// How long it took in the world, in milliseconds.
    pub simulated_ms: u64,
}

/// Runs a seed. With `traced` everything that happens is written down.
pub fn run(seed: u64, traced: bool) -> Outcome {
    let plan = Plan::draw(seed);
    let lane = RelayerId::new(RELAYER).expect("a fine id").lane();
    let world: Shared = Arc::new(Mutex::new(World::new(plan, lane, traced)));
    let logs = logs::listen(&world, traced);
    let mut run = Run::new(Arc::clone(&world));
    run.live();
    drop(logs);
    drop(run);
    let mut world = lock(&world);
    Outcome {
        seed,
        failure: world.failure.take(),
        trace: world.take_trace(),
        coverage: std::mem::take(&mut world.coverage),
        simulated_ms: world.now_ms,
    }
}

/// A world that is under way.
struct Run {
    world: Shared,
    /// One place for each replica.
    replicas: Vec<Replica>,
    /// Processes that were ever started.
    started: usize,
    history: History,
    block_at_ms: u64,
    weather_at_ms: u64,
    /// When the base fee is ordinary again.
    spike_until_ms: u64,
    adopt: bool,
}

/// A place where a process runs, or will.
enum Replica {
    Up(Box<Process>),
    /// Starts again at this time, in milliseconds.
    Down(u64),
}

impl Run {
    fn new(world: Shared) -> Self {
        let (replicas, adopt, block_ms) = {
            let world = lock(&world);
            let plan = &world.plan;
            (
                plan.replicas,
                plan.adopt && plan.needs_operator(),
                plan.block_ms,
            )
        };
        Self {
            replicas: (0..replicas).map(|_| Replica::Down(0)).collect(),
            world,
            started: 0,
            history: History::default(),
            block_at_ms: block_ms,
            weather_at_ms: 0,
            spike_until_ms: 0,
            adopt,
        }
    }

    fn live(&mut self) {
        let (faults_ms, quantum_ms) = {
            let world = lock(&self.world);
            (world.plan.faults_ms, world.plan.quantum_ms)
        };
        let mut now_ms = 0;
        while now_ms < faults_ms && !self.failed() {
            now_ms += quantum_ms;
            self.advance(now_ms);
        }
        self.heal();
        let end_ms = now_ms + SETTLE_MS;
        while !self.failed() {
            now_ms += quantum_ms;
            self.advance(now_ms);
            let unsettled = self.unsettled();
            let Some(unsettled) = unsettled else { break };
            if now_ms > end_ms {
                lock(&self.world).fail(format!("the world does not settle: {unsettled}"));
            }
        }
        if !self.failed() {
            lock(&self.world).check_settled();
        }
    }

    fn failed(&self) -> bool {
        lock(&self.world).failure.is_some()
    }

    /// Moves everything on to a time.
    fn advance(&mut self, now_ms: u64) {
        lock(&self.world).set_time(now_ms);
        self.deliver(now_ms);
        if now_ms >= self.weather_at_ms {
            self.weather_at_ms = now_ms + WEATHER_MS;
            self.weather(now_ms);
        }
        if now_ms >= self.block_at_ms {
            self.make_block(now_ms);
        }
        self.start_replicas(now_ms);
        self.let_callers_act(now_ms);
        for index in 0..self.replicas.len() {
            self.step(index, now_ms);
        }
    }

    fn step(&mut self, index: usize, now_ms: u64) {
        let Replica::Up(process) = &mut self.replicas[index] else {
            return;
        };
        if let Halt::Frozen(until_ms) = process.gate.halt() {
            if now_ms < until_ms {
                return;
            }
            let number = process.gate.process;
            {
                let mut world = lock(&self.world);
                world.watch.thawed_ms.insert(number, now_ms);
                world.say(Some(number), || "goes on".to_owned());
            }
            process.thaw();
        }
        process.step(now_ms);
        let stopped = process
            .stopping_ms
            .is_some_and(|at_ms| now_ms > at_ms + STOP_MS);
        if process.gate.halt() == Halt::Dead || stopped {
            let number = process.gate.process;
            let pause = {
                let mut world = lock(&self.world);
                world.callers.forget_process(number, now_ms);
                world.rng.below(15_000)
            };
            // Its tasks end here, outside of the world's lock.
            self.replicas[index] = Replica::Down(now_ms + pause);
        }
    }

    fn start_replicas(&mut self, now_ms: u64) {
        for index in 0..self.replicas.len() {
            let Replica::Down(at_ms) = self.replicas[index] else {
                continue;
            };
            if at_ms <= now_ms {
                let number = self.started;
                self.started += 1;
                lock(&self.world).say(Some(number), || "starts".to_owned());
                let process = Process::start(&self.world, number, self.adopt);
                self.replicas[index] = Replica::Up(Box::new(process));
            }
        }
    }

    /// Delivers what was under way.
    fn deliver(&mut self, now_ms: u64) {
        let mut world = lock(&self.world);
        let late = std::mem::take(&mut world.late_commits);
        for (at_ms, batch) in late {
            if at_ms > now_ms {
                world.late_commits.push((at_ms, batch));
            } else {
                // Whoever sent it does not hear of it any more.
                let _: Result<_, _> = world.commit(None, &batch);
            }
        }
        let late = std::mem::take(&mut world.late_offers);
        for (at_ms, node, tx) in late {
            if at_ms > now_ms {
                world.late_offers.push((at_ms, node, tx));
            } else {
                world.say(None, || format!("{} reaches node {node} at last", tx.hash));
                // Whoever sent it does not hear of it any more.
                let _: Result<_, _> = world.chain.offer(node, tx);
            }
        }
        self.history.note(&world);
    }

    fn make_block(&mut self, now_ms: u64) {
        let mut world = lock(&self.world);
        self.block_at_ms = now_ms + world.plan.block_ms;
        let world = &mut *world;
        if now_ms >= self.spike_until_ms {
            let drift = u128::from(world.rng.within(&(90..=110)));
            world.chain.base_fee = BASE_FEE * drift / 100;
        }
        let told = world.faulty;
        world.chain.gossip(|| !told || world.rng.percent(80));
        let skip = if world.faulty {
            world.plan.skip_percent
        } else {
            0
        };
        world.chain.mine(skip, &mut world.rng);
        world.chain.sync(now_ms);
        world.chain.drop_unpaid();
        describe_head(world);
        world.check_executed_once();
        self.announce(world);
    }

    fn announce(&self, world: &mut World) {
        let head = world.chain.head_of(world.chain.best());
        for replica in &self.replicas {
            let Replica::Up(process) = replica else {
                continue;
            };
            if world.strikes(Fault::HeadMissed) {
                continue;
            }
            if world.strikes(Fault::HeadBack) {
                let node = world.rng.index(world.chain.nodes.len());
                process.announce(world.chain.head_of(node));
            } else {
                process.announce(head);
            }
        }
    }

    fn let_callers_act(&self, now_ms: u64) {
        let due = lock(&self.world).callers.due(now_ms);
        let up: Vec<&Process> = self
            .replicas
            .iter()
            .filter_map(|replica| match replica {
                Replica::Up(process) if process.stopping_ms.is_none() => Some(&**process),
                Replica::Up(_) | Replica::Down(_) => None,
            })
            .collect();
        for action in due {
            if up.is_empty() {
                continue;
            }
            let process = up[lock(&self.world).rng.index(up.len())];
            if let Action::Send(index) = action {
                let mut world = lock(&self.world);
                world.callers.asked(index, process.gate.process, now_ms);
            }
            process.call(&self.world, action);
        }
    }

    /// What happens by itself.
    fn weather(&mut self, now_ms: u64) {
        let mut world = lock(&self.world);
        let world = &mut *world;
        for node in 0..world.chain.nodes.len() {
            if world.strikes(Fault::NodeRestarted) {
                world.chain.nodes[node].pool.clear();
            }
            if world.strikes(Fault::NodeStuck) {
                let blocks = world.rng.within(&(1..=10));
                world.chain.nodes[node].stuck_until_ms = now_ms + blocks * world.plan.block_ms;
            }
        }
        if world.strikes(Fault::FeeSpike) {
            world.chain.base_fee = BASE_FEE * 10;
            self.spike_until_ms = now_ms + world.rng.within(&(2_000..=40_000));
        }
        if world.strikes(Fault::PoolCrowded) {
            world.chain.crowd();
        } else if world.rng.percent(10) {
            world.chain.pools.crowded = false;
        }
        if world.strikes(Fault::PriceFloor) {
            world.chain.pools.tip_floor = u128::from(world.rng.within(&(1..=50_000_000)));
        } else if world.rng.percent(5) {
            world.chain.pools.tip_floor = 0;
        }
        if world.strikes(Fault::Reorg) {
            reorganise(world, now_ms);
            self.announce(world);
        }
        if world.strikes(Fault::FundsGone) {
            let account = world.accounts[world.rng.index(world.accounts.len())];
            world
                .chain
                .fund(account, U256::from(world.rng.below(1_000_000)));
        } else if world.rng.percent(4) && (world.plan.poor || world.plan.rate(Fault::FundsGone) > 0)
        {
            top_up(world);
        }
        if world.strikes(Fault::ForeignUse) {
            use_key(world);
        }
        if world.strikes(Fault::StoreRolledBack) {
            self.history.roll_back(world);
        }
        for replica in &mut self.replicas {
            if let Replica::Up(process) = replica
                && process.stopping_ms.is_none()
                && world.strikes(Fault::Stop)
            {
                process.stop(now_ms);
            }
        }
    }

    /// Nothing goes wrong any more.
    fn heal(&mut self) {
        let restart = {
            let mut world = lock(&self.world);
            let world = &mut *world;
            world.say(None, || "faults end".to_owned());
            world.faulty = false;
            world.chain.base_fee = BASE_FEE;
            world.chain.pools.crowded = false;
            world.chain.pools.tip_floor = 0;
            for node in &mut world.chain.nodes {
                node.stuck_until_ms = 0;
                // Whoever shares the key stops using it, and what reserves the account for blobs goes.
                node.pool.retain(|tx| tx.kind == Kind::Plain);
            }
            for account in world.accounts.clone() {
                world.chain.fund(account, U256::from(RICH));
            }
            world.plan.needs_operator() && !self.adopt
        };
        self.spike_until_ms = 0;
        if restart {
            // A person has looked, and says that what is not Baton's is to be skipped.
            self.adopt = true;
            for replica in &mut self.replicas {
                if let Replica::Up(process) = replica {
                    let now_ms = {
                        let mut world = lock(&self.world);
                        let now_ms = world.now_ms;
                        world.callers.forget_process(process.gate.process, now_ms);
                        now_ms
                    };
                    *replica = Replica::Down(now_ms);
                }
            }
        }
    }

    fn unsettled(&self) -> Option<String> {
        let unsettled = lock(&self.world).unsettled();
        unsettled.or_else(|| {
            let running = self.replicas.iter().any(|replica| match replica {
                Replica::Up(process) => process.state() == LaneState::Running,
                Replica::Down(_) => false,
            });
            (!running).then(|| "no process runs the lane without an alarm".to_owned())
        })
    }
}

fn reorganise(world: &mut World, now_ms: u64) {
    let depth = world.rng.within(&(1..=12));
    let grow = world.rng.within(&(0..=depth + 1));
    let rate = world.plan.rate(Fault::ReorgLoses);
    let (mut lost, mut rng) = (0, world.rng.clone());
    let replaced = world.chain.reorganise(depth, grow, || {
        let loses = rate > 0 && rng.permille(rate);
        lost += usize::from(loses);
        loses
    });
    world.rng = rng;
    for _ in 0..lost {
        world.coverage.fault(Fault::ReorgLoses);
    }
    world.chain.sync(now_ms);
    world.say(None, || {
        format!("{replaced} blocks replaced by {grow}, {lost} transactions lost")
    });
    describe_head(world);
    world.check_executed_once();
}

fn describe_head(world: &mut World) {
    let head = world.chain.blocks.head();
    let block = world.chain.blocks.get(head);
    let executed: Vec<(u64, String)> = block
        .executed
        .iter()
        .map(|executed| (executed.tx.tx.nonce, executed.tx.hash.to_string()))
        .collect();
    let states: Vec<String> = world
        .accounts
        .iter()
        .map(|account| block.state(*account))
        .map(|state| format!("nonce {} {} wei", state.nonce, state.balance))
        .collect();
    let (number, base_fee) = (block.number, world.chain.base_fee);
    let states = states.join(", ");
    world.say(None, || {
        format!("block {number} at {base_fee}: {executed:?}; {states}")
    });
}

fn top_up(world: &mut World) {
    for account in world.accounts.clone() {
        let head = world.chain.blocks.head();
        let balance = world.chain.blocks.state(head, account).balance;
        let more = U256::from(25_000) * U256::from(BASE_FEE * 30);
        world.chain.fund(account, balance + more);
    }
}

/// Somebody else sends from an account of the lane.
fn use_key(world: &mut World) {
    let account = world.accounts[0];
    let node = world.chain.best();
    let head = world.chain.nodes[node].head;
    let mined = world.chain.blocks.state(head, account).nonce;
    let nonce = world.chain.nodes[node].pool.pending(account, mined);
    let kind = if world.chain.flavour == Flavour::Geth && world.rng.percent(20) {
        Kind::Blob
    } else {
        Kind::Plain
    };
    let salt = world.rng.next();
    let tx = PooledTx::foreign(account, nonce, salt, kind);
    world.say(None, || format!("foreign {} uses nonce {nonce}", tx.hash));
    // A node may refuse it; then nothing happened.
    let _: Result<_, _> = world.chain.offer(node, tx);
}
