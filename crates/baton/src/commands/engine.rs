//! `baton engine`.

use std::process::ExitCode;

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};

use super::refuse;
use crate::app::{App, AppOptions};
use crate::cli::EngineArgs;
use crate::config::{self, Variables};
use crate::logging;

/// Runs the engine until a signal tells it to stop.
pub async fn run(arguments: EngineArgs, variables: &dyn Variables) -> Result<ExitCode> {
    let file = arguments
        .source
        .config
        .unwrap_or_else(|| config::default_file(variables));
    let loaded = config::load(&file, variables);
    let (mut settings, warnings) = loaded.map_err(|report| refuse(&file, &report))?;
    let traced = logging::start(&settings.log)?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    if let Some(directory) = arguments.data_dir {
        settings.storage.use_directory(directory)?;
    }
    let options = AppOptions {
        adopt: arguments.adopt,
    };
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    };
    let mut stop = std::pin::pin!(stop);
    let started = tokio::select! {
        started = App::start(settings, options) => started,
        // Nothing was accepted yet.
        signal = &mut stop => {
            tracing::info!(signal, "stopped while starting");
            return Ok(ExitCode::SUCCESS);
        }
    };
    let mut app = started?;
    tracing::info!(address = %app.address(), "listening");
    let broken = tokio::select! {
        signal = &mut stop => {
            tracing::info!(signal, "draining");
            None
        }
        error = app.broke() => Some(error),
    };
    if let Some(error) = &broken {
        tracing::error!(%error, "stopping, for a defect");
    }
    app.stop().await;
    traced.finish().await;
    broken.map_or(Ok(ExitCode::SUCCESS), Err)
}
