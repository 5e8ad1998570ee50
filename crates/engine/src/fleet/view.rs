//! What all instances told, for people.

use baton_coord::{Entry, Scan, StoreError};
use baton_lanes::record::decode;
use baton_model::Timestamp;
use futures_util::{StreamExt, TryStreamExt, stream};
use std::time::Duration;

use super::record::{BEATS, Beat, Duties, InstanceId, lane};
use super::sight::INSTANCES_MAX;
use super::{HeldLane, InstanceView};
use crate::SharedStore;

/// Records read at the same time.
const READS_AT_ONCE: usize = 16;

/// Reads what all told, by their ids.
pub(super) async fn read(store: &SharedStore) -> Result<Vec<InstanceView>, StoreError> {
    let scan = Scan::prefix(BEATS, INSTANCES_MAX);
    let beats = store.scan(&lane(), &scan).await?;
    let reads = stream::iter(beats).map(|beat| async move {
        let Some(id) = InstanceId::of_beat(&beat.key) else {
            return Ok(None);
        };
        let duties = store.get(&lane(), &id.duties_key()).await?;
        Ok(Some(view(&id, &beat, duties.as_ref())))
    });
    let read = reads.buffered(READS_AT_ONCE);
    read.try_filter_map(async |view| Ok(view))
        .try_collect()
        .await
}

fn view(id: &InstanceId, beat: &Entry, duties: Option<&Entry>) -> InstanceView {
    let mut view = InstanceView {
        id: id.to_string(),
        name: String::new(),
        version: String::new(),
        started_at: Timestamp::from_millis(0),
        beat_at: Timestamp::from_millis(0),
        sequence: 0,
        lease: Duration::ZERO,
        is_draining: false,
        holds: Vec::new(),
        wants: Vec::new(),
        shuns: Vec::new(),
        unreadable: None,
    };
    match decode::<Beat>(&beat.value) {
        Ok(beat) => {
            view.beat_at = beat.at;
            view.sequence = beat.sequence;
            view.lease = Duration::from_millis(beat.lease_ms);
            view.is_draining = beat.draining;
        }
        Err(error) => {
            // It rises all the same.
            view.sequence = beat.version.0;
            view.unreadable = Some(error.to_string());
        }
    }
    match duties.map(|entry| decode::<Duties>(&entry.value)) {
        Some(Ok(duties)) => {
            let held = duties.holds.into_iter().map(|hold| HeldLane {
                lane: hold.lane,
                epoch: hold.epoch,
                since: hold.since,
            });
            view.holds = held.collect();
            view.name = duties.name;
            view.version = duties.version;
            view.started_at = duties.started_at;
            view.wants = duties.wants;
            view.shuns = duties.shuns;
        }
        Some(Err(error)) => view.unreadable = Some(error.to_string()),
        // It told nothing else yet, or was removed meanwhile.
        None => {}
    }
    view
}
