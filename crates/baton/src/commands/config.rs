//! `baton config`.

use std::process::ExitCode;

use anyhow::Result;

use super::say;
use crate::app::check_keys;
use crate::cli::{ConfigCommand, ConfigSource, SchemaOf};
use crate::config::{self, Variables};

/// Runs the command.
pub async fn run(command: &ConfigCommand, variables: &dyn Variables) -> Result<ExitCode> {
    let config = match command {
        ConfigCommand::Check(ConfigSource { config }) => config,
        ConfigCommand::Schema { of } => return schema(*of),
    };
    let file = config
        .clone()
        .unwrap_or_else(|| config::default_file(variables));
    let (content, mut report) = config::examine(&file, variables);
    check_keys(&content, &mut report).await?;
    say(report.to_string().trim_end())?;
    Ok(if report.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn schema(of: SchemaOf) -> Result<ExitCode> {
    let schema = match of {
        SchemaOf::Config => config::config_schema(),
        SchemaOf::Networks => config::networks_schema(),
    };
    say(serde_json::to_string_pretty(&schema)?)?;
    Ok(ExitCode::SUCCESS)
}
