//! Deliveries come with a baton and go with it.

use std::sync::Arc;
use std::time::Duration;

use baton_coord::{Batch, Epoch, SCAN_LIMIT_MAX, Scan};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::Bell;
use super::deliver::Delivery;
use super::record::OUTBOX;
use crate::driver::LaneContext;

/// The deliveries of one tenure.
pub(crate) struct Deliverer {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Deliverer {
    /// Delivers under a baton. Without hooks, what an earlier notification left behind is removed.
    pub(crate) fn start(context: &Arc<LaneContext>, epoch: Epoch, bell: Arc<Bell>) -> Self {
        let (stop, stopping) = watch::channel(false);
        let task = match context.hooks.clone() {
            Some(hooks) => {
                let delivery = Delivery::new(context, hooks, epoch, bell);
                tokio::spawn(delivery.run(stopping))
            }
            None => tokio::spawn(sweep(Arc::clone(context), epoch)),
        };
        Self { stop, task }
    }

    /// Ends attempts under way and writes down what became of them.
    pub(crate) async fn finish(mut self, longest: Duration) {
        self.stop.send_replace(true);
        // Either way it is over: what is left is delivered again.
        let _ = timeout(longest, &mut self.task).await;
    }
}

impl Drop for Deliverer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Removes an outbox that nobody reads any more.
async fn sweep(context: Arc<LaneContext>, epoch: Epoch) {
    let lane = context.relayer.lane();
    loop {
        let scan = Scan::prefix(OUTBOX, SCAN_LIMIT_MAX);
        let Ok(page) = context.store.scan(&lane, &scan).await else {
            return;
        };
        if page.is_empty() {
            return;
        }
        let mut batch = Batch::new(lane.clone()).fenced(epoch);
        batch.deletes = page.into_iter().map(|entry| entry.key).collect();
        tracing::info!(%lane, chunks = batch.deletes.len(), "webhooks without a notification");
        if context.store.commit(batch).await.is_err() {
            return;
        }
    }
}
