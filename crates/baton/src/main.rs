//! The `baton` program.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use baton::cli::{Cli, Command};
use baton::commands;
use baton::config::WithFile;
use clap::Parser;
use mimalloc::MiMalloc;

/// A sixth more durable commits per second than with the system's allocator (`cargo bench -p
/// baton-coord-local`): records are made on one thread and dropped on another.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Variables that the environment does not have, as with OpenZeppelin Relayer.
const VARIABLES: &str = ".env";

fn main() -> ExitCode {
    let cli = Cli::parse();
    match start(cli) {
        Ok(code) => code,
        Err(error) => {
            use std::io::Write;
            // Standard error is gone: there is nobody left to tell.
            let _: std::io::Result<()> = writeln!(
                std::io::stderr().lock(),
                "baton: {}",
                commands::told(&error)
            );
            ExitCode::FAILURE
        }
    }
}

fn start(cli: Cli) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let variables = &WithFile::read(Path::new(VARIABLES))?;
        match cli.command {
            Command::Engine(arguments) => commands::engine::run(arguments, variables).await,
            Command::Tx(arguments) => commands::caller::tx::run(arguments, variables).await,
            Command::Relayers(arguments) => {
                commands::caller::relayers::run(arguments, variables).await
            }
            Command::Fleet(command) => commands::fleet::run(command, variables).await,
            Command::Health(arguments) => commands::health::run(arguments, variables).await,
            Command::Keys(command) => commands::keys::run(command, variables).await,
            Command::Config(command) => commands::config::run(&command, variables).await,
            Command::Demo(arguments) => commands::demo::run(arguments).await,
            Command::Bench(arguments) => commands::bench::run(*arguments).await,
        }
    })
}
