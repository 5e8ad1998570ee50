//! Bad variables, and variables worth a warning.

use crate::support::{API_KEY, ENCRYPTION_KEY, OTHER_ENCRYPTION_KEY, Sample, assert_problems};

fn with(name: &str, value: &str) -> Sample {
    Sample::new().with(name, value)
}

#[test]
fn the_server() {
    assert_problems(&[
        (
            Sample::new().unset("API_KEY"),
            "API_KEY: must be set, with at least 32 characters",
        ),
        (
            with("API_KEY", "short"),
            "API_KEY: must be set, with at least 32 characters, found 5 characters",
        ),
        (
            with("API_KEY", &format!("{API_KEY} {API_KEY}")),
            "API_KEY: must not contain white space: callers could not send it",
        ),
        (
            with("HOST", "relay.example"),
            "HOST: must be an IP address or `localhost`, found \"relay.example\"",
        ),
        (
            with("APP_PORT", "65536"),
            "APP_PORT: must be a whole number from 0 to 65535, found \"65536\"",
        ),
        (
            with("METRICS_ENABLED", "yes"),
            "METRICS_ENABLED: must be `true` or `false`, found \"yes\"",
        ),
        (
            with("METRICS_ENABLED", "true").with("METRICS_PORT", "8080"),
            "METRICS_PORT: must differ from APP_PORT, found 8080",
        ),
        (
            with("RATE_LIMIT_REQUESTS_PER_SECOND", "0"),
            "RATE_LIMIT_REQUESTS_PER_SECOND: must be a whole number from 1 to 1000000, found \"0\"",
        ),
        (
            with("RATE_LIMIT_BURST_SIZE", "-1"),
            "RATE_LIMIT_BURST_SIZE: must be a whole number from 1 to 1000000, found \"-1\"",
        ),
        (
            with("MAX_CONNECTIONS", "many"),
            "MAX_CONNECTIONS: must be a whole number from 1 to 1000000, found \"many\"",
        ),
        (
            with("REQUEST_TIMEOUT_SECONDS", "30s"),
            "REQUEST_TIMEOUT_SECONDS: must be a whole number from 1 to 3600, found \"30s\"",
        ),
    ]);
}

#[test]
fn traces() {
    const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
    let collected = || with(ENDPOINT, "http://collector:4318");
    assert_problems(&[
        (
            with(ENDPOINT, "collector:4318"),
            "OTEL_EXPORTER_OTLP_ENDPOINT: must be an http or https URL",
        ),
        (
            collected().with("OTEL_EXPORTER_OTLP_HEADERS", "authorization"),
            "OTEL_EXPORTER_OTLP_HEADERS: must be pairs of name=value, separated by commas",
        ),
        (
            collected().with("OTEL_TRACES_SAMPLER_ARG", "1.1"),
            "OTEL_TRACES_SAMPLER_ARG: must be from 0 to 1, with up to 6 digits after the point, found \"1.1\"",
        ),
        (
            collected().with("OTEL_TRACES_SAMPLER_ARG", "-0.5"),
            "OTEL_TRACES_SAMPLER_ARG: must be from 0 to 1, with up to 6 digits after the point, found \"-0.5\"",
        ),
    ]);
}

#[test]
fn methods_of_the_passthrough() {
    let many = ["m"; 101].join(",");
    assert_problems(&[
        (
            with("BATON_RPC_METHODS", "debug_traceCall, eth_*"),
            "BATON_RPC_METHODS: must be names of JSON-RPC methods, separated by commas, found \"eth_*\"",
        ),
        (
            with("BATON_RPC_METHODS", &many),
            "BATON_RPC_METHODS: must have at most 100 names, found 101",
        ),
    ]);
}

#[test]
fn the_retention() {
    let range = |found: &str| {
        format!(
            "TRANSACTION_EXPIRATION_HOURS: must be a number from 0.02 to 87600, found \"{found}\""
        )
    };
    let values = ["NaN", "0", "-4", "0.0199", "87601", "4h"];
    let expected = values.map(range);
    let cases: Vec<(Sample, &str)> = values
        .iter()
        .zip(&expected)
        .map(|(value, expected)| {
            (
                with("TRANSACTION_EXPIRATION_HOURS", value),
                expected.as_str(),
            )
        })
        .collect();
    assert_problems(&cases);
    assert_problems(&[
        (
            with("TRANSACTION_EXPIRATION_HOURS", "0.02").with("REQUEST_TIMEOUT_SECONDS", "72"),
            "TRANSACTION_EXPIRATION_HOURS: must be longer than REQUEST_TIMEOUT_SECONDS, 72 s, for a \
             request whose answer was lost is found again by its record, found 72 s",
        ),
        (
            with("TRANSACTION_EXPIRATION_HOURS", "0.9").with("REQUEST_TIMEOUT_SECONDS", "3600"),
            "TRANSACTION_EXPIRATION_HOURS: must be longer than REQUEST_TIMEOUT_SECONDS, 3600 s, for \
             a request whose answer was lost is found again by its record, found 3240 s",
        ),
    ]);
    for (hours, timeout, seconds) in [("0.02", "71", 72), ("87600", "3600", 315_360_000)] {
        let sample = with("TRANSACTION_EXPIRATION_HOURS", hours);
        let (settings, _) = sample
            .with("REQUEST_TIMEOUT_SECONDS", timeout)
            .load()
            .unwrap();
        assert_eq!(settings.storage.retention.as_secs(), seconds);
    }
}

