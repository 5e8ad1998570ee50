//! The service and its HTTP API against the reference store, a lane driven by hand, and a real socket.

mod bad_requests;
mod commands;
mod idempotency;
mod lists;
mod relayers;
mod responses;
mod support;
