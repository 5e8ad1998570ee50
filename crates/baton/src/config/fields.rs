//! Reading fields one by one, so that every problem of a file is found in one go.

use super::json::Node;
use super::report::{Problem, Report};

/// What is wrong with a value: the rule it breaks, and the value where it may be shown.
pub(crate) struct Mismatch {
    rule: String,
    found: Option<String>,
}

impl Mismatch {
    /// For a value that may be shown.
    pub(crate) fn shown(rule: impl Into<String>, node: &Node) -> Self {
        Self {
            rule: rule.into(),
            found: Some(node.shown()),
        }
    }

    /// For a value that may hold a secret: only its kind is told.
    pub(crate) fn hidden(rule: impl Into<String>, node: &Node) -> Self {
        Self {
            rule: rule.into(),
            found: Some(node.kind().to_owned()),
        }
    }

    /// For a rule that says all.
    pub(crate) fn bare(rule: impl Into<String>) -> Self {
        Self {
            rule: rule.into(),
            found: None,
        }
    }

    /// The problem at a place.
    pub(crate) fn at(self, place: &str) -> Problem {
        let mut problem = Problem::new(place, self.rule);
        problem.found = self.found;
        problem
    }
}

/// An object whose field names were checked.
pub(crate) struct Fields<'a> {
    place: String,
    entries: &'a [(String, Node)],
}

impl<'a> Fields<'a> {
    /// Opens an object. Reports fields that are not known, and fields given twice.
    pub(crate) fn open(
        place: &str,
        node: &'a Node,
        known: &[&str],
        report: &mut Report,
    ) -> Option<Self> {
        let Node::Object(entries) = node else {
            report.add(Mismatch::hidden("must be an object", node).at(place));
            return None;
        };
        for (index, (name, _)) in entries.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                report.add(
                    Problem::new(join(place, name), "is not a known field")
                        .meant(name, known.iter().copied()),
                );
            } else if entries[..index].iter().any(|(earlier, _)| earlier == name) {
                report.problem(join(place, name), "is given twice");
            }
        }
        Some(Self {
            place: place.to_owned(),
            entries,
        })
    }

    /// Where a field is.
    pub(crate) fn place(&self, name: &str) -> String {
        join(&self.place, name)
    }

    /// The value of a field; `null` counts as absent.
    pub(crate) fn node(&self, name: &str) -> Option<&'a Node> {
        self.entries
            .iter()
            .find(|(entry, _)| entry == name)
            .map(|(_, node)| node)
            .filter(|node| !matches!(node, Node::Null))
    }

    /// A field that may be absent. A value that breaks a rule is reported and reads as absent.
    pub(crate) fn optional<T>(
        &self,
        name: &str,
        report: &mut Report,
        read: impl Fn(&Node) -> Result<T, Mismatch>,
    ) -> Option<T> {
        match read(self.node(name)?) {
            Ok(value) => Some(value),
            Err(mismatch) => {
                report.add(mismatch.at(&self.place(name)));
                None
            }
        }
    }

    /// A field that must be given. Its absence is reported.
    pub(crate) fn required<T>(
        &self,
        name: &str,
        report: &mut Report,
        read: impl Fn(&Node) -> Result<T, Mismatch>,
    ) -> Option<T> {
        if self.node(name).is_none() {
            report.problem(self.place(name), "must be given");
        }
        self.optional(name, report, read)
    }

    /// The places and values of a list; none when it is absent. Anything but a list is reported.
    pub(crate) fn list(&self, name: &str, report: &mut Report) -> Option<Vec<(String, &'a Node)>> {
        let place = self.place(name);
        let node = self.node(name)?;
        if node.as_list().is_none() {
            report.add(Mismatch::hidden("must be a list", node).at(&place));
        }
        Some(items_of(&place, node.as_list()?))
    }
}

/// The items of a list with their places.
pub(crate) fn items_of<'a>(place: &str, items: &'a [Node]) -> Vec<(String, &'a Node)> {
    items
        .iter()
        .enumerate()
        .map(|(index, item)| (format!("{place}[{index}]"), item))
        .collect()
}

/// A text that is not empty.
pub(crate) fn text(node: &Node) -> Result<String, Mismatch> {
    node.as_text()
        .filter(|text| !text.trim().is_empty())
        .map(str::to_owned)
        .ok_or_else(|| Mismatch::shown("must be a string that is not empty", node))
}

/// True or false.
pub(crate) fn boolean(node: &Node) -> Result<bool, Mismatch> {
    if let Node::Bool(value) = node {
        return Ok(*value);
    }
    Err(Mismatch::shown("must be true or false", node))
}

/// A list of texts that are not empty.
pub(crate) fn texts(node: &Node) -> Result<Vec<String>, Mismatch> {
    let items = node
        .as_list()
        .ok_or_else(|| Mismatch::shown("must be a list of strings", node))?;
    items.iter().map(text).collect()
}

/// A whole number within a range, from a JSON number.
pub(crate) fn whole(min: u64, max: u64) -> impl Fn(&Node) -> Result<u64, Mismatch> {
    move |node| {
        digits(node)
            .filter(|_| matches!(node, Node::Number(_)))
            .and_then(|digits| digits.parse().ok())
            .filter(|value| (min..=max).contains(value))
            .ok_or_else(|| Mismatch::shown(range_rule(min, max), node))
    }
}

/// An amount in wei, from a JSON number or a string of decimal digits, without any rounding.
pub(crate) fn wei(node: &Node) -> Result<u128, Mismatch> {
    digits(node)
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| {
            Mismatch::shown(
                "must be a whole number of wei, below 2^128, as a number or a string",
                node,
            )
        })
}

pub(crate) fn range_rule(min: u64, max: u64) -> String {
    if max == u64::MAX {
        format!("must be a whole number, at least {min}")
    } else {
        format!("must be a whole number from {min} to {max}")
    }
}

fn digits(node: &Node) -> Option<&str> {
    let digits = if let Node::Number(digits) = node {
        digits
    } else {
        node.as_text()?
    };
    let only_digits = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    only_digits.then_some(digits)
}

fn join(place: &str, name: &str) -> String {
    if place.is_empty() {
        name.to_owned()
    } else if place.ends_with(": ") {
        format!("{place}{name}")
    } else {
        format!("{place}.{name}")
    }
}
