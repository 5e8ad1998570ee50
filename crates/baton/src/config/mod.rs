//! Configuration: read once at start, checked as a whole, then only typed settings are used.
//!
//! It is OpenZeppelin Relayer's: `config/config.json`, network files, and variables of the environment, with few keys of
//! Baton's own. `docs/configuration.md` lists all of it.

mod endpoint;
mod environment;
mod fields;
mod file;
mod json;
mod names;
mod networks;
mod notifications;
mod relayers;
mod report;
mod secrets;
mod settings;
mod signers;
mod variables;

use std::path::{Path, PathBuf};

use endpoint::Access;
pub use report::{Problem, Report, Warning};
pub use settings::{
    EncryptionKeys, Endpoint, Log, LogFormat, LogTarget, Network, Notification, Relayer, Rpc,
    Server, Settings, SignerSource, Storage,
};
pub use variables::{ProcessEnvironment, Variables};

/// Where the configuration file is when the command line does not say: `CONFIG_DIR`/`CONFIG_FILE_NAME`.
pub fn default_file(variables: &dyn Variables) -> PathBuf {
    environment::config_file(variables)
}

/// Reads the configuration: the file, what it refers to, and the variables. Fails with every problem there is.
pub fn load(file: &Path, variables: &dyn Variables) -> Result<(Settings, Vec<Warning>), Report> {
    let (settings, report) = read(file, variables);
    match settings {
        Some(settings) if report.is_ok() => Ok((settings, report.warnings)),
        _ => Err(report),
    }
}

/// Reads the configuration only to tell what is wrong with it.
pub fn check(file: &Path, variables: &dyn Variables) -> Report {
    read(file, variables).1
}

fn read(file: &Path, variables: &dyn Variables) -> (Option<Settings>, Report) {
    let mut report = Report::default();
    let environment = environment::environment(variables, &mut report);
    let access = Access {
        allowed_hosts: environment.rpc.allowed_hosts.clone(),
        block_private_ips: environment.rpc.block_private_ips,
    };
    let content = file::content(file, variables, &access, &mut report);
    let settings = environment
        .server
        .zip(environment.storage)
        .map(|(server, storage)| Settings {
            relayers: content.relayers,
            signers: content.signers,
            notifications: content.notifications,
            networks: content.networks,
            server,
            storage,
            rpc: environment.rpc,
            log: environment.log,
        });
    (settings, report)
}
