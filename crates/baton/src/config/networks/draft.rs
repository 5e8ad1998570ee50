//! A network as it was written, with gaps, and how the gaps are filled.

use baton_chain::Endpoint;
use baton_model::{ChainProfile, Mempool};
use serde::Deserialize;

use crate::config::report::Report;
use crate::config::settings::Network;

/// What geth guarantees to one account while its pool is full, and so safe wherever nothing else is known.
const IN_FLIGHT_DEFAULT: u32 = 16;

/// A network with gaps.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Draft {
    #[serde(skip)]
    pub(super) name: String,
    /// Where it was written.
    #[serde(skip)]
    pub(super) place: String,
    /// What fills its gaps.
    pub(super) base: Option<String>,
    pub(super) chain_id: Option<u64>,
    pub(super) required_confirmations: Option<u64>,
    pub(super) average_blocktime_ms: Option<u64>,
    pub(super) is_testnet: Option<bool>,
    pub(super) symbol: Option<String>,
    pub(super) features: Option<Vec<String>>,
    pub(super) tags: Option<Vec<String>>,
    pub(super) in_flight_max: Option<u32>,
    pub(super) nonce_window: Option<u32>,
    #[serde(default, deserialize_with = "plain_urls")]
    pub(super) rpc_urls: Option<Vec<Endpoint>>,
    #[serde(skip)]
    pub(super) explorer_urls: Option<Vec<String>>,
    /// Whether a field that had to be complete was already reported as wrong.
    #[serde(skip)]
    pub(super) broken: bool,
}

impl Draft {
    /// Fills the gaps: single values and URLs from the parent unless given, lists of words joined.
    pub(super) fn inherit(&mut self, parent: &Self) {
        self.chain_id = self.chain_id.or(parent.chain_id);
        self.required_confirmations = self
            .required_confirmations
            .or(parent.required_confirmations);
        self.average_blocktime_ms = self.average_blocktime_ms.or(parent.average_blocktime_ms);
        self.is_testnet = self.is_testnet.or(parent.is_testnet);
        fill(&mut self.symbol, &parent.symbol);
        fill(&mut self.rpc_urls, &parent.rpc_urls);
        fill(&mut self.explorer_urls, &parent.explorer_urls);
        join(&mut self.features, parent.features.as_deref());
        join(&mut self.tags, parent.tags.as_deref());
        self.inherit_limits(parent);
        self.broken |= parent.broken;
    }

    /// Fills only the gaps that OpenZeppelin Relayer's network files cannot fill.
    pub(super) fn inherit_limits(&mut self, own: &Self) {
        self.in_flight_max = self.in_flight_max.or(own.in_flight_max);
        self.nonce_window = self.nonce_window.or(own.nonce_window);
    }

    /// The network, if no gap is left. Reports the gaps.
    pub(super) fn network(&self, report: &mut Report) -> Option<Network> {
        let mut needed = |name: &str, value: Option<u64>| {
            if value.is_none() && !self.broken {
                let rule = "must be given, here or in the network it is `from`";
                report.problem(format!("{}.{name}", self.place), rule);
            }
            value
        };
        let chain_id = needed("chain_id", self.chain_id);
        let confirmations = needed("required_confirmations", self.required_confirmations);
        let block_time = needed("average_blocktime_ms", self.average_blocktime_ms);
        let tags = self.tags.clone().unwrap_or_default();
        let features = self.features.clone().unwrap_or_default();
        let tagged = |tag: &str| tags.iter().any(|own| own == tag);
        let profile = ChainProfile {
            name: self.name.clone(),
            chain_id: chain_id?,
            required_confirmations: confirmations?,
            average_block_time_ms: block_time?,
            eip1559: features.iter().any(|feature| feature == "eip1559"),
            symbol: self.symbol.clone().unwrap_or_else(|| "ETH".to_owned()),
            is_testnet: self.is_testnet.unwrap_or(false),
            mempool: if tagged("no-mempool") {
                Mempool::None
            } else {
                Mempool::Public
            },
            in_flight_max: self.in_flight_max.unwrap_or(IN_FLIGHT_DEFAULT),
            nonce_window: self.nonce_window,
            l1_data_fee: tagged("optimism-based"),
            tags,
        };
        Some(Network {
            profile,
            endpoints: self.rpc_urls.clone().unwrap_or_default(),
            explorer_urls: self.explorer_urls.clone().unwrap_or_default(),
            features,
        })
    }
}

fn fill<T: Clone>(own: &mut Option<T>, parent: &Option<T>) {
    if own.is_none() {
        own.clone_from(parent);
    }
}

fn join(own: &mut Option<Vec<String>>, parent: Option<&[String]>) {
    let Some(parent) = parent else { return };
    let words = own.get_or_insert_default();
    for word in parent {
        if !words.contains(word) {
            words.push(word.clone());
        }
    }
}

fn plain_urls<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<Endpoint>>, D::Error> {
    let urls = Vec::<String>::deserialize(deserializer)?;
    Ok(Some(urls.into_iter().map(Endpoint::new).collect()))
}
