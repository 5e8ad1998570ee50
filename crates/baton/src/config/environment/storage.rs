//! Where records are kept, and under which keys.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use baton_coord_redis::Options;
use baton_vault::Secret;

use super::Reader;
use crate::config::report::{Problem, Report};
use crate::config::secrets::read_text;
use crate::config::settings::{Backend, EncryptionKeys, RedisStorage, RedisTls, Storage};

/// Variable with how long records are kept.
pub(super) const RETENTION: &str = "TRANSACTION_EXPIRATION_HOURS";
const TYPE: &str = "REPOSITORY_STORAGE_TYPE";
const ENCRYPTION_KEY_BYTES: usize = 32;
/// Most old keys: each record that does not open is tried with all of them.
const OLD_KEYS_MAX: usize = 16;
/// 72 s: whoever got no answer has to find the request again when it is repeated.
const RETENTION_HOURS_MIN: f64 = 0.02;
/// Ten years: longer is likely to be in another unit.
const RETENTION_HOURS_MAX: f64 = 87_600.0;
/// A shared baton lasts no longer than callers are ready to wait for the successor of a process that was killed.
const SHARED_LEASE_MS: u64 = 1200;
/// Nobody waits for the baton of an embedded store: it ends with its process.
const OWN_LEASE_MS: u64 = 10_000;
/// Below this, a pause of the process, or of the store while it flushes, would cost the baton.
const LEASE_MS_MIN: u64 = 1000;
/// Longer is nothing that anybody would wait for.
const LEASE_MS_MAX: u64 = 60_000;
/// A load balancer that asks every few hundred milliseconds sees it.
const SHARED_DRAIN_MS: u64 = 1000;
/// As long as whoever stops processes waits before it kills them.
const DRAIN_MS_MAX: u64 = 60_000;
/// Longest name of an instance: it stands in tables.
const INSTANCE_CHARS_MAX: usize = 64;
/// Largest PEM file: a bundle of all public authorities is below it.
const PEM_BYTES_MAX: u64 = 1 << 20;

/// Reads what concerns the store.
pub(super) fn storage(reader: &mut Reader<'_>) -> Option<Storage> {
    let backend = backend(reader);
    let encryption = encryption(reader);
    let is_plain_allowed = reader.flag("BATON_ALLOW_PLAIN_STORE", false);
    let is_shared = matches!(backend, Some(Backend::Redis(_)));
    if is_shared && encryption.is_none() && !is_plain_allowed {
        let rule = "must be set for a Redis store, where others could read what is kept (make one with `baton keys \
                    encryption-key`, or set BATON_ALLOW_PLAIN_STORE=true)";
        reader.report.problem("STORAGE_ENCRYPTION_KEY", rule);
    }
    let retention = retention(reader);
    let lease = if is_shared {
        SHARED_LEASE_MS
    } else {
        OWN_LEASE_MS
    };
    let lease = reader.number("BATON_LEASE_MS", lease, LEASE_MS_MIN, LEASE_MS_MAX);
    Some(Storage {
        backend: backend?,
        encryption,
        retention: retention?,
        reset: reader.flag("RESET_STORAGE_ON_START", false),
        events_kept: reader.number("BATON_EVENTS_KEPT", 10_000, 0, 1_000_000),
        lease: Duration::from_millis(lease),
        instance: instance(reader),
    })
}

/// How long this process takes connections after it has said that it is not ready. Alone, nobody else would take them.
pub(super) fn drain_delay(reader: &mut Reader<'_>) -> Duration {
    let is_shared = reader.text(TYPE).as_deref() == Some("redis");
    let default = if is_shared { SHARED_DRAIN_MS } else { 0 };
    Duration::from_millis(reader.number("BATON_DRAIN_DELAY_MS", default, 0, DRAIN_MS_MAX))
}

fn backend(reader: &mut Reader<'_>) -> Option<Backend> {
    let data_dir = reader.text("BATON_DATA_DIR");
    let embedded = || Backend::Embedded {
        data_dir: PathBuf::from(data_dir.unwrap_or_else(|| "./data".to_owned())),
    };
    let Some(kind) = reader.text(TYPE) else {
        unread(reader);
        return Some(embedded());
    };
    match kind.as_str() {
        "in_memory" | "inmemory" | "in-memory" => {
            let message =
                "records are kept in the embedded store in BATON_DATA_DIR, and survive a restart";
            reader.report.warn(TYPE, message);
            unread(reader);
            Some(embedded())
        }
        "embedded" => {
            unread(reader);
            Some(embedded())
        }
        "redis" => redis(reader).map(Backend::Redis),
        other => {
            let problem = Problem::new(TYPE, "must be `embedded`, `redis` or `in_memory`");
            let known = ["embedded", "redis", "in_memory"];
            let problem = problem.found(format!("{other:?}")).meant(other, known);
            reader.report.add(problem);
            None
        }
    }
}

/// Whoever names a server may think that it is used.
fn unread(reader: &mut Reader<'_>) {
    if reader.text("REDIS_URL").is_some() {
        let message =
            format!("is not read: the store is embedded; for a shared one set {TYPE}=redis");
        reader.report.warn("REDIS_URL", message);
    }
}

