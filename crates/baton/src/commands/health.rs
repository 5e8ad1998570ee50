//! `baton health`.

use std::net::{IpAddr, Ipv4Addr};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::say;
use crate::cli::HealthArgs;
use crate::config::Variables;

/// Longest wait: whoever asks decides by it, and asks again soon.
const WAIT_MAX: Duration = Duration::from_secs(3);

/// Where the engine of this host listens, by its own variables. Not BATON_URL: that may be a load balancer.
fn here(variables: &dyn Variables) -> String {
    let given = |name: &str| variables.get(name).filter(|value| !value.is_empty());
    let port = given("APP_PORT").unwrap_or_else(|| "8080".to_owned());
    let host = given("HOST").and_then(|host| host.parse::<IpAddr>().ok());
    let host = match host {
        Some(host) if !host.is_unspecified() => host,
        Some(_) | None => IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    match host {
        IpAddr::V4(host) => format!("http://{host}:{port}"),
        IpAddr::V6(host) => format!("http://[{host}]:{port}"),
    }
}

/// Runs the command.
pub async fn run(arguments: HealthArgs, variables: &dyn Variables) -> Result<ExitCode> {
    let _already_installed = rustls::crypto::ring::default_provider().install_default();
    let base = arguments.url.unwrap_or_else(|| here(variables));
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
