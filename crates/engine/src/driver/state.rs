//! What is shown of a lane while it runs.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use baton_lanes::{AccountView, Alarm};
use baton_model::{RelayerId, TxStatus, U256};

use super::metrics::{DriverMetrics, RelayerMetrics, SlotCounts, Stage};

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
    /// It cannot run here: the reason. It is tried again, and this stays until it runs.
    Failed(String),
}

/// The state of one lane, and its numbers.
#[derive(Debug)]
pub struct LaneStatus {
    relayer: RelayerId,
    state: Mutex<LaneState>,
    /// Alarms that were active at any time: those that are over have to be shown as over.
    alarms: Mutex<BTreeSet<&'static str>>,
    metrics: RelayerMetrics,
}

impl LaneStatus {
    /// The status of a relayer's lane.
    pub fn new(relayer: RelayerId, metrics: DriverMetrics) -> Self {
        Self {
            state: Mutex::new(LaneState::Waiting),
            alarms: Mutex::default(),
            metrics: RelayerMetrics::new(&relayer, metrics),
            relayer,
        }
    }

    /// Whose lane it is.
    pub const fn relayer(&self) -> &RelayerId {
        &self.relayer
    }

    /// Where it stands.
    pub fn state(&self) -> LaneState {
        lock(&self.state).clone()
    }

    pub(super) fn set(&self, state: LaneState) {
        let mut current = lock(&self.state);
        let keep = matches!(
            (&*current, &state),
            (LaneState::Failed(_), LaneState::Starting)
        );
        if *current != state && !keep {
            tracing::info!(relayer_id = %self.relayer, from = ?*current, to = ?state, "lane state");
            *current = state;
        }
    }

    /// Shows that this process does not run the lane: whoever does shows its figures.
    pub(super) fn clear(&self) {
        self.show_alarms(&[]);
        self.metrics.clear();
    }

    pub(super) fn show_alarms(&self, alarms: &[Alarm]) {
        let mut known = lock(&self.alarms);
        known.extend(alarms.iter().map(Alarm::name));
        for name in known.iter() {
            let active = alarms.iter().filter(|alarm| alarm.name() == *name).count();
            self.metrics.show_alarm(name, active);
        }
    }

    pub(super) fn show_accounts(&self, accounts: impl Iterator<Item = AccountView>) {
        let mut slots = SlotCounts::default();
        for account in accounts {
            self.metrics.show_account(&account);
            slots.add(&account);
        }
        self.metrics.show_slots(&slots);
    }

    /// How long the oldest request has waited for a nonce.
    pub(super) fn show_oldest(&self, age: Duration) {
        self.metrics.show_oldest(age);
    }

    pub(super) fn count_fee(&self, wei: U256) {
        self.metrics.count_fee(wei);
    }

    pub(super) fn show_counts(&self, counts: &[u64; 8], queued: usize, in_flight: usize) {
        self.metrics.show_counts(counts, queued, in_flight);
    }

    pub(super) fn count_created(&self) {
        self.metrics.count_created();
    }

    pub(super) fn count_status(&self, status: TxStatus) {
        self.metrics.count_status(status);
    }

    pub(super) fn count_alarm(&self, alarm: &'static str) {
        self.metrics.count_alarm(alarm);
    }

    pub(super) fn observe(&self, stage: Stage, time: Duration) {
        self.metrics.observe(stage, time);
    }

    pub(super) fn observe_commit(&self, seconds: f64) {
        self.metrics.observe_commit(seconds);
    }

    pub(super) fn count_retried_commit(&self) {
        self.metrics.count_retried_commit();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing under these locks can be left half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
