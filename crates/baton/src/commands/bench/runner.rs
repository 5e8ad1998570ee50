//! Runs steps one after another and gathers what they came to.

use std::time::Duration;

use anyhow::Result;

use super::direct::{self, Direct};
use super::pace::Schedule;
use super::plan::{Entry, Own, OwnNode, Plan, Subject};
use super::process::Machine;
use super::report::{Report, Sustained};
use super::say;
use super::step::{self, Step, StepSpec};
use super::world::World;

/// Steps of one search: from a third of the rate, five reach it and four close in on it.
const SEARCH_STEPS: usize = 9;
/// How much higher a rate that was not kept up with may be than the one found.
const SEARCH_ENDS: f64 = 1.06;
/// Factors by which a search goes up or down until it has a rate on either side.
const UP: f64 = 1.25;
const DOWN: f64 = 0.75;

/// A bench under way.
pub(super) struct Runner {
    plan: Plan,
    pub(super) report: Report,
    /// A relayer that is not the bench's own stays the same for all steps.
    world: Option<World>,
    numbers: u32,
}

impl Runner {
    pub(super) fn new(plan: Plan) -> Self {
        let machine = Machine::look();
        let report = Report {
            version: env!("CARGO_PKG_VERSION"),
            seed: plan.seed,
            conditions: conditions(&plan, &machine),
            machine,
            direct: None,
            steps: Vec::new(),
            sustained: Vec::new(),
            open: None,
            scenarios: Vec::new(),
            targets: Vec::new(),
        };
        Self {
            plan,
            report,
            world: None,
            numbers: 0,
        }
    }

    pub(super) const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Goes on under another plan, which the report then names as its conditions.
    pub(super) fn set_plan(&mut self, plan: Plan) {
        self.report.conditions = conditions(&plan, &self.report.machine);
        self.plan = plan;
    }

    /// A number that no step has had.
    pub(super) fn next_number(&mut self) -> u32 {
        self.numbers += 1;
        self.numbers
    }

    /// The node without a relayer.
    pub(super) async fn direct(&mut self) -> Result<Option<Direct>> {
        say("Direct: signing, then sending as fast as the node takes it…")?;
        let numbers = [(); direct::RUNS].map(|()| self.next_number());
        let direct = direct::run(&self.plan, numbers).await?;
        self.report.direct = direct;
        match direct {
            Some(direct) => say(format_args!(
                "  {:.0} mined/s; {:.0} with every block's receipts read",
                direct.mined_per_second,
                direct.with_receipts_per_second.unwrap_or_default()
            ))?,
            None => say("  left out: the bench can fund no account on this node")?,
        }
        Ok(direct)
    }

    /// One step. An own relayer is started afresh, so that no step inherits what another left.
    pub(super) async fn step(&mut self, rate: u32, delay_ms: u32) -> Result<Step> {
        let delay = Duration::from_millis(u64::from(delay_ms));
        say(format_args!("{rate}/s, {delay_ms} ms to the node…"))?;
        let spec = StepSpec {
            number: self.next_number(),
            schedule: Schedule::new(rate, self.plan.warm_up, self.plan.measure)?,
            delay,
            direct: self.report.direct.map(|direct| direct.mined_per_second),
        };
        let world = match self.world.take() {
            Some(world) => world,
            None => World::start(&self.plan).await?,
        };
        world.set_delay(delay);
        let step = step::run(&world, &self.plan, &spec).await?;
        match &self.plan.subject {
            Subject::Own(_) => world.stop().await?,
            Subject::Other(_) => self.world = Some(world),
        }
        say(line(&step))?;
        self.report.steps.push(step.clone());
        Ok(step)
    }

    /// Looks for the highest rate that is kept up with.
    pub(super) async fn search(&mut self, start: u32, delay_ms: u32) -> Result<Sustained> {
        let mut tried: Vec<(u32, bool)> = Vec::new();
        let mut best: Option<Step> = None;
        while let Some(rate) = next_rate(start, &tried) {
            let step = self.step(rate, delay_ms).await?;
            tried.push((rate, step.kept_up));
            if step.kept_up && best.as_ref().is_none_or(|best| best.offered < rate) {
                best = Some(step);
            }
        }
        let found = Sustained {
            proxy_delay_ms: u64::from(delay_ms),
            offered: best.as_ref().map(|best| best.offered),
            mined_per_second: best.and_then(|best| best.mined_per_second),
        };
        self.report.sustained.push(found.clone());
        Ok(found)
    }
}

