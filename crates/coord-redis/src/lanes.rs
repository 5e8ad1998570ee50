//! Which lanes this process has seen listed.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use baton_model::LaneId;

use crate::server::Run;

/// Lanes to remember; a lane that is forgotten is only listed again.
const LANES_MAX: usize = 128 * 1024;

/// Lanes that are in the list, and the run of the server that keeps it: another may have lost some.
#[derive(Default)]
pub(crate) struct Lanes(Mutex<(Option<Run>, BTreeSet<LaneId>)>);

impl Lanes {
    /// Whether a lane is listed for sure. `run` is the server's now, if there is a connection.
    pub(crate) fn is_listed(&self, lane: &LaneId, run: Option<&Run>) -> bool {
        let known = self.lock();
        run.is_none_or(|run| known.0.as_ref() == Some(run)) && known.1.contains(lane)
    }

    pub(crate) fn listed(&self, lane: &LaneId, run: Run) {
        let mut known = self.lock();
        if known.0.as_ref() != Some(&run) || known.1.len() >= LANES_MAX {
            known.0 = Some(run);
            known.1.clear();
        }
        known.1.insert(lane.clone());
    }

    pub(crate) fn forget(&self, lane: &LaneId) {
        self.lock().1.remove(lane);
    }

    fn lock(&self) -> MutexGuard<'_, (Option<Run>, BTreeSet<LaneId>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
