//! Where time comes from.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use baton_model::Timestamp;

/// The clock by which a store decides when a lease has run out. It is passed in, so that tests and
/// the simulator choose the time.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// A clock that stands still until it is set.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// A clock that shows `start`.
    pub const fn new(start: Timestamp) -> Self {
        Self(AtomicU64::new(start.as_millis()))
    }

    /// Sets the time, forwards or backwards.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.as_millis(), Ordering::SeqCst);
    }

    /// Moves the time forwards.
    pub fn advance(&self, by: Duration) {
        let moved = |now| Some(Timestamp::from_millis(now).saturating_add(by).as_millis());
        let before = self
            .0
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, moved);
        before.expect("the time is always moved");
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}
