//! What a bench does, from its arguments.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use baton_vault::Secret;

use crate::cli::{BenchArgs, OtherArgs};

/// Chain id of the bench's own nodes.
pub(super) const CHAIN_ID: u64 = 31_337;

/// No block is ever full, for the node's speed is to be the ceiling.
const GAS_LIMIT: u64 = 10_000_000_000;
/// Baton's own default.
const RPC_TIMEOUT: Duration = Duration::from_secs(10);

/// What holds for every step.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) warm_up: Duration,
    pub(super) measure: Duration,
    /// How soon 99 % of a step's requests have to be mined.
    pub(super) mined_within: Duration,
    /// How long what was accepted may take to be mined once the load is over.
    pub(super) drain: Duration,
    pub(super) connections: u16,
    pub(super) idempotency_keys: bool,
    pub(super) estimate: bool,
    pub(super) subject: Subject,
}

/// Which relayer is measured.
#[derive(Clone, Debug)]
pub(super) enum Subject {
    /// Baton, with everything it needs.
    Own(Own),
    /// One that runs already.
    Other(Other),
}

/// Baton, started for the bench.
#[derive(Clone, Debug)]
pub(super) struct Own {
    pub(super) relayers: u16,
    /// Of each relayer.
    pub(super) accounts: u16,
    pub(super) in_flight: u32,
    /// Blocks on top of a transaction's own after which it is final.
    pub(super) confirmations: u32,
    /// The relayer's longest wait for an answer of its node.
    pub(super) rpc_timeout: Duration,
    pub(super) node: OwnNode,
    /// Gas of a block.
    pub(super) gas_limit: u64,
    pub(super) scratch: Option<PathBuf>,
    /// Several instances, instead of one on an embedded store.
    pub(super) fleet: Option<Fleet>,
}

/// Instances of Baton on a store that they share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fleet {
    pub(super) instances: u16,
    pub(super) store: SharedKind,
    /// Further lines in the configuration of each of the store's servers.
    pub(super) lines: &'static [&'static str],
    pub(super) entry: Entry,
    /// What a wire of its own adds to each instance's round trips to the store; `None` without
    /// wires.
    pub(super) wire: Option<Duration>,
    /// How long an instance that ends still takes connections; `None` for the default.
    pub(super) drain_delay: Option<Duration>,
}

/// What the store's servers are to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SharedKind {
    /// One.
    Alone,
    /// A master with two replicas behind three sentinels.
    Sentinel,
    /// Three masters with a replica each.
    Cluster,
}

/// Where callers go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// To nginx, with the configuration of `deploy/`.
    Nginx,
    /// To all instances in turn.
    Instances,
}

/// Which node is started, and when it makes blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OwnNode {
    /// Anvil, by the clock.
    Anvil(Duration),
    /// Anvil, on request only.
    Paused,
    /// The node that executes nothing, by the clock.
    Null(Duration),
}

/// A relayer that runs already.
#[derive(Clone, Debug)]
pub(super) struct Other {
    pub(super) url: String,
    pub(super) api_key: Secret,
    pub(super) relayers: Vec<String>,
    pub(super) node: String,
    pub(super) proxy_port: Option<u16>,
    pub(super) pid: Option<u32>,
}

impl Plan {
    /// # Errors
    /// An argument that breaks a rule, the rule and the value.
    pub(super) fn new(arguments: &BenchArgs) -> Result<Self> {
        let load = &arguments.load;
        let milliseconds = |number: u32| Duration::from_millis(u64::from(number));
        let seconds = |number: u32| Duration::from_secs(u64::from(number));
        let block_time = milliseconds(load.block_time);
        let own = Own {
            relayers: load.relayers,
            accounts: load.accounts,
            in_flight: load.in_flight,
            confirmations: 1,
            rpc_timeout: RPC_TIMEOUT,
            node: if load.null_node {
                OwnNode::Null(block_time)
            } else {
                OwnNode::Anvil(block_time)
            },
            gas_limit: GAS_LIMIT,
            scratch: load.scratch.clone(),
            fleet: None,
        };
        let count = load.relayers * load.accounts;
        ensure!(
            !load.null_node || count == 1,
            "--null-node knows one account; --relayers {} with --accounts {} make {count}",
            load.relayers,
            load.accounts
        );
        Ok(Self {
            seed: load.seed.map_or_else(random_seed, Ok)?,
            warm_up: seconds(load.warm_up),
            measure: seconds(load.measure),
            mined_within: milliseconds(load.mined_within),
            drain: seconds(load.drain),
            connections: load.connections,
            idempotency_keys: !load.no_idempotency_keys,
            estimate: load.estimate,
            subject: match other(&arguments.other)? {
                Some(other) => Subject::Other(other),
                None => Subject::Own(own),
            },
        })
    }

