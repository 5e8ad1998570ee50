//! `baton keys`.

use std::io::{self, BufRead, IsTerminal};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use baton_coord_local::SystemClock;
use baton_vault::Secret;
use baton_vault::keys::{NewKeystore, create_keystore, encryption_key, uuid_v4};
use zeroize::Zeroizing;

use super::{refuse, say};
use crate::app::now;
use crate::app::store::{RawStore, keyring};
use crate::cli::{CreateArgs, KeysCommand, RotateArgs};
use crate::config::{self, Variables};

/// Runs the command.
pub async fn run(command: KeysCommand, variables: &dyn Variables) -> Result<ExitCode> {
    match command {
        KeysCommand::Create(arguments) => create(arguments, variables)?,
        KeysCommand::Uuid => say(uuid_v4()?)?,
        KeysCommand::EncryptionKey => say(encryption_key()?.expose())?,
        KeysCommand::Rotate(arguments) => rotate(&arguments, variables).await?,
    }
    Ok(ExitCode::SUCCESS)
}

fn create(arguments: CreateArgs, variables: &dyn Variables) -> Result<()> {
    let password = password(&arguments, variables)?;
    let new = NewKeystore {
        directory: arguments.output_dir,
        file_name: arguments.filename,
        password,
        force: arguments.force,
        skip_password_check: arguments.disable_password_check,
    };
    let created = create_keystore(&new, now())?;
    say(format_args!("Key store: {}", created.path.display()))?;
    say(format_args!("Address:   {}", created.address))?;
    say(
        "Send funds to the address, and keep the file and its password: nothing else holds the \
         key.",
    )?;
    Ok(())
}

fn password(arguments: &CreateArgs, variables: &dyn Variables) -> Result<Secret> {
    if let Some(password) = &arguments.password {
        return Ok(password.clone());
    }
    if !arguments.password_stdin {
        if let Some(password) = variables.get("KEYSTORE_PASSPHRASE") {
            return Ok(Secret::new(password));
        }
        if io::stdin().is_terminal() {
            bail!(
                "no password given: use --password-stdin, KEYSTORE_PASSPHRASE or --password \
                 (nothing is asked on the terminal, where it would be shown)"
            );
        }
    }
    let mut line = Zeroizing::new(String::new());
    io::stdin()
        .lock()
        .read_line(&mut line)
        .context("cannot read the password")?;
    Ok(Secret::new(line.trim_end_matches(['\r', '\n'])))
}

async fn rotate(arguments: &RotateArgs, variables: &dyn Variables) -> Result<()> {
    let file = arguments.source.config.clone();
    let file = file.unwrap_or_else(|| config::default_file(variables));
    let (mut settings, _) =
        config::load(&file, variables).map_err(|report| refuse(&file, &report))?;
    if let Some(directory) = &arguments.data_dir {
        settings.storage.use_directory(directory.clone())?;
    }
    let Some(keys) = &settings.storage.encryption else {
        bail!(
            "STORAGE_ENCRYPTION_KEY must be set to the key that is to seal the store from now on"
        );
    };
    let keys = keyring(keys)?;
    let clock = Arc::new(SystemClock::start());
    let store = RawStore::open(&settings.storage.backend, clock).await?;
    let rotated = store.rotate(keys).await;
    store.close().await;
    let rotated = rotated?;
    say(format_args!(
        "{} records of {} lanes were sealed anew; {} were already.",
        rotated.rewritten, rotated.lanes, rotated.current
    ))?;
    if rotated.log_entries_under.is_empty() {
        return say("No old key is needed any more: remove BATON_OLD_ENCRYPTION_KEYS.")
            .map_err(Into::into);
    }
    for (key, entries) in rotated.log_entries_under {
        say(format_args!(
            "{entries} inbox entries are still under the key {key}: keep it until the engine has \
             taken them in, then run this again."
        ))?;
    }
    Ok(())
}
