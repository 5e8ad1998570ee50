//! What happened how often, over all runs.

use std::collections::BTreeMap;
use std::fmt;

use crate::fault::{Effect, Fault, Moment};

/// Inputs of a lane that a run can tell apart from outside.
const INPUTS: &[&str] = &[
    "request accepted",
    "cancel",
    "replace",
    "block",
    "rollback",
    "surveyed",
    "receipt found",
    "receipt not found",
    "transaction observed",
    "no transaction observed",
    "gas estimated",
    "gas estimate reverts",
    "market",
    "signed",
    "offer accepted",
    "already known",
    "nonce too low",
    "nonce too high",
    "insufficient funds",
    "replacement transaction underpriced",
    "transaction underpriced",
    "txpool is full",
    "in-flight transaction limit reached",
    "max initcode size exceeded",
    "insertion of another transaction with the same nonce is in progress",
    "address already reserved",
    "max fee per gas less than block base fee",
    "not enough balance to cover the fee",
    "known transaction",
    "gapped-nonce tx from delegated accounts",
];

/// Ends of requests, and what nodes do to pools by themselves.
const ENDS: &[&str] = &[
    "confirmed",
    "failed: reverted",
    "failed: estimate reverts",
    "failed: refused",
    "canceled",
    "expired",
    "executed by a replacement",
    "higher bid signed",
    "no-op signed",
    "attempt adopted",
    "executable slot evicted",
    "gapped slot evicted",
    "request lost by a rolled-back store",
    "fenced",
];

/// Counts, by what happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage(BTreeMap<String, u64>);

impl Coverage {
    /// One that has an entry for everything that can happen.
    pub fn expected() -> Self {
        let mut expected = Self::default();
        let mut expect = |name: String| expected.0.insert(name, 0);
        for fault in Fault::ALL {
            expect(fault_key(*fault));
        }
        for effect in Effect::ALL {
            expect(effect_key(*effect));
            for moment in Moment::ALL {
                expect(crash_key(*effect, *moment));
            }
        }
        for input in INPUTS {
            expect(format!("input   {input}"));
        }
        for end in ENDS {
            expect(format!("outcome {end}"));
        }
        expected
    }

    /// Adds what happened elsewhere.
    pub fn add(&mut self, other: &Self) {
        for (name, count) in &other.0 {
            *self.0.entry(name.clone()).or_default() += count;
        }
    }

    /// What never happened.
    pub fn missing(&self) -> Vec<&str> {
        let missing = self.0.iter().filter(|(_, count)| **count == 0);
        missing.map(|(name, _)| name.as_str()).collect()
    }

    pub(crate) fn fault(&mut self, fault: Fault) {
        self.count(fault_key(fault));
    }

    pub(crate) fn effect(&mut self, effect: Effect) {
        self.count(effect_key(effect));
    }

    pub(crate) fn crash(&mut self, effect: Effect, moment: Moment) {
        self.count(crash_key(effect, moment));
    }

    pub(crate) fn input(&mut self, input: &str) {
        debug_assert!(INPUTS.contains(&input), "{input} is not in INPUTS");
        self.count(format!("input   {input}"));
    }

    /// A node's refusal, which is an input too.
    pub(crate) fn refusal(&mut self, what: &str) {
        self.count(format!("input   {what}"));
    }

    pub(crate) fn end(&mut self, end: &str) {
        debug_assert!(ENDS.contains(&end), "{end} is not in ENDS");
        self.count(format!("outcome {end}"));
    }

    fn count(&mut self, name: String) {
        *self.0.entry(name).or_default() += 1;
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, count) in &self.0 {
            writeln!(f, "{count:>12}  {name}")?;
        }
        Ok(())
    }
}

fn fault_key(fault: Fault) -> String {
    format!("fault   {}", fault.name())
}

fn effect_key(effect: Effect) -> String {
    format!("effect  {}", effect.name())
}

fn crash_key(effect: Effect, moment: Moment) -> String {
    format!("fault   crash {} {}", moment.name(), effect.name())
}
