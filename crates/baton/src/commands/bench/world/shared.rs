//! The store that several instances share: real Redis servers, and wires that can be cut.

use anyhow::{Context, Result};
use baton_testkit::{RedisCluster, RedisSentinel, RedisServer, TcpProxy};

use crate::commands::bench::plan::{Fleet, SharedKind};

/// As in `deploy/`: what is answered is written to a file, which is flushed every second, and is
/// all there at the next start but for what a crash of the machine takes; nothing is evicted.
const LASTING: [&str; 5] = [
    "appendonly yes",
    "appendfsync everysec",
    "aof-load-truncated yes",
    "save 3600 1 300 100 60 10000",
    "maxmemory-policy noeviction",
];
/// A master that lost its replicas takes no writes: they would be gone with it.
const REPLICATED: [&str; 2] = ["min-replicas-to-write 1", "min-replicas-max-lag 1"];
/// Replicas behind Sentinel: with one, the master that takes over would have none, and take no
/// writes.
const REPLICAS: usize = 2;
/// Masters of a cluster, and replicas of each.
const MASTERS: usize = 3;
const REPLICAS_EACH: usize = 1;

/// Redis, as the instances see it.
pub(in crate::commands::bench) struct Shared {
    pub(in crate::commands::bench) servers: Servers,
    wires: Vec<TcpProxy>,
}

/// The servers.
pub(in crate::commands::bench) enum Servers {
    Alone(RedisServer),
    Sentinel(RedisSentinel),
    Cluster(RedisCluster),
}

/// What the store says of a lane's baton.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::commands::bench) struct Baton {
    pub(in crate::commands::bench) holder: Option<String>,
    /// Rises whenever it is taken; 0 if it never was.
    pub(in crate::commands::bench) epoch: u64,
}

impl Shared {
    pub(super) async fn start(fleet: &Fleet) -> Result<Self> {
        let lines: Vec<&str> = LASTING.iter().chain(fleet.lines).copied().collect();
        let servers = match fleet.store {
            SharedKind::Alone => Servers::Alone(RedisServer::start(&lines).await?),
            SharedKind::Sentinel => {
                let lines: Vec<&str> = lines.iter().chain(&REPLICATED).copied().collect();
                Servers::Sentinel(RedisSentinel::start(REPLICAS, &lines).await?)
            }
            SharedKind::Cluster => {
                Servers::Cluster(RedisCluster::start(MASTERS, REPLICAS_EACH, &lines).await?)
            }
        };
        let mut wires = Vec::new();
        if let (Some(round_trip), Servers::Alone(server)) = (fleet.wire, &servers) {
            for _ in 0..fleet.instances {
                wires.push(TcpProxy::start(server.port(), round_trip / 2).await?);
            }
        }
        Ok(Self { servers, wires })
    }

    /// The address by which an instance reaches it.
    pub(super) fn url(&self, instance: usize) -> String {
        let ports = |servers: &[RedisServer]| {
            let addresses = servers
                .iter()
                .map(|server| format!("127.0.0.1:{}", server.port()));
            addresses.collect::<Vec<_>>().join(",")
        };
        match &self.servers {
            Servers::Alone(server) => {
                let wire = self.wires.get(instance);
                let port = wire.map_or(server.port(), TcpProxy::port);
                format!("redis://127.0.0.1:{port}")
            }
            Servers::Sentinel(redis) => {
                let (sentinels, master) = (ports(&redis.sentinels), redis.master_name());
                format!("redis-sentinel://{sentinels}/{master}")
            }
            Servers::Cluster(redis) => format!("redis-cluster://{}", ports(&redis.masters)),
        }
    }

    /// The only server.
    pub(in crate::commands::bench) fn server(&self) -> Result<&RedisServer> {
        match &self.servers {
            Servers::Alone(server) => Ok(server),
            Servers::Sentinel(_) | Servers::Cluster(_) => Err(not_alone()),
        }
    }

    /// The same, to be killed and started again.
    pub(in crate::commands::bench) fn server_mut(&mut self) -> Result<&mut RedisServer> {
        match &mut self.servers {
            Servers::Alone(server) => Ok(server),
            Servers::Sentinel(_) | Servers::Cluster(_) => Err(not_alone()),
        }
    }

    /// An instance's own wire to the store.
    pub(in crate::commands::bench) fn wire(&self, instance: usize) -> Result<&TcpProxy> {
        let wire = self.wires.get(instance);
        wire.context("the instances have no wires of their own")
    }

    /// Who holds a relayer's lane.
    pub(in crate::commands::bench) async fn baton(&self, relayer: &str) -> Result<Baton> {
        let key = meta_key(relayer);
        let question = ["HMGET", &key, "epoch", "holder"];
        let mut reason = None;
        for server in self.all() {
            // Of a cluster only the server that has the slot answers; replicas and dead ones do not.
            match server.command(&question).await {
                Ok(answer) if !server_is_replica(server).await => return Ok(Baton::of(&answer)),
                Ok(_) => {}
                Err(error) => reason = Some(error),
            }
        }
        let reason = reason.map_or_else(|| "no server is a master".to_owned(), |e| e.to_string());
        anyhow::bail!("nobody tells who holds {relayer}: {reason}")
    }

    fn all(&self) -> Vec<&RedisServer> {
        match &self.servers {
            Servers::Alone(server) => vec![server],
            Servers::Sentinel(redis) => redis.servers.iter().collect(),
            Servers::Cluster(redis) => redis.masters.iter().chain(&redis.replicas).collect(),
        }
    }
}

impl Baton {
    fn of(answer: &str) -> Self {
        let mut lines = answer.lines();
        let epoch = lines.next().and_then(|epoch| epoch.parse().ok());
        let holder = lines.next().filter(|holder| !holder.is_empty());
        Self {
            holder: holder.map(str::to_owned),
            epoch: epoch.unwrap_or(0),
        }
    }
}

/// A field of the server's own account of itself, as a number.
pub(in crate::commands::bench) async fn info(server: &RedisServer, field: &str) -> Result<u64> {
    let info = server.command(&["INFO"]).await?;
    field_of(&info, field).with_context(|| format!("the server tells no {field}"))
}

pub(in crate::commands::bench) fn field_of(info: &str, field: &str) -> Option<u64> {
    let mut lines = info.lines();
    lines.find_map(|line| line.strip_prefix(field)?.strip_prefix(':')?.parse().ok())
}

/// The key of what the store keeps of a relayer's lane.
pub(in crate::commands::bench) fn meta_key(relayer: &str) -> String {
    format!("baton:{{tx/{relayer}}}:meta")
}

async fn server_is_replica(server: &RedisServer) -> bool {
    let role = server.command(&["ROLE"]).await.unwrap_or_default();
    role.starts_with("slave")
}

fn not_alone() -> anyhow::Error {
    anyhow::anyhow!("the store has several servers")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_baton_is_read_with_and_without_a_holder() {
        let held = Baton::of("17\nhost-5-a");
        assert_eq!((held.epoch, held.holder.as_deref()), (17, Some("host-5-a")));
        assert_eq!(Baton::of("17\n").holder, None);
        assert_eq!(Baton::of("\n"), Baton::default());
    }

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let info = "used_memory_human:1M\nused_memory:12\n";
        assert_eq!(field_of(info, "used_memory"), Some(12));
        assert_eq!(field_of(info, "used"), None);
    }
}
