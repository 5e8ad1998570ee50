//! Configurations as users of OpenZeppelin Relayer have them.

use std::time::Duration;

use baton::config::{Backend, LogFormat, LogTarget, SignerSource};
use baton_model::EvmPolicy;
use serde_json::json;

use crate::support::{ENCRYPTION_KEY, OTHER_ENCRYPTION_KEY, RAW_KEY, Sample};

#[test]
fn the_sample_gives_settings_with_the_known_defaults() {
    let sample = Sample::new();
    let (settings, warnings) = sample.load().unwrap();
    assert!(warnings.is_empty());
    let relayer = &settings.relayers[0];
    assert_eq!(relayer.id.as_str(), "sepolia-example");
    assert_eq!(relayer.network.profile.chain_id, 11_155_111);
    assert_eq!(relayer.signer_ids, ["local-signer"]);
    assert_eq!(relayer.endpoints()[0].url, "https://node.example/v3/key");
    assert_eq!(relayer.endpoints()[0].weight, 100);
    assert_eq!(
        relayer.policy,
        EvmPolicy {
            min_balance: 0,
            gas_price_cap: Some(30_000_000_000_000),
            ..EvmPolicy::default()
        }
    );

    let server = &settings.server;
    assert_eq!(
        (server.host.to_string().as_str(), server.port),
        ("0.0.0.0", 8080)
    );
    assert_eq!(
        (server.rate_per_second.get(), server.rate_burst.get()),
        (100, 300)
    );
    assert_eq!(server.concurrent_requests_max.get(), 100);
    assert_eq!(
        (server.connections_max.get(), server.backlog.get()),
        (256, 511)
    );
    assert_eq!(server.request_timeout, Duration::from_secs(30));
    assert_eq!(server.metrics_port, None);
    assert_eq!(settings.storage.retention, Duration::from_secs(4 * 3600));
    let data_dir = "./data".into();
    assert_eq!(settings.storage.backend, Backend::Embedded { data_dir });
    assert_eq!(settings.storage.lease, Duration::from_secs(10));
    assert_eq!(settings.storage.encryption, None);
    assert_eq!(settings.rpc.timeout, Duration::from_secs(10));
    assert_eq!((settings.rpc.attempts, settings.rpc.failovers_max), (3, 3));
    assert_eq!(settings.log.filter, "info");
    assert_eq!(settings.log.target, LogTarget::Stdout);
}

#[test]
fn wei_is_read_without_rounding() {
    let sample = Sample::new()
        .put("/relayers/0/policies/gas_price_cap", json!("CAP"))
        .put(
            "/relayers/0/policies/min_balance",
            json!("9007199254740993"),
        );
    let text = sample.file.to_string();
    let text = text.replace("\"CAP\"", "340282366920938463463374607431768211455");
    let (settings, _) = sample.text(text).load().unwrap();
    let policy = &settings.relayers[0].policy;
    assert_eq!(policy.gas_price_cap, Some(u128::MAX));
    assert_eq!(policy.min_balance, 9_007_199_254_740_993);
}

#[test]
fn several_accounts_stand_behind_one_relayer() {
    let sample = Sample::new()
        .put(
            "/signers/-",
            json!({
                "id": "second",
                "type": "raw_key",
                "config": { "key": { "type": "env", "value": "SECOND_KEY" } }
            }),
        )
        .with("SECOND_KEY", RAW_KEY)
        .without("/relayers/0/signer_id")
        .put("/relayers/0/signer_ids", json!(["local-signer", "second"]));
    let (settings, warnings) = sample.load().unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(settings.relayers[0].signer_ids, ["local-signer", "second"]);
    match &settings.signers["second"] {
        SignerSource::RawKey { key } => assert_eq!(key.expose(), RAW_KEY),
        other @ (SignerSource::Keystore { .. } | SignerSource::Remote { .. }) => {
            panic!("{other:?}")
        }
    }
}

#[test]
fn secrets_come_from_files_without_the_line_break() {
    let sample = Sample::new().file("passphrase", "open sesame\n");
    let path = json!(sample.path("passphrase"));
    let sample = sample.put(
        "/signers/0/config/passphrase",
        json!({ "type": "file", "value": path }),
    );
    let (settings, _) = sample.load().unwrap();
    match &settings.signers["local-signer"] {
        SignerSource::Keystore { passphrase, .. } => assert_eq!(passphrase.expose(), "open sesame"),
        other @ (SignerSource::RawKey { .. } | SignerSource::Remote { .. }) => panic!("{other:?}"),
    }
}

