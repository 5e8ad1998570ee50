//! Counts the calls to nodes.

use std::time::Duration;

use baton_chain::{RpcObserver, RpcOutcome};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// Calls to nodes, by method, host and result, and how long they took.
#[derive(Debug)]
pub(crate) struct RpcMetrics {
    calls: Family<CallLabels, Counter>,
    latency: Family<MethodLabels, Histogram, fn() -> Histogram>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CallLabels {
    endpoint: String,
    method: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct MethodLabels {
    operation_name: &'static str,
}

impl RpcMetrics {
    pub(crate) fn new(registry: &mut Registry) -> Self {
        // 1 ms to 16 s: from a node on the same host to the longest time-out in use.
        let buckets = || Histogram::new(exponential_buckets(0.001, 2.0, 15));
        let metrics = Self {
            calls: Family::default(),
            latency: Family::new_with_constructor(buckets),
        };
        registry.register(
            "rpc_calls",
            "JSON-RPC calls to nodes",
            metrics.calls.clone(),
        );
        registry.register(
            "rpc_call_latency_seconds",
            "Time to a node's answer; calls of one batch share it",
            metrics.latency.clone(),
        );
        metrics
    }
}

impl RpcObserver for RpcMetrics {
    fn call(&self, endpoint: &str, method: &'static str, outcome: RpcOutcome, latency: Duration) {
        let result = outcome.as_str();
        let labels = CallLabels {
            endpoint: endpoint.to_owned(),
            method,
            result,
        };
        self.calls.get_or_create(&labels).inc();
        let labels = MethodLabels {
            operation_name: method,
        };
        self.latency
            .get_or_create(&labels)
            .observe(latency.as_secs_f64());
    }
}
