//! Figures of lanes, under the names of OpenZeppelin Relayer where it has them.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use baton_lanes::{AccountView, SlotState};
use baton_model::{Address, RelayerId, TxStatus, U256};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

type FloatGauge = Gauge<f64, AtomicU64>;
type FloatCounter = Counter<f64, AtomicU64>;

/// Upper bounds in seconds of the time that a request takes: from one flush of a disk to an hour under a fee cap.
const STAGE_BUCKETS: [f64; 16] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 30.0, 60.0, 300.0, 900.0, 3600.0,
];

/// A part of a request's life whose time is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// To signed, durable bytes under a nonce.
    CreationToSent,
    /// To a node's first acknowledgement.
    CreationToSubmission,
    /// To a block.
    CreationToMined,
    /// From the acknowledgement to final depth.
    SubmissionToConfirmation,
    /// To final depth.
    CreationToConfirmation,
}

impl Stage {
    const ALL: [Self; 5] = [
        Self::CreationToSent,
        Self::CreationToSubmission,
        Self::CreationToMined,
        Self::SubmissionToConfirmation,
        Self::CreationToConfirmation,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::CreationToSent => "creation_to_sent",
            Self::CreationToSubmission => "creation_to_submission",
            Self::CreationToMined => "creation_to_mined",
            Self::SubmissionToConfirmation => "submission_to_confirmation",
            Self::CreationToConfirmation => "creation_to_confirmation",
        }
    }
}

/// The states of slots with their names.
const SLOT_STATES: [(SlotState, &str); 6] = [
    (SlotState::Reserved, "reserved"),
    (SlotState::Bound, "bound"),
    (SlotState::Offered, "offered"),
    (SlotState::Cancelling, "cancelling"),
    (SlotState::Mined, "mined"),
    (SlotState::Foreign, "foreign"),
];

/// How many slots there are in each state, in the order of their names above.
#[derive(Debug, Default)]
pub(super) struct SlotCounts([usize; 6]);

impl SlotCounts {
    pub(super) fn add(&mut self, account: &AccountView) {
        for slot in &account.slots {
            let mut states = self.0.iter_mut().zip(SLOT_STATES);
            if let Some((count, _)) = states.find(|(_, (state, _))| *state == slot.state) {
                *count += 1;
            }
        }
    }
}

