//! What became of a scenario.

use serde::Serialize;

use crate::commands::bench::step::Counts;

/// A scenario that was played.
#[derive(Clone, Debug, Serialize)]
pub(in crate::commands::bench) struct Trial {
    pub(in crate::commands::bench) name: String,
    pub(in crate::commands::bench) title: &'static str,
    /// How long it took, in seconds.
    pub(in crate::commands::bench) seconds: f64,
    pub(in crate::commands::bench) counts: Counts,
    /// What it measures of its own.
    pub(in crate::commands::bench) figures: Vec<Figure>,
    /// What should hold and does not; empty when all is well.
    pub(in crate::commands::bench) problems: Vec<String>,
}

/// A figure of a scenario's own.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::commands::bench) struct Figure {
    pub(in crate::commands::bench) name: &'static str,
    pub(in crate::commands::bench) value: f64,
    /// Empty for counts.
    pub(in crate::commands::bench) unit: &'static str,
}

impl Trial {
    pub(super) fn new(name: &str, title: &'static str) -> Self {
        Self {
            name: name.to_owned(),
            title,
            seconds: 0.0,
            counts: Counts::default(),
            figures: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// One that could not be played to its end.
    pub(super) fn broken(name: &str, error: &anyhow::Error) -> Self {
        let mut trial = Self::new(name, "not played to its end");
        trial.problems.push(format!("{error:#}"));
        trial
    }

    pub(super) fn figure(&mut self, name: &'static str, value: f64, unit: &'static str) {
        self.figures.push(Figure { name, value, unit });
    }

    /// Notes a problem unless something holds.
    pub(super) fn require(&mut self, holds: bool, problem: impl FnOnce() -> String) {
        if !holds {
            self.problems.push(problem());
        }
    }

    /// Whether everything holds that should.
    pub(in crate::commands::bench) fn is_sound(&self) -> bool {
        self.problems.is_empty() && self.counts.is_exact()
    }

    /// The first of its figures that has a name.
    pub(in crate::commands::bench) fn figure_named(&self, name: &str) -> Option<f64> {
        let mut figures = self.figures.iter();
        Some(figures.find(|figure| figure.name == name)?.value)
    }

    /// All figures of its own, in words.
    pub(in crate::commands::bench) fn figures_text(&self) -> String {
        let texts: Vec<String> = self.figures.iter().map(Figure::text).collect();
        texts.join("; ")
    }

    pub(super) fn line(&self) -> String {
        let counts = self.counts;
        format!(
            "{} {}: {} sent, {} executed once, {} lost, {} doubled; {} ({:.0} s)",
            self.name,
            self.title,
            counts.sent,
            counts.once,
            counts.lost,
            counts.doubled,
            self.figures_text(),
            self.seconds
        )
    }
}

impl Figure {
    fn text(&self) -> String {
        let decimals = usize::from(self.value.fract() != 0.0);
        let number = format!("{:.decimals$}", self.value);
        let gap = if self.unit.is_empty() { "" } else { " " };
        format!("{} {number}{gap}{}", self.name, self.unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_hold_is_a_problem_and_figures_are_told() {
        let mut trial = Trial::new("S0", "nothing");
        trial.require(true, || "not this".to_owned());
        assert!(trial.is_sound());
        trial.figure("refusals", 3.0, "");
        trial.figure("recovery", 1.25, "blocks");
        assert_eq!(trial.figures_text(), "refusals 3; recovery 1.2 blocks");
        trial.require(false, || "this".to_owned());
        assert_eq!(trial.problems, ["this"]);
        assert!(!trial.is_sound());
        let lost = Trial {
            counts: Counts {
                lost: 1,
                ..Counts::default()
            },
            ..Trial::new("S0", "nothing")
        };
        assert!(!lost.is_sound());
    }
}
