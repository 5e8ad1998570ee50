//! The driver against the reference store, a scripted chain, and time that is advanced by hand.

#[cfg(test)]
mod baton;
#[cfg(test)]
mod fleet;
#[cfg(test)]
mod follower;
#[cfg(test)]
mod lane;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod questions;
#[cfg(test)]
mod store_faults;
#[cfg(test)]
mod support;
#[cfg(test)]
mod webhooks;
