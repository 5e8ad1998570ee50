//! What the `baton` program is made of.

pub mod app;
pub mod cli;
pub mod commands;
pub mod config;
pub mod logging;
mod rpc_metrics;
pub mod traces;
