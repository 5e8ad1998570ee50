//! A relayer, its node, and what stands between and beside them.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use baton_model::Address;
use baton_testkit::{Anvil, AnvilOptions, Mining};
use baton_vault::keys::{encryption_key, uuid_v4};
use baton_vault::{Secret, Signer};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::blocks::Watcher;
use super::keys::BenchKey;
use super::null_node::NullNode;
use super::plan::{CHAIN_ID, Other, Own, OwnNode, Plan, Subject};
use super::rpc::Rpc;
use super::tap::Tap;
use crate::commands::child::{Engine, Launch, free_port};

/// Gas of a block where everything that is open is mined at the end: a thousand transfers. Anvil
/// looks through the whole block for each of its receipts, so a block of ten thousand takes minutes.
const GAS_LIMIT_PAUSED: u64 = 21_000_000;
/// What an account gets: a million coins, in wei.
pub(super) const FUNDS: &str = "0xd3c21bcecceda1000000";

/// Everything that a step needs. Own processes end with this value.
pub(super) struct World {
    pub(super) rpc: Rpc,
    /// Absent before a relayer that uses its node directly.
    pub(super) tap: Option<Tap>,
    pub(super) watcher: Watcher,
    pub(super) api: Api,
    pub(super) engine: Option<OwnEngine>,
    /// The own relayers' accounts, relayer by relayer.
    pub(super) accounts: Vec<Address>,
    pid: Option<u32>,
    /// Ends with this value.
    _node: Node,
}

/// How the relayer is called.
#[derive(Clone, Debug)]
pub(super) struct Api {
    pub(super) url: String,
    pub(super) key: Secret,
    pub(super) relayers: Vec<String>,
}

/// Baton, started for the bench.
pub(super) struct OwnEngine {
    pub(super) process: Engine,
    pub(super) launch: Launch,
    pub(super) data: PathBuf,
    _directory: TempDir,
}

/// A node, and how it is told things that only a development node does.
pub(super) enum Node {
    Anvil(Anvil),
    Null(NullNode),
    Other,
}

impl World {
    /// Starts what is missing and waits until it is ready.
    pub(super) async fn start(plan: &Plan) -> Result<Self> {
        match &plan.subject {
            Subject::Own(own) => Self::own(plan, own).await,
            Subject::Other(other) => Self::other(other).await,
        }
    }

    async fn own(plan: &Plan, own: &Own) -> Result<Self> {
        let node = Node::start(own.node, own.gas_limit).await?;
        let rpc = Rpc::new(&node.url().context("an own node has an address")?)?;
        let tap = Tap::start(rpc.url(), 0, plan.seed)?;
        let setup = Setup::new(plan.seed, own, &tap.url())?;
        for account in &setup.accounts {
            node.fund(&rpc, *account).await?;
        }
        let accounts = setup.accounts.clone();
        let (engine, api) = setup.launch(own).await?;
        let watcher = Watcher::start(rpc.clone(), Some(tap.targets())).await?;
        let pid = engine.process.pid();
        Ok(Self {
            rpc,
            tap: Some(tap),
            watcher,
            api,
            engine: Some(engine),
            accounts,
            pid,
            _node: node,
        })
    }

    async fn other(other: &Other) -> Result<Self> {
        let rpc = Rpc::new(&other.node)?;
        let port = other.proxy_port;
        let tap = port
            .map(|port| Tap::start(&other.node, port, 0))
            .transpose()?;
        let watcher = Watcher::start(rpc.clone(), None)
            .await
            .context("--node does not answer")?;
        let api = Api {
            url: other.url.clone(),
            key: other.api_key.clone(),
            relayers: other.relayers.clone(),
        };
        Ok(Self {
            rpc,
            tap,
            watcher,
            api,
            engine: None,
            accounts: Vec::new(),
            pid: other.pid,
            _node: Node::Other,
        })
    }

    /// How long the relayer's exchanges with its node take on top of the node's own time.
    pub(super) fn set_delay(&self, delay: Duration) {
        if let Some(tap) = &self.tap {
            tap.set_delay(delay);
        }
    }

    /// The relayer's process, if it is known.
    pub(super) fn pid(&self) -> Option<u32> {
        self.engine
            .as_ref()
            .map_or(self.pid, |engine| engine.process.pid())
    }

    /// Ends the relayer as a user would.
    pub(super) async fn stop(self) -> Result<()> {
        match self.engine {
            Some(engine) => engine.process.stop().await,
            None => Ok(()),
        }
    }
}

impl OwnEngine {
    /// Starts the relayer again, with everything as it was, after its process has ended. It is not
    /// ready yet.
    pub(super) fn restart(&mut self) -> Result<()> {
        self.process = Engine::spawn(&self.launch)?;
        Ok(())
    }
}