#[test]
fn the_rest() {
    assert_problems(&[
        (
            with("RPC_TIMEOUT_MS", "0"),
            "RPC_TIMEOUT_MS: must be a whole number from 1 to 600000, found \"0\"",
        ),
        (
            with("PROVIDER_RETRY_BASE_DELAY_MS", "3000"),
            "PROVIDER_RETRY_MAX_DELAY_MS: must not be below PROVIDER_RETRY_BASE_DELAY_MS, found \
             2000 < 3000",
        ),
        (
            with("LOG_LEVEL", "warning"),
            "LOG_LEVEL: must be one of `info`, `trace`, `debug`, `warn`, `error`, found \"warning\"",
        ),
        (
            with("LOG_FORMAT", "jsno"),
            "LOG_FORMAT: must be one of `compact`, `pretty`, `json`, found \"jsno\"; did you mean \
             `json`?",
        ),
    ]);
}

#[test]
fn encryption_keys() {
    assert_problems(&[
        (
            with("STORAGE_ENCRYPTION_KEY", "c2hvcnQ="),
            "STORAGE_ENCRYPTION_KEY: must be 32 bytes in base64, found 5 bytes",
        ),
        (
            with("STORAGE_ENCRYPTION_KEY", "not base64!"),
            "STORAGE_ENCRYPTION_KEY: must be 32 bytes in base64, found other text",
        ),
        (
            with("BATON_OLD_ENCRYPTION_KEYS", ENCRYPTION_KEY),
            "BATON_OLD_ENCRYPTION_KEYS: must not be set without STORAGE_ENCRYPTION_KEY, which new \
             records need",
        ),
        (
            with("STORAGE_ENCRYPTION_KEY", ENCRYPTION_KEY).with(
                "BATON_OLD_ENCRYPTION_KEYS",
                &format!("{OTHER_ENCRYPTION_KEY},{ENCRYPTION_KEY}"),
            ),
            "BATON_OLD_ENCRYPTION_KEYS[1]: must differ from STORAGE_ENCRYPTION_KEY",
        ),
    ]);
}

#[test]
fn warnings() {
    let cases = [
        (
            Sample::new().with("API_KEYS", API_KEY),
            "API_KEYS: is not read; did you mean `API_KEY`?",
        ),
        (
            Sample::new().with("RATE_LIMIT_REQUEST_PER_SECOND", "1500"),
            "RATE_LIMIT_REQUEST_PER_SECOND: is not read; did you mean \
             `RATE_LIMIT_REQUESTS_PER_SECOND`?",
        ),
        (
            Sample::new().with("BATON_COLOUR", "red"),
            "BATON_COLOUR: is not read",
        ),
        (
            Sample::new()
                .with("SQS_QUEUE_TYPE", "auto")
                .with("REDIS_POOL_MAX_SIZE", "500")
                .with("PLUGIN_USE_POOL", "true"),
            "environment: no meaning here: PLUGIN_USE_POOL, REDIS_POOL_MAX_SIZE, SQS_QUEUE_TYPE",
        ),
        (
            Sample::new().with("REDIS_URL", "redis://:password@redis:6379"),
            "REDIS_URL: is not read: the store is embedded; for a shared one set REPOSITORY_STORAGE_TYPE=redis",
        ),
        (
            Sample::new().with("REPOSITORY_STORAGE_TYPE", "in_memory"),
            "REPOSITORY_STORAGE_TYPE: records are kept in the embedded store in BATON_DATA_DIR, and \
             survive a restart",
        ),
    ];
    for (sample, expected) in cases {
        assert_eq!(sample.check(), (vec![], vec![expected.to_owned()]));
        assert!(sample.load().is_ok(), "{expected}");
    }
}

#[test]
fn variables_of_others_are_left_alone() {
    let sample = Sample::new()
        .with("HOSTNAME", "box")
        .with("PATH", "/bin")
        .with("LOGNAME", "me")
        .with("RUSTUP_HOME", "/r");
    assert_eq!(sample.check(), (vec![], vec![]));
}
