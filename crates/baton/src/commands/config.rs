//! `baton config`.

use std::process::ExitCode;

use anyhow::Result;

use super::say;
use crate::cli::{ConfigCommand, ConfigSource};
use crate::config::{self, Variables};

/// Runs the command.
pub fn run(command: &ConfigCommand, variables: &dyn Variables) -> Result<ExitCode> {
    let ConfigCommand::Check(ConfigSource { config }) = command;
    let file = config
        .clone()
        .unwrap_or_else(|| config::default_file(variables));
    let report = config::check(&file, variables);
    say(report.to_string().trim_end())?;
    Ok(if report.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
