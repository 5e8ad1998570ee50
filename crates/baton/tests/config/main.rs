//! What configurations say to their authors: every bad one with the exact answer, and the good ones as settings.

#![expect(
    clippy::unwrap_used,
    reason = "a failed step of a test's own set-up should stop the test"
)]

mod bad_environment;
mod bad_files;
mod bad_networks;
mod good;
mod good_networks;
mod remote_signers;
mod secrecy;
mod storage;
mod support;
