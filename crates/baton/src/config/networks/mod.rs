//! Networks: Baton's own, overlaid by name with the operator's.

mod draft;
mod read;

use std::collections::BTreeMap;
use std::sync::Arc;

use draft::Draft;

use super::endpoint::Access;
use super::json::Node;
use super::report::{Problem, Report};
use super::settings::Network;

pub(crate) use read::{FIELDS, Source};

const BUILT_IN: &str = include_str!("../../../../chain/networks/evm.toml");
/// Longest chain of `from`: deeper is hard to follow, and far from what configurations do.
const FROM_DEPTH_MAX: usize = 8;

/// Networks by name; one that is broken is kept without content, so that its users are not blamed.
pub(crate) type Networks = BTreeMap<String, Option<Arc<Network>>>;

/// Reads the operator's networks from where the `networks` field says, and lays them over Baton's own.
pub(crate) fn networks(
    source: &Source,
    field: Option<&Node>,
    access: &Access,
    report: &mut Report,
) -> Networks {
    let built_in = built_in();
    let written = read::drafts(source, field, access, report);
    let mut networks = Networks::new();
    for (name, draft) in &built_in {
        if !written.contains_key(name) {
            networks.insert(name.clone(), draft.network(report).map(Arc::new));
        }
    }
    for (name, draft) in &written {
        let network = inherited(draft, &written, &built_in, report)
            .and_then(|draft| draft.network(report))
            .map(Arc::new);
        networks.insert(name.clone(), network);
    }
    networks
}

/// Baton's own networks, with their one level of `base` resolved.
fn built_in() -> BTreeMap<String, Draft> {
    let written: BTreeMap<String, Draft> =
        toml::from_str(BUILT_IN).expect("the networks that Baton carries are well formed");
    written
        .iter()
        .map(|(name, draft)| {
            let mut draft = draft.clone();
            if let Some(base) = draft.base.take() {
                let base = written.get(&base).filter(|base| base.base.is_none());
                draft.inherit(base.expect("a base exists and has no base itself"));
            }
            draft.name.clone_from(name);
            draft.place = format!("network {name}");
            (name.clone(), draft)
        })
        .collect()
}

/// A network with everything that it takes from others: first from its `from`, then from Baton's own of that name.
fn inherited(
    draft: &Draft,
    written: &BTreeMap<String, Draft>,
    built_in: &BTreeMap<String, Draft>,
    report: &mut Report,
) -> Option<Draft> {
    let mut whole = draft.clone();
    let mut path = vec![draft.name.as_str()];
    let mut child = draft;
    while let Some(from) = child.base.as_deref() {
        path.push(from);
        if path[..path.len() - 1].contains(&from) {
            let problem = Problem::new(format!("{}.from", draft.place), "must not form a circle");
            report.add(problem.found(path.join(" -> ")));
            return None;
        }
        if path.len() > FROM_DEPTH_MAX {
            let rule = format!("must not be longer than {FROM_DEPTH_MAX} networks");
            report
                .add(Problem::new(format!("{}.from", draft.place), rule).found(path.join(" -> ")));
            return None;
        }
        let Some(parent) = written.get(from).or_else(|| built_in.get(from)) else {
            let names = written.keys().chain(built_in.keys()).map(String::as_str);
            let problem =
                Problem::new(format!("{}.from", child.place), "must name a known network");
            // The owner of the broken `from` reports it once, when its own turn comes.
            if child.name == draft.name {
                report.add(problem.found(format!("{from:?}")).meant(from, names));
            }
            return None;
        };
        whole.inherit(parent);
        child = parent;
    }
    let same_name = built_in.get(&draft.name);
    if let Some(own) = same_name.filter(|_| draft.base.is_none()) {
        whole.inherit(own);
    }
    let same_chain = built_in.values().find(|own| own.chain_id == whole.chain_id);
    if let Some(own) = same_name.or(same_chain) {
        whole.inherit_limits(own);
    }
    Some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use baton_model::Mempool;

    fn all() -> Networks {
        let mut report = Report::default();
        let networks = networks(
            &Source::default(),
            Some(&Node::List(Vec::new())),
            &Access::default(),
            &mut report,
        );
        assert_eq!(report, Report::default());
        networks
    }

    #[test]
    fn own_networks_are_complete() {
        let networks = all();
        assert_eq!(networks.len(), 58);
        for (name, network) in &networks {
            let network = network
                .as_ref()
                .unwrap_or_else(|| panic!("{name} is incomplete"));
            assert_eq!(&network.profile.name, name);
            assert!(network.profile.in_flight_max >= 16, "{name}");
        }
    }

    #[test]
    fn own_networks_keep_their_numbers() {
        let networks = all();
        let facts = |name: &str| {
            let profile = &networks[name].as_ref().unwrap().profile;
            (
                profile.chain_id,
                profile.required_confirmations,
                profile.average_block_time_ms,
            )
        };
        for (name, expected) in [
            ("mainnet", (1, 12, 12000)),
            ("sepolia", (11_155_111, 6, 12000)),
            ("arbitrum-sepolia", (421_614, 1, 260)),
            ("base", (8453, 1, 2000)),
            ("unichain", (130, 1, 1000)),
            ("polygon", (137, 1, 2100)),
            ("polkadot-hub", (420_420_419, 6, 2400)),
            ("polkadot-hub-testnet", (420_420_422, 2, 6000)),
            ("localhost-anvil-docker", (31_337, 1, 1000)),
        ] {
            assert_eq!(facts(name), expected, "{name}");
        }
    }

    #[test]
    fn tags_become_behaviour() {
        let networks = all();
        let profile = |name: &str| networks[name].as_ref().unwrap().profile.clone();
        assert_eq!(profile("arbitrum-nova").mempool, Mempool::None);
        assert_eq!(profile("mainnet").mempool, Mempool::Public);
        assert!(profile("base-sepolia").l1_data_fee);
        assert!(!profile("arbitrum-one").l1_data_fee);
        assert!(!profile("binance-smart-chain").eip1559);
        assert!(!profile("zk-sync").eip1559);
        assert!(profile("sepolia").eip1559);
        assert_eq!(profile("zk-sync-testnet").nonce_window, Some(50));
        assert_eq!(profile("localhost-anvil").in_flight_max, 4096);
        assert_eq!(profile("mainnet").in_flight_max, 16);
    }
}
