//! Tables for a terminal.

use std::fmt::Write;

use super::{Report, Table, facts, open_rows, scenarios, steps};

/// Everything that people want to know.
pub(in crate::commands::bench) fn terminal(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _: std::fmt::Result = write_all(&mut text, report);
    text
}

fn write_all(text: &mut String, report: &Report) -> std::fmt::Result {
    for fact in facts(report) {
        writeln!(text, "{fact}")?;
    }
    if !report.steps.is_empty() {
        writeln!(text, "\nTimes in ms from when a request was due.\n")?;
        // Too many columns for a terminal: each step is a column instead.
        write_turned(text, &steps(report))?;
    }
    if !report.scenarios.is_empty() {
        writeln!(text)?;
        write_rows(text, &scenarios(report))?;
    }
    if let Some(open) = &report.open {
        writeln!(text)?;
        for (name, value) in open_rows(open) {
            writeln!(text, "{name:<44} {value:>12}")?;
        }
    }
    if !report.targets.is_empty() {
        writeln!(
            text,
            "\n{:<62} {:>10} {:>10} {:>14}",
            "figure", "target", "goal", "measured"
        )?;
        for row in &report.targets {
            let mark = if row.is_met() { "" } else { "  missed" };
            let measured = row.measured_text();
            writeln!(
                text,
                "{:<62} {:>10} {:>10} {measured:>14}{mark}",
                row.figure,
                row.target_text(),
                row.goal_text()
            )?;
        }
    }
    for text_of_refusal in report.steps.iter().flat_map(|step| &step.refusals) {
        writeln!(text, "refused: {text_of_refusal}")?;
    }
    Ok(())
}

fn write_rows(text: &mut String, table: &Table) -> std::fmt::Result {
    let headings: Vec<String> = table.headings.iter().map(|h| (*h).to_owned()).collect();
    let all = || std::iter::once(&headings).chain(&table.rows);
    let width = |column: usize| all().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..headings.len()).map(|c| width(c).unwrap_or(0)).collect();
    for row in all() {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            write!(line, "{cell:<width$}  ")?;
        }
        writeln!(text, "{}", line.trim_end())?;
    }
    Ok(())
}

fn write_turned(text: &mut String, table: &Table) -> std::fmt::Result {
    for (column, heading) in table.headings.iter().enumerate() {
        write!(text, "{heading:<12}")?;
        for row in &table.rows {
            write!(text, " {:>9}", row[column])?;
        }
        writeln!(text)?;
    }
    Ok(())
}
