//! A lane that really works, in a fleet: it is handed over without losing or doubling anything.

use std::sync::Arc;
use std::time::Duration;

use baton_coord::HolderId;
use baton_engine::SharedStore;
use baton_engine::driver::LaneState;
use baton_engine::fleet::{Fleet, FleetOptions};
use baton_model::TxStatus;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::support::logs::Logs;
use crate::support::store::FaultyStore;
use crate::support::{LEASE, Process, World};

/// A process among others.
struct Member {
    process: Process,
    fleet: Arc<Fleet>,
    stop: watch::Sender<bool>,
    run: JoinHandle<()>,
}

impl Member {
    fn start(world: &World, name: &str) -> Self {
        let ledger = Arc::clone(&world.ledger);
        let store = Arc::new(FaultyStore::new(Arc::clone(&world.inner), name, ledger));
        let shared: SharedStore = store.clone();
        let options = FleetOptions {
            holder: HolderId(name.to_owned()),
            name: name.to_owned(),
            version: "1".to_owned(),
            lease: LEASE,
        };
        let fleet = Fleet::new(shared, Arc::clone(&world.clock), options);
        fleet.set_lanes([world.lane()].into());
        let (stop, stopping) = watch::channel(false);
        Self {
            run: tokio::spawn(Arc::clone(&fleet).run(stopping)),
            process: world.start_with(name, store, Some(Arc::clone(&fleet))),
            fleet,
            stop,
        }
    }

    fn state(&self) -> LaneState {
        self.process.status.state()
    }

    /// Ends as the program does.
    async fn shut_down(self) {
        self.fleet.drain().await;
        self.process.shut_down().await;
        self.stop.send_replace(true);
        self.run.await.unwrap();
    }

    /// Ends as a power cut does.
    async fn kill(self) {
        self.run.abort();
        self.process.kill().await;
    }
}

#[tokio::test(start_paused = true)]
async fn stopping_hands_over_at_once() {
    let _logs = Logs::watch();
    let world = World::new();
    let _mining = world.mine_every(Duration::from_secs(1));
    let first = Member::start(&world, "first");
    first.process.until_running().await;
    let second = Member::start(&world, "second");
    let mut ids = world.accept(40).await;
    world.until_all(&ids[..10], TxStatus::Submitted).await;
    sleep(LEASE).await;
    assert_eq!(second.state(), LaneState::Waiting);
    let stopped = Instant::now();
    first.shut_down().await;
    second.process.until_running().await;
    let taken = stopped.elapsed();
    assert!(taken < Duration::from_millis(100), "{taken:?}");
    ids.extend(world.accept(10).await);
    world.until_all(&ids, TxStatus::Confirmed).await;
    world.assert_executed_once(ids.len());
    second.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_a_successor_waits_for_the_lease_and_no_longer() {
    let _logs = Logs::watch();
    let world = World::new();
    let _mining = world.mine_every(Duration::from_secs(1));
    let first = Member::start(&world, "first");
    first.process.until_running().await;
    let second = Member::start(&world, "second");
    let third = Member::start(&world, "third");
    sleep(LEASE * 2).await;
    let mut ids = world.accept(40).await;
    world.until_all(&ids[..10], TxStatus::Submitted).await;
    first.kill().await;
    let crashed = Instant::now();
    ids.extend(world.accept(10).await);
    let runs = |one: &Member| one.state() == LaneState::Running;
    while !runs(&second) && !runs(&third) {
        assert!(crashed.elapsed() <= LEASE + LEASE / 20, "nobody took over");
        sleep(Duration::from_millis(1)).await;
    }
    assert!(crashed.elapsed() >= LEASE / 2);
    world.until_all(&ids, TxStatus::Confirmed).await;
    world.assert_executed_once(ids.len());
    second.shut_down().await;
    third.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_lane_is_handed_over_while_it_works() {
    let _logs = Logs::watch();
    let world = World::new();
    let _mining = world.mine_every(Duration::from_secs(1));
    let mut holder = Member::start(&world, "process-0");
    holder.process.until_running().await;
    let mut ids = world.accept(20).await;
    for turn in 1..6 {
        let next = Member::start(&world, &format!("process-{turn}"));
        ids.extend(world.accept(20).await);
        sleep(Duration::from_millis(1100)).await;
        let asked = Instant::now();
        // It gives its lane up and goes on, as one does that holds more than its share. It looks with its next beat.
        holder.fleet.drain().await;
        next.process.until_running().await;
        let taken = asked.elapsed();
        assert!(taken < LEASE / 4 + Duration::from_millis(100), "{taken:?}");
        assert_eq!(holder.state(), LaneState::Waiting);
        holder.shut_down().await;
        holder = next;
    }
    world.until_all(&ids, TxStatus::Confirmed).await;
    world.assert_executed_once(ids.len());
    holder.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_cannot_run_here_runs_elsewhere() {
    let mut world = World::new();
    let signers = std::mem::take(&mut world.signers);
    let without = Member::start(&world, "without-signers");
    let failed = |state: &LaneState| matches!(state, LaneState::Failed(_));
    without.process.until(failed).await;
    world.signers = signers;
    let with = Member::start(&world, "with-signers");
    with.process.until_running().await;
    assert!(failed(&without.state()), "it says why it is not there");
    sleep(Duration::from_secs(40)).await;
    assert_eq!(without.state(), LaneState::Waiting);
    assert_eq!(with.state(), LaneState::Running);
    with.shut_down().await;
    without.process.until(failed).await;
    without.shut_down().await;
}
