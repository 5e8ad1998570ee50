//! The EVM client against anvil, and against servers that do everything nodes should not do.

mod anvil;
mod batches;
mod faults;
mod failover;
mod fake;
mod heads;
mod lookup;
mod sends;
mod support;