/// The rate to try after these, with whether each was kept up with; `None` when the search is over.
fn next_rate(start: u32, tried: &[(u32, bool)]) -> Option<u32> {
    if tried.len() >= SEARCH_STEPS {
        return None;
    }
    let kept = tried
        .iter()
        .filter(|(_, kept)| *kept)
        .map(|(rate, _)| *rate)
        .max();
    // A lower rate may fail by chance; what counts is the failure above.
    let failed = tried
        .iter()
        .filter(|(rate, ok)| !*ok && kept.is_none_or(|kept| *rate > kept))
        .map(|(rate, _)| *rate)
        .min();
    let next = match (kept, failed) {
        (None, None) => f64::from(start),
        (Some(kept), None) => f64::from(kept) * UP,
        (None, Some(failed)) => f64::from(failed) * DOWN,
        (Some(kept), Some(failed)) if f64::from(failed) <= f64::from(kept) * SEARCH_ENDS => {
            return None;
        }
        (Some(kept), Some(failed)) => f64::midpoint(f64::from(kept), f64::from(failed)),
    };
    let next = whole(next);
    (next > 0 && tried.iter().all(|(rate, _)| *rate != next)).then_some(next)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the number is clamped to the range before"
)]
fn whole(rate: f64) -> u32 {
    rate.clamp(0.0, 20_000.0) as u32
}

pub(super) fn line(step: &Step) -> String {
    let times = |times: Option<super::stats::Percentiles>| {
        times.map_or_else(|| "-".to_owned(), |t| format!("{:.1}/{:.1}", t.p50, t.p99))
    };
    let counts = step.counts;
    format!(
        "  {:.0} mined/s; p50/p99 ms: accepted {}, at the node {}, mined {}; doubled {}, lost {}{}",
        step.mined_per_second.unwrap_or_default(),
        times(step.accepted),
        times(step.broadcast),
        times(step.mined),
        counts.doubled,
        counts.lost + counts.refused_but_executed,
        if step.kept_up { "" } else { "; not kept up" },
    )
}

fn conditions(plan: &Plan, machine: &Machine) -> Vec<String> {
    let mut conditions = vec![
        format!(
            "{} processors ({}), load average {} before the bench",
            machine.processors, machine.model, machine.load_before
        ),
        format!(
            "seed {}; {} connections; idempotency keys {}; gas {}; warm-up {:?}, measured {:?}",
            plan.seed,
            plan.connections,
            if plan.idempotency_keys { "on" } else { "off" },
            if plan.estimate {
                "estimated by the relayer"
            } else {
                "given"
            },
            plan.warm_up,
            plan.measure,
        ),
    ];
    conditions.push(match &plan.subject {
        Subject::Own(own) => own_conditions(own),
        Subject::Other(other) => format!("relayers {} of {}", other.relayers.join(", "), other.url),
    });
    conditions
}

fn own_conditions(own: &Own) -> String {
    let node = match own.node {
        OwnNode::Anvil(time) => format!("anvil, a block every {time:?}, 10 billion gas each"),
        OwnNode::Paused => "anvil without blocks".to_owned(),
        OwnNode::Null(time) => format!("a node that executes nothing, a block every {time:?}"),
    };
    let store = match own.fleet {
        None => "embedded store, sealed records, durable commits".to_owned(),
        Some(fleet) => format!(
            "{} instance(s) {} on a shared Redis with appendfsync everysec, sealed records",
            fleet.instances,
            match fleet.entry {
                Entry::Nginx => "behind nginx",
                Entry::Instances => "called in turn",
            }
        ),
    };
    format!(
        "baton {}: {} relayer(s) of {} account(s), at most {} nonces in flight each; {store}, fresh for each step; \
         {node}",
        env!("CARGO_PKG_VERSION"),
        own.relayers,
        own.accounts,
        own.in_flight,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(start: u32, ceiling: u32) -> (Option<u32>, usize) {
        let mut tried = Vec::new();
        while let Some(rate) = next_rate(start, &tried) {
            tried.push((rate, rate <= ceiling));
        }
        let best = tried
            .iter()
            .filter(|(_, kept)| *kept)
            .map(|(rate, _)| *rate)
            .max();
        (best, tried.len())
    }

    #[test]
    fn a_search_ends_close_below_the_ceiling() {
        for (start, ceiling) in [(400, 730), (1000, 730), (730, 730), (729, 730), (731, 730)] {
            let (found, steps) = search(start, ceiling);
            let found = found.unwrap();
            assert!(
                found <= ceiling && f64::from(found) * SEARCH_ENDS >= f64::from(ceiling),
                "{found}"
            );
            assert!(steps <= SEARCH_STEPS, "{steps}");
        }
        assert_eq!(search(50, 0).0, None);
        assert_eq!(search(1, 0), (None, 1));
    }
}
