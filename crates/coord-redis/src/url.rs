//! Options as one text: `redis://user:password@host:port/database` and its relatives.

use percent_encoding::percent_decode_str;

use crate::options::{Address, Credentials, Options, Servers, Tls};

const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26_379;
/// Servers named in one text: more than any deployment has, and each is asked in turn.
const ADDRESSES_MAX: usize = 64;

/// Why a text names no store. The text itself may hold a password and is not repeated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Not one of the schemes.
    #[error(
        "the scheme is {found:?}; known are redis://, rediss://, redis-sentinel://, \
         rediss-sentinel://, redis-cluster:// and rediss-cluster://"
    )]
    Scheme {
        /// What is there instead.
        found: String,
    },
    /// A part that cannot be read.
    #[error("{part} {rule}; found {found:?}")]
    Part {
        /// Which part of the text.
        part: &'static str,
        /// What it must be.
        rule: &'static str,
        /// What it is; empty for a part that may hold a secret.
        found: String,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Standalone,
    Sentinel,
    Cluster,
}

impl Options {
    /// Reads a text of one of these forms, with `rediss` instead of `redis` for TLS:
    ///
    /// - `redis://[user[:password]@]host[:port][/database]`
    /// - `redis-sentinel://[user[:password]@]host[:port][,host[:port]...]/master[/database]`
    /// - `redis-cluster://[user[:password]@]host[:port][,host[:port]...]`
    ///
    /// User and password are percent-encoded, and go to the servers, not to the sentinels. `:password@` alone is for
    /// the default user.
    ///
    /// # Errors
    /// The part that is wrong, and what it must be.
    pub fn from_url(text: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = text.split_once("://").ok_or_else(|| scheme_error(""))?;
        let (kind, encrypted) = match scheme {
            "redis" => (Kind::Standalone, false),
            "rediss" => (Kind::Standalone, true),
            "redis-sentinel" => (Kind::Sentinel, false),
            "rediss-sentinel" => (Kind::Sentinel, true),
            "redis-cluster" => (Kind::Cluster, false),
            "rediss-cluster" => (Kind::Cluster, true),
            other => return Err(scheme_error(other)),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, hosts) = match authority.rsplit_once('@') {
            Some((user, hosts)) => (Some(user), hosts),
            None => (None, authority),
        };
        let port = if kind == Kind::Sentinel {
            SENTINEL_PORT
        } else {
            REDIS_PORT
        };
        let addresses = addresses(hosts, port)?;
        let (servers, database) = servers(kind, addresses, path)?;
        let mut options = Self::new(servers);
        options.database = database;
        options.credentials = user.map(credentials).transpose()?.unwrap_or_default();
        options.tls = encrypted.then(Tls::default);
        Ok(options)
    }
}

fn servers(
    kind: Kind,
    mut addresses: Vec<Address>,
    path: &str,
) -> Result<(Servers, u32), UrlError> {
    match kind {
        Kind::Standalone => {
            let first = addresses.swap_remove(0);
            if let Some(second) = addresses.pop() {
                let rule =
                    "is one for redis://; for several use redis-sentinel:// or redis-cluster://";
                return Err(part("host", rule, &second.to_string()));
            }
            Ok((Servers::Standalone(first), database(path)?))
        }
        Kind::Sentinel => {
            let (master, rest) = path.split_once('/').unwrap_or((path, ""));
            if master.is_empty() {
                return Err(part("path", "names the master that Sentinel keeps", path));
            }
            let servers = Servers::Sentinel {
                sentinels: addresses,
                master: decoded("master", master)?,
            };
            Ok((servers, database(rest)?))
        }
        Kind::Cluster => match database(path)? {
            0 => Ok((Servers::Cluster(addresses), 0)),
            _ => Err(part("database", "is 0 on a cluster", path)),
        },
    }
}

fn addresses(hosts: &str, port: u16) -> Result<Vec<Address>, UrlError> {
    let addresses: Vec<Address> = hosts
        .split(',')
        .map(|host| address(host, port))
        .collect::<Result<_, _>>()?;
    if addresses.len() > ADDRESSES_MAX {
        let found = addresses.len().to_string();
        return Err(part("host", "occurs at most 64 times", &found));
    }
    Ok(addresses)
}

