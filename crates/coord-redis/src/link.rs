//! One multiplexed connection to one server, made again when it breaks.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, PushInfo, PushKind, RedisResult, Value};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::options::Address;
use crate::reply;
use crate::server::{self, Run, Unfit};
use crate::settings::Settings;

/// Pause after the first failed attempt; each further failure doubles it.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
/// Longest pause between attempts: a server that is back is found within it.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Calls that wait to be written, beyond which callers wait their turn.
const UNWRITTEN_MAX: usize = 1024;
/// Bytes gathered before they are written: what many lanes send at once goes out in one piece.
const GATHERED_MAX: usize = 64 * 1024;

/// A connection that was made and checked.
#[derive(Clone)]
pub(crate) struct Connected {
    pub(crate) connection: MultiplexedConnection,
    /// Which run of the server it leads to.
    pub(crate) run: Run,
    /// Tells it from those before.
    number: u64,
}

/// Why there is no connection.
#[derive(Clone, Debug)]
pub(crate) struct NoConnection {
    pub(crate) reason: String,
    /// Whether waiting does not help.
    pub(crate) is_final: bool,
}

/// The way to one server. Attempts are made one at a time, with growing pauses.
pub(crate) struct Link {
    pub(crate) address: Address,
    settings: Arc<Settings>,
    current: Arc<Mutex<Option<Connected>>>,
    attempts: tokio::sync::Mutex<Attempts>,
}

struct Attempts {
    made: u64,
    failed: u32,
    next: Instant,
    /// Why the last one failed, and when.
    last: NoConnection,
    ended: Option<Instant>,
}

impl Link {
    pub(crate) fn new(address: Address, settings: Arc<Settings>) -> Self {
        let last = NoConnection {
            reason: format!("{address} does not answer"),
            is_final: false,
        };
        Self {
            address,
            settings,
            current: Arc::default(),
            attempts: tokio::sync::Mutex::new(Attempts {
                made: 0,
                failed: 0,
                next: Instant::now(),
                last,
                ended: None,
            }),
        }
    }

    /// The connection, if there is one.
    pub(crate) fn peek(&self) -> Option<Connected> {
        lock(&self.current).clone()
    }

    /// The connection; made if there is none. Waits for others that make it, and for the pause after a failure, but
    /// not beyond the deadline.
    pub(crate) async fn connected(&self, deadline: Instant) -> Result<Connected, NoConnection> {
        if let Some(connected) = self.peek() {
            return Ok(connected);
        }
        let asked = Instant::now();
        let Ok(mut attempts) = timeout_at(deadline, self.attempts.lock()).await else {
            return Err(NoConnection {
                reason: format!("{} does not answer", self.address),
                is_final: false,
            });
        };
        // Somebody else may have made it meanwhile.
        if let Some(connected) = self.peek() {
            return Ok(connected);
        }
        // One attempt answers all who waited for it: each making its own would be as many pauses.
        if attempts.ended.is_some_and(|ended| ended > asked) || attempts.next >= deadline {
            return Err(attempts.last.clone());
        }
        sleep_until(attempts.next).await;
        attempts.made += 1;
        let until = deadline.min(Instant::now() + self.settings.options.connect_timeout);
        match self.attempt(attempts.made, until).await {
            Ok(connected) => {
                attempts.failed = 0;
                Ok(connected)
            }
            Err(error) => {
                attempts.failed = attempts.failed.saturating_add(1);
                attempts.next = Instant::now() + pause(attempts.failed);
                attempts.last = error.clone();
                attempts.ended = Some(Instant::now());
                tracing::debug!(address = %self.address, reason = error.reason, "no connection");
                Err(error)
            }
        }
    }

    /// Gives up a connection; the next call makes a new one.
    pub(crate) fn discard(&self, connected: &Connected) {
        discard(&self.current, connected.number);
    }

    /// Gives up whatever connection there is.
    pub(crate) fn discard_any(&self) {
        lock(&self.current).take();
    }

    async fn attempt(&self, number: u64, until: Instant) -> Result<Connected, NoConnection> {
        let passing = |reason: String| NoConnection {
            reason: format!("{}: {reason}", self.address),
            is_final: false,
        };
        let made = timeout_at(until, self.open(number)).await;
        let (connection, info) = made
            .map_err(|_| passing("no connection in time".to_owned()))?
            .map_err(|error| passing(error.to_string()))?;
        let run =
            server::check(&info, self.settings.is_cluster()).map_err(|unfit| match unfit {
                Unfit::Now(reason) => passing(reason),
                Unfit::Ever(reason) => NoConnection {
                    reason,
                    is_final: true,
                },
            })?;
        let connected = Connected {
            connection,
            run,
            number,
        };
        lock(&self.current).replace(connected.clone());
        Ok(connected)
    }

    async fn open(&self, number: u64) -> RedisResult<(MultiplexedConnection, String)> {
        let current = Arc::downgrade(&self.current);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_pipeline_buffer_size(UNWRITTEN_MAX)
            .set_write_backpressure_boundary(GATHERED_MAX)
            .set_push_sender(move |push: PushInfo| ended(&current, number, &push));
        let client = self.settings.client(&self.address)?;
        let mut connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        let mut pipeline = redis::pipe();
        for script in self.settings.scripts.all() {
            pipeline.cmd("SCRIPT").arg("LOAD").arg(script.source);
        }
        pipeline.cmd("INFO");
        let replies: Vec<Value> = pipeline.query_async(&mut connection).await?;
        let info = replies.last().and_then(reply::text).unwrap_or_default();
        Ok((connection, info))
    }
}

/// Told by the connection itself, so that the next call does not go into one that has ended.
fn ended(
    current: &Weak<Mutex<Option<Connected>>>,
    number: u64,
    push: &PushInfo,
) -> Result<(), std::convert::Infallible> {
    if push.kind == PushKind::Disconnection
        && let Some(current) = current.upgrade()
    {
        discard(&current, number);
    }
    Ok(())
}

fn discard(current: &Mutex<Option<Connected>>, number: u64) {
    let mut current = lock(current);
    if current.as_ref().is_some_and(|kept| kept.number == number) {
        *current = None;
    }
}

fn lock(current: &Mutex<Option<Connected>>) -> std::sync::MutexGuard<'_, Option<Connected>> {
    current.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Half of it by chance, so that many processes do not come back all at once.
pub(crate) fn pause(failed: u32) -> Duration {
    let doubled = PAUSE_FIRST * 2_u32.saturating_pow(failed.saturating_sub(1).min(16));
    doubled
        .min(PAUSE_MAX)
        .mul_f64(0.5 + rand::random::<f64>() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_and_differ() {
        assert!(pause(1) >= PAUSE_FIRST / 2 && pause(1) <= PAUSE_FIRST);
        assert!(pause(3) >= PAUSE_FIRST * 2);
        for failed in [6, 30, u32::MAX] {
            assert!(pause(failed) <= PAUSE_MAX && pause(failed) >= PAUSE_MAX / 2);
        }
        assert!((0..8).map(|_| pause(9)).any(|other| other != pause(9)));
    }
}
