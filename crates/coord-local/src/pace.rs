//! When the next group begins: at once, or a little later so that more share its flush.

use std::time::Duration;

use tokio::time::Instant;

/// Weight of the last group in the mean, as a power of two: the mean follows a change of load within some ten groups.
const SMOOTHING: u32 = 3;
/// One job, as the mean counts.
const ONE: u32 = 256;
/// Mean jobs of a group beyond which groups are spread out: a quarter above one. Whoever commits one batch after the
/// other, alone, always has groups of one and is never made to wait.
const CROWD: u32 = ONE + ONE / 4;
/// Jobs that are waited for no longer: more would gain little for each.
pub(crate) const ENOUGH: usize = 64;

/// Spreads groups out while several writers share them.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Least time from the begin of one group to that of the next, while there is a crowd.
    gather: Duration,
    /// Mean jobs of the last groups, in parts of [`ONE`].
    mean: u32,
    began: Option<Instant>,
}

impl Pace {
    pub(crate) const fn new(gather: Duration) -> Self {
        Self {
            gather,
            mean: ONE,
            began: None,
        }
    }

    /// How long the next group waits for company, with so many jobs there already.
    pub(crate) fn wait(&self, now: Instant, waiting: usize) -> Duration {
        let crowded = self.mean > CROWD && waiting < ENOUGH;
        match self.began {
            Some(began) if crowded => self.gather.saturating_sub(now - began),
            Some(_) | None => Duration::ZERO,
        }
    }

    /// A group of so many jobs began.
    pub(crate) fn began(&mut self, now: Instant, jobs: usize) {
        let jobs = u32::try_from(jobs.min(ENOUGH)).unwrap_or(u32::MAX);
        self.mean = self.mean - (self.mean >> SMOOTHING) + ((jobs * ONE) >> SMOOTHING);
        self.began = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GATHER: Duration = Duration::from_millis(2);

    #[test]
    fn a_writer_alone_never_waits() {
        let mut pace = Pace::new(GATHER);
        let now = Instant::now();
        for _ in 0..100 {
            assert_eq!(pace.wait(now, 1), Duration::ZERO);
            pace.began(now, 1);
        }
    }

    #[test]
    fn a_crowd_shares_a_group_until_it_has_gone() {
        let mut pace = Pace::new(GATHER);
        let now = Instant::now();
        for _ in 0..20 {
            pace.began(now, 3);
        }
        assert_eq!(pace.wait(now, 1), GATHER);
        let later = now + Duration::from_micros(1500);
        assert_eq!(pace.wait(later, 1), Duration::from_micros(500));
        assert_eq!(pace.wait(now + GATHER * 2, 1), Duration::ZERO);
        assert_eq!(pace.wait(now, ENOUGH), Duration::ZERO, "there is enough");
        for _ in 0..40 {
            pace.began(now, 1);
        }
        assert_eq!(pace.wait(now, 1), Duration::ZERO);
    }
}
