//! What can be configured, as plain values: the same for what a file says and for what was made over the API.

use std::fmt;
use std::num::NonZeroU32;

use baton_chain::Endpoint;
use baton_edge::RateLimit;
use baton_lanes::record::Record;
use baton_model::{ChainProfile, EvmPolicy, RelayerId, Timestamp};
use baton_vault::Secret;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// Something that has an id and can be configured.
pub trait Definition: Clone + PartialEq + Serialize + DeserializeOwned {
    /// Start of the names of its records.
    const PREFIX: &'static str;
    /// What it is, for messages.
    const WHAT: &'static str;

    /// Its id, unique among its kind.
    fn id(&self) -> &str;

    /// Whether it holds a secret that must not lie in a store as it is.
    fn is_secret(&self) -> bool;

    /// Whether a file that says this says the same as one that said `before`, as far as changes over the API are
    /// concerned.
    fn says_same(&self, before: &Self) -> bool {
        self == before
    }

    /// What comes of it when it is changed over the API.
    #[must_use]
    fn changed(&self, now: &Self) -> Self {
        now.clone()
    }
}

/// A node.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeDef {
    /// Where it is. It may hold an access key, so `Debug` shows the host only.
    pub url: String,
    /// Share of reads, 0 to 100.
    pub weight: u8,
    /// Where it announces blocks.
    #[serde(default)]
    pub ws_url: Option<String>,
}

/// A relayer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayerDef {
    /// Its id.
    pub id: RelayerId,
    /// Its name, for people.
    pub name: String,
    /// Name of its network.
    pub network: String,
    /// Whether it takes no new work.
    pub paused: bool,
    /// What it may do.
    pub policy: EvmPolicy,
    /// Ids of its signers, at least one.
    pub signer_ids: Vec<String>,
    /// Id of its notification.
    pub notification_id: Option<String>,
    /// Nodes that it uses instead of its network's.
    pub custom_rpc_urls: Option<Vec<NodeDef>>,
}

/// A signer.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignerDef {
    /// Its id.
    pub id: String,
    /// Its type, as the API's callers write it.
    pub kind: String,
    /// Its type, as the API shows it.
    pub shown_kind: String,
    /// Its configuration without what is secret.
    pub shown: Value,
    /// Its configuration as JSON text, secrets included. `None` for a signer of the file: the assembly has it.
    #[serde(with = "exposed")]
    pub config: Option<Secret>,
}

/// Who is told of transactions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotificationDef {
    /// Its id.
    pub id: String,
    /// Where webhooks go.
    #[serde(with = "exposed")]
    pub url: Option<Secret>,
    /// Key of their signatures.
    #[serde(with = "exposed")]
    pub signing_key: Option<Secret>,
    /// What it is told of, in the words of [`crate::webhooks::EVENT_WORDS`]; empty for everything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<String>,
}

/// A network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkDef {
    /// The facts about its chain.
    pub profile: ChainProfile,
    /// Its nodes; the only part that the API changes.
    pub nodes: Vec<NodeDef>,
    /// Block explorers, for people.
    pub explorer_urls: Vec<String>,
    /// Features as written.
    pub features: Vec<String>,
}

/// A key that was given out. The key itself is not kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKeyDef {
    /// Its id.
    pub id: String,
    /// Its name, for people and logs.
    pub name: String,
    /// SHA-256 of the key in hex.
    pub digest: String,
    /// What it may do.
    pub permissions: Vec<String>,
    /// Origins of web pages that it may be used from.
    pub allowed_origins: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// How often it may be used; `None` for as often as any other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<KeyRate>,
}

/// How often a key may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeyRate {
    /// Requests per second in the long run, at least 1.
    pub per_second: u32,
    /// Requests that may come at once, at least 1.
    pub burst: u32,
}

impl KeyRate {
    /// The limit; none of what is no rate at all.
    pub(super) fn limit(self) -> Option<RateLimit> {
        Some(RateLimit {
            per_second: NonZeroU32::new(self.per_second)?,
            burst: NonZeroU32::new(self.burst)?,
        })
    }
}

/// Everything that is configured, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Definitions {
    /// Relayers.
    pub relayers: Vec<RelayerDef>,
    /// Signers.
    pub signers: Vec<SignerDef>,
    /// Notifications.
    pub notifications: Vec<NotificationDef>,
    /// Networks, also those that no relayer uses.
    pub networks: Vec<NetworkDef>,
}

