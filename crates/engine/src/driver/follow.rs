//! Follows one network: every block once, in order, and every reorganisation.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use baton_chain::{BlockView, ChainClient, HeadRef, RpcError};
use baton_model::{Address, B256};
use futures_util::FutureExt;
use futures_util::stream::{self, StreamExt};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, broadcast, watch};
use tokio::time::{sleep, timeout};

use super::run::stopped;
use crate::Network;

/// Blocks that a lane may be behind before it starts over from what is durable: at least a minute on the fastest chain.
const EVENTS_MAX: usize = 512;

/// Blocks that are fetched one by one after an outage. Beyond, following jumps to the head, and lanes look up what they
/// missed by nonce and receipt.
const CATCH_UP_MAX: u64 = 64;

/// Blocks asked for at a time while following is behind: more than a fast chain makes during one round trip.
const FETCH_AHEAD: usize = 8;

/// Blocks kept beyond the final depth, to find where a reorganisation began.
const WINDOW_MARGIN: u64 = 64;

/// Reorganisations taken in without a pause. Nodes that stand on different forks contradict each other until they
/// agree; lanes need not hear of each turn.
const FORKS_MAX: usize = 2;

/// Longest wait for a block, whatever a client's own time-outs are.
const ANSWER_MAX: Duration = Duration::from_secs(60);

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

/// Follows one network for all lanes that run here. While none does, no node is asked for a block.
pub struct Follower {
    chain: Arc<dyn ChainClient>,
    hearers: Mutex<Hearers>,
    /// Somebody listens who did not before.
    heard: Notify,
    window_max: usize,
    events: broadcast::Sender<Arc<ChainEvent>>,
}

/// Who listens, and the accounts whose state each needs with every block.
#[derive(Default)]
struct Hearers {
    last: u64,
    accounts: BTreeMap<u64, Arc<[Address]>>,
}

/// Hears a network's events until it is dropped.
pub struct Hearer {
    events: broadcast::Receiver<Arc<ChainEvent>>,
    follower: Arc<Follower>,
    number: u64,
}

impl Hearer {
    /// The next event. May be dropped and called again.
    ///
    /// # Errors
    /// When events were missed.
    pub async fn recv(&mut self) -> Result<Arc<ChainEvent>, RecvError> {
        self.events.recv().await
    }
}

impl Drop for Hearer {
    fn drop(&mut self) {
        self.follower.hearers().accounts.remove(&self.number);
    }
}

/// How far one look at the chain got.
enum Reached {
    /// The head.
    Head,
    /// A block that does not stand on the last one.
    Fork,
    /// A node could not answer.
    Nothing,
}

impl Follower {
    /// A follower of a network.
    pub fn new(network: &Network) -> Self {
        let window = network
            .profile
            .required_confirmations
            .saturating_add(WINDOW_MARGIN);
        Self {
            chain: Arc::clone(&network.chain),
            hearers: Mutex::default(),
            heard: Notify::new(),
            window_max: usize::try_from(window).unwrap_or(usize::MAX),
            events: broadcast::Sender::new(EVENTS_MAX),
        }
    }

    /// Hears events from now on. Blocks come with the state of these accounts; one that was being read still comes
    /// without them.
    pub fn subscribe(self: &Arc<Self>, accounts: &[Address]) -> Hearer {
        let events = self.events.subscribe();
        let mut hearers = self.hearers();
        hearers.last += 1;
        let number = hearers.last;
        hearers.accounts.insert(number, accounts.into());
        drop(hearers);
        self.heard.notify_one();
        Hearer {
            events,
            follower: Arc::clone(self),
            number,
        }
    }

    fn hearers(&self) -> MutexGuard<'_, Hearers> {
        // Nothing under this lock can be left half done.
        self.hearers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_heard(&self) -> bool {
        !self.hearers().accounts.is_empty()
    }

    /// The accounts of all who listen, each once.
    fn accounts(&self) -> Vec<Address> {
        let hearers = self.hearers();
        let all = hearers
            .accounts
            .values()
            .flat_map(|accounts| accounts.iter().copied());
        let each: BTreeSet<Address> = all.collect();
        each.into_iter().collect()
    }

    /// Follows until `stop` is true.
    pub async fn run(&self, mut stop: watch::Receiver<bool>) {
        let mut window = Window {
            blocks: VecDeque::new(),
            max: self.window_max,
        };
        loop {
            let following = AssertUnwindSafe(self.follow(&mut window)).catch_unwind();
            let followed = tokio::select! {
                biased;
                () = stopped(&mut stop) => return,
                followed = following => followed,
            };
            if followed.is_ok() {
                tracing::warn!("the network's client has ended: no more blocks come");
                return;
            }
            // Lanes depend on blocks: a defect here must not stop them without a word.
            tracing::error!("following the network ended badly; starting over from its head");
            self.forget(&mut window);
            sleep(RETRY).await;
        }
    }

