//! Asks sentinels who the master is.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisResult, Value, cmd};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::options::Address;
use crate::reply;
use crate::settings::Settings;

/// Longest wait for one sentinel: they answer from memory, and there are others.
const ANSWER_MAX: Duration = Duration::from_secs(1);

/// The sentinels of one master.
pub(crate) struct Sentinels {
    settings: Arc<Settings>,
    addresses: Vec<Address>,
    master: String,
    /// The one that answered last, and the connection to it.
    asked: Mutex<(usize, Option<MultiplexedConnection>)>,
}

impl Sentinels {
    pub(crate) fn new(settings: Arc<Settings>, addresses: Vec<Address>, master: String) -> Self {
        Self {
            settings,
            addresses,
            master,
            asked: Mutex::new((0, None)),
        }
    }

    /// Where the master is, by the first sentinel that answers.
    ///
    /// # Errors
    /// What the last one said.
    pub(crate) async fn master(&self) -> Result<Address, String> {
        let mut asked = self.asked.lock().await;
        let mut last = String::new();
        // One more than there are: a connection that was kept may have ended.
        for _ in 0..=self.addresses.len() {
            let address = &self.addresses[asked.0 % self.addresses.len()];
            let answer = timeout(ANSWER_MAX, self.ask(address, &mut asked.1)).await;
            last = match answer {
                Ok(Ok(Some(master))) => return Ok(master),
                Ok(Ok(None)) => format!("the sentinel at {address} knows no {:?}", self.master),
                Ok(Err(error)) => format!("the sentinel at {address}: {error}"),
                Err(_) => format!("the sentinel at {address} does not answer"),
            };
            if asked.1.take().is_none() {
                asked.0 = asked.0.wrapping_add(1);
            }
        }
        Err(last)
    }

    async fn ask(
        &self,
        address: &Address,
        kept: &mut Option<MultiplexedConnection>,
    ) -> RedisResult<Option<Address>> {
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => self.connect(address).await?,
        };
        let mut question = cmd("SENTINEL");
        question.arg("get-master-addr-by-name").arg(&self.master);
        let answer: Value = question.query_async(&mut connection).await?;
        *kept = Some(connection);
        Ok(reply::list(answer).and_then(|parts| {
            let host = reply::text(parts.first()?)?;
            let port = reply::text(parts.get(1)?)?.parse().ok()?;
            Some(Address { host, port })
        }))
    }

    async fn connect(&self, address: &Address) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(ANSWER_MAX))
            .set_response_timeout(Some(ANSWER_MAX));
        let client = self.settings.sentinel_client(address)?;
        client
            .get_multiplexed_async_connection_with_config(&config)
            .await
    }
}
