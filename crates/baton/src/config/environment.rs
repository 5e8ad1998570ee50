//! Variables: names, ranges and defaults of OpenZeppelin Relayer where it has the setting.

mod log;
mod storage;

use std::net::{IpAddr, Ipv4Addr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use baton_vault::{API_KEY_CHARS_MIN, Secret};

use super::fields::range_rule;
use super::names;
use super::report::{Problem, Report};
use super::settings::{Log, Rpc, Server, Storage};
use super::variables::Variables;
use storage::RETENTION;

/// Most methods that are let through besides the usual ones: each is a label of metrics.
const PASSED_METHODS_MAX: usize = 100;
/// Longest name of one: longer than any that nodes have.
const PASSED_METHOD_BYTES_MAX: usize = 64;
/// A day; as above.
const DAY_MS: u64 = 86_400_000;
const DAY_S: u64 = 86_400;

/// What variables say, apart from where the files are.
pub(crate) struct Environment {
    pub(crate) server: Option<Server>,
    pub(crate) storage: Option<Storage>,
    pub(crate) rpc: Rpc,
    pub(crate) log: Log,
}

/// Reads all variables.
pub(crate) fn environment(variables: &dyn Variables, report: &mut Report) -> Environment {
    let mut reader = Reader { variables, report };
    let environment = Environment {
        server: server(&mut reader),
        storage: storage::storage(&mut reader),
        rpc: rpc(&mut reader),
        log: log::log(&mut reader),
    };
    if let (Some(server), Some(storage)) = (&environment.server, &environment.storage) {
        outlast(storage.retention, server.request_timeout, report);
    }
    names::check(variables, report);
    environment
}

/// The directory and name of the configuration file.
pub(crate) fn config_file(variables: &dyn Variables) -> PathBuf {
    let read = |name: &str, default: &str| {
        let given = variables.get(name).filter(|value| !value.is_empty());
        given.unwrap_or_else(|| default.to_owned())
    };
    PathBuf::from(read("CONFIG_DIR", "./config")).join(read("CONFIG_FILE_NAME", "config.json"))
}

fn server(reader: &mut Reader<'_>) -> Option<Server> {
    let host = host(reader);
    let port = reader.number("APP_PORT", 8080, 0, u64::from(u16::MAX));
    let api_key = api_key(reader);
    let metrics = reader.flag("METRICS_ENABLED", false);
    let metrics_port = reader.number("METRICS_PORT", 8081, 0, u64::from(u16::MAX));
    if metrics && metrics_port == port && port != 0 {
        let problem = Problem::new("METRICS_PORT", "must differ from APP_PORT");
        reader.report.add(problem.found(metrics_port));
    }
    let private_webhooks = reader.flag("BATON_WEBHOOK_PRIVATE_ADDRESSES", false);
    let describes_api = reader.flag("ENABLE_SWAGGER", true);
    let fleet_rate = reader.flag("BATON_FLEET_RATE_LIMIT", false);
    let drain_delay = storage::drain_delay(reader);
    let per_second = reader.number("RATE_LIMIT_REQUESTS_PER_SECOND", 100, 1, 1_000_000);
    let burst = reader.number("RATE_LIMIT_BURST_SIZE", 300, 1, 1_000_000);
    let concurrent = reader.number("RELAYER_CONCURRENCY_LIMIT", 100, 1, 1_000_000);
    let connections = reader.number("MAX_CONNECTIONS", 256, 1, 1_000_000);
    let backlog = reader.number("CONNECTION_BACKLOG", 511, 1, 65_535);
    let timeout = reader.number("REQUEST_TIMEOUT_SECONDS", 30, 1, 3600);
    Some(Server {
        host: host?,
        port: u16::try_from(port).ok()?,
        api_key: api_key?,
        rate_per_second: non_zero_u32(per_second)?,
        rate_burst: non_zero_u32(burst)?,
        concurrent_requests_max: non_zero_usize(concurrent)?,
        connections_max: non_zero_usize(connections)?,
        backlog: non_zero_u32(backlog)?,
        request_timeout: Duration::from_secs(timeout),
        metrics_port: u16::try_from(metrics_port).ok().filter(|_| metrics),
        private_webhooks,
        describes_api,
        fleet_rate,
        drain_delay,
    })
}

fn host(reader: &mut Reader<'_>) -> Option<IpAddr> {
    let Some(text) = reader.text("HOST") else {
        return Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    };
    if text == "localhost" {
        return Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    let parsed = text.parse().ok();
    if parsed.is_none() {
        let problem = Problem::new("HOST", "must be an IP address or `localhost`");
        reader.report.add(problem.found(format!("{text:?}")));
    }
    parsed
}

fn api_key(reader: &mut Reader<'_>) -> Option<Secret> {
    let rule = format!("must be set, with at least {API_KEY_CHARS_MIN} characters");
    let Some(text) = reader.text("API_KEY") else {
        reader.report.problem("API_KEY", rule);
        return None;
    };
    let key = Secret::new(text);
    if let Err(error) = key.require_chars("API_KEY", API_KEY_CHARS_MIN) {
        let problem = Problem::new("API_KEY", rule);
        reader
            .report
            .add(problem.found(format!("{} characters", error.found)));
        return None;
    }
    if key.expose().contains(char::is_whitespace) {
        let rule = "must not contain white space: callers could not send it";
        reader.report.problem("API_KEY", rule);
        return None;
    }
    Some(key)
}

/// A request whose answer was lost must still be known when it is repeated.
fn outlast(retention: Duration, request_timeout: Duration, report: &mut Report) {
    if retention <= request_timeout {
        let rule = format!(
            "must be longer than REQUEST_TIMEOUT_SECONDS, {} s, for a request whose answer was \
             lost is found again by its record",
            request_timeout.as_secs()
        );
        let found = format!("{} s", retention.as_secs());
        report.add(Problem::new(RETENTION, rule).found(found));
    }
}

fn rpc(reader: &mut Reader<'_>) -> Rpc {
    let base = reader.number("PROVIDER_RETRY_BASE_DELAY_MS", 100, 0, DAY_MS);
    let max = reader.number("PROVIDER_RETRY_MAX_DELAY_MS", 2000, 0, DAY_MS);
    if base > max {
        let rule = "must not be below PROVIDER_RETRY_BASE_DELAY_MS";
        let problem = Problem::new("PROVIDER_RETRY_MAX_DELAY_MS", rule);
        reader.report.add(problem.found(format!("{max} < {base}")));
    }
    let threshold_default = reader.number("RPC_FAILURE_THRESHOLD", 3, 1, 1000);
    let pause_default = reader.number("RPC_PAUSE_DURATION_SECS", 60, 0, DAY_S);
    let hosts = reader.text("RPC_ALLOWED_HOSTS").unwrap_or_default();
    Rpc {
        timeout: Duration::from_millis(reader.number("RPC_TIMEOUT_MS", 10_000, 1, 600_000)),
        attempts: reader.number_u32("PROVIDER_MAX_RETRIES", 3, 1, 100),
        retry_base: Duration::from_millis(base),
        retry_max: Duration::from_millis(max),
        failovers_max: reader.number_u32("PROVIDER_MAX_FAILOVERS", 3, 0, 100),
        failure_threshold: reader.number_u32(
            "PROVIDER_FAILURE_THRESHOLD",
            threshold_default,
            1,
            1000,
        ),
        pause: Duration::from_secs(reader.number(
            "PROVIDER_PAUSE_DURATION_SECS",
            pause_default,
            0,
            DAY_S,
        )),
        failure_window: Duration::from_secs(reader.number(
            "PROVIDER_FAILURE_EXPIRATION_SECS",
            60,
            1,
            DAY_S,
        )),
        allowed_hosts: hosts
            .split(',')
            .map(|host| host.trim().to_lowercase())
            .filter(|host| !host.is_empty())
            .collect(),
        block_private_ips: reader.flag("RPC_BLOCK_PRIVATE_IPS", false),
        passed_methods: passed_methods(reader),
    }
}

/// Names of JSON-RPC methods, separated by commas.
fn passed_methods(reader: &mut Reader<'_>) -> Vec<String> {
    const NAME: &str = "BATON_RPC_METHODS";
    let text = reader.text(NAME).unwrap_or_default();
    let names = text
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty());
    let names: Vec<String> = names.map(str::to_owned).collect();
    let is_name = |name: &str| {
        let is_word = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        is_word && name.len() <= PASSED_METHOD_BYTES_MAX
    };
    for name in names.iter().filter(|name| !is_name(name)) {
        let rule = "must be names of JSON-RPC methods, separated by commas";
        let problem = Problem::new(NAME, rule);
        reader.report.add(problem.found(format!("{name:?}")));
    }
    if names.len() > PASSED_METHODS_MAX {
        let problem = Problem::new(
            NAME,
            format!("must have at most {PASSED_METHODS_MAX} names"),
        );
        reader.report.add(problem.found(names.len()));
    }
    names
}

struct Reader<'a> {
    variables: &'a dyn Variables,
    report: &'a mut Report,
}

