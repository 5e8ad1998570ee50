//! What each command does.

pub mod bench;
pub mod caller;
mod child;
pub mod config;
pub mod demo;
pub mod engine;
pub mod keys;

use std::io::{self, Write};
use std::path::Path;

use crate::config::Report;

/// Writes a line to standard output.
pub(crate) fn say(line: impl std::fmt::Display) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{line}")
}

/// An error with its causes, each once: some errors name their cause themselves.
pub fn told(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

/// The error of a command that cannot run with this configuration: every problem of it, not only
/// the first.
pub(crate) fn refuse(file: &Path, report: &Report) -> anyhow::Error {
    let report = report.to_string();
    anyhow::anyhow!(
        "the configuration {} cannot be used; {}",
        file.display(),
        report.trim_end()
    )
}
