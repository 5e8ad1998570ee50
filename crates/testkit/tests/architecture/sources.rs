//! Budgets of source files.

use std::path::PathBuf;

use crate::assert_none;
use crate::workspace::{is_test_file, production_part, read, relative, root, rust_files};

/// Most lines of a file, before its inline tests: what can still be read in one sitting.
const LINES_MAX: usize = 500;
/// Most characters of a line. Code has at most 100, which rustfmt sees to; it leaves comments and texts alone.
const COLUMNS_MAX: usize = 120;

#[test]
fn files_stay_readable() {
    let mut breaches = Vec::new();
    for file in all_files() {
        let text = read(&file);
        let counted = if is_test_file(&file) {
            &text
        } else {
            production_part(&text)
        };
        let lines = counted.lines().count();
        if lines > LINES_MAX {
            let path = relative(&file);
            breaches.push(format!(
                "{path} has {lines} lines, at most {LINES_MAX} are allowed"
            ));
        }
    }
    assert_none("Files are short; split a longer one by subject.", &breaches);
}

#[test]
fn lines_fit_a_screen() {
    let mut breaches = Vec::new();
    for file in all_files() {
        for (index, line) in read(&file).lines().enumerate() {
            if is_too_wide(line) {
                let (place, columns) = (relative(&file), line.chars().count());
                breaches.push(format!("{place}:{}: {columns} columns", index + 1));
            }
        }
    }
    assert_none(
        "Lines have at most 120 columns, but for raw strings.",
        &breaches,
    );
}

#[test]
fn the_check_of_widths_sees_what_it_forbids() {
    let wide = format!("// {}", "é".repeat(COLUMNS_MAX - 2));
    assert!(is_too_wide(&wide));
    assert!(!is_too_wide(&"é".repeat(COLUMNS_MAX)));
    assert!(!is_too_wide(&format!("r#\"{wide}\"#")));
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

/// Raw strings cannot be broken.
fn is_too_wide(line: &str) -> bool {
    line.chars().count() > COLUMNS_MAX && !line.contains("r#\"") && !line.contains("r##\"")
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
