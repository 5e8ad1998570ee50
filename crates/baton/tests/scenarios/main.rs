//! The scenarios S1 to S14 and F1 to F13 in their short form: what a relayer, and a fleet of its
//! instances, have to survive, one thing at a time.
//!
//! `baton bench --scenario NAME --short` plays each with a relayer process, anvil and a fault proxy
//! of its own, and holds the chain against what was answered. Here it is held to its result, and to
//! having done the harm it is there for.

#![expect(
    clippy::unwrap_used,
    reason = "a failed step of a test's own set-up should stop the test"
)]

mod callers;
mod chain;
mod crashes;
mod fleet;
mod loads;
mod nodes;

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;

/// Longest scenario, on cores that others use too.
const LONGEST: Duration = Duration::from_secs(240);

/// Decides where faults strike and when processes end.
const SEED: &str = "20261121";

/// What became of a scenario.
struct Played(Value);

/// Plays a scenario, in which nothing may be lost or doubled or go wrong otherwise.
async fn play(name: &str, options: &[&str]) -> Played {
    let directory = tempfile::tempdir().unwrap();
    let json = directory.path().join("report.json");
    let playing = Command::new(env!("CARGO_BIN_EXE_baton"))
        .args([
            "bench",
            "--scenario",
            name,
            "--short",
            "--seed",
            SEED,
            "--json",
        ])
        .arg(&json)
        .args(options)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let group = playing.id().unwrap();
    let output = tokio::time::timeout(LONGEST, playing.wait_with_output()).await;
    if output.is_err() {
        end(group);
    }
    let output = output.expect("it ends").unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success(),
        "{}\n{said}\n{error}",
        output.status
    );
    let report: Value = serde_json::from_slice(&fs::read(json).unwrap()).unwrap();
    let [trial] = report["scenarios"].as_array().unwrap().as_slice() else {
        panic!("{report}")
    };
    let played = Played(trial.clone());
    assert_eq!(trial["problems"], Value::Array(Vec::new()), "{trial}");
    let zero = ["lost", "doubled", "refused_but_executed"];
    assert_eq!(zero.map(|name| played.count(name)), [0; 3], "{trial}");
    let kept = played.count("once") + played.count("forgotten");
    assert!(kept >= played.count("accepted"), "{trial}");
    played
}

/// Ends a bench that hangs, and the relayers that it has started.
fn end(group: u32) {
    let mut kill = std::process::Command::new("kill");
    let killed = kill.args(["-KILL", "--", &format!("-{group}")]).status();
    assert!(killed.unwrap().success());
}

/// Plays a scenario in which every request is accepted, and so executed once.
async fn play_whole(name: &str, options: &[&str], requests: u64) -> Played {
    let played = play(name, options).await;
    assert!(played.count("sent") >= requests, "{}", played.0);
    let all = ["accepted", "once"].map(|name| played.count(name));
    assert_eq!(all, [played.count("sent"); 2], "{}", played.0);
    played
}

/// Plays a scenario in which every request is accepted, and executed once unless the store was
/// allowed to forget it.
async fn play_but_forgotten(name: &str, requests: u64) -> Played {
    let played = play(name, &[]).await;
    assert!(played.count("sent") >= requests, "{}", played.0);
    let kept = played.count("once") + played.count("forgotten");
    let all = [played.count("accepted"), kept];
    assert_eq!(all, [played.count("sent"); 2], "{}", played.0);
    played
}

impl Played {
    #[track_caller]
    fn count(&self, name: &str) -> u64 {
        self.0["counts"][name].as_u64().unwrap()
    }

    /// A figure of the scenario's own.
    #[track_caller]
    fn figure(&self, name: &str) -> f64 {
        let figures = self.0["figures"].as_array().unwrap();
        let found = figures.iter().find(|figure| figure["name"] == name);
        found.unwrap_or_else(|| panic!("no {name}: {}", self.0))["value"]
            .as_f64()
            .unwrap()
    }
}
