//! The whole program against a real node: one process, its embedded store, and anvil.

#![expect(
    clippy::unwrap_used,
    reason = "a failed step of a test's own set-up should stop the test"
)]

mod caller;
mod commands;
mod crash;
mod fleet;
mod main_job;
mod node;
mod reconfigured;
mod registry;
mod remote_signer;
mod requests;
mod schemathesis;
mod sdk;
mod sealed;
mod shared_nonce;
mod support;
mod traces;
mod webhooks;
