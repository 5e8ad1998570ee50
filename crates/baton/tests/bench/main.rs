//! `baton bench` from start to end: with a relayer of its own, and against ones that lose and
//! double.

#![expect(
    clippy::unwrap_used,
    reason = "a failed step of a test's own set-up should stop the test"
)]

mod liar;

use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use baton_testkit::{Anvil, AnvilOptions, Mining};
use serde_json::Value;
use tokio::process::Command;

use liar::{Deed, Liar};

/// Longest run of a bench here, on busy cores.
const LONGEST: Duration = Duration::from_secs(120);

async fn bench(arguments: &[&str], json: &Path) -> (Output, Value) {
    let running = Command::new(env!("CARGO_BIN_EXE_baton"))
        .arg("bench")
        .args(arguments)
        .arg("--json")
        .arg(json)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(LONGEST, running)
        .await
        .expect("it ends")
        .unwrap();
    let text = fs::read_to_string(json).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (output, serde_json::from_str(&text).unwrap())
}

#[tokio::test]
async fn a_short_run_measures_baton_and_finds_everything_executed_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let (markdown, svg) = (path("load.md"), path("load.svg"));
    let arguments = [
        "--rates",
        "40",
        "--warm-up",
        "1",
        "--measure",
        "3",
        "--block-time",
        "200",
        "--proxy-delay",
        "10",
        "--relayers",
        "2",
        "--seed",
        "11",
        "--markdown",
        markdown.to_str().unwrap(),
        "--svg",
        svg.to_str().unwrap(),
    ];
    let (output, report) = bench(&arguments, &path("load.json")).await;
    assert!(output.status.success(), "{output:?}");

    assert_eq!(report["seed"], 11);
    let direct = report["direct"]["mined_per_second"].as_f64().unwrap();
    assert!(direct > 40.0, "{direct}");
    let [step] = report["steps"].as_array().unwrap().as_slice() else {
        panic!("{report}")
    };
    let counts = &step["counts"];
    assert_eq!(counts["sent"], 160);
    assert_eq!(
        (&counts["accepted"], &counts["lost"]),
        (&counts["sent"], &Value::from(0))
    );
    assert_eq!(counts["doubled"], 0);
    let time = |name: &str| step[name]["p50"].as_f64().unwrap();
    // Whatever is mined was sent, and whatever is sent was accepted, some milliseconds before.
    assert!(time("mined") > time("broadcast"), "{step}");
    assert_eq!(step["broadcast"]["count"], 120);
    let share = step["share_of_direct"].as_f64().unwrap();
    assert!((0.0..1.0).contains(&share), "{share}");
    let traffic = &step["traffic"];
    assert!(
        traffic["by_method"]["eth_sendRawTransaction"]
            .as_f64()
            .unwrap()
            >= 1.0
    );
    assert!(traffic["calls"].as_f64().unwrap() >= traffic["requests"].as_f64().unwrap());
    assert!(step["resident_peak_bytes"].as_u64().unwrap() > 1_000_000);

    let markdown = fs::read_to_string(markdown).unwrap();
    assert!(markdown.contains("| 10 | 40 | "), "{markdown}");
    assert!(fs::read_to_string(svg).unwrap().contains("<polyline"));
}

#[tokio::test]
async fn a_relayer_that_loses_or_doubles_is_found_out() {
    let mining = Mining::Every(Duration::from_millis(200));
    let anvil = Anvil::start(&AnvilOptions {
        mining,
        ..AnvilOptions::default()
    })
    .await
    .unwrap();
    let deeds = [
        Deed::Execute,
        Deed::Lose,
        Deed::Execute,
        Deed::Double,
        Deed::RefuseAndExecute,
    ];
    let liar = Liar::start(&anvil, &deeds).await;
    let directory = tempfile::tempdir().unwrap();
    let node = anvil.http_url();
    let arguments = [
        "--url",
        &liar.url,
        "--api-key",
        "any",
        "--relayer",
        "main",
        "--node",
        &node,
        "--rates",
        "20",
        "--warm-up",
        "0",
        "--measure",
        "1",
        "--drain",
        "2",
        "--no-direct",
    ];
    let (output, report) = bench(&arguments, &directory.path().join("load.json")).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");

    let counts = &report["steps"][0]["counts"];
    let found = [
        "sent",
        "accepted",
        "refused",
        "lost",
        "doubled",
        "refused_but_executed",
    ];
    // Twenty requests, four of each deed.
    assert_eq!(
        found.map(|name| counts[name].as_u64().unwrap()),
        [20, 16, 4, 4, 4, 4]
    );
    assert_eq!(report["steps"][0]["kept_up"], false);
    assert_eq!(
        report["steps"][0]["broadcast"],
        Value::Null,
        "there is no proxy"
    );
    let refusals = report["steps"][0]["refusals"].as_array().unwrap();
    assert!(
        refusals[0].as_str().unwrap().contains("so it says"),
        "{refusals:?}"
    );
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("FAILED"), "{text}");
}
