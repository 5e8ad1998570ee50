//! Where a lane's inputs come from, besides its commits and the time.

use baton_lanes::record::RequestRecord;
use baton_lanes::{Input, Lane};

use super::blocks::{Blocks, Gone};
use super::retention::Retention;
use super::session::Received;

/// Answers to what the lane asked, its inbox, the chain, and what is to be forgotten.
pub(super) struct Sources {
    pub(super) received: Received,
    pub(super) blocks: Blocks,
    pub(super) retention: Retention,
}

/// What came.
pub(super) enum Event {
    Inputs(Vec<Input>),
    /// Requests whose time has come.
    Due(Vec<RequestRecord>),
    /// Blocks were missed.
    Missed,
    /// Something that the lane cannot do without has failed.
    Failed(String),
}

impl Sources {
    /// The next event; whoever has something takes turns. May be dropped and called again.
    pub(super) async fn next(&mut self, lane: &Lane) -> Event {
        let Received { answers, inbox } = &mut self.received;
        tokio::select! {
            Some(inputs) = answers.recv() => Event::Inputs(inputs),
            Some(page) = inbox.recv() => match page {
                Ok(inputs) => Event::Inputs(inputs),
                Err(error) => Event::Failed(error.to_string()),
            },
            block = self.blocks.next(lane) => match block {
                Ok(input) => Event::Inputs(vec![input]),
                Err(Gone::Missed) => Event::Missed,
                Err(Gone::Broken) => {
                    Event::Failed("the task that reads receipts ended badly".to_owned())
                }
            },
            records = self.retention.next() => Event::Due(records),
        }
    }
}
