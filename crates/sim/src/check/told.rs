//! Whoever changes a request's status tells of it, in the same commit: what is not told then is never told.

use std::collections::BTreeMap;

use baton_coord::Batch;
use baton_lanes::record::RequestRecord;
use baton_model::{RequestId, TxStatus};
use serde_json::Value;

use crate::world::World;

impl World {
    /// Each status that a batch changes has its event in it. Must come before the records are taken over.
    pub(super) fn check_told(&mut self, batch: &Batch, records: &[RequestRecord]) {
        let told = told(batch);
        for record in records {
            let before = self.watch.requests.get(&record.id).map(|old| old.status);
            let is_change = before.is_some_and(|before| before != record.status);
            if is_change && told.get(&record.id) != Some(&record.status) {
                let (id, status) = (record.id, record.status);
                let told = told.get(&id);
                self.fail(format!("{id} became {status:?}, and {told:?} was told"));
                return;
            }
        }
    }
}

/// The last status that a batch tells of each request.
fn told(batch: &Batch) -> BTreeMap<RequestId, TxStatus> {
    let mut told = BTreeMap::new();
    let chunks = batch.puts.iter().filter(|(key, _)| key.starts_with(b"e/"));
    for (_, value) in chunks {
        let chunk: Value = serde_json::from_slice(value).expect("events can be read");
        let events = chunk["r"]["events"].as_array().expect("a list of events");
        for event in events {
            if let Some(status) = event.get("status") {
                let (id, status) =
                    serde_json::from_value(status.clone()).expect("a request and its status");
                told.insert(id, status);
            }
        }
    }
    told
}
