//! Every figure that Baton commits to, beside what it comes to here.

use std::time::Duration;

use alloy_primitives::B256;
use anyhow::Result;
use serde::Serialize;
use tokio::time::Instant;

use super::keys::BenchKey;
use super::plan::{OwnNode, Plan};
use super::runner::Runner;
use super::stats::ratio;
use super::step::Step;
use super::{open, say};

/// Times of each step: long enough for ten blocks, short enough for a dozen steps in ten minutes.
const WARM_UP: Duration = Duration::from_secs(4);
const MEASURE: Duration = Duration::from_secs(12);
/// Time between blocks.
const BLOCK: Duration = Duration::from_secs(1);
/// Where a search begins, as a share of the direct run: low enough to be kept up with on a shared
/// machine, for a rate that is far too high leaves blocks that anvil takes minutes to answer about;
/// and high enough for a search to reach the direct rate in its steps.
const START_SHARE: f64 = 0.35;
/// Requests per second of the figures that name their rate, or need none.
const CALLS_RATE: u32 = 200;
const NULL_RATE: u32 = 1000;
const OPEN_RATE: u32 = 500;
const OPEN_COUNT: u32 = 10_000;
/// Signatures that one is timed by: a fifth of a second.
const SIGNATURES: u32 = 4000;
/// Round trip of the slow node, in milliseconds.
const SLOW_MS: u32 = 25;

/// One figure.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Target {
    pub(super) figure: &'static str,
    pub(super) unit: Unit,
    pub(super) better: Better,
    /// What has to be reached, if anything.
    pub(super) target: Option<f64>,
    /// What would be good.
    pub(super) goal: Option<f64>,
    pub(super) measured: Option<f64>,
}

/// What a figure is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Unit {
    Percent,
    Milliseconds,
    Microseconds,
    Megabytes,
    Bytes,
    Requests,
}

/// Which way a figure improves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Better {
    More,
    Less,
}

impl Target {
    /// Whether it was measured, and the target is reached if there is one.
    pub(super) fn is_met(&self) -> bool {
        self.measured.is_some_and(|measured| match self.better {
            Better::More => self.target.is_none_or(|target| measured >= target),
            Better::Less => self.target.is_none_or(|target| measured <= target),
        })
    }

    pub(super) fn target_text(&self) -> String {
        self.text(self.target)
    }

    pub(super) fn goal_text(&self) -> String {
        self.text(self.goal)
    }

    pub(super) fn measured_text(&self) -> String {
        self.text(self.measured)
    }

    fn text(&self, number: Option<f64>) -> String {
        number.map_or_else(|| "-".to_owned(), |number| self.unit.text(number))
    }
}

impl Unit {
    fn text(self, number: f64) -> String {
        match self {
            Self::Percent => format!("{number:.0} %"),
            Self::Milliseconds => format!("{number:.1} ms"),
            Self::Microseconds => format!("{number:.0} us"),
            Self::Megabytes => format!("{number:.0} MB"),
            Self::Bytes => format!("{number:.0} B"),
            Self::Requests => format!("{number:.2}"),
        }
    }
}

/// Runs all of it.
pub(super) async fn run(runner: &mut Runner) -> Result<()> {
    let plan = runner.plan().on(OwnNode::Anvil(BLOCK))?;
    runner.set_plan(Plan {
        warm_up: WARM_UP,
        measure: MEASURE,
        ..plan
    });
    let ceiling = runner.direct().await?;
    let direct = ceiling.map(|direct| direct.mined_per_second);
    let followed = ceiling.and_then(|direct| direct.with_receipts_per_second);
    let fast = runner
        .search(direct.map_or(CALLS_RATE, start_rate), 0)
        .await?;
    let best = fast.offered.unwrap_or(CALLS_RATE);
    let slow = runner.search(best, SLOW_MS).await?;
    let half = runner.step(rate(f64::from(best) / 2.0), 0).await?;
    let calls = runner.step(CALLS_RATE, 0).await?;
    say("10,000 open transactions, and a restart…")?;
    let number = runner.next_number();
    let open = open::run(runner.plan(), number, OPEN_COUNT, OPEN_RATE).await?;
    let conditions = runner.report.conditions.clone();
    runner.set_plan(runner.plan().on(OwnNode::Null(BLOCK))?);
    say("On a node that costs nothing:")?;
    let null = runner.step(NULL_RATE, 0).await?;
    let signature = signature_seconds(runner.plan().seed)?;
    runner.report.conditions = conditions;
    runner.report.conditions.push(format!(
        "the last step: {NULL_RATE}/s on a node that executes nothing"
    ));

    let megabytes = |bytes: u64| Some(Duration::from_micros(bytes).as_secs_f64());
    let percent = |part: Option<f64>, whole: Option<f64>| Some(100.0 * ratio(part?, whole?)?);
    let values = [
        percent(fast.mined_per_second, direct),
        percent(fast.mined_per_second, followed),
        percent(slow.mined_per_second, fast.mined_per_second),
        half.broadcast.map(|times| times.p50),
        half.broadcast.map(|times| times.p99),
        half.accepted.map(|times| times.p99),
        calls.traffic.as_ref().map(|traffic| traffic.requests),
        calls.traffic.as_ref().map(|traffic| traffic.calls),
        open.resident_bytes.and_then(megabytes),
        Some(open.restart_to_first_ms),
        cpu_beyond(&null, signature),
    ];
    runner.report.targets = table(values);
    runner.report.open = Some(open);
    Ok(())
}

