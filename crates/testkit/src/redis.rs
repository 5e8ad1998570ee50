//! Real Redis servers for tests: one, behind Sentinel, or a cluster; on free loopback ports, ended with their owner.

mod cluster;
mod files;
mod find;
mod sentinel;
mod wire;

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

pub use cluster::RedisCluster;
pub use sentinel::RedisSentinel;
pub use wire::RedisSession;

use crate::anvil::SUPERVISOR;

/// How often the start is looked at.
const START_POLL: Duration = Duration::from_millis(10);
/// How many looks until a server is given up: a minute's worth, although it takes well under a second on an idle core.
const START_LOOKS: usize = 6000;
/// How many ports are tried: another process may take one between the search and the start.
const PORTS_TRIED: usize = 5;
/// Most address space of a server in KiB: tests store megabytes.
const MEMORY_KIB: u64 = 4 << 20;
/// Most of a server's output that an error shows, in bytes from its end.
const LOG_SHOWN: usize = 2000;

/// Why a server is not there or did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum RedisError {
    /// Not installed.
    #[error(
        "redis-server was not found: run `make tools` (Debian package redis-server), or set BATON_REDIS to the \
         program. Looked at: {looked_at}"
    )]
    Missing {
        /// The places.
        looked_at: String,
    },
    /// The operating system refused, or the connection ended.
    #[error("redis-server: {0}")]
    Io(#[from] std::io::Error),
    /// It did not get ready.
    #[error("redis-server ended, or was not ready within a minute; its output: {log}")]
    NotReady {
        /// The end of its output.
        log: String,
    },
    /// A command was answered with an error.
    #[error("{command}: {reason}")]
    Refused {
        /// The command's first word.
        command: String,
        /// The server's answer.
        reason: String,
    },
}

/// A running server. It listens on 127.0.0.1 only and is killed when this is dropped.
#[derive(Debug)]
pub struct RedisServer {
    supervisor: Option<Child>,
    pid: u32,
    port: u16,
    is_sentinel: bool,
    directory: TempDir,
}

impl RedisServer {
    /// Starts a server with further lines of configuration and waits until it answers. Without any it keeps its data
    /// in memory only.
    ///
    /// # Errors
    /// When Redis is not installed (the text says how to install it), or does not get ready.
    pub async fn start(lines: &[&str]) -> Result<Self, RedisError> {
        Self::start_as(lines, false).await
    }

    /// The port for connections without TLS.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where the server keeps its files.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Sends one command without TLS on a connection of its own, and returns the answer as text, one line for each
    /// element of a list.
    ///
    /// # Errors
    /// When there is no answer, or it is an error.
    pub async fn command(&self, words: &[&str]) -> Result<String, RedisError> {
        wire::command(self.port, words).await
    }

    /// A connection for many commands, without TLS.
    ///
    /// # Errors
    /// When the server does not listen.
    pub async fn session(&self) -> Result<RedisSession, RedisError> {
        RedisSession::connect(self.port).await
    }

