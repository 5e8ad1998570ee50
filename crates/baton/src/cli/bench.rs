//! The arguments of `baton bench`.

use std::path::PathBuf;

use baton_vault::Secret;
use clap::{Args, ValueEnum};

use super::secret;

/// `baton bench`.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct BenchArgs {
    /// What to measure.
    #[command(flatten)]
    pub load: LoadArgs,
    /// What to survive.
    #[command(flatten)]
    pub scenario: ScenarioArgs,
    /// A relayer that runs already; without it, Baton is measured on a node and a store of its own.
    #[command(flatten)]
    pub other: OtherArgs,
    /// Where results go.
    #[command(flatten)]
    pub output: OutputArgs,
}

const EXAMPLES: &str = "\
Examples:
  baton bench                                        direct, 100, 200 and 400 a second
  baton bench --rates 500,1000 --svg load.svg --markdown load.md --json load.json
  baton bench --search --proxy-delay 0,25            highest rate that is kept up with, twice
  baton bench --open 10000                           memory and restart with 10,000 open transactions
  baton bench --preset targets                       every figure that Baton commits to
  baton bench --null-node --rates 1000               the relayer alone: a node that costs nothing
  baton bench --preset fleet-figures                 what three instances on a shared Redis take and cost
  baton bench --scenario all --short                 every scenario S1 to S14 and F1 to F13, some seconds each
  baton bench --scenario S5,S8 --markdown bad.md     two of them for minutes
  baton bench --scenario fleet --seconds-max 10      F1 to F13: instances behind nginx, on a Redis that has troubles
  baton bench --scenario topology                    what is deployed, and a kill of each part of it: make fleet
  baton bench --url http://127.0.0.1:8080 --api-key KEY --relayer main \\
      --node http://127.0.0.1:8545 --proxy-port 8555 any relayer with the OpenZeppelin API,
                                                     with its rpc_urls set to http://127.0.0.1:8555

Each request is a transfer of 1 wei to an address of its own. Afterwards its balance says whether it was executed once,
not at all or twice; any loss or repetition ends the command with status 1. Latencies count from the moment a request
was due, so a relayer that falls behind cannot hide it.";

/// What to measure.
#[derive(Clone, Debug, Args)]
pub struct LoadArgs {
    /// Requests per second, one step each.
    #[arg(long, value_delimiter = ',', default_value = "100,200,400", value_name = "RATE,…",
        value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub rates: Vec<u32>,
    /// Look for the highest rate that is kept up with, from the first of --rates on (with a direct run, from 35 % of
    /// it on).
    #[arg(long)]
    pub search: bool,
    /// A step keeps up if nothing is refused and 99 % are mined within so many milliseconds of being due.
    #[arg(long, default_value_t = 5000, value_name = "MS",
        value_parser = clap::value_parser!(u32).range(1..=600_000))]
    pub mined_within: u32,
    /// Seconds of load before a step is measured.
    #[arg(long, default_value_t = 5, value_name = "S", value_parser = clap::value_parser!(u32).range(0..=600))]
    pub warm_up: u32,
    /// Seconds that a step is measured.
    #[arg(long, default_value_t = 20, value_name = "S", value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub measure: u32,
    /// Seconds that what was accepted may take to be mined once the load is over. What is not mined by then counts as
    /// lost.
    #[arg(long, default_value_t = 120, value_name = "S", value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub drain: u32,
    /// Connections to the relayer.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub connections: u16,
    /// Send no Idempotency-Key.
    #[arg(long)]
    pub no_idempotency_keys: bool,
    /// Give no gas limit, so that the relayer has to estimate it.
    #[arg(long)]
    pub estimate: bool,
    /// Round-trip times added between relayer and node, in milliseconds; all steps for each of them.
    #[arg(long, value_delimiter = ',', default_value = "0", value_name = "MS,…",
        value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub proxy_delay: Vec<u32>,
    /// Leave out the direct run, and with it the shares of the node's ceiling.
    #[arg(long)]
    pub no_direct: bool,
    /// Instead of steps: accept so many transactions while no block comes, look at memory, kill the relayer, restart
    /// it, and let everything be mined.
    #[arg(long, value_name = "COUNT", conflicts_with_all = ["url", "search", "null_node"],
        value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub open: Option<u32>,
    /// A set of runs with its own rates and times.
    #[arg(long, conflicts_with_all = ["url", "open", "search", "null_node"])]
    pub preset: Option<Preset>,
    /// Relayers that share the load (only without --url).
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub relayers: u16,
    /// Accounts of each relayer (only without --url).
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub accounts: u16,
    /// Unfinished nonces that an account may have (only without --url).
    #[arg(long, default_value_t = 16_384, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub in_flight: u32,
    /// Milliseconds between blocks (only without --url).
    #[arg(long, default_value_t = 1000, value_name = "MS",
        value_parser = clap::value_parser!(u32).range(50..=60_000))]
    pub block_time: u32,
    /// Use a node in this process that executes nothing and costs next to nothing, instead of anvil.
    #[arg(long, conflicts_with = "url")]
    pub null_node: bool,
    /// Directory for the store, to measure a certain disk; by default one for temporary files.
    #[arg(long, value_name = "DIR", conflicts_with = "url")]
    pub scratch: Option<PathBuf>,
    /// Number from which target addresses and keys are derived; by default a random one.
    #[arg(long)]
    pub seed: Option<u64>,
}

