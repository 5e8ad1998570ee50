//! What each command does.

pub mod bench;
pub mod caller;
mod child;
pub mod config;
pub mod demo;
pub mod engine;
pub mod fleet;
pub mod health;
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

/// Rows under headings, in columns as wide as they have to be.
pub(crate) fn table(headings: &[&str], rows: Vec<Vec<String>>) -> String {
    let headings: Vec<String> = headings
        .iter()
        .map(|heading| (*heading).to_owned())
        .collect();
    let all: Vec<Vec<String>> = std::iter::once(headings).chain(rows).collect();
    let columns = all.first().map_or(0, Vec::len);
    let width = |column: usize| all.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..columns)
        .map(|column| width(column).unwrap_or(0))
        .collect();
    let lines = all.iter().map(|row| {
        let cells = row.iter().zip(&widths);
        let line: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        format!("{}\n", line.join("  ").trim_end())
    });
    lines.collect()
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
