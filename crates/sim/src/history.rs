//! What the store held some seconds ago.

use std::collections::VecDeque;

use baton_coord::memory::Snapshot;

use crate::world::World;

/// Between two snapshots, in milliseconds.
const PERIOD_MS: u64 = 500;
/// Snapshots kept: as far as a store may fall back.
const KEPT: usize = 12;

/// Snapshots of the store, oldest first.
#[derive(Default)]
pub(crate) struct History {
    snapshots: VecDeque<(u64, Snapshot)>,
}

impl History {
    /// Takes a snapshot when it is time, in runs that need any.
    pub(crate) fn note(&mut self, world: &World) {
        let due = self
            .snapshots
            .back()
            .is_none_or(|(at_ms, _)| world.now_ms >= at_ms + PERIOD_MS);
        if !due || world.plan.rate(crate::fault::Fault::StoreRolledBack) == 0 {
            return;
        }
        self.snapshots
            .push_back((world.now_ms, world.store.snapshot()));
        if self.snapshots.len() > KEPT {
            self.snapshots.pop_front();
        }
    }

    /// Takes the store back to one of them.
    pub(crate) fn roll_back(&mut self, world: &mut World) {
        if self.snapshots.is_empty() {
            return;
        }
        let keep = world.rng.index(self.snapshots.len()) + 1;
        self.snapshots.truncate(keep);
        let Some((at_ms, snapshot)) = self.snapshots.back() else {
            return;
        };
        world.store.restore(snapshot);
        let (at_ms, lane) = (*at_ms, world.lane.clone());
        world.say(None, || format!("the store is as it was at {at_ms} ms"));
        let text = |key: &[u8]| String::from_utf8_lossy(key).into_owned();
        let entries = snapshot.entries(&lane);
        let entries = entries.map(|(key, value)| (text(key), value.to_vec()));
        world.note_rollback(entries.collect());
    }
}
