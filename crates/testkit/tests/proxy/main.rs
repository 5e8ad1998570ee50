//! The fault proxy, over real sockets, in front of a real anvil.

#[cfg(test)]
mod faults;
#[cfg(test)]
mod outages;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod stale;
#[cfg(test)]
mod strict;
#[cfg(test)]
mod support;
#[cfg(test)]
mod trace;