    /// Least time between blocks, as far as it is known.
    pub(super) const fn block_time(&self) -> Duration {
        match &self.subject {
            Subject::Own(own) => match own.node {
                OwnNode::Anvil(time) | OwnNode::Null(time) => time,
                OwnNode::Paused => Duration::ZERO,
            },
            Subject::Other(_) => Duration::ZERO,
        }
    }

    /// The same on another node of its own.
    ///
    /// # Errors
    /// When the relayer runs already.
    pub(super) fn on(&self, node: OwnNode) -> Result<Self> {
        self.with(|own| own.node = node)
    }

    /// The same with another relayer of its own.
    ///
    /// # Errors
    /// When the relayer runs already.
    pub(super) fn with(&self, change: impl FnOnce(&mut Own)) -> Result<Self> {
        let mut plan = self.clone();
        let Subject::Own(own) = &mut plan.subject else {
            bail!("the bench starts nothing for a relayer that runs already (--url)");
        };
        change(own);
        Ok(plan)
    }
}

fn other(arguments: &OtherArgs) -> Result<Option<Other>> {
    let (Some(url), Some(api_key), Some(node)) =
        (&arguments.url, &arguments.api_key, &arguments.node)
    else {
        return Ok(None);
    };
    for (name, url) in [("--url", url), ("--node", node)] {
        let parsed = url::Url::parse(url).with_context(|| format!("{name} must be a URL"))?;
        ensure!(
            is_loopback(&parsed) || arguments.allow_remote,
            "{name} must be on this machine unless --allow-remote is given; its host is {:?}",
            parsed.host_str().unwrap_or_default()
        );
    }
    Ok(Some(Other {
        url: url.trim_end_matches('/').to_owned(),
        api_key: api_key.clone(),
        relayers: arguments.relayer.clone(),
        node: node.clone(),
        proxy_port: arguments.proxy_port,
        pid: arguments.pid,
    }))
}

fn is_loopback(url: &url::Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn random_seed() -> Result<u64> {
    let seed = getrandom::u64().context("no randomness from the operating system")?;
    // Short enough to type.
    Ok(seed % 1_000_000_000)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn plan(arguments: &[&str]) -> Result<Plan, String> {
        let all = [&["baton", "bench"], arguments].concat();
        let cli = Cli::try_parse_from(all).map_err(|error| error.to_string())?;
        let Command::Bench(arguments) = cli.command else {
            return Err("another command".into());
        };
        Plan::new(&arguments).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn what_cannot_be_measured_is_refused_with_its_reason() {
        let there = ["--api-key", "k", "--relayer", "main", "--node"];
        let other = |url, node| plan(&[&["--url", url], &there[..], &[node]].concat());
        for (found, expected) in [
            (plan(&["--rates", "0"]), "--rates"),
            (
                plan(&["--null-node", "--accounts", "2"]),
                "knows one account",
            ),
            (plan(&["--url", "http://127.0.0.1:1"]), "--api-key"),
            (plan(&["--open", "5", "--search"]), "--search"),
            (plan(&["--scenario", "S15"]), "S15"),
            (plan(&["--scenario", "s1", "--rates", "5"]), "--rates"),
            (plan(&["--short"]), "--scenario"),
            (
                plan(&["--scenario", "all", "--seconds-max", "0"]),
                "--seconds-max",
            ),
            (
                other("http://192.0.2.1", "http://localhost"),
                "--url must be on this machine",
            ),
            (
                other("http://[::1]:80", "http://example.com"),
                "host is \"example.com\"",
            ),
            (other("nowhere", "http://localhost"), "--url must be a URL"),
        ] {
            let text = found.map(|_| ()).unwrap_err();
            assert!(text.contains(expected), "{expected}: {text}");
        }
        assert!(plan(&["--scenario", "s8-kill,S14", "--short"]).is_ok());
        assert!(other("http://127.0.0.1:1/", "http://localhost:2").is_ok());
    }

    #[test]
    fn an_api_key_is_not_shown() {
        let plan = plan(&[
            "--url",
            "http://127.0.0.1:1",
            "--api-key",
            "hidden-key",
            "--relayer",
            "a",
            "--node",
            "http://127.0.0.1:2",
        ]);
        assert!(!format!("{:?}", plan.unwrap()).contains("hidden-key"));
    }
}