impl Reader<'_> {
    /// A text that is not empty.
    fn text(&self, name: &str) -> Option<String> {
        self.variables.get(name).filter(|value| !value.is_empty())
    }

    /// A whole number; the default also stands for a value that was reported as wrong.
    fn number(&mut self, name: &str, default: u64, min: u64, max: u64) -> u64 {
        let Some(text) = self.text(name) else {
            return default;
        };
        let number = u64::from_str(text.trim()).ok();
        match number.filter(|number| (min..=max).contains(number)) {
            Some(number) => number,
            None => {
                let problem = Problem::new(name, range_rule(min, max));
                self.report.add(problem.found(format!("{text:?}")));
                default
            }
        }
    }

    fn number_u32(&mut self, name: &str, default: u64, min: u32, max: u32) -> u32 {
        let number = self.number(name, default, min.into(), max.into());
        u32::try_from(number).unwrap_or(max)
    }

    /// A share from 0 to 1, as parts of a million; all when it is not given.
    fn millionths(&mut self, name: &str) -> u32 {
        const WHOLE: u32 = 1_000_000;
        let Some(text) = self.text(name) else {
            return WHOLE;
        };
        let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
        let digits = format!("{whole}{part:0<6}");
        let is_number = part.len() <= 6 && digits.bytes().all(|digit| digit.is_ascii_digit());
        let share = digits
            .parse()
            .ok()
            .filter(|share| is_number && *share <= WHOLE);
        share.unwrap_or_else(|| {
            let problem = Problem::new(
                name,
                "must be from 0 to 1, with up to 6 digits after the point",
            );
            self.report.add(problem.found(format!("{text:?}")));
            WHOLE
        })
    }

    fn flag(&mut self, name: &str, default: bool) -> bool {
        let Some(text) = self.text(name) else {
            return default;
        };
        match text.trim().to_lowercase().as_str() {
            "true" | "1" => true,
            "false" | "0" => false,
            _ => {
                let problem = Problem::new(name, "must be `true` or `false`");
                self.report.add(problem.found(format!("{text:?}")));
                default
            }
        }
    }

    /// One of some words; the first is the default.
    fn choice<T: Copy>(&mut self, name: &str, choices: &[(&str, T)]) -> T {
        let default = choices[0].1;
        let Some(text) = self.text(name) else {
            return default;
        };
        let word = text.trim().to_lowercase();
        let chosen = choices.iter().find(|(choice, _)| *choice == word);
        if let Some((_, value)) = chosen {
            return *value;
        }
        let words: Vec<String> = choices
            .iter()
            .map(|(word, _)| format!("`{word}`"))
            .collect();
        let problem = Problem::new(name, format!("must be one of {}", words.join(", ")));
        let known = choices.iter().map(|(word, _)| *word);
        self.report
            .add(problem.found(format!("{text:?}")).meant(&word, known));
        default
    }
}

fn non_zero_u32(number: u64) -> Option<NonZeroU32> {
    u32::try_from(number).ok().and_then(NonZeroU32::new)
}

fn non_zero_usize(number: u64) -> Option<NonZeroUsize> {
    usize::try_from(number).ok().and_then(NonZeroUsize::new)
}
