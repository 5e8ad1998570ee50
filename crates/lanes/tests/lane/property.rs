//! Random worlds: whatever happens in whatever order, the invariants hold after every step, and in the end every
//! accepted request was executed once or its recorded end is true on the chain.

use baton_lanes::Input;
use baton_model::{Mempool, Pricing, RequestId, Speed, Timestamp, TxSpec, U256};

use crate::model::chain::{self, POISON, REVERTING, SignedTx};
use crate::model::{RICH, Setup, World};

/// Random worlds of each kind: every combination of [`setup`] at least once.
const RUNS: u64 = 180;
const ROLLBACK_RUNS: u64 = 72;
/// Steps in each before everything is mended and has to end.
const STEPS: u64 = 400;
/// Blocks in which everything has to end once nothing is broken.
const BLOCKS_TO_END: u64 = 400;

/// What may go wrong in a world.
#[derive(Clone, Copy, Debug)]
struct Hazards {
    foreign: bool,
    reorgs: bool,
    evictions: bool,
    rollbacks: bool,
}

#[test]
fn every_invariant_holds_in_random_worlds() {
    for seed in 0..RUNS {
        let hazards = Hazards {
            foreign: false,
            reorgs: seed % 3 != 0,
            evictions: true,
            rollbacks: false,
        };
        Run::new(seed, hazards).go();
    }
}

#[test]
fn every_invariant_holds_where_others_use_the_key() {
    for seed in 0..RUNS {
        let hazards = Hazards {
            foreign: true,
            reorgs: seed % 3 != 1,
            evictions: true,
            rollbacks: false,
        };
        Run::new(500_000 + seed, hazards).go();
    }
}

#[test]
fn a_rolled_back_store_never_makes_a_request_execute_twice() {
    for seed in 0..ROLLBACK_RUNS {
        let hazards = Hazards {
            foreign: false,
            reorgs: false,
            evictions: false,
            rollbacks: true,
        };
        Run::new(1_000_000 + seed, hazards).go();
    }
}

fn setup(seed: u64) -> Setup {
    let pick = |of: u64, shift: u64| (seed / shift) % of;
    Setup {
        accounts: if pick(2, 1) == 0 { 1 } else { 3 },
        cap: [1, 4, 16][usize::try_from(pick(3, 2)).unwrap_or(0)],
        confirmations: [1, 3, 12][usize::try_from(pick(3, 6)).unwrap_or(0)],
        eip1559: pick(2, 18) == 0,
        mempool: if pick(3, 36) == 2 {
            Mempool::None
        } else {
            Mempool::Public
        },
        gas_price_cap: (seed % 5 == 4).then_some(40_000),
    }
}

struct Run {
    world: World,
    hazards: Hazards,
    accepted: Vec<RequestId>,
    calls: u64,
    seed: u64,
}

/// Says which seed failed, so that it can be run alone.
impl Drop for Run {
    #[expect(clippy::print_stdout, reason = "what a failed test says")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("failed with seed {} and {:?}", self.seed, self.hazards);
        }
    }
}

impl Run {
    fn new(seed: u64, hazards: Hazards) -> Self {
        let mut setup = setup(seed);
        if hazards.rollbacks {
            setup.mempool = Mempool::Public;
        }
        let mut world = World::new(&setup, seed);
        world.faults.lies = [0, 4, 10][usize::try_from(seed % 3).unwrap_or(0)];
        Self {
            world,
            hazards,
            accepted: Vec::new(),
            calls: 0,
            seed,
        }
    }

    fn go(mut self) {
        for _ in 0..STEPS {
            self.step();
        }
        self.mend();
        self.end();
    }

    fn step(&mut self) {
        let world = &mut self.world;
        world.now += world.rng.below(120);
        match world.rng.below(1000) {
            0..250 => self.execute(),
            250..480 => self.deliver(),
            480..600 => {
                let lost = world.rng.percent(5);
                world.commit(lost);
            }
            600..680 => {
                world.tell_event();
            }
            680..760 => {
                world.read_inbox();
            }
            760..820 => world.feed(Input::Tick),
            820..880 => {
                let skip = world.rng.below(40);
                world.mine(skip);
            }
            880..930 => self.accept(),
            930..950 => self.command(),
            950..965 => self.weather(),
            965..985 => self.disturb(),
            985..992 => self.restart(),
            _ => self.outage(),
        }
    }