/// What to survive.
#[derive(Clone, Debug, Args)]
pub struct ScenarioArgs {
    /// Instead of steps: a load while node, chain, callers or the relayer's process misbehave, and whether everything
    /// was executed once all the same. S1 one sender; S2 a pool of 10; S3 a burst; S4 a dropped transaction; S5 lost
    /// answers; S6 stale counts; S7 outages; S8 SIGKILL and SIGTERM, 20 times each; S9 a fee spike; S10
    /// reorganisations; S11 a strict pool; S12 repeated posts; S13 an account without funds; S14 a soak. Three
    /// instances on a shared Redis: F1 behind nginx; F2 SIGKILL; F3 a rolling restart; F4 Redis killed, and without its
    /// last second; F5 Redis empty; F6 Sentinel's failover; F7 a cluster's failover; F8 slots that move; F9 full
    /// memory; F10 pauses; F11 a slow wire; F12 floods; F13 a partition. `fleet` names F1 to F13; `topology` is what
    /// `make fleet` plays.
    #[arg(long, value_delimiter = ',', value_enum, ignore_case = true, hide_possible_values = true,
        value_name = "NAME,…",
        conflicts_with_all = ["url", "open", "search", "null_node", "preset", "rates", "warm_up", "measure"])]
    pub scenario: Vec<ScenarioName>,
    /// Seconds of load instead of minutes, and a block every 250 ms.
    #[arg(long, requires = "scenario")]
    pub short: bool,
    /// Most seconds of load, and of each trouble.
    #[arg(long, requires = "scenario", value_name = "S", value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub seconds_max: Option<u32>,
    /// Requests per second, instead of each scenario's own.
    #[arg(long, requires = "scenario", value_name = "RATE", value_parser = clap::value_parser!(u32).range(1..=5000))]
    pub scenario_rate: Option<u32>,
}

/// A scenario, or several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "verbatim")]
#[expect(
    missing_docs,
    reason = "the names of a table; `--help` says what they are"
)]
pub enum ScenarioName {
    #[value(name = "all")]
    All,
    #[value(name = "fleet")]
    Fleet,
    #[value(name = "topology")]
    Topology,
    S1,
    S2,
    S3,
    S4,
    S5,
    S6,
    S7,
    S8,
    #[value(name = "S8-kill")]
    S8Kill,
    #[value(name = "S8-term")]
    S8Term,
    S9,
    S10,
    S11,
    S12,
    S13,
    S14,
    F1,
    F2,
    F3,
    F4,
    #[value(name = "F4-kill")]
    F4Kill,
    #[value(name = "F4-cut")]
    F4Cut,
    F5,
    F6,
    F7,
    F8,
    F9,
    F10,
    F11,
    F12,
    F13,
}

