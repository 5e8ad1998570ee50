//! A plot: latencies and mined rate over offered rate.

use std::fmt::Write;

use super::{Report, Step};
use crate::commands::bench::stats::Percentiles;

/// Pixels of the drawing, and of what surrounds each panel's data.
const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 440.0;
const LEFT: f64 = 60.0;
const TOP: f64 = 50.0;
const PANEL_WIDTH: f64 = 410.0;
const PANEL_HEIGHT: f64 = 260.0;
const PANEL_STEP: f64 = 490.0;
/// Told apart by people who see colours differently, too.
const COLOURS: [&str; 5] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#555555"];
const DASHES: [&str; 4] = ["none", "7 4", "2 3", "9 3 2 3"];

/// Points of one line, in the order of their rates.
struct Line {
    name: String,
    colour: &'static str,
    dash: &'static str,
    points: Vec<(f64, f64)>,
}

struct Panel {
    title: &'static str,
    left: f64,
    logarithmic: bool,
    lines: Vec<Line>,
}

/// The plot. Without steps it is an empty frame.
pub(in crate::commands::bench) fn svg(report: &Report) -> String {
    let mut delays: Vec<u64> = report
        .steps
        .iter()
        .map(|step| step.proxy_delay_ms)
        .collect();
    delays.sort_unstable();
    delays.dedup();
    let latency = Panel {
        title: "latency from when due, ms",
        left: LEFT,
        logarithmic: true,
        lines: lines(&report.steps, &delays, &LATENCIES),
    };
    let mut rates = lines(
        &report.steps,
        &delays,
        &[("mined/s", |step| step.mined_per_second)],
    );
    if let Some(line) = rates.first() {
        let ends = [line.points.first(), line.points.last()];
        let rates_of =
            |y: &dyn Fn(f64) -> f64| ends.iter().flatten().map(|(x, _)| (*x, y(*x))).collect();
        let offered = rates_of(&|x| x);
        let direct = report
            .direct
            .map(|direct| rates_of(&|_| direct.mined_per_second));
        rates.push(Line {
            name: "offered".to_owned(),
            colour: COLOURS[4],
            dash: "2 3",
            points: offered,
        });
        rates.extend(direct.map(|points| Line {
            name: "direct".to_owned(),
            colour: COLOURS[1],
            dash: "7 4",
            points,
        }));
    }
    let rate = Panel {
        title: "mined per second",
        left: LEFT + PANEL_STEP,
        logarithmic: false,
        lines: rates,
    };
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _: std::fmt::Result = draw(&mut text, &[latency, rate]);
    text
}

