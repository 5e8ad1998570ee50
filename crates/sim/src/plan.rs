//! What a run is about, drawn from its seed before it begins.

use std::ops::RangeInclusive;
use std::time::Duration;

use baton_model::{ChainProfile, Mempool, Speed};

use crate::chain::{BASE_FEE, CHAIN_ID, Flavour, POISON, REVERTING};
use crate::fault::Fault;
use crate::rng::Rng;

/// Share of runs in which nothing goes wrong, in percent: what fails there is easiest to understand.
const HONEST_PERCENT: u64 = 4;

/// Most accounts in flight that geth keeps on a crowded pool, and more.
const IN_FLIGHT: &[u32] = &[1, 2, 4, 16, 24];

/// What does not happen where a store is rolled back: what it has forgotten can only be found at nodes that show it.
/// And one thing at a time that needs a person.
const HIDING: &[Fault] = &[
    Fault::NodeStale,
    Fault::NodeBlind,
    Fault::NodeStuck,
    Fault::NodeRestarted,
    Fault::AnswerSlow,
    Fault::HeadMissed,
    Fault::HeadBack,
    Fault::TxForgotten,
    Fault::OfferLate,
    Fault::OfferTwice,
    Fault::PoolCrowded,
    Fault::ReorgLoses,
    Fault::ForeignUse,
];

/// Everything about a run that is decided beforehand.
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) flavour: Flavour,
    pub(crate) profile: ChainProfile,
    pub(crate) accounts: usize,
    /// Whether the first account has a delegation.
    pub(crate) delegated: bool,
    pub(crate) replicas: usize,
    pub(crate) nodes: usize,
    pub(crate) requests: Vec<Request>,
    /// How long things go wrong, in milliseconds.
    pub(crate) faults_ms: u64,
    /// How far processes run ahead of each other, in milliseconds.
    pub(crate) quantum_ms: u64,
    /// Longest latency of an effect, in milliseconds.
    pub(crate) latency_ms: u64,
    /// Between two blocks, in milliseconds.
    pub(crate) block_ms: u64,
    /// Chance that a block leaves an account's rest out, in percent.
    pub(crate) skip_percent: u64,
    pub(crate) lease: Duration,
    pub(crate) retention: Duration,
    /// Whether clocks differ.
    pub(crate) skewed: bool,
    pub(crate) gas_price_cap: Option<u128>,
    /// Whether accounts begin with little money.
    pub(crate) poor: bool,
    /// Whether operators say `--adopt` from the beginning.
    pub(crate) adopt: bool,
    rates: Vec<u64>,
}

/// What a caller asks for.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) at_ms: u64,
    /// Whether it comes with an idempotency key, and is repeated until it is answered.
    pub(crate) keyed: bool,
    /// Whether it is sent twice at once.
    pub(crate) doubled: bool,
    pub(crate) nature: Nature,
    pub(crate) price: Price,
    pub(crate) gas_given: bool,
    /// How long it may take, in milliseconds.
    pub(crate) valid_ms: Option<u64>,
    /// When it is cancelled, in milliseconds after it was accepted.
    pub(crate) cancel_after_ms: Option<u64>,
    /// When it is replaced, in milliseconds after it was accepted.
    pub(crate) replace_after_ms: Option<u64>,
}

/// How a call ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nature {
    Plain,
    Reverts,
    Poison,
}

/// How a request is priced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Price {
    Speed(Speed),
    /// Wei per gas.
    Legacy(u128),
    /// Wei per gas, and for the proposer.
    Dynamic(u128, u128),
}

