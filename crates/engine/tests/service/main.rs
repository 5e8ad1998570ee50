//! The service and its HTTP API against the reference store, a lane driven by hand, and a real
//! socket.

#[cfg(test)]
mod bad_requests;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod deliveries;
#[cfg(test)]
mod dry_run;
#[cfg(test)]
mod following;
#[cfg(test)]
mod idempotency;
#[cfg(test)]
mod lists;
#[cfg(test)]
mod many;
#[cfg(test)]
mod openapi;
#[cfg(test)]
mod registry;
#[cfg(test)]
mod relayers;
#[cfg(test)]
mod responses;
#[cfg(test)]
mod support;
