//! What a bench found, for people and for programs.

mod markdown;
mod svg;
mod terminal;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

pub(super) use markdown::markdown;
pub(super) use svg::svg;
pub(super) use terminal::terminal;

use super::direct::Direct;
use super::open::Open;
use super::process::Machine;
use super::scenario::Trial;
use super::step::Step;
use super::targets::Target;
use crate::cli::OutputArgs;

/// Everything that was measured.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    /// Of the program that measured.
    pub(super) version: &'static str,
    /// With `--seed`, the same addresses and keys.
    pub(super) seed: u64,
    pub(super) machine: Machine,
    /// What was measured under which conditions, in words.
    pub(super) conditions: Vec<String>,
    pub(super) direct: Option<Direct>,
    pub(super) steps: Vec<Step>,
    /// The highest rate of each search that was kept up with.
    pub(super) sustained: Vec<Sustained>,
    pub(super) open: Option<Open>,
    pub(super) scenarios: Vec<Trial>,
    pub(super) targets: Vec<Target>,
}

/// What a search found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Sustained {
    pub(super) proxy_delay_ms: u64,
    /// The highest rate that was kept up with; `None` if none was.
    pub(super) offered: Option<u32>,
    pub(super) mined_per_second: Option<f64>,
}

impl Report {
    /// Whether every request was executed as it was answered, and every scenario went well.
    pub(super) fn is_exact(&self) -> bool {
        let steps = self.steps.iter().map(|step| step.counts);
        let open = self.open.iter().map(|open| open.counts);
        steps.chain(open).all(|counts| counts.is_exact())
            && self.scenarios.iter().all(Trial::is_sound)
    }

    /// Writes the files that were asked for.
    pub(super) fn write(&self, output: &OutputArgs) -> Result<()> {
        if let Some(path) = &output.json {
            write(path, &serde_json::to_string_pretty(self)?)?;
        }
        if let Some(path) = &output.markdown {
            write(path, &markdown(self))?;
        }
        if let Some(path) = &output.svg {
            write(path, &svg(self))?;
        }
        Ok(())
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// A table of texts: a row of headings, and rows of as many cells.
pub(super) struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

/// The steps as a table.
fn steps(report: &Report) -> Table {
    let headings = vec![
        "delay ms",
        "offered/s",
        "mined/s",
        "of direct",
        "accept p50",
        "p99",
        "to node p50",
        "p99",
        "mined p50",
        "p99",
        "late p99",
        "RPC req/tx",
        "calls/tx",
        "CPU s/1000",
        "RSS MB",
        "store B/tx",
        "idle %",
        "kept up",
        "refused",
        "unknown",
        "doubled",
        "lost",
    ];
    let rows = report.steps.iter().map(|step| {
        let p50 = |times: Option<super::stats::Percentiles>| shown(times.map(|t| t.p50), 1);
        let p99 = |times: Option<super::stats::Percentiles>| shown(times.map(|t| t.p99), 1);
        let counts = step.counts;
        vec![
            step.proxy_delay_ms.to_string(),
            step.offered.to_string(),
            shown(step.mined_per_second, 0),
            percent(step.share_of_direct),
            p50(step.accepted),
            p99(step.accepted),
            p50(step.broadcast),
            p99(step.broadcast),
            p50(step.mined),
            p99(step.mined),
            p99(step.sent),
            shown(step.traffic.as_ref().map(|traffic| traffic.requests), 3),
            shown(step.traffic.as_ref().map(|traffic| traffic.calls), 3),
            shown(step.cpu_seconds_per_1000, 3),
            megabytes(step.resident_peak_bytes),
            shown(step.store_bytes_per_transaction, 0),
            step.machine_idle_percent
                .map_or_else(dash, |idle| idle.to_string()),
            (if step.kept_up { "yes" } else { "no" }).to_owned(),
            counts.refused.to_string(),
            counts.unknown.to_string(),
            counts.doubled.to_string(),
            (counts.lost + counts.refused_but_executed).to_string(),
        ]
    });
    Table {
        headings,
        rows: rows.collect(),
    }
}

/// The scenarios as a table.
fn scenarios(report: &Report) -> Table {
    let headings = vec![
        "",
        "scenario",
        "sent",
        "executed once",
        "lost",
        "doubled",
        "its own figures",
        "problems",
    ];
    let rows = report.scenarios.iter().map(|trial| {
        let counts = trial.counts;
        vec![
            trial.name.clone(),
            trial.title.to_owned(),
            counts.sent.to_string(),
            counts.once.to_string(),
            (counts.lost + counts.refused_but_executed).to_string(),
            counts.doubled.to_string(),
            trial.figures_text(),
            trial.problems.len().to_string(),
        ]
    });
    Table {
        headings,
        rows: rows.collect(),
    }
}

/// What an open run found, as names and values.
fn open_rows(open: &Open) -> Vec<(String, String)> {
    let megabytes = |bytes| format!("{} MB", megabytes(bytes));
    [
        ("accepted", open.counts.accepted.to_string()),
        (
            "doubled / lost",
            format!("{} / {}", open.counts.doubled, open.counts.lost),
        ),
        ("resident memory, idle", megabytes(open.resident_idle_bytes)),
        ("resident memory, all open", megabytes(open.resident_bytes)),
        ("resident memory, peak", megabytes(open.resident_peak_bytes)),
        (
            "resident memory, all open after the restart",
            megabytes(open.resident_after_restart_bytes),
        ),
        (
            "store, bytes per transaction",
            shown(open.store_bytes_per_transaction, 0),
        ),
        (
            "restart to the first broadcast",
            format!("{:.0} ms", open.restart_to_first_ms),
        ),
        (
            "restart to the last broadcast",
            format!("{:.0} ms", open.restart_to_last_ms),
        ),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// The conditions, the node's ceiling and what searches found, a line each.
fn facts(report: &Report) -> Vec<String> {
    let mut facts = report.conditions.clone();
    if let Some(direct) = &report.direct {
        facts.push(format!(
            "direct, without a relayer: {:.0} mined/s ({:.0} sent/s); {} mined/s with every block's receipts read",
            direct.mined_per_second,
            direct.sent_per_second,
            shown(direct.with_receipts_per_second, 0)
        ));
    }
    for found in &report.sustained {
        facts.push(match (found.offered, found.mined_per_second) {
            (Some(offered), Some(mined)) => format!(
                "highest rate kept up with at {} ms: {offered}/s offered, {mined:.0}/s mined",
                found.proxy_delay_ms
            ),
            (None, _) | (_, None) => {
                format!("no rate was kept up with at {} ms", found.proxy_delay_ms)
            }
        });
    }
    facts
}

fn shown(number: Option<f64>, decimals: usize) -> String {
    number.map_or_else(dash, |number| format!("{number:.decimals$}"))
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(dash, |share| format!("{:.0} %", share * 100.0))
}

fn megabytes(bytes: Option<u64>) -> String {
    bytes.map_or_else(dash, |bytes| (bytes / 1_000_000).to_string())
}

fn dash() -> String {
    "-".to_owned()
}

#[cfg(test)]
mod tests;
