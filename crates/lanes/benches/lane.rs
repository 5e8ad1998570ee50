//! What one core does with one lane: requests from acceptance to confirmation, answers while much is open, restarts.
//!
//! The environment answers at once and costs as little as it can: what is measured is the engine.

use std::time::Duration;

use alloy_primitives::keccak256;
use baton_lanes::record::{ReceiptRecord, RequestRecord, SlotRecord, decode, key};
use baton_lanes::{
    AccountInput, Answer, BlockInput, Command, Input, Lane, LaneConfig, MarketView, Output,
    Restored, Signed, Survey, SurveyedAccount, Timing,
};
use baton_model::{
    Address, B256, Bytes, Call, ChainProfile, EvmPolicy, Mempool, Pricing, RequestId, Speed,
    Timestamp, TxSpec, TxStatus, U256,
};
use divan::Bencher;
use divan::counter::ItemsCount;

const OPEN: u64 = 10_000;
const ACCOUNT: Address = Address::repeat_byte(0xa0);

fn main() {
    divan::main();
}

/// Requests that are accepted, bound, signed, committed, offered, mined and settled.
#[divan::bench(sample_count = 10)]
fn slots_opened_and_settled(bencher: Bencher) {
    bencher
        .counter(ItemsCount::new(OPEN))
        .with_inputs(|| World::new(1_000))
        .bench_values(|mut world| {
            for from in (0..OPEN).step_by(1_000) {
                for index in from..from + 1_000 {
                    world.accept(index);
                }
                world.run();
                world.mine();
            }
            assert_eq!(world.lane.requests().count(), 0);
        });
}

/// Answers of nodes while ten thousand slots are open and as many requests wait.
#[divan::bench(sample_count = 10)]
fn answers_with_10k_open_slots(bencher: Bencher) {
    bencher
        .counter(ItemsCount::new(OPEN))
        .with_inputs(|| World::full(2 * OPEN).0)
        .bench_values(|mut world| {
            let hashes = world.hashes.clone();
            for (nonce, hash) in hashes {
                let answers = vec![Answer::Unknown];
                world.feed(Input::Answered {
                    account: ACCOUNT,
                    nonce,
                    hash,
                    answers,
                });
            }
        });
}

/// Acceptances while ten thousand slots are open and none can be bound.
#[divan::bench(sample_count = 10)]
fn acceptances_with_10k_open_slots(bencher: Bencher) {
    bencher
        .counter(ItemsCount::new(OPEN))
        .with_inputs(|| World::full(OPEN).0)
        .bench_values(|mut world| {
            for index in 0..OPEN {
                world.accept(OPEN + index);
            }
        });
}

/// A quiet tick with ten thousand open slots.
#[divan::bench(sample_count = 100)]
fn tick_with_10k_open_slots(bencher: Bencher) {
    let (mut world, _) = World::full(OPEN);
    bencher.counter(ItemsCount::new(1_u64)).bench_local(|| {
        world.feed(Input::Tick);
    });
}

/// A block in which nothing of ten thousand open slots is mined.
#[divan::bench(sample_count = 100)]
fn block_with_10k_open_slots(bencher: Bencher) {
    let (mut world, _) = World::full(OPEN);
    bencher.counter(ItemsCount::new(1_u64)).bench_local(|| {
        world.block(Vec::new());
        world.run();
    });
}

/// From stored bytes to a lane that has offered all of ten thousand open slots again.
#[divan::bench(sample_count = 10)]
fn restore_10k_open_slots(bencher: Bencher) {
    let (_, stored) = World::full(OPEN);
    bencher.counter(ItemsCount::new(OPEN)).bench_local(|| {
        let lane = Lane::restore(config(OPEN), stored.restored(), time(0));
        let mut world = World::around(lane.expect("it was written by a lane"));
        world.run();
        assert!(world.offers >= 4_096);
    });
}

fn time(millis: u64) -> Timestamp {
    Timestamp::from_millis(1_000_000 + millis)
}

fn config(cap: u64) -> LaneConfig {
    let profile = ChainProfile {
        name: "bench".to_owned(),
        chain_id: 1,
        required_confirmations: 1,
        average_block_time_ms: 1_000,
        eip1559: true,
        symbol: "ETH".to_owned(),
        is_testnet: true,
        tags: Vec::new(),
        mempool: Mempool::Public,
        in_flight_max: u32::try_from(cap).expect("a small number"),
        nonce_window: None,
        l1_data_fee: false,
    };
    LaneConfig {
        accounts: vec![ACCOUNT],
        policy: EvmPolicy::default(),
        timing: Timing::for_chain(&profile),
        profile,
        paused: false,
        adopt: false,
        retention: Duration::from_hours(1),
    }
}

/// What a lane wrote, by key.
#[derive(Default)]
struct Stored(std::collections::BTreeMap<String, Vec<u8>>);

