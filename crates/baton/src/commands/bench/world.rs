//! A relayer, its node, and what stands between and beside them.

mod setup;
mod shared;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use baton_model::Address;
use baton_testkit::{Anvil, AnvilOptions, Mining, Nginx};
use baton_vault::Secret;
use futures_util::future::try_join_all;
use serde_json::json;

use super::blocks::Watcher;
use super::null_node::NullNode;
use super::plan::{CHAIN_ID, Entry, Fleet, Other, Own, OwnNode, Plan, Subject};
use super::process::ProcessUse;
use super::rpc::Rpc;
use super::tap::Tap;
use crate::commands::child::{Engine, Launch};
use setup::Setup;
pub(super) use shared::{Servers, Shared, field_of, info, meta_key};

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
    /// The relayer's own processes; none if it runs already.
    pub(super) engines: Vec<OwnEngine>,
    /// What they share.
    pub(super) shared: Option<Shared>,
    /// What stands before them.
    pub(super) nginx: Option<Nginx>,
    /// The own relayers' accounts, relayer by relayer.
    pub(super) accounts: Vec<Address>,
    pid: Option<u32>,
    /// Ends with this value.
    _node: Node,
    setup: Option<Setup>,
}

/// How the relayer is called.
#[derive(Clone, Debug)]
pub(super) struct Api {
    /// All lead to the same relayer.
    pub(super) urls: Vec<String>,
    pub(super) key: Secret,
    pub(super) relayers: Vec<String>,
}

/// An instance of Baton, started for the bench.
pub(super) struct OwnEngine {
    pub(super) process: Engine,
    pub(super) launch: Launch,
    /// Its embedded store, if it has one.
    pub(super) data: PathBuf,
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
        let instances = own.fleet.map_or(1, |fleet| usize::from(fleet.instances));
        let tap = Tap::start_each(rpc.url(), plan.seed, instances)?;
        let shared = match &own.fleet {
            Some(fleet) => Some(Shared::start(fleet).await?),
            None => None,
        };
        let setup = Setup::new(plan.seed, own)?;
        for account in &setup.accounts {
            node.fund(&rpc, *account).await?;
        }
        let mut engines = Vec::new();
        for (number, node) in tap.urls().iter().enumerate() {
            let store = shared.as_ref().map(|shared| shared.url(number));
            engines.push(setup.instance(number, node, store.as_deref())?);
        }
        // All at once: none of them waits for another.
        for engine in &mut engines {
            engine.process.ready().await?;
        }
        let nginx = nginx(own.fleet.as_ref(), &engines).await?;
        let watcher = Watcher::start(rpc.clone(), Some(tap.targets())).await?;
        Ok(Self {
            rpc,
            tap: Some(tap),
            watcher,
            api: Api {
                urls: urls(nginx.as_ref(), &engines),
                key: setup.api_key.clone(),
                relayers: setup.relayers.clone(),
            },
            engines,
            shared,
            nginx,
            accounts: setup.accounts.clone(),
            pid: None,
            _node: node,
            setup: Some(setup),
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
            urls: vec![other.url.clone()],
            key: other.api_key.clone(),
            relayers: other.relayers.clone(),
        };
        Ok(Self {
            rpc,
            tap,
            watcher,
            api,
            engines: Vec::new(),
            shared: None,
            nginx: None,
            accounts: Vec::new(),
            pid: other.pid,
            _node: Node::Other,
            setup: None,
        })
    }

    /// How long the relayer's exchanges with its node take on top of the node's own time.
    pub(super) fn set_delay(&self, delay: Duration) {
        if let Some(tap) = &self.tap {
            tap.set_delay(delay);
        }
    }

    /// What the relayer's processes have used together, as far as they are known and run.
    pub(super) fn used(&self) -> Option<ProcessUse> {
        let own = self
            .engines
            .iter()
            .filter_map(|engine| engine.process.pid());
        let used = own.chain(self.pid).filter_map(ProcessUse::of);
        used.reduce(ProcessUse::and)
    }

    /// Ends the relayer as a user would.
    pub(super) async fn stop(mut self) -> Result<()> {
        self.drain().await
    }

    /// The same for a relayer that is to be started again: all instances at once.
    pub(super) async fn drain(&mut self) -> Result<()> {
        let engines = self.engines.iter_mut();
        try_join_all(engines.map(|engine| engine.process.drain())).await?;
        Ok(())
    }

    /// How a further instance would be started on another store.
    pub(super) fn another(&self, store: &str) -> Result<Launch> {
        let setup = self.setup.as_ref().context("an own relayer has a setup")?;
        setup.prepare("another", self.rpc.url(), Some(store))
    }

    /// The place among the instances of the one that holds a relayer's lane now.
    pub(super) async fn holder(&self, relayer: &str) -> Result<Option<usize>> {
        let shared = self.shared.as_ref().context("instances share a store")?;
        let Some(holder) = shared.baton(relayer).await?.holder else {
            return Ok(None);
        };
        let is_it = |engine: &OwnEngine| {
            let pid = engine.process.pid();
            // A holder's name is made of the host's, the process's id and something random.
            pid.is_some_and(|pid| holder.contains(&format!("-{pid}-")))
        };
        Ok(self.engines.iter().position(is_it))
    }
}

impl OwnEngine {
    /// Starts the instance again, with everything as it was, after its process has ended. It is not
    /// ready yet.
    pub(super) fn restart(&mut self) -> Result<()> {
        self.process = Engine::spawn(&self.launch)?;
        Ok(())
    }
}

/// Where callers of these instances go.
fn urls(nginx: Option<&Nginx>, engines: &[OwnEngine]) -> Vec<String> {
    match nginx {
        Some(nginx) => vec![nginx.url()],
        None => {
            let urls = engines.iter().map(|engine| engine.process.url().to_owned());
            urls.collect()
        }
    }
}

async fn nginx(fleet: Option<&Fleet>, engines: &[OwnEngine]) -> Result<Option<Nginx>> {
    if fleet.is_none_or(|fleet| fleet.entry != Entry::Nginx) {
        return Ok(None);
    }
    let address = |engine: &OwnEngine| SocketAddr::from(([127, 0, 0, 1], engine.launch.port()));
    let instances: Vec<SocketAddr> = engines.iter().map(address).collect();
    Ok(Some(Nginx::start(&instances).await?))
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
