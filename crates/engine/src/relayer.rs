//! What a relayer is to the service: a policy and accounts on a network.

use std::sync::Arc;

use baton_chain::ChainClient;
use baton_model::{Address, ChainProfile, EvmPolicy, LaneId, RelayerId};

/// A network that is served: one client for all its relayers.
#[derive(Clone)]
pub struct Network {
    /// What differs from chain to chain.
    pub profile: ChainProfile,
    /// Its nodes.
    pub chain: Arc<dyn ChainClient>,
}

/// Where to send webhooks; kept for the API's answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// Its id.
    pub id: String,
}

/// A relayer as configured.
#[derive(Clone)]
pub struct Relayer {
    /// The id by which callers address it.
    pub id: RelayerId,
    /// Its name, for people.
    pub name: String,
    /// Its network.
    pub network: Network,
    /// Whether it takes no new work.
    pub paused: bool,
    /// What it may do.
    pub policy: EvmPolicy,
    /// Whether any policy was configured: the API leaves an empty one out.
    pub policy_given: bool,
    /// Ids of its signers, in the order of `accounts`.
    pub signer_ids: Vec<String>,
    /// Its accounts, at least one; the first is the address that the API shows.
    pub accounts: Vec<Address>,
    /// Its notification, if any.
    pub notification_id: Option<String>,
    /// Hosts and weights of its own RPC endpoints, without anything that may hold a key: `(scheme://host, weight)`.
    pub custom_rpc_urls: Vec<(String, u8)>,
}

impl Relayer {
    /// The lane that runs its transactions.
    pub fn lane(&self) -> LaneId {
        self.id.lane()
    }

    /// The address that the API shows.
    pub fn address(&self) -> Address {
        self.accounts[0]
    }
}
