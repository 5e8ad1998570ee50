//! How often callers may call.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use governor::clock::{Clock, DefaultClock};
use governor::{
    DefaultDirectRateLimiter, DefaultKeyedRateLimiter, InsufficientCapacity, NotUntil, Quota,
    RateLimiter,
};
use tokio::time::Instant;

use crate::error::ErrorKind;
use crate::{ApiError, IssuedKey};

/// Most peers that are counted one by one. Each takes about 100 bytes; beyond, new peers share one
/// bucket until old ones are forgotten.
const PEERS_MAX: usize = 10_000;
/// Most keys with limits of their own that are counted. There are fewer at a time; beyond, those that came and went are
/// forgotten, and all begin anew.
const OWN_MAX: usize = 4096;
/// How often a full table is swept at most: sweeping looks at every peer.
const SWEEP_EVERY_MS: u64 = 1000;

/// A token bucket: so many requests per second, with bursts of so many. Each process counts for itself; what that means
/// for several is what their [`RateShare`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests per second in the long run.
    pub per_second: NonZeroU32,
    /// Requests that may come at once.
    pub burst: NonZeroU32,
}

impl RateLimit {
    fn quota(self) -> Quota {
        Quota::per_second(self.per_second).allow_burst(self.burst)
    }
}

/// Into how many equal parts a limit is divided, each for one process. Cheap to clone; clones are the same number.
///
/// A request takes as many tokens as there are parts. A caller whose requests a load balancer spreads evenly gets the
/// whole limit, without any process having to ask another; one that always comes to the same process gets one part.
#[derive(Clone, Debug)]
pub struct RateShare(Arc<AtomicU32>);

impl Default for RateShare {
    /// One: the limit is each process's own.
    fn default() -> Self {
        Self(Arc::new(AtomicU32::new(1)))
    }
}

impl RateShare {
    /// Divides limits among so many processes from now on.
    pub fn set(&self, parts: NonZeroU32) {
        self.0.store(parts.get(), Ordering::Relaxed);
    }

    /// What a request takes from a bucket of this size: never more than it can hold.
    fn tokens(&self, burst: NonZeroU32) -> NonZeroU32 {
        NonZeroU32::new(self.0.load(Ordering::Relaxed)).map_or(burst, |parts| parts.min(burst))
    }
}

/// One bucket per API key, and one per peer for callers without a valid one. What a caller makes up
/// never chooses its bucket.
pub(crate) struct RateLimiters {
    keys: Vec<DefaultDirectRateLimiter>,
    /// By id. There are as many as keys were given out while this process runs.
    issued: DefaultKeyedRateLimiter<String>,
    /// By id: those that have a limit of their own, and it.
    own: Mutex<BTreeMap<String, (RateLimit, Arc<DefaultDirectRateLimiter>)>>,
    peers: DefaultKeyedRateLimiter<IpAddr>,
    other_peers: DefaultDirectRateLimiter,
    burst: NonZeroU32,
    share: RateShare,
    clock: DefaultClock,
    started: Instant,
    swept_ms: AtomicU64,
}

impl RateLimiters {
    pub(crate) fn new(limit: RateLimit, keys: usize, share: RateShare) -> Self {
        Self::with_quota(limit.quota(), keys, share)
    }

    fn with_quota(quota: Quota, keys: usize, share: RateShare) -> Self {
        Self {
            keys: (0..keys).map(|_| RateLimiter::direct(quota)).collect(),
            issued: RateLimiter::keyed(quota),
            own: Mutex::default(),
            peers: RateLimiter::keyed(quota),
            other_peers: RateLimiter::direct(quota),
            burst: quota.burst_size(),
            share,
            clock: DefaultClock::default(),
            started: Instant::now(),
            swept_ms: AtomicU64::new(0),
        }
    }

    /// Counts a request of the holder of a key.
    pub(crate) fn check_key(&self, index: usize) -> Result<(), ApiError> {
        match self.keys.get(index) {
            Some(limiter) => self.answer(limiter.check_n(self.tokens())),
            None => Ok(()),
        }
    }

    /// Counts a request of the holder of a key that was given out.
    pub(crate) fn check_issued(&self, key: &IssuedKey) -> Result<(), ApiError> {
        self.answer(match key.rate {
            Some(limit) => {
                let tokens = self.share.tokens(limit.burst);
                self.own(&key.id, limit).check_n(tokens)
            }
            None => self.issued.check_key_n(&key.id, self.tokens()),
        })
    }

