//! The compose files: one list of instances in all of them, nothing unprotected, nothing unexplained.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::nginx::upstream_lines;
use crate::tools::{deploy, output, read, root, run, told, wheel, yaml};

const FILE: &str = "compose/docker-compose.yaml";
const TLS: &str = "compose/docker-compose.tls.yaml";
/// What an instance may need to end: 30 s for calls in flight, and what follows them.
const DRAIN_SECONDS: u64 = 45;

#[test]
fn the_files_follow_the_compose_specification() {
    for file in [FILE, TLS] {
        run(schema().arg(deploy(file)));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("docker-compose.yaml");
    fs::write(
        &path,
        read(&deploy(FILE)).replace("healthcheck:", "healthchek:"),
    )
    .unwrap();
    let refused = output(schema().arg(&path));
    assert!(
        !refused.status.success() && told(&refused).contains("healthchek"),
        "a mistake is found"
    );
}

#[test]
fn three_instances_differ_in_their_names_only_and_all_files_list_them() {
    let file = yaml(&deploy(FILE));
    let names = instances();
    assert_eq!(names.len(), 3);
    let mut shared: Option<Value> = None;
    for name in &names {
        let mut service = file["services"][name].clone();
        assert_eq!(service["environment"]["BATON_INSTANCE"].take(), *name);
        assert_eq!(
            *shared.get_or_insert_with(|| service.clone()),
            service,
            "{name}"
        );
    }
    let upstreams: Vec<String> = upstream_lines()
        .iter()
        .map(|line| line.split(':').next().unwrap().to_owned())
        .collect();
    assert_eq!(upstreams, names, "upstreams.conf");
    let waits: Vec<&String> = file["services"]["nginx"]["depends_on"]
        .as_object()
        .unwrap()
        .keys()
        .collect();
    assert_eq!(
        waits,
        names.iter().collect::<Vec<_>>(),
        "nginx starts after them"
    );
    let tls = yaml(&deploy(TLS));
    for name in &names {
        assert_eq!(
            tls["services"][name]["environment"]["BATON_REDIS_KEY_FILE"], "/run/secrets/client_key",
            "{name}"
        );
    }
}

#[test]
fn every_service_is_limited_watched_and_restarted() {
    let file = yaml(&deploy(FILE));
    for (name, service) in file["services"].as_object().unwrap() {
        assert_eq!(service["restart"], "unless-stopped", "{name}");
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(service["cap_drop"], serde_json::json!(["ALL"]), "{name}");
        assert_eq!(
            service["security_opt"],
            serde_json::json!(["no-new-privileges:true"]),
            "{name}"
        );
        assert!(
            service["healthcheck"].is_object(),
            "{name} has no health check"
        );
        assert!(
            service["logging"]["options"]["max-size"].is_string(),
            "{name}: its log has no end"
        );
        let limits = &service["deploy"]["resources"]["limits"];
        assert!(
            limits["cpus"].is_string() && limits["memory"].is_string(),
            "{name}: {limits}"
        );
        let is_metrics = ["redis-exporter", "prometheus", "grafana"].contains(&name.as_str());
        assert_eq!(service["profiles"].is_array(), is_metrics, "{name}");
        let image = service["image"].as_str().unwrap();
        assert!(
            !image.ends_with(":latest") && image.contains(':'),
            "{name}: {image}"
        );
    }
    for name in instances() {
        let grace = file["services"][&name]["stop_grace_period"]
            .as_str()
            .unwrap();
        let seconds: u64 = grace.strip_suffix('s').unwrap().parse().unwrap();
        assert!(
            seconds > DRAIN_SECONDS,
            "{name}: {grace} is too short to drain"
        );
    }
}

/// The load balancer is what callers reach; what asks for no password is reached from this machine only.
#[test]
fn only_the_load_balancer_is_open_to_others() {
    let file = yaml(&deploy(FILE));
    for (name, service) in file["services"].as_object().unwrap() {
        for port in service["ports"].as_array().into_iter().flatten() {
            let port = port.as_str().unwrap();
            let open = !port.starts_with("127.0.0.1:");
            assert_eq!(open, name == "nginx", "{name}: {port}");
        }
    }
    assert_eq!(file["networks"]["store"]["internal"], true);
    assert_eq!(
        file["services"]["redis"]["networks"],
        serde_json::json!(["store"])
    );
}

#[test]
fn what_is_referred_to_is_there() {
    let file = yaml(&deploy(FILE));
    for (name, service) in file["services"].as_object().unwrap() {
        for network in service["networks"].as_array().unwrap() {
            assert!(
                !file["networks"][network.as_str().unwrap()].is_null(),
                "{name}: network {network}"
            );
        }
        for other in service["depends_on"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(other, _)| other)
        {
            assert!(
                !file["services"][other].is_null(),
                "{name}: service {other}"
            );
        }
        for volume in service["volumes"].as_array().into_iter().flatten() {
            let source = volume.as_str().unwrap().split(':').next().unwrap();
            if source.starts_with('.') {
                assert!(deploy("compose").join(source).exists(), "{name}: {source}");
            } else {
                assert!(
                    file["volumes"].get(source).is_some(),
                    "{name}: volume {source}"
                );
            }
        }
    }
    let tls = yaml(&deploy(TLS));
    for (name, service) in tls["services"].as_object().unwrap() {
        assert!(
            !file["services"][name].is_null(),
            "{name} is in the first file, too"
        );
        for secret in service["secrets"].as_array().into_iter().flatten() {
            assert!(
                !tls["secrets"][secret.as_str().unwrap()].is_null(),
                "{name}: secret {secret}"
            );
        }
    }
}

#[test]
fn every_variable_is_explained_in_the_example_and_used() {
    let example = read(&deploy("compose/.env.example"));
    let mut explained = BTreeSet::new();
    let mut commented = false;
    for line in example.lines() {
        if let Some((name, value)) = line.split_once('=').filter(|_| !line.starts_with('#')) {
            assert!(commented, "{name} has no comment");
            explained.insert(name.to_owned());
            let secret = ["KEY", "PASSPHRASE"].iter().any(|end| name.ends_with(end))
                || name == "REDIS_PASSWORD";
            assert!(
                !secret || value.is_empty(),
                "{name}: no secret comes with the example"
            );
        }
        // A comment may speak for the lines below it, up to an empty one.
        commented = line.starts_with('#') || (commented && !line.is_empty());
    }
    let used: BTreeSet<String> = [FILE, TLS]
        .iter()
        .flat_map(|file| variables(&read(&deploy(file))))
        .collect();
    assert_eq!(explained, used);
}

/// A misspelt variable would be no more than a warning in a log.
#[test]
fn instances_are_given_only_variables_that_baton_documents() {
    let manual = read(&root().join("docs/configuration.md"));
    let file = yaml(&deploy(FILE));
    let tls = yaml(&deploy(TLS));
    let environments = [
        &file["services"]["baton-1"]["environment"],
        &tls["services"]["baton-1"]["environment"],
    ];
    for name in environments
        .iter()
        .flat_map(|environment| environment.as_object().unwrap().keys())
    {
        assert!(
            manual.contains(&format!("`{name}`")),
            "{name} is not in docs/configuration.md"
        );
    }
}

/// The names of the services that run Baton, in order.
pub(crate) fn instances() -> Vec<String> {
    let file = yaml(&deploy(FILE));
    let services = file["services"].as_object().unwrap();
    services
        .keys()
        .filter(|name| name.starts_with("baton-"))
        .cloned()
        .collect()
}

fn schema() -> std::process::Command {
    let mut command = wheel("check-jsonschema");
    command.args(["--builtin-schema", "vendor.compose-spec"]);
    command
}

/// What a compose file takes from `.env`.
fn variables(text: &str) -> Vec<String> {
    let uses = text.split("${").skip(1);
    uses.map(|rest| {
        rest.chars()
            .take_while(|c| c.is_ascii_uppercase() || *c == '_')
            .collect()
    })
    .collect()
}
