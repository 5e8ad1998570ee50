//! The service behind the HTTP API: takes requests in, hands commands to lanes, and tells where
//! things stand.
//!
//! It runs on any replica and never holds a baton. What it accepts is one atomic batch to the
//! relayer's lane; whoever runs the lane finds it in the inbox.

mod accept;
mod api_keys;
mod attempts;
mod body;
mod caller;
mod command;
mod deliveries;
mod dry_run;
mod error;
pub mod http;
mod idempotency;
mod list;
mod many;
mod networks;
mod notifications;
mod number;
mod relayer_body;
mod relayers;
mod request;
mod rpc;
pub(crate) mod schema;
mod sign;
mod signers;
mod status;
mod stream;
mod table;
mod validate;
mod view;
mod wait;

use std::sync::Arc;
use std::time::Duration;

use baton_coord::{Batch, CommitError, Committed};
use baton_edge::Page;
use baton_model::RequestId;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use uuid::Uuid;

pub use accept::Sent;
pub use api_keys::ApiKeyView;
pub use caller::{Need, Rights};
pub use command::{CancelledPending, Commanded};
pub use deliveries::{DeliveryView, Redelivered};
pub use dry_run::DryRunView;
pub use error::ServiceError;
pub use idempotency::IdempotencyKey;
pub use list::Listed;
pub use many::{SentMany, SentOne};
pub use networks::{NetworkView, NodeView};
pub use notifications::NotificationView;
pub use request::{DATA_BYTES_MAX, TxRequest};
pub use rpc::{RPC_METHODS, RpcAnswer, RpcReply};
pub use signers::SignerView;
pub use stream::Told;
pub use table::TableError;
pub use validate::intrinsic_gas;
pub use view::{
    AccountStatus, BalanceView, CustomRpcUrl, DisabledReason, DisabledReasons, ExactPolicyView,
    PolicyView, RelayerView, SignatureView, StatusView, TransactionView,
};
pub use wait::{Wait, Waited};

use many::MANY_MAX;
pub(crate) use status::disabled_reason;
pub(crate) use validate::rfc3339;

use crate::registry::{Registry, Served, Snapshot};
use crate::{Relayer, SharedClock, SharedStore};

/// Where ids of requests and commands come from. They must be unique over all replicas and for
/// ever.
pub type Ids = Arc<dyn Fn() -> Uuid + Send + Sync>;

/// How the service behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceOptions {
    /// How long a request without `valid_until` may take until it is mined.
    pub validity: Duration,
    /// How long an answer to a cancel or replace waits for the lane to carry it out. Beyond, the
    /// command is as durable, and the answer says that it is pending.
    pub command_wait: Duration,
    /// How long to wait for the store's answer to a commit. Beyond, the caller hears that the
    /// outcome is unknown, and under which id to look.
    pub commit_wait: Duration,
    /// Methods that callers may call through a relayer: [`RPC_METHODS`], and what an operator adds.
    pub rpc_methods: &'static [&'static str],
    /// Longest time that a caller may wait for a transaction; below the time-out of a request.
    pub wait_max: Duration,
    /// Callers that wait for transactions at a time. Those beyond get their answers at once.
    pub waiters_max: usize,
    /// Streams of events at a time.
    pub streams_max: usize,
    /// Whether events are kept for streams.
    pub has_streams: bool,
    /// How long to go on finding out whether a commit with an unknown outcome was applied.
    pub unknown_wait: Duration,
}

impl Default for ServiceOptions {
    /// 8 h are the reference's validity. 5 s are several blocks' worth of a lane's turn-around and
    /// far below the time-out of a request, as are 10 s, in which a store that works answers a
    /// thousand times over; 2 s are some round trips to a store that is failing over. 28 s are just
    /// below the reference's time-out of a request. Half of the requests that are handled at a time
    /// may wait; a stream takes a connection, and half of the reference's 256 are left.
    fn default() -> Self {
        Self {
            validity: Duration::from_secs(8 * 3600),
            rpc_methods: RPC_METHODS,
            command_wait: Duration::from_secs(5),
            commit_wait: Duration::from_secs(10),
            wait_max: Duration::from_secs(28),
            waiters_max: 50,
            streams_max: 128,
            has_streams: true,
            unknown_wait: Duration::from_secs(2),
        }
    }
}

/// The service. Cheap to share behind an [`Arc`].
pub struct Service {
    store: SharedStore,
    clock: SharedClock,
    ids: Ids,
    options: ServiceOptions,
    registry: Arc<Registry>,
    waiters: Semaphore,
    streams: Arc<Semaphore>,
    /// True when streams are to end.
    stop: watch::Receiver<bool>,
}

impl Service {
    /// A service for what is registered.
    pub fn new(
        store: SharedStore,
        registry: Arc<Registry>,
        clock: SharedClock,
        ids: Ids,
        options: ServiceOptions,
    ) -> Self {
        Self {
            store,
            clock,
            ids,
            options,
            registry,
            waiters: Semaphore::new(options.waiters_max),
            streams: Arc::new(Semaphore::new(options.streams_max)),
            stop: watch::Sender::new(false).subscribe(),
        }
    }

    /// Ends its streams when `stop` becomes true.
    #[must_use]
    pub fn stopping(mut self, stop: watch::Receiver<bool>) -> Self {
        self.stop = stop;
        self
    }

    /// A service for these relayers and no others. Of several with one id the first counts.
    pub fn fixed(
        store: SharedStore,
        relayers: Vec<Relayer>,
        clock: SharedClock,
        ids: Ids,
        options: ServiceOptions,
    ) -> Self {
        let parts = (SharedStore::clone(&store), SharedClock::clone(&clock));
        let registry = Registry::fixed(parts.0, parts.1, Ids::clone(&ids), relayers);
        Self::new(store, Arc::new(registry), clock, ids, options)
    }

    /// Everything that is configured now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.registry.snapshot()
    }

    /// A relayer by its id.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], or [`ServiceError::Broken`] when it is configured but cannot be
    /// served here.
    pub fn relayer(&self, id: &str) -> Result<Arc<Served>, ServiceError> {
        let snapshot = self.registry.snapshot();
        if let Some(served) = snapshot.relayer(id) {
            return Ok(Arc::clone(served));
        }
        Err(match snapshot.broken.get(id) {
            Some(reason) => ServiceError::Broken {
                id: id.to_owned(),
                reason: reason.clone(),
            },
            None => ServiceError::relayer_not_found(id),
        })
    }

    /// Commits, and calls it unknown when the store takes too long: the caller must hear so from the
    /// service, with the id, before the request's own time-out ends it with less to go by.
    async fn commit(&self, batch: Batch) -> Result<Committed, CommitError> {
        let wait = self.options.commit_wait;
        let answer = timeout(wait, self.store.commit(batch)).await;
        answer.unwrap_or_else(|_| {
            Err(CommitError::Unknown {
                reason: format!("no answer within {wait:?}"),
            })
        })
    }

    fn fresh_id(&self) -> RequestId {
        RequestId::from_uuid((self.ids)())
    }
}

/// The part of a list that is on a page.
fn page_of<T>(all: &[T], page: Page) -> impl Iterator<Item = &T> {
    let skip = usize::try_from(page.offset()).unwrap_or(usize::MAX);
    all.iter().skip(skip).take(page.size() as usize)
}

/// Refuses new work and commands while a relayer is paused.
fn check_running(relayer: &Relayer) -> Result<(), ServiceError> {
    if relayer.paused {
        return Err(ServiceError::Forbidden("Relayer paused".into()));
    }
    Ok(())
}
