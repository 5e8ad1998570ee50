//! What the bench reads from the proxy between the relayer and its node.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use baton_model::{Address, B256};
use baton_testkit::{Proxy, ProxyControl, ProxyOptions, ProxyTrace};
use tokio::time::Instant;

/// A proxy that takes note, and changes nothing unless it is told to.
#[derive(Debug)]
pub(super) struct Tap(Proxy);

/// Tells where transactions go that were sent through a proxy.
#[derive(Clone, Debug)]
pub(super) struct Targets(ProxyTrace);

impl Targets {
    pub(super) fn of(&self, hash: B256) -> Option<Address> {
        self.0.target(hash)
    }
}

/// What was asked of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Traffic {
    /// HTTP requests: a batch is one.
    pub(super) requests: u64,
    /// JSON-RPC calls by method.
    pub(super) calls: BTreeMap<String, u64>,
}

impl Tap {
    /// Listens on a loopback port, 0 for a free one, before a node. The seed decides where faults
    /// strike.
    pub(super) fn start(node: &str, port: u16, seed: u64) -> Result<Self> {
        Ok(Self(Proxy::start(node, ProxyOptions { port, seed })?))
    }

    /// Where it listens, as a node's address.
    pub(super) fn url(&self) -> String {
        self.0.url()
    }

    /// Every exchange takes so much longer from now on: half of it before and half of it after the
    /// node's work, each rounded up to a millisecond.
    pub(super) fn set_delay(&self, round_trip: Duration) {
        self.0.control().delay(round_trip);
    }

    /// The handle that lets it do harm.
    pub(super) fn control(&self) -> ProxyControl {
        self.0.control()
    }

    /// All that it has seen.
    pub(super) fn trace(&self) -> ProxyTrace {
        self.0.trace()
    }

    /// When a transfer to an address was first sent, before any delay.
    pub(super) fn first_broadcast(&self, to: Address) -> Option<Instant> {
        self.0.trace().first_broadcast(to)
    }

    /// Where what was sent goes.
    pub(super) fn targets(&self) -> Targets {
        Targets(self.0.trace())
    }

    /// What was asked so far.
    pub(super) fn traffic(&self) -> Traffic {
        let trace = self.0.trace();
        Traffic {
            requests: trace.requests(),
            calls: trace.calls_by_method(),
        }
    }

    /// Forgets everything: the next transfer to any address is the first.
    pub(super) fn forget(&self) {
        self.0.trace().clear();
    }
}

impl Traffic {
    /// What came since an earlier look.
    pub(super) fn since(&self, before: &Self) -> Self {
        let calls = self.calls.iter().map(|(method, count)| {
            let before = before.calls.get(method).copied().unwrap_or(0);
            (method.clone(), count.saturating_sub(before))
        });
        Self {
            requests: self.requests.saturating_sub(before.requests),
            calls: calls.filter(|(_, count)| *count > 0).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traffic_since_a_look_holds_only_what_is_new() {
        let traffic = |requests, calls: &[(&str, u64)]| Traffic {
            requests,
            calls: calls
                .iter()
                .map(|(method, count)| ((*method).to_owned(), *count))
                .collect(),
        };
        let before = traffic(3, &[("a", 2), ("b", 1)]);
        let after = traffic(5, &[("a", 2), ("b", 4), ("c", 1)]);
        assert_eq!(after.since(&before), traffic(2, &[("b", 3), ("c", 1)]));
    }
}
