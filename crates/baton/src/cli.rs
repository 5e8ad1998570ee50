//! The command line.

mod amount;
mod bench;
mod caller;
mod fleet;

use std::path::PathBuf;

use baton_vault::Secret;
use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use amount::shown;
pub use bench::{BenchArgs, LoadArgs, OtherArgs, OutputArgs, Preset, ScenarioArgs, ScenarioName};
pub use caller::{
    CallerArgs, CancelArgs, ListArgs, OneArgs, PageArgs, RelayersArgs, RelayersCommand, SendArgs,
    SpeedArg, StatusArg, TxArgs, TxCommand, Until, WaitArgs, WatchArgs,
};
pub use fleet::{FleetCommand, FleetStatusArgs, HealthArgs};

/// High-availability relay infrastructure for blockchains.
///
/// One process on an embedded store is a whole relayer: it takes transactions over HTTP, gives each an account and a
/// nonce, signs, broadcasts, and sees to it that each is executed exactly once. Many processes on one Redis are a fleet
/// that does the same, and goes on when some of them do not.
#[derive(Debug, Parser)]
#[command(name = "baton", version, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  baton demo                                   see it work against a local chain
  baton bench                                  measure it under load
  baton keys create --output-dir config/keys   make a key store
  baton keys uuid                              make an API key
  baton config check                           find everything that is wrong with the configuration
  baton engine --config config/config.json     relay transactions
  baton relayers list                          look at a running engine
  baton fleet status                           see which process runs which lane
  baton tx send main --to 0x… --value 1gwei --wait
                                               send a transaction through it, and wait until it is mined

Settings come from the configuration file and the environment; docs/configuration.md lists all of them.";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Relay transactions over HTTP.
    Engine(EngineArgs),
    /// Send, list, cancel and follow transactions of a running engine.
    Tx(TxArgs),
    /// Look at the relayers of a running engine.
    Relayers(RelayersArgs),
    /// Look at the processes that share a store, and at who runs which lane.
    #[command(subcommand)]
    Fleet(FleetCommand),
    /// Ask a running engine whether it is alive, or ready: for health checks.
    Health(HealthArgs),
    /// Make keys, and change the key that the store is sealed with.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Check the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Show that every accepted transaction is executed exactly once, on a local chain, through a crash.
    Demo(DemoArgs),
    /// Measure a relayer under load, and count on the chain what it executed.
    Bench(Box<BenchArgs>),
}

/// `baton engine`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  API_KEY=$(baton keys uuid) KEYSTORE_PASSPHRASE=… baton engine
  baton engine --config /etc/baton/config.json --data-dir /var/lib/baton

SIGTERM or Ctrl-C drains: requests in flight are answered, lanes are handed over, then the process ends.")]
pub struct EngineArgs {
    /// Where the configuration is.
    #[command(flatten)]
    pub source: ConfigSource,
    /// Directory of the embedded store; overrides BATON_DATA_DIR.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Go on behind nonces that were used by transactions Baton does not know, for all relayers. Only after an alarm
    /// `foreign_nonce` that has been understood: docs/operations.md says what it does, and what it risks.
    #[arg(long)]
    pub adopt: bool,
}

/// Where the configuration is.
#[derive(Clone, Debug, Args)]
pub struct ConfigSource {
    /// The configuration file; without it, CONFIG_DIR and CONFIG_FILE_NAME (./config/config.json).
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// `baton config`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Report every problem of the configuration file, of the keys and networks it refers to, and of the environment,
    /// at once. Asks no node, and does not look into the store.
    #[command(after_help = "\
Examples:
  baton config check
  baton config check --config /etc/baton/config.json

Ends with status 1 if anything must be mended before the engine starts. Warnings alone end with 0.")]
    Check(ConfigSource),
    /// Print a JSON Schema, with which editors complete and check a file while it is written.
    #[command(after_help = "\
Examples:
  baton config schema > config/config.schema.json
  baton config schema networks > config/networks.schema.json")]
    Schema {
        /// Which file it is for.
        #[arg(value_enum, default_value_t = SchemaOf::Config)]
        of: SchemaOf,
    },
}

/// What a schema is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SchemaOf {
    /// The configuration file.
    Config,
    /// A file of networks.
    Networks,
}

/// `baton keys`.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make a private key and write it to an encrypted key store (Web3 Secret Storage, version 3).
    Create(CreateArgs),
    /// Print a random UUID, fit for API_KEY and WEBHOOK_SIGNING_KEY.
    Uuid,
    /// Print a random 256-bit key in base64, fit for STORAGE_ENCRYPTION_KEY.
    EncryptionKey,
    /// Seal every record of the store under the current STORAGE_ENCRYPTION_KEY. Keys before it are read from
    /// BATON_OLD_ENCRYPTION_KEYS. The engine must not be running; if this is interrupted, run it again.
    Rotate(RotateArgs),
}

/// `baton keys create`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  baton keys create --output-dir config/keys --filename local-signer.json
  printf %s \"$PASSWORD\" | baton keys create --password-stdin

The password needs 12 characters or more, with an upper-case letter, a lower-case letter, a digit and a sign.")]
pub struct CreateArgs {
    /// Directory of the key store.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub output_dir: PathBuf,
    /// Name of the file; by default key_YYYYMMDD_HHMMSS.json.
    #[arg(long, value_name = "NAME")]
    pub filename: Option<String>,
    /// The password. Other users of the machine can see it; prefer --password-stdin or KEYSTORE_PASSPHRASE.
    #[arg(long, value_name = "PASSWORD", conflicts_with = "password_stdin", value_parser = secret)]
    pub password: Option<Secret>,
    /// Read the password from standard input.
    #[arg(long)]
    pub password_stdin: bool,
    /// Replace a file of that name, and the key in it.
    #[arg(long)]
    pub force: bool,
    /// Take a password that breaks the rules. For tests.
    #[arg(long)]
    pub disable_password_check: bool,
}

/// `baton keys rotate`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  STORAGE_ENCRYPTION_KEY=NEW BATON_OLD_ENCRYPTION_KEYS=OLD baton keys rotate
  baton keys rotate --config /etc/baton/config.json --data-dir /var/lib/baton

The whole configuration is checked first, so it needs the engine's other variables too. The last \
line says whether an old key is still needed.")]
pub struct RotateArgs {
    /// Where the configuration is.
    #[command(flatten)]
    pub source: ConfigSource,
    /// Directory of the embedded store; overrides BATON_DATA_DIR.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// `baton demo`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  baton demo
  baton demo --count 2000 --keep")]
pub struct DemoArgs {
    /// Transfers to send, each of 1 wei to a fresh address.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub count: u32,
    /// Leave the chain and the engine running, and print commands to play with them.
    #[arg(long)]
    pub keep: bool,
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "the shape of a parser of arguments"
)]
fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text.to_owned()))
}
