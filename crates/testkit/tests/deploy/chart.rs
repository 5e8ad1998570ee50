//! The Helm chart: what Kubernetes would be given.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::tools::{deploy, helm, output, read, root, run, told, wheel, yaml, yaml_documents};

/// The oldest release that the chart is for, and the newest whose schemas are at hand.
const KUBERNETES: [&str; 2] = ["1.30.0", "1.37.0"];
/// Sets of values: what has to be given, everything on, everything off.
const SETS: [&str; 3] = ["least", "most", "none"];
/// Kinds of the Prometheus operator, which Kubernetes has no schema of.
const FOREIGN: [&str; 2] = ["ServiceMonitor", "PrometheusRule"];

#[test]
fn helm_finds_nothing_to_complain_about() {
    let home = tempfile::tempdir().unwrap();
    for set in SETS {
        run(helm(home.path())
            .args(["lint", "--strict"])
            .arg(deploy("helm/baton"))
            .arg("-f")
            .arg(values(set)));
    }
}

#[test]
fn kubernetes_knows_every_field() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("rendered.yaml");
    for version in KUBERNETES {
        for set in SETS {
            let rendered = run(&mut template_for(home.path(), set, version));
            fs::write(&path, rendered.stdout).unwrap();
            let checked = run(&mut validate(&path, version));
            for line in told(&checked).lines().filter(|line| line.contains("WARN")) {
                assert!(FOREIGN.iter().any(|kind| line.contains(kind)), "{line}");
            }
        }
        let text = read(&path).replace("readOnlyRootFilesystem", "readOnlyRootFileSystem");
        fs::write(&path, text).unwrap();
        let refused = output(&mut validate(&path, version));
        assert!(!refused.status.success(), "a mistake is found");
    }
}

#[test]
fn values_that_make_no_sense_are_refused_by_name() {
    let home = tempfile::tempdir().unwrap();
    for (value, named) in [
        ("existingSecret=", "existingSecret"),
        ("replicaCout=3", "replicaCout"),
        ("replicaCount=0", "replicaCount"),
        ("env.API_KEY=secret", "API_KEY"),
        (
            "env.STORAGE_ENCRYPTION_KEY=secret",
            "STORAGE_ENCRYPTION_KEY",
        ),
        (
            "terminationGracePeriodSeconds=10",
            "terminationGracePeriodSeconds",
        ),
        ("image.digest=sha256:12", "digest"),
        ("networkPolicy.egressPorts={70000}", "egressPorts"),
    ] {
        let refused = output(template(home.path(), "least").args(["--set", value]));
        assert!(
            !refused.status.success() && told(&refused).contains(named),
            "{value}: {}",
            told(&refused)
        );
    }
    let bare = output(
        helm(home.path())
            .args(["template", "shop"])
            .arg(deploy("helm/baton")),
    );
    assert!(
        !bare.status.success() && told(&bare).contains("existingSecret"),
        "{}",
        told(&bare)
    );
}

#[test]
fn pods_have_no_rights_and_no_secret_is_written_down() {
    for set in SETS {
        let pod = &only(&rendered(set), "Deployment")["spec"]["template"]["spec"];
        let security = &pod["securityContext"];
        assert_eq!(security["runAsNonRoot"], true);
        assert_eq!(security["seccompProfile"]["type"], "RuntimeDefault");
        assert_eq!(pod["automountServiceAccountToken"], false);
        let container = &pod["containers"][0];
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
        assert_eq!(
            container["securityContext"]["allowPrivilegeEscalation"],
            false
        );
        assert_eq!(
            container["securityContext"]["capabilities"]["drop"],
            json!(["ALL"])
        );
        assert_eq!(
            container["envFrom"],
            json!([{"secretRef": {"name": "baton"}}])
        );
        assert!(
            rendered(set)
                .iter()
                .all(|document| document["kind"] != "Secret")
        );
        let drain = container["lifecycle"]["preStop"]["sleep"]["seconds"]
            .as_u64()
            .unwrap_or(0);
        assert!(
            pod["terminationGracePeriodSeconds"].as_u64().unwrap() >= drain + 45,
            "{set}: time to drain"
        );
    }
}

#[test]
fn probes_ask_for_what_they_decide() {
    let deployment = only(&rendered("least"), "Deployment");
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    for (probe, path) in [
        ("startup", "health"),
        ("readiness", "ready"),
        ("liveness", "health"),
    ] {
        assert_eq!(
            container[format!("{probe}Probe")]["httpGet"]["path"],
            format!("/api/v1/{path}")
        );
    }
}

/// A misspelt variable would be no more than a warning in a log.
#[test]
fn pods_are_given_only_variables_that_baton_documents() {
    let manual = read(&root().join("docs/configuration.md"));
    let deployment = only(&rendered("most"), "Deployment");
    let env = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
        .as_array()
        .unwrap();
    let names: Vec<&str> = env
        .iter()
        .map(|variable| variable["name"].as_str().unwrap())
        .collect();
    assert!(
        names.contains(&"BATON_REDIS_KEY_FILE") && names.contains(&"MAX_CONNECTIONS"),
        "{names:?}"
    );
    for name in names {
        assert!(
            manual.contains(&format!("`{name}`")),
            "{name} is not in docs/configuration.md"
        );
    }
}

