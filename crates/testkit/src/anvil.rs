//! A real EVM node for tests and demonstrations: anvil on a free loopback port, ended with its
//! owner.

mod find;
mod rpc;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use baton_model::Address;
use serde_json::Value;
use tempfile::NamedTempFile;

/// How often the start is looked at.
const START_POLL: Duration = Duration::from_millis(20);
/// How many looks until anvil is given up: a minute's worth, although it takes about 0.2 s on an
/// idle core, for tests share cores with compilers. Looks are counted rather than time, so that a
/// machine that was suspended does not count against it.
const START_LOOKS: usize = 3000;
/// Most address space of anvil in KiB. Its automatic mining under concurrent load can hang and take
/// memory without end.
const MEMORY_KIB: u64 = 16 << 20;
/// Most of anvil's output that an error shows, in bytes from its end.
const LOG_SHOWN: u64 = 2000;

/// Runs the program in its arguments, tells its process id and its end, and kills it when standard
/// input ends: however this process ends, anvil ends too.
pub(crate) const SUPERVISOR: &str = r#"ulimit -v "$1" 2>/dev/null; shift
exec 3<&0
"$@" 3<&- & child=$!
echo "pid $child"
{ read -r _ <&3; kill -9 "$child" 2>/dev/null; } & watcher=$!
wait "$child"; echo "exited $?"
kill "$watcher" 2>/dev/null"#;

/// When anvil makes blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mining {
    /// Every so often; fractions of a second are possible. Use this under load.
    Every(Duration),
    /// Only on request: [`Anvil::mine`].
    OnRequest,
    /// With every transaction. Not for load: concurrent sends can hang anvil.
    EachTransaction,
}

/// How anvil is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnvilOptions {
    /// When blocks are made. Default: every second.
    pub mining: Mining,
    /// EIP-155 chain id. Default: 31337.
    pub chain_id: u64,
    /// Accounts with a balance; the keys of the first ten are [`Anvil::DEV_KEYS`]. Default: 10.
    pub accounts: u16,
    /// Coins of each account, 10^18 wei each. Default: 10 000.
    pub balance: u64,
    /// Gas limit of a block. Default: 30 million, which is 1428 transfers.
    pub gas_limit: u64,
    /// Base fee of the first block in wei per gas; anvil's own if absent.
    pub base_fee: Option<u128>,
    /// Loopback port; 0 takes a free one. Default: 0.
    pub port: u16,
    /// Further arguments.
    pub arguments: Vec<String>,
}

impl Default for AnvilOptions {
    fn default() -> Self {
        Self {
            mining: Mining::Every(Duration::from_secs(1)),
            chain_id: 31_337,
            accounts: 10,
            balance: 10_000,
            gas_limit: 30_000_000,
            base_fee: None,
            port: 0,
            arguments: Vec::new(),
        }
    }
}

/// Why anvil is not there or did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum AnvilError {
    /// Not installed.
    #[error(
        "anvil was not found: run `make tools` (npm package @foundry-rs/anvil), or set BATON_ANVIL \
         to the program. Looked at: {looked_at}"
    )]
    Missing {
        /// The places.
        looked_at: String,
    },
    /// The operating system refused.
    #[error("anvil could not be started: {0}")]
    Io(#[from] std::io::Error),
    /// It did not get ready.
    #[error("anvil ended, or was not ready within a minute; its output: {log}")]
    NotReady {
        /// The end of its output.
        log: String,
    },
    /// A call failed.
    #[error("{method}: {reason}")]
    Call {
        /// The method.
        method: String,
        /// What went wrong.
        reason: String,
    },
}

/// A running anvil. It listens on 127.0.0.1 only and is killed when this is dropped.
#[derive(Debug)]
pub struct Anvil {
    supervisor: Child,
    pid: u32,
    port: u16,
    chain_id: u64,
    http: reqwest::Client,
    log: NamedTempFile,
}

impl Anvil {
    /// Private keys of the first ten accounts. They belong to the public test phrase "test test …
    /// junk" and guard nothing.
    pub const DEV_KEYS: [&'static str; 10] = [
        "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
        "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
        "5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
        "7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6",
        "47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a",
        "8b3a350cf5c34c9194ca85829a2df0ec3153be0318b5e2d3348e872092edffba",
        "92db14e403b83dfe3df233f83dfa3a0d7096f21ca9b0d6d6b8d88b2b4ec1564e",
        "4bbbf85ce3377467afe5d46f804f221813b2bb87f24d81f60f1fcdbf7cbf4356",
        "dbda1821b80551c9d65939329250298aa3472ba22feea921c0cf5d620ea67b97",
        "2a871d0798f97d79848a013d4936a73bf4cc922c825d33c1cf7073dff6d409c6",
    ];

    /// Starts anvil and waits until it answers.
    ///
    /// # Errors
    /// When anvil is not installed (the text says how to install it), or does not get ready.
    pub async fn start(options: &AnvilOptions) -> Result<Self, AnvilError> {
        let program = find::anvil()?;
        let log = NamedTempFile::new()?;
        let supervisor = supervise(&program, options, log.reopen()?)?;
        // From here on dropping ends the process.
        let mut anvil = Self {
            supervisor,
            pid: 0,
            port: 0,
            chain_id: options.chain_id,
            http: rpc::client(),
            log,
        };
        for _ in 0..START_LOOKS {
            if anvil.is_ready().await? {
                return Ok(anvil);
            }
            tokio::time::sleep(START_POLL).await;
        }
        let log = anvil.log_end()?;
        Err(AnvilError::NotReady { log })
    }

