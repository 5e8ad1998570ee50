//! Where records are kept: the embedded store, or a shared one.

use std::time::Duration;

use baton::config::Backend;

use crate::support::{ENCRYPTION_KEY, Sample, assert_problems};

fn shared() -> Sample {
    Sample::new()
        .with("REPOSITORY_STORAGE_TYPE", "redis")
        .with("REDIS_URL", "rediss://me:hunter2@redis.example:7000/3")
        .with("STORAGE_ENCRYPTION_KEY", ENCRYPTION_KEY)
}

#[test]
fn a_shared_store_is_read() {
    let (settings, warnings) = shared().with("DISTRIBUTED_MODE", "true").load().unwrap();
    let shown = format!("{settings:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
    let Backend::Redis(redis) = settings.storage.backend else {
        panic!("another store");
    };
    assert_eq!(
        redis.url.expose(),
        "rediss://me:hunter2@redis.example:7000/3"
    );
    assert_eq!(redis.prefix, "baton");
    assert_eq!(redis.connect_timeout, Duration::from_secs(2));
    assert_eq!(settings.storage.lease, Duration::from_millis(1200));
    let warnings: Vec<_> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings, ["environment: no meaning here: DISTRIBUTED_MODE"]);
}

#[test]
fn its_settings_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, format!("the {name}\n")).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let sample = shared()
        .with("REDIS_KEY_PREFIX", "shop")
        .with("REDIS_CONNECTION_TIMEOUT_MS", "500")
        .with("BATON_REDIS_CA_FILE", &file("ca"))
        .with("BATON_REDIS_CERT_FILE", &file("chain"))
        .with("BATON_REDIS_KEY_FILE", &file("key"))
        .with("BATON_REDIS_SENTINEL_USER", "watcher")
        .with("BATON_REDIS_SENTINEL_PASSWORD", "hunter3")
        .with("BATON_LEASE_MS", "5000")
        .with("BATON_INSTANCE", "relayer-1");
    let (settings, warnings) = sample.load().unwrap();
    assert_eq!(warnings, []);
    assert_eq!(settings.storage.lease, Duration::from_secs(5));
    assert_eq!(settings.storage.instance.as_deref(), Some("relayer-1"));
    let shown = format!("{settings:?}");
    assert!(
        !shown.contains("hunter3") && !shown.contains("the key"),
        "{shown}"
    );
    let Backend::Redis(redis) = settings.storage.backend else {
        panic!("another store");
    };
    assert_eq!(redis.prefix, "shop");
    assert_eq!(redis.connect_timeout, Duration::from_millis(500));
    assert_eq!(redis.tls.authorities.as_deref(), Some("the ca\n"));
    let (chain, key) = redis.tls.identity.unwrap();
    assert_eq!((chain.as_str(), key.expose()), ("the chain\n", "the key\n"));
    assert_eq!(redis.sentinel_user.as_deref(), Some("watcher"));
    assert_eq!(redis.sentinel_password.unwrap().expose(), "hunter3");
}

/// The example of `deploy/compose`, with the variables that its file gives the instances.
#[test]
fn the_example_of_a_fleet_is_in_order() {
    let example = include_str!("../../../../deploy/compose/config/config.json");
    let mut sample = shared()
        .with("REDIS_URL", "redis://:hunter2@redis:6379")
        .with("WEBHOOK_SIGNING_KEY", "0123456789abcdef0123456789abcdef")
        .with("METRICS_ENABLED", "true");
    let key_file = sample.file["signers"][0]["config"]["path"].clone();
    sample.file = serde_json::from_str(example).unwrap();
    sample.file["signers"][0]["config"]["path"] = key_file;
    let (settings, warnings) = sample.load().unwrap();
    assert_eq!(warnings, []);
    assert_eq!(settings.server.drain_delay, Duration::from_secs(1));
}

#[test]
fn a_shared_store_is_sealed_unless_told_otherwise() {
    assert_problems(&[(
        shared().unset("STORAGE_ENCRYPTION_KEY"),
        "STORAGE_ENCRYPTION_KEY: must be set for a Redis store, where others could read what is kept (make one with \
         `baton keys encryption-key`, or set BATON_ALLOW_PLAIN_STORE=true)",
    )]);
    let plain = shared().unset("STORAGE_ENCRYPTION_KEY");
    let (settings, _) = plain
        .with("BATON_ALLOW_PLAIN_STORE", "true")
        .load()
        .unwrap();
    assert_eq!(settings.storage.encryption, None);
}

#[test]
fn bad_settings_are_named_and_secrets_are_not_repeated() {
    let plain = || shared().with("REDIS_URL", "redis://redis");
    assert_problems(&[
        (
            shared().unset("REDIS_URL"),
            "REDIS_URL: must be set with REPOSITORY_STORAGE_TYPE=redis, as in redis://localhost:6379",
        ),
        (
            shared().with("REDIS_URL", "http://:hunter2@redis"),
            "REDIS_URL: cannot be read: the scheme is \"http\"; known are redis://, rediss://, redis-sentinel://, \
             rediss-sentinel://, redis-cluster:// and rediss-cluster://",
        ),
        (
            shared().with("REDIS_URL", "redis://:hunter2@redis:0"),
            "REDIS_URL: cannot be read: port is a number from 1 to 65535; found \"0\"",
        ),
        (
            shared().with("REDIS_KEY_PREFIX", "a{b}"),
            "REDIS_KEY_PREFIX: must be 1 to 64 letters, digits and - _ . :, found \"a{b}\"",
        ),
        (
            shared().with("REDIS_CONNECTION_TIMEOUT_MS", "0"),
            "REDIS_CONNECTION_TIMEOUT_MS: must be a whole number from 1 to 600000, found \"0\"",
        ),
        (
            shared().with("BATON_LEASE_MS", "999"),
            "BATON_LEASE_MS: must be a whole number from 1000 to 60000, found \"999\"",
        ),
        (
            shared().with("BATON_DRAIN_DELAY_MS", "60001"),
            "BATON_DRAIN_DELAY_MS: must be a whole number from 0 to 60000, found \"60001\"",
        ),
        (
            shared().with("BATON_INSTANCE", "one two"),
            "BATON_INSTANCE: must have at most 64 letters, digits and - _ ., found \"one two\"",
        ),
        (
            shared().with("BATON_REDIS_CA_FILE", "/dev/null"),
            "BATON_REDIS_CA_FILE: must be a file that is not empty, found \"/dev/null\"",
        ),
        (
            plain().with("BATON_REDIS_CA_FILE", "/etc/hostname"),
            "BATON_REDIS_CA_FILE: has no use without TLS: give REDIS_URL the scheme rediss://, rediss-sentinel:// or \
             rediss-cluster://",
        ),
        (
            shared().with("BATON_REDIS_CERT_FILE", "/etc/hostname"),
            "BATON_REDIS_KEY_FILE: must be set together with BATON_REDIS_CERT_FILE",
        ),
        (
            shared().with("REPOSITORY_STORAGE_TYPE", "in_memroy"),
            "REPOSITORY_STORAGE_TYPE: must be `embedded`, `redis` or `in_memory`, found \"in_memroy\"; did you mean \
             `in_memory`?",
        ),
    ]);
}
