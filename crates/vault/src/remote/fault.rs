//! Why a service gave no signature, and what that allows.

use std::time::Duration;

use super::OpenError;

/// Most bytes of a service's own words in an error: a sentence or two, and no page of HTML.
const WORDS_MAX: usize = 300;

/// What a failure allows next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FaultKind {
    /// It may work at the next try.
    Passing,
    /// The credentials shown are not taken; fresh ones may be.
    Credentials,
    /// It will not work until somebody changes something.
    Lasting,
}

/// Why there is no answer to use. The text holds no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) kind: FaultKind,
    pub(super) reason: String,
    /// How long the service asks to be left alone.
    pub(super) wait: Option<Duration>,
}

impl Fault {
    pub(super) fn passing(reason: impl Into<String>) -> Self {
        Self::new(FaultKind::Passing, reason)
    }

    pub(super) fn credentials(reason: impl Into<String>) -> Self {
        Self::new(FaultKind::Credentials, reason)
    }

    pub(super) fn lasting(reason: impl Into<String>) -> Self {
        Self::new(FaultKind::Lasting, reason)
    }

    fn new(kind: FaultKind, reason: impl Into<String>) -> Self {
        Self {
            kind,
            reason: reason.into(),
            wait: None,
        }
    }

    /// Says what was being done.
    pub(super) fn during(mut self, what: &str) -> Self {
        self.reason = format!("{what}: {}", self.reason);
        self
    }

    /// Says what to do about it.
    pub(super) fn advise(mut self, advice: &str) -> Self {
        self.reason.push_str("; ");
        self.reason.push_str(advice);
        self
    }
}

impl From<Fault> for OpenError {
    fn from(fault: Fault) -> Self {
        let reason = fault.reason;
        match fault.kind {
            FaultKind::Passing => Self::Unavailable { reason },
            FaultKind::Credentials | FaultKind::Lasting => Self::Refused { reason },
        }
    }
}

/// A service's own words, short and in one line.
pub(super) fn words(text: &str) -> String {
    let mut line = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()) {
        if word.is_empty() {
            continue;
        }
        if line.len() + word.len() > WORDS_MAX {
            line.push_str(" …");
            break;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_one_short_line() {
        assert_eq!(words("  a\n\tb \u{7} c "), "a b c");
        assert_eq!(words(""), "");
        let long = words(&"word ".repeat(1000));
        assert!(long.len() < WORDS_MAX + 8 && long.ends_with('…'), "{long}");
        assert_eq!(words(&"x".repeat(1000)), " …");
    }
}
