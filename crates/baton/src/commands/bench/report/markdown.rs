//! Tables in Markdown.

use super::{Report, Table, facts, open_rows, scenarios, steps};

/// A section for each kind of result.
pub(in crate::commands::bench) fn markdown(report: &Report) -> String {
    let mut parts = vec![
        facts(report)
            .iter()
            .map(|fact| format!("- {fact}\n"))
            .collect::<String>(),
    ];
    if !report.targets.is_empty() {
        let rows = report.targets.iter().map(|row| {
            vec![
                row.figure.to_owned(),
                row.target_text(),
                row.goal_text(),
                row.measured_text(),
            ]
        });
        let headings = vec!["figure", "target", "goal", "measured"];
        parts.push(table(&Table {
            headings,
            rows: rows.collect(),
        }));
    }
    if !report.steps.is_empty() {
        parts.push("Times in ms from when a request was due.\n".to_owned());
        parts.push(table(&steps(report)));
    }
    if !report.scenarios.is_empty() {
        parts.push(table(&scenarios(report)));
    }
    if let Some(open) = &report.open {
        let rows = open_rows(open)
            .into_iter()
            .map(|(name, value)| vec![name, value]);
        parts.push(table(&Table {
            headings: vec!["figure", "measured"],
            rows: rows.collect(),
        }));
    }
    parts.join("\n")
}

fn table(table: &Table) -> String {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let mut text = line(table.headings.iter().map(|h| (*h).to_owned()).collect());
    text.push_str(&line(vec!["---".to_owned(); table.headings.len()]));
    for row in &table.rows {
        // A bar would end its cell.
        text.push_str(&line(
            row.iter().map(|cell| cell.replace('|', "\\|")).collect(),
        ));
    }
    text
}
