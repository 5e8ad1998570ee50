//! What is made, changed and deleted over the API.

mod bad_requests;
mod keys;
mod merging;
mod others;
mod relayers;
mod rpc;
mod signing;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use baton_coord::ManualClock;
use baton_engine::registry::{
    Definitions, NetworkDef, NodeDef, NotificationDef, Registry, RelayerDef, SignerDef,
};
use baton_engine::service::{Service, ServiceOptions};
use baton_model::{ChainProfile, EvmPolicy, RelayerId};
use baton_vault::Secret;
use serde_json::{Value, json};

use crate::support::backends::FakeBackends;
use crate::support::chain::FakeChain;
use crate::support::client::{Answer, Client};
use crate::support::store::FaultyStore;
use crate::support::{START, World, ids, profile};

/// Anvil's first accounts.
const KEYS: [&str; 3] = [
    "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    "5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
];
const ACCOUNTS: [&str; 3] = [
    "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266",
    "0x70997970c51812dc3a010c7d01b50e0d17dc79c8",
    "0x3c44cdddb6a900fa2b585dd299e03d12fa4293bc",
];

/// What the parts of one deployment share.
struct Deployment {
    clock: Arc<ManualClock>,
    store: Arc<FaultyStore>,
    chain: Arc<FakeChain>,
    ids: baton_engine::service::Ids,
}

/// One process of it.
struct Replica {
    world: World,
    registry: Arc<Registry>,
    backends: Arc<FakeBackends>,
}

impl Deployment {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::new(START));
        Self {
            store: Arc::new(FaultyStore::new(clock.clone())),
            chain: Arc::new(FakeChain::default()),
            ids: ids(),
            clock,
        }
    }

    /// A process that was started with a file.
    async fn replica(&self, file: Definitions) -> Replica {
        let backends = Arc::new(FakeBackends {
            chain: self.chain.clone(),
            keys: BTreeMap::from([("local".to_owned(), KEYS[0].to_owned())]),
            sealed: AtomicBool::new(true),
            connected: std::sync::Mutex::default(),
            opened: std::sync::Mutex::default(),
        });
        let opened = Registry::open(
            self.store.clone(),
            self.clock.clone(),
            self.ids.clone(),
            file,
            backends.clone(),
        );
        let registry = Arc::new(opened.await.unwrap());
        let service = Service::new(
            self.store.clone(),
            registry.clone(),
            self.clock.clone(),
            self.ids.clone(),
            ServiceOptions::default(),
        );
        let world = World {
            clock: self.clock.clone(),
            store: self.store.clone(),
            chain: self.chain.clone(),
            service: Arc::new(service),
            readiness: baton_edge::Readiness::default(),
        };
        Replica {
            world,
            registry,
            backends,
        }
    }
}

impl Replica {
    async fn listen(&self) -> Client {
        self.world.listen_for(Some(self.registry.clone())).await
    }
}

async fn one() -> (Deployment, Replica, Client) {
    let deployment = Deployment::new();
    let replica = deployment.replica(file()).await;
    let client = replica.listen().await;
    (deployment, replica, client)
}

/// One relayer `main` with the signer `local`, one notification `hook`, two networks.
fn file() -> Definitions {
    let network = |name: &str, chain_id| NetworkDef {
        profile: ChainProfile {
            name: name.to_owned(),
            chain_id,
            ..profile()
        },
        nodes: vec![NodeDef {
            url: format!("https://{name}.example/v3/hunter2"),
            weight: 100,
            ws_url: None,
        }],
        explorer_urls: vec!["https://explorer.example".to_owned()],
        features: vec!["eip1559".to_owned()],
    };
    Definitions {
        relayers: vec![RelayerDef {
            id: RelayerId::new("main").unwrap(),
            name: "Main".to_owned(),
            network: "localhost".to_owned(),
            paused: false,
            policy: EvmPolicy::default(),
            signer_ids: vec!["local".to_owned()],
            notification_id: None,
            custom_rpc_urls: None,
        }],
        signers: vec![SignerDef {
            id: "local".to_owned(),
            kind: "local".to_owned(),
            shown_kind: "local".to_owned(),
            shown: json!({}),
            config: None,
        }],
        notifications: vec![NotificationDef {
            id: "hook".to_owned(),
            url: Some(Secret::new("https://hook.example/x")),
            signing_key: Some(Secret::new("k".repeat(32))),
            events: Vec::new(),
        }],
        networks: vec![network("localhost", 31337), network("testnet", 5)],
    }
}

/// The data of an answer to something that was made.
fn made(answer: &Answer) -> Value {
    assert_eq!(answer.status, 201, "{}", answer.body);
    let body = answer.json();
    assert_eq!(
        (&body["success"], &body["error"]),
        (&json!(true), &Value::Null)
    );
    body["data"].clone()
}

async fn make_signer(client: &Client, id: &str, key: usize) {
    let body = json!({ "id": id, "type": "plain", "config": { "key": KEYS[key] } });
    made(&client.post("/api/v1/signers", &body).await);
}

fn relayer_body(id: &str, signer: &str) -> Value {
    json!({
        "id": id, "name": format!("Relayer {id}"), "network": "localhost", "paused": false,
        "network_type": "evm", "signer_id": signer,
    })
}

async fn make_relayer(client: &Client, id: &str, signer: &str) -> Value {
    made(
        &client
            .post("/api/v1/relayers", &relayer_body(id, signer))
            .await,
    )
}
