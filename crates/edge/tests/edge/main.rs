//! The edge as its callers see it: over real sockets, with a real HTTP client.

#[cfg(test)]
mod bad_requests;
#[cfg(test)]
mod listener;
#[cfg(test)]
mod logs;
#[cfg(test)]
mod probes;
#[cfg(test)]
mod stack;
#[cfg(test)]
mod support;
