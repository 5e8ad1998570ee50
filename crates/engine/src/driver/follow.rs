//! Follows one network: every block once, in order, and every reorganisation.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use baton_chain::{BlockView, ChainClient, HeadRef};
use baton_model::{Address, B256};
use tokio::sync::{broadcast, watch};

use super::run::stopped;
use crate::Network;

/// Blocks that a lane may be behind before it starts over from what is durable: at least a minute on the fastest chain.
const EVENTS_MAX: usize = 512;

/// Blocks that are fetched one by one after an outage. Beyond, following jumps to the head, and lanes look up what they
/// missed by nonce and receipt.
const CATCH_UP_MAX: u64 = 64;

/// Blocks kept beyond the final depth, to find where a reorganisation began.
const WINDOW_MARGIN: u64 = 64;

/// Pause before a question to a node is repeated.
const RETRY: Duration = Duration::from_millis(250);

/// What happened to the chain.
#[derive(Clone, Debug)]
pub enum ChainEvent {
    /// A block on top of the one before.
    Block(BlockView),
    /// Blocks above this number are gone.
    Rollback {
        /// The last block that stays.
        to: u64,
    },
}

/// Follows one network for all its lanes.
pub struct Follower {
    chain: Arc<dyn ChainClient>,
    accounts: Vec<Address>,
    window_max: usize,
    events: broadcast::Sender<Arc<ChainEvent>>,
}

impl Follower {
    /// A follower of a network that reads the state of `accounts` with every block.
    pub fn new(network: &Network, accounts: Vec<Address>) -> Self {
        let window = network
            .profile
            .required_confirmations
            .saturating_add(WINDOW_MARGIN);
        Self {
            chain: Arc::clone(&network.chain),
            accounts,
            window_max: usize::try_from(window).unwrap_or(usize::MAX),
            events: broadcast::Sender::new(EVENTS_MAX),
        }
    }

    /// Hears events from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<ChainEvent>> {
        self.events.subscribe()
    }

    /// Follows until `stop` is true.
    pub async fn run(&self, mut stop: watch::Receiver<bool>) {
        let mut heads = self.chain.heads();
        let mut window = Window {
            blocks: VecDeque::new(),
            max: self.window_max,
        };
        loop {
            let head = *heads.borrow_and_update();
            if let Some(head) = head {
                tokio::select! {
                    () = self.catch_up(&mut window, head) => {}
                    () = stopped(&mut stop) => return,
                }
            }
            tokio::select! {
                changed = heads.changed() => if changed.is_err() { return },
                () = stopped(&mut stop) => return,
            }
        }
    }

    async fn catch_up(&self, window: &mut Window, head: HeadRef) {
        if window.contradicts(head) {
            self.find_ancestor(window).await;
        }
        if let Some((last, _)) = window.last()
            && head.number > last.saturating_add(CATCH_UP_MAX)
        {
            // What happened in between is unknown: nothing of the window can be relied on.
            let to = window.first().map_or(0, |first| first.saturating_sub(1));
            self.publish(ChainEvent::Rollback { to });
            window.blocks.clear();
        }
        let mut next = window.last().map_or(head.number, |(last, _)| last + 1);
        while next <= head.number {
            let block = self.chain.block(Some(next), &self.accounts).await;
            match block {
                Ok(Some(block)) if window.last().is_none_or(|(_, hash)| hash == block.parent) => {
                    window.push(block.number, block.hash);
                    self.publish(ChainEvent::Block(block));
                }
                Ok(Some(_)) => self.find_ancestor(window).await,
                Ok(None) => {
                    // The node that announced the head is ahead of the one that was asked, or took it back.
                    tokio::time::sleep(RETRY).await;
                    return;
                }
                Err(error) => {
                    tracing::warn!(block = next, %error, "cannot read a block; trying again");
                    tokio::time::sleep(RETRY).await;
                }
            }
            next = window.last().map_or(head.number, |(last, _)| last + 1);
        }
    }

    /// Drops the blocks of the window that are no longer part of the chain.
    async fn find_ancestor(&self, window: &mut Window) {
        let mut dropped = None;
        while let Some((number, hash)) = window.last() {
            match self.chain.block(Some(number), &[]).await {
                Ok(Some(block)) if block.hash == hash => break,
                Ok(_) => {
                    window.blocks.pop_back();
                    dropped = Some(number.saturating_sub(1));
                }
                Err(error) => {
                    tracing::warn!(block = number, %error, "cannot read a block; trying again");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
        if let Some(to) = dropped {
            tracing::warn!(to, "the chain was reorganised");
            self.publish(ChainEvent::Rollback { to });
        }
    }

    fn publish(&self, event: ChainEvent) {
        // No lane runs here just now: nobody needs it.
        let _: Result<usize, _> = self.events.send(Arc::new(event));
    }
}

/// The latest blocks that were taken in.
struct Window {
    blocks: VecDeque<(u64, B256)>,
    max: usize,
}

impl Window {
    fn first(&self) -> Option<u64> {
        self.blocks.front().map(|(number, _)| *number)
    }

    fn last(&self) -> Option<(u64, B256)> {
        self.blocks.back().copied()
    }

    fn push(&mut self, number: u64, hash: B256) {
        self.blocks.push_back((number, hash));
        while self.blocks.len() > self.max {
            self.blocks.pop_front();
        }
    }

    /// Whether a head cannot be part of the chain of the window.
    fn contradicts(&self, head: HeadRef) -> bool {
        let known = self
            .blocks
            .iter()
            .find(|(number, _)| *number == head.number);
        match (known, head.hash) {
            (Some((_, known)), Some(hash)) => *known != hash,
            (Some(_), None) | (None, _) => false,
        }
    }
}
