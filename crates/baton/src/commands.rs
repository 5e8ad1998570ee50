//! What each command does.

pub mod config;
pub mod demo;
pub mod engine;
pub mod keys;

use std::io::{self, Write};

/// Writes a line to standard output.
pub(crate) fn say(line: impl std::fmt::Display) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{line}")
}
