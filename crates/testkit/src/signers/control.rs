//! How a key service is told to fail, and what it has been asked.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Getting a token or credentials.
    Login,
    /// Reading a key, or its public half.
    Read,
    /// Signing.
    Sign,
}

/// A way of failing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyFault {
    /// Answers with a status, in the service's form of an error, and with what it was asked in the
    /// text, as a careless service does.
    Status(u16),
    /// Answers 429 and asks to be left alone for some seconds.
    Busy {
        /// `Retry-After`.
        seconds: u64,
    },
    /// Answers only after this time.
    Slow(Duration),
    /// Never answers.
    Hang,
    /// Cuts the connection within the answer.
    Cut,
    /// Answers 200 with something that is no answer.
    Garbage,
    /// Signs with another key.
    OtherKey,
    /// Signs with `s` in the upper half of the group order.
    HighS,
    /// Answers with bytes that are no signature.
    NoSignature,
}

/// How often a fault comes up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// For so many requests.
    Next(u32),
    /// Until it is cleared.
    Always,
}

/// Tells a running service how to behave. Clones tell the same one.
#[derive(Clone, Debug)]
pub struct KeyServiceControl {
    rules: Arc<Mutex<Vec<Rule>>>,
    seen: Arc<watch::Sender<Vec<(Step, u16)>>>,
}

#[derive(Debug)]
struct Rule {
    step: Option<Step>,
    times: Times,
    fault: KeyFault,
}

impl KeyServiceControl {
    pub(super) fn new() -> Self {
        Self {
            rules: Arc::default(),
            seen: Arc::new(watch::Sender::new(Vec::new())),
        }
    }

    /// Adds a fault for requests of a step, or for all. The oldest that fits comes up first.
    pub fn fail(&self, step: Option<Step>, times: Times, fault: KeyFault) {
        self.rules().push(Rule { step, times, fault });
    }

    /// Forgets all faults.
    pub fn recover(&self) {
        self.rules().clear();
    }

    /// How many requests of a step were answered with a status; a status of 0 is that of requests
    /// that got no answer.
    pub fn count(&self, step: Step, status: u16) -> usize {
        let wanted = (step, status);
        let seen = self.seen.borrow();
        seen.iter().filter(|seen| **seen == wanted).count()
    }

    /// How many requests of a step were received, whatever came of them.
    pub fn asked(&self, step: Step) -> usize {
        let seen = self.seen.borrow();
        seen.iter().filter(|seen| seen.0 == step).count()
    }

    /// Waits until so many requests of a step were received, whatever came of them.
    pub async fn wait_for(&self, step: Step, count: usize) {
        let enough =
            |seen: &Vec<(Step, u16)>| seen.iter().filter(|seen| seen.0 == step).count() >= count;
        let mut seen = self.seen.subscribe();
        // The sender lives as long as `self`.
        let _seen = seen.wait_for(enough).await;
    }

    pub(super) fn next(&self, step: Step) -> Option<KeyFault> {
        let mut rules = self.rules();
        let place = rules
            .iter()
            .position(|rule| rule.step.is_none_or(|wanted| wanted == step))?;
        let rule = &mut rules[place];
        let fault = rule.fault.clone();
        if let Times::Next(left) = &mut rule.times {
            *left = left.saturating_sub(1);
            if *left == 0 {
                rules.remove(place);
            }
        }
        Some(fault)
    }

    pub(super) fn saw(&self, step: Step, status: u16) {
        self.seen.send_modify(|seen| seen.push((step, status)));
    }

    fn rules(&self) -> MutexGuard<'_, Vec<Rule>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
