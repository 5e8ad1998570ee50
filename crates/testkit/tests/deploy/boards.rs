//! The Grafana boards.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::expressions::metrics;
use crate::metrics::known;
use crate::prometheus::write_rules;
use crate::tools::{deploy, promtool, read, run, yaml};

/// What a fleet is watched by; the list is that of the reference's example.
const WATCHED: [&str; 5] = [
    "Request rate",
    "Queue depth",
    "Redis memory",
    "Processing times",
    "Error rate",
];

#[test]
fn prometheus_takes_every_expression_and_knows_every_metric() {
    let known = known();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rules.yml");
    for board in boards() {
        let expressions = expressions(&board);
        assert!(expressions.len() > 20, "{}", board["title"]);
        for expression in &expressions {
            let used = metrics(expression);
            assert!(!used.is_empty(), "{expression}");
            for name in used {
                assert!(
                    known.contains(&name),
                    "{}: nothing registers {name}: {expression}",
                    board["title"]
                );
            }
        }
        write_rules(&path, &expressions);
        run(promtool()
            .args(["check", "rules", "--lint=none"])
            .arg(&path));
    }
}

#[test]
fn panels_have_their_own_places() {
    for board in boards() {
        let mut taken = BTreeSet::new();
        let mut ids = BTreeSet::new();
        for panel in board["panels"].as_array().unwrap() {
            let title = &panel["title"];
            assert!(
                ids.insert(panel["id"].as_u64().unwrap()),
                "{title}: its id is another's"
            );
            let [x, y, w, h] =
                ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap());
            assert!(x + w <= 24, "{title} is wider than the board");
            for place in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                assert!(taken.insert(place), "{title} lies over another panel");
            }
        }
    }
}

#[test]
fn panels_ask_the_source_that_the_board_names_and_compose_provides() {
    for board in boards() {
        let variables = board["templating"]["list"].as_array().unwrap();
        let names: Vec<&str> = variables
            .iter()
            .map(|variable| variable["name"].as_str().unwrap())
            .collect();
        for panel in board["panels"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|panel| panel["type"] != "row")
        {
            assert_eq!(
                panel["datasource"]["uid"], "${datasource}",
                "{}",
                panel["title"]
            );
            let text = panel["targets"].to_string().replace("$__rate_interval", "");
            for variable in text
                .split('$')
                .skip(1)
                .map(|rest| rest.trim_start_matches('{'))
            {
                assert!(
                    names.iter().any(|name| variable.starts_with(name)),
                    "${variable}"
                );
            }
        }
    }
    let sources = yaml(&deploy(
        "compose/grafana/provisioning/datasources/prometheus.yaml",
    ));
    assert_eq!(sources["datasources"][0]["type"], "prometheus");
    let boards = yaml(&deploy(
        "compose/grafana/provisioning/dashboards/baton.yaml",
    ));
    let compose = yaml(&deploy("compose/docker-compose.yaml"));
    let mounts = compose["services"]["grafana"]["volumes"].to_string();
    let folder = boards["providers"][0]["options"]["path"].as_str().unwrap();
    assert!(
        mounts.contains(&format!("../grafana:{folder}:ro")),
        "{mounts}"
    );
}

#[test]
fn the_engines_board_shows_what_a_fleet_is_watched_by() {
    let [engine, _fleet] = boards();
    let panels = engine["panels"].as_array().unwrap();
    for watched in WATCHED {
        let found = panels
            .iter()
            .any(|panel| panel["title"].as_str().unwrap().starts_with(watched));
        assert!(found, "{watched}");
    }
}

fn boards() -> [Value; 2] {
    let boards = ["engine", "fleet"].map(|name| -> Value {
        serde_json::from_str(&read(&deploy(&format!("grafana/{name}.json")))).expect(name)
    });
    assert_ne!(boards[0]["uid"], boards[1]["uid"]);
    boards
}

/// The expressions of a board, with what Grafana puts in before it asks.
fn expressions(board: &Value) -> Vec<String> {
    let panels = board["panels"].as_array().unwrap();
    let targets = panels
        .iter()
        .filter_map(|panel| panel["targets"].as_array())
        .flatten();
    let expressions = targets.map(|target| target["expr"].as_str().unwrap());
    expressions
        .map(|expression| expression.replace("$__rate_interval", "1m"))
        .collect()
}