/// What has an instance of its own.
const ONE_INSTANCE: [ScenarioName; 15] = [
    ScenarioName::S1,
    ScenarioName::S2,
    ScenarioName::S3,
    ScenarioName::S4,
    ScenarioName::S5,
    ScenarioName::S6,
    ScenarioName::S7,
    ScenarioName::S8Kill,
    ScenarioName::S8Term,
    ScenarioName::S9,
    ScenarioName::S10,
    ScenarioName::S11,
    ScenarioName::S12,
    ScenarioName::S13,
    ScenarioName::S14,
];

/// What has several on a shared store.
const FLEETS: [ScenarioName; 14] = [
    ScenarioName::F1,
    ScenarioName::F2,
    ScenarioName::F3,
    ScenarioName::F4Kill,
    ScenarioName::F4Cut,
    ScenarioName::F5,
    ScenarioName::F6,
    ScenarioName::F7,
    ScenarioName::F8,
    ScenarioName::F9,
    ScenarioName::F10,
    ScenarioName::F11,
    ScenarioName::F12,
    ScenarioName::F13,
];

impl ScenarioName {
    /// The scenarios that some names stand for, each name for one.
    pub fn expanded(names: &[Self]) -> Vec<Self> {
        names.iter().flat_map(|name| name.each()).collect()
    }

    fn each(self) -> Vec<Self> {
        let several = [
            (Self::All, [&ONE_INSTANCE[..], &FLEETS].concat()),
            (Self::Fleet, FLEETS.to_vec()),
            (Self::S8, vec![Self::S8Kill, Self::S8Term]),
            (Self::F4, vec![Self::F4Kill, Self::F4Cut]),
        ];
        let found = several.into_iter().find(|(name, _)| *name == self);
        found.map_or_else(|| vec![self], |(_, names)| names)
    }
}

/// A set of runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// Every figure that Baton commits to, beside its target.
    Targets,
    /// What several instances on a shared Redis take and cost.
    FleetFigures,
}

/// A relayer that runs already.
#[derive(Clone, Debug, Args)]
pub struct OtherArgs {
    /// Its address, without /api/v1.
    #[arg(long, requires_all = ["api_key", "relayer", "node"])]
    pub url: Option<String>,
    /// Its API key.
    #[arg(long, requires = "url", value_parser = secret)]
    pub api_key: Option<Secret>,
    /// Id of a relayer of it; several share the load.
    #[arg(long, requires = "url", value_name = "ID")]
    pub relayer: Vec<String>,
    /// The node that says what was mined. Use one that the relayer sends to.
    #[arg(long, requires = "url", value_name = "URL")]
    pub node: Option<String>,
    /// Listen here and pass everything on to --node. A relayer that uses this address as its node shows its broadcasts
    /// and calls.
    #[arg(long, requires = "url", value_name = "PORT")]
    pub proxy_port: Option<u16>,
    /// Its process, to look at its memory and processor time.
    #[arg(long, requires = "url")]
    pub pid: Option<u32>,
    /// Load a relayer or use a node on another machine. Every request spends the relayer's funds.
    #[arg(long, requires = "url")]
    pub allow_remote: bool,
}

/// Where results go, beside the terminal.
#[derive(Clone, Debug, Args)]
pub struct OutputArgs {
    /// Write everything that was measured.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write the tables.
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
    /// Write a plot of latencies and rates.
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_for_their_scenarios() {
        let all = ScenarioName::expanded(&[ScenarioName::All]);
        // Every name but those that stand for several.
        assert_eq!(all.len(), ScenarioName::value_variants().len() - 5);
        assert_eq!(all[0], ScenarioName::S1);
        let fleet = ScenarioName::expanded(&[ScenarioName::Fleet]);
        assert_eq!(fleet, all[all.len() - fleet.len()..]);
        let some = ScenarioName::expanded(&[ScenarioName::S9, ScenarioName::S8]);
        let expected = [ScenarioName::S9, ScenarioName::S8Kill, ScenarioName::S8Term];
        assert_eq!(some, expected);
    }
}