    fn own(&self, id: &str, limit: RateLimit) -> Arc<DefaultDirectRateLimiter> {
        // Nothing under this lock can be left half done.
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, limiter)) = own.get(id)
            && *known == limit
        {
            return Arc::clone(limiter);
        }
        if own.len() >= OWN_MAX {
            own.clear();
        }
        let limiter = Arc::new(RateLimiter::direct(limit.quota()));
        own.insert(id.to_owned(), (limit, Arc::clone(&limiter)));
        limiter
    }

    /// Counts a request of somebody without a valid key.
    pub(crate) fn check_peer(&self, peer: IpAddr) -> Result<(), ApiError> {
        if self.peers.len() >= PEERS_MAX {
            self.sweep();
        }
        self.answer(if self.peers.len() >= PEERS_MAX {
            self.other_peers.check_n(self.tokens())
        } else {
            self.peers.check_key_n(&network_of(peer), self.tokens())
        })
    }

    fn tokens(&self) -> NonZeroU32 {
        self.share.tokens(self.burst)
    }

    fn answer(
        &self,
        checked: Result<
            Result<(), NotUntil<<DefaultClock as Clock>::Instant>>,
            InsufficientCapacity,
        >,
    ) -> Result<(), ApiError> {
        match checked {
            Ok(Ok(())) => Ok(()),
            Ok(Err(wait)) => Err(self.refuse(&wait)),
            // No bucket is asked for more than it can hold.
            Err(InsufficientCapacity(_)) => Err(ApiError::new(
                ErrorKind::TooManyRequests { after: 1 },
                "Too Many Requests",
            )),
        }
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
        RateLimiters::with_quota(
            quota.allow_burst(NonZeroU32::new(2).unwrap()),
            keys,
            RateShare::default(),
        )
    }

    #[test]
    fn a_limit_is_divided_among_processes() {
        let limit = RateLimit {
            per_second: NonZeroU32::MIN,
            burst: NonZeroU32::new(6).unwrap(),
        };
        let share = RateShare::default();
        let limiters = RateLimiters::new(limit, 1, share.clone());
        let taken = || {
            (0..100)
                .take_while(|_| limiters.check_key(0).is_ok())
                .count()
        };
        share.set(NonZeroU32::new(3).unwrap());
        assert_eq!(taken(), 2, "a third");
        let own = issued(
            "own",
            Some(RateLimit {
                burst: NonZeroU32::new(2).unwrap(),
                ..limit
            }),
        );
        assert!(
            limiters.check_issued(&own).is_ok(),
            "a bucket smaller than the fleet lets one through"
        );
        assert!(limiters.check_issued(&own).is_err());
        let peer = "192.0.2.1".parse().unwrap();
        share.set(NonZeroU32::MIN);
        assert_eq!(
            (0..100)
                .take_while(|_| limiters.check_peer(peer).is_ok())
                .count(),
            6
        );
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
        let [one, other] = ["one", "other"].map(|id| issued(id, None));
        assert!(limiters.check_issued(&one).is_ok());
        assert!(limiters.check_issued(&one).is_ok());
        assert!(limiters.check_issued(&one).is_err());
        assert!(limiters.check_issued(&other).is_ok());
        assert!(limiters.check_key(0).is_ok());
    }

    fn issued(id: &str, rate: Option<RateLimit>) -> IssuedKey {
        IssuedKey {
            id: id.to_owned(),
            name: String::new(),
            permissions: Vec::new(),
            origins: Vec::new(),
            rate,
        }
    }

    #[test]
    fn a_key_with_a_limit_of_its_own_is_held_to_it_and_to_no_other() {
        let limiters = limiters(1);
        let limit = |burst| RateLimit {
            per_second: NonZeroU32::MIN,
            burst: NonZeroU32::new(burst).unwrap(),
        };
        let own = issued("own", Some(limit(5)));
        for _ in 0..5 {
            assert!(limiters.check_issued(&own).is_ok());
        }
        let refused = limiters.check_issued(&own).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::TooManyRequests { after: 1 });
        assert!(
            limiters
                .check_issued(&issued("other", Some(limit(1))))
                .is_ok()
        );
        let changed = issued("own", Some(limit(6)));
        assert!(
            limiters.check_issued(&changed).is_ok(),
            "another limit counts anew"
        );
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
