//! Finds finished requests whose time has come.

use baton_coord::Scan;
use baton_lanes::record::{RequestRecord, key};
use baton_model::{LaneId, Timestamp};

use super::load::{LoadError, get};
use crate::SharedStore;

/// Requests removed in one go: bounds the size of the commit that removes them.
const BATCH: usize = 1000;

/// Up to a batch of finished requests that are to be removed by now, the oldest first.
pub(super) async fn due(
    store: &SharedStore,
    lane: &LaneId,
    now: Timestamp,
) -> Result<Vec<RequestRecord>, LoadError> {
    let entries = store
        .scan(lane, &Scan::prefix(key::EXPIRY.as_bytes(), BATCH))
        .await?;
    let mut records = Vec::new();
    for entry in entries {
        let Some(id) = key::id_of(&entry.key) else {
            continue;
        };
        if entry.key.as_ref() >= key::expiry(now, id).as_bytes() {
            break;
        }
        if let Some(record) = get::<RequestRecord>(store, lane, key::request(id)).await? {
            records.push(record);
        }
    }
    Ok(records)
}
