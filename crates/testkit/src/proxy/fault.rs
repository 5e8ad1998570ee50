//! What can go wrong between a client and its node, and how often.

use std::time::Duration;

/// On which side of the node's work a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The node never sees the request.
    Before,
    /// The node has done the work; only the answer is spoilt.
    After,
}

/// One way of going wrong.
///
/// Of the faults that spoil a whole exchange, the first rule that strikes wins; the others strike
/// single calls, also within a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection is closed without an answer.
    Cut(Moment),
    /// The connection stays open and no answer ever comes.
    NoReply(Moment),
    /// An HTTP status such as 429, 500 or 503, with a short text as its body.
    Status(u16, Moment),
    /// Status 200 with a body that is not JSON.
    Garbage(Moment),
    /// Status 200 without a body.
    Empty(Moment),
    /// The node's answer, cut off in the middle.
    Truncated,
    /// One call: the node's answer under an id that nobody asked with.
    WrongId,
    /// One call: it is executed and left out of the batch's answer. A lone call gets no body.
    Omitted,
    /// One call: an error in the node's name; the call is not forwarded.
    Refused {
        /// JSON-RPC error code.
        code: i64,
        /// The error's text.
        message: String,
    },
    /// One `eth_sendRawTransaction`: answered with the transaction's hash, and never forwarded.
    Forgotten,
}

/// How often a rule strikes, counted over what it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// So many of a thousand, drawn from the proxy's seed.
    Permille(u16),
    /// The next so many, and then never again.
    Next(u32),
    /// Only the n-th from now, counted from 1.
    Nth(u32),
}

/// A fault, where it strikes and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultRule {
    pub(super) fault: Fault,
    pub(super) when: When,
    pub(super) method: Option<String>,
}

impl FaultRule {
    /// A fault that may strike any call.
    pub fn new(fault: Fault, when: When) -> Self {
        Self {
            fault,
            when,
            method: None,
        }
    }

    /// Only calls of this method, and exchanges that hold one, are matched and counted.
    #[must_use]
    pub fn on(mut self, method: &str) -> Self {
        self.method = Some(method.to_owned());
        self
    }
}

/// A wait: `base`, and up to `jitter` more as drawn from the proxy's seed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delay {
    /// The least.
    pub base: Duration,
    /// The most that comes on top.
    pub jitter: Duration,
}

impl Delay {
    /// Always the same wait.
    pub const fn fixed(base: Duration) -> Self {
        Self {
            base,
            jitter: Duration::ZERO,
        }
    }
}

/// How a node is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// Nothing listens: connections are refused, and open ones are closed.
    Refuse,
    /// Connections are taken and requests are read, but nothing is forwarded or answered. What
    /// waits when the outage ends has its connection closed.
    Hang,
}

/// Which old state a stale node serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stale {
    /// The state of so many blocks ago.
    Behind(u64),
    /// The state of this block, whatever comes.
    At(u64),
}

/// Whether a fault spoils the exchange as a whole.
pub(super) fn is_of_exchange(fault: &Fault) -> bool {
    match fault {
        Fault::Cut(_)
        | Fault::NoReply(_)
        | Fault::Status(..)
        | Fault::Garbage(_)
        | Fault::Empty(_)
        | Fault::Truncated => true,
        Fault::WrongId | Fault::Omitted | Fault::Refused { .. } | Fault::Forgotten => false,
    }
}

/// A rule at work.
pub(super) struct ActiveRule {
    pub(super) id: u64,
    pub(super) rule: FaultRule,
    matched: u64,
}

impl ActiveRule {
    pub(super) fn new(id: u64, rule: FaultRule) -> Self {
        Self {
            id,
            rule,
            matched: 0,
        }
    }

    pub(super) fn matches(&self, method: &str) -> bool {
        let wanted = self.rule.method.as_deref();
        wanted.is_none_or(|wanted| wanted == method)
    }

    /// Counts one match and tells whether the fault strikes it.
    pub(super) fn strikes(&mut self, seed: u64) -> bool {
        self.matched += 1;
        match self.rule.when {
            When::Permille(share) => draw(seed, self.id, self.matched) % 1000 < u64::from(share),
            When::Next(count) => self.matched <= u64::from(count),
            When::Nth(place) => self.matched == u64::from(place),
        }
    }

    /// Whether it will never strike again.
    pub(super) fn is_spent(&self) -> bool {
        match self.rule.when {
            When::Permille(_) => false,
            When::Next(last) | When::Nth(last) => self.matched >= u64::from(last),
        }
    }
}

/// The wait of one exchange in one direction.
pub(super) fn wait(delay: Delay, seed: u64, direction: u64, exchange: u64) -> Duration {
    let most = u64::try_from(delay.jitter.as_nanos()).unwrap_or(u64::MAX);
    if most == 0 {
        return delay.base;
    }
    // Rule ids count up from 1; directions take the other end so that no two draws are related.
    let drawn = draw(seed, u64::MAX - direction, exchange);
    delay.base + Duration::from_nanos(drawn % most.saturating_add(1))
}

/// A number that depends on its arguments only: two rounds of SplitMix64.
fn draw(seed: u64, stream: u64, place: u64) -> u64 {
    mix(mix(seed ^ mix(stream)).wrapping_add(place))
}

fn mix(from: u64) -> u64 {
    let mut z = from.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strikes(seed: u64, when: When) -> Vec<bool> {
        let mut rule = ActiveRule::new(1, FaultRule::new(Fault::Truncated, when));
        (0..10_000).map(|_| rule.strikes(seed)).collect()
    }

    #[test]
    fn the_same_seed_strikes_the_same_and_another_does_not() {
        let one = strikes(7, When::Permille(100));
        assert_eq!(one, strikes(7, When::Permille(100)));
        assert_ne!(one, strikes(8, When::Permille(100)));
        let count = one.iter().filter(|struck| **struck).count();
        assert!((850..1150).contains(&count), "{count} of 10000");
        assert!(
            strikes(7, When::Permille(1000))
                .iter()
                .all(|struck| *struck)
        );
        assert!(strikes(7, When::Permille(0)).iter().all(|struck| !struck));
    }

    #[test]
    fn counted_rules_strike_what_they_say() {
        let places = |when| {
            let struck = strikes(1, when).into_iter().enumerate();
            let places = struck.filter(|(_, struck)| *struck).map(|(place, _)| place);
            places.collect::<Vec<_>>()
        };
        assert_eq!(places(When::Next(3)), [0, 1, 2]);
        assert_eq!(places(When::Nth(3)), [2]);
    }

    #[test]
    fn jitter_stays_within_its_bounds_and_follows_the_seed() {
        let delay = Delay {
            base: Duration::from_millis(5),
            jitter: Duration::from_millis(20),
        };
        let waits = |seed| (0..1000).map(move |exchange| wait(delay, seed, 0, exchange));
        assert!(waits(3).all(|wait| (5..=25).contains(&wait.as_millis())));
        assert!(waits(3).any(|wait| wait.as_millis() < 8));
        assert!(waits(3).any(|wait| wait.as_millis() > 22));
        assert!(waits(3).eq(waits(3)));
        assert!(!waits(3).eq(waits(4)));
        let fixed = Delay::fixed(Duration::from_millis(25));
        assert_eq!(wait(fixed, 1, 1, 1), Duration::from_millis(25));
    }
}
