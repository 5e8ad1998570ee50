//! What is wrong with a configuration, all of it at once.

use std::fmt;

use strsim::damerau_levenshtein;

/// Most characters of a wrong value that are shown: enough to find it again.
const SHOWN_CHARS_MAX: usize = 80;

/// One thing that must be mended before Baton can start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The field or variable, as in `relayers[2].policies.gas_price_cap`.
    pub place: String,
    /// What must hold, or what is wrong.
    pub rule: String,
    /// The value that breaks the rule, where it is not secret.
    pub found: Option<String>,
    /// What was probably meant.
    pub suggestion: Option<String>,
}

/// Something that Baton can start with, but whoever wrote it should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The field or variable.
    pub place: String,
    /// What is noteworthy about it.
    pub message: String,
}

/// Everything found in a configuration, in the order of reading.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What must be mended.
    pub problems: Vec<Problem>,
    /// What should be known.
    pub warnings: Vec<Warning>,
}

impl Report {
    /// Whether nothing must be mended.
    pub fn is_ok(&self) -> bool {
        self.problems.is_empty()
    }

    pub(crate) fn problem(&mut self, place: impl Into<String>, rule: impl Into<String>) {
        self.add(Problem::new(place, rule));
    }

    pub(crate) fn add(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    pub(crate) fn warn(&mut self, place: impl Into<String>, message: impl Into<String>) {
        self.warnings.push(Warning {
            place: place.into(),
            message: message.into(),
        });
    }
}

impl Problem {
    pub(crate) fn new(place: impl Into<String>, rule: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            rule: rule.into(),
            found: None,
            suggestion: None,
        }
    }

    /// Adds the value found; only for values that are not secret.
    pub(crate) fn found(mut self, value: impl fmt::Display) -> Self {
        self.found = Some(shortened(&value.to_string()));
        self
    }

    /// Adds the known name that is nearest to the one found, if any is near.
    pub(crate) fn meant<'a>(
        mut self,
        found: &str,
        known: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        self.suggestion = nearest(found, known).map(str::to_owned);
        self
    }
}

/// The known name that is nearest to a given one, if it is near enough to be a slip of the pen: a third of its letters.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = name.to_lowercase();
    known
        .into_iter()
        .map(|candidate| {
            let distance = damerau_levenshtein(&folded, &candidate.to_lowercase());
            (distance, candidate)
        })
        .filter(|(distance, candidate)| *distance <= (candidate.chars().count() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= SHOWN_CHARS_MAX {
        return text.to_owned();
    }
    let start: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    format!("{start}…")
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.rule)?;
        if let Some(found) = &self.found {
            write!(f, ", found {found}")?;
        }
        if let Some(suggestion) = &self.suggestion {
            write!(f, "; did you mean `{suggestion}`?")?;
        }
        Ok(())
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// The report as a terminal shows it: problems first, one to a line.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        section(f, "problem", &self.problems)?;
        section(f, "warning", &self.warnings)?;
        if self.problems.is_empty() && self.warnings.is_empty() {
            writeln!(f, "The configuration is in order.")?;
        }
        Ok(())
    }
}

fn section(f: &mut fmt::Formatter<'_>, what: &str, entries: &[impl fmt::Display]) -> fmt::Result {
    match entries.len() {
        0 => return Ok(()),
        1 => writeln!(f, "1 {what}:")?,
        count => writeln!(f, "{count} {what}s:")?,
    }
    entries
        .iter()
        .try_for_each(|entry| writeln!(f, "  {entry}"))
}

impl std::error::Error for Report {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suggestion_is_near_or_absent() {
        let known = ["network", "network_type", "name"];
        assert_eq!(nearest("netwrok", known), Some("network"));
        assert_eq!(nearest("Name", known), Some("name"));
        assert_eq!(nearest("networktype", known), Some("network_type"));
        assert_eq!(nearest("colour", known), None);
    }

    #[test]
    fn a_report_reads_as_a_list() {
        let mut report = Report::default();
        assert_eq!(report.to_string(), "The configuration is in order.\n");
        report.add(
            Problem::new("signers[0].tpye", "is not a known field").meant("tpye", ["id", "type"]),
        );
        report.problem("API_KEY", "must be set");
        report.warn("plugins", "are not run");
        assert_eq!(
            report.to_string(),
            "2 problems:\n  signers[0].tpye: is not a known field; did you mean `type`?\n  \
             API_KEY: must be set\n1 warning:\n  plugins: are not run\n"
        );
    }

    #[test]
    fn long_values_are_cut() {
        let problem = Problem::new("name", "must be short").found("x".repeat(200));
        assert_eq!(problem.found.unwrap().chars().count(), 81);
    }
}
