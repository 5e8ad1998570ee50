//! Starts a client and a follower for each network that a relayer works on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use baton_chain::{ChainIdError, EvmClient, EvmClientConfig, RpcObserver};
use baton_engine::driver::Follower;
use baton_engine::{Network, Relayer};
use baton_model::{Address, RelayerId};
use prometheus_client::registry::Registry;

use super::signers::Signers;
use crate::config::{self, Endpoint, Rpc, Settings};
use crate::rpc_metrics::RpcMetrics;

/// Networks by name and endpoints: relayers with their own endpoints have a client of their own.
pub(super) struct Networks(Vec<Served>);

struct Served {
    name: String,
    endpoints: Vec<Endpoint>,
    client: Arc<EvmClient>,
    network: Network,
    follower: Arc<Follower>,
}

impl Networks {
    /// Starts clients and checks that their nodes serve the right chain. A node that does not
    /// answer is no reason not to start: what is accepted meanwhile is durable.
    pub(super) async fn start(
        settings: &Settings,
        signers: &Signers,
        registry: &mut Registry,
    ) -> Result<Self> {
        let metrics: Arc<dyn RpcObserver> = Arc::new(RpcMetrics::new(registry));
        let mut served: Vec<Served> = Vec::new();
        for relayer in &settings.relayers {
            let (name, endpoints) = (&relayer.network.profile.name, relayer.endpoints());
            if served.iter().any(|s| s.serves(name, endpoints)) {
                continue;
            }
            let accounts = accounts(settings, signers, name, endpoints)?;
            let started = Served::start(relayer, &settings.rpc, accounts, &metrics).await;
            served.push(started.with_context(|| format!("network {name}"))?);
        }
        Ok(Self(served))
    }

    pub(super) fn followers(&self) -> Vec<Arc<Follower>> {
        self.0
            .iter()
            .map(|served| Arc::clone(&served.follower))
            .collect()
    }

    /// The relayers, each with the follower of its network.
    pub(super) fn relayers(
        &self,
        settings: &Settings,
        signers: &Signers,
    ) -> Result<Vec<(Relayer, Arc<Follower>)>> {
        let mut relayers = Vec::new();
        for configured in &settings.relayers {
            let accounts = signers.addresses(&configured.signer_ids)?;
            let name = &configured.network.profile.name;
            let served = self
                .0
                .iter()
                .find(|s| s.serves(name, configured.endpoints()));
            let served = served.with_context(|| format!("network {name} was not started"))?;
            let relayer = relayer(configured, accounts, served.network.clone());
            relayers.push((relayer, Arc::clone(&served.follower)));
        }
        Ok(relayers)
    }

    /// Ends the clients.
    pub(super) async fn shutdown(&self, grace: Duration) {
        for served in &self.0 {
            served.client.shutdown(grace).await;
        }
    }
}

impl Served {
    fn serves(&self, name: &str, endpoints: &[Endpoint]) -> bool {
        self.name == name && self.endpoints == endpoints
    }

    async fn start(
        relayer: &config::Relayer,
        rpc: &Rpc,
        accounts: Vec<Address>,
        metrics: &Arc<dyn RpcObserver>,
    ) -> Result<Self> {
        let profile = relayer.network.profile.clone();
        let client = EvmClient::start(&client_config(relayer, rpc), metrics)?;
        match client.check_chain_id(profile.chain_id).await {
            Ok(()) => {}
            Err(error @ ChainIdError::Mismatch { .. }) => return Err(error.into()),
            Err(error @ ChainIdError::Unchecked(_)) => {
                tracing::warn!(network = profile.name, %error, "starting without its nodes");
            }
        }
        let client = Arc::new(client);
        let chain = Arc::clone(&client);
        let network = Network { profile, chain };
        let follower = Arc::new(Follower::new(&network, accounts));
        Ok(Self {
            name: network.profile.name.clone(),
            endpoints: relayer.endpoints().to_vec(),
            client,
            network,
            follower,
        })
    }
}

/// Refuses keys that are used twice on one chain: their users would use the same nonces.
pub(super) fn check_owners(settings: &Settings, signers: &Signers) -> Result<()> {
    let mut owners: BTreeMap<(u64, Address), (&RelayerId, &str)> = BTreeMap::new();
    for relayer in &settings.relayers {
        let chain = relayer.network.profile.chain_id;
        let accounts = signers.addresses(&relayer.signer_ids)?;
        for (signer, account) in relayer.signer_ids.iter().zip(accounts) {
            let owner = (&relayer.id, signer.as_str());
            if let Some(other) = owners.insert((chain, account), owner) {
                bail!(
                    "signer {signer} of relayer {} and signer {} of relayer {} hold the same key, \
                     of account {account} on chain {chain}: an account's nonces belong to one \
                     relayer, and to it once",
                    relayer.id,
                    other.1,
                    other.0
                );
            }
        }
    }
    Ok(())
}

/// Accounts of all relayers that share a client.
fn accounts(
    settings: &Settings,
    signers: &Signers,
    name: &str,
    endpoints: &[Endpoint],
) -> Result<Vec<Address>> {
    let mut accounts = Vec::new();
    let sharing = settings.relayers.iter();
    for relayer in sharing.filter(|r| r.network.profile.name == name && r.endpoints() == endpoints)
    {
        accounts.extend(signers.addresses(&relayer.signer_ids)?);
    }
    Ok(accounts)
}

fn client_config(relayer: &config::Relayer, rpc: &Rpc) -> EvmClientConfig {
    let profile = &relayer.network.profile;
    let endpoints = relayer.endpoints().iter().map(for_client).collect();
    EvmClientConfig {
        eip1559: profile.eip1559,
        average_block_time: Duration::from_millis(profile.average_block_time_ms),
        timeout: rpc.timeout,
        retries: rpc.attempts,
        retry_base: rpc.retry_base,
        retry_max: rpc.retry_max,
        failovers: rpc.failovers_max,
        failure_threshold: rpc.failure_threshold,
        failure_window: rpc.failure_window,
        pause: rpc.pause,
        ..EvmClientConfig::new(endpoints)
    }
}

fn relayer(configured: &config::Relayer, accounts: Vec<Address>, network: Network) -> Relayer {
    let custom = configured.custom_rpc_urls.iter().flatten();
    Relayer {
        id: configured.id.clone(),
        name: configured.name.clone(),
        network,
        paused: configured.paused,
        policy: configured.policy.clone(),
        policy_given: configured.policy != baton_model::EvmPolicy::default(),
        signer_ids: configured.signer_ids.clone(),
        accounts,
        notification_id: configured.notification_id.clone(),
        custom_rpc_urls: custom.map(|e| (e.to_string(), e.weight)).collect(),
    }
}

fn for_client(endpoint: &Endpoint) -> baton_chain::Endpoint {
    baton_chain::Endpoint {
        url: endpoint.url.clone(),
        weight: endpoint.weight,
        ws_url: endpoint.ws_url.clone(),
    }
}
