//! The network's events as one lane's inputs, in order.

use std::collections::VecDeque;
use std::sync::Arc;

use baton_chain::BlockView;
use baton_lanes::record::ReceiptRecord;
use baton_lanes::{AccountInput, BlockInput, Input, Lane};
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;

use super::follow::{ChainEvent, Hearer};
use super::{LaneContext, work};

/// Receipts in one input: what else comes need not wait for those of a large block.
const MINED_MAX: usize = 128;

/// The events of a network.
pub(super) struct Blocks {
    context: Arc<LaneContext>,
    events: Hearer,
    /// The block whose receipts are being read; the next one waits for it.
    reading: JoinSet<VecDeque<Input>>,
    /// Parts of a block that are not handed out yet: what else comes is taken in between them.
    parts: VecDeque<Input>,
}

/// Why there is no next input.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Gone {
    /// Events were missed.
    Missed,
    /// The task that reads receipts ended badly.
    Broken,
}

impl Blocks {
    /// Hears events from now on.
    pub(super) fn subscribe(context: &Arc<LaneContext>) -> Self {
        Self {
            context: Arc::clone(context),
            events: context.follower.subscribe(&context.relayer.accounts),
            reading: JoinSet::new(),
            parts: VecDeque::new(),
        }
    }

    /// The next input. May be dropped and called again at any point.
    pub(super) async fn next(&mut self, lane: &Lane) -> Result<Input, Gone> {
        if let Some(part) = self.parts.pop_front() {
            return Ok(part);
        }
        if self.reading.is_empty() {
            let event = match self.events.recv().await {
                Ok(event) => event,
                Err(RecvError::Lagged(_)) => return Err(Gone::Missed),
                Err(RecvError::Closed) => std::future::pending().await,
            };
            match &*event {
                ChainEvent::Rollback { to } => return Ok(Input::Rollback { to: *to }),
                ChainEvent::Block(block) => {
                    let hits = lane.hits(&block.transactions);
                    if hits.is_empty() {
                        return Ok(block_input(&self.context, block, Vec::new()));
                    }
                    let context = Arc::clone(&self.context);
                    let block = block.clone();
                    self.reading.spawn(async move {
                        let chain = &*context.relayer.network.chain;
                        let mined = work::block_receipts(chain, &block, &hits).await;
                        in_parts(&context, &block, mined)
                    });
                }
            }
        }
        match self.reading.join_next().await {
            Some(Ok(parts)) => self.parts = parts,
            Some(Err(_)) | None => return Err(Gone::Broken),
        }
        self.parts.pop_front().ok_or(Gone::Broken)
    }
}

/// A block, and before it the receipts that are too many to be taken in with it.
fn in_parts(
    context: &LaneContext,
    block: &BlockView,
    mut mined: Vec<ReceiptRecord>,
) -> VecDeque<Input> {
    let mut parts = VecDeque::new();
    while mined.len() > MINED_MAX {
        let rest = mined.split_off(MINED_MAX);
        parts.push_back(Input::Mined(std::mem::replace(&mut mined, rest)));
    }
    parts.push_back(block_input(context, block, mined));
    parts
}

fn block_input(context: &LaneContext, block: &BlockView, mined: Vec<ReceiptRecord>) -> Input {
    let accounts = block
        .accounts
        .iter()
        .filter(|view| context.relayer.accounts.contains(&view.address))
        .map(|view| AccountInput {
            address: view.address,
            nonce: view.nonce,
            balance: view.balance,
        })
        .collect();
    let (number, gas_limit) = (block.number, block.gas_limit);
    Input::Block(BlockInput {
        number,
        gas_limit,
        mined,
        accounts,
    })
}
