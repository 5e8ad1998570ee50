//! [`ChainClient`] over JSON-RPC nodes of an EVM chain.

mod block;
mod estimate;
mod lookup;
mod market;
pub(crate) mod quantity;
mod receipt;
mod transaction;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use baton_model::{Address, B256, Bytes, Call};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::client::{
    AccountView, BlockView, ChainClient, Estimate, HeadRef, Market, NodeAnswer, ObservedTx,
    PassedAnswer, PassedCall, Receipt, RpcError,
};
use crate::config::{ConfigError, EvmClientConfig};
use crate::rpc::{
    Ask, EndpointHealth, Feed, Node, Pool, Read, Reply, RpcObserver, SendQueues, collect,
    http_client,
};
use quantity::Quantity;

/// A network behind one or several JSON-RPC endpoints.
///
/// *Reads* go to the most advanced of the healthy endpoints, and to others when that one fails.
/// Reads of accounts name the block that they are meant for, the network's head, so an endpoint
/// that lags behind fails them and the next one is asked: their answers do not go back in time.
/// Only `pending` counts and estimates, which have no block, may come from a lagging endpoint, and
/// only when all more advanced ones fail.
///
/// *Heads* come by WebSocket from endpoints that have one, and by polling from the others and
/// during outages. Polls are a quarter of the average block time apart, but at least 100 ms and at
/// most 1 s.
///
/// *Broadcasts* are offered once to each usable endpoint. Each has one ordered queue: what was
/// broadcast first is offered first, and what waits together travels together.
///
/// The client owns its background tasks: they end with [`EvmClient::shutdown`], or at once when it
/// is dropped.
pub struct EvmClient {
    pool: Arc<Pool>,
    eip1559: bool,
    queues: Mutex<Option<SendQueues>>,
    stop: watch::Sender<bool>,
    tasks: Mutex<JoinSet<()>>,
}

/// Why an endpoint must not be used for a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainIdError {
    /// An endpoint serves another chain.
    #[error("endpoint {endpoint} serves chain {found}, the network has chain id {expected}")]
    Mismatch {
        /// Host of the endpoint.
        endpoint: String,
        /// The chain id it answered.
        found: u64,
        /// The chain id of the network.
        expected: u64,
    },
    /// No endpoint answered.
    #[error("chain id not checked: {0}")]
    Unchecked(RpcError),
}

impl EvmClient {
    /// Checks the settings and starts following heads. Must be called within a Tokio runtime. No
    /// endpoint needs to be reachable yet.
    ///
    /// # Errors When a setting is out of its range or a URL cannot be used.
    pub fn start(
        config: &EvmClientConfig,
        observer: &Arc<dyn RpcObserver>,
    ) -> Result<Self, ConfigError> {
        let endpoints = config.check()?;
        let client = http_client(config)?;
        let nodes = endpoints
            .iter()
            .enumerate()
            .filter_map(|(index, endpoint)| Node::new(index, endpoint, config, &client, observer))
            .map(Arc::new)
            .collect();
        let pool = Arc::new(Pool::new(nodes, endpoints.len(), config));
        let mut tasks = JoinSet::new();
        let stop = watch::Sender::new(false);
        let queues = SendQueues::start(&pool, &mut tasks);
        Feed::start(&pool, endpoints, config, &stop.subscribe(), &mut tasks);
        Ok(Self {
            pool,
            eip1559: config.eip1559,
            queues: Mutex::new(Some(queues)),
            stop,
            tasks: Mutex::new(tasks),
        })
    }

    /// Stops following heads and takes no more broadcasts; waits for what is still queued for
    /// slower endpoints, at most for `grace`. Broadcasts that come later are answered as unknown.
    pub async fn shutdown(&self, grace: Duration) {
        self.stop.send_replace(true);
        drop(lock(&self.queues).take());
        let mut tasks = std::mem::take(&mut *lock(&self.tasks));
        let ended = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(grace, ended).await.is_err() {
            tracing::warn!("sends to slow endpoints were cut short");
        }
    }