type Figure = (&'static str, fn(&Step) -> Option<f64>);

const LATENCIES: [Figure; 4] = [
    ("accepted p50", |step| {
        step.accepted.map(|p: Percentiles| p.p50)
    }),
    ("accepted p99", |step| step.accepted.map(|p| p.p99)),
    ("to node p99", |step| step.broadcast.map(|p| p.p99)),
    ("mined p99", |step| step.mined.map(|p| p.p99)),
];

fn lines(steps: &[Step], delays: &[u64], figures: &[Figure]) -> Vec<Line> {
    let mut lines = Vec::new();
    for (delay, dash) in delays.iter().zip(DASHES.iter().cycle()) {
        for ((name, figure), colour) in figures.iter().zip(COLOURS) {
            let of_delay = steps.iter().filter(|step| step.proxy_delay_ms == *delay);
            let mut points: Vec<(f64, f64)> = of_delay
                .filter_map(|step| Some((f64::from(step.offered), figure(step)?)))
                .collect();
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            let name = if delays.len() > 1 {
                format!("{name}, {delay} ms")
            } else {
                (*name).to_owned()
            };
            lines.push(Line {
                name,
                colour,
                dash,
                points,
            });
        }
    }
    lines.retain(|line| !line.points.is_empty());
    lines
}

fn draw(text: &mut String, panels: &[Panel]) -> std::fmt::Result {
    let entries = panels
        .iter()
        .map(|panel| panel.lines.len())
        .max()
        .unwrap_or(0);
    // Two entries of the legend fit side by side below a panel.
    let height = HEIGHT + 18.0 * f64::from(u32::try_from(entries.div_ceil(2)).unwrap_or(0));
    writeln!(
        text,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">"#
    )?;
    writeln!(
        text,
        r##"<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>"##
    )?;
    for panel in panels {
        panel.draw(text)?;
    }
    writeln!(text, "</svg>")
}

impl Panel {
    fn draw(&self, text: &mut String) -> std::fmt::Result {
        let (left, bottom) = (self.left, TOP + PANEL_HEIGHT);
        writeln!(
            text,
            r#"<text x="{left}" y="{}" font-weight="bold">{}</text>"#,
            TOP - 16.0,
            self.title
        )?;
        writeln!(
            text,
            r##"<rect x="{left}" y="{TOP}" width="{PANEL_WIDTH}" height="{PANEL_HEIGHT}" fill="none" stroke="#999999"/>"##
        )?;
        let middle = left + PANEL_WIDTH / 2.0;
        writeln!(
            text,
            r#"<text x="{middle}" y="{}" text-anchor="middle">offered per second</text>"#,
            bottom + 36.0
        )?;
        let all = || {
            self.lines
                .iter()
                .flat_map(|line| line.points.iter().copied())
        };
        let x_max = all().map(|(x, _)| x).fold(1.0, f64::max);
        let (y_min, y_max) = self.bounds(all().map(|(_, y)| y));
        let x_at = |x: f64| left + PANEL_WIDTH * x / x_max;
        let y_at = |y: f64| bottom - PANEL_HEIGHT * self.place(y, y_min, y_max);
        for share in [0.0, 0.25, 0.5, 0.75, 1.0] {
            let x = x_max * share;
            writeln!(
                text,
                r#"<text x="{:.1}" y="{}" text-anchor="middle">{x:.0}</text>"#,
                x_at(x),
                bottom + 18.0
            )?;
        }
        for y in self.ticks(y_min, y_max) {
            let at = y_at(y);
            writeln!(
                text,
                r##"<path d="M {left} {at:.1} h {PANEL_WIDTH}" stroke="#e0e0e0"/><text x="{}" y="{:.1}" text-anchor="end">{y}</text>"##,
                left - 6.0,
                at + 4.0
            )?;
        }
        for line in &self.lines {
            let points: Vec<String> = line
                .points
                .iter()
                .map(|(x, y)| format!("{:.1},{:.1}", x_at(*x), y_at(*y)))
                .collect();
            writeln!(
                text,
                r#"<polyline points="{}" fill="none" stroke="{}" stroke-width="2" stroke-dasharray="{}"/>"#,
                points.join(" "),
                line.colour,
                line.dash
            )?;
        }
        self.draw_legend(text, bottom + 60.0)
    }

    fn draw_legend(&self, text: &mut String, top: f64) -> std::fmt::Result {
        for (place, line) in (0_u32..).zip(&self.lines) {
            let x = self.left + PANEL_WIDTH / 2.0 * f64::from(place % 2);
            let y = top + 18.0 * f64::from(place / 2);
            writeln!(
                text,
                r#"<path d="M {x} {} h 26" stroke="{}" stroke-width="2" stroke-dasharray="{}"/><text x="{}" y="{y}">{}</text>"#,
                y - 4.0,
                line.colour,
                line.dash,
                x + 32.0,
                line.name
            )?;
        }
        Ok(())
    }

    /// Whole powers of ten around the data, or from zero to somewhat above it.
    fn bounds(&self, values: impl Iterator<Item = f64>) -> (f64, f64) {
        let (least, most) = values.fold((f64::INFINITY, 1.0_f64), |(least, most), y| {
            (least.min(y), most.max(y))
        });
        if !self.logarithmic {
            return (0.0, most * 1.1);
        }
        let least = least.clamp(0.1, most);
        let power = |y: f64| 10_f64.powf(y);
        (
            power(least.log10().floor()),
            power(most.log10().floor() + 1.0),
        )
    }

    /// Where a value is between the bounds, from 0 to 1.
    fn place(&self, y: f64, y_min: f64, y_max: f64) -> f64 {
        let share = if self.logarithmic {
            (y.max(y_min) / y_min).log10() / (y_max / y_min).log10()
        } else {
            (y - y_min) / (y_max - y_min)
        };
        share.clamp(0.0, 1.0)
    }

    fn ticks(&self, y_min: f64, y_max: f64) -> Vec<f64> {
        if self.logarithmic {
            let powers = std::iter::successors(Some(y_min), |y| Some(y * 10.0));
            return powers
                .take_while(|y| *y <= y_max * 1.001)
                .map(round)
                .collect();
        }
        [0.0, 0.25, 0.5, 0.75, 1.0]
            .map(|share| (y_max * share).round())
            .into()
    }
}

/// Without what powers of ten gather behind the point.
fn round(y: f64) -> f64 {
    (y * 1000.0).round() / 1000.0
}