/// Metrics of all lanes of a process.
#[derive(Clone, Debug)]
pub struct DriverMetrics {
    created: Family<RelayerLabels, Counter>,
    submitted: Family<RelayerLabels, Counter>,
    success: Family<RelayerLabels, Counter>,
    failed: Family<RelayerLabels, Counter>,
    processing: Family<StageLabels, Histogram, fn() -> Histogram>,
    by_status: Family<StatusLabels, Gauge>,
    slots: Family<SlotLabels, Gauge>,
    oldest: Family<RelayerLabels, FloatGauge>,
    fees: Family<RelayerLabels, FloatCounter>,
    alarms: Family<AlarmLabels, Counter>,
    active_alarms: Family<AlarmLabels, Gauge>,
    nonce_drift: Family<AccountLabels, Gauge>,
    balance: Family<AccountLabels, FloatGauge>,
    commit_seconds: Histogram,
    commits_retried: Counter,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RelayerLabels {
    relayer_id: String,
    network_type: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StageLabels {
    relayer_id: String,
    network_type: &'static str,
    stage: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StatusLabels {
    relayer_id: String,
    network_type: &'static str,
    status: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct SlotLabels {
    relayer_id: String,
    state: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct AlarmLabels {
    relayer_id: String,
    alarm: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct AccountLabels {
    relayer_id: String,
    account: String,
}

impl DriverMetrics {
    /// Metrics, registered.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            created: Family::default(),
            submitted: Family::default(),
            success: Family::default(),
            failed: Family::default(),
            processing: Family::new_with_constructor(|| Histogram::new(STAGE_BUCKETS)),
            by_status: Family::default(),
            slots: Family::default(),
            oldest: Family::default(),
            fees: Family::default(),
            alarms: Family::default(),
            active_alarms: Family::default(),
            nonce_drift: Family::default(),
            balance: Family::default(),
            // 0.5 ms to 4 s: from a fast disk's flush to a store in trouble.
            commit_seconds: Histogram::new(exponential_buckets(0.000_5, 2.0, 14)),
            commits_retried: Counter::default(),
        };
        metrics.register_transactions(registry);
        metrics.register_lanes(registry);
        metrics
    }

    fn register_transactions(&self, registry: &mut Registry) {
        let Self {
            created,
            submitted,
            success,
            failed,
            processing,
            by_status,
            ..
        } = self.clone();
        registry.register("transactions_created", "Taken in by their lane", created);
        registry.register(
            "transactions_submitted",
            "First acknowledged by a node",
            submitted,
        );
        registry.register("transactions_success", "Confirmed", success);
        registry.register(
            "transactions_failed",
            "Ended without execution, or reverted",
            failed,
        );
        registry.register(
            "transaction_processing_seconds",
            "Time that transactions take",
            processing,
        );
        registry.register("transactions_by_status", "Transactions", by_status);
    }

    fn register_lanes(&self, registry: &mut Registry) {
        let Self {
            slots,
            oldest,
            fees,
            alarms,
            active_alarms,
            nonce_drift,
            balance,
            commit_seconds,
            commits_retried,
            ..
        } = self.clone();
        registry.register("slots", "Unfinished work", slots);
        registry.register(
            "queue_oldest_age_seconds",
            "Age of the oldest request without a nonce",
            oldest,
        );
        registry.register("fees_spent_wei", "Fees of what is final", fees);
        registry.register("lane_alarms", "Alarms raised", alarms);
        registry.register(
            "lane_alarms_active",
            "Accounts that need a person now",
            active_alarms,
        );
        registry.register(
            "account_nonce_drift",
            "Nonces given out and not mined",
            nonce_drift,
        );
        registry.register("account_balance_wei", "Balance at the head", balance);
        registry.register(
            "lane_commit_seconds",
            "Time from a lane's change to its durability",
            commit_seconds,
        );
        registry.register(
            "lane_commits_retried",
            "Commits that had to be repeated",
            commits_retried,
        );
    }
}

/// The metrics of one relayer, looked up once.
#[derive(Debug)]
pub(super) struct RelayerMetrics {
    all: DriverMetrics,
    relayer_id: String,
    created: Counter,
    submitted: Counter,
    success: Counter,
    failed: Counter,
    stages: [Histogram; 5],
    by_status: [Gauge; 8],
    queued: Gauge,
    in_flight: Gauge,
    slots: [Gauge; 6],
    oldest: FloatGauge,
    fees: FloatCounter,
    accounts: Mutex<BTreeMap<Address, (Gauge, FloatGauge)>>,
}

impl RelayerMetrics {
    pub(super) fn new(relayer: &RelayerId, all: DriverMetrics) -> Self {
        let relayer_id = relayer.to_string();
        let network_type = "evm";
        let labels = RelayerLabels {
            relayer_id: relayer_id.clone(),
            network_type,
        };
        let counter = |family: &Family<RelayerLabels, Counter>| family.get_or_create_owned(&labels);
        let slots = |state| {
            let relayer_id = relayer_id.clone();
            all.slots
                .get_or_create_owned(&SlotLabels { relayer_id, state })
        };
        Self {
            created: counter(&all.created),
            submitted: counter(&all.submitted),
            success: counter(&all.success),
            failed: counter(&all.failed),
            stages: Stage::ALL.map(|stage| {
                all.processing.get_or_create_owned(&StageLabels {
                    relayer_id: relayer_id.clone(),
                    network_type,
                    stage: stage.name(),
                })
            }),
            by_status: TxStatus::ALL.map(|status| {
                all.by_status.get_or_create_owned(&StatusLabels {
                    relayer_id: relayer_id.clone(),
                    network_type,
                    status: status.as_str(),
                })
            }),
            queued: slots("queued"),
            in_flight: slots("in_flight"),
            slots: SLOT_STATES.map(|(_, name)| slots(name)),
            oldest: all.oldest.get_or_create_owned(&labels),
            fees: all.fees.get_or_create_owned(&labels),
            accounts: Mutex::default(),
            relayer_id,
            all,
        }
    }

    /// Shows nothing of the lane's state any more.
    pub(super) fn clear(&self) {
        let gauges = self.by_status.iter().chain(&self.slots);
        for gauge in gauges.chain([&self.queued, &self.in_flight]) {
            gauge.set(0);
        }
        self.oldest.set(0.0);
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        for address in std::mem::take(&mut *accounts).into_keys() {
            let labels = self.account(address);
            self.all.nonce_drift.remove(&labels);
            self.all.balance.remove(&labels);
        }
    }

    pub(super) fn show_alarm(&self, alarm: &'static str, accounts: usize) {
        let gauge = self.all.active_alarms.get_or_create(&self.alarm(alarm));
        gauge.set(saturate(accounts));
    }

    pub(super) fn show_account(&self, account: &AccountView) {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let (drift, balance) = accounts.entry(account.address).or_insert_with(|| {
            let labels = self.account(account.address);
            (
                self.all.nonce_drift.get_or_create_owned(&labels),
                self.all.balance.get_or_create_owned(&labels),
            )
        });
        let (next, chain) = (account.next_nonce, account.chain_nonce);
        let ahead = i64::try_from(next.saturating_sub(chain)).unwrap_or(i64::MAX);
        let behind = i64::try_from(chain.saturating_sub(next)).unwrap_or(i64::MAX);
        drift.set(ahead.saturating_sub(behind));
        balance.set(f64::from(account.balance));
    }

    pub(super) fn show_counts(&self, counts: &[u64; 8], queued: usize, in_flight: usize) {
        for (gauge, count) in self.by_status.iter().zip(counts) {
            gauge.set(i64::try_from(*count).unwrap_or(i64::MAX));
        }
        self.queued.set(saturate(queued));
        self.in_flight.set(saturate(in_flight));
    }

    pub(super) fn show_slots(&self, counts: &SlotCounts) {
        for (gauge, count) in self.slots.iter().zip(counts.0) {
            gauge.set(saturate(count));
        }
    }

    pub(super) fn show_oldest(&self, age: Duration) {
        self.oldest.set(age.as_secs_f64());
    }

    pub(super) fn count_fee(&self, wei: U256) {
        self.fees.inc_by(f64::from(wei));
    }

    pub(super) fn count_created(&self) {
        self.created.inc();
    }

    pub(super) fn count_status(&self, status: TxStatus) {
        let counter = match status {
            TxStatus::Submitted => &self.submitted,
            TxStatus::Confirmed => &self.success,
            TxStatus::Failed | TxStatus::Canceled | TxStatus::Expired => &self.failed,
            TxStatus::Pending | TxStatus::Sent | TxStatus::Mined => return,
        };
        counter.inc();
    }

    pub(super) fn count_alarm(&self, alarm: &'static str) {
        self.all.alarms.get_or_create(&self.alarm(alarm)).inc();
    }

    pub(super) fn observe(&self, stage: Stage, time: Duration) {
        self.stages[stage as usize].observe(time.as_secs_f64());
    }

    pub(super) fn observe_commit(&self, seconds: f64) {
        self.all.commit_seconds.observe(seconds);
    }

    pub(super) fn count_retried_commit(&self) {
        self.all.commits_retried.inc();
    }

    fn account(&self, account: Address) -> AccountLabels {
        AccountLabels {
            relayer_id: self.relayer_id.clone(),
            account: account.to_string(),
        }
    }

    fn alarm(&self, alarm: &'static str) -> AlarmLabels {
        AlarmLabels {
            relayer_id: self.relayer_id.clone(),
            alarm,
        }
    }
}

fn saturate(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