    fn execute(&mut self) {
        let world = &mut self.world;
        if !world.orphans.is_empty() && world.rng.percent(20) {
            let index = world.rng.index(world.orphans.len());
            let raw = world.orphans.remove(index);
            // Nobody hears what the node says to it.
            let _: Result<(), baton_lanes::Verdict> = world.chain.submit(&raw);
            return;
        }
        if !world.tasks.is_empty() {
            // Mostly in order, as a driver would.
            let near = world.tasks.len().min(4);
            let index = world.rng.index(near);
            world.execute(index);
        }
    }

    fn deliver(&mut self) {
        let world = &mut self.world;
        if !world.answers.is_empty() {
            let index = world.rng.index(world.answers.len());
            world.deliver(index);
        }
    }

    fn spec(&mut self) -> TxSpec {
        let rng = &mut self.world.rng;
        self.calls += 1;
        let kind = match rng.below(100) {
            0..4 => REVERTING,
            4..7 => POISON,
            7..10 => 0xcc,
            _ => 1,
        };
        let value = if rng.percent(5) {
            RICH / 3
        } else {
            rng.below(9)
        };
        let gas_limit = match rng.below(100) {
            0..60 => None,
            60..62 => Some(40_000_000),
            _ => Some(21_000 + rng.below(9_000) + 200),
        };
        let price = 500 + u128::from(rng.below(20_000));
        let pricing = match rng.below(10) {
            0 => Pricing::Legacy { gas_price: price },
            1 if self.world.chain.eip1559 => Pricing::Eip1559 {
                max_fee: price,
                max_priority_fee: price / 10,
            },
            2 => Pricing::Speed(Speed::SafeLow),
            3 => Pricing::Speed(Speed::Fastest),
            _ => Pricing::Speed(Speed::Fast),
        };
        let rng = &mut self.world.rng;
        let valid_for = if rng.percent(8) {
            rng.below(20_000)
        } else {
            1_000_000_000
        };
        TxSpec {
            call: chain::call(kind, self.calls, value),
            gas_limit,
            pricing,
            valid_until: Timestamp::from_millis(self.world.now + valid_for),
        }
    }

    fn accept(&mut self) {
        for _ in 0..=self.world.rng.below(3) {
            let spec = self.spec();
            let id = self.world.accept(spec);
            self.accepted.push(id);
        }
    }

    fn command(&mut self) {
        if self.accepted.is_empty() {
            return;
        }
        let index = self.world.rng.index(self.accepted.len());
        let id = self.accepted[index];
        if self.world.rng.percent(50) {
            self.world.cancel(id);
            return;
        }
        let mut spec = self.spec();
        if self.world.rng.percent(50) {
            spec.pricing = Pricing::Speed(Speed::Fastest);
        }
        self.world.replace(id, spec);
    }

    /// The market, pools and balances change.
    fn weather(&mut self) {
        let world = &mut self.world;
        let account = world.config.accounts[world.rng.index(world.config.accounts.len())];
        match world.rng.below(10) {
            0..4 => {
                let factor = 50 + u128::from(world.rng.below(150));
                world.chain.base_fee = (world.chain.base_fee * factor / 100).clamp(50, 200_000);
            }
            4 => world.chain.base_fee = (world.chain.base_fee * 8).min(200_000),
            5 => world.chain.base_fee = 1_000,
            6 => world.chain.tip_floor = 1 + u128::from(world.rng.below(300)),
            7 if self.hazards.evictions => world.chain.pool_full = world.rng.percent(50),
            8 => world
                .chain
                .fund(account, U256::from(world.rng.below(5_000_000_000))),
            _ => world.chain.fund(account, U256::from(RICH)),
        }
    }

