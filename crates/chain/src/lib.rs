//! Clients of EVM chains: what the engine needs of a chain, and how nodes are asked for it.

mod client;

pub use client::{
    AccountView, BlockView, ChainClient, Estimate, HeadRef, Market, NodeAnswer, ObservedTx,
    Receipt, RpcError,
};