    /// Address for calls.
    pub fn http_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Address for subscriptions.
    pub fn ws_url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The chain id it was started with.
    pub fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// Stops the process without ending it: connections stay open and nothing is answered.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn pause(&self) -> Result<(), AnvilError> {
        self.signal("-STOP")
    }

    /// Lets a stopped process go on.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn resume(&self) -> Result<(), AnvilError> {
        self.signal("-CONT")
    }

    /// Calls any method.
    ///
    /// # Errors
    /// When there is no answer, or it is an error.
    pub async fn call(&self, method: &str, params: Value) -> Result<Value, AnvilError> {
        rpc::call(&self.http, &self.http_url(), method, params).await
    }

    /// The accounts that have a balance from the start.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn accounts(&self) -> Result<Vec<Address>, AnvilError> {
        let found = self.call("eth_accounts", Value::Array(Vec::new())).await?;
        serde_json::from_value(found).map_err(|error| AnvilError::Call {
            method: "eth_accounts".to_owned(),
            reason: error.to_string(),
        })
    }

    async fn is_ready(&mut self) -> Result<bool, AnvilError> {
        let log = self.log()?;
        if log.contains("\nexited ") {
            let log = self.log_end()?;
            return Err(AnvilError::NotReady { log });
        }
        let after = |mark: &str| {
            let rest = log.split_once(mark)?.1;
            let end = rest.find(|c: char| !c.is_ascii_digit())?;
            rest[..end].parse::<u32>().ok()
        };
        self.pid = after("pid ").unwrap_or(0);
        let port = after("Listening on 127.0.0.1:").and_then(|port| u16::try_from(port).ok());
        let Some(port) = port else {
            return Ok(false);
        };
        self.port = port;
        let chain_id = self.call("eth_chainId", Value::Array(Vec::new())).await;
        Ok(chain_id.is_ok())
    }

    fn log(&self) -> Result<String, AnvilError> {
        read_from(self.log.path(), 0)
    }

    fn log_end(&self) -> Result<String, AnvilError> {
        let size = self.log.as_file().metadata()?.len();
        read_from(self.log.path(), size.saturating_sub(LOG_SHOWN))
    }

    fn signal(&self, signal: &str) -> Result<(), AnvilError> {
        let status = Command::new("kill")
            .args([signal, &self.pid.to_string()])
            .status()?;
        if status.success() {
            Ok(())
        } else {
            Err(AnvilError::Io(std::io::Error::other("kill failed")))
        }
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        // The supervisor kills anvil when its input ends. Nothing can be done about an error here.
        drop(self.supervisor.stdin.take());
        let _ended = self.supervisor.wait();
    }
}

fn supervise(program: &Path, options: &AnvilOptions, log: File) -> Result<Child, AnvilError> {
    let mut command = Command::new("sh");
    command.args(["-c", SUPERVISOR, "sh", &MEMORY_KIB.to_string()]);
    command.arg(program);
    command.args(["--host", "127.0.0.1", "--color", "never"]);
    let mut set = |name: &str, value: String| {
        command.args([name, &value]);
    };
    set("--port", options.port.to_string());
    set("--chain-id", options.chain_id.to_string());
    set("--accounts", options.accounts.to_string());
    set("--balance", options.balance.to_string());
    set("--gas-limit", options.gas_limit.to_string());
    if let Some(fee) = options.base_fee {
        set("--block-base-fee-per-gas", fee.to_string());
    }
    match options.mining {
        Mining::Every(interval) => set("--block-time", interval.as_secs_f64().to_string()),
        Mining::OnRequest => {
            command.arg("--no-mining");
        }
        Mining::EachTransaction => {}
    }
    command.args(&options.arguments);
    let child = command
        .stdin(Stdio::piped())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?;
    Ok(child)
}

fn read_from(path: &Path, offset: u64) -> Result<String, AnvilError> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a process runs; one that has ended but was not waited for does not.
    fn runs(pid: u32) -> bool {
        std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .is_ok_and(|stat| !stat.contains(") Z "))
    }

    #[tokio::test]
    async fn it_mines_as_told_and_ends_with_its_owner() {
        let options = AnvilOptions {
            mining: Mining::OnRequest,
            chain_id: 77,
            accounts: 2,
            base_fee: Some(7),
            ..AnvilOptions::default()
        };
        let anvil = Anvil::start(&options).await.unwrap();
        assert_eq!(anvil.accounts().await.unwrap().len(), 2);
        let chain_id = anvil.call("eth_chainId", Value::Array(Vec::new())).await;
        assert_eq!(chain_id.unwrap(), "0x4d");
        anvil.mine(3).await.unwrap();
        assert_eq!(anvil.block_number().await.unwrap(), 3);
        let snapshot = anvil.snapshot().await.unwrap();
        anvil.mine(1).await.unwrap();
        anvil.revert(&snapshot).await.unwrap();
        assert_eq!(anvil.block_number().await.unwrap(), 3);
        let pid = anvil.pid;
        assert!(runs(pid));
        drop(anvil);
        assert!(!runs(pid));
    }

    #[tokio::test]
    async fn one_that_ends_at_once_is_told_with_its_own_words() {
        let options = AnvilOptions {
            arguments: vec!["--no-such-option".to_owned()],
            ..AnvilOptions::default()
        };
        let error = Anvil::start(&options).await.unwrap_err().to_string();
        assert!(error.contains("--no-such-option"), "{error}");
    }

    #[tokio::test]
    async fn two_run_side_by_side() {
        let options = AnvilOptions::default();
        let (one, two) = tokio::join!(Anvil::start(&options), Anvil::start(&options));
        assert_ne!(one.unwrap().port(), two.unwrap().port());
    }
}
