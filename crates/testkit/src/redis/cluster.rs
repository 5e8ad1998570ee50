//! Masters that share the slots, each with replicas.

use super::{RedisError, RedisServer, START_LOOKS, START_POLL, free_port};

/// Slots of a cluster.
const SLOTS: usize = 16_384;

/// A cluster. Its servers replace a master that does not answer for a second.
#[derive(Debug)]
pub struct RedisCluster {
    /// The servers that were masters at the start, in the order of their slots.
    pub masters: Vec<RedisServer>,
    /// The servers that were replicas at the start, in the order of their masters.
    pub replicas: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts a cluster with further lines of configuration for each server, and waits until it takes commands.
    ///
    /// # Errors
    /// When Redis is not installed, or does not get ready.
    pub async fn start(
        masters: usize,
        replicas_each: usize,
        lines: &[&str],
    ) -> Result<Self, RedisError> {
        let mut cluster = Self {
            masters: Vec::new(),
            replicas: Vec::new(),
        };
        let mut buses = Vec::new();
        for index in 0..masters * (1 + replicas_each) {
            let (server, bus) = start_one(lines).await?;
            buses.push(bus);
            match index < masters {
                true => cluster.masters.push(server),
                false => cluster.replicas.push(server),
            }
        }
        cluster.share_slots().await?;
        let first = &cluster.masters[0];
        for (server, bus) in cluster.all().zip(&buses) {
            let port = server.port().to_string();
            first
                .command(&["CLUSTER", "MEET", "127.0.0.1", &port, bus])
                .await?;
        }
        cluster.wait("cluster_state:ok").await?;
        cluster
            .wait(&format!("cluster_known_nodes:{}", buses.len()))
            .await?;
        for (index, replica) in cluster.replicas.iter().enumerate() {
            let id = cluster.masters[index / replicas_each]
                .command(&["CLUSTER", "MYID"])
                .await?;
            cluster
                .until_done(replica, &["CLUSTER", "REPLICATE", &id])
                .await?;
        }
        for replica in &cluster.replicas {
            cluster
                .until(replica, &["INFO", "replication"], "master_link_status:up")
                .await?;
        }
        Ok(cluster)
    }

    /// The server of a slot at the start.
    pub fn master_of(&self, slot: usize) -> &RedisServer {
        &self.masters[self.index_of(slot)]
    }

    /// The place in `masters` of the server that had a slot at the start.
    pub fn index_of(&self, slot: usize) -> usize {
        (slot * self.masters.len() / SLOTS).min(self.masters.len() - 1)
    }

    /// Moves a slot and its keys to another master, as an operator's tool does: key by key.
    ///
    /// # Errors
    /// When a server refuses a step.
    pub async fn migrate(&self, slot: usize, to: &RedisServer) -> Result<(), RedisError> {
        self.migrate_keys(slot, to).await?;
        let to_id = to.command(&["CLUSTER", "MYID"]).await?;
        let slot_text = slot.to_string();
        let settle = ["CLUSTER", "SETSLOT", &slot_text, "NODE", &to_id];
        for server in [to, self.master_of(slot)].into_iter().chain(&self.masters) {
            server.command(&settle).await?;
        }
        Ok(())
    }

    /// Moves a slot's keys to another master and leaves it there: the first one still has the slot, and sends whoever
    /// asks on to the other.
    ///
    /// # Errors
    /// When a server refuses a step.
    pub async fn migrate_keys(&self, slot: usize, to: &RedisServer) -> Result<(), RedisError> {
        let from = self.master_of(slot);
        let from_id = from.command(&["CLUSTER", "MYID"]).await?;
        let to_id = to.command(&["CLUSTER", "MYID"]).await?;
        let slot = slot.to_string();
        to.command(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id])
            .await?;
        from.command(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id])
            .await?;
        let port = to.port().to_string();
        loop {
            let keys = from
                .command(&["CLUSTER", "GETKEYSINSLOT", &slot, "1"])
                .await?;
            if keys.is_empty() {
                return Ok(());
            }
            from.command(&["MIGRATE", "127.0.0.1", &port, &keys, "0", "5000"])
                .await?;
            // Calls for the other keys of the slot come in between.
            tokio::task::yield_now().await;
        }
    }

    /// Waits until a replica has become a master.
    ///
    /// # Errors
    /// When it has not within a minute.
    pub async fn promoted(&self, replica: &RedisServer) -> Result<(), RedisError> {
        self.until(replica, &["INFO", "replication"], "role:master")
            .await
    }

    fn all(&self) -> impl Iterator<Item = &RedisServer> {
        self.masters.iter().chain(&self.replicas)
    }

    async fn share_slots(&self) -> Result<(), RedisError> {
        let masters = self.masters.len();
        for (index, master) in self.masters.iter().enumerate() {
            let start = |index: usize| (SLOTS * index).div_ceil(masters);
            let (first, last) = (start(index).to_string(), (start(index + 1) - 1).to_string());
            master
                .command(&["CLUSTER", "ADDSLOTSRANGE", &first, &last])
                .await?;
        }
        // Epochs of their own, so that the servers need not settle that first.
        for (index, server) in self.all().enumerate() {
            let epoch = (index + 1).to_string();
            server
                .command(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch])
                .await?;
        }
        Ok(())
    }

    async fn wait(&self, sign: &str) -> Result<(), RedisError> {
        for server in self.all() {
            self.until(server, &["CLUSTER", "INFO"], sign).await?;
        }
        Ok(())
    }

    async fn until(
        &self,
        server: &RedisServer,
        question: &[&str],
        sign: &str,
    ) -> Result<(), RedisError> {
        for _ in 0..START_LOOKS {
            if server.command(question).await?.contains(sign) {
                return Ok(());
            }
            tokio::time::sleep(START_POLL).await;
        }
        let log = format!("no {sign} in {question:?}");
        Err(RedisError::NotReady { log })
    }

    /// A server that has not heard of another yet refuses to become its replica.
    async fn until_done(&self, server: &RedisServer, command: &[&str]) -> Result<(), RedisError> {
        let mut last = String::new();
        for _ in 0..START_LOOKS {
            match server.command(command).await {
                Ok(_) => return Ok(()),
                Err(RedisError::Refused { reason, .. }) => last = reason,
                Err(error) => return Err(error),
            }
            tokio::time::sleep(START_POLL).await;
        }
        Err(RedisError::NotReady { log: last })
    }
}

async fn start_one(lines: &[&str]) -> Result<(RedisServer, String), RedisError> {
    let bus = free_port()?.to_string();
    let cluster_port = format!("cluster-port {bus}");
    let own = [
        "cluster-enabled yes",
        "cluster-node-timeout 1000",
        "cluster-replica-validity-factor 0",
        "repl-diskless-sync-delay 0",
        &cluster_port,
    ];
    let lines: Vec<&str> = own.iter().chain(lines).copied().collect();
    Ok((RedisServer::start(&lines).await?, bus))
}
