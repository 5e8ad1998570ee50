//! The simulator: the real service and the real driver, around the real lanes, in a world where everything else is
//! made from one number.
//!
//! A process is a runtime of its own whose clock moves only when the world lets it: it dies by being dropped, wherever
//! its tasks are, and stands still by not being run while everything else goes on. The store, the nodes, the signers,
//! the clocks and the callers are models that fail in every way that they may, and watch that nothing is lost or done
//! twice.

mod callers;
mod chain;
mod check;
mod coverage;
mod fault;
mod gate;
mod history;
mod logs;
mod mutants;
mod plan;
mod process;
mod rng;
mod run;
mod signer;
mod store;
mod trace;
mod world;

pub use coverage::Coverage;
pub use mutants::{MUTANTS, Mutant};
pub use run::{Outcome, run};
