//! The EVM client against anvil, and against servers that do everything nodes should not do.

#[cfg(test)]
mod anvil;
#[cfg(test)]
mod batches;
#[cfg(test)]
mod failover;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod heads;
#[cfg(test)]
mod lookup;
#[cfg(test)]
mod passed;
#[cfg(test)]
mod sends;
#[cfg(test)]
mod settings;
#[cfg(test)]
mod support;
