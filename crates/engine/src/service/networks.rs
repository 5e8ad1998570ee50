//! Networks over the API. All that are known are shown; their nodes can be changed.

use baton_edge::Page;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

use super::body::Body;
use super::error::ServiceError;
use super::relayer_body::nodes;
use super::schema;
use super::{Service, page_of};
use crate::registry::NetworkDef;

/// Start of the ids of EVM networks.
const EVM: &str = "evm:";

/// A network as callers see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Network")]
pub struct NetworkView {
    /// `evm:` and its name.
    pub id: String,
    /// Its name.
    pub name: String,
    /// `evm`.
    #[schemars(with = "schema::Evm")]
    pub network_type: &'static str,
    /// Its nodes; for callers without the right to change them, without what may hold a key.
    pub rpc_urls: Vec<NodeView>,
    /// Block explorers.
    pub explorer_urls: Vec<String>,
    /// Milliseconds between blocks.
    pub average_blocktime_ms: u64,
    /// Whether its coin has no value.
    pub is_testnet: bool,
    /// Labels.
    pub tags: Vec<String>,
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Blocks on top of a transaction's own after which it is final.
    pub required_confirmations: u64,
    /// Features as written, such as `eip1559`.
    pub features: Vec<String>,
    /// Symbol of its coin.
    pub symbol: String,
}

/// A node as callers see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Node")]
pub struct NodeView {
    /// Where it is.
    pub url: String,
    /// Share of reads.
    pub weight: u8,
}

impl Service {
    /// A page of the networks, and how many there are.
    pub fn network_views(&self, page: Page, in_full: bool) -> (Vec<NetworkView>, u64) {
        let snapshot = self.registry.snapshot();
        let all = &snapshot.definitions.networks;
        let views = page_of(all, page).map(|network| NetworkView::of(network, in_full));
        (views.collect(), all.len() as u64)
    }

    /// A network by its id, such as `evm:sepolia`.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`].
    pub fn network_view(&self, id: &str, in_full: bool) -> Result<NetworkView, ServiceError> {
        let snapshot = self.registry.snapshot();
        let network = name(id).and_then(|name| snapshot.definitions.network(name));
        let view = network.map(|network| NetworkView::of(network, in_full));
        view.ok_or_else(|| not_found(id))
    }

    /// Changes the nodes of a network. Its relayers go on with the new ones.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] when the body breaks a rule, or a relayer could not be served with the new nodes.
    pub async fn patch_network(
        &self,
        id: &str,
        body: &RawValue,
    ) -> Result<NetworkView, ServiceError> {
        let body = Body::open("", body, &["rpc_urls"]).map_err(ServiceError::Invalid)?;
        let raw = body.required("rpc_urls").map_err(ServiceError::Invalid)?;
        let nodes = nodes("rpc_urls", raw, self.registry.backends());
        let nodes = nodes.map_err(ServiceError::Invalid)?;
        let mut edit = self.registry.edit().await?;
        loop {
            let old = name(id).and_then(|name| edit.definitions.network(name));
            let old = old.ok_or_else(|| not_found(id))?;
            let now = NetworkDef {
                nodes: nodes.clone(),
                ..old.clone()
            };
            if now == *old {
                return Ok(NetworkView::of(&now, true));
            }
            let place = edit.definitions.networks.iter_mut();
            if let Some(place) = place
                .into_iter()
                .find(|one| one.profile.name == now.profile.name)
            {
                *place = now.clone();
            }
            let relayers = edit.definitions.relayers.clone();
            let users = relayers
                .iter()
                .filter(|one| one.network == now.profile.name && one.custom_rpc_urls.is_none());
            for user in users {
                let served = edit.try_relayer(user).await;
                served.map_err(|reason| {
                    ServiceError::Invalid(format!("relayer {}: {reason}", user.id))
                })?;
            }
            edit.put(&now.profile.name, now.clone());
            if edit.commit().await? {
                tracing::info!(network = now.profile.name, "nodes changed");
                return Ok(NetworkView::of(&now, true));
            }
        }
    }
}

impl NetworkView {
    fn of(network: &NetworkDef, in_full: bool) -> Self {
        let profile = &network.profile;
        let nodes = network.nodes.iter().map(|node| NodeView {
            url: if in_full {
                node.url.clone()
            } else {
                format!("{}/***", node.origin())
            },
            weight: node.weight,
        });
        Self {
            id: format!("{EVM}{}", profile.name),
            name: profile.name.clone(),
            network_type: "evm",
            rpc_urls: nodes.collect(),
            explorer_urls: network.explorer_urls.clone(),
            average_blocktime_ms: profile.average_block_time_ms,
            is_testnet: profile.is_testnet,
            tags: profile.tags.clone(),
            chain_id: profile.chain_id,
            required_confirmations: profile.required_confirmations,
            features: network.features.clone(),
            symbol: profile.symbol.clone(),
        }
    }
}

fn name(id: &str) -> Option<&str> {
    id.strip_prefix(EVM)
}

fn not_found(id: &str) -> ServiceError {
    let supported = match id.split_once(':') {
        Some(("solana" | "stellar", _)) => ": only EVM networks are served",
        Some(_) | None => "",
    };
    ServiceError::NotFound(format!("Network with ID '{id}' not found{supported}"))
}