    /// Asks every endpoint for its chain id. Endpoints that do not answer are passed over if
    /// another one does.
    ///
    /// # Errors When an endpoint serves another chain, or none answered.
    pub async fn check_chain_id(&self, expected: u64) -> Result<(), ChainIdError> {
        let asks = [Ask::new("eth_chainId", &[(); 0])];
        let found = self.pool.nodes.iter().map(|node| async {
            let replies = self.pool.read_there(node, &asks).await?;
            let [reply] = exactly(replies)?;
            parse::<Quantity<u64>>("eth_chainId", reply).map(|id| id.0)
        });
        let mut unanswered = None;
        let mut answered = false;
        let found = futures_util::future::join_all(found).await;
        for (node, found) in self.pool.nodes.iter().zip(found) {
            match found {
                Ok(found) if found == expected => answered = true,
                Ok(found) => {
                    return Err(ChainIdError::Mismatch {
                        endpoint: node.host.clone(),
                        found,
                        expected,
                    });
                }
                Err(error) => unanswered = Some(error),
            }
        }
        match unanswered {
            Some(error) if !answered => Err(ChainIdError::Unchecked(error)),
            Some(_) | None => Ok(()),
        }
    }

    /// How each enabled endpoint stands.
    pub fn endpoints(&self) -> Vec<EndpointHealth> {
        self.pool.health()
    }
}

#[async_trait]
impl ChainClient for EvmClient {
    fn heads(&self) -> watch::Receiver<Option<HeadRef>> {
        self.pool.heads()
    }

    async fn block(
        &self,
        number: Option<u64>,
        accounts: &[Address],
    ) -> Result<Option<BlockView>, RpcError> {
        block::block(&self.pool, number, accounts).await
    }

    async fn broadcast(&self, transactions: &[Bytes]) -> Vec<Vec<NodeAnswer>> {
        let offered = lock(&self.queues)
            .as_ref()
            .map(|queues| queues.offer(&self.pool, transactions));
        let (spoken, speakers) = offered.unwrap_or_else(|| (tokio::sync::mpsc::channel(1).1, 0));
        collect(transactions.len(), speakers, spoken).await
    }

    async fn block_receipts(
        &self,
        block: &BlockView,
        hashes: &[B256],
    ) -> Result<Vec<Receipt>, RpcError> {
        receipt::block_receipts(&self.pool, block, hashes).await
    }

    async fn receipts(&self, hashes: &[B256]) -> Result<Vec<Option<Receipt>>, RpcError> {
        receipt::receipts(&self.pool, hashes).await
    }

    async fn market(&self, percentiles: &[u8]) -> Result<Market, RpcError> {
        market::market(&self.pool, self.eip1559, percentiles).await
    }

    async fn estimate(&self, calls: &[(Address, Call)]) -> Vec<Estimate> {
        estimate::estimate(&self.pool, calls).await
    }

    async fn accounts(&self, addresses: &[Address]) -> Result<Vec<AccountView>, RpcError> {
        block::accounts(&self.pool, addresses).await
    }

    async fn pending_nonces(&self, addresses: &[Address]) -> Result<Vec<u64>, RpcError> {
        block::pending_nonces(&self.pool, addresses).await
    }

    async fn transaction_at(
        &self,
        account: Address,
        nonce: u64,
    ) -> Result<Option<ObservedTx>, RpcError> {
        lookup::transaction_at(&self.pool, account, nonce).await
    }

    async fn pass(&self, calls: &[PassedCall]) -> Result<Vec<PassedAnswer>, RpcError> {
        let asks: Vec<Ask> = calls
            .iter()
            .map(|call| Ask::raw(call.method, call.params.clone()))
            .collect();
        self.pool.pass(&asks).await
    }

    fn healthy(&self) -> bool {
        self.pool.healthy()
    }
}

/// Asks about the latest state and unwraps a known number of replies.
async fn ask_latest<const N: usize>(
    pool: &Pool,
    asks: [Ask; N],
) -> Result<(Arc<Node>, [Reply; N]), RpcError> {
    let (node, replies) = pool.read(&Read::latest(&asks)).await?;
    Ok((node, exactly(replies)?))
}

fn exactly<const N: usize>(replies: Vec<Reply>) -> Result<[Reply; N], RpcError> {
    replies
        .try_into()
        .map_err(|replies: Vec<Reply>| RpcError::NoAnswer {
            reason: format!("{} answers to {N} questions", replies.len()),
        })
}

/// Reads a result.
fn parse<T: DeserializeOwned>(method: &'static str, reply: Reply) -> Result<T, RpcError> {
    let result = reply?;
    serde_json::from_str(result.get()).map_err(|error| RpcError::NoAnswer {
        reason: format!("unreadable result of {method}: {error}"),
    })
}

fn is_found(reply: Option<&Reply>) -> bool {
    !matches!(reply, Some(Ok(result)) if result.get() == "null")
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Nothing under these locks can be left half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
