//! The tasks that work for a lane, and what they are given.

use std::collections::VecDeque;

use baton_lanes::{Input, Offer};
use futures_util::stream::{Stream, StreamExt};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::broadcast::BATCH;

/// Answers that wait to be taken in, in batches. Tasks that bring more wait.
const INPUTS: usize = 256;

/// Batches of offers that wait for the task that sends them.
const OFFER_BATCHES: usize = 16;

/// Work that brings inputs. Ends when this is dropped.
pub(super) struct Tasks {
    running: JoinSet<()>,
    inputs: mpsc::Sender<Vec<Input>>,
}

impl Tasks {
    pub(super) fn new() -> (Self, mpsc::Receiver<Vec<Input>>) {
        let (inputs, received) = mpsc::channel(INPUTS);
        let running = JoinSet::new();
        (Self { running, inputs }, received)
    }

    /// Where inputs go.
    pub(super) const fn inputs(&self) -> &mpsc::Sender<Vec<Input>> {
        &self.inputs
    }

    /// Runs something until it ends.
    pub(super) fn run(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.running.spawn(task);
    }

    /// Asks, and brings the answers as inputs.
    pub(super) fn ask(&mut self, answers: impl Stream<Item = Vec<Input>> + Send + 'static) {
        let inputs = self.inputs.clone();
        self.run(async move {
            let mut answers = std::pin::pin!(answers);
            while let Some(batch) = answers.next().await {
                // The lane has ended: nobody needs the answer.
                if inputs.send(batch).await.is_err() {
                    return;
                }
            }
        });
    }

    /// Ends when a task ended badly: what it was asked will never be answered. May be dropped and called again.
    pub(super) async fn failure(&mut self) -> String {
        while let Some(ended) = self.running.join_next().await {
            if let Err(error) = ended {
                return format!("a task of the lane ended badly: {error}");
            }
        }
        std::future::pending().await
    }
}

/// Offers on their way to the task that sends them.
pub(super) struct Offers {
    sender: mpsc::Sender<Vec<Offer>>,
    /// Those that wait for room; one at most for each attempt.
    backlog: VecDeque<Offer>,
}

impl Offers {
    pub(super) fn new() -> (Self, mpsc::Receiver<Vec<Offer>>) {
        let (sender, received) = mpsc::channel(OFFER_BATCHES);
        let backlog = VecDeque::new();
        (Self { sender, backlog }, received)
    }

    pub(super) fn push(&mut self, offer: Offer) {
        self.backlog.push_back(offer);
    }

    /// Hands on as many as there is room for.
    pub(super) fn send(&mut self) {
        while !self.backlog.is_empty() {
            let Ok(permit) = self.sender.try_reserve() else {
                return;
            };
            let count = self.backlog.len().min(BATCH);
            permit.send(self.backlog.drain(..count).collect());
        }
    }

    /// Ends when offers that wait may be sent; pending while there are none.
    pub(super) async fn room(&self) {
        // It is closed only when its task has ended, which is told elsewhere.
        if self.backlog.is_empty() || self.sender.reserve().await.is_err() {
            std::future::pending().await
        }
    }
}
