//! `baton engine`.

use std::process::ExitCode;

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};

use crate::app::{App, AppOptions};
use crate::cli::EngineArgs;
use crate::config::{self, Variables};
use crate::logging;

/// Runs the engine until a signal tells it to stop.
pub async fn run(arguments: EngineArgs, variables: &dyn Variables) -> Result<ExitCode> {
    let file = arguments.source.config.unwrap_or_else(|| config::default_file(variables));
    let (mut settings, warnings) = config::load(&file, variables)?;
    logging::start(&settings.log)?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    if let Some(directory) = arguments.data_dir {
        settings.storage.data_dir = directory;
    }
    let options = AppOptions { adopt: arguments.adopt, ..AppOptions::default() };
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let app = App::start(settings, options).await?;
    tracing::info!(address = %app.address(), "listening");
    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM: draining"),
        _ = interrupt.recv() => tracing::info!("SIGINT: draining"),
    }
    app.stop().await;
    Ok(ExitCode::SUCCESS)
}
