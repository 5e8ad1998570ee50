//! Following a network: every block once, in order, and every reorganisation.

use std::sync::Arc;
use std::time::Duration;

use baton_engine::driver::{ChainEvent, Follower, Hearer};
use baton_model::B256;
use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::support::World;
use crate::support::chain::{FakeChain, Fault, GENESIS};
use crate::support::logs::Logs;

/// A follower, and the chain as whoever listens to it sees it.
struct Listener {
    chain: Arc<FakeChain>,
    follower: Arc<Follower>,
    events: Hearer,
    /// Blocks as told, lowest first.
    told: Vec<(u64, B256)>,
    rollbacks: Vec<u64>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Listener {
    fn start() -> Self {
        let world = World::new();
        let follower = Arc::new(Follower::new(&world.relayer.network));
        let events = follower.subscribe(&world.relayer.accounts);
        let (stop, stopping) = watch::channel(false);
        let running = Arc::clone(&follower);
        let task = tokio::spawn(async move { running.run(stopping).await });
        Self {
            chain: world.chain,
            follower,
            events,
            told: Vec::new(),
            rollbacks: Vec::new(),
            stop,
            task,
        }
    }

    /// Takes events in until they show the chain's head, and checks that each stands on the one before.
    async fn until_head(&mut self) {
        let head = self.chain.head();
        let wanted = (head, self.chain.hash_at(head).unwrap());
        while self.told.last() != Some(&wanted) {
            let event = timeout(Duration::from_secs(60), self.events.recv()).await;
            let event = event.unwrap_or_else(|_| panic!("stuck at {:?}", self.told.last()));
            self.take(&event.expect("nothing was missed"));
        }
        for (number, hash) in &self.told {
            assert_eq!(self.chain.hash_at(*number), Some(*hash), "block {number}");
        }
    }

    fn take(&mut self, event: &ChainEvent) {
        match event {
            ChainEvent::Block(block) => {
                if let Some((number, hash)) = self.told.last() {
                    assert_eq!(block.number, number + 1, "blocks come in order");
                    assert_eq!(block.parent, *hash, "each on top of the last");
                }
                assert_eq!(block.accounts.len(), 1, "with the state of the accounts");
                self.told.push((block.number, block.hash));
            }
            ChainEvent::Rollback { to } => {
                let before = self.told.len();
                self.told.retain(|(number, _)| number <= to);
                assert!(self.told.len() < before, "a rollback takes something back");
                self.rollbacks.push(*to);
            }
        }
    }

    /// Nothing more is told.
    fn assert_silent(&mut self) {
        let event = self.events.recv().now_or_never();
        assert!(event.is_none(), "unexpected {event:?}");
    }

    async fn stop(self) {
        self.stop.send_replace(true);
        timeout(Duration::from_secs(1), self.task)
            .await
            .expect("it stops at once")
            .expect("and well");
    }
}

/// A process that runs no lane of a network costs its nodes no blocks.
#[tokio::test(start_paused = true)]
async fn nothing_is_read_while_nobody_listens() {
    const LATER: Duration = Duration::from_secs(60);
    let _logs = Logs::watch();
    let mut listener = Listener::start();
    listener.until_head().await;
    let hearer = std::mem::replace(&mut listener.events, listener.follower.subscribe(&[]));
    drop(hearer);
    let (follower, chain) = (Arc::clone(&listener.follower), Arc::clone(&listener.chain));
    listener.stop().await;
    let (stop, stopping) = watch::channel(false);
    let running = Arc::clone(&follower);
    let task = tokio::spawn(async move { running.run(stopping).await });
    let read = chain.calls("block");
    chain.mine(3);
    sleep(LATER).await;
    assert_eq!(chain.calls("block"), read);

    let mut events = follower.subscribe(&[]);
    let heard = timeout(LATER, events.recv()).await;
    let heard = heard
        .expect("the head is told")
        .expect("nothing was missed");
    assert!(matches!(&*heard, ChainEvent::Block(block) if block.number == chain.head()));
    stop.send_replace(true);
    timeout(LATER, task)
        .await
        .expect("it stops")
        .expect("and well");
}

#[tokio::test(start_paused = true)]
async fn blocks_come_once_and_in_order() {
    let _logs = Logs::watch();
    let mut listener = Listener::start();
    listener.until_head().await;
    for blocks in [1, 2, 1, 8, 64] {
        listener.chain.mine(blocks);
        listener.until_head().await;
    }
    assert_eq!(listener.told.len(), 77);
    assert!(listener.rollbacks.is_empty());
    listener.assert_silent();
    listener.stop().await;
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_it_jumps_to_the_head_and_says_that_nothing_is_certain() {
    let _logs = Logs::watch();
    let mut listener = Listener::start();
    listener.chain.mine(5);
    listener.until_head().await;
    listener.chain.mine(65);
    listener.until_head().await;
    assert_eq!(
        listener.rollbacks,
        [GENESIS + 4],
        "below the first block that was followed"
    );
    assert_eq!(listener.told.len(), 1, "and on from the head");
    listener.chain.mine(1);
    listener.until_head().await;
    listener.stop().await;
}

#[tokio::test(start_paused = true)]
async fn reorganisations_of_any_depth_are_told_from_their_root() {
    let _logs = Logs::watch();
    for hashes in [true, false] {
        for depth in 1..=12_usize {
            for blocks in [depth + 1, depth, depth.saturating_sub(1).max(1), 1] {
                let mut listener = Listener::start();
                if !hashes {
                    listener.chain.announce_numbers_only();
                }
                listener.until_head().await;
                listener.chain.mine(1);
                listener.until_head().await;
                for _ in 0..20 {
                    listener.chain.mine(1);
                    listener.until_head().await;
                }
                let root = listener.chain.head() - depth as u64;
                listener.chain.reorganise(depth, blocks);
                if !hashes && blocks == depth {
                    // Nothing tells of it but the next block.
                    listener.chain.mine(1);
                }
                listener.until_head().await;
                let case = format!("hashes {hashes}, depth {depth}, blocks {blocks}");
                assert_eq!(listener.rollbacks.last(), Some(&root), "{case}");
                assert_eq!(listener.rollbacks.len(), 1, "{case}");
                listener.stop().await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_reorganisation_deeper_than_the_window_is_a_fresh_start() {
    let _logs = Logs::watch();
    let mut listener = Listener::start();
    listener.until_head().await;
    for _ in 0..100 {
        listener.chain.mine(1);
        listener.until_head().await;
    }
    listener.chain.reorganise(90, 91);
    listener.told.drain(..listener.told.len() - 66);
    listener.until_head().await;
    assert_eq!(listener.told.len(), 1);
    listener.stop().await;
}

#[tokio::test(start_paused = true)]
async fn errors_in_between_only_cost_time() {
    let _logs = Logs::watch();
    for fault in [
        Fault::NoAnswer,
        Fault::Answered(-32_000, "busy"),
        Fault::Nothing,
    ] {
        let mut listener = Listener::start();
        listener.until_head().await;
        for depth in [0, 3] {
            listener.chain.mine(10);
            listener.until_head().await;
            listener.chain.fail("block", &fault, 7);
            listener.chain.reorganise(depth, depth + 3);
            listener.until_head().await;
        }
        listener.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_whose_block_no_node_has_yet_is_asked_for_again_without_another_head() {
    let _logs = Logs::watch();
    let mut listener = Listener::start();
    listener.until_head().await;
    listener.chain.fail("block", &Fault::Nothing, 3);
    listener.chain.mine(1);
    listener.until_head().await;
    listener.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nodes_on_two_forks_do_not_make_it_spin() {
    let _logs = Logs::watch();
    let mut listener = Listener::start();
    listener.until_head().await;
    for _ in 0..10 {
        listener.chain.mine(1);
        listener.until_head().await;
    }
    listener.chain.fork(3);
    let before = listener.chain.calls("block");
    listener.chain.mine(1);
    sleep(Duration::from_secs(10)).await;
    let asked = listener.chain.calls("block") - before;
    assert!(asked <= 40 * 8, "{asked} questions in ten seconds");
    listener.chain.join_forks();
    listener.chain.mine(1);
    listener.until_head().await;
    listener.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_defect_in_a_client_does_not_end_the_following() {
    let logs = Logs::watch();
    let mut listener = Listener::start();
    listener.until_head().await;
    listener.chain.mine(3);
    listener.until_head().await;
    listener.chain.fail("block", &Fault::Panic, 1);
    listener.chain.mine(1);
    listener.until_head().await;
    assert_eq!(logs.take().len(), 1);
    assert_eq!(listener.rollbacks, [GENESIS - 1]);
    listener.stop().await;
}

#[tokio::test(start_paused = true)]
async fn it_stops_while_a_node_does_not_answer() {
    let _logs = Logs::watch();
    let listener = Listener::start();
    listener.chain.fail("block", &Fault::Hang, 100);
    listener.chain.mine(1);
    sleep(Duration::from_secs(1)).await;
    listener.stop().await;
}
