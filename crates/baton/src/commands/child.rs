//! The engine as a user runs it: a process of its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::config::{ProcessEnvironment, Variables};

/// How long the engine may take to get ready.
const READY_MAX: Duration = Duration::from_secs(60);

/// Lines of a log that an error shows.
const LINES_SHOWN: usize = 5;

/// Variables of the system that an engine may need.
const INHERITED: &[&str] = &["PATH", "HOME", "TMPDIR", "BATON_ANVIL"];

/// How an engine is started. It has no `Debug`: variables hold keys.
pub(crate) struct Launch {
    directory: PathBuf,
    port: u16,
    variables: BTreeMap<String, String>,
    arguments: Vec<&'static str>,
}

impl Launch {
    /// With the `config.json` of a directory, where its log goes too. Listens on a loopback port,
    /// and limits its callers to what no load here reaches.
    pub(crate) fn new(directory: &Path, data: &Path, port: u16) -> Self {
        let launch = Self {
            directory: directory.to_owned(),
            port,
            variables: BTreeMap::new(),
            arguments: Vec::new(),
        };
        let data = data.display().to_string();
        launch.variables(&[
            ("HOST", "127.0.0.1"),
            ("APP_PORT", &port.to_string()),
            ("BATON_DATA_DIR", &data),
            ("RATE_LIMIT_REQUESTS_PER_SECOND", "100000"),
            ("RATE_LIMIT_BURST_SIZE", "100000"),
        ])
    }

    /// Further variables of its environment.
    pub(crate) fn variables(mut self, variables: &[(&str, &str)]) -> Self {
        let owned = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.variables.extend(owned);
        self
    }

    /// Further arguments of the next start, instead of those given before.
    pub(crate) fn set_arguments(&mut self, arguments: &[&'static str]) {
        self.arguments = arguments.to_vec();
    }

    /// The loopback port that it listens on.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

/// This very program, also when the file it was started from has been replaced since: an engine that
/// is started again is the one that was started first.
fn own_program() -> std::io::Result<PathBuf> {
    let running = Path::new("/proc/self/exe");
    if running.exists() {
        return Ok(running.to_owned());
    }
    std::env::current_exe()
}

/// What an engine takes from this process: nothing that configures it, and none of its secrets.
fn inherited() -> impl Iterator<Item = (&'static str, String)> {
    let value = |name| Some((name, ProcessEnvironment.get(name)?));
    INHERITED.iter().copied().filter_map(value)
}

/// A loopback port that nothing uses. An engine keeps its own through a restart.
pub(crate) fn free_port() -> Result<u16> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").context("no free port")?;
    Ok(listener.local_addr()?.port())
}

/// A running engine. It is killed when this is dropped.
pub(crate) struct Engine {
    process: Child,
    url: String,
    log: PathBuf,
}

impl Engine {
    /// Starts the engine and waits until it is ready.
    pub(crate) async fn start(launch: &Launch) -> Result<Self> {
        let mut engine = Self::spawn(launch)?;
        engine.ready().await?;
        Ok(engine)
    }

    /// Starts the engine and does not wait.
    pub(crate) fn spawn(launch: &Launch) -> Result<Self> {
        let log = launch.directory.join("engine.log");
        let file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)?;
        let process = Command::new(own_program()?)
            .arg("engine")
            .arg("--config")
            .arg(launch.directory.join("config.json"))
            .args(&launch.arguments)
            .env_clear()
            .envs(inherited())
            .envs(&launch.variables)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start the engine")?;
        Ok(Self {
            process,
            url: launch.url(),
            log,
        })
    }

    /// Waits until it is ready.
    pub(crate) async fn ready(&mut self) -> Result<()> {
        let http = reqwest::Client::new();
        let deadline = Instant::now() + READY_MAX;
        loop {
            let ready = http.get(format!("{}/api/v1/ready", self.url)).send().await;
            if ready.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            let ended = self.process.try_wait()?;
            if ended.is_some() || Instant::now() > deadline {
                let log = fs::read_to_string(&self.log).unwrap_or_default();
                bail!("the engine did not get ready ({ended:?}); its log:\n{log}");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Its process id, while it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    /// SIGKILL: the process gets no chance to do anything.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        self.process.kill().await.context("cannot kill the engine")
    }

    /// Stops the process without ending it: connections stay open and nothing is answered.
    pub(crate) fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Waits until it ends by itself.
    pub(crate) async fn ended(&mut self) -> Result<ExitStatus> {
        Ok(self.process.wait().await?)
    }

    /// All that it has logged, earlier runs in the same directory included.
    pub(crate) fn log(&self) -> Result<String> {
        fs::read_to_string(&self.log).context("the engine's log cannot be read")
    }

    /// SIGTERM, and waits for the end of the drain.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.drain().await
    }

    /// The same for an engine that is to be started again.
    pub(crate) async fn drain(&mut self) -> Result<()> {
        if self.process.id().is_none() {
            return Ok(());
        }
        self.signal(Signal::TERM)?;
        let ended = self.process.wait().await?;
        if !ended.success() {
            let log = self.log()?;
            let mut last: Vec<&str> = log.lines().rev().take(LINES_SHOWN).collect();
            last.reverse();
            bail!(
                "the engine did not drain cleanly: {ended}; its last lines:\n{}",
                last.join("\n")
            );
        }
        Ok(())
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let id = self.process.id().context("the engine has ended")?;
        let id = Pid::from_raw(i32::try_from(id)?).context("no process id")?;
        Ok(kill_process(id, signal)?)
    }
}
