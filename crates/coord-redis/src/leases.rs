//! What this process knows of the leases that it was given.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use baton_coord::Epoch;
use baton_model::LaneId;

use crate::server::Run;

/// Lanes to remember: more than a process ever holds.
const LANES_MAX: usize = 128 * 1024;

/// Epochs seen, and which run of a server gave those that are held.
#[derive(Default)]
pub(crate) struct Leases(Mutex<BTreeMap<LaneId, Known>>);

struct Known {
    /// The highest epoch seen.
    seen: Epoch,
    /// The run of the server that gave it, while it is held.
    held: Option<Run>,
}

impl Leases {
    /// The highest epoch that was seen of a lane, 0 if none was.
    pub(crate) fn seen(&self, lane: &LaneId) -> Epoch {
        self.lock().get(lane).map_or(Epoch(0), |known| known.seen)
    }

    /// The run of the server that gave this epoch. `None` if this process does not know it as its own.
    pub(crate) fn given_by(&self, lane: &LaneId, epoch: Epoch) -> Option<Run> {
        let lanes = self.lock();
        let known = lanes.get(lane).filter(|known| known.seen == epoch)?;
        known.held.clone()
    }

    pub(crate) fn acquired(&self, lane: &LaneId, epoch: Epoch, run: Run) {
        let mut lanes = self.lock();
        if lanes.len() >= LANES_MAX {
            lanes.retain(|_, known| known.held.is_some());
        }
        let held = Some(run);
        lanes.insert(lane.clone(), Known { seen: epoch, held });
    }

    /// Forgets that an epoch is held.
    pub(crate) fn lost(&self, lane: &LaneId, epoch: Epoch) {
        if let Some(known) = self.lock().get_mut(lane)
            && known.seen == epoch
        {
            known.held = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<LaneId, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
