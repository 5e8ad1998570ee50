//! A node: its head, its pool, and what it answers.

use super::pool::Pool;

/// A node.
#[derive(Debug)]
pub(crate) struct Node {
    /// Place of the block that it takes for the head.
    pub(crate) head: usize,
    pub(crate) pool: Pool,
    /// Until then it takes in no blocks, in milliseconds of the world.
    pub(crate) stuck_until_ms: u64,
}

/// Why a node does not take a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// What coverage knows it by: how its text begins.
    pub(crate) what: &'static str,
    /// The node's text.
    pub(crate) message: String,
}

impl Node {
    pub(super) fn new(head: usize) -> Self {
        Self {
            head,
            pool: Pool::default(),
            stuck_until_ms: 0,
        }
    }
}

impl Refusal {
    pub(super) fn new(what: &'static str, rest: &str) -> Self {
        Self {
            what,
            message: format!("{what}{rest}"),
        }
    }

    pub(crate) fn is_missing_predecessor(&self) -> bool {
        self.what == "nonce too high"
    }
}
