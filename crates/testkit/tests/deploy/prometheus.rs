//! The alerts, and what Prometheus is told in compose.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::expressions::metrics;
use crate::metrics::known;
use crate::tools::{deploy, output, promtool, read, root, run, told, yaml};

#[test]
fn promtool_takes_the_alerts_and_each_fires_as_its_test_says() {
    let folder = deploy("prometheus");
    run(promtool()
        .args(["check", "rules", "--lint=all", "--lint-fatal"])
        .arg(folder.join("alerts.yml")));
    run(promtool()
        .current_dir(&folder)
        .args(["test", "rules", "alerts_test.yml"]));
}

#[test]
fn every_alert_is_tested_quiet_and_firing() {
    let tests = yaml(&deploy("prometheus/alerts_test.yml"));
    let (mut quiet, mut firing) = (BTreeSet::new(), BTreeSet::new());
    for test in tests["tests"].as_array().unwrap() {
        for case in test["alert_rule_test"].as_array().unwrap() {
            let name = case["alertname"].as_str().unwrap().to_owned();
            let fires = !case["exp_alerts"].as_array().unwrap().is_empty();
            if fires {
                firing.insert(name)
            } else {
                quiet.insert(name)
            };
        }
    }
    let names: BTreeSet<String> = alerts().iter().map(|alert| text(&alert["alert"])).collect();
    assert_eq!((&quiet, &firing), (&names, &names));
}

#[test]
fn alerts_name_only_metrics_that_there_are() {
    let known = known();
    for alert in alerts() {
        let expression = text(&alert["expr"]);
        let used = metrics(&expression);
        assert!(!used.is_empty(), "{expression}");
        for name in used {
            assert!(
                known.contains(&name),
                "{}: nothing registers {name}",
                alert["alert"]
            );
        }
    }
}

#[test]
fn every_alert_has_its_entry_in_the_playbook() {
    let manual = read(&root().join("docs/operations.md"));
    let has = |anchor: &str| manual.lines().any(|line| line == format!("### {anchor}"));
    // Each of a lane's alarms has an entry of its own.
    assert!(has("foreign_nonce") && has("chain_behind") && has("signer_failing"));
    for alert in alerts() {
        let runbook = text(&alert["annotations"]["runbook"]);
        let anchor = runbook.strip_prefix("docs/operations.md#").expect(&runbook);
        assert!(anchor == "{{ $labels.alarm }}" || has(anchor), "{runbook}");
        let severity = text(&alert["labels"]["severity"]);
        assert!(
            ["critical", "warning"].contains(&severity.as_str()),
            "{severity}"
        );
    }
}

#[test]
fn prometheus_takes_the_configuration_of_compose_and_asks_every_instance() {
    let path = deploy("compose/prometheus/prometheus.yml");
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().join("prometheus.yml");
    let text = read(&path).replace(
        "/etc/prometheus/alerts.yml",
        &deploy("prometheus/alerts.yml").display().to_string(),
    );
    fs::write(&here, text).unwrap();
    run(promtool().args(["check", "config"]).arg(&here));
    let jobs = yaml(&path);
    let job = jobs["scrape_configs"]
        .as_array()
        .unwrap()
        .iter()
        .find(|job| job["job_name"] == "baton");
    let targets = job.expect("the job that the alerts ask for")["static_configs"][0]["targets"]
        .as_array()
        .unwrap();
    let instances: Vec<String> = crate::compose::instances()
        .into_iter()
        .map(|name| name + ":8081")
        .collect();
    assert_eq!(
        targets.iter().map(self::text).collect::<Vec<_>>(),
        instances
    );
}

#[test]
fn promtool_finds_mistakes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rules.yml");
    write_rules(&path, &["sum(rate(requests_total[5m])"]);
    let refused = output(promtool().args(["check", "rules"]).arg(&path));
    assert!(
        !refused.status.success() && told(&refused).contains("parse error"),
        "{}",
        told(&refused)
    );
}

/// A file of rules that record expressions, for Prometheus to read them.
pub(crate) fn write_rules<T: AsRef<str>>(path: &Path, expressions: &[T]) {
    let rules: Vec<Value> = expressions
        .iter()
        .enumerate()
        .map(|(number, expression)| serde_json::json!({"record": format!("r:{number}"), "expr": expression.as_ref()}))
        .collect();
    let file = serde_json::json!({"groups": [{"name": "checked", "rules": rules}]});
    // JSON is YAML.
    fs::write(path, file.to_string()).unwrap();
}

fn alerts() -> Vec<Value> {
    let file = yaml(&deploy("prometheus/alerts.yml"));
    let groups = file["groups"].as_array().unwrap();
    let alerts: Vec<Value> = groups
        .iter()
        .flat_map(|group| group["rules"].as_array().unwrap())
        .cloned()
        .collect();
    assert!(alerts.len() > 20, "{} alerts", alerts.len());
    alerts
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is no text"))
        .to_owned()
}
