//! Clients of EVM chains: what the engine needs of a chain, and how nodes are asked for it.
//!
//! [`ChainClient`] is the seam. [`EvmClient`] is its implementation over JSON-RPC nodes; [`tx`]
//! encodes transactions. This crate signs nothing, stores nothing and decides nothing about nonces
//! or fees.

mod client;
mod config;
mod evm;
mod rpc;
pub mod tx;

pub use client::{
    AccountView, BlockView, ChainClient, Estimate, HeadRef, Market, NodeAnswer, ObservedTx,
    PassedAnswer, PassedCall, Receipt, RpcError,
};
pub use config::{ConfigError, Endpoint, EvmClientConfig};
pub use evm::{ChainIdError, EvmClient};
pub use rpc::{EndpointHealth, RpcObserver, RpcOutcome, Unobserved};
