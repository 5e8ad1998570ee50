//! How often callers may call.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, NotUntil, Quota, RateLimiter};
use tokio::time::Instant;

use crate::ApiError;
use crate::error::ErrorKind;

/// Most peers that are counted one by one. Each takes about 100 bytes; beyond, new peers share one
/// bucket until old ones are forgotten.
const PEERS_MAX: usize = 10_000;
/// How often a full table is swept at most: sweeping looks at every peer.
const SWEEP_EVERY_MS: u64 = 1000;

/// A token bucket: so many requests per second, with bursts of so many. Each process counts for
/// itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests per second in the long run.
    pub per_second: NonZeroU32,
    /// Requests that may come at once.
    pub burst: NonZeroU32,
}

/// One bucket per API key, and one per peer for callers without a valid one. What a caller makes up
/// never chooses its bucket.
pub(crate) struct RateLimiters {
    keys: Vec<DefaultDirectRateLimiter>,
    /// By id. There are as many as keys were given out while this process runs.
    issued: DefaultKeyedRateLimiter<String>,
    peers: DefaultKeyedRateLimiter<IpAddr>,
    other_peers: DefaultDirectRateLimiter,
    clock: DefaultClock,
    started: Instant,
    swept_ms: AtomicU64,
}

impl RateLimiters {
    pub(crate) fn new(limit: RateLimit, keys: usize) -> Self {
        Self::with_quota(
            Quota::per_second(limit.per_second).allow_burst(limit.burst),
            keys,
        )
    }

    fn with_quota(quota: Quota, keys: usize) -> Self {
        Self {
            keys: (0..keys).map(|_| RateLimiter::direct(quota)).collect(),
            issued: RateLimiter::keyed(quota),
            peers: RateLimiter::keyed(quota),
            other_peers: RateLimiter::direct(quota),
            clock: DefaultClock::default(),
            started: Instant::now(),
            swept_ms: AtomicU64::new(0),
        }
    }

    /// Counts a request of the holder of a key.
    pub(crate) fn check_key(&self, index: usize) -> Result<(), ApiError> {
        match self.keys.get(index) {
            Some(limiter) => limiter.check().map_err(|wait| self.refuse(&wait)),
            None => Ok(()),
        }
    }

    /// Counts a request of the holder of a key that was given out.
    pub(crate) fn check_issued(&self, id: &String) -> Result<(), ApiError> {
        let checked = self.issued.check_key(id);
        checked.map_err(|wait| self.refuse(&wait))
    }

    /// Counts a request of somebody without a valid key.
    pub(crate) fn check_peer(&self, peer: IpAddr) -> Result<(), ApiError> {
        if self.peers.len() >= PEERS_MAX {
            self.sweep();
        }
        let checked = if self.peers.len() >= PEERS_MAX {
            self.other_peers.check()
        } else {
            self.peers.check_key(&network_of(peer))
        };
        checked.map_err(|wait| self.refuse(&wait))
    }

    /// Forgets peers whose bucket is full again.
    fn sweep(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let swept = self.swept_ms.load(Ordering::Relaxed);
        let due = now.saturating_sub(swept) >= SWEEP_EVERY_MS;
        let won = due
            && self
                .swept_ms
                .compare_exchange(swept, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if won {
            self.peers.retain_recent();
        }
    }

    fn refuse(&self, wait: &NotUntil<<DefaultClock as Clock>::Instant>) -> ApiError {
        let wait = wait.wait_time_from(self.clock.now());
        let after = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        let kind = ErrorKind::TooManyRequests {
            after: after.max(1),
        };
        ApiError::new(kind, "Too Many Requests")
    }
}

/// What is counted as one peer: an IPv4 address, or an IPv6 network of 64 bits, which is what one
/// customer of a provider has.
fn network_of(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let network = address.to_bits() >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Two requests at once, then one per hour: nothing is refilled during a test.
    fn limiters(keys: usize) -> RateLimiters {
        let quota = Quota::with_period(Duration::from_secs(3600)).unwrap();
        RateLimiters::with_quota(quota.allow_burst(NonZeroU32::new(2).unwrap()), keys)
    }

    #[test]
    fn keys_do_not_share_a_bucket() {
        let limiters = limiters(2);
        assert!(limiters.check_key(0).is_ok());
        assert!(limiters.check_key(0).is_ok());
        let refused = limiters.check_key(0).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::TooManyRequests { after: 3600 });
        assert!(limiters.check_key(1).is_ok());
    }

    #[test]
    fn keys_that_were_given_out_have_buckets_of_their_own() {
        let limiters = limiters(1);
        let [one, other] = ["one", "other"].map(str::to_owned);
        assert!(limiters.check_issued(&one).is_ok());
        assert!(limiters.check_issued(&one).is_ok());
        assert!(limiters.check_issued(&one).is_err());
        assert!(limiters.check_issued(&other).is_ok());
        assert!(limiters.check_key(0).is_ok());
    }

    #[test]
    fn one_ipv6_network_is_one_peer() {
        let limiters = limiters(0);
        let peer = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(limiters.check_peer(peer("2001:db8::1")).is_ok());
        assert!(limiters.check_peer(peer("2001:db8::2")).is_ok());
        assert!(limiters.check_peer(peer("2001:db8::3")).is_err());
        assert!(limiters.check_peer(peer("2001:db8:0:1::1")).is_ok());
        assert_eq!(network_of(peer("::ffff:10.0.0.1")), peer("10.0.0.1"));
    }

    #[test]
    fn the_table_of_peers_is_bounded() {
        let limiters = limiters(0);
        let mut allowed_beyond = 0;
        for index in 0..PEERS_MAX + 100 {
            let address = 0x0a00_0000 + u32::try_from(index).unwrap();
            let checked = limiters.check_peer(IpAddr::V4(address.into()));
            assert!(checked.is_ok() || index >= PEERS_MAX, "{index}");
            allowed_beyond += usize::from(checked.is_ok() && index >= PEERS_MAX);
        }
        assert!(limiters.peers.len() <= PEERS_MAX);
        assert!(
            allowed_beyond < 100,
            "peers beyond the table share one bucket"
        );
    }
}
