//! The whole program against a real node: one process, its embedded store, and anvil.

mod main_job;
mod support;
