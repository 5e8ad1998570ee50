//! Figures of webhooks.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Upper bounds in seconds of one attempt: from a receiver next door to the time-out.
const ATTEMPT_BUCKETS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// Figures of all webhooks of a process.
#[derive(Clone, Debug)]
pub struct WebhookMetrics {
    attempts: Family<OutcomeLabels, Counter>,
    failed: Family<RelayerLabels, Counter>,
    seconds: Family<RelayerLabels, Histogram, fn() -> Histogram>,
    lag: Family<RelayerLabels, Gauge<f64, AtomicU64>>,
    waiting: Family<RelayerLabels, Gauge>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RelayerLabels {
    relayer_id: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OutcomeLabels {
    relayer_id: String,
    outcome: &'static str,
}

impl WebhookMetrics {
    /// Figures, registered.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            attempts: Family::default(),
            failed: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(ATTEMPT_BUCKETS)),
            lag: Family::default(),
            waiting: Family::default(),
        };
        registry.register(
            "webhook_attempts",
            "Attempts at deliveries: delivered, refused by the receiver, or no_answer",
            metrics.attempts.clone(),
        );
        registry.register(
            "webhook_failed",
            "Deliveries that were given up; they are kept and can be asked for again",
            metrics.failed.clone(),
        );
        registry.register(
            "webhook_attempt_seconds",
            "How long receivers took to answer",
            metrics.seconds.clone(),
        );
        registry.register(
            "webhook_lag_seconds",
            "Age of the oldest event that is not delivered",
            metrics.lag.clone(),
        );
        registry.register(
            "webhook_waiting",
            "Events that are not delivered, up to what is held in memory",
            metrics.waiting.clone(),
        );
        metrics
    }

    pub(super) fn count(&self, relayer: &str, outcome: &'static str, took: Duration) {
        let labels = OutcomeLabels {
            relayer_id: relayer.to_owned(),
            outcome,
        };
        self.attempts.get_or_create(&labels).inc();
        let seconds = self.seconds.get_or_create_owned(&of(relayer));
        seconds.observe(took.as_secs_f64());
    }

    pub(super) fn count_failed(&self, relayer: &str) {
        self.failed.get_or_create(&of(relayer)).inc();
    }

    pub(super) fn show(&self, relayer: &str, waiting: usize, lag: Duration) {
        let labels = of(relayer);
        let waiting = i64::try_from(waiting).unwrap_or(i64::MAX);
        self.waiting.get_or_create(&labels).set(waiting);
        self.lag.get_or_create(&labels).set(lag.as_secs_f64());
    }

    /// Shows nothing of a relayer whose baton somebody else has.
    pub(super) fn clear(&self, relayer: &str) {
        self.waiting.remove(&of(relayer));
        self.lag.remove(&of(relayer));
    }
}

fn of(relayer: &str) -> RelayerLabels {
    RelayerLabels {
        relayer_id: relayer.to_owned(),
    }
}
