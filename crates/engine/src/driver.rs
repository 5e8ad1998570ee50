//! Runs lanes: holds their batons, feeds the pure engine with what happens and does what it wants done.
//!
//! One task follows each network and one runs each lane. A lane's task is the only place that touches its engine; every
//! question to a node, a signer or the store is asked by a task of its own that brings back an input.

pub(crate) mod baton;
mod blocks;
mod broadcast;
mod commit;
mod follow;
mod inbox;
mod load;
mod metrics;
mod retention;
pub(crate) mod run;
pub(crate) mod seek;
mod session;
mod sources;
mod state;
mod tasks;
mod tell;
mod times;
mod work;

use std::sync::Arc;
use std::time::Duration;

use baton_coord::HolderId;
use baton_lanes::{LaneConfig, Timing};
use baton_vault::Signer;

pub use follow::{ChainEvent, Follower, Hearer};
pub use metrics::DriverMetrics;
pub use run::run_lane;
pub use state::{LaneState, LaneStatus};

use crate::fleet::Fleet;
use crate::webhooks::LaneHooks;
use crate::{Relayer, SharedClock, SharedStore};

/// How lanes are run.
#[derive(Clone, Debug)]
pub struct DriverOptions {
    /// Who this process is to the leases: host, process and a random part.
    pub holder: HolderId,
    /// How long a baton lasts without renewal. A successor waits that long after a crash.
    pub lease: Duration,
    /// Least time between looks into an inbox under load, and between every two commits; zero for none. It saves a
    /// store that is far away round trips, and costs what comes in between so much time. After a pause nothing waits.
    pub pace: Duration,
    /// Skip nonces that unknown transactions used (`--adopt`).
    pub adopt: bool,
    /// How long finished requests are kept.
    pub retention: Duration,
    /// How many events of a relayer are kept for streams that were interrupted; 0 keeps none, and there are no streams.
    pub events_kept: u64,
}

/// Everything that the task of one lane needs.
pub struct LaneContext {
    /// The relayer whose lane it is.
    pub relayer: Relayer,
    /// One signer for each of the relayer's accounts, in their order.
    pub signers: Vec<Arc<dyn Signer>>,
    /// The store.
    pub store: SharedStore,
    /// The clock.
    pub clock: SharedClock,
    /// The follower of the relayer's network.
    pub follower: Arc<Follower>,
    /// Where the lane's state is shown.
    pub status: Arc<LaneStatus>,
    /// How to run it.
    pub options: DriverOptions,
    /// Who is told of its transactions; `None` when nobody is.
    pub hooks: Option<LaneHooks>,
    /// Who decides which of the lanes this process asks for; `None` when it asks for all of them.
    pub fleet: Option<Arc<Fleet>>,
}

impl LaneContext {
    fn lane_config(&self) -> LaneConfig {
        let profile = self.relayer.network.profile.clone();
        LaneConfig {
            accounts: self.relayer.accounts.clone(),
            policy: self.relayer.policy.clone(),
            timing: Timing::for_chain(&profile),
            profile,
            paused: self.relayer.paused,
            adopt: self.options.adopt,
            retention: self.options.retention,
        }
    }
}