impl Plan {
    pub(crate) fn draw(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let rng = &mut rng;
        let honest = rng.percent(HONEST_PERCENT);
        let burst = rng.percent(3);
        let flavour = match rng.below(100) {
            _ if burst => Flavour::Geth,
            0..65 => Flavour::Geth,
            65..85 => Flavour::Sequencer,
            _ => Flavour::Window(50),
        };
        let profile = profile(flavour, burst, rng);
        let block_ms = profile.average_block_time_ms;
        let faults_ms = rng.within(&(30_000..=120_000)).max(block_ms * 12);
        let accounts = if rng.percent(70) { 1 } else { 2 };
        let requests = requests(rng, faults_ms, burst, &profile);
        Self {
            seed,
            flavour,
            accounts,
            delegated: flavour == Flavour::Geth && !burst && rng.percent(6),
            replicas: rng.pick(&[1, 2, 2, 3]),
            nodes: if flavour == Flavour::Sequencer {
                1
            } else {
                rng.pick(&[1, 2, 3])
            },
            requests,
            faults_ms,
            quantum_ms: rng.pick(&[20, 50, 100]),
            latency_ms: rng.pick(&[0, 0, 2, 20]),
            block_ms,
            skip_percent: if honest { 0 } else { rng.pick(&[0, 10, 30]) },
            lease: Duration::from_millis(rng.pick(&[3_000, 6_000, 10_000])),
            retention: Duration::from_secs(rng.pick(&[3_600, 3_600, 300])),
            skewed: !honest && rng.percent(50),
            gas_price_cap: rng.percent(20).then_some(BASE_FEE * 30),
            poor: rng.percent(15),
            adopt: rng.percent(30),
            rates: if honest {
                vec![0; Fault::ALL.len()]
            } else {
                rates(rng)
            },
            profile,
        }
    }

    /// How often a fault strikes where it can, in thousandths.
    pub(crate) fn rate(&self, fault: Fault) -> u64 {
        self.rates[fault as usize]
    }

    /// Whether the store or the key is not Baton's alone, so that an account may stop until a person has looked.
    pub(crate) fn needs_operator(&self) -> bool {
        self.rate(Fault::StoreRolledBack) + self.rate(Fault::ForeignUse) > 0
    }
}

/// Each run has its own choice of faults, so that many of one kind meet few of another.
fn rates(rng: &mut Rng) -> Vec<u64> {
    let rates = Fault::ALL.iter().map(|fault| {
        let (share, strength) = strength(*fault);
        if rng.percent(share) {
            rng.within(&strength)
        } else {
            0
        }
    });
    let mut rates: Vec<u64> = rates.collect();
    if rates[Fault::StoreRolledBack as usize] > 0 {
        for fault in HIDING {
            rates[*fault as usize] = 0;
        }
    }
    rates
}

/// In how many runs of a hundred a fault is on, and how often it then strikes. What strikes once in every half a
/// second of the world, and what strikes at every effect, differ in scale.
fn strength(fault: Fault) -> (u64, RangeInclusive<u64>) {
    match fault {
        Fault::CommitRefused
        | Fault::CommitReplyLost
        | Fault::CommitLate
        | Fault::ReadRefused
        | Fault::LeaseReplyLost
        | Fault::LeaseRefused => (30, 10..=150),
        Fault::CommitStalled | Fault::ReadSlow | Fault::SignerSlow | Fault::AnswerSlow => {
            (25, 5..=60)
        }
        Fault::WakeLost => (30, 100..=1_000),
        Fault::Unanswered | Fault::ErrorAnswered | Fault::NodeStale => (30, 20..=250),
        Fault::NodeBlind => (25, 100..=500),
        Fault::OfferDropped
        | Fault::OfferReplyLost
        | Fault::OfferLate
        | Fault::OfferTwice
        | Fault::OfferShuffled
        | Fault::NodeBusy
        | Fault::TxForgotten => (30, 30..=400),
        Fault::HeadMissed | Fault::HeadBack => (25, 30..=300),
        Fault::SignerFailed => (20, 30..=300),
        Fault::Crash => (50, 1..=6),
        Fault::Freeze => (35, 1..=5),
        Fault::NodeRestarted | Fault::NodeStuck | Fault::FeeSpike => (30, 5..=40),
        Fault::PoolCrowded | Fault::PriceFloor => (20, 5..=40),
        Fault::Reorg => (50, 5..=60),
        Fault::ReorgLoses => (70, 100..=900),
        Fault::Stop => (20, 3..=20),
        Fault::FundsGone => (12, 5..=20),
        Fault::StoreRolledBack => (8, 5..=20),
        Fault::ForeignUse => (6, 5..=20),
    }
}