#[test]
fn the_horizontal_scaling_variables_are_understood() {
    let sample = Sample::new()
        .with("APP_PORT", "8080")
        .with("RATE_LIMIT_REQUESTS_PER_SECOND", "1500")
        .with("RATE_LIMIT_BURST_SIZE", "3000")
        .with("STORAGE_ENCRYPTION_KEY", ENCRYPTION_KEY)
        .with("BATON_OLD_ENCRYPTION_KEYS", OTHER_ENCRYPTION_KEY)
        .with("RUST_LOG", "debug")
        .with("RPC_TIMEOUT_MS", "500")
        .with("PROVIDER_MAX_RETRIES", "3")
        .with("RPC_FAILURE_THRESHOLD", "7")
        .with("LOG_MODE", "file")
        .with("LOG_DATA_DIR", "logs1/")
        .with("LOG_MAX_SIZE", "1073741824")
        .with("LOG_FORMAT", "json")
        .with("METRICS_ENABLED", "true")
        .with("TRANSACTION_EXPIRATION_HOURS", "0.5")
        .with("REPOSITORY_STORAGE_TYPE", "redis")
        .with("REDIS_URL", "redis://redis:6379")
        .with("DISTRIBUTED_MODE", "true")
        .with("REDIS_KEY_PREFIX", "relay");
    let (settings, warnings) = sample.load().unwrap();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(settings.server.rate_burst.get(), 3000);
    assert_eq!(settings.server.metrics_port, Some(8081));
    assert_eq!(settings.rpc.timeout, Duration::from_millis(500));
    assert_eq!(settings.rpc.failure_threshold, 7);
    assert_eq!(settings.storage.retention, Duration::from_secs(1800));
    let keys = settings.storage.encryption.unwrap();
    assert_eq!(keys.current.expose(), ENCRYPTION_KEY);
    assert_eq!(keys.old.len(), 1);
    assert_eq!(
        (settings.log.filter.as_str(), settings.log.format),
        ("debug", LogFormat::Json)
    );
}

#[test]
fn notifications_are_kept() {
    let sample = Sample::new()
        .put(
            "/notifications/-",
            json!({
                "id": "hook",
                "type": "webhook",
                "url": "https://hook.example/in",
                "signing_key": { "type": "env", "value": "WEBHOOK_SIGNING_KEY" },
                "events": ["confirmed", "relayer_state_update"]
            }),
        )
        .put("/relayers/0/notification_id", json!("hook"))
        .with("WEBHOOK_SIGNING_KEY", "0123456789abcdef0123456789abcdef");
    let (problems, warnings) = sample.check();
    assert!(problems.is_empty(), "{problems:?}");
    assert!(warnings.is_empty(), "{warnings:?}");
    let settings = sample.load().unwrap().0;
    let hook = &settings.notifications["hook"];
    assert!(hook.signing_key.is_some());
    assert_eq!(hook.events, ["confirmed", "relayer_state_update"]);
    assert!(!settings.server.private_webhooks);
    assert_eq!(settings.storage.events_kept, 10_000);
}

#[test]
fn webhooks_to_private_addresses_are_warned_of_unless_they_are_allowed() {
    for url in [
        "http://localhost:9000/in",
        "http://10.0.0.7/in",
        "http://[::1]/in",
    ] {
        let hook = json!({ "id": "hook", "type": "webhook", "url": url });
        let sample = Sample::new().put("/notifications/-", hook);
        let (problems, warnings) = sample.check();
        assert!(problems.is_empty(), "{problems:?}");
        let expected = "notifications[0].url: is a private address, to which nothing is delivered \
                        unless BATON_WEBHOOK_PRIVATE_ADDRESSES is true";
        assert_eq!(warnings, [expected], "{url}");
        let allowed = sample.with("BATON_WEBHOOK_PRIVATE_ADDRESSES", "true");
        assert!(allowed.check().1.is_empty(), "{url}");
    }
}

#[test]
fn the_file_is_where_the_variables_say() {
    let sample = Sample::new()
        .with("CONFIG_DIR", "/etc/relay")
        .with("CONFIG_FILE_NAME", "r.json");
    let path = baton::config::default_file(&sample.variables);
    assert_eq!(path.to_str(), Some("/etc/relay/r.json"));
    let path = baton::config::default_file(&Sample::new().variables);
    assert_eq!(path.to_str(), Some("./config/config.json"));
}
