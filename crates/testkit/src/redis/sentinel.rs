//! A master, its replicas, and sentinels that watch them.

use std::time::Duration;

use super::{RedisError, RedisServer, START_LOOKS, START_POLL};

/// The name under which the sentinels know the master.
const MASTER: &str = "baton";
/// Sentinels: a majority of them decides, so that one may fail.
const SENTINELS: usize = 3;
/// How many of them have to agree.
const QUORUM: usize = 2;

/// A replicated server behind three sentinels, which replace a master that does not answer for half a second.
#[derive(Debug)]
pub struct RedisSentinel {
    /// The servers; the first was the master at the start.
    pub servers: Vec<RedisServer>,
    /// The sentinels.
    pub sentinels: Vec<RedisServer>,
}

impl RedisSentinel {
    /// Starts a master with so many replicas, each with further lines of configuration, and waits until all know of
    /// one another.
    ///
    /// # Errors
    /// When Redis is not installed, or does not get ready.
    pub async fn start(replicas: usize, lines: &[&str]) -> Result<Self, RedisError> {
        let mut servers = vec![RedisServer::start(lines).await?];
        let replica_of = format!("replicaof 127.0.0.1 {}", servers[0].port());
        let diskless = [
            "repl-diskless-sync yes",
            "repl-diskless-sync-delay 0",
            &replica_of,
        ];
        let lines: Vec<&str> = lines.iter().chain(&diskless).copied().collect();
        for _ in 0..replicas {
            servers.push(RedisServer::start(&lines).await?);
        }
        let port = servers[0].port();
        let monitor = format!("sentinel monitor {MASTER} 127.0.0.1 {port} {QUORUM}");
        let down = format!("sentinel down-after-milliseconds {MASTER} 500");
        let slow = format!("sentinel failover-timeout {MASTER} 2000");
        let mut sentinels = Vec::new();
        for _ in 0..SENTINELS {
            let started = RedisServer::start_as(&[&monitor, &down, &slow], true).await?;
            sentinels.push(started);
        }
        let deployment = Self { servers, sentinels };
        deployment.settle(replicas).await?;
        Ok(deployment)
    }

    /// The name under which the sentinels know the master.
    pub fn master_name(&self) -> &'static str {
        MASTER
    }

    /// The port of the master, by the first sentinel.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn master_port(&self) -> Result<u16, RedisError> {
        let question = ["SENTINEL", "get-master-addr-by-name", MASTER];
        let answer = self.sentinels[0].command(&question).await?;
        let port = answer.lines().nth(1).and_then(|port| port.parse().ok());
        port.ok_or_else(|| RedisError::Refused {
            command: "SENTINEL".to_owned(),
            reason: answer,
        })
    }

    /// Waits until the sentinels have named another master than the one at a port.
    ///
    /// # Errors
    /// When they do not within a minute.
    pub async fn failed_over(&self, from: u16) -> Result<u16, RedisError> {
        const POLL: Duration = Duration::from_millis(50);
        for _ in 0..1200 {
            let port = self.master_port().await?;
            if port != from {
                return Ok(port);
            }
            tokio::time::sleep(POLL).await;
        }
        Err(RedisError::NotReady {
            log: "no failover".to_owned(),
        })
    }

    /// A failover needs every sentinel to know the others and the replicas.
    async fn settle(&self, replicas: usize) -> Result<(), RedisError> {
        for _ in 0..START_LOOKS {
            if self.is_settled(replicas).await? {
                return Ok(());
            }
            tokio::time::sleep(START_POLL).await;
        }
        let log = "the sentinels do not know of one another".to_owned();
        Err(RedisError::NotReady { log })
    }

    async fn is_settled(&self, replicas: usize) -> Result<bool, RedisError> {
        let counts = format!(
            "status=ok,address=127.0.0.1:{},slaves={replicas},sentinels={SENTINELS}",
            self.servers[0].port()
        );
        for sentinel in &self.sentinels {
            if !sentinel
                .command(&["INFO", "sentinel"])
                .await?
                .contains(&counts)
            {
                return Ok(false);
            }
        }
        for replica in &self.servers[1..] {
            let state = replica.command(&["INFO", "replication"]).await?;
            if !state.contains("master_link_status:up") {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
