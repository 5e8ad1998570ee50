//! The engine as a user runs it: a process of its own, with a configuration, a key store and a directory.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use baton_model::Address;
use baton_vault::Secret;
use baton_vault::keys::{NewKeystore, create_keystore, encryption_key, uuid_v4};
use serde_json::json;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::app::now;

/// How long the engine may take to get ready.
const READY_MAX: Duration = Duration::from_secs(60);

/// What the engine is given: everything is made for this run and removed after it.
pub(super) struct Workspace {
    directory: TempDir,
    account: Address,
    api_key: String,
    passphrase: Secret,
    encryption_key: Secret,
    port: u16,
}

impl Workspace {
    pub(super) fn create(node: &str) -> Result<Self> {
        let directory = tempfile::tempdir().context("no temporary directory")?;
        let passphrase = Secret::new(format!("Demo-{}", uuid_v4()?));
        let new = NewKeystore {
            directory: directory.path().join("keys"),
            file_name: Some("demo.json".to_owned()),
            password: passphrase.clone(),
            force: false,
            skip_password_check: false,
        };
        let key = create_keystore(&new, now())?;
        let config = json!({
            "relayers": [{
                "id": "demo", "name": "Demo", "network": "localhost-anvil", "network_type": "evm",
                "paused": false, "signer_id": "demo", "custom_rpc_urls": [node],
            }],
            "signers": [{ "id": "demo", "type": "local", "config": {
                "path": key.path, "passphrase": { "type": "env", "value": "KEYSTORE_PASSPHRASE" },
            }}],
            "notifications": [],
        });
        let file = directory.path().join("config.json");
        fs::write(&file, serde_json::to_vec_pretty(&config)?)?;
        Ok(Self {
            account: key.address,
            api_key: uuid_v4()?.to_string(),
            passphrase,
            encryption_key: encryption_key()?,
            port: free_port()?,
            directory,
        })
    }

    pub(super) fn account(&self) -> Address {
        self.account
    }

    pub(super) fn api_key(&self) -> &str {
        &self.api_key
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// The port stays the same through the restart, as it does for a real engine.
fn free_port() -> Result<u16> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").context("no free port")?;
    Ok(listener.local_addr()?.port())
}

/// A running engine. It is killed when this is dropped.
pub(super) struct Engine {
    process: Child,
    url: String,
}

impl Engine {
    /// Starts the engine and waits until it is ready.
    pub(super) async fn start(workspace: &Workspace) -> Result<Self> {
        let log = workspace.path().join("engine.log");
        let file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)?;
        let mut process = Command::new(std::env::current_exe()?)
            .arg("engine")
            .arg("--config")
            .arg(workspace.path().join("config.json"))
            .env("HOST", "127.0.0.1")
            .env("APP_PORT", workspace.port.to_string())
            .env("API_KEY", &workspace.api_key)
            .env("KEYSTORE_PASSPHRASE", workspace.passphrase.expose())
            .env("STORAGE_ENCRYPTION_KEY", workspace.encryption_key.expose())
            .env("BATON_DATA_DIR", workspace.path().join("data"))
            .env("RATE_LIMIT_REQUESTS_PER_SECOND", "10000")
            .env("RATE_LIMIT_BURST_SIZE", "10000")
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start the engine")?;
        let url = workspace.url();
        let http = reqwest::Client::new();
        let deadline = Instant::now() + READY_MAX;
        loop {
            let ready = http.get(format!("{url}/api/v1/ready")).send().await;
            if ready.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(Self { process, url });
            }
            let ended = process.try_wait()?;
            if ended.is_some() || Instant::now() > deadline {
                let log = fs::read_to_string(&log).unwrap_or_default();
                bail!("the engine did not get ready ({ended:?}); its log:\n{log}");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// SIGKILL: the process gets no chance to do anything.
    pub(super) async fn kill(&mut self) -> Result<()> {
        self.process.kill().await.context("cannot kill the engine")
    }

    /// SIGTERM, and waits for the end of the drain.
    pub(super) async fn stop(mut self) -> Result<()> {
        let Some(id) = self.process.id() else {
            return Ok(());
        };
        let id = rustix::process::Pid::from_raw(i32::try_from(id)?).context("no process id")?;
        rustix::process::kill_process(id, rustix::process::Signal::TERM)?;
        let ended = self.process.wait().await?;
        if !ended.success() {
            bail!("the engine did not drain cleanly: {ended}");
        }
        Ok(())
    }
}
