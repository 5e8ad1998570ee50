//! Nouns, units and error classes that every part of Baton shares.
//!
//! Nothing here reads a clock, draws a random number or does I/O. Money is in wei, time in milliseconds since the Unix
//! epoch, gas in gas units.

mod error;
mod id;
mod network;
mod policy;
mod time;
mod tx;

pub use alloy_primitives::{Address, B256, Bytes, U256};
pub use error::{Blame, Classified, Retry};
pub use id::{IdError, LaneId, RelayerId, RequestId};
pub use network::{ChainProfile, Mempool};
pub use policy::EvmPolicy;
pub use time::Timestamp;
pub use tx::{Call, Fees, Pricing, Speed, TxSpec, TxStatus, UnsignedTx};
