//! The network's events as one lane's inputs, in order.

use std::sync::Arc;

use baton_chain::BlockView;
use baton_lanes::record::ReceiptRecord;
use baton_lanes::{AccountInput, BlockInput, Input, Lane};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;

use super::follow::ChainEvent;
use super::{LaneContext, work};

/// The events of a network.
pub(super) struct Blocks {
    context: Arc<LaneContext>,
    events: broadcast::Receiver<Arc<ChainEvent>>,
    /// The block whose receipts are being read; the next one waits for it.
    reading: JoinSet<Input>,
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
            events: context.follower.subscribe(),
            reading: JoinSet::new(),
        }
    }

    /// The next input. May be dropped and called again at any point.
    pub(super) async fn next(&mut self, lane: &Lane) -> Result<Input, Gone> {
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
                        block_input(&context, &block, mined)
                    });
                }
            }
        }
        match self.reading.join_next().await {
            Some(Ok(input)) => Ok(input),
            Some(Err(_)) | None => Err(Gone::Broken),
        }
    }
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