    /// Pools forget, blocks are taken back, others use the key.
    fn disturb(&mut self) {
        let world = &mut self.world;
        match world.rng.below(6) {
            0 if self.hazards.evictions => world.chain.pool.clear(),
            1 | 2 if self.hazards.evictions && !world.chain.pool.is_empty() => {
                let index = world.rng.index(world.chain.pool.len());
                let key = world.chain.pool.keys().nth(index).copied();
                world
                    .chain
                    .pool
                    .remove(&key.expect("an index below the length"));
            }
            3 | 4 if self.hazards.reorgs => {
                let depth = 1 + world.rng.below(world.chain.confirmations);
                let lose = [0, 50, 100][world.rng.index(3)];
                world.reorg(depth, lose);
            }
            5 if self.hazards.foreign => self.foreign(),
            _ => {}
        }
    }

    fn foreign(&mut self) {
        let world = &mut self.world;
        self.calls += 1;
        let account = world.config.accounts[world.rng.index(world.config.accounts.len())];
        let nonce = if world.rng.percent(50) {
            world.chain.state(account).nonce
        } else {
            world.chain.pending_nonce(account)
        };
        let price = world.chain.base_fee * 30;
        let tx = baton_model::UnsignedTx {
            chain_id: 31_337,
            nonce,
            gas_limit: 50_000,
            fees: baton_model::Fees::Legacy { gas_price: price },
            call: chain::call(0xff, self.calls, 1),
        };
        let signed = chain::sign(account, tx);
        let tx = SignedTx::decode(&signed.raw);
        world.chain.pool.insert((account, nonce), tx);
    }

    fn restart(&mut self) {
        let world = &mut self.world;
        let stopped = world.lane.accounts().any(|a| !a.ready) && world.lane.is_reconciled();
        let adopt =
            (stopped && self.hazards.foreign && world.rng.percent(50)) || world.config.adopt;
        if !self.hazards.rollbacks {
            world.faults.poolless = world.rng.percent(30);
            world.restart(adopt);
            return;
        }
        if world.snapshots.len() < 12 {
            world.snapshots.push(world.store.clone());
        }
        if world.rng.percent(60) {
            return;
        }
        for raw in std::mem::take(&mut world.orphans) {
            // Nobody hears what the node says to it.
            let _: Result<(), baton_lanes::Verdict> = world.chain.submit(&raw);
        }
        // What a pool keeps behind a gap cannot be counted, so nothing can be known of it.
        let whole = world
            .chain
            .pool
            .keys()
            .all(|(account, nonce)| *nonce < world.chain.pending_nonce(*account));
        let snapshot = world.snapshots.pop();
        if let Some(snapshot) = snapshot.filter(|_| whole) {
            world.roll_back_store(snapshot);
            world.orphans.clear();
        }
    }

    fn outage(&mut self) {
        let world = &mut self.world;
        match world.rng.below(3) {
            0 => world.faults.nodes_down = !world.faults.nodes_down,
            1 => world.faults.signers_down = !world.faults.signers_down,
            _ => world.faults.blind = !world.faults.blind,
        }
    }

    fn mend(&mut self) {
        let world = &mut self.world;
        world.faults = crate::model::Faults::default();
        world.chain.base_fee = 40;
        world.chain.tip_floor = 1;
        world.chain.pool_full = false;
    }

    fn end(&mut self) {
        let world = &mut self.world;
        for _ in 0..BLOCKS_TO_END {
            for account in world.config.accounts.clone() {
                world.chain.fund(account, U256::from(RICH));
            }
            world.blocks(1);
            if world.lane.requests().next().is_none() && world.store.inbox.is_empty() {
                break;
            }
            let stopped = world.lane.accounts().any(|a| !a.ready);
            if stopped && world.lane.is_reconciled() && !world.config.adopt {
                assert!(self.hazards.foreign, "stopped by {:?}", world.lane.alarms());
                world.restart(true);
            }
        }
        world.run();
        world.check_all_ended();
    }
}
