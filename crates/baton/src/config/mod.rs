//! Configuration: read once at start, checked as a whole, then only typed settings are used.
//!
//! It is OpenZeppelin Relayer's: `config/config.json`, network files, and variables of the environment, with few keys
//! of Baton's own. `docs/configuration.md` lists all of it.

mod ambient;
mod api_signers;
mod endpoint;
mod environment;
mod fields;
mod file;
mod json;
mod names;
mod networks;
mod notifications;
mod relayers;
mod remote_signers;
mod report;
mod schema;
mod secrets;
mod settings;
mod signers;
mod variables;

use std::path::{Path, PathBuf};

pub(crate) use api_signers::ApiSigner;
use endpoint::Access;
pub(crate) use endpoint::Access as NodeAccess;
use environment::Environment;
pub(crate) use file::Content;
pub use report::{Problem, Report, Warning};
pub use schema::{config_schema, networks_schema};
pub use settings::{
    Backend, EncryptionKeys, Log, LogFormat, LogTarget, Network, Notification, RedisStorage,
    RedisTls, Relayer, Rpc, Server, Settings, SignerSource, Storage, Traces,
};
pub use variables::{ProcessEnvironment, Variables, WithFile};

/// Where the configuration file is when the command line does not say: `CONFIG_DIR`/`CONFIG_FILE_NAME`.
pub fn default_file(variables: &dyn Variables) -> PathBuf {
    environment::config_file(variables)
}

/// Reads the configuration: the file, what it refers to, and the variables. Fails with every
/// problem there is.
pub fn load(file: &Path, variables: &dyn Variables) -> Result<(Settings, Vec<Warning>), Report> {
    let (environment, content, report) = read(file, variables);
    match environment.server.zip(environment.storage) {
        Some((server, storage)) if report.is_ok() => {
            let settings = Settings {
                relayers: content.relayers,
                signers: content.signers,
                notifications: content.notifications,
                networks: content.networks,
                ambient: content.ambient,
                server,
                storage,
                rpc: environment.rpc,
                log: environment.log,
            };
            Ok((settings, report.warnings))
        }
        _ => Err(report),
    }
}

/// Reads the configuration only to tell what is wrong with it.
pub fn check(file: &Path, variables: &dyn Variables) -> Report {
    examine(file, variables).1
}

/// What a configuration file says as far as it could be read, and what is wrong with all of the
/// configuration.
pub(crate) fn examine(file: &Path, variables: &dyn Variables) -> (Content, Report) {
    let (_, content, report) = read(file, variables);
    (content, report)
}

fn read(file: &Path, variables: &dyn Variables) -> (Environment, Content, Report) {
    let mut report = Report::default();
    let environment = environment::environment(variables, &mut report);
    let access = Access::new(&environment.rpc);
    let content = file::content(file, variables, &access, &mut report);
    (environment, content, report)
}
