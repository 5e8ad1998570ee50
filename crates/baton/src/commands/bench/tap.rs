//! What the bench reads from the proxy between the relayer and its node.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use baton_model::{Address, B256};
use baton_testkit::{Broadcast, Proxy, ProxyControl, ProxyOptions, ProxyTrace};
use tokio::time::Instant;

/// Proxies that take note, and change nothing unless they are told to: one for each instance of the
/// relayer, so that it is known which of them sent what.
#[derive(Debug)]
pub(super) struct Tap(Vec<Proxy>);

/// Tells where transactions go that were sent through proxies.
#[derive(Clone, Debug)]
pub(super) struct Targets(Vec<ProxyTrace>);

impl Targets {
    pub(super) fn of(&self, hash: B256) -> Option<Address> {
        self.0.iter().find_map(|trace| trace.target(hash))
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
        Ok(Self(vec![Proxy::start(node, ProxyOptions { port, seed })?]))
    }

    /// The same on free ports for so many instances.
    pub(super) fn start_each(node: &str, seed: u64, instances: usize) -> Result<Self> {
        let started = (0..instances).map(|_| Proxy::start(node, ProxyOptions { port: 0, seed }));
        Ok(Self(started.collect::<Result<_, _>>()?))
    }

    /// Where the first one listens, as a node's address.
    pub(super) fn url(&self) -> String {
        self.0[0].url()
    }

    /// Where they listen, as nodes' addresses, instance by instance.
    pub(super) fn urls(&self) -> Vec<String> {
        self.0.iter().map(Proxy::url).collect()
    }

    /// Every exchange takes so much longer from now on: half of it before and half of it after the
    /// node's work, each rounded up to a millisecond.
    pub(super) fn set_delay(&self, round_trip: Duration) {
        for proxy in &self.0 {
            proxy.control().delay(round_trip);
        }
    }

    /// The handle that lets the first one do harm.
    pub(super) fn control(&self) -> ProxyControl {
        self.0[0].control()
    }

    /// All that the first one has seen.
    pub(super) fn trace(&self) -> ProxyTrace {
        self.0[0].trace()
    }

    /// What each has seen, instance by instance.
    pub(super) fn traces(&self) -> Vec<ProxyTrace> {
        self.0.iter().map(Proxy::trace).collect()
    }

    /// When a transfer to an address was first sent, before any delay.
    pub(super) fn first_broadcast(&self, to: Address) -> Option<Instant> {
        let traces = self.0.iter().map(Proxy::trace);
        traces.filter_map(|trace| trace.first_broadcast(to)).min()
    }

    /// Every transaction that was sent, in the order of their first times, by whichever instance.
    pub(super) fn broadcasts(&self) -> Vec<Broadcast> {
        merged(self.traces().iter().flat_map(ProxyTrace::broadcasts))
    }

    /// Where what was sent goes.
    pub(super) fn targets(&self) -> Targets {
        Targets(self.traces())
    }

    /// What was asked so far.
    pub(super) fn traffic(&self) -> Traffic {
        let mut traffic = Traffic::default();
        for trace in self.traces() {
            traffic.requests += trace.requests();
            for (method, count) in trace.calls_by_method() {
                *traffic.calls.entry(method).or_default() += count;
            }
        }
        traffic
    }

    /// Forgets everything: the next transfer to any address is the first.
    pub(super) fn forget(&self) {
        for trace in self.traces() {
            trace.clear();
        }
    }
}

/// A transaction that several sent is one that was sent several times.
fn merged(sent: impl Iterator<Item = Broadcast>) -> Vec<Broadcast> {
    let mut all: BTreeMap<B256, Broadcast> = BTreeMap::new();
    for one in sent {
        match all.get_mut(&one.hash) {
            Some(known) => {
                known.first = known.first.min(one.first);
                known.count += one.count;
            }
            None => {
                all.insert(one.hash, one);
            }
        }
    }
    let mut all: Vec<Broadcast> = all.into_values().collect();
    all.sort_by_key(|sent| sent.first);
    all
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
    use baton_model::U256;

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

    #[test]
    fn what_several_sent_is_one_transaction() {
        let start = Instant::now();
        let sent = |hash, after_ms, count| Broadcast {
            hash: B256::repeat_byte(hash),
            from: None,
            nonce: None,
            to: None,
            value: U256::ZERO,
            fees: None,
            first: start + Duration::from_millis(after_ms),
            count,
        };
        let found = merged([sent(1, 20, 2), sent(2, 10, 1), sent(1, 5, 3)].into_iter());
        assert_eq!(found, [sent(1, 5, 5), sent(2, 10, 1)]);
    }
}
