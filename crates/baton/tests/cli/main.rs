//! The command line: what it prints, what it refuses, and how it ends.

#![expect(
    clippy::unwrap_used,
    reason = "a failed step of a test's own set-up should stop the test"
)]

mod bad_input;
mod caller;
mod good;
mod support;
