//! Holding the baton: renewal, loss, hand-over, and never two who act.

use std::sync::Arc;
use std::time::Duration;

use baton_engine::driver::LaneState;
use baton_model::TxStatus;
use tokio::time::{Instant, sleep, timeout};

use crate::support::chain::Fault;
use crate::support::logs::Logs;
use crate::support::store::{FaultyStore, Link};
use crate::support::{LEASE, World};

#[tokio::test(start_paused = true)]
async fn it_is_renewed_for_as_long_as_the_lane_runs() {
    let _logs = Logs::watch();
    let world = World::new();
    let first = world.start("first");
    first.until_running().await;
    let second = world.start("second");
    sleep(LEASE * 20).await;
    assert_eq!(first.status.state(), LaneState::Running);
    assert_eq!(second.status.state(), LaneState::Waiting);
    second.shut_down().await;
    first.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn stopping_hands_over_at_once() {
    let _logs = Logs::watch();
    let world = World::new();
    let first = world.start("first");
    first.until_running().await;
    let stopped = Instant::now();
    first.shut_down().await;
    assert!(stopped.elapsed() < Duration::from_millis(50));
    let second = world.start("second");
    second.until_running().await;
    assert!(
        stopped.elapsed() < Duration::from_millis(200),
        "{:?}",
        stopped.elapsed()
    );
    second.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_a_successor_waits_for_the_lease_and_no_longer() {
    let _logs = Logs::watch();
    let world = World::new();
    let first = world.start("first");
    first.until_running().await;
    sleep(LEASE).await;
    let second = world.start("second");
    sleep(Duration::from_millis(10)).await;
    first.kill().await;
    let crashed = Instant::now();
    second.until_running().await;
    assert!(
        crashed.elapsed() <= LEASE + LEASE / 3,
        "{:?}",
        crashed.elapsed()
    );
    second.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_for_less_than_the_lease_costs_nothing() {
    let _logs = Logs::watch();
    let world = World::new();
    let first = world.start("first");
    first.until_running().await;
    let second = world.start("second");
    for link in [Link::Down, Link::Silent, Link::LeasesSilent] {
        sleep(LEASE).await;
        first.store.set_link(link);
        sleep(LEASE / 2).await;
        first.store.set_link(Link::Up);
        sleep(LEASE).await;
        assert_eq!(first.status.state(), LaneState::Running, "{link:?}");
        assert_eq!(second.status.state(), LaneState::Waiting, "{link:?}");
    }
    first.shut_down().await;
    second.shut_down().await;
}

/// Whoever cannot reach the store stops acting before its lease ends by the store's clock, and the other one takes
/// over. Every offer is checked against the lease, and every request has to be executed once.
#[tokio::test(start_paused = true)]
async fn two_processes_never_act_at_the_same_time() {
    let _logs = Logs::watch();
    for link in [Link::Down, Link::Silent, Link::LeasesSilent] {
        let mut world = World::new();
        let (ledger, first_chain) = (Arc::clone(&world.ledger), Arc::clone(&world.chain));
        world.relayer.network.chain = Arc::new(tagged::Chain::new(first_chain, &ledger, "first"));
        let first = world.start("first");
        let second_chain = Arc::clone(&world.chain);
        world.relayer.network.chain = Arc::new(tagged::Chain::new(second_chain, &ledger, "second"));
        let _mining = world.mine_every(Duration::from_secs(1));
        first.until_running().await;
        let second = world.start("second");
        let mut ids = world.accept(50).await;
        world.until_all(&ids[..10], TxStatus::Submitted).await;
        for cut in [&first, &second, &first] {
            // Offers that nobody acknowledges are made again and again, at times that differ from one to the next.
            world.chain.fail("broadcast", &Fault::NoAnswer, 500);
            for _ in 0..12 {
                ids.extend(world.accept(1).await);
                sleep(Duration::from_millis(700)).await;
            }
            cut.store.set_link(link);
            sleep(LEASE * 2).await;
            world.chain.heal("broadcast");
            let other = if std::ptr::eq(cut, &first) {
                &second
            } else {
                &first
            };
            assert_eq!(other.status.state(), LaneState::Running, "{link:?}");
            ids.extend(world.accept(20).await);
            cut.store.set_link(Link::Up);
            sleep(LEASE).await;
        }
        world.until_all(&ids, TxStatus::Confirmed).await;
        world.assert_executed_once(ids.len());
        first.shut_down().await;
        second.shut_down().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_stops_although_the_store_does_not_answer() {
    let _logs = Logs::watch();
    let world = World::new();
    for running in [true, false] {
        let ledger = Arc::clone(&world.ledger);
        let store = FaultyStore::new(Arc::clone(&world.inner), "first", ledger);
        let store = Arc::new(store);
        if !running {
            store.set_link(Link::Silent);
        }
        let process = world.start_on("first", Arc::clone(&store));
        if running {
            process.until_running().await;
            store.set_link(Link::Silent);
            world.accept(3).await;
        }
        sleep(Duration::from_secs(1)).await;
        timeout(LEASE, process.shut_down()).await.expect("it stops");
    }
}

mod tagged {
    //! A chain that checks, for each thing that costs money, that whoever asks holds the baton.

    use std::sync::Arc;

    use async_trait::async_trait;
    use baton_chain::{
        AccountView, BlockView, ChainClient, Estimate, HeadRef, Market, NodeAnswer, ObservedTx,
        Receipt, RpcError,
    };
    use baton_model::{Address, B256, Bytes, Call};
    use tokio::sync::watch;

    use crate::support::chain::FakeChain;
    use crate::support::store::Ledger;

    pub(super) struct Chain {
        inner: Arc<FakeChain>,
        ledger: Arc<Ledger>,
        process: &'static str,
    }

    impl Chain {
        pub(super) fn new(
            inner: Arc<FakeChain>,
            ledger: &Arc<Ledger>,
            process: &'static str,
        ) -> Self {
            let ledger = Arc::clone(ledger);
            Self {
                inner,
                ledger,
                process,
            }
        }
    }

    #[async_trait]
    impl ChainClient for Chain {
        fn heads(&self) -> watch::Receiver<Option<HeadRef>> {
            self.inner.heads()
        }

        async fn block(
            &self,
            number: Option<u64>,
            accounts: &[Address],
        ) -> Result<Option<BlockView>, RpcError> {
            self.inner.block(number, accounts).await
        }

        async fn broadcast(&self, transactions: &[Bytes]) -> Vec<Vec<NodeAnswer>> {
            self.ledger.assert_holder(self.process, "broadcast");
            self.inner.broadcast(transactions).await
        }

        async fn block_receipts(
            &self,
            block: &BlockView,
            hashes: &[B256],
        ) -> Result<Vec<Receipt>, RpcError> {
            self.inner.block_receipts(block, hashes).await
        }

        async fn receipts(&self, hashes: &[B256]) -> Result<Vec<Option<Receipt>>, RpcError> {
            self.inner.receipts(hashes).await
        }

        async fn market(&self, percentiles: &[u8]) -> Result<Market, RpcError> {
            self.inner.market(percentiles).await
        }

        async fn estimate(&self, calls: &[(Address, Call)]) -> Vec<Estimate> {
            self.ledger.assert_holder(self.process, "estimate");
            self.inner.estimate(calls).await
        }

        async fn accounts(&self, addresses: &[Address]) -> Result<Vec<AccountView>, RpcError> {
            self.inner.accounts(addresses).await
        }

        async fn pending_nonces(&self, addresses: &[Address]) -> Result<Vec<u64>, RpcError> {
            self.inner.pending_nonces(addresses).await
        }

        async fn transaction_at(
            &self,
            account: Address,
            nonce: u64,
        ) -> Result<Option<ObservedTx>, RpcError> {
            self.inner.transaction_at(account, nonce).await
        }

        fn healthy(&self) -> bool {
            true
        }
    }
}
