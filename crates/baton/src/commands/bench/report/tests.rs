use super::*;
use crate::commands::bench::scenario::Figure;
use crate::commands::bench::stats::Percentiles;
use crate::commands::bench::step::{Counts, TrafficShare};
use crate::commands::bench::targets::{Better, Unit};

fn percentiles(p50: f64) -> Percentiles {
    Percentiles {
        count: 10,
        p50,
        p90: p50 * 2.0,
        p99: p50 * 10.0,
        max: p50 * 20.0,
    }
}

fn step(offered: u32, delay: u64) -> Step {
    Step {
        offered,
        proxy_delay_ms: delay,
        counts: Counts {
            sent: 10,
            accepted: 10,
            ..Counts::default()
        },
        accepted: Some(percentiles(2.0)),
        broadcast: None,
        mined: Some(percentiles(500.0)),
        sent: Some(percentiles(0.1)),
        mined_per_second: Some(f64::from(offered)),
        share_of_direct: Some(0.5),
        traffic: Some(TrafficShare {
            requests: 0.125,
            calls: 1.5,
            by_method: [].into(),
        }),
        cpu_seconds_per_1000: Some(0.4),
        resident_peak_bytes: Some(42_000_000),
        store_bytes_per_transaction: None,
        machine_idle_percent: Some(30),
        kept_up: true,
        refusals: vec!["429 <slow> | down".to_owned()],
    }
}

fn report() -> Report {
    Report {
        version: "0.0.0",
        seed: 7,
        machine: Machine {
            processors: 2,
            model: "test".to_owned(),
            load_before: "0.1".to_owned(),
        },
        conditions: vec!["seed 7".to_owned()],
        direct: Some(Direct {
            sent: 100,
            sent_per_second: 900.0,
            mined_per_second: 800.0,
            with_receipts_per_second: Some(700.0),
        }),
        steps: vec![step(400, 0), step(200, 0), step(200, 25)],
        sustained: vec![Sustained {
            proxy_delay_ms: 25,
            offered: None,
            mined_per_second: None,
        }],
        open: None,
        scenarios: Vec::new(),
        targets: vec![Target {
            figure: "accepted, p99",
            unit: Unit::Milliseconds,
            better: Better::Less,
            target: Some(15.0),
            goal: Some(5.0),
            measured: Some(20.0),
        }],
    }
}

#[test]
fn markdown_has_a_row_for_each_step_with_a_cell_for_each_heading() {
    let text = markdown(&report());
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| ")).collect();
    assert_eq!(rows[0], "| figure | target | goal | measured |");
    assert_eq!(rows[2], "| accepted, p99 | 15.0 ms | 5.0 ms | 20.0 ms |");
    let steps = &rows[3..];
    assert_eq!(steps.len(), 2 + 3);
    let bars = steps[0].matches('|').count();
    assert!(
        steps.iter().all(|row| row.matches('|').count() == bars),
        "{text}"
    );
    assert!(
        steps[2].starts_with("| 0 | 400 | 400 | 50 % | 2.0 | 20.0 | - | - |"),
        "{}",
        steps[2]
    );
    assert!(text.contains("- no rate was kept up with at 25 ms"));
    assert!(text.contains("- direct, without a relayer: 800 mined/s"));
}

#[test]
fn a_terminal_shows_each_step_as_a_column_and_what_was_missed() {
    let text = terminal(&report());
    let row = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line[12..]
            .split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(row("offered/s"), ["400", "200", "200"]);
    assert_eq!(row("delay ms"), ["0", "0", "25"]);
    assert!(text.contains("missed"));
    assert!(text.contains("refused: 429"));
}

#[test]
fn a_plot_has_a_line_for_each_figure_and_delay_within_its_frame() {
    let text = svg(&report());
    // Three latencies were measured, at two delays; a mined rate at each; offered and direct.
    assert_eq!(text.matches("<polyline").count(), 3 * 2 + 2 + 2);
    assert!(text.starts_with("<svg ") && text.ends_with("</svg>\n"));
    for list in text.split("points=\"").skip(1) {
        let points = list.split('"').next().unwrap();
        for point in points.split(' ') {
            let (x, y) = point.split_once(',').unwrap();
            let (x, y): (f64, f64) = (x.parse().unwrap(), y.parse().unwrap());
            assert!(
                (0.0..=1000.0).contains(&x) && (50.0..=310.0).contains(&y),
                "{point}"
            );
        }
    }
    let empty = svg(&Report {
        steps: Vec::new(),
        direct: None,
        ..report()
    });
    assert!(!empty.contains("polyline") && !empty.contains("NaN") && !empty.contains("inf"));
}

#[test]
fn one_lost_or_doubled_transfer_spoils_a_report() {
    let mut report = report();
    assert!(report.is_exact());
    report.steps[1].counts.doubled = 1;
    assert!(!report.is_exact());
}

#[test]
fn a_scenario_is_a_row_and_its_problem_spoils_a_report() {
    let trial = Trial {
        name: "S5".to_owned(),
        title: "answers lost",
        seconds: 3.0,
        counts: Counts {
            sent: 12,
            accepted: 12,
            once: 12,
            ..Counts::default()
        },
        figures: vec![Figure {
            name: "answers lost",
            value: 7.0,
            unit: "",
        }],
        problems: Vec::new(),
    };
    let mut report = Report {
        scenarios: vec![trial],
        ..report()
    };
    assert!(report.is_exact());
    let row = "| S5 | answers lost | 12 | 12 | 0 | 0 | answers lost 7 | 0 |";
    assert!(markdown(&report).contains(row), "{}", markdown(&report));
    let line = "S5  answers lost  12    12             0     0        answers lost 7   0";
    assert!(terminal(&report).contains(line), "{}", terminal(&report));
    report.scenarios[0]
        .problems
        .push("a nonce was used twice".to_owned());
    assert!(!report.is_exact());
}

#[test]
fn json_holds_what_tables_round() {
    let json = serde_json::to_value(report()).unwrap();
    assert_eq!(json["steps"][0]["traffic"]["requests"], 0.125);
    assert_eq!(json["steps"][0]["accepted"]["p99"], 20.0);
}
