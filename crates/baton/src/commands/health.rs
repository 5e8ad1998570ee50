//! `baton health`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::say;
use crate::cli::HealthArgs;
use crate::config::Variables;

/// Longest wait: whoever asks decides by it, and asks again soon.
const WAIT_MAX: Duration = Duration::from_secs(3);

/// Runs the command.
pub async fn run(arguments: HealthArgs, variables: &dyn Variables) -> Result<ExitCode> {
    let _already_installed = rustls::crypto::ring::default_provider().install_default();
    let given = |name: &str| variables.get(name).filter(|value| !value.is_empty());
    let here = || {
        let port = given("APP_PORT").unwrap_or_else(|| "8080".to_owned());
        format!("http://127.0.0.1:{port}")
    };
    let base = arguments.url.or_else(|| given("BATON_URL"));
    let base = base.unwrap_or_else(here);
    let path = if arguments.ready { "ready" } else { "health" };
    let url = format!("{}/api/v1/{path}", base.trim_end_matches('/'));
    let client = reqwest::Client::builder().no_proxy().timeout(WAIT_MAX);
    let asked = client.build()?.get(&url).send().await;
    let answer = asked.with_context(|| format!("no answer from {url}"))?;
    let status = answer.status();
    if status.is_success() {
        say("ok")?;
        return Ok(ExitCode::SUCCESS);
    }
    bail!("{url} answered {}", status.as_u16())
}
