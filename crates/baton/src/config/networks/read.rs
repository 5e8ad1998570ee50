//! The operator's networks: a list in the configuration file, or a directory of files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::draft::Draft;
use crate::config::endpoint::Access;
use crate::config::fields::{Fields, Mismatch, boolean, text, texts, whole};
use crate::config::file::read_json;
use crate::config::json::Node;
use crate::config::report::{Problem, Report};

pub(crate) const FIELDS: &[&str] = &[
    "type",
    "network",
    "from",
    "rpc_urls",
    "explorer_urls",
    "average_blocktime_ms",
    "is_testnet",
    "tags",
    "chain_id",
    "required_confirmations",
    "features",
    "symbol",
    "gas_price_cache",
    "in_flight_max",
    "nonce_window",
];
const TYPES: &[&str] = &["evm", "solana", "stellar"];
/// Most network files: each is opened at every start.
const FILES_MAX: usize = 1000;
/// Slowest chain: an hour to a block. A larger number is likely to be in another unit.
const BLOCK_TIME_MS_MAX: u64 = 3_600_000;
/// Deepest finality: more than a day on any chain that is carried.
const CONFIRMATIONS_MAX: u64 = 100_000;
/// Most unfinished nonces of one account: what one lane's state is built for.
const IN_FLIGHT_MAX: u64 = 65_536;

/// Where networks are looked for when the configuration file does not say: the first of these that is a directory.
#[derive(Default)]
pub(crate) struct Source {
    pub(crate) default_directories: Vec<PathBuf>,
}

/// The operator's EVM networks by name.
pub(super) fn drafts(
    source: &Source,
    field: Option<&Node>,
    access: &Access,
    report: &mut Report,
) -> BTreeMap<String, Draft> {
    let mut reader = Reader {
        access,
        drafts: BTreeMap::new(),
        others: Vec::new(),
    };
    match field {
        None => {
            let default = source.default_directories.iter().find(|path| path.is_dir());
            if let Some(directory) = default {
                reader.directory(directory, "networks", report);
            }
        }
        Some(Node::Text(directory)) => reader.directory(Path::new(directory), "networks", report),
        Some(Node::List(items)) => {
            for (place, item) in crate::config::fields::items_of("networks", items) {
                reader.network(&place, item, report);
            }
        }
        Some(other) => {
            let rule = "must be a list of networks or the path of a directory";
            report.add(Mismatch::hidden(rule, other).at("networks"));
        }
    }
    if !reader.others.is_empty() {
        let message = format!(
            "only evm networks are supported; not used: {}",
            reader.others.join(", ")
        );
        report.warn("networks", message);
    }
    reader.drafts
}

struct Reader<'a> {
    access: &'a Access,
    drafts: BTreeMap<String, Draft>,
    /// Networks of other types.
    others: Vec<String>,
}

