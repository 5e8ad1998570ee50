//! A service with everything around it.

pub(crate) mod backends;
pub(crate) mod chain;
pub(crate) mod client;
pub(crate) mod lane;
pub(crate) mod store;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use baton_coord::ManualClock;
use baton_edge::{ApiKeys, ConnectionLimits, IssuedKeys, Readiness, RequestLimits, Stack, serve};
use baton_engine::service::http::{BODY_BYTES_MAX, router};
use baton_engine::service::{Ids, Service, ServiceOptions};
use baton_engine::{Network, Relayer};
use baton_model::{Address, ChainProfile, EvmPolicy, Mempool, RelayerId, Timestamp};
use prometheus_client::registry::Registry;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use uuid::Uuid;

use chain::FakeChain;
use client::Client;
use store::FaultyStore;

/// The key that opens the API in these tests.
pub(crate) const API_KEY: &str = "0123456789abcdef0123456789abcdef";
/// 2023-11-14T22:13:20Z.
pub(crate) const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);
/// A target that is nobody's.
pub(crate) const TARGET: &str = "0x00000000000000000000000000000000000000aa";

/// A service, and what it stands on.
pub(crate) struct World {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) store: Arc<FaultyStore>,
    pub(crate) chain: Arc<FakeChain>,
    pub(crate) service: Arc<Service>,
    pub(crate) readiness: Readiness,
}

/// What a relayer of a world is like.
pub(crate) type Shape = fn(&mut Relayer);

impl World {
    /// A world with one relayer, `main`, that has one account.
    pub(crate) fn new() -> Self {
        Self::with(&[("main", |_| {})])
    }

    pub(crate) fn with(relayers: &[(&str, Shape)]) -> Self {
        Self::with_options(relayers, ServiceOptions::default())
    }

    pub(crate) fn with_options(relayers: &[(&str, Shape)], options: ServiceOptions) -> Self {
        let clock = Arc::new(ManualClock::new(START));
        let store = Arc::new(FaultyStore::new(clock.clone()));
        let chain = Arc::new(FakeChain::default());
        let relayers = relayers
            .iter()
            .map(|(id, shape)| {
                let mut relayer = relayer(id, chain.clone());
                shape(&mut relayer);
                relayer
            })
            .collect();
        let service = Service::fixed(store.clone(), relayers, clock.clone(), ids(), options);
        Self {
            clock,
            store,
            chain,
            service: Arc::new(service),
            readiness: Readiness::default(),
        }
    }

    /// The API on a socket, until the client is dropped.
    pub(crate) async fn listen(&self) -> Client {
        self.listen_for(None).await
    }

    /// The same for callers with keys that were given out, too.
    pub(crate) async fn listen_for(&self, issued: Option<Arc<dyn IssuedKeys>>) -> Client {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let registry = Arc::new(Registry::default());
        let routes = router(self.service.clone(), self.readiness.clone(), registry);
        let mut keys = ApiKeys::new([("test".to_owned(), API_KEY)]);
        if let Some(issued) = issued {
            keys = keys.and_issued(issued);
        }
        let stack = Stack {
            keys: Some(keys),
            open_prefixes: vec!["/api/v1/health".to_owned(), "/api/v1/ready".to_owned()],
            limits: RequestLimits {
                body_bytes: BODY_BYTES_MAX,
                ..RequestLimits::default()
            },
            ..Stack::default()
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let app = stack.wrap(routes);
        tokio::spawn(serve(listener, app, ConnectionLimits::default(), async {
            stopped.await.ok();
        }));
        Client::new(address, stop)
    }

    /// Accepts a transaction of a relayer and gives its id.
    pub(crate) async fn send(&self, relayer: &str, body: &str) -> String {
        let sent = self.service.send(relayer, raw(body), None).await.unwrap();
        sent.transaction.id
    }

    /// Accepts a plain transfer of `main` and gives its id.
    pub(crate) async fn transfer(&self) -> String {
        self.send("main", &transfer_body()).await
    }
}

pub(crate) fn raw(body: &str) -> &RawValue {
    serde_json::from_str(body).unwrap()
}

pub(crate) fn json(body: &str) -> Value {
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"))
}

pub(crate) fn transfer_body() -> String {
    format!(r#"{{"to":"{TARGET}","value":"1","speed":"fast","gas_limit":21000}}"#)
}

pub(crate) fn ids() -> Ids {
    let next = AtomicU64::new(1);
    Arc::new(move || {
        let number = next.fetch_add(1, Ordering::SeqCst);
        uuid::Builder::from_u128(
            u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835),
        )
        .with_version(uuid::Version::Random)
        .with_variant(uuid::Variant::RFC4122)
        .into_uuid()
    }) as Arc<dyn Fn() -> Uuid + Send + Sync>
}

fn relayer(id: &str, chain: Arc<FakeChain>) -> Relayer {
    Relayer {
        id: RelayerId::new(id).unwrap(),
        name: format!("Relayer {id}"),
        network: Network {
            profile: profile(),
            chain,
        },
        paused: false,
        policy: EvmPolicy::default(),
        policy_given: false,
        signer_ids: vec!["local".to_owned()],
        accounts: vec![Address::repeat_byte(0x11)],
        notification_id: None,
        custom_rpc_urls: Vec::new(),
    }
}

pub(crate) fn profile() -> ChainProfile {
    ChainProfile {
        name: "localhost".to_owned(),
        chain_id: 31337,
        required_confirmations: 1,
        average_block_time_ms: 1000,
        eip1559: true,
        symbol: "ETH".to_owned(),
        is_testnet: true,
        tags: Vec::new(),
        mempool: Mempool::Public,
        in_flight_max: 16,
        nonce_window: None,
        l1_data_fee: false,
    }
}
