//! The API is as its description says, for thousands of requests that are made up from it: schemathesis, from PyPI.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use crate::support::Setup;

const ENCRYPTION_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// How long requests are made up.
const BUDGET_SECONDS: &str = "45";
/// Longest wait for the end of it all, on a machine that is busy.
const LONGEST: Duration = Duration::from_secs(180);
/// Left out: that every request that fits its description is accepted. There are rules that a schema cannot say, such
/// as a gas limit that covers the data, a time in the future, or a node that is there.
const WITHOUT: &str = "positive_data_acceptance";
/// Not called: a path that no transaction has, although one was just made, and a stream without end.
const NOT_CALLED: [&str; 2] = ["getPendingTransactions", "streamEvents"];
/// Longest wait for an answer in seconds.
const ANSWER_SECONDS: &str = "20";

#[tokio::test]
async fn the_api_is_as_its_description_says() {
    let world = Setup::default()
        .variable("STORAGE_ENCRYPTION_KEY", ENCRYPTION_KEY)
        .world()
        .await;
    let engine = world.engine().await;
    let url = engine.api().url();
    let bearer = format!("Authorization: Bearer {}", world.variables["API_KEY"]);
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let run = Command::new(schemathesis())
        .arg("--config-file")
        .arg(tests.join("schemathesis/schemathesis.toml"))
        .args([
            "run",
            &format!("{url}/api-docs/openapi.json"),
            "-H",
            &bearer,
        ])
        .args(NOT_CALLED.map(|id| format!("--exclude-operation-id={id}")))
        .args(["--request-timeout", ANSWER_SECONDS])
        .args(["--exclude-checks", WITHOUT, "--max-time", BUDGET_SECONDS])
        .args([
            "--seed",
            "1",
            "--suppress-health-check",
            "all",
            "--no-color",
        ])
        .current_dir(world.path(""))
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(LONGEST, run)
        .await
        .expect("schemathesis ends")
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}\n{told}", output.status);
    // What does nothing finds nothing.
    let mut lines = told.lines().skip_while(|line| *line != "Test cases:");
    let generated = lines.nth(1).and_then(|line| line.split_whitespace().next());
    let generated: u32 = generated.expect(&told).parse().unwrap();
    assert!(generated > 500, "{told}");
    engine.stop().await;
}

/// Where `scripts/tools schemathesis` has put the program, or BATON_SCHEMATHESIS says that it is.
#[expect(
    clippy::disallowed_methods,
    reason = "tests have no configuration that could name the program"
)]
fn schemathesis() -> PathBuf {
    let chosen = std::env::var_os("BATON_SCHEMATHESIS").map(PathBuf::from);
    let found = chosen.unwrap_or_else(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        root.join(".baton/tools/schemathesis/bin/schemathesis")
    });
    assert!(
        found.is_file(),
        "{} is not there: run `scripts/tools schemathesis`",
        found.display()
    );
    found
}