impl Reader<'_> {
    fn directory(&mut self, directory: &Path, place: &str, report: &mut Report) {
        let files = match json_files(directory) {
            Ok(files) => files,
            Err(reason) => {
                let rule = format!("must be a readable directory: {reason}");
                report.add(Problem::new(place, rule).found(directory.display()));
                return;
            }
        };
        if files.is_empty() {
            let problem = Problem::new(place, "must be a directory with *.json files");
            report.add(problem.found(directory.display()));
        }
        for file in files.iter().take(FILES_MAX) {
            let Some(node) = read_json(file, report) else {
                continue;
            };
            let place = format!("{}: ", file.display());
            let Some(fields) = Fields::open(&place, &node, &["$schema", "networks"], report) else {
                continue;
            };
            if fields.node("networks").is_none() {
                report.problem(fields.place("networks"), "must be given");
            }
            for (place, item) in fields.list("networks", report).unwrap_or_default() {
                self.network(&place, item, report);
            }
        }
    }

    fn network(&mut self, place: &str, node: &Node, report: &mut Report) {
        if let Some(other) = other_network(node) {
            self.others.push(other);
            return;
        }
        let before = report.problems.len();
        let Some(fields) = Fields::open(place, node, FIELDS, report) else {
            return;
        };
        let kind = fields.required("type", report, text);
        if let Some(kind) = kind.filter(|kind| kind != "evm") {
            let problem = Problem::new(fields.place("type"), "must be `evm`");
            let known = TYPES.iter().copied();
            report.add(problem.found(format!("{kind:?}")).meant(&kind, known));
        }
        let name = fields.required("network", report, text);
        let mut draft = self.draft(&fields, report);
        let Some(name) = name else { return };
        draft.broken = report.problems.len() > before;
        draft.name.clone_from(&name);
        draft.place = place.to_owned();
        if let Some(first) = self.drafts.get(&name) {
            let rule = format!("must differ from the network at {}", first.place);
            let problem = Problem::new(fields.place("network"), rule);
            report.add(problem.found(format!("{name:?}")));
            return;
        }
        self.drafts.insert(name, draft);
    }

    fn draft(&self, fields: &Fields<'_>, report: &mut Report) -> Draft {
        gas_price_cache(fields, report);
        let narrow = |number: u64| u32::try_from(number).ok();
        let rpc_urls = fields.node("rpc_urls").and_then(|node| {
            self.access
                .endpoints(&fields.place("rpc_urls"), node, report)
        });
        Draft {
            base: fields.optional("from", report, text),
            chain_id: fields.optional("chain_id", report, whole(1, u64::MAX)),
            required_confirmations: fields.optional(
                "required_confirmations",
                report,
                whole(0, CONFIRMATIONS_MAX),
            ),
            average_blocktime_ms: fields.optional(
                "average_blocktime_ms",
                report,
                whole(1, BLOCK_TIME_MS_MAX),
            ),
            is_testnet: fields.optional("is_testnet", report, boolean),
            symbol: fields.optional("symbol", report, text),
            features: fields.optional("features", report, texts),
            tags: fields.optional("tags", report, texts),
            in_flight_max: fields
                .optional("in_flight_max", report, whole(1, IN_FLIGHT_MAX))
                .and_then(narrow),
            nonce_window: fields
                .optional("nonce_window", report, whole(1, IN_FLIGHT_MAX))
                .and_then(narrow),
            rpc_urls,
            explorer_urls: fields.optional("explorer_urls", report, texts),
            ..Draft::default()
        }
    }
}

/// Checks a section that has no effect: fees are always cached, for as long as their block is the latest.
fn gas_price_cache(fields: &Fields<'_>, report: &mut Report) {
    const KNOWN: &[&str] = &["enabled", "stale_after_ms", "expire_after_ms"];
    let Some(node) = fields.node("gas_price_cache") else {
        return;
    };
    if let Some(cache) = Fields::open(&fields.place("gas_price_cache"), node, KNOWN, report) {
        cache.optional("enabled", report, boolean);
        cache.optional("stale_after_ms", report, whole(0, u64::MAX));
        cache.optional("expire_after_ms", report, whole(0, u64::MAX));
    }
}

/// The name of a network that is well formed but of a type that this version does not serve.
fn other_network(node: &Node) -> Option<String> {
    let Node::Object(entries) = node else {
        return None;
    };
    let field = |name: &str| {
        let (_, node) = entries.iter().find(|(entry, _)| entry == name)?;
        node.as_text()
    };
    let kind = field("type").filter(|kind| TYPES[1..].contains(kind))?;
    Some(format!(
        "{kind} {}",
        field("network").unwrap_or("(unnamed)")
    ))
}

fn json_files(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(|error| error.to_string())? {
        let path = entry.map_err(|error| error.to_string())?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            files.push(path);
        }
    }
    if files.len() > FILES_MAX {
        return Err(format!("it has more than {FILES_MAX} *.json files"));
    }
    files.sort();
    Ok(files)
}