impl Definitions {
    /// A network by its name.
    pub fn network(&self, name: &str) -> Option<&NetworkDef> {
        find(&self.networks, name)
    }

    /// A signer by its id.
    pub fn signer(&self, id: &str) -> Option<&SignerDef> {
        find(&self.signers, id)
    }

    /// A relayer by its id.
    pub fn relayer(&self, id: &str) -> Option<&RelayerDef> {
        find(&self.relayers, id)
    }

    /// A notification by its id.
    pub fn notification(&self, id: &str) -> Option<&NotificationDef> {
        find(&self.notifications, id)
    }
}

fn find<'a, T: Definition>(all: &'a [T], id: &str) -> Option<&'a T> {
    all.iter().find(|one| one.id() == id)
}

impl From<&NodeDef> for Endpoint {
    fn from(node: &NodeDef) -> Self {
        Self {
            url: node.url.clone(),
            weight: node.weight,
            ws_url: node.ws_url.clone(),
        }
    }
}

impl From<&Endpoint> for NodeDef {
    fn from(endpoint: &Endpoint) -> Self {
        Self {
            url: endpoint.url.clone(),
            weight: endpoint.weight,
            ws_url: endpoint.ws_url.clone(),
        }
    }
}

impl NodeDef {
    /// Scheme and host: what may be shown of it.
    pub fn origin(&self) -> String {
        origin(&self.url)
    }
}

/// Scheme and host of a URL: what may be shown of one that may hold an access key.
pub fn origin(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return String::new();
    };
    // A backslash is read as a slash by those who follow the URL.
    let authority = rest.split(['/', '\\', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}")
}

impl fmt::Debug for NodeDef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeDef")
            .field("origin", &self.origin())
            .field("weight", &self.weight)
            .field("has_ws_url", &self.ws_url.is_some())
            .finish()
    }
}

impl fmt::Debug for SignerDef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignerDef")
            .field("id", &self.id)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

impl Definition for RelayerDef {
    const PREFIX: &'static str = "r/";
    const WHAT: &'static str = "relayer";

    fn id(&self) -> &str {
        self.id.as_str()
    }

    fn is_secret(&self) -> bool {
        false
    }
}

impl Definition for SignerDef {
    const PREFIX: &'static str = "s/";
    const WHAT: &'static str = "signer";

    fn id(&self) -> &str {
        &self.id
    }

    fn is_secret(&self) -> bool {
        self.config.is_some()
    }
}

impl Definition for NotificationDef {
    const PREFIX: &'static str = "n/";
    const WHAT: &'static str = "notification";

    fn id(&self) -> &str {
        &self.id
    }

    fn is_secret(&self) -> bool {
        self.signing_key.is_some()
    }
}

impl Definition for NetworkDef {
    const PREFIX: &'static str = "w/";
    const WHAT: &'static str = "network";

    fn id(&self) -> &str {
        &self.profile.name
    }

    fn is_secret(&self) -> bool {
        false
    }

    /// The facts about a chain change with releases; that must not undo what was said of its nodes.
    fn says_same(&self, before: &Self) -> bool {
        self.nodes == before.nodes
    }

    fn changed(&self, now: &Self) -> Self {
        Self {
            nodes: now.nodes.clone(),
            ..self.clone()
        }
    }
}

impl Record for ApiKeyDef {
    const WHAT: &'static str = "API key";
}

/// Secrets as the store holds them: sealed by the store, if it seals.
mod exposed {
    use super::{Deserialize, Deserializer, Secret, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(
        secret: &Option<Secret>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        secret.as_ref().map(Secret::expose).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Secret>, D::Error> {
        Option::<Secret>::deserialize(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_key_is_not_shown() {
        for (url, shown) in [
            (
                "https://user:pass@node.example/v3/abcdef?key=1",
                "https://node.example",
            ),
            (
                "https://node.example:8545?key=1",
                "https://node.example:8545",
            ),
            ("https://a@b@node.example", "https://node.example"),
            ("wss://node.example\\abcdef", "wss://node.example"),
            ("https://node.example#abcdef", "https://node.example"),
            ("abcdef", ""),
        ] {
            assert_eq!(origin(url), shown, "{url}");
        }
        let node = NodeDef {
            url: "https://node.example/abcdef".to_owned(),
            weight: 1,
            ws_url: Some("wss://node.example/abcdef".to_owned()),
        };
        assert!(!format!("{node:?}").contains("abcdef"));
    }
}
