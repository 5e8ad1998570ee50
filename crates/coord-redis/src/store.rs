//! Opening, and what all parts of the contract use.

use std::sync::Arc;

use baton_coord::{Epoch, StoreError};
use baton_model::LaneId;
use futures_util::future::join_all;
use redis::{Cmd, Value, cmd};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::call::{Call, Caller, On};
use crate::error::{Failure, OpenError};
use crate::events::Events;
use crate::keys::lanes_slot;
use crate::lanes::Lanes;
use crate::leases::Leases;
use crate::link::{NoConnection, pause};
use crate::nodes::Nodes;
use crate::options::Options;
use crate::publisher::Publisher;
use crate::scripts::Text;
use crate::settings::Settings;

/// Most memory, in KiB, of batches on their way: room for four of the largest.
const ROOM_KIB: usize = 64 * 1024;
/// Most bytes that one scan or read returns: four of the largest batches; bounds what the server gathers for an answer.
pub(crate) const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A store on Redis or Valkey. Clones share its connections, which end with the last of them.
#[derive(Clone)]
pub struct RedisStore {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) caller: Caller,
    pub(crate) leases: Leases,
    pub(crate) lanes: Lanes,
    pub(crate) events: Arc<Events>,
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) room: Semaphore,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        self.events.close();
    }
}

impl RedisStore {
    /// Connects to all servers that keep data and checks them.
    ///
    /// # Errors
    /// See [`OpenError`]: an option that breaks a rule, a server that must not be used (an evicting
    /// `maxmemory-policy` among the reasons), or none that answers within `search_timeout`.
    pub async fn open(options: Options) -> Result<Self, OpenError> {
        let settings = Settings::check(options)?;
        let nodes = Nodes::new(Arc::clone(&settings));
        let events = Arc::new(Events::new());
        let publisher = Arc::new(Publisher::default());
        check_servers(&settings, &nodes).await?;
        let hears = Arc::clone(&events).run(Arc::clone(&settings), Arc::clone(&nodes));
        let publishes = Arc::clone(&publisher).run(Arc::clone(&settings), Arc::clone(&nodes));
        let tasks = vec![tokio::spawn(hears), tokio::spawn(publishes)];
        Ok(Self {
            shared: Arc::new(Shared {
                caller: Caller { settings, nodes },
                leases: Leases::default(),
                lanes: Lanes::default(),
                events,
                publisher,
                room: Semaphore::new(ROOM_KIB),
                tasks,
            }),
        })
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.shared.caller.settings
    }

    /// The run of a server that gave this process an epoch: only that one may act on it.
    pub(crate) fn given_by(&self, lane: &LaneId, epoch: Epoch) -> Option<On> {
        let run = self.shared.leases.given_by(lane, epoch)?;
        let mut probe = cmd("HGET");
        probe.arg(self.settings().keys.meta(lane)).arg("epoch");
        Some(On { run, probe })
    }

    /// A question: a script that only reads, or a command.
    pub(crate) async fn ask(
        &self,
        slot: u16,
        command: Cmd,
        script: Option<&Text>,
    ) -> Result<Value, StoreError> {
        let call = Call {
            slot,
            command,
            script,
            bytes: 0,
            writes: false,
            on: None,
        };
        let answered = self.shared.caller.call(&call).await;
        answered
            .map(|answered| answered.value)
            .map_err(Failure::of_read)
    }

    /// Makes sure that a lane is listed before anything is written to it.
    pub(crate) async fn list_lane(&self, lane: &LaneId) -> Result<(), StoreError> {
        let Shared { caller, lanes, .. } = &*self.shared;
        let host = caller.nodes.peek(lanes_slot());
        let run = host.and_then(|host| host.link(lanes_slot(), false).peek());
        if lanes.is_listed(lane, run.as_ref().map(|connected| &connected.run)) {
            return Ok(());
        }
        let mut command = cmd("ZADD");
        command
            .arg(self.settings().keys.lanes())
            .arg(0)
            .arg(lane.as_str());
        let call = Call {
            slot: lanes_slot(),
            command,
            script: None,
            bytes: 0,
            // It may be done twice.
            writes: false,
            on: None,
        };
        let answered = caller.call(&call).await.map_err(Failure::of_read)?;
        lanes.listed(lane, answered.run);
        Ok(())
    }

    /// Lists a lane again of which nothing was left: its entry may have gone with it.
    pub(crate) async fn list_again(&self, lane: &LaneId) {
        self.shared.lanes.forget(lane);
        if let Err(error) = self.list_lane(lane).await {
            tracing::warn!(%lane, %error, "a lane may be missing from the list of lanes");
        }
    }
}

async fn check_servers(settings: &Settings, nodes: &Nodes) -> Result<(), OpenError> {
    let deadline = Instant::now() + settings.options.search_timeout;
    let mut failed = 0;
    loop {
        let Err((address, error)) = connect_all(nodes, deadline).await else {
            return Ok(());
        };
        if error.is_final {
            let reason = error.reason;
            return Err(OpenError::Unfit { address, reason });
        }
        nodes.doubt();
        failed += 1;
        let pause = pause(failed);
        if Instant::now() + pause >= deadline {
            let reason = error.reason;
            return Err(OpenError::Unavailable { reason });
        }
        sleep(pause).await;
    }
}

async fn connect_all(nodes: &Nodes, deadline: Instant) -> Result<(), (String, NoConnection)> {
    let masters = nodes.masters(deadline).await;
    // All at once, and before they are needed: later there may be no room for them.
    for host in masters.map_err(|error| (String::new(), error))? {
        let connected = join_all(host.links().map(|link| link.connected(deadline))).await;
        let refused = connected.into_iter().find_map(Result::err);
        if let Some(error) = refused {
            return Err((host.address.to_string(), error));
        }
    }
    Ok(())
}

pub(crate) fn strange() -> StoreError {
    StoreError::Damaged {
        reason: "the server gave an answer that makes no sense here".to_owned(),
    }
}
