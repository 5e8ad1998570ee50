//! The program as a process.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::process::{Child, Command};

use super::{Api, World, until};

/// Bytes of the log that a failed test shows, from its end.
const LOG_SHOWN: usize = 20_000;
const PAGE: usize = 4096;
const EMPTY: [u8; PAGE] = [0; PAGE];

/// The program with these arguments, in a world's environment and in no other.
fn baton(world: &World, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_baton"));
    command
        .args(arguments)
        .env_clear()
        .envs(&world.variables)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// A running engine. It is killed when this is dropped. A log with an error in it fails the test.
pub(crate) struct Engine {
    process: Child,
    api: Api,
    log: PathBuf,
}

impl Engine {
    /// Starts the engine and does not wait for anything.
    pub(super) fn spawn(world: &World, arguments: &[&str]) -> Self {
        let number = fs::read_dir(world.path("")).unwrap().count();
        let log = world.path(&format!("engine-{number}.log"));
        let file = OpenOptions::new()
            .create_new(true)
            .append(true)
            .open(&log)
            .unwrap();
        let config = world.config_file();
        let all = [&["engine", "--config", config.to_str().unwrap()], arguments].concat();
        let process = baton(world, &all)
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Self {
            process,
            api: world.api(),
            log,
        }
    }

    pub(super) async fn start(world: &World, arguments: &[&str]) -> Self {
        let mut engine = Self::spawn(world, arguments);
        let address = until("the engine listens", async || {
            if let Some(status) = engine.process.try_wait().unwrap() {
                panic!("the engine ended: {status}");
            }
            engine.lines().iter().find_map(|line| {
                let listens = line["fields"]["message"] == "listening";
                listens.then(|| line["fields"]["address"].as_str().unwrap().to_owned())
            })
        });
        let address = address.await;
        engine.api.connect(&format!("http://{address}"));
        engine
    }

    /// A caller of this engine.
    pub(crate) fn api(&self) -> Api {
        self.api.clone()
    }

    /// Waits until it says that it is ready.
    pub(crate) async fn ready(&self) {
        until("the engine is ready", async || {
            self.api.is_ready().await.then_some(())
        })
        .await;
    }

    /// What it has logged, line by line.
    pub(crate) fn lines(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.log).unwrap();
        text.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// SIGKILL.
    pub(crate) async fn kill(mut self) {
        self.process.kill().await.unwrap();
    }

    /// SIGTERM, without waiting.
    pub(crate) fn terminate(&self) {
        let id = i32::try_from(self.process.id().unwrap()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), Signal::TERM).unwrap();
    }

    /// Waits for the end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        until("the engine ends", async || self.process.try_wait().unwrap()).await
    }

    /// SIGTERM; it has to end well.
    pub(crate) async fn stop(mut self) {
        self.terminate();
        let status = self.ended().await;
        assert!(status.success(), "SIGTERM led to {status}");
    }
}

#[expect(clippy::print_stderr, reason = "a failed test shows the engine's log")]
impl Drop for Engine {
    fn drop(&mut self) {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        if std::thread::panicking() {
            let from = text.len().saturating_sub(LOG_SHOWN);
            let from = text.ceil_char_boundary(from);
            eprintln!("--- {} ends:\n{}", self.log.display(), &text[from..]);
            return;
        }
        let errors: Vec<&str> = text
            .lines()
            .filter(|line| line.contains(r#""level":"ERROR""#))
            .collect();
        let panics = text.contains("panicked at");
        assert!(!panics, "a panic in the log:\n{text}");
        assert!(errors.is_empty(), "errors in the log: {errors:#?}");
    }
}

/// Runs a command to its end.
impl World {
    pub(crate) async fn run(&self, arguments: &[&str]) -> Output {
        let running = baton(self, arguments).output();
        tokio::time::timeout(super::LONGEST, running)
            .await
            .expect("the command ends")
            .unwrap()
    }

    /// Starts the engine, which has to refuse; what it says on standard error.
    pub(crate) async fn refusal(&self) -> String {
        let config = self.config_file();
        let output = self
            .run(&["engine", "--config", config.to_str().unwrap()])
            .await;
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    }
}

/// The content of the files in a directory, without pages that are still empty.
pub(crate) fn bytes_under(directory: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            bytes.extend(bytes_under(&path));
        } else {
            let content = fs::read(&path).unwrap();
            for page in content
                .chunks(PAGE)
                .filter(|page| **page != EMPTY[..page.len()])
            {
                bytes.extend_from_slice(page);
            }
        }
    }
    bytes
}
