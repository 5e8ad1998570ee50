//! How nodes are asked: one HTTP exchange, the state of an endpoint, the choice among endpoints,
//! the queues of sends and the heads. Nothing here knows what the answers mean.

mod board;
mod follow;
mod health;
mod http;
mod node;
mod observe;
mod pool;
mod send;
mod wire;

pub(crate) use follow::Feed;
pub(crate) use http::client as http_client;
pub(crate) use node::{Feature, Node};
pub use observe::{RpcObserver, RpcOutcome, Unobserved};
pub use pool::EndpointHealth;
pub(crate) use pool::{Pool, Read};
pub(crate) use send::{SendQueues, collect};
pub(crate) use wire::{Ask, Reply};
