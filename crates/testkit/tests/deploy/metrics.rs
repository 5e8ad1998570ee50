//! Which metrics there are: what the sources register, and what the others tell that Prometheus asks.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::tools::{read, root};

/// What the alerts and boards use of redis_exporter 1.74, from its source (`exporter/exporter.go`).
const OF_REDIS: [&str; 17] = [
    "redis_aof_enabled",
    "redis_aof_last_write_status",
    "redis_blocked_clients",
    "redis_commands_duration_seconds_total",
    "redis_commands_total",
    "redis_connected_clients",
    "redis_cpu_sys_seconds_total",
    "redis_cpu_user_seconds_total",
    "redis_db_keys",
    "redis_evicted_keys_total",
    "redis_memory_max_bytes",
    "redis_memory_used_bytes",
    "redis_net_input_bytes_total",
    "redis_net_output_bytes_total",
    "redis_rdb_last_bgsave_status",
    "redis_up",
    // Prometheus tells it of everything that it asks.
    "up",
];

/// The names of all metrics as they are scraped.
pub(crate) fn known() -> BTreeSet<String> {
    let mut known: BTreeSet<String> = OF_REDIS.iter().map(|name| (*name).to_owned()).collect();
    for file in sources(&root().join("crates")) {
        known.extend(registered(&read(&file)));
    }
    known
}

/// What a source file registers: `register("name", "help", variable)`, under the names that its kind is scraped with.
fn registered(source: &str) -> Vec<String> {
    let calls = source.split(".register(").skip(1);
    let mut names = Vec::new();
    for call in calls {
        let mut parts = call.splitn(5, '"');
        let (Some(before), Some(name), Some(_), Some(_help), Some(rest)) = (
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
        ) else {
            continue;
        };
        if !before.trim().is_empty() {
            continue;
        }
        let argument = rest.trim_start_matches(',').trim();
        let end = argument.find([',', ';', '\n']).unwrap_or(argument.len());
        let argument = argument[..end]
            .trim_end_matches(')')
            .trim_end_matches(".clone(");
        let variable = argument.rsplit('.').next().unwrap_or(argument);
        let endings: &[&str] = match kind(source, variable) {
            Some("Counter") => &["_total"],
            Some("Histogram") => &["_bucket", "_sum", "_count"],
            Some(_) => &[""],
            None => continue,
        };
        names.extend(endings.iter().map(|ending| format!("{name}{ending}")));
    }
    names
}

/// What a variable is, by the struct that declares it.
fn kind(source: &str, variable: &str) -> Option<&'static str> {
    let declared = source
        .lines()
        .filter_map(|line| line.trim().strip_prefix(variable)?.strip_prefix(": "));
    let mut kinds = declared.filter_map(|declared| {
        // A family of histograms names its constructor's type, too.
        ["Histogram", "Counter", "Gauge"]
            .into_iter()
            .find(|kind| declared.contains(kind))
    });
    kinds.next()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable folder entry").path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

#[test]
fn metrics_are_found_in_the_sources() {
    let known = known();
    for name in [
        "requests_total",
        "request_latency_seconds_bucket",
        "slots",
        "fees_spent_wei_total",
        "rpc_calls_total",
        "lane_held",
    ] {
        assert!(known.contains(name), "{name} is not among {known:?}");
    }
    for name in [
        "requests",
        "slots_total",
        "rpc_calls",
        "request_latency_seconds",
    ] {
        assert!(!known.contains(name), "{name} is not how it is scraped");
    }
}