#[test]
fn the_configuration_is_passed_on_and_its_change_restarts_the_pods() {
    let documents = rendered("most");
    let text = &only(&documents, "ConfigMap")["data"]["config.json"];
    let config: Value = serde_json::from_str(text.as_str().unwrap()).unwrap();
    let given = yaml(&values("most"));
    assert_eq!(config["relayers"], given["config"]["relayers"]);
    assert_eq!(config["signers"], given["config"]["signers"]);
    let checksum = |set: &[&str]| {
        let home = tempfile::tempdir().unwrap();
        let output = run(template(home.path(), "most").args(set));
        let deployment = only(&documents_of(&output), "Deployment");
        deployment["spec"]["template"]["metadata"]["annotations"]["checksum/config"].clone()
    };
    assert_eq!(checksum(&[]), checksum(&["--set", "image.digest="]));
    assert_ne!(
        checksum(&[]),
        checksum(&["--set", "config.relayers[0].id=other"])
    );
}

#[test]
fn what_can_be_turned_off_and_on_is() {
    let kinds = |set| -> Vec<String> {
        let mut kinds: Vec<String> = rendered(set)
            .iter()
            .map(|document| document["kind"].as_str().unwrap().to_owned())
            .collect();
        kinds.sort();
        kinds
    };
    assert_eq!(
        kinds("none"),
        ["ConfigMap", "Deployment", "Service", "Service"]
    );
    assert_eq!(
        kinds("most"),
        [
            "ConfigMap",
            "Deployment",
            "HorizontalPodAutoscaler",
            "Ingress",
            "NetworkPolicy",
            "PodDisruptionBudget",
            "PrometheusRule",
            "Service",
            "Service",
            "ServiceAccount",
            "ServiceMonitor"
        ]
    );
    assert_eq!(only(&rendered("none"), "Deployment")["spec"]["replicas"], 2);
    let scaled = only(&rendered("most"), "Deployment");
    assert!(scaled["spec"]["replicas"].is_null(), "the autoscaler's own");
}

#[test]
fn the_operator_gets_the_alerts_and_a_way_to_every_pod() {
    let documents = rendered("most");
    let rule = only(&documents, "PrometheusRule");
    assert_eq!(
        rule["spec"]["groups"],
        yaml(&deploy("prometheus/alerts.yml"))["groups"]
    );
    let monitor = only(&documents, "ServiceMonitor");
    let asked = &monitor["spec"]["selector"]["matchLabels"];
    let found = documents
        .iter()
        .filter(|document| document["kind"] == "Service")
        .filter(|service| {
            let labels = &service["metadata"]["labels"];
            asked
                .as_object()
                .unwrap()
                .iter()
                .all(|(name, value)| labels[name] == *value)
        });
    let ports: Vec<&Value> = found
        .map(|service| &service["spec"]["ports"][0]["name"])
        .collect();
    assert_eq!(ports, [&monitor["spec"]["endpoints"][0]["port"]]);
    let job = &monitor["spec"]["endpoints"][0]["relabelings"][0];
    assert_eq!(
        (&job["targetLabel"], &job["replacement"]),
        (&json!("job"), &json!("baton"))
    );
}

fn values(set: &str) -> std::path::PathBuf {
    deploy(&format!("helm/baton/ci/{set}.yaml"))
}

fn template(home: &Path, set: &str) -> Command {
    template_for(home, set, KUBERNETES[0])
}

fn template_for(home: &Path, set: &str, version: &str) -> Command {
    let mut command = helm(home);
    command.args(["--kube-version", version]);
    command
        .args(["template", "shop"])
        .arg(deploy("helm/baton"))
        .arg("-f")
        .arg(values(set));
    command
}

fn validate(path: &Path, version: &str) -> Command {
    let mut command = wheel("kubernetes-validate");
    command
        .args(["--strict", "--kubernetes-version", version])
        .arg(path);
    command
}

fn rendered(set: &str) -> Vec<Value> {
    let home = tempfile::tempdir().unwrap();
    documents_of(&run(&mut template(home.path(), set)))
}

fn documents_of(output: &Output) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rendered.yaml");
    fs::write(&path, &output.stdout).unwrap();
    yaml_documents(&path)
        .into_iter()
        .filter(|document| !document.is_null())
        .collect()
}

fn only(documents: &[Value], kind: &str) -> Value {
    let mut found = documents.iter().filter(|document| document["kind"] == kind);
    let first = found.next().unwrap_or_else(|| panic!("no {kind}"));
    assert!(found.next().is_none(), "one {kind}");
    first.clone()
}
