//! The record of one endpoint's behaviour. Time is an argument.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// When an endpoint is paused.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) threshold: u32,
    pub(crate) window: Duration,
    pub(crate) pause: Duration,
}

/// How usable an endpoint is; less is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// The last exchange went well, or there was none.
    Sound,
    /// The last exchange went wrong.
    Failing,
    /// Failed too often lately: used only when nothing better is left.
    Paused,
}

/// What happened at one endpoint lately.
#[derive(Debug, Default)]
pub(crate) struct Health {
    failures: VecDeque<Instant>,
    paused_until: Option<Instant>,
    last_success: Option<Instant>,
    troubled: bool,
}

impl Health {
    /// An exchange went well. A pause goes on: it is there to let the endpoint recover.
    pub(crate) fn succeeded(&mut self, now: Instant) {
        self.last_success = Some(now);
        self.troubled = false;
    }

    /// An exchange went wrong, but may be tried again.
    pub(crate) fn stumbled(&mut self) {
        self.troubled = true;
    }

    /// A question was given up here. The endpoint is paused when that happened too often.
    pub(crate) fn failed(&mut self, now: Instant, rules: &Rules) {
        self.troubled = true;
        self.forget(now, rules);
        self.failures.push_back(now);
        if self.failures.len() >= rules.threshold as usize {
            self.paused_until = Some(now + rules.pause);
            self.failures.clear();
        }
    }

    pub(crate) fn class(&self, now: Instant) -> Class {
        if self.paused_until.is_some_and(|until| now < until) {
            Class::Paused
        } else if self.troubled {
            Class::Failing
        } else {
            Class::Sound
        }
    }

    /// Failures that still count.
    pub(crate) fn failures(&self, now: Instant, rules: &Rules) -> usize {
        self.failures
            .iter()
            .filter(|at| now.duration_since(**at) < rules.window)
            .count()
    }

    pub(crate) fn succeeded_within(&self, now: Instant, span: Duration) -> bool {
        self.last_success
            .is_some_and(|at| now.duration_since(at) <= span)
    }

    fn forget(&mut self, now: Instant, rules: &Rules) {
        while self
            .failures
            .front()
            .is_some_and(|at| now.duration_since(*at) >= rules.window)
        {
            self.failures.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules {
        threshold: 3,
        window: Duration::from_secs(60),
        pause: Duration::from_secs(60),
    };

    #[test]
    fn three_failures_within_the_window_pause_for_the_pause() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut health = Health::default();
        health.failed(at(0), &RULES);
        health.failed(at(1), &RULES);
        assert_eq!(health.class(at(1)), Class::Failing);
        health.failed(at(2), &RULES);
        assert_eq!(health.class(at(61)), Class::Paused);
        health.succeeded(at(61));
        assert_eq!(health.class(at(61)), Class::Paused);
        assert_eq!(health.class(at(62)), Class::Sound);
    }

    #[test]
    fn old_failures_do_not_count() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut health = Health::default();
        health.failed(at(0), &RULES);
        health.failed(at(1), &RULES);
        health.failed(at(60), &RULES);
        assert_eq!(health.class(at(60)), Class::Failing);
        assert_eq!(health.failures(at(60), &RULES), 2);
        health.succeeded(at(60));
        assert_eq!(health.class(at(60)), Class::Sound);
        assert!(health.succeeded_within(at(70), Duration::from_secs(10)));
        assert!(!health.succeeded_within(at(71), Duration::from_secs(10)));
    }
}
