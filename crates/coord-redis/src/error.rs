//! Why a store does not open, and what an error of the server says about what was done.

use baton_coord::StoreError;

/// Why a store was not opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// An option breaks a rule.
    #[error("{option} {rule}; found {found:?}")]
    Option {
        /// Which.
        option: &'static str,
        /// What it must be.
        rule: &'static str,
        /// What it is.
        found: String,
    },
    /// A server that must not be used as it is set up.
    #[error("the server at {address} cannot be used: {reason}")]
    Unfit {
        /// Where it listens.
        address: String,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// No server that can be used answers.
    #[error("no server answers: {reason}")]
    Unavailable {
        /// What went wrong.
        reason: String,
    },
}

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Nothing was done.
    NotDone(String),
    /// Whether anything was done is not known.
    Unknown(String),
    /// Nothing was done: the lane is served by another run of a server than the one asked for.
    Elsewhere,
}

impl Failure {
    /// The same for a question, which does nothing anyway.
    pub(crate) fn of_read(self) -> StoreError {
        let reason = match self {
            Self::NotDone(reason) | Self::Unknown(reason) => reason,
            Self::Elsewhere => "the lane is served by another server".to_owned(),
        };
        StoreError::Unavailable { reason }
    }
}

/// What an error that a server answered with says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The server does not know the script: nothing was done.
    NoScript,
    /// Another server has the slot: nothing was done.
    Moved(String),
    /// Another server takes this call: nothing was done.
    Ask(String),
    /// The server cannot take it now, another or a later try may: nothing was done.
    Later,
    /// The server will not take it: nothing was done.
    Refused,
    /// Anything else: a script may have stopped half way.
    Other,
}

/// Reads the code and the text of an error that the server answered with.
pub(crate) fn verdict(code: &str, detail: &str) -> Verdict {
    // "MOVED 3999 127.0.0.1:6381"
    let target = || detail.split(' ').nth(1).unwrap_or_default().to_owned();
    match code {
        "NOSCRIPT" => Verdict::NoScript,
        "MOVED" => Verdict::Moved(target()),
        "ASK" => Verdict::Ask(target()),
        "TRYAGAIN" | "CLUSTERDOWN" | "LOADING" | "MASTERDOWN" | "READONLY" => Verdict::Later,
        "OOM" | "MISCONF" | "NOREPLICAS" | "NOAUTH" | "NOPERM" | "BUSY" | "DENIED" => {
            Verdict::Refused
        }
        _ => Verdict::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_surely_did_nothing_counts_as_not_done() {
        let moved = Verdict::Moved("127.0.0.1:6381".to_owned());
        assert_eq!(verdict("MOVED", "3999 127.0.0.1:6381"), moved);
        assert_eq!(verdict("READONLY", "You can't write"), Verdict::Later);
        assert_eq!(verdict("OOM", "command not allowed"), Verdict::Refused);
        assert_eq!(verdict("ERR", "user_script:12: ..."), Verdict::Other);
        assert_eq!(verdict("WRONGTYPE", "..."), Verdict::Other);
        assert_eq!(verdict("MOVED", ""), Verdict::Moved(String::new()));
    }
}
