//! Where the server's program is.

use std::env;
use std::path::PathBuf;

use super::RedisError;

/// The program that `BATON_REDIS` names, else the first in `PATH`: Redis, or Valkey, which takes the same settings.
#[expect(
    clippy::disallowed_methods,
    reason = "tests have no configuration that could name the program"
)]
pub(super) fn redis_server() -> Result<PathBuf, RedisError> {
    if let Some(named) = env::var_os("BATON_REDIS") {
        let named = PathBuf::from(named);
        return match named.is_file() {
            true => Ok(named),
            false => Err(missing(&[named])),
        };
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let places: Vec<PathBuf> = env::split_paths(&path)
        .flat_map(|dir| [dir.join("redis-server"), dir.join("valkey-server")])
        .collect();
    let found = places.iter().find(|place| place.is_file());
    found.cloned().ok_or_else(|| missing(&places))
}

fn missing(places: &[PathBuf]) -> RedisError {
    let looked_at: Vec<String> = places.iter().map(|p| p.display().to_string()).collect();
    RedisError::Missing {
        looked_at: looked_at.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_the_way_to_install_it() {
        let text = missing(&[PathBuf::from("/nowhere/redis-server")]).to_string();
        assert!(
            text.contains("make tools") && text.contains("/nowhere/redis-server"),
            "{text}"
        );
    }
}
