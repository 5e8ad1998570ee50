//! Addresses of nodes, and which of them may be used.

use std::net::IpAddr;

use baton_chain::Endpoint;
use url::{Host, Url};

use super::fields::{Fields, Mismatch, items_of, whole};
use super::json::Node;
use super::report::{Problem, Report};
use super::settings::Rpc;

/// Most endpoints of one network: every broadcast goes to all of them.
const ENDPOINTS_MAX: usize = 32;
/// Cloud metadata services hand out credentials; no node is there.
const METADATA_HOSTS: &[&str] = &["metadata.google.internal", "metadata"];
const METADATA_ADDRESSES: &[&str] = &["169.254.169.254", "100.100.100.200", "fd00:ec2::254"];

/// Which nodes may be used.
#[derive(Clone, Debug, Default)]
pub(crate) struct Access {
    pub(crate) allowed_hosts: Vec<String>,
    pub(crate) block_private_ips: bool,
}

impl Access {
    /// As the settings say.
    pub(crate) fn new(rpc: &Rpc) -> Self {
        Self {
            allowed_hosts: rpc.allowed_hosts.clone(),
            block_private_ips: rpc.block_private_ips,
        }
    }

    /// Reads a list of nodes: strings, or objects with `url`, `weight` and `ws_url`.
    pub(crate) fn endpoints(
        &self,
        place: &str,
        node: &Node,
        report: &mut Report,
    ) -> Option<Vec<Endpoint>> {
        let Node::List(items) = node else {
            let rule = "must be a list of URLs or of objects with url and weight";
            report.add(Mismatch::hidden(rule, node).at(place));
            return None;
        };
        if items.len() > ENDPOINTS_MAX {
            let problem = Problem::new(place, format!("must have at most {ENDPOINTS_MAX} entries"));
            report.add(problem.found(items.len()));
        }
        let endpoints: Vec<Endpoint> = items_of(place, items)
            .into_iter()
            .filter_map(|(place, item)| self.endpoint(&place, item, report))
            .collect();
        let complete = endpoints.len() == items.len();
        if complete && !endpoints.iter().any(is_usable) {
            let rule = "must have an http or https URL with a weight above 0";
            report.problem(place, rule);
        }
        Some(endpoints)
    }

    /// Checks that a URL may be used for a node.
    ///
    /// # Errors
    /// The rule that it breaks; no more than its host is repeated.
    pub(crate) fn check(&self, text: &str) -> Result<(), String> {
        let told = |mismatch: Mismatch| mismatch.at("").rule;
        let url = parse_url(text, &["http", "https", "ws", "wss"]).map_err(told)?;
        self.check_host(&url).map_err(told)
    }

    fn endpoint(&self, place: &str, item: &Node, report: &mut Report) -> Option<Endpoint> {
        const ANY: &[&str] = &["http", "https", "ws", "wss"];
        if let Node::Text(_) = item {
            let url = self.url(item, ANY);
            return match url {
                Ok(url) => Some(Endpoint::new(url)),
                Err(mismatch) => {
                    report.add(mismatch.at(place));
                    None
                }
            };
        }
        let fields = Fields::open(place, item, &["url", "weight", "ws_url"], report)?;
        let url = fields.required("url", report, |node| self.url(node, ANY));
        let weight = fields.optional("weight", report, whole(0, 100));
        let ws_url = fields.optional("ws_url", report, |node| self.url(node, &ANY[2..]));
        let mut endpoint = Endpoint::new(url?);
        if let Some(weight) = weight.and_then(|weight| u8::try_from(weight).ok()) {
            endpoint.weight = weight;
        }
        endpoint.ws_url = ws_url;
        Some(endpoint)
    }

    fn url(&self, node: &Node, schemes: &[&str]) -> Result<String, Mismatch> {
        let Node::Text(text) = node else {
            return Err(Mismatch::hidden("must be a URL", node));
        };
        let url = parse_url(text, schemes)?;
        self.check_host(&url)?;
        Ok(text.clone())
    }

    fn check_host(&self, url: &Url) -> Result<(), Mismatch> {
        let shown = url.host_str().unwrap_or_default();
        let refused = |why: &str| Err(Mismatch::bare(format!("host {shown} {why}")));
        let address = match url.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(address.to_canonical()),
            Some(Host::Domain(_)) | None => None,
        };
        if METADATA_HOSTS.contains(&shown) || address.is_some_and(is_metadata) {
            return refused("is a cloud metadata service");
        }
        if address.is_some_and(|address| address.is_unspecified()) {
            return refused("is the unspecified address");
        }
        let allowed = &self.allowed_hosts;
        if !allowed.is_empty() && !allowed.iter().any(|host| host.eq_ignore_ascii_case(shown)) {
            return refused("is not in RPC_ALLOWED_HOSTS");
        }
        if self.block_private_ips && is_private(url) {
            return refused("is private, and RPC_BLOCK_PRIVATE_IPS is true");
        }
        Ok(())
    }
}

/// Reads a URL. No part of it but the scheme is repeated in the error.
pub(crate) fn parse_url(text: &str, schemes: &[&str]) -> Result<Url, Mismatch> {
    let url = Url::parse(text).map_err(|error| Mismatch::bare(format!("is not a URL: {error}")))?;
    if !schemes.contains(&url.scheme()) {
        return Err(Mismatch::bare(format!(
            "must begin with {}://, found {}:",
            schemes.join(":// or "),
            url.scheme()
        )));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(Mismatch::bare("is a URL without a host"));
    }
    Ok(url)
}

fn is_usable(endpoint: &Endpoint) -> bool {
    endpoint.weight > 0 && endpoint.url.to_ascii_lowercase().starts_with("http")
}

fn is_metadata(address: IpAddr) -> bool {
    METADATA_ADDRESSES
        .iter()
        .any(|known| known.parse() == Ok(address))
}

/// Whether a URL names this host or a private address.
pub(crate) fn is_private(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => is_private_address(IpAddr::V4(address)),
        Some(Host::Ipv6(address)) => is_private_address(address.to_canonical()),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

fn is_private_address(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private() || v4.is_loopback() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}