/// Reads `host`, `host:port`, `[v6]` or `[v6]:port`.
fn address(text: &str, default_port: u16) -> Result<Address, UrlError> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let closed = rest.split_once(']');
            let (host, rest) =
                closed.ok_or_else(|| part("host", "has a bracket without its twin", text))?;
            (host, rest)
        }
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
    if host.is_empty() || !host.chars().all(allowed) {
        return Err(part("host", "is a name or an IP address", host));
    }
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => default_port,
        digits => {
            let digits = digits.unwrap_or(port);
            let number = digits.parse().ok().filter(|port| *port != 0);
            number.ok_or_else(|| part("port", "is a number from 1 to 65535", digits))?
        }
    };
    Ok(Address {
        host: host.to_owned(),
        port,
    })
}

fn database(path: &str) -> Result<u32, UrlError> {
    if path.is_empty() {
        return Ok(0);
    }
    let number = path.parse().ok();
    number.ok_or_else(|| part("database", "is a number, and nothing follows it", path))
}

fn credentials(text: &str) -> Result<Credentials, UrlError> {
    let (user, password) = match text.split_once(':') {
        Some((user, password)) => (user, Some(password)),
        None => (text, None),
    };
    let user = (!user.is_empty()).then(|| decoded("user", user));
    let password = password.map(|password| decoded("password", password));
    Ok(Credentials {
        user: user.transpose()?,
        password: password.transpose()?,
    })
}

fn decoded(name: &'static str, text: &str) -> Result<String, UrlError> {
    let decoded = percent_decode_str(text).decode_utf8();
    let decoded = decoded.map_err(|_| part(name, "is percent-encoded UTF-8", ""))?;
    Ok(decoded.into_owned())
}

fn scheme_error(found: &str) -> UrlError {
    UrlError::Scheme {
        found: found.to_owned(),
    }
}

fn part(part: &'static str, rule: &'static str, found: &str) -> UrlError {
    UrlError::Part {
        part,
        rule,
        found: found.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(host: &str, port: u16) -> Address {
        Address {
            host: host.to_owned(),
            port,
        }
    }

    #[test]
    fn every_form_is_read() {
        let options = Options::from_url("redis://localhost").unwrap();
        assert_eq!(options.servers, Servers::Standalone(at("localhost", 6379)));
        assert_eq!((options.database, options.tls), (0, None));

        let options = Options::from_url("rediss://me:p%40ss%2F@[::1]:7000/3").unwrap();
        assert_eq!(options.servers, Servers::Standalone(at("::1", 7000)));
        assert_eq!((options.database, options.tls.is_some()), (3, true));
        assert_eq!(options.credentials.user.as_deref(), Some("me"));
        assert_eq!(options.credentials.password.as_deref(), Some("p@ss/"));

        let options = Options::from_url("redis-sentinel://:secret@a,b:1/main/2").unwrap();
        let sentinels = vec![at("a", 26_379), at("b", 1)];
        let master = "main".to_owned();
        assert_eq!(options.servers, Servers::Sentinel { sentinels, master });
        assert_eq!(options.database, 2);
        assert_eq!(options.credentials.user, None);
        assert_eq!(options.credentials.password.as_deref(), Some("secret"));

        let options = Options::from_url("rediss-cluster://a:1,b:2,c").unwrap();
        let nodes = vec![at("a", 1), at("b", 2), at("c", 6379)];
        assert_eq!(options.servers, Servers::Cluster(nodes));
    }

    #[test]
    fn what_is_wrong_is_named_and_the_password_is_not() {
        let cases = [
            ("http://hunter2@a", "scheme"),
            ("hunter2", "scheme"),
            ("redis://u:hunter2@", "host"),
            ("redis://u:hunter2@a:0", "port"),
            ("redis://u:hunter2@a:70000", "port"),
            ("redis://u:hunter2@[::1", "host"),
            ("redis://u:hunter2@a,b", "host"),
            ("redis://u:hunter2@a/x", "database"),
            ("redis://u:hunter2@a/1/2", "database"),
            ("redis://u:hunter2%ff@a", "password"),
            ("redis-sentinel://u:hunter2@a", "path"),
            ("redis-cluster://u:hunter2@a/1", "database"),
        ];
        for (text, named) in cases {
            let error = Options::from_url(text).expect_err(text).to_string();
            assert!(error.contains(named), "{text}: {error}");
            assert!(!error.contains("hunter2"), "{text}: {error}");
        }
        let options = Options::from_url("redis://u:hunter2@a").unwrap();
        assert!(!format!("{options:?} {:?}", options.credentials).contains("hunter2"));
    }
}