/// A figure, its unit, which way it improves, its target and its goal.
type Row = (&'static str, Unit, Better, f64, f64);

const ROWS: [Row; 11] = [
    (
        "mined per second, of direct, 0 ms proxy",
        Unit::Percent,
        Better::More,
        80.0,
        95.0,
    ),
    (
        "the same, of direct with receipts read",
        Unit::Percent,
        Better::More,
        80.0,
        95.0,
    ),
    (
        "mined per second with 25 ms proxy, of that with 0 ms",
        Unit::Percent,
        Better::More,
        85.0,
        95.0,
    ),
    (
        "POST to bytes at the node at half load, p50",
        Unit::Milliseconds,
        Better::Less,
        10.0,
        3.0,
    ),
    (
        "POST to bytes at the node at half load, p99",
        Unit::Milliseconds,
        Better::Less,
        50.0,
        15.0,
    ),
    (
        "POST answered (durable) at half load, p99",
        Unit::Milliseconds,
        Better::Less,
        15.0,
        5.0,
    ),
    (
        "RPC requests per mined transaction at 200/s",
        Unit::Requests,
        Better::Less,
        1.5,
        0.2,
    ),
    (
        "RPC calls within them",
        Unit::Requests,
        Better::Less,
        1.5,
        1.2,
    ),
    (
        "resident memory with 10,000 open transactions",
        Unit::Megabytes,
        Better::Less,
        150.0,
        60.0,
    ),
    (
        "restart with 10,000 open slots, to the first broadcast",
        Unit::Milliseconds,
        Better::Less,
        1000.0,
        200.0,
    ),
    (
        "CPU per transaction beyond the signature, null node",
        Unit::Microseconds,
        Better::Less,
        150.0,
        50.0,
    ),
];

fn table(values: [Option<f64>; 11]) -> Vec<Target> {
    ROWS.into_iter()
        .zip(values)
        .map(|((figure, unit, better, target, goal), measured)| Target {
            figure,
            unit,
            better,
            target: Some(target),
            goal: Some(goal),
            measured,
        })
        .collect()
}

/// Microseconds of processor time that a transaction takes beyond its signature.
fn cpu_beyond(step: &Step, signature: f64) -> Option<f64> {
    Some((step.cpu_seconds_per_1000? / 1000.0 - signature) * 1_000_000.0)
}

/// What one signature takes on this machine now.
fn signature_seconds(seed: u64) -> Result<f64> {
    let key = BenchKey::derive(seed, "signature")?;
    let start = Instant::now();
    let mut hash = B256::ZERO;
    for _ in 0..SIGNATURES {
        // Each hash depends on the signature before, so that none can be left out.
        hash = key.signer.sign(hash).r.into();
    }
    Ok(start.elapsed().as_secs_f64() / f64::from(SIGNATURES))
}

/// Where a search begins when the node's ceiling is known.
pub(super) fn start_rate(direct: f64) -> u32 {
    rate(direct * START_SHARE)
}

/// A rate that a step can have.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the number is clamped to the range before"
)]
pub(super) fn rate(number: f64) -> u32 {
    number.clamp(1.0, 20_000.0) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_met_from_its_own_side() {
        let values = [
            80.0, 79.9, 84.9, 10.0, 50.1, 15.0, 1.5, 1.6, 150.0, 999.0, 151.0,
        ]
        .map(Some);
        let met: Vec<bool> = table(values).iter().map(Target::is_met).collect();
        assert_eq!(
            met,
            [
                true, false, false, true, false, true, true, false, true, true, false
            ]
        );
        let unmeasured = table([None; 11]);
        assert!(
            unmeasured
                .iter()
                .all(|row| !row.is_met() && row.measured_text() == "-")
        );
    }
}
