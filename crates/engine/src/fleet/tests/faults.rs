//! What fails, and what others know differently.

use std::sync::Arc;
use std::time::Duration;

use baton_coord::{Batch, HolderId, Key, Lease, Table};
use tokio::time::sleep;

use super::support::{BEAT, Instance, LEASE, Link, World, lanes};
use crate::SharedStore;
use crate::fleet::Fleet;
use crate::fleet::record::{self, InstanceId};

fn set_all(instances: &[Instance], link: Link) {
    for one in instances {
        one.link.send_replace(link);
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_stands_still_costs_no_more_than_the_leases() {
    for link in [Link::Silent, Link::Down] {
        let world = World::new();
        let all = lanes(0..9);
        let names = ["a", "b", "c"];
        let instances: Vec<Instance> = names.iter().map(|name| world.start(name, &all)).collect();
        world.until_even(&names, 9).await;
        sleep(BEAT * 4).await;
        let before = world.running();
        for (pause, is_lost) in [(LEASE / 2, false), (LEASE * 5, true)] {
            set_all(&instances, link);
            sleep(pause).await;
            assert_eq!(world.running().is_empty(), is_lost);
            set_all(&instances, Link::Up);
            let taken = world.until_even(&names, 9).await;
            assert!(taken <= LEASE * 3 / 2, "{link:?}: {taken:?}");
            sleep(BEAT * 8).await;
            assert_eq!(world.spread(&names), [3, 3, 3]);
            if !is_lost {
                assert_eq!(world.running(), before, "{link:?}");
            }
        }
        world.check();
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_is_cut_off_is_replaced_and_gets_its_share_when_it_is_back() {
    for link in [Link::Silent, Link::Down] {
        let world = World::new();
        let all = lanes(0..9);
        let names = ["a", "b", "c"];
        let instances: Vec<Instance> = names.iter().map(|name| world.start(name, &all)).collect();
        world.until_even(&names, 9).await;
        sleep(BEAT * 4).await;
        instances[0].link.send_replace(link);
        let taken = world.until_even(&["b", "c"], 9).await;
        assert!(taken <= LEASE + BEAT * 2, "{link:?}: {taken:?}");
        assert_eq!(*instances[1].fleet.instances().borrow(), 2);
        sleep(LEASE * 3).await;
        instances[0].link.send_replace(Link::Up);
        let taken = world.until_even(&names, 9).await;
        assert!(taken <= LEASE, "{link:?}: {taken:?}");
        world.check();
    }
}

#[tokio::test(start_paused = true)]
async fn lanes_that_only_some_know_are_run_by_them() {
    let world = World::new();
    let _a = world.start("a", &lanes(0..12));
    let _b = world.start("b", &lanes(0..5));
    let _c = world.start("c", &lanes(8..15));
    let taken = world.until_running(15).await;
    assert!(taken <= LEASE * 2, "{taken:?}");
    sleep(LEASE * 4).await;
    let tenures = world.tenures();
    sleep(LEASE * 50).await;
    assert_eq!(world.tenures(), tenures, "lanes go on moving");
    assert_eq!(world.running().len(), 15);
    world.check();
}

/// It beats, and says that it has room, but its lanes have no tasks.
#[tokio::test(start_paused = true)]
async fn what_one_should_take_and_does_not_is_taken_by_another() {
    let world = World::new();
    let all = lanes(0..8);
    let _idle = world.join("idle", &all);
    sleep(BEAT * 4).await;
    let _a = world.start("a", &all);
    let taken = world.until_running(8).await;
    assert!(taken <= LEASE * 2, "{taken:?}");
    let _b = world.start("b", &all);
    world
        .until("a share for b", || world.spread(&["b"])[0] >= 2)
        .await;
    sleep(LEASE * 4).await;
    let tenures = world.tenures();
    sleep(LEASE * 50).await;
    assert_eq!(world.tenures(), tenures, "lanes go on moving");
    assert_eq!(world.running().len(), 8);
    world.check();
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_fails_is_tried_by_others_at_once_and_comes_back_later() {
    let world = World::new();
    let one = lanes(0..1);
    let lane = one.first().unwrap();
    let names = ["a", "b", "c"];
    let _all: Vec<Instance> = names.iter().map(|name| world.start(name, &one)).collect();
    world.until_running(1).await;
    sleep(LEASE * 2).await;
    for _ in 0..2 {
        let holder = world.running()[lane].clone();
        names
            .iter()
            .for_each(|name| world.set_broken(name, lane, *name == holder));
        let _before = world.tried();
        // Those who fail have to be asked first: they are the ones that hold it.
        let holders = _all.iter().find(|one| one.name == holder).unwrap();
        holders.link.send_replace(Link::Silent);
        sleep(LEASE * 2).await;
        holders.link.send_replace(Link::Up);
        sleep(LEASE * 2).await;
        assert_ne!(world.running().get(lane), Some(&holder));
    }
    world.check();
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_fails_everywhere_is_tried_again_everywhere() {
    let world = World::new();
    let one = lanes(0..1);
    let lane = one.first().unwrap();
    let names = ["a", "b", "c"];
    names
        .iter()
        .for_each(|name| world.set_broken(name, lane, true));
    let _all: Vec<Instance> = names.iter().map(|name| world.start(name, &one)).collect();
    sleep(Duration::from_secs(4)).await;
    let tried = world.tried();
    let mut by: Vec<&str> = tried.iter().map(|(_, name)| name.as_str()).collect();
    by.sort_unstable();
    assert_eq!(by, names, "each of them once");
    sleep(Duration::from_secs(120)).await;
    let tried = world.tried().len();
    assert!((60..=3 * 24).contains(&tried), "{tried} tries in 120 s");
    world.set_broken("b", lane, false);
    let taken = world.until_running(1).await;
    assert!(taken <= Duration::from_secs(6), "{taken:?}");
    world.check();
}

#[tokio::test(start_paused = true)]
async fn one_alone_tries_a_failed_lane_again_soon() {
    let world = World::new();
    let one = lanes(0..1);
    let lane = one.first().unwrap();
    world.set_broken("a", lane, true);
    let _a = world.start("a", &one);
    sleep(Duration::from_secs(61)).await;
    let tried = world.tried().len();
    assert!((11..=13).contains(&tried), "{tried} tries in 61 s");
    world.set_broken("a", lane, false);
    assert!(world.until_running(1).await <= Duration::from_secs(6));
}

/// Its records cannot be read, so what it holds is known from the store's refusals only.
#[tokio::test(start_paused = true)]
async fn one_of_a_newer_release_is_lived_with() {
    let world = World::new();
    let all = lanes(0..9);
    let newer = HolderId("newer".to_owned());
    for lane in all.iter().take(3) {
        world
            .store
            .acquire(lane, &newer, Duration::from_secs(3600))
            .await
            .unwrap();
    }
    let store = world.store.clone();
    let id = InstanceId::of(&newer);
    let beating = tokio::spawn(async move {
        loop {
            let mut batch = Batch::new(record::lane());
            batch
                .puts
                .push((id.beat_key(), r#"{"v":99,"r":[]}"#.into()));
            batch
                .puts
                .push((id.duties_key(), r#"{"v":99,"r":[]}"#.into()));
            store.commit(batch).await.unwrap();
            sleep(BEAT).await;
        }
    });
    let a = world.start("a", &all);
    let _b = world.start("b", &all);
    let taken = world.until_even(&["a", "b"], 6).await;
    assert!(taken <= LEASE * 2, "{taken:?}");
    sleep(LEASE * 10).await;
    assert_eq!(*a.fleet.instances().borrow(), 3);
    let tenures = world.tenures();
    let _before = world.counted();
    sleep(LEASE * 20).await;
    assert_eq!(world.tenures(), tenures, "lanes go on moving");
    let asked = world.counted()["acquire"];
    assert!(asked <= 2 * 3 * 2 * 20, "{asked} questions in 20 leases");
    let view = Fleet::view(&(Arc::new(world.store.clone()) as SharedStore))
        .await
        .unwrap();
    let unreadable = view
        .iter()
        .find(|one| one.id == "newer")
        .unwrap()
        .unreadable
        .clone();
    assert!(unreadable.unwrap().contains("format 99"));
    beating.abort();
    world.check();
}

#[tokio::test(start_paused = true)]
async fn records_that_the_store_cannot_read_do_not_stop_the_lanes() {
    let world = World::new();
    let all = lanes(0..4);
    let a = world.join("a", &all);
    a.link.send_replace(Link::Unreadable);
    let mut a = a;
    all.iter().for_each(|lane| a.add(lane));
    assert!(world.until_running(4).await <= BEAT * 2);
    let b = world.start("b", &all);
    sleep(LEASE * 2).await;
    a.link.send_replace(Link::Up);
    world.until_even(&["a", "b"], 4).await;
    b.stop().await;
    world.check();
}

#[tokio::test(start_paused = true)]
async fn records_of_the_dead_are_removed_and_those_of_the_living_stay() {
    let world = World::new();
    let one = lanes(0..1);
    let _a = world.start("a", &one);
    let b = world.start("b", &one);
    sleep(LEASE).await;
    b.kill().await;
    let key: Key = "h/b".into();
    let is_there = async || {
        world
            .store
            .get(&record::lane(), &key)
            .await
            .unwrap()
            .is_some()
    };
    sleep(Duration::from_secs(590)).await;
    assert!(is_there().await);
    sleep(Duration::from_secs(20)).await;
    assert!(!is_there().await);
    let view = Fleet::view(&(Arc::new(world.store.clone()) as SharedStore))
        .await
        .unwrap();
    assert_eq!(
        view.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(),
        ["a"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_view_shows_who_holds_what() {
    let world = World::new();
    let all = lanes(0..4);
    let a = world.start("a", &all);
    let _b = world.start("b", &all);
    world.until_even(&["a", "b"], 4).await;
    sleep(BEAT * 2).await;
    let store: SharedStore = Arc::new(world.store.clone());
    let first = Fleet::view(&store).await.unwrap();
    let running = world.running();
    for one in &first {
        assert_eq!(
            (one.version.as_str(), one.lease, one.is_draining),
            ("1", LEASE, false)
        );
        assert_eq!(one.unreadable, None);
        let held: Vec<_> = one.holds.iter().map(|held| &held.lane).collect();
        let runs = running.iter().filter(|(_, by)| **by == one.name);
        assert_eq!(held, runs.map(|(lane, _)| lane).collect::<Vec<_>>());
        assert!(
            one.holds
                .iter()
                .all(|held| held.epoch.0 > 0 && held.since >= one.started_at)
        );
    }
    a.fleet.drain().await;
    let second = Fleet::view(&store).await.unwrap();
    assert!(second[0].is_draining && !second[1].is_draining);
    assert!(second[0].sequence > first[0].sequence);
    world.until_even(&["b"], 4).await;
    world.check();
}
