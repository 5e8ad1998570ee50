//! Devnets, faults and the simulator: development only.

mod anvil;

pub use anvil::{Anvil, AnvilError, AnvilOptions, Mining};
