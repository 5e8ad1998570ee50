//! The store keeps the contract on every kind of servers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use baton_coord::ManualClock;
use baton_coord::conformance::{self, Backend};
use baton_coord_redis::{Options, RedisStore, Servers};
use baton_testkit::{RedisCluster, RedisSentinel, RedisServer};

use crate::support::{at, patient, standalone};

/// Stores under prefixes of their own on the servers that `options` name.
pub(crate) struct Redis {
    options: Options,
    made: AtomicU64,
    clock: Mutex<Arc<ManualClock>>,
}

impl Redis {
    pub(crate) fn on(options: Options) -> Self {
        Self {
            options,
            made: AtomicU64::new(0),
            clock: Mutex::default(),
        }
    }

    async fn open(&self, number: u64) -> RedisStore {
        let clock = Arc::clone(&self.clock.lock().expect("no test panicked"));
        let mut options = self.options.clone();
        options.prefix = format!("store-{number}");
        options.clock = Some(clock);
        RedisStore::open(options).await.expect("the store opens")
    }
}

#[async_trait]
impl Backend for Redis {
    type Store = RedisStore;

    async fn fresh(&self) -> (RedisStore, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::default());
        *self.clock.lock().expect("no test panicked") = Arc::clone(&clock);
        let number = self.made.fetch_add(1, Ordering::SeqCst) + 1;
        (self.open(number).await, clock)
    }

    async fn restart(&self, store: RedisStore) -> Option<RedisStore> {
        drop(store);
        Some(self.open(self.made.load(Ordering::SeqCst)).await)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_server_keeps_the_contract() {
    let server = RedisServer::start(&[]).await.expect("a server");
    conformance::run(&Redis::on(standalone(server.port()))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_behind_sentinel_keep_the_contract() {
    let servers = RedisSentinel::start(1, &[]).await.expect("servers");
    let sentinels = servers.sentinels.iter().map(|s| at(s.port())).collect();
    let master = servers.master_name().to_owned();
    let options = patient(Options::new(Servers::Sentinel { sentinels, master }));
    conformance::run(&Redis::on(options)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_keeps_the_contract() {
    let cluster = RedisCluster::start(3, 0, &[]).await.expect("a cluster");
    let nodes = vec![at(cluster.masters[1].port())];
    let options = patient(Options::new(Servers::Cluster(nodes)));
    conformance::run(&Redis::on(options)).await;
}

#[test]
fn one_server_answers_like_the_model() {
    let runtime = Arc::new(tokio::runtime::Runtime::new().expect("a runtime starts"));
    let server = runtime.block_on(RedisServer::start(&[])).expect("a server");
    let backend = Redis::on(standalone(server.port()));
    let (store, clock) = runtime.block_on(backend.fresh());
    conformance::model::compare(&runtime, &store, &clock, 192);
}
