//! The `relayers` section.

use std::collections::BTreeMap;
use std::sync::Arc;

use baton_model::{Address, EvmPolicy, RelayerId};

use super::endpoint::Access;
use super::fields::{Fields, Mismatch, boolean, text, wei};
use super::json::Node;
use super::networks::Networks;
use super::notifications::Notifications;
use super::report::{Problem, Report};
use super::settings::{Network, Relayer};
use super::signers::Signers;

pub(crate) const FIELDS: &[&str] = &[
    "id",
    "name",
    "network",
    "paused",
    "network_type",
    "signer_id",
    "signer_ids",
    "policies",
    "notification_id",
    "custom_rpc_urls",
];
pub(crate) const POLICY_FIELDS: &[&str] = &[
    "gas_price_cap",
    "whitelist_receivers",
    "eip1559_pricing",
    "private_transactions",
    "min_balance",
    "gas_limit_estimation",
    "include_revert_data",
];
/// Most accounts of one relayer: all of them are one lane's work.
const SIGNERS_MAX: usize = 1000;

/// What relayers refer to.
pub(crate) struct Known<'a> {
    pub(crate) networks: &'a Networks,
    /// Absent when the section could not be read, so that relayers are not blamed.
    pub(crate) signers: Option<&'a Signers>,
    pub(crate) notifications: &'a Notifications,
    pub(crate) access: &'a Access,
}

/// Reads all relayers, and checks what holds between them.
pub(crate) fn relayers(
    items: &[(String, &Node)],
    known: &Known<'_>,
    report: &mut Report,
) -> Vec<Relayer> {
    let mut seen = Seen::default();
    let relayers = items
        .iter()
        .filter_map(|(place, node)| {
            let fields = Fields::open(place, node, FIELDS, report)?;
            relayer(&fields, known, &mut seen, report)
        })
        .collect();
    if items.is_empty() {
        report.warn("relayers", "is empty: nothing can be relayed");
    }
    for id in known
        .signers
        .into_iter()
        .flat_map(Signers::keys)
        .filter(|id| !seen.signers.contains_key(*id))
    {
        report.warn("signers", format!("signer {id:?} is used by no relayer"));
    }
    relayers
}

/// What earlier relayers have taken.
#[derive(Default)]
struct Seen {
    /// Relayer ids, with their places.
    ids: BTreeMap<String, String>,
    /// Signer ids, with the chains they are used on and the relayers that do.
    signers: BTreeMap<String, Vec<(Option<u64>, String)>>,
}

fn relayer(
    fields: &Fields<'_>,
    known: &Known<'_>,
    seen: &mut Seen,
    report: &mut Report,
) -> Option<Relayer> {
    let id = fields.required("id", report, |node| {
        RelayerId::new(text(node)?).map_err(|error| Mismatch::shown(error.to_string(), node))
    });
    if let Some(id) = &id {
        let place = fields.place("id");
        if let Some(first) = seen.ids.get(id.as_str()) {
            let rule = format!("must differ from {first}");
            report.add(Problem::new(place, rule).found(format!("{:?}", id.as_str())));
        } else {
            seen.ids.insert(id.as_str().to_owned(), place);
        }
    }
    let name = fields.required("name", report, text);
    let is_evm = network_type(fields, report);
    let network = network(fields, known.networks, is_evm, report);
    let signer_ids = signer_ids(fields, known.signers, report);
    let shown = id
        .as_ref()
        .map_or_else(|| fields.place("id"), ToString::to_string);
    let chain = network.as_ref().map(|network| network.profile.chain_id);
    take_signers(fields, &signer_ids, chain, &shown, seen, report);
    let paused = fields.optional("paused", report, boolean);
    let policy = fields
        .node("policies")
        .filter(|_| is_evm)
        .and_then(|node| policy(&fields.place("policies"), node, report));
    let custom_rpc_urls = fields.node("custom_rpc_urls").and_then(|node| {
        known
            .access
            .endpoints(&fields.place("custom_rpc_urls"), node, report)
    });
    if let Some(network) = network
        .as_ref()
        .filter(|network| network.endpoints.is_empty())
        && fields.node("custom_rpc_urls").is_none()
    {
        let name = &network.profile.name;
        let rule = format!("must be given, for network {name:?} has no rpc_urls");
        report.problem(fields.place("custom_rpc_urls"), rule);
    }
    let notification_id = notification_id(fields, known.notifications, report);
    Some(Relayer {
        id: id?,
        name: name?,
        network: network?,
        paused: paused.unwrap_or(false),
        policy: policy.unwrap_or_default(),
        signer_ids,
        notification_id,
        custom_rpc_urls,
    })
}

fn network_type(fields: &Fields<'_>, report: &mut Report) -> bool {
    let Some(kind) = fields.required("network_type", report, text) else {
        return true;
    };
    let problem = Problem::new(fields.place("network_type"), "must be `evm`");
    match kind.as_str() {
        "evm" => return true,
        "solana" | "stellar" => {
            let rule = "only evm relayers are supported by this version";
            report.add(
                Problem {
                    rule: rule.to_owned(),
                    ..problem
                }
                .found(format!("{kind:?}")),
            );
        }
        other => report.add(problem.found(format!("{other:?}")).meant(other, ["evm"])),
    }
    false
}

