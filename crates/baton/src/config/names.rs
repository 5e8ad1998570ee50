//! Names of variables: those with a meaning, those without one here, and slips of the pen.

use super::report::{Report, nearest};
use super::variables::Variables;

/// Variables that are read. `docs/configuration.md` describes each.
const READ: &[&str] = &[
    "HOST",
    "APP_PORT",
    "API_KEY",
    "CONFIG_DIR",
    "CONFIG_FILE_NAME",
    "BATON_DATA_DIR",
    "BATON_OLD_ENCRYPTION_KEYS",
    "BATON_ANVIL",
    "BATON_URL",
    "BATON_VAULT",
    "BATON_EVENTS_KEPT",
    "BATON_RPC_METHODS",
    "BATON_WEBHOOK_PRIVATE_ADDRESSES",
    "BATON_TURNKEY_URL",
    "BATON_COINBASE_URL",
    "BATON_ALLOW_PLAIN_STORE",
    "BATON_LEASE_MS",
    "BATON_INSTANCE",
    "BATON_DRAIN_DELAY_MS",
    "BATON_NGINX",
    "BATON_FLEET_RATE_LIMIT",
    "BATON_REDIS_CA_FILE",
    "BATON_REDIS_CERT_FILE",
    "BATON_REDIS_KEY_FILE",
    "BATON_REDIS_SENTINEL_USER",
    "BATON_REDIS_SENTINEL_PASSWORD",
    "BATON_REDIS",
    "REPOSITORY_STORAGE_TYPE",
    "REDIS_URL",
    "REDIS_KEY_PREFIX",
    "REDIS_CONNECTION_TIMEOUT_MS",
    "STORAGE_ENCRYPTION_KEY",
    "TRANSACTION_EXPIRATION_HOURS",
    "RESET_STORAGE_ON_START",
    "RATE_LIMIT_REQUESTS_PER_SECOND",
    "RATE_LIMIT_BURST_SIZE",
    "RELAYER_CONCURRENCY_LIMIT",
    "MAX_CONNECTIONS",
    "CONNECTION_BACKLOG",
    "REQUEST_TIMEOUT_SECONDS",
    "METRICS_ENABLED",
    "METRICS_PORT",
    "ENABLE_SWAGGER",
    "RPC_TIMEOUT_MS",
    "PROVIDER_MAX_RETRIES",
    "PROVIDER_RETRY_BASE_DELAY_MS",
    "PROVIDER_RETRY_MAX_DELAY_MS",
    "PROVIDER_MAX_FAILOVERS",
    "PROVIDER_FAILURE_THRESHOLD",
    "PROVIDER_PAUSE_DURATION_SECS",
    "PROVIDER_FAILURE_EXPIRATION_SECS",
    "RPC_FAILURE_THRESHOLD",
    "RPC_PAUSE_DURATION_SECS",
    "RPC_ALLOWED_HOSTS",
    "RPC_BLOCK_PRIVATE_IPS",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_SERVICE_NAME",
    "OTEL_TRACES_SAMPLER_ARG",
    "LOG_MODE",
    "LOG_LEVEL",
    "LOG_FORMAT",
    "LOG_DATA_DIR",
    "LOG_MAX_SIZE",
    "RUST_LOG",
];

/// Variables of OpenZeppelin Relayer that have no meaning here. A trailing `*` stands for any ending.
const WITHOUT_MEANING: &[&str] = &[
    "REDIS_READER_URL",
    "REDIS_POOL_MAX_SIZE",
    "REDIS_READER_POOL_MAX_SIZE",
    "REDIS_POOL_TIMEOUT_MS",
    "REDIS_CONNECTION_MAX_AGE_MS",
    "QUEUE_BACKEND",
    "SQS_*",
    "PUBSUB_*",
    "RABBITMQ_*",
    "BACKGROUND_WORKER_*",
    "ACTIX_WORKERS",
    "TOKIO_WORKER_THREADS",
    "STELLAR_*",
    "PLUGIN_*",
    "DISTRIBUTED_MODE",
    "IN_DOCKER",
];

/// Names that only sample configurations use: their values are read through secrets that name them.
const OF_SAMPLES: &[&str] = &["WEBHOOK_SIGNING_KEY", "KEYSTORE_PASSPHRASE"];

/// Warns of variables that are set but not read.
pub(crate) fn check(variables: &dyn Variables, report: &mut Report) {
    let mut names = variables.names();
    names.sort();
    let unread: Vec<String> = names
        .iter()
        .filter(|name| WITHOUT_MEANING.iter().any(|pattern| matches(pattern, name)))
        .cloned()
        .collect();
    if !unread.is_empty() {
        report.warn(
            "environment",
            format!("no meaning here: {}", unread.join(", ")),
        );
    }
    consequences(variables, report);
    for name in names.iter().filter(|name| !is_known(name)) {
        let meant = READ
            .iter()
            .copied()
            .filter(|known| first_word(known) == first_word(name));
        if let Some(known) = nearest(name, meant) {
            report.warn(name, format!("is not read; did you mean `{known}`?"));
        } else if name.starts_with("BATON_") {
            report.warn(name, "is not read");
        }
    }
}

/// Warns where ignoring a variable changes what its user relies on.
fn consequences(variables: &dyn Variables, report: &mut Report) {
    let is_true = |name: &str| variables.get(name).as_deref() == Some("true");
    let is_shared = variables.get("REPOSITORY_STORAGE_TYPE").as_deref() == Some("redis");
    if is_true("DISTRIBUTED_MODE") && !is_shared {
        report.warn(
            "DISTRIBUTED_MODE",
            "one process owns the embedded store; several share one with REPOSITORY_STORAGE_TYPE=redis",
        );
    }
    if is_true("RESET_STORAGE_ON_START") {
        report.warn(
            "RESET_STORAGE_ON_START",
            "forgets what was made and changed over the API; transactions and nonces stay",
        );
    }
    if is_true("RESET_STORAGE_ON_START") && is_shared {
        report.warn(
            "RESET_STORAGE_ON_START",
            "every instance that starts with it forgets this for the whole fleet",
        );
    }
}

fn is_known(name: &str) -> bool {
    READ.contains(&name)
        || OF_SAMPLES.contains(&name)
        || WITHOUT_MEANING.iter().any(|pattern| matches(pattern, name))
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    }
}

fn first_word(name: &str) -> &str {
    name.split('_').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::{OF_SAMPLES, READ, WITHOUT_MEANING};

    #[test]
    fn every_variable_is_documented() {
        let manual = include_str!("../../../../docs/configuration.md");
        let missing: Vec<_> = READ
            .iter()
            .chain(WITHOUT_MEANING)
            .chain(OF_SAMPLES)
            .filter(|name| !manual.contains(&format!("`{name}`")))
            .collect();
        assert!(
            missing.is_empty(),
            "docs/configuration.md lacks {missing:?}"
        );
    }
}
