//! The machine's clock.

use std::time::SystemTime;

use baton_coord::Clock;
use baton_model::Timestamp;
use tokio::time::Instant;

/// The time of day at the start of the process, moved on by the machine's steady clock: setting the
/// machine's clock neither ends nor prolongs a lease. Leases do not outlive the process, so nothing
/// else has to agree with it.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    started: Timestamp,
    steady: Instant,
}

impl SystemClock {
    /// A clock that starts at the machine's time of day.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place of this crate that reads the machine's clock"
    )]
    pub fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self {
            started: Timestamp::default().saturating_add(since_epoch.unwrap_or_default()),
            steady: Instant::now(),
        }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        self.started.saturating_add(self.steady.elapsed())
    }
}
