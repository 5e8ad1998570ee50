//! Asks a cluster which server has which slot.

use std::time::Duration;

use redis::{AsyncConnectionConfig, RedisResult, Value, cmd};
use tokio::time::timeout;

use crate::keys::SLOTS;
use crate::options::Address;
use crate::reply;
use crate::settings::Settings;

/// Longest wait for one server: it answers from memory, and there are others.
const ANSWER_MAX: Duration = Duration::from_secs(1);

/// A range of slots: the first, the last, the server that has them, and its replicas.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) first: usize,
    pub(crate) last: usize,
    pub(crate) master: Address,
    pub(crate) replicas: Vec<Address>,
}

/// What one server of the cluster knows.
///
/// # Errors
/// What went wrong.
pub(crate) async fn ranges(settings: &Settings, asked: &Address) -> Result<Vec<Range>, String> {
    let answer = timeout(ANSWER_MAX, ask(settings, asked)).await;
    let answer = answer
        .map_err(|_| format!("{asked} does not answer"))?
        .map_err(|error| format!("{asked}: {error}"))?;
    parse(answer, asked).ok_or_else(|| format!("{asked}: an answer that is no list of slots"))
}

async fn ask(settings: &Settings, address: &Address) -> RedisResult<Value> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(ANSWER_MAX))
        .set_response_timeout(Some(ANSWER_MAX));
    let client = settings.client(address)?;
    let mut connection = client
        .get_multiplexed_async_connection_with_config(&config)
        .await?;
    cmd("CLUSTER")
        .arg("SLOTS")
        .query_async(&mut connection)
        .await
}

fn parse(answer: Value, asked: &Address) -> Option<Vec<Range>> {
    let mut ranges = Vec::new();
    for range in reply::list(answer)? {
        let mut parts = reply::list(range)?.into_iter();
        let first = usize::try_from(reply::number(&parts.next()?)?).ok()?;
        let last = usize::try_from(reply::number(&parts.next()?)?).ok()?;
        if first > last || last >= SLOTS {
            return None;
        }
        let mut servers = parts.filter_map(|server| address(server, asked));
        ranges.push(Range {
            first,
            last,
            master: servers.next()?,
            replicas: servers.collect(),
        });
    }
    Some(ranges)
}

/// A server that does not know its own name is where it was asked.
fn address(server: Value, asked: &Address) -> Option<Address> {
    let parts = reply::list(server)?;
    let host = parts.first().and_then(reply::text);
    let host = host.filter(|host| !host.is_empty() && host != "?");
    let port = u16::try_from(reply::number(parts.get(1)?)?).ok()?;
    Some(Address {
        host: host.unwrap_or_else(|| asked.host.clone()),
        port,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    fn server(host: Value, port: i64) -> Value {
        Value::Array(vec![host, Value::Int(port), text("id")])
    }

    #[test]
    fn slots_are_read_and_nonsense_is_not() {
        let asked = Address {
            host: "seed".to_owned(),
            port: 1,
        };
        let range = |first, last, servers: Vec<Value>| {
            let numbers = vec![Value::Int(first), Value::Int(last)];
            Value::Array(vec![Value::Array([numbers, servers].concat())])
        };
        let servers = || {
            vec![
                server(text("a"), 2),
                server(Value::Nil, 3),
                server(text(""), 4),
            ]
        };
        let found = parse(range(5, 16_383, servers()), &asked).unwrap();
        assert_eq!((found[0].first, found[0].last), (5, 16_383));
        assert_eq!(found[0].master.to_string(), "a:2");
        let replicas: Vec<String> = found[0].replicas.iter().map(ToString::to_string).collect();
        assert_eq!(replicas, ["seed:3", "seed:4"]);
        assert_eq!(parse(range(5, 16_384, servers()), &asked), None);
        assert_eq!(parse(range(6, 5, servers()), &asked), None);
        assert_eq!(parse(range(0, 1, Vec::new()), &asked), None);
        assert_eq!(parse(Value::Nil, &asked), None);
    }
}
