//! Where the figures go.

use std::time::Duration;

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RpcOutcome {
    /// With a result.
    Result,
    /// With a JSON-RPC error.
    Error,
    /// Without a usable answer.
    NoAnswer,
}

impl RpcOutcome {
    /// A label for metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Result => "result",
            Self::Error => "error",
            Self::NoAnswer => "no_answer",
        }
    }
}

/// Told about every call to every endpoint, in order to count. Called on the path of the call: it
/// must not block.
pub trait RpcObserver: Send + Sync {
    /// One call has ended. `endpoint` is the host; calls of one batch share their `latency`.
    fn call(&self, endpoint: &str, method: &'static str, outcome: RpcOutcome, latency: Duration);
}

/// Counts nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl RpcObserver for Unobserved {
    fn call(&self, _: &str, _: &'static str, _: RpcOutcome, _: Duration) {}
}
