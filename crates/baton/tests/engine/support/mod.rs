//! What the tests stand on: a real node, the program as a process of its own, and a caller.

mod api;
mod chain;
mod process;
mod world;

use std::time::Duration;

use baton_model::{Address, B256};
use serde_json::{Value, json};
use tokio::time::Instant;

pub(crate) use api::{Answer, Api};
pub(crate) use chain::Chain;
pub(crate) use process::{Engine, bytes_under};
pub(crate) use world::{Setup, World};

/// Longest wait for anything: tests share two cores with each other and with compilers.
pub(crate) const LONGEST: Duration = Duration::from_secs(60);
/// How often it is looked whether something has happened.
const POLL: Duration = Duration::from_millis(15);

/// Waits until a look finds something. Panics with `what` when it takes too long.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LONGEST;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {LONGEST:?}: {what}");
        tokio::time::sleep(POLL).await;
    }
}

/// An address that nobody has used on a test's own chain.
pub(crate) fn fresh_address(index: usize) -> Address {
    let hash: B256 = alloy_primitives::keccak256(format!("fresh/{index}"));
    Address::from_slice(&hash[12..])
}

/// Several of them.
pub(crate) fn fresh_addresses(count: usize) -> Vec<Address> {
    (0..count).map(fresh_address).collect()
}

/// The body of a transfer of 1 wei.
pub(crate) fn transfer(to: Address) -> Value {
    json!({ "to": to, "value": "1", "data": "0x", "speed": "fast" })
}

/// The same with a gas limit, so that no node is asked for an estimate.
pub(crate) fn plain_transfer(to: Address) -> Value {
    json!({ "to": to, "value": 1, "data": "0x", "speed": "fast", "gas_limit": 21_000 })
}
