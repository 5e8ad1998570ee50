//! What a server says of itself, and whether it may be used.

use std::collections::BTreeMap;
use std::sync::Arc;

/// The first release with all commands that the scripts use.
const VERSION_LEAST: (u32, u32) = (6, 2);

/// A run of a server as a master: from its start, or from taking a master's place, to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run(Arc<str>);

/// Why a server is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// It will do later: it loads its data, or is a replica.
    Now(String),
    /// Somebody has to set it up otherwise.
    Ever(String),
}

/// Reads the answer to `INFO`.
///
/// # Errors
/// Why the server must not be used.
pub(crate) fn check(info: &str, cluster: bool) -> Result<Run, Unfit> {
    let fields: BTreeMap<&str, &str> = info
        .lines()
        .filter_map(|line| line.trim_end().split_once(':'))
        .collect();
    let field = |name: &str| fields.get(name).copied().unwrap_or_default();
    let version = field("redis_version");
    if number(version) < VERSION_LEAST {
        return Err(Unfit::Ever(format!(
            "it is Redis {version}; 6.2 or later, or Valkey, is needed"
        )));
    }
    if (field("cluster_enabled") == "1") != cluster {
        return Err(Unfit::Ever(if cluster {
            "it is not part of a cluster; use redis:// or redis-sentinel://".to_owned()
        } else {
            "it is part of a cluster; use redis-cluster://".to_owned()
        }));
    }
    let policy = field("maxmemory_policy");
    // The volatile policies only evict keys that expire, and no key of Baton does.
    if policy.starts_with("allkeys-") {
        return Err(Unfit::Ever(format!(
            "its maxmemory-policy is {policy}, which throws records away when memory is short; set it to noeviction"
        )));
    }
    if field("loading") == "1" {
        return Err(Unfit::Now("it is loading its data".to_owned()));
    }
    if field("role") != "master" {
        return Err(Unfit::Now(format!("its role is {:?}", field("role"))));
    }
    // The first changes with every start, the second when a replica becomes a master.
    match (field("run_id"), field("master_replid")) {
        ("", _) | (_, "") => {
            let reason = "its INFO holds no run_id or no master_replid";
            Err(Unfit::Ever(reason.to_owned()))
        }
        (run, history) => Ok(Run(Arc::from(format!("{run} {history}")))),
    }
}

fn number(version: &str) -> (u32, u32) {
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIT: [(&str, &str); 7] = [
        ("redis_version", "7.2.4"),
        ("run_id", "abc"),
        ("master_replid", "def"),
        ("role", "master"),
        ("loading", "0"),
        ("cluster_enabled", "0"),
        ("maxmemory_policy", "noeviction"),
    ];

    fn with(name: &str, value: &str) -> String {
        let fields = FIT
            .iter()
            .map(|(n, v)| format!("{n}:{}\r\n", if *n == name { value } else { v }));
        format!("# Server\r\n{}", fields.collect::<String>())
    }

    #[test]
    fn an_unfit_server_is_told_from_one_that_is_not_ready() {
        assert!(check(&with("", ""), false).is_ok());
        for policy in ["noeviction", "volatile-lru", "volatile-ttl"] {
            assert!(
                check(&with("maxmemory_policy", policy), false).is_ok(),
                "{policy}"
            );
        }
        let ever = [
            ("maxmemory_policy", "allkeys-lru", "noeviction"),
            ("maxmemory_policy", "allkeys-lfu", "noeviction"),
            ("maxmemory_policy", "allkeys-random", "noeviction"),
            ("redis_version", "6.0.16", "6.2"),
            ("redis_version", "", "6.2"),
            ("cluster_enabled", "1", "redis-cluster://"),
            ("run_id", "", "run_id"),
            ("master_replid", "", "master_replid"),
        ];
        for (name, value, told) in ever {
            match check(&with(name, value), false) {
                Err(Unfit::Ever(reason)) => assert!(reason.contains(told), "{reason}"),
                other => panic!("{name} {value}: {other:?}"),
            }
        }
        assert!(matches!(check(&with("", ""), true), Err(Unfit::Ever(_))));
        for (name, value) in [("loading", "1"), ("role", "slave")] {
            assert!(matches!(
                check(&with(name, value), false),
                Err(Unfit::Now(_))
            ));
        }
        assert!(check(&with("redis_version", "6.2.0"), false).is_ok());
        let usual = check(&with("", ""), false);
        for (name, value) in [("run_id", "other"), ("master_replid", "other")] {
            let other = check(&with(name, value), false);
            assert!(other.is_ok() && other != usual, "{name}");
        }
        assert!(check(&with("redis_version", "10.0.0"), false).is_ok());
    }
}
