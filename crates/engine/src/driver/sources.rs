//! Where a lane's inputs come from, besides its commits and the time.

use std::pin::{Pin, pin};
use std::task::Poll;

use baton_lanes::record::RequestRecord;
use baton_lanes::{Input, Lane};

use super::blocks::{Blocks, Gone};
use super::retention::Retention;
use super::session::Received;

/// Answers to what the lane asked, its inbox, the chain, and what is to be forgotten.
pub(super) struct Sources {
    received: Received,
    blocks: Blocks,
    retention: Retention,
    /// How often one was asked for: whose turn it is.
    turn: usize,
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
    pub(super) const fn new(received: Received, blocks: Blocks, retention: Retention) -> Self {
        Self {
            received,
            blocks,
            retention,
            turn: 0,
        }
    }

    /// The next event; whoever has something takes turns, and not by chance, so that what happened can be repeated. May
    /// be dropped and called again.
    pub(super) async fn next(&mut self, lane: &Lane) -> Event {
        let Received { answers, inbox } = &mut self.received;
        let answers = pin!(async move {
            match answers.recv().await {
                Some(inputs) => Event::Inputs(inputs),
                None => std::future::pending().await,
            }
        });
        let inbox = pin!(async move {
            match inbox.recv().await {
                Some(Ok(inputs)) => Event::Inputs(inputs),
                Some(Err(error)) => Event::Failed(error.to_string()),
                None => std::future::pending().await,
            }
        });
        let blocks = &mut self.blocks;
        let blocks = pin!(async move {
            match blocks.next(lane).await {
                Ok(input) => Event::Inputs(vec![input]),
                Err(Gone::Missed) => Event::Missed,
                Err(Gone::Broken) => {
                    Event::Failed("the task that reads receipts ended badly".to_owned())
                }
            }
        });
        let retention = &mut self.retention;
        let due = pin!(async move { Event::Due(retention.next().await) });
        let mut sources: [Pin<&mut (dyn Future<Output = Event> + Send)>; 4] =
            [answers, inbox, blocks, due];
        self.turn = (self.turn + 1) % sources.len();
        sources.rotate_left(self.turn);
        std::future::poll_fn(|cx| {
            let mut polled = sources.iter_mut().map(|source| source.as_mut().poll(cx));
            polled.find(Poll::is_ready).unwrap_or(Poll::Pending)
        })
        .await
    }
}