fn redis(reader: &mut Reader<'_>) -> Option<RedisStorage> {
    let Some(url) = reader.text("REDIS_URL") else {
        let rule = format!("must be set with {TYPE}=redis, as in redis://localhost:6379");
        reader.report.problem("REDIS_URL", rule);
        return None;
    };
    let options = Options::from_url(&url).map_err(|error| {
        // The text of the error repeats no secret.
        let text = format!("cannot be read: {error}");
        reader.report.problem("REDIS_URL", text);
    });
    let prefix = reader.text("REDIS_KEY_PREFIX");
    let prefix = prefix.unwrap_or_else(|| "baton".to_owned());
    if let Err(rule) = baton_coord_redis::check_prefix(&prefix) {
        let problem = Problem::new("REDIS_KEY_PREFIX", rule);
        reader.report.add(problem.found(format!("{prefix:?}")));
    }
    let connect_timeout = reader.number("REDIS_CONNECTION_TIMEOUT_MS", 2000, 1, 600_000);
    let tls = tls(
        reader,
        options.as_ref().is_ok_and(|options| options.tls.is_some()),
    );
    let sentinel_user = reader.text("BATON_REDIS_SENTINEL_USER");
    let sentinel_password = reader.text("BATON_REDIS_SENTINEL_PASSWORD");
    options.ok()?;
    Some(RedisStorage {
        url: Secret::new(url),
        prefix,
        connect_timeout: Duration::from_millis(connect_timeout),
        tls,
        sentinel_user,
        sentinel_password: sentinel_password.map(Secret::new),
    })
}

fn tls(reader: &mut Reader<'_>, is_encrypted: bool) -> RedisTls {
    const FILES: [&str; 3] = [
        "BATON_REDIS_CA_FILE",
        "BATON_REDIS_CERT_FILE",
        "BATON_REDIS_KEY_FILE",
    ];
    let [authorities, certificate, key] = FILES.map(|name| pem(reader, name));
    let open = |pem: Secret| pem.expose().to_owned();
    for name in FILES {
        if reader.text(name).is_some() && !is_encrypted {
            let rule = "has no use without TLS: give REDIS_URL the scheme rediss://, rediss-sentinel:// or \
                        rediss-cluster://";
            reader.report.problem(name, rule);
        }
    }
    for (name, other) in [(FILES[1], FILES[2]), (FILES[2], FILES[1])] {
        if reader.text(name).is_some() && reader.text(other).is_none() {
            reader
                .report
                .problem(other, format!("must be set together with {name}"));
        }
    }
    RedisTls {
        authorities: authorities.map(open),
        identity: certificate.map(open).zip(key),
    }
}

fn pem(reader: &mut Reader<'_>, name: &str) -> Option<Secret> {
    let path = reader.text(name)?;
    match read_text(path.as_ref(), PEM_BYTES_MAX) {
        Ok(text) => Some(Secret::new(text.as_str())),
        Err(rule) => {
            let problem = Problem::new(name, rule);
            reader.report.add(problem.found(format!("{path:?}")));
            None
        }
    }
}

fn instance(reader: &mut Reader<'_>) -> Option<String> {
    const NAME: &str = "BATON_INSTANCE";
    let name = reader.text(NAME)?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.len() > INSTANCE_CHARS_MAX || !name.chars().all(allowed) {
        let rule = format!("must have at most {INSTANCE_CHARS_MAX} letters, digits and - _ .");
        let problem = Problem::new(NAME, rule);
        reader.report.add(problem.found(format!("{name:?}")));
    }
    Some(name)
}

fn encryption(reader: &mut Reader<'_>) -> Option<EncryptionKeys> {
    const OLD: &str = "BATON_OLD_ENCRYPTION_KEYS";
    let current = reader.text("STORAGE_ENCRYPTION_KEY");
    let old = reader.text(OLD).unwrap_or_default();
    let old: Vec<&str> = old
        .split(',')
        .map(str::trim)
        .filter(|key| !key.is_empty())
        .collect();
    if old.len() > OLD_KEYS_MAX {
        let problem = Problem::new(OLD, format!("must have at most {OLD_KEYS_MAX} keys"));
        reader.report.add(problem.found(old.len()));
    }
    let Some(current) = current else {
        if !old.is_empty() {
            let rule = "must not be set without STORAGE_ENCRYPTION_KEY, which new records need";
            reader.report.problem(OLD, rule);
        }
        return None;
    };
    let current = current.trim().to_owned();
    encryption_key("STORAGE_ENCRYPTION_KEY", &current, reader.report);
    for (index, key) in old.iter().enumerate() {
        let place = format!("{OLD}[{index}]");
        encryption_key(&place, key, reader.report);
        if *key == current {
            reader
                .report
                .problem(place, "must differ from STORAGE_ENCRYPTION_KEY");
        } else if old[..index].contains(key) {
            reader.report.problem(place, "is given twice");
        }
    }
    Some(EncryptionKeys {
        old: old.into_iter().map(Secret::new).collect(),
        current: Secret::new(current),
    })
}

fn encryption_key(place: &str, key: &str, report: &mut Report) {
    let rule = format!("must be {ENCRYPTION_KEY_BYTES} bytes in base64");
    match STANDARD.decode(key) {
        Ok(bytes) if bytes.len() == ENCRYPTION_KEY_BYTES => {}
        Ok(bytes) => {
            report.add(Problem::new(place, rule).found(format!("{} bytes", bytes.len())));
        }
        Err(_) => report.add(Problem::new(place, rule).found("other text")),
    }
}

fn retention(reader: &mut Reader<'_>) -> Option<Duration> {
    let Some(text) = reader.text(RETENTION) else {
        return Some(Duration::from_secs(4 * 3600));
    };
    let hours = text.trim().parse::<f64>().ok();
    let hours = hours.filter(|hours| (RETENTION_HOURS_MIN..=RETENTION_HOURS_MAX).contains(hours));
    if hours.is_none() {
        let rule = format!("must be a number from {RETENTION_HOURS_MIN} to {RETENTION_HOURS_MAX}");
        let problem = Problem::new(RETENTION, rule);
        reader.report.add(problem.found(format!("{text:?}")));
    }
    hours.map(|hours| Duration::from_secs_f64(hours * 3600.0))
}
