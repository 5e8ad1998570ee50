//! `baton config`.

use std::process::ExitCode;

use anyhow::Result;

use super::say;
use crate::app::check_keys;
use crate::cli::{ConfigCommand, ConfigSource};
use crate::config::{self, Report, Variables};

/// Runs the command.
pub async fn run(command: &ConfigCommand, variables: &dyn Variables) -> Result<ExitCode> {
    let ConfigCommand::Check(ConfigSource { config }) = command;
    let file = config
        .clone()
        .unwrap_or_else(|| config::default_file(variables));
    let report = match config::load(&file, variables) {
        Ok((settings, warnings)) => {
            check_keys(&settings).await?;
            Report {
                warnings,
                ..Report::default()
            }
        }
        Err(report) => report,
    };
    say(report.to_string().trim_end())?;
    Ok(if report.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
