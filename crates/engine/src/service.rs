//! The service behind the HTTP API: takes requests in, hands commands to lanes, and tells where
//! things stand.
//!
//! It runs on any replica and never holds a baton. What it accepts is one atomic batch to the
//! relayer's lane; whoever runs the lane finds it in the inbox.

mod accept;
mod command;
mod error;
pub mod http;
mod idempotency;
mod list;
mod number;
mod request;
mod status;
mod table;
mod validate;
mod view;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use baton_coord::{Batch, CommitError, Committed};
use baton_model::RequestId;
use tokio::time::timeout;
use uuid::Uuid;

pub use accept::Sent;
pub use command::{CancelledPending, Commanded};
pub use error::ServiceError;
pub use idempotency::IdempotencyKey;
pub use list::Listed;
pub use request::{DATA_BYTES_MAX, TxRequest};
pub use table::TableError;
pub use validate::intrinsic_gas;
pub use view::{
    AccountStatus, BalanceView, CustomRpcUrl, DisabledReason, DisabledReasons, PolicyView,
    RelayerView, SignatureView, StatusView, TransactionView,
};

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
    /// How long to go on finding out whether a commit with an unknown outcome was applied.
    pub unknown_wait: Duration,
}

impl Default for ServiceOptions {
    /// 8 h are the reference's validity. 5 s are several blocks' worth of a lane's turn-around and
    /// far below the time-out of a request, as are 10 s, in which a store that works answers a
    /// thousand times over; 2 s are some round trips to a store that is failing over.
    fn default() -> Self {
        Self {
            validity: Duration::from_secs(8 * 3600),
            command_wait: Duration::from_secs(5),
            commit_wait: Duration::from_secs(10),
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
    /// In the order of the configuration, in which they are listed.
    relayers: Vec<Relayer>,
    by_id: BTreeMap<String, usize>,
}

impl Service {
    /// A service for these relayers. Of several with one id the first counts; configurations are
    /// checked for that before.
    pub fn new(
        store: SharedStore,
        relayers: Vec<Relayer>,
        clock: SharedClock,
        ids: Ids,
        options: ServiceOptions,
    ) -> Self {
        let mut by_id = BTreeMap::new();
        for (index, relayer) in relayers.iter().enumerate() {
            by_id.entry(relayer.id.to_string()).or_insert(index);
        }
        Self {
            store,
            clock,
            ids,
            options,
            relayers,
            by_id,
        }
    }

    /// The relayers, in the order of the configuration.
    pub fn relayers(&self) -> &[Relayer] {
        &self.relayers
    }

    /// A relayer by its id.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`].
    pub fn relayer(&self, id: &str) -> Result<&Relayer, ServiceError> {
        match self.by_id.get(id) {
            Some(index) => Ok(&self.relayers[*index]),
            None => Err(ServiceError::relayer_not_found(id)),
        }
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

/// Refuses new work and commands while a relayer is paused.
fn check_running(relayer: &Relayer) -> Result<(), ServiceError> {
    if relayer.paused {
        return Err(ServiceError::Forbidden("Relayer paused"));
    }
    Ok(())
}
