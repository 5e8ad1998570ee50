//! Two facts about every error: who can mend it, and whether trying again can help.

/// Who has to act before the same operation can succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Blame {
    /// The caller sent something that can never work as it is.
    Caller,
    /// Whoever runs Baton: a setting, a key, funds, a disk.
    Operator,
    /// A node, key service or other remote system.
    Upstream,
    /// Baton itself: a defect.
    Internal,
}

/// Whether the same operation may be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retry {
    /// The answer will not change.
    Never,
    /// The operation had no effect and may be repeated.
    Safe,
    /// The operation may or may not have had its effect: repeat only what is idempotent.
    Unknown,
}

/// An error that can be turned into an answer, a metric and a decision without looking at its text.
pub trait Classified: std::error::Error {
    /// Who has to act.
    fn blame(&self) -> Blame;
    /// Whether to try again.
    fn retry(&self) -> Retry;
}