impl Node {
    pub(super) async fn start(kind: OwnNode, gas_limit: u64) -> Result<Self> {
        let (mining, gas_limit) = match kind {
            OwnNode::Anvil(block_time) => (Mining::Every(block_time), gas_limit),
            OwnNode::Paused => (Mining::OnRequest, GAS_LIMIT_PAUSED),
            OwnNode::Null(block_time) => {
                return Ok(Self::Null(NullNode::start(CHAIN_ID, block_time).await?));
            }
        };
        let options = AnvilOptions {
            mining,
            chain_id: CHAIN_ID,
            gas_limit,
            ..AnvilOptions::default()
        };
        Ok(Self::Anvil(Anvil::start(&options).await?))
    }

    pub(super) fn url(&self) -> Option<String> {
        match self {
            Self::Anvil(anvil) => Some(anvil.http_url()),
            Self::Null(null) => Some(null.url().to_owned()),
            Self::Other => None,
        }
    }

    /// Gives an account what it needs for any run.
    pub(super) async fn fund(&self, rpc: &Rpc, account: Address) -> Result<()> {
        if let Self::Null(null) = self {
            null.set_account(account);
            return Ok(());
        }
        let funded = rpc.call("anvil_setBalance", json!([account, FUNDS])).await;
        funded.map(drop).context("the account cannot be funded")
    }
}

/// What Baton is configured with.
struct Setup {
    directory: TempDir,
    accounts: Vec<Address>,
    relayers: Vec<String>,
    variables: Vec<(String, String)>,
    api_key: String,
}

impl Setup {
    fn new(seed: u64, own: &Own, node: &str) -> Result<Self> {
        let directory = match &own.scratch {
            Some(parent) => tempfile::tempdir_in(parent).with_context(|| {
                format!("no directory can be made in --scratch {}", parent.display())
            }),
            None => tempfile::tempdir().context("no temporary directory"),
        };
        let mut setup = Self {
            directory: directory?,
            accounts: Vec::new(),
            relayers: Vec::new(),
            variables: Vec::new(),
            api_key: uuid_v4()?.to_string(),
        };
        let mut signers = Vec::new();
        let mut relayers = Vec::new();
        for relayer in 0..own.relayers {
            let names: Vec<String> = (0..own.accounts)
                .map(|account| format!("r{relayer}-a{account}"))
                .collect();
            for name in &names {
                signers.push(setup.signer(seed, name)?);
            }
            let id = format!("bench-{relayer}");
            relayers.push(json!({
                "id": id, "name": id, "network": "bench", "network_type": "evm", "paused": false,
                "signer_ids": names,
            }));
            setup.relayers.push(id);
        }
        let block_time = match own.node {
            OwnNode::Anvil(time) | OwnNode::Null(time) => time,
            OwnNode::Paused => Duration::from_secs(1),
        };
        let config = json!({
            "relayers": relayers, "signers": signers, "notifications": [],
            "networks": [{
                "type": "evm", "network": "bench", "chain_id": CHAIN_ID, "symbol": "ETH",
                "required_confirmations": own.confirmations, "average_blocktime_ms": block_time.as_millis(),
                "is_testnet": true, "features": ["eip1559"], "rpc_urls": [node],
                "in_flight_max": own.in_flight,
            }],
        });
        fs::write(
            setup.directory.path().join("config.json"),
            config.to_string(),
        )?;
        Ok(setup)
    }

    fn signer(&mut self, seed: u64, name: &str) -> Result<Value> {
        let key = BenchKey::derive(seed, name)?;
        let variable = format!("BENCH_KEY_{}", self.accounts.len());
        self.accounts.push(key.signer.address());
        let source = json!({ "key": { "type": "env", "value": variable } });
        self.variables.push((variable, key.hex));
        Ok(json!({ "id": name, "type": "raw_key", "config": source }))
    }

    async fn launch(self, own: &Own) -> Result<(OwnEngine, Api)> {
        let path = self.directory.path();
        let data = path.join("data");
        let encryption_key = encryption_key()?;
        let keys: Vec<(&str, &str)> = self
            .variables
            .iter()
            .map(|(name, key)| (name.as_str(), key.as_str()))
            .collect();
        let accounts = usize::from(own.accounts) * usize::from(own.relayers);
        tracing::debug!(accounts, data = %data.display(), "starting the engine");
        let launch = Launch::new(path, &data, free_port()?)
            .variables(&keys)
            .variables(&[
                ("RPC_TIMEOUT_MS", &own.rpc_timeout.as_millis().to_string()),
                ("API_KEY", &self.api_key),
                ("STORAGE_ENCRYPTION_KEY", encryption_key.expose()),
                // The load has more connections than callers usually have.
                ("MAX_CONNECTIONS", "2000"),
                ("RELAYER_CONCURRENCY_LIMIT", "2000"),
            ]);
        let process = Engine::start(&launch).await?;
        let api = Api {
            url: process.url().to_owned(),
            key: Secret::new(self.api_key),
            relayers: self.relayers,
        };
        Ok((
            OwnEngine {
                process,
                launch,
                data,
                _directory: self.directory,
            },
            api,
        ))
    }
}
