//! The published SDK of OpenZeppelin Relayer, as it comes from npm: every call that it has.

use std::path::{Path, PathBuf};
use std::process::Output;

use baton_testkit::Anvil;
use tokio::process::Command;

use crate::support::{LONGEST, Setup, until};

const ENCRYPTION_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// The account of the signer that the script makes.
const ACCOUNT: usize = 5;

#[tokio::test]
async fn every_call_of_the_published_sdk_works() {
    let world = Setup::default()
        .variable("STORAGE_ENCRYPTION_KEY", ENCRYPTION_KEY)
        .variable("METRICS_ENABLED", "true")
        .variable("METRICS_PORT", "0")
        .world()
        .await;
    let engine = world.engine().await;
    let metrics = until("the metrics are served", async || {
        let lines = engine.lines();
        let mut lines = lines.iter().map(|line| &line["fields"]);
        let told = lines.find(|fields| fields["message"] == "metrics are served")?;
        Some(told["address"].as_str().unwrap().to_owned())
    })
    .await;
    let run = Command::new("node")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk/calls.mjs"))
        .env("SDK", sdk())
        .env("BATON_URL", engine.api().url())
        .env("METRICS_URL", format!("http://{metrics}"))
        .env("API_KEY", &world.variables["API_KEY"])
        .env(
            "SIGNER_KEY",
            Anvil::DEV_KEYS[ACCOUNT].trim_start_matches("0x"),
        )
        .env("ADDRESS", world.account(ACCOUNT).to_string())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(LONGEST * 3, run)
        .await
        .expect("the calls end")
        .expect("node runs; `scripts/tools sdk` installs it");
    assert!(output.status.success(), "{}", told(&output));
    engine.stop().await;
}

/// Where `scripts/tools sdk` has put the package, or BATON_SDK says that it is.
#[expect(
    clippy::disallowed_methods,
    reason = "tests have no configuration that could name the package"
)]
fn sdk() -> PathBuf {
    let chosen = std::env::var_os("BATON_SDK").map(PathBuf::from);
    let found = chosen.unwrap_or_else(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        root.join(".baton/tools/sdk/node_modules/@openzeppelin/relayer-sdk")
    });
    assert!(
        found.join("package.json").is_file(),
        "{} has no @openzeppelin/relayer-sdk: run `scripts/tools sdk`",
        found.display()
    );
    found
}

fn told(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!(
        "{}\n{}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    )
}
