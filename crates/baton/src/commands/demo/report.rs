//! What the demo found.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use baton_model::U256;
use tokio::time::Instant;

use super::load::Load;
use super::observer::Observer;

/// The table at the end.
pub(super) struct Report {
    accepted: usize,
    ids: usize,
    once: usize,
    lost: usize,
    twice: usize,
    to_broadcast: Vec<Duration>,
    to_mined: Vec<Duration>,
    restart_to_broadcast: Option<Duration>,
    restarted: Instant,
}

impl Report {
    pub(super) fn new(
        load: &Load,
        observer: &Observer,
        balances: &[U256],
        restarted: Instant,
    ) -> Self {
        let answers = load.answers();
        let since_accepted = |seen: &BTreeMap<usize, Instant>| {
            let mut times: Vec<Duration> = answers
                .iter()
                .filter_map(|(index, answer)| Some(seen.get(index)?.duration_since(answer.at)))
                .collect();
            times.sort_unstable();
            times
        };
        let ids: BTreeSet<_> = answers.values().map(|answer| &answer.id).collect();
        Self {
            accepted: answers.len(),
            ids: ids.len(),
            once: balances
                .iter()
                .filter(|balance| **balance == U256::ONE)
                .count(),
            lost: balances.iter().filter(|balance| balance.is_zero()).count(),
            twice: balances
                .iter()
                .filter(|balance| **balance > U256::ONE)
                .count(),
            to_broadcast: since_accepted(&observer.broadcast()),
            to_mined: since_accepted(&observer.mined()),
            restart_to_broadcast: observer.restart_to_broadcast(),
            restarted,
        }
    }

    /// Whether every accepted transfer was executed exactly once.
    pub(super) fn is_perfect(&self) -> bool {
        self.lost == 0 && self.twice == 0 && self.once == self.accepted && self.ids == self.accepted
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f)?;
        for (name, value) in [
            ("accepted", self.accepted),
            ("executed once", self.once),
            ("lost", self.lost),
            ("executed twice", self.twice),
        ] {
            writeln!(f, "  {name:<32} {value:>10}")?;
        }
        for (name, times) in [
            ("accepted to first broadcast", &self.to_broadcast),
            ("accepted to mined", &self.to_mined),
        ] {
            for (share, percent) in [("p50", 50), ("p99", 99)] {
                let time = percentile(times, percent);
                writeln!(
                    f,
                    "  {:<32} {:>10}",
                    format!("{name}, {share}"),
                    shown(time)
                )?;
            }
        }
        let name = "restart to first broadcast";
        writeln!(f, "  {name:<32} {:>10}", shown(self.restart_to_broadcast))?;
        writeln!(f)?;
        if self.is_perfect() {
            let count = self.accepted;
            write!(
                f,
                "All {count} transfers were executed exactly once, through a SIGKILL."
            )
        } else {
            let since = self.restarted.elapsed();
            write!(
                f,
                "FAILED: not every transfer was executed exactly once ({since:?} after the restart)."
            )
        }
    }
}

fn percentile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let last = sorted.len().checked_sub(1)?;
    sorted.get(last * percent / 100).copied()
}

fn shown(time: Option<Duration>) -> String {
    time.map_or_else(
        || "-".to_owned(),
        |time| format!("{:.1} ms", time.as_secs_f64() * 1000.0),
    )
}