impl Stored {
    fn restored(&self) -> Restored {
        let read = |prefix: &'static str| {
            self.0
                .range(prefix.to_owned()..)
                .take_while(move |(key, _)| key.starts_with(prefix))
        };
        let slots = read(key::SLOTS).enumerate().map(|(nonce, (_, value))| {
            let record: SlotRecord = decode(value).expect("a slot");
            (ACCOUNT, nonce as u64, record)
        });
        let requests = read("r/").enumerate().map(|(position, (_, value))| {
            let record: RequestRecord = decode(value).expect("a request");
            (position as u64 + 1, record)
        });
        let account = self.0.get(&key::account(ACCOUNT)).expect("an account");
        Restored {
            requests: requests.collect(),
            slots: slots.collect(),
            accounts: vec![(ACCOUNT, decode(account).expect("an account"))],
            summary: None,
            inbox: 0,
            has_lost: false,
        }
    }
}

struct World {
    lane: Lane,
    stored: Stored,
    hashes: Vec<(u64, B256)>,
    number: u64,
    nonce: u64,
    offers: u64,
    millis: u64,
}

impl World {
    fn new(cap: u64) -> Self {
        let lane = Lane::restore(config(cap), Restored::default(), time(0));
        let mut world = Self::around(lane.expect("a new lane"));
        world.run();
        world
    }

    const fn around(lane: Lane) -> Self {
        Self {
            lane,
            stored: Stored(std::collections::BTreeMap::new()),
            hashes: Vec::new(),
            number: 1,
            nonce: 0,
            offers: 0,
            millis: 0,
        }
    }

    /// A world with ten thousand open slots, from `requests` requests.
    fn full(requests: u64) -> (Self, Stored) {
        let mut world = Self::new(OPEN);
        for index in 0..requests {
            world.accept(index);
        }
        world.run();
        let stored = std::mem::take(&mut world.stored);
        (world, stored)
    }

    fn feed(&mut self, input: Input) {
        self.lane.handle(input, time(self.millis));
    }

    fn accept(&mut self, index: u64) {
        let id: RequestId = format!("00000000-0000-4000-8000-{index:012x}")
            .parse()
            .expect("a UUID");
        let spec = TxSpec {
            call: Call {
                to: Some(ACCOUNT),
                value: U256::from(1),
                data: Bytes::new(),
            },
            gas_limit: Some(21_000),
            pricing: Pricing::Speed(Speed::Fast),
            valid_until: Timestamp::MAX,
        };
        let record = RequestRecord {
            id,
            created_at: time(0),
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
        };
        self.feed(Input::Inbox {
            position: index + 1,
            command: Command::Accept(Box::new(record)),
        });
    }

    /// Does everything that the lane wants done until it wants nothing more.
    fn run(&mut self) {
        loop {
            let mut busy = false;
            while let Some(output) = self.lane.poll_output() {
                busy = true;
                if let Some(answer) = self.answer(output) {
                    self.feed(answer);
                }
            }
            if let Some(changes) = self.lane.poll_commit() {
                busy = true;
                self.stored.0.extend(changes.puts);
                for key in &changes.deletes {
                    self.stored.0.remove(key);
                }
                self.feed(Input::Committed {
                    stage: changes.stage,
                });
            }
            if !busy {
                return;
            }
        }
    }

    fn answer(&mut self, output: Output) -> Option<Input> {
        match output {
            Output::Survey => Some(Input::Surveyed(Survey {
                block: self.number,
                gas_limit: 30_000_000,
                accounts: vec![SurveyedAccount {
                    address: ACCOUNT,
                    nonce: self.nonce,
                    pending: None,
                    balance: U256::MAX >> 1,
                }],
            })),
            Output::Sign { ticket, tx, .. } => {
                let hash = keccak256(tx.nonce.to_be_bytes());
                self.hashes.push((tx.nonce, hash));
                let signed = Some(Signed {
                    raw: Bytes::from(vec![2; 110]),
                    hash,
                    signature: Bytes::from(vec![1; 65]),
                });
                Some(Input::Signed { ticket, signed })
            }
            Output::Broadcast(offer) => {
                self.offers += 1;
                Some(Input::Answered {
                    account: offer.account,
                    nonce: offer.nonce,
                    hash: offer.hash,
                    answers: vec![Answer::Accepted],
                })
            }
            Output::FetchMarket => Some(Input::Market(MarketView {
                base_fee: Some(1_000),
                tips: [1, 2, 3, 4],
                gas_price: 1_000,
            })),
            Output::Lookup { .. }
            | Output::Observe { .. }
            | Output::Estimate { .. }
            | Output::Status { .. }
            | Output::Alarm(_) => None,
        }
    }

    /// A block with everything that is open, and one more so that it is final.
    fn mine(&mut self) {
        let hashes = std::mem::take(&mut self.hashes);
        self.nonce += hashes.len() as u64;
        self.block(hashes);
        self.block(Vec::new());
        self.run();
    }

    fn block(&mut self, hashes: Vec<(u64, B256)>) {
        self.number += 1;
        let number = self.number;
        let mined = hashes.into_iter().map(|(_, hash)| ReceiptRecord {
            hash,
            block_number: number,
            block_hash: hash,
            success: true,
            gas_used: 21_000,
            effective_gas_price: 1_000,
            l1_fee: None,
            contract: None,
        });
        let block = BlockInput {
            number,
            gas_limit: 30_000_000,
            mined: mined.collect(),
            accounts: vec![AccountInput {
                address: ACCOUNT,
                nonce: self.nonce,
                balance: U256::MAX >> 1,
            }],
        };
        self.feed(Input::Block(block));
    }
}
