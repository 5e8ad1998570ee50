//! A node, and a directory with what an engine is given.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use baton_model::Address;
use baton_testkit::{Anvil, AnvilOptions, Mining};
use baton_vault::{LocalSigner, Signer};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::chain::REVERTS;
use super::{Api, Chain, Engine, fresh_address};

/// What callers show.
const API_KEY: &str = "0123456789abcdef0123456789abcdef";
/// Time between blocks, unless a test makes them itself.
const BLOCK: Duration = Duration::from_millis(200);

/// What a test's world is made of. The default is a relayer `main` with one account and blocks five
/// times a second.
pub(crate) struct Setup {
    mining: Mining,
    accounts: usize,
    chain_id: u64,
    relayer: Value,
    network: Value,
    variables: BTreeMap<String, String>,
}

impl Default for Setup {
    fn default() -> Self {
        let variables = [
            ("HOST", "127.0.0.1"),
            ("APP_PORT", "0"),
            ("API_KEY", API_KEY),
            ("LOG_FORMAT", "json"),
            ("RUST_LOG", "info,baton_engine=debug"),
            ("RATE_LIMIT_REQUESTS_PER_SECOND", "100000"),
            ("RATE_LIMIT_BURST_SIZE", "100000"),
            ("RELAYER_CONCURRENCY_LIMIT", "1000"),
            ("RPC_TIMEOUT_MS", "2000"),
        ];
        Self {
            mining: Mining::Every(BLOCK),
            accounts: 1,
            chain_id: 31_337,
            relayer: json!({}),
            network: json!({}),
            variables: variables.map(|(n, v)| (n.to_owned(), v.to_owned())).into(),
        }
    }
}

impl Setup {
    /// Blocks come only when the test makes them.
    pub(crate) fn blocks_on_request(mut self) -> Self {
        self.mining = Mining::OnRequest;
        self
    }

    /// The relayer sends from this many accounts.
    pub(crate) fn accounts(mut self, count: usize) -> Self {
        self.accounts = count;
        self
    }

    /// The node's chain id; the configuration keeps naming 31337.
    pub(crate) fn node_chain_id(mut self, id: u64) -> Self {
        self.chain_id = id;
        self
    }

    /// A field of the relayer.
    pub(crate) fn relayer(mut self, field: &str, value: Value) -> Self {
        self.relayer[field] = value;
        self
    }

    /// A field of the network.
    pub(crate) fn network(mut self, field: &str, value: Value) -> Self {
        self.network[field] = value;
        self
    }

    /// A variable of the engine's environment.
    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Starts the node and writes the configuration.
    pub(crate) async fn world(self) -> World {
        let options = AnvilOptions {
            mining: self.mining,
            chain_id: self.chain_id,
            ..AnvilOptions::default()
        };
        let anvil = Anvil::start(&options).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let mut variables = self.variables;
        variables
            .entry("BATON_DATA_DIR".to_owned())
            .or_insert_with(|| directory.path().join("data").display().to_string());
        let names: Vec<String> = (0..self.accounts)
            .map(|index| format!("key-{index}"))
            .collect();
        let mut signers = Vec::new();
        for (index, name) in names.iter().enumerate() {
            let variable = format!("TEST_KEY_{index}");
            variables.insert(variable.clone(), Anvil::DEV_KEYS[index].to_owned());
            let key = json!({ "key": { "type": "env", "value": variable } });
            signers.push(json!({ "id": name, "type": "raw_key", "config": key }));
        }
        let mut relayer = json!({
            "id": "main", "name": "Main", "network": "devnet", "network_type": "evm",
            "paused": false, "signer_ids": names,
        });
        overlay(&mut relayer, self.relayer);
        let mut network = json!({
            "type": "evm", "network": "devnet", "chain_id": 31_337, "symbol": "ETH",
            "required_confirmations": 2, "average_blocktime_ms": 200, "is_testnet": true,
            "features": ["eip1559"], "rpc_urls": [anvil.http_url()],
        });
        overlay(&mut network, self.network);
        let config = json!({
            "relayers": [relayer], "signers": signers, "notifications": [], "networks": [network],
        });
        let world = World {
            config,
            variables,
            anvil,
            directory,
        };
        world.write_config();
        world
    }
}

fn overlay(base: &mut Value, fields: Value) {
    if let (Value::Object(base), Value::Object(fields)) = (base, fields) {
        base.extend(fields);
    }
}

/// What an engine runs in. Everything ends with the value.
pub(crate) struct World {
    pub(crate) config: Value,
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) anvil: Anvil,
    directory: TempDir,
}

impl World {
    /// One of the default kind.
    pub(crate) async fn new() -> Self {
        Setup::default().world().await
    }

    /// Starts the engine and waits until it is ready.
    pub(crate) async fn engine(&self) -> Engine {
        let engine = self.launch(&[]).await;
        engine.ready().await;
        engine
    }

    /// Starts the engine and waits until it listens.
    pub(crate) async fn launch(&self, arguments: &[&str]) -> Engine {
        Engine::start(self, arguments).await
    }

    /// Starts the engine and does not wait for anything.
    pub(crate) fn spawn(&self) -> Engine {
        Engine::spawn(self, &[])
    }

    /// A contract that reverts, whatever it is called with.
    pub(crate) async fn reverting(&self) -> Address {
        let contract = fresh_address(7);
        let code = REVERTS.parse().unwrap();
        self.anvil.set_code(contract, &code).await.unwrap();
        contract
    }

    /// A caller that knows no engine yet.
    pub(crate) fn api(&self) -> Api {
        Api::new(API_KEY)
    }

    /// The chain, to look at.
    pub(crate) fn chain(&self) -> Chain<'_> {
        Chain(&self.anvil)
    }

    /// The address of an account of the relayer.
    pub(crate) fn account(&self, index: usize) -> Address {
        LocalSigner::from_hex(Anvil::DEV_KEYS[index])
            .unwrap()
            .address()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        PathBuf::from(&self.variables["BATON_DATA_DIR"])
    }

    pub(crate) fn config_file(&self) -> PathBuf {
        self.path("config.json")
    }

    /// Writes the configuration as it is now.
    pub(crate) fn write_config(&self) {
        fs::write(self.config_file(), self.config.to_string()).unwrap();
    }
}
