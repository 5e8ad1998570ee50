//! The whole program against a real node: one process, its embedded store, and anvil.

mod commands;
mod crash;
mod main_job;
mod node;
mod requests;
mod sealed;
mod shared_nonce;
mod support;