    /// Stops the process without ending it: connections stay open and nothing is answered.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn pause(&self) -> Result<(), RedisError> {
        self.signal("-STOP")
    }

    /// Lets a stopped process go on.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn resume(&self) -> Result<(), RedisError> {
        self.signal("-CONT")
    }

    /// Ends the process at once, with SIGKILL. Its files stay.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn kill(&mut self) -> Result<(), RedisError> {
        self.signal("-KILL")?;
        self.end();
        Ok(())
    }

    /// Starts a killed server again, on the same port and with the files that it left.
    ///
    /// # Errors
    /// When it does not get ready.
    pub async fn restart(&mut self) -> Result<(), RedisError> {
        self.end();
        self.run()?;
        self.ready().await
    }

    async fn start_as(lines: &[&str], is_sentinel: bool) -> Result<Self, RedisError> {
        let mut tried = 1;
        loop {
            match Self::start_once(lines, is_sentinel).await {
                Err(RedisError::NotReady { log })
                    if tried < PORTS_TRIED && log.contains("Address already in use") =>
                {
                    tried += 1;
                }
                started => return started,
            }
        }
    }

    async fn start_once(lines: &[&str], is_sentinel: bool) -> Result<Self, RedisError> {
        let directory = tempfile::tempdir()?;
        let port = free_port()?;
        let path = directory.path().display();
        let mut config =
            format!("bind 127.0.0.1\nport {port}\ndir {path}\nlogfile {path}/log\ndaemonize no\n");
        if !is_sentinel {
            config.push_str("save \"\"\nappendonly no\n");
        }
        for line in lines {
            config.push_str(line);
            config.push('\n');
        }
        fs::write(directory.path().join("redis.conf"), config)?;
        let mut server = Self {
            supervisor: None,
            pid: 0,
            port,
            is_sentinel,
            directory,
        };
        server.run()?;
        server.ready().await?;
        Ok(server)
    }

    fn run(&mut self) -> Result<(), RedisError> {
        let program = find::redis_server()?;
        let output = fs::File::create(self.directory.path().join("output"))?;
        let mut command = Command::new("sh");
        command.args(["-c", SUPERVISOR, "sh", &MEMORY_KIB.to_string()]);
        command.arg(program);
        command.arg(self.directory.path().join("redis.conf"));
        if self.is_sentinel {
            command.arg("--sentinel");
        }
        let child = command
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()?;
        self.supervisor = Some(child);
        Ok(())
    }

    async fn ready(&mut self) -> Result<(), RedisError> {
        for _ in 0..START_LOOKS {
            let output = self.read("output");
            if output.contains("exited ") {
                break;
            }
            let pid = output.lines().find_map(|line| line.strip_prefix("pid "));
            self.pid = pid.and_then(|pid| pid.parse().ok()).unwrap_or(0);
            if self.pid != 0 && self.answers().await {
                return Ok(());
            }
            tokio::time::sleep(START_POLL).await;
        }
        let log = self.read("output") + &self.read("log");
        let shown = log.len().saturating_sub(LOG_SHOWN);
        let log = log.get(shown..).unwrap_or(&log).to_owned();
        Err(RedisError::NotReady { log })
    }

    /// One that asks for a password is ready too, one that still loads its data is not.
    async fn answers(&self) -> bool {
        match self.command(&["PING"]).await {
            Ok(_) => true,
            Err(RedisError::Refused { reason, .. }) => reason.starts_with("NOAUTH"),
            Err(_) => false,
        }
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.directory.path().join(name)).unwrap_or_default()
    }

    fn signal(&self, signal: &str) -> Result<(), RedisError> {
        let status = Command::new("kill")
            .args([signal, &self.pid.to_string()])
            .status()?;
        if status.success() {
            Ok(())
        } else {
            Err(RedisError::Io(std::io::Error::other("kill failed")))
        }
    }

    fn end(&mut self) {
        // The supervisor kills the server when its input ends. Nothing can be done about an error here.
        if let Some(mut supervisor) = self.supervisor.take() {
            drop(supervisor.stdin.take());
            let _ended = supervisor.wait();
        }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.end();
    }
}

fn free_port() -> Result<u16, RedisError> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_keeps_its_files_over_a_kill_and_ends_with_its_owner() {
        let lines = ["appendonly yes", "appendfsync always"];
        let mut server = RedisServer::start(&lines).await.unwrap();
        server.command(&["SET", "a", "1"]).await.unwrap();
        server.kill().unwrap();
        assert!(server.command(&["PING"]).await.is_err());
        server.restart().await.unwrap();
        assert_eq!(server.command(&["GET", "a"]).await.unwrap(), "1");
        let refused = server.command(&["GET"]).await.unwrap_err();
        assert!(matches!(refused, RedisError::Refused { .. }), "{refused}");
        let port = server.port();
        drop(server);
        assert!(wire::command(port, &["PING"]).await.is_err());
    }

    #[tokio::test]
    async fn a_configuration_that_it_does_not_take_is_an_error_with_its_words() {
        let error = RedisServer::start(&["no-such-setting 1"])
            .await
            .unwrap_err();
        assert!(error.to_string().contains("no-such-setting"), "{error}");
    }
}
