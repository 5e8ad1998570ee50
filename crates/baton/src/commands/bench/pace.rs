//! When requests are due: at a fixed rate, whatever became of those before.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// Most requests of one step: each is remembered with its times until the step ends, about 0.5 kB.
const COUNT_MAX: u64 = 500_000;

/// A step's requests over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Schedule {
    rate: u32,
    warm_up: Duration,
    measure: Duration,
}

impl Schedule {
    /// `rate` requests per second, more than zero.
    ///
    /// # Errors
    /// When that makes no request, or more than a step may have.
    pub(super) fn new(rate: u32, warm_up: Duration, measure: Duration) -> Result<Self> {
        let schedule = Self {
            rate,
            warm_up,
            measure,
        };
        let count = schedule.exact_count();
        ensure!(
            (1..=COUNT_MAX).contains(&count),
            "a step must have 1 to {COUNT_MAX} requests; --rates {rate} over {:?} makes {count}",
            warm_up + measure
        );
        Ok(schedule)
    }

    /// So many requests at a rate, all of them measured.
    pub(super) fn of_count(count: u32, rate: u32) -> Result<Self> {
        let nanos = (u64::from(count) * 1_000_000_000).div_ceil(u64::from(rate));
        Self::new(rate, Duration::ZERO, Duration::from_nanos(nanos))
    }

    pub(super) const fn rate(&self) -> u32 {
        self.rate
    }

    /// Requests in all.
    pub(super) fn count(&self) -> usize {
        usize::try_from(self.exact_count()).unwrap_or(usize::MAX)
    }

    /// How long after the start a request is due.
    pub(super) fn due(&self, index: usize) -> Duration {
        let index = u64::try_from(index).unwrap_or(u64::MAX);
        Duration::from_nanos(index.saturating_mul(1_000_000_000) / u64::from(self.rate))
    }

    /// Whether a request counts: it is due after the warm-up.
    pub(super) fn is_measured(&self, index: usize) -> bool {
        self.due(index) >= self.warm_up
    }

    /// When measuring begins and ends, after the start.
    pub(super) fn window(&self) -> (Duration, Duration) {
        (self.warm_up, self.warm_up + self.measure)
    }

    fn exact_count(&self) -> u64 {
        let nanos = (self.warm_up + self.measure).as_nanos();
        u64::try_from(nanos * u128::from(self.rate) / 1_000_000_000).unwrap_or(u64::MAX)
    }
}

/// Hands out the requests of a schedule as they become due, to any number of tasks.
#[derive(Debug)]
pub(super) struct Pacer {
    schedule: Schedule,
    start: Instant,
    next: AtomicUsize,
    due: Arc<Semaphore>,
    stop: Arc<AtomicBool>,
}

impl Pacer {
    /// Starts the clock, `lead` from now.
    pub(super) fn start(schedule: Schedule, lead: Duration) -> Self {
        let pacer = Self {
            schedule,
            start: Instant::now() + lead,
            next: AtomicUsize::new(0),
            due: Arc::new(Semaphore::new(0)),
            stop: Arc::default(),
        };
        let (start, due, stop) = (pacer.start, Arc::clone(&pacer.due), Arc::clone(&pacer.stop));
        tokio::task::spawn_blocking(move || tick(schedule, start, &due, &stop));
        pacer
    }

    pub(super) const fn started(&self) -> Instant {
        self.start
    }

    /// Waits for the next request that is due. `None` after the last, and after the end.
    pub(super) async fn next(&self) -> Option<(usize, Instant)> {
        self.due.acquire().await.ok()?.forget();
        if self.stop.load(Ordering::Relaxed) {
            return None;
        }
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        (index < self.schedule.count()).then(|| (index, self.start + self.schedule.due(index)))
    }

    /// Hands out nothing more.
    pub(super) fn end(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Drop for Pacer {
    fn drop(&mut self) {
        self.end();
    }
}

/// A thread of its own: the runtime's timers are a millisecond coarse, which is a third of what is
/// to be measured.
#[expect(
    clippy::disallowed_methods,
    reason = "a thread that does nothing but wait for the next request to be due"
)]
fn tick(schedule: Schedule, start: Instant, due: &Semaphore, stop: &AtomicBool) {
    let mut released = 0;
    while released < schedule.count() && !stop.load(Ordering::Relaxed) {
        let at = start + schedule.due(released);
        let wait = at.saturating_duration_since(Instant::now());
        if wait.is_zero() {
            due.add_permits(1);
            released += 1;
        } else {
            std::thread::sleep(wait.min(LOOK));
        }
    }
    // Whoever still waits learns that there is nothing more.
    due.add_permits(TAKERS_MAX);
}

/// More than tasks that take requests: a connection has one.
const TAKERS_MAX: usize = 10_000;

/// How often the ticking thread looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_spread_evenly_and_warm_up_is_not_measured() {
        let seconds = Duration::from_secs;
        let schedule = Schedule::new(3, seconds(2), seconds(4)).unwrap();
        assert_eq!(schedule.count(), 18);
        assert_eq!(schedule.due(3), seconds(1));
        assert_eq!(schedule.due(1), Duration::from_nanos(333_333_333));
        assert!(!schedule.is_measured(5));
        assert!(schedule.is_measured(6));
        assert_eq!(schedule.window(), (seconds(2), seconds(6)));
        assert_eq!(Schedule::of_count(1000, 250).unwrap().count(), 1000);
        assert_eq!(Schedule::of_count(1000, 300).unwrap().count(), 1000);
    }

    #[test]
    fn a_step_has_bounds_that_are_named() {
        let error = Schedule::new(20_000, Duration::ZERO, Duration::from_secs(3600)).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("--rates 20000") && text.contains("72000000"),
            "{text}"
        );
        assert!(Schedule::new(1, Duration::ZERO, Duration::from_millis(10)).is_err());
    }

    #[tokio::test]
    async fn nothing_is_handed_out_before_it_is_due_and_everything_once() {
        let schedule = Schedule::of_count(40, 400).unwrap();
        let pacer = Arc::new(Pacer::start(schedule, Duration::ZERO));
        let take = |pacer: Arc<Pacer>| async move {
            let mut taken = Vec::new();
            while let Some((index, due)) = pacer.next().await {
                assert!(Instant::now() >= due);
                taken.push(index);
            }
            taken
        };
        let (one, two) = tokio::join!(take(Arc::clone(&pacer)), take(Arc::clone(&pacer)));
        let mut all = [one, two].concat();
        all.sort_unstable();
        assert_eq!(all, (0..40).collect::<Vec<_>>());
        assert!(pacer.started().elapsed() >= schedule.due(39));
    }

    #[tokio::test]
    async fn nothing_is_handed_out_after_the_end() {
        let hour = Duration::from_secs(3600);
        let pacer = Pacer::start(
            Schedule::new(10, Duration::ZERO, hour).unwrap(),
            Duration::ZERO,
        );
        assert_eq!(pacer.next().await.unwrap().0, 0);
        pacer.end();
        assert_eq!(pacer.next().await, None);
    }
}
