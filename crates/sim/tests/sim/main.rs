//! Runs of the simulator as ordinary tests.

mod mutants;
mod seeds;