fn network(
    fields: &Fields<'_>,
    networks: &Networks,
    is_evm: bool,
    report: &mut Report,
) -> Option<Arc<Network>> {
    let name = fields.required("network", report, text)?;
    if !is_evm {
        return None;
    }
    match networks.get(&name) {
        Some(network) => network.clone(),
        None => {
            let problem = Problem::new(fields.place("network"), "must name a known evm network");
            let names = networks.keys().map(String::as_str);
            report.add(problem.found(format!("{name:?}")).meant(&name, names));
            None
        }
    }
}

fn signer_ids(fields: &Fields<'_>, signers: Option<&Signers>, report: &mut Report) -> Vec<String> {
    let one = fields
        .node("signer_id")
        .map(|node| (fields.place("signer_id"), node));
    let many = fields.list("signer_ids", report);
    let items = match (one, many) {
        (Some(_), Some(_)) => {
            let rule = "must not be given together with signer_id";
            report.problem(fields.place("signer_ids"), rule);
            return Vec::new();
        }
        (None, None) => {
            if fields.node("signer_ids").is_none() {
                report.problem(fields.place("signer_id"), "must be given");
            }
            return Vec::new();
        }
        (Some(one), None) => vec![one],
        (None, Some(many)) => many,
    };
    if items.is_empty() || items.len() > SIGNERS_MAX {
        let rule = format!("must have 1 to {SIGNERS_MAX} entries");
        report.add(Problem::new(fields.place("signer_ids"), rule).found(items.len()));
    }
    let mut ids: Vec<String> = Vec::new();
    for (place, node) in items {
        match text(node) {
            Err(mismatch) => report.add(mismatch.at(&place)),
            Ok(id) if signers.is_some_and(|signers| !signers.contains_key(&id)) => {
                let problem = Problem::new(place, "must name a signer");
                let known = signers
                    .into_iter()
                    .flat_map(Signers::keys)
                    .map(String::as_str);
                report.add(problem.found(format!("{id:?}")).meant(&id, known));
            }
            Ok(id) if ids.contains(&id) => {
                let problem = Problem::new(place, "must not repeat a signer");
                report.add(problem.found(format!("{id:?}")));
            }
            Ok(id) => ids.push(id),
        }
    }
    ids
}

/// Two relayers that sign with one key on one chain would use the same nonces.
fn take_signers(
    fields: &Fields<'_>,
    ids: &[String],
    chain: Option<u64>,
    relayer: &str,
    seen: &mut Seen,
    report: &mut Report,
) {
    for id in ids {
        let uses = seen.signers.entry(id.clone()).or_default();
        let other = uses
            .iter()
            .find(|(used_on, _)| chain.is_some() && *used_on == chain);
        if let (Some((_, other)), Some(chain)) = (other, chain) {
            let field = if fields.node("signer_id").is_some() {
                "signer_id"
            } else {
                "signer_ids"
            };
            let rule = format!(
                "must not share a signer on chain {chain} with relayer {other}: they would use the \
                 same nonces"
            );
            report.add(Problem::new(fields.place(field), rule).found(format!("{id:?}")));
        }
        uses.push((chain, relayer.to_owned()));
    }
}

fn notification_id(
    fields: &Fields<'_>,
    notifications: &Notifications,
    report: &mut Report,
) -> Option<String> {
    let id = fields.optional("notification_id", report, text)?;
    if !notifications.contains_key(&id) {
        let place = fields.place("notification_id");
        let problem = Problem::new(place, "must name a notification");
        let known = notifications.keys().map(String::as_str);
        report.add(problem.found(format!("{id:?}")).meant(&id, known));
    }
    Some(id)
}

fn policy(place: &str, node: &Node, report: &mut Report) -> Option<EvmPolicy> {
    let fields = Fields::open(place, node, POLICY_FIELDS, report)?;
    let default = EvmPolicy::default();
    let cap = fields.optional("gas_price_cap", report, |node| match wei(node)? {
        0 => Err(Mismatch::bare("must be more than 0: nothing could be sent")),
        cap => Ok(cap),
    });
    let private = fields.optional("private_transactions", report, boolean);
    if private == Some(true) {
        report.warn(
            fields.place("private_transactions"),
            "has no effect: transactions go to the nodes that are configured",
        );
    }
    Some(EvmPolicy {
        gas_price_cap: cap,
        whitelist_receivers: addresses(&fields, report),
        eip1559_pricing: fields.optional("eip1559_pricing", report, boolean),
        private_transactions: private,
        min_balance: fields
            .optional("min_balance", report, wei)
            .unwrap_or(default.min_balance),
        gas_limit_estimation: fields
            .optional("gas_limit_estimation", report, boolean)
            .unwrap_or(default.gas_limit_estimation),
        include_revert_data: fields
            .optional("include_revert_data", report, boolean)
            .unwrap_or(default.include_revert_data),
    })
}

fn addresses(fields: &Fields<'_>, report: &mut Report) -> Option<Vec<Address>> {
    let items = fields.list("whitelist_receivers", report)?;
    let mut addresses = Vec::new();
    for (place, node) in items {
        let address = node
            .as_text()
            .filter(|text| text.starts_with("0x"))
            .and_then(|text| text.parse().ok());
        match address {
            Some(address) => addresses.push(address),
            None => {
                let rule = "must be an address: 0x and 40 hexadecimal digits";
                report.add(Mismatch::shown(rule, node).at(&place));
            }
        }
    }
    Some(addresses)
}