    /// Follows until the client ends.
    async fn follow(&self, window: &mut Window) {
        let mut heads = self.chain.heads();
        loop {
            if !self.is_heard() {
                // Whoever comes looks at the chain itself, and needs what follows only.
                window.blocks.clear();
                self.heard.notified().await;
                continue;
            }
            let head = *heads.borrow_and_update();
            let reached = match head {
                Some(head) => self.catch_up(window, head).await,
                None => true,
            };
            if !reached {
                sleep(RETRY).await;
            } else if heads.changed().await.is_err() {
                return;
            }
        }
    }

    /// Takes in what is new up to the head. False when it has to be tried again.
    async fn catch_up(&self, window: &mut Window, head: HeadRef) -> bool {
        if window.contradicts(head) && !self.drop_replaced(window, head).await {
            return false;
        }
        if let Some((last, _)) = window.last()
            && head.number > last.saturating_add(CATCH_UP_MAX)
        {
            self.forget(window);
        }
        for _ in 0..FORKS_MAX {
            match self.read_on(window, head).await {
                Reached::Head => return true,
                Reached::Nothing => return false,
                Reached::Fork => {
                    if !self.drop_replaced(window, head).await {
                        return false;
                    }
                }
            }
        }
        false
    }

    /// Reads the blocks from the window's end to the head.
    async fn read_on(&self, window: &mut Window, head: HeadRef) -> Reached {
        let next = window.last().map_or(head.number, |(last, _)| last + 1);
        let accounts = &self.accounts();
        let fetched = stream::iter(next..=head.number)
            .map(|number| async move { (number, self.block(number, accounts).await) });
        let mut fetched = std::pin::pin!(fetched.buffered(FETCH_AHEAD));
        while let Some((number, block)) = fetched.next().await {
            match block {
                Ok(Some(block)) if block.number != number => {
                    let given = block.number;
                    tracing::warn!(
                        block = number,
                        given,
                        "a node gave another block; trying again"
                    );
                    return Reached::Nothing;
                }
                Ok(Some(block)) if window.last().is_none_or(|(_, hash)| hash == block.parent) => {
                    window.push(block.number, block.hash);
                    self.publish(ChainEvent::Block(block));
                }
                Ok(Some(_)) => return Reached::Fork,
                // The node that announced the head is ahead of the one that was asked, or took it back.
                Ok(None) => return Reached::Nothing,
                Err(error) => {
                    tracing::warn!(block = number, %error, "cannot read a block; trying again");
                    return Reached::Nothing;
                }
            }
        }
        Reached::Head
    }

    /// Drops the blocks of the window that are no longer part of the chain. False when there are none, as far as nodes
    /// can tell now.
    async fn drop_replaced(&self, window: &mut Window, head: HeadRef) -> bool {
        let mut dropped = None;
        while let Some((number, hash)) = window.last() {
            match self.block(number, &[]).await {
                Ok(Some(block)) if block.hash == hash => break,
                // A node that lacks a block below the head lags behind: what it lacks says nothing.
                Ok(None) if number <= head.number => break,
                Ok(_) => {
                    window.blocks.pop_back();
                    dropped = Some(number.saturating_sub(1));
                }
                Err(error) => {
                    tracing::warn!(block = number, %error, "cannot read a block; trying again");
                    break;
                }
            }
        }
        if let Some(to) = dropped {
            tracing::warn!(to, "the chain was reorganised");
            self.publish(ChainEvent::Rollback { to });
        }
        dropped.is_some()
    }

    /// Gives the window up: what happened since is unknown, so nothing of it can be relied on.
    fn forget(&self, window: &mut Window) {
        if let Some((first, _)) = window.blocks.front() {
            let to = first.saturating_sub(1);
            tracing::warn!(to, "blocks were missed; lanes look up what was mined");
            self.publish(ChainEvent::Rollback { to });
            window.blocks.clear();
        }
    }

    async fn block(
        &self,
        number: u64,
        accounts: &[Address],
    ) -> Result<Option<BlockView>, RpcError> {
        let asked = timeout(ANSWER_MAX, self.chain.block(Some(number), accounts)).await;
        asked.unwrap_or_else(|_| {
            Err(RpcError::NoAnswer {
                reason: format!("none within {ANSWER_MAX:?}"),
            })
        })
    }

    fn publish(&self, event: ChainEvent) {
        // No lane runs here just now: nobody needs it.
        let _: Result<usize, _> = self.events.send(Arc::new(event));
    }
}

/// The latest blocks that were taken in, without gaps.
struct Window {
    blocks: VecDeque<(u64, B256)>,
    max: usize,
}

impl Window {
    fn last(&self) -> Option<(u64, B256)> {
        self.blocks.back().copied()
    }

    fn push(&mut self, number: u64, hash: B256) {
        self.blocks.push_back((number, hash));
        while self.blocks.len() > self.max {
            self.blocks.pop_front();
        }
    }

    /// Whether a head cannot be on top of the chain of the window.
    fn contradicts(&self, head: HeadRef) -> bool {
        let Some((last, _)) = self.last() else {
            return false;
        };
        let known = self
            .blocks
            .iter()
            .find(|(number, _)| *number == head.number);
        match (known, head.hash) {
            (Some((_, known)), Some(hash)) if *known != hash => true,
            (Some(_), _) | (None, _) => head.number < last,
        }
    }
}
