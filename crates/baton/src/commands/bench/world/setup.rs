//! What the bench's own instances of Baton are configured with.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use baton_model::Address;
use baton_vault::keys::{encryption_key, uuid_v4};
use baton_vault::{Secret, Signer};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::OwnEngine;
use crate::commands::bench::keys::BenchKey;
use crate::commands::bench::plan::{CHAIN_ID, Own, OwnNode};
use crate::commands::child::{Engine, Launch, free_port};

/// Relayers, accounts and keys, the same for every instance. Its directory ends with this value.
pub(super) struct Setup {
    directory: TempDir,
    pub(super) accounts: Vec<Address>,
    /// Ids of the relayers.
    pub(super) relayers: Vec<String>,
    pub(super) api_key: Secret,
    own: Own,
    definitions: Vec<Value>,
    signers: Vec<Value>,
    variables: Vec<(String, String)>,
}

impl Setup {
    pub(super) fn new(seed: u64, own: &Own) -> Result<Self> {
        let directory = match &own.scratch {
            Some(parent) => tempfile::tempdir_in(parent).with_context(|| {
                format!("no directory can be made in --scratch {}", parent.display())
            }),
            None => tempfile::tempdir().context("no temporary directory"),
        };
        let api_key = uuid_v4()?.to_string();
        let encryption_key = encryption_key()?;
        let text = |text: &str| text.to_owned();
        let mut setup = Self {
            directory: directory?,
            accounts: Vec::new(),
            relayers: Vec::new(),
            definitions: Vec::new(),
            signers: Vec::new(),
            variables: vec![
                (
                    text("RPC_TIMEOUT_MS"),
                    own.rpc_timeout.as_millis().to_string(),
                ),
                (text("API_KEY"), api_key.clone()),
                (
                    text("STORAGE_ENCRYPTION_KEY"),
                    text(encryption_key.expose()),
                ),
                // The load has more connections than callers usually have.
                (text("MAX_CONNECTIONS"), text("2000")),
                (text("RELAYER_CONCURRENCY_LIMIT"), text("2000")),
            ],
            api_key: Secret::new(api_key),
            own: own.clone(),
        };
        for relayer in 0..own.relayers {
            setup.add_relayer(seed, relayer, own.accounts)?;
        }
        Ok(setup)
    }

    /// Starts an instance, which reaches its node at an address, and the store that it shares at
    /// another; without the latter it has a store of its own. It is not ready yet.
    pub(super) fn instance(
        &self,
        number: usize,
        node: &str,
        store: Option<&str>,
    ) -> Result<OwnEngine> {
        let name = format!("instance-{}", number + 1);
        let launch = self.prepare(&name, node, store)?;
        tracing::debug!(accounts = self.accounts.len(), name, "starting an instance");
        Ok(OwnEngine {
            process: Engine::spawn(&launch)?,
            launch,
            data: self.data(&name),
        })
    }

    /// How an instance of a name is started.
    pub(super) fn prepare(&self, name: &str, node: &str, store: Option<&str>) -> Result<Launch> {
        let path = self.directory.path().join(name);
        fs::create_dir(&path)?;
        fs::write(path.join("config.json"), self.config(node).to_string())?;
        let variables = self.variables.iter();
        let variables: Vec<(&str, &str)> = variables
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let launch = Launch::new(&path, &self.data(name), free_port()?).variables(&variables);
        let Some(url) = store else { return Ok(launch) };
        let launch = launch.variables(&[
            ("REPOSITORY_STORAGE_TYPE", "redis"),
            ("REDIS_URL", url),
            ("BATON_INSTANCE", name),
        ]);
        let delay = self.own.fleet.and_then(|fleet| fleet.drain_delay);
        Ok(match delay {
            None => launch,
            Some(delay) => {
                let millis = delay.as_millis().to_string();
                launch.variables(&[("BATON_DRAIN_DELAY_MS", &millis)])
            }
        })
    }

    fn data(&self, name: &str) -> PathBuf {
        self.directory.path().join(name).join("data")
    }

    fn add_relayer(&mut self, seed: u64, number: u16, accounts: u16) -> Result<()> {
        let names: Vec<String> = (0..accounts)
            .map(|account| format!("r{number}-a{account}"))
            .collect();
        for name in &names {
            self.add_signer(seed, name)?;
        }
        let id = format!("bench-{number}");
        self.definitions.push(json!({
            "id": id, "name": id, "network": "bench", "network_type": "evm", "paused": false,
            "signer_ids": names,
        }));
        self.relayers.push(id);
        Ok(())
    }

    fn add_signer(&mut self, seed: u64, name: &str) -> Result<()> {
        let key = BenchKey::derive(seed, name)?;
        let variable = format!("BENCH_KEY_{}", self.accounts.len());
        self.accounts.push(key.signer.address());
        let source = json!({ "key": { "type": "env", "value": variable } });
        self.variables.push((variable, key.hex));
        let signer = json!({ "id": name, "type": "raw_key", "config": source });
        self.signers.push(signer);
        Ok(())
    }

    fn config(&self, node: &str) -> Value {
        let own = &self.own;
        let block_time = match own.node {
            OwnNode::Anvil(time) | OwnNode::Null(time) => time,
            OwnNode::Paused => Duration::from_secs(1),
        };
        json!({
            "relayers": self.definitions, "signers": self.signers, "notifications": [],
            "networks": [{
                "type": "evm", "network": "bench", "chain_id": CHAIN_ID, "symbol": "ETH",
                "required_confirmations": own.confirmations,
                "average_blocktime_ms": block_time.as_millis(),
                "is_testnet": true, "features": ["eip1559"], "rpc_urls": [node],
                "in_flight_max": own.in_flight,
            }],
        })
    }
}
