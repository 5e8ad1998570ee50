//! Budgets of source files.

use std::path::PathBuf;

use crate::assert_none;
use crate::workspace::{is_test_file, production_part, read, relative, root, rust_files};

/// Most lines of a production file before its inline tests: what can still be read in one sitting.
const PRODUCTION_LINES_MAX: usize = 500;
/// Most lines of a file of tests: tables of cases run longer than logic, but a reader still has to find one.
const TEST_LINES_MAX: usize = 1000;

/// Files that were longer when the rule came, with their length then. They may shrink, not grow.
const LONGER: &[(&str, usize)] = &[];

#[test]
fn files_stay_readable() {
    let mut breaches = Vec::new();
    for file in all_files() {
        let path = relative(&file);
        let text = read(&file);
        let (lines, most) = if is_test_file(&file) {
            (text.lines().count(), TEST_LINES_MAX)
        } else {
            (production_part(&text).lines().count(), PRODUCTION_LINES_MAX)
        };
        let most = LONGER
            .iter()
            .find(|(listed, _)| *listed == path)
            .map_or(most, |(_, length)| *length);
        if lines > most {
            breaches.push(format!(
                "{path} has {lines} lines, at most {most} are allowed"
            ));
        }
    }
    assert_none("Files are short; split a longer one by subject.", &breaches);
}

#[test]
fn exceptions_of_length_are_still_needed() {
    let mut breaches = Vec::new();
    for (path, length) in LONGER {
        let text = read(&root().join(path));
        let lines = production_part(&text).lines().count();
        if lines < *length {
            breaches.push(format!(
                "{path} has shrunk to {lines} lines: lower its entry"
            ));
        }
    }
    assert_none("The list of exceptions only shrinks.", &breaches);
}

#[test]
fn no_leftover_markers() {
    // Spelt in two halves so that this file does not hold them.
    let markers = [["TO", "DO"], ["FIX", "ME"], ["XX", "X"], ["HA", "CK"]].map(|m| m.concat());
    let mut breaches = Vec::new();
    for file in all_files() {
        for (index, line) in read(&file).lines().enumerate() {
            if let Some(marker) = markers.iter().find(|marker| holds_marker(line, marker)) {
                breaches.push(format!("{}:{}: {marker}", relative(&file), index + 1));
            }
        }
    }
    assert_none(
        "Open work is an issue, not a marker in the source.",
        &breaches,
    );
}

fn all_files() -> Vec<PathBuf> {
    let files = rust_files(&root().join("crates"));
    assert!(files.len() > 10, "the workspace's sources were found");
    files
}

fn holds_marker(line: &str, marker: &str) -> bool {
    line.match_indices(marker).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        let after = line[start + marker.len()..].chars().next();
        ![before, after]
            .into_iter()
            .flatten()
            .any(char::is_alphanumeric)
    })
}