fn profile(flavour: Flavour, burst: bool, rng: &mut Rng) -> ChainProfile {
    let block_ms = match flavour {
        Flavour::Sequencer => 260,
        Flavour::Geth => rng.pick(&[1_000, 1_000, 2_000, 5_000]),
        Flavour::Window(_) => 1_000,
    };
    let required_confirmations = match flavour {
        Flavour::Sequencer => rng.pick(&[1, 2, 12]),
        Flavour::Geth | Flavour::Window(_) => rng.pick(&[1, 2, 3, 6, 12, 14]),
    };
    let in_flight_max = match flavour {
        Flavour::Geth if burst => 96,
        Flavour::Geth => rng.pick(IN_FLIGHT),
        Flavour::Sequencer | Flavour::Window(_) => 64,
    };
    let is_sequencer = flavour == Flavour::Sequencer;
    ChainProfile {
        name: "simulated".to_owned(),
        chain_id: CHAIN_ID,
        required_confirmations,
        average_block_time_ms: block_ms,
        eip1559: flavour != Flavour::Geth || rng.percent(85),
        symbol: "ETH".to_owned(),
        is_testnet: true,
        tags: if is_sequencer {
            vec!["arbitrum-based".to_owned()]
        } else {
            Vec::new()
        },
        mempool: if is_sequencer {
            Mempool::None
        } else {
            Mempool::Public
        },
        in_flight_max,
        nonce_window: match flavour {
            Flavour::Window(_) => Some(50),
            Flavour::Geth | Flavour::Sequencer => None,
        },
        l1_data_fee: false,
    }
}

fn requests(rng: &mut Rng, faults_ms: u64, burst: bool, profile: &ChainProfile) -> Vec<Request> {
    let count = if burst { 110 } else { rng.within(&(3..=28)) };
    let spread = if burst || rng.percent(25) {
        500
    } else {
        faults_ms * 3 / 4
    };
    let with_commands = rng.percent(60);
    let requests = (0..count).map(|_| Request {
        at_ms: rng.below(spread),
        keyed: rng.percent(80),
        doubled: rng.percent(8),
        nature: match rng.below(100) {
            0..4 => Nature::Reverts,
            4..7 => Nature::Poison,
            _ => Nature::Plain,
        },
        price: price(rng, profile),
        gas_given: rng.percent(40),
        valid_ms: rng.percent(12).then(|| rng.within(&(2_000..=60_000))),
        cancel_after_ms: (with_commands && rng.percent(20)).then(|| rng.below(20_000)),
        replace_after_ms: (with_commands && rng.percent(20)).then(|| rng.below(20_000)),
    });
    requests.collect()
}

fn price(rng: &mut Rng, profile: &ChainProfile) -> Price {
    match rng.below(100) {
        0..10 => Price::Legacy(BASE_FEE + u128::from(rng.within(&(1..=4_000_000_000)))),
        10..22 if profile.eip1559 => {
            let tip = u128::from(rng.within(&(1..=2_000_000_000)));
            Price::Dynamic(BASE_FEE + tip + u128::from(rng.below(8_000_000_000)), tip)
        }
        _ => Price::Speed(rng.pick(&[Speed::SafeLow, Speed::Average, Speed::Fast, Speed::Fastest])),
    }
}

impl Nature {
    /// First byte of the data of such a call.
    pub(crate) const fn byte(self) -> u8 {
        match self {
            Self::Plain => 0x01,
            Self::Reverts => REVERTING,
            Self::Poison => POISON,
        }
    }
}
