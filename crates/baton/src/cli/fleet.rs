//! The arguments of the commands that look at running processes.

use clap::{Args, Subcommand};

use super::ConfigSource;

/// `baton fleet`.
#[derive(Clone, Debug, Subcommand)]
pub enum FleetCommand {
    /// List the processes that share the store, and for each lane who holds its baton, since when, under which epoch,
    /// and how much waits in its inbox.
    #[command(after_help = "\
Examples:
  baton fleet status
  watch -n 2 baton fleet status --config /etc/baton/config.json

Reads the store that the environment names (REPOSITORY_STORAGE_TYPE=redis, REDIS_URL, STORAGE_ENCRYPTION_KEY), with the
engine's other variables, and writes nothing to it. Looks twice, one lease apart: an instance is live when it told of
itself in between. Ends with status 1 when a lane has no holder, or no instance lives.")]
    Status(FleetStatusArgs),
}

/// `baton fleet status`.
#[derive(Clone, Debug, Args)]
pub struct FleetStatusArgs {
    /// Where the configuration is.
    #[command(flatten)]
    pub source: ConfigSource,
    /// Print JSON, for programs.
    #[arg(long)]
    pub json: bool,
}

/// `baton health`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  baton health                   is the engine on this host alive?
  baton health --ready           should callers be sent to it?

Ends with status 0 for yes, 1 for no.")]
pub struct HealthArgs {
    /// Where the engine is; without it, this host at HOST and APP_PORT.
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Ask whether it is ready, not only alive.
    #[arg(long)]
    pub ready: bool,
}
