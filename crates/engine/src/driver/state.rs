//! What is shown of a lane while it runs.

use std::sync::{Mutex, PoisonError};

use baton_model::{RelayerId, TxStatus};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// Where a lane stands in this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LaneState {
    /// Another process holds its baton, or nobody does yet.
    Waiting,
    /// Its durable state is being read and compared with the chain.
    Starting,
    /// It runs here.
    Running,
    /// It runs here, but not all of it: the reasons.
    Alarmed(Vec<String>),
    /// It cannot run here: the reason.
    Failed(String),
}

/// The state of one lane, and its numbers.
#[derive(Debug)]
pub struct LaneStatus {
    relayer: RelayerId,
    state: Mutex<LaneState>,
    metrics: DriverMetrics,
}

/// Metrics of all lanes of a process. Names that OpenZeppelin Relayer has are kept.
#[derive(Clone, Debug)]
pub struct DriverMetrics {
    ended: [Family<RelayerLabels, Counter>; 3],
    open: Family<SlotLabels, Gauge>,
    alarms: Family<AlarmLabels, Counter>,
    by_status: Family<StatusLabels, Gauge>,
    commit_seconds: Histogram,
    commits_retried: Counter,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RelayerLabels {
    relayer_id: String,
    network_type: &'static str,
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
struct StatusLabels {
    relayer_id: String,
    network_type: &'static str,
    status: &'static str,
}

impl DriverMetrics {
    /// Metrics, registered.
    pub fn new(registry: &mut Registry) -> Self {
        // 0.5 ms to 4 s: from a fast disk's flush to a store in trouble.
        let commit_seconds = Histogram::new(exponential_buckets(0.000_5, 2.0, 14));
        let metrics = Self {
            ended: [Family::default(), Family::default(), Family::default()],
            open: Family::default(),
            alarms: Family::default(),
            by_status: Family::default(),
            commit_seconds,
            commits_retried: Counter::default(),
        };
        let [submitted, success, failed] = metrics.ended.clone();
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
        registry.register("slots", "Unfinished slots", metrics.open.clone());
        registry.register(
            "lane_alarms",
            "Things that need a person",
            metrics.alarms.clone(),
        );
        registry.register(
            "transactions_by_status",
            "Transactions",
            metrics.by_status.clone(),
        );
        registry.register(
            "lane_commit_seconds",
            "Time from a lane's change to its durability",
            metrics.commit_seconds.clone(),
        );
        registry.register(
            "lane_commits_retried",
            "Commits that had to be repeated",
            metrics.commits_retried.clone(),
        );
        metrics
    }
}

impl LaneStatus {
    /// The status of a relayer's lane.
    pub const fn new(relayer: RelayerId, metrics: DriverMetrics) -> Self {
        Self {
            relayer,
            state: Mutex::new(LaneState::Waiting),
            metrics,
        }
    }

    /// Whose lane it is.
    pub const fn relayer(&self) -> &RelayerId {
        &self.relayer
    }

    /// Where it stands.
    pub fn state(&self) -> LaneState {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn set(&self, state: LaneState) {
        let mut current = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if *current != state {
            tracing::info!(relayer_id = %self.relayer, from = ?*current, to = ?state, "lane state");
            *current = state;
        }
    }

    pub(super) fn count_status(&self, status: TxStatus) {
        let [submitted, success, failed] = &self.metrics.ended;
        let family = match status {
            TxStatus::Submitted => submitted,
            TxStatus::Confirmed => success,
            TxStatus::Failed | TxStatus::Canceled | TxStatus::Expired => failed,
            TxStatus::Pending | TxStatus::Sent | TxStatus::Mined => return,
        };
        family.get_or_create(&self.relayer_labels()).inc();
    }

    pub(super) fn count_alarm(&self, alarm: &'static str) {
        let labels = AlarmLabels {
            relayer_id: self.relayer.to_string(),
            alarm,
        };
        self.metrics.alarms.get_or_create(&labels).inc();
    }

    pub(super) fn show_counts(&self, counts: &[u64; 8], queued: usize, in_flight: usize) {
        for (status, count) in TxStatus::ALL.iter().zip(counts) {
            let labels = StatusLabels {
                relayer_id: self.relayer.to_string(),
                network_type: "evm",
                status: status.as_str(),
            };
            self.metrics
                .by_status
                .get_or_create(&labels)
                .set(saturate(*count));
        }
        for (state, count) in [("queued", queued), ("in_flight", in_flight)] {
            let labels = SlotLabels {
                relayer_id: self.relayer.to_string(),
                state,
            };
            let count = u64::try_from(count).unwrap_or(u64::MAX);
            self.metrics
                .open
                .get_or_create(&labels)
                .set(saturate(count));
        }
    }

    pub(super) fn observe_commit(&self, seconds: f64) {
        self.metrics.commit_seconds.observe(seconds);
    }

    pub(super) fn count_retried_commit(&self) {
        self.metrics.commits_retried.inc();
    }

    fn relayer_labels(&self) -> RelayerLabels {
        RelayerLabels {
            relayer_id: self.relayer.to_string(),
            network_type: "evm",
        }
    }
}

fn saturate(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
