//! Instances come and go.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::support::{BEAT, Instance, LEASE, Link, World, lanes};
use crate::SharedStore;
use crate::fleet::Fleet;

#[tokio::test(start_paused = true)]
async fn one_alone_runs_everything_at_once() {
    let world = World::new();
    let one = world.start("a", &lanes(0..9));
    assert!(world.until_running(9).await <= Duration::from_millis(50));
    assert_eq!(*one.fleet.instances().borrow(), 1);
    one.stop().await;
    world.check();
}

#[tokio::test(start_paused = true)]
async fn those_who_join_get_their_share_and_no_more_moves_than_that() {
    let world = World::new();
    let all = lanes(0..9);
    let _a = world.start("a", &all);
    world.until_running(9).await;
    sleep(BEAT).await;
    let _b = world.start("b", &all);
    let taken = world.until_even(&["a", "b"], 9).await;
    assert!(taken <= Duration::from_millis(100), "{taken:?}");
    sleep(BEAT * 10).await;
    let c = world.start("c", &all);
    let taken = world.until_even(&["a", "b", "c"], 9).await;
    assert!(taken <= Duration::from_millis(100), "{taken:?}");
    sleep(BEAT * 20).await;
    assert_eq!(world.spread(&["a", "b", "c"]), [3, 3, 3]);
    assert_eq!(world.tenures(), 9 + 4 + 3);
    assert_eq!(*c.fleet.instances().borrow(), 3);
    assert!(world.longest_gap() <= Duration::from_millis(20));
    world.check();
}

#[tokio::test(start_paused = true)]
async fn one_that_stops_hands_over_at_once() {
    let world = World::new();
    let all = lanes(0..12);
    let mut others = vec![world.start("a", &all), world.start("b", &all)];
    let leaver = world.start("c", &all);
    world.until_even(&["a", "b", "c"], 12).await;
    sleep(BEAT * 10).await;
    let _settling = world.longest_gap();
    leaver.stop().await;
    world.until_even(&["a", "b"], 12).await;
    let gap = world.longest_gap();
    assert!(gap <= Duration::from_millis(20), "{gap:?}");
    sleep(BEAT * 10).await;
    assert_eq!(world.spread(&["a", "b"]), [6, 6]);
    assert_eq!(*others[0].fleet.instances().borrow(), 2);
    let store: SharedStore = std::sync::Arc::new(world.store.clone());
    assert_eq!(Fleet::view(&store).await.unwrap().len(), 2);
    for one in others.drain(..) {
        one.stop().await;
    }
    assert_eq!(Fleet::view(&store).await.unwrap(), []);
    world.check();
}

#[tokio::test(start_paused = true)]
async fn many_lanes_move_in_small_groups() {
    let world = World::new();
    let all = lanes(0..200);
    let _a = world.start("a", &all);
    world.until_running(200).await;
    sleep(BEAT).await;
    let _before = world.longest_gap();
    let _b = world.start("b", &all);
    let (began, mut least) = (Instant::now(), 200);
    while world.spread(&["b"]) != [100] {
        assert!(began.elapsed() < LEASE, "{:?}", world.spread(&["a", "b"]));
        least = least.min(world.running().len());
        sleep(Duration::from_millis(1)).await;
    }
    assert!((200 - 32..200).contains(&least), "{least} lanes ran");
    assert!(world.longest_gap() <= Duration::from_millis(20));
    world.check();
}

/// Whenever in the rhythm of its beats and renewals it dies.
#[tokio::test(start_paused = true)]
async fn the_lanes_of_one_that_is_killed_are_taken_when_its_leases_end() {
    let world = World::new();
    let all = lanes(0..9);
    let _a = world.start("a", &all);
    let _b = world.start("b", &all);
    let mut gaps = Vec::new();
    for round in 0..40u32 {
        let victim = world.start(&format!("victim-{round}"), &all);
        world.until_even(&["a", "b", &victim.name], 9).await;
        sleep(BEAT * 8 + Duration::from_millis(37) * round).await;
        let _settling = world.longest_gap();
        victim.kill().await;
        world.until_running(9).await;
        gaps.push(world.longest_gap());
        sleep(LEASE * 3).await;
    }
    gaps.sort_unstable();
    println!(
        "from kill to the next holder: p50 {:?}, max {:?}",
        gaps[20], gaps[39]
    );
    // No lease has run out earlier than two thirds of it after the last renewal.
    assert!(gaps[0] >= LEASE / 2, "{gaps:?}");
    assert!(gaps[20] <= LEASE, "{gaps:?}");
    assert!(gaps[39] <= LEASE + BEAT, "{gaps:?}");
    world.check();
}

#[tokio::test(start_paused = true)]
async fn many_that_start_together_come_to_rest_soon_and_stay_there() {
    let world = World::new();
    let all = lanes(0..53);
    let names = ["a", "b", "c", "d", "e"];
    let _all: Vec<Instance> = names.iter().map(|name| world.start(name, &all)).collect();
    let taken = world.until_even(&names, 53).await;
    assert!(taken <= BEAT * 3, "{taken:?}");
    sleep(BEAT * 4).await;
    let tenures = world.tenures();
    sleep(BEAT * 100).await;
    assert_eq!(world.tenures(), tenures, "lanes go on moving");
    world.check();
}

#[tokio::test(start_paused = true)]
async fn lanes_that_come_and_go_are_spread_as_well() {
    let world = World::new();
    let few = lanes(0..4);
    let mut instances = [world.start("a", &few), world.start("b", &few)];
    world.until_even(&["a", "b"], 4).await;
    let more = lanes(0..10);
    for one in &mut instances {
        one.fleet.set_lanes(more.clone());
        more.difference(&few).for_each(|lane| one.add(lane));
    }
    let taken = world.until_even(&["a", "b"], 10).await;
    assert!(taken <= BEAT * 2, "{taken:?}");
    let fewer = lanes(3..10);
    for lane in more.difference(&fewer) {
        for one in &mut instances {
            one.fleet.set_lanes(fewer.clone());
            one.remove(lane).await;
        }
    }
    world.until_even(&["a", "b"], 7).await;
    world.check();
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_is_started_anew_stays_where_it_is() {
    let world = World::new();
    let all = lanes(0..6);
    let mut a = world.start("a", &all);
    let _b = world.start("b", &all);
    world.until_even(&["a", "b"], 6).await;
    sleep(BEAT * 4).await;
    let before = world.running();
    let lane = before.iter().find(|(_, by)| *by == "a").unwrap().0.clone();
    a.remove(&lane).await;
    a.add(&lane);
    let taken = world.until_running(6).await;
    assert!(taken <= Duration::from_millis(50), "{taken:?}");
    sleep(BEAT * 10).await;
    assert_eq!(world.running(), before);
    world.check();
}

/// Everything that can happen, one after the other and at the same time, by a seed.
#[tokio::test(start_paused = true)]
async fn whatever_comes_and_goes_no_lane_is_left_alone_for_long() {
    for seed in 1..=8u64 {
        let mut random = seed;
        let mut next = |below: u64| {
            // xorshift64: a fixed sequence per seed.
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % below
        };
        let world = World::new();
        let all = lanes(0..20);
        let mut running = vec![world.start("first", &all)];
        world.until_running(20).await;
        for event in 0..60 {
            let index = usize::try_from(next(running.len() as u64)).unwrap();
            match next(5) {
                0 | 1 if running.len() < 6 => {
                    running.push(world.start(&format!("i-{seed}-{event}"), &all));
                }
                2 if running.len() > 1 => running.swap_remove(index).stop().await,
                3 if running.len() > 1 => running.swap_remove(index).kill().await,
                4 if running.len() > 1 => {
                    let link = running[index].link.clone();
                    let bad = if next(2) == 0 {
                        Link::Down
                    } else {
                        Link::Silent
                    };
                    link.send_replace(bad);
                    let outage = Duration::from_millis(next(4000));
                    tokio::spawn(async move {
                        sleep(outage).await;
                        link.send_replace(Link::Up);
                    });
                }
                _ => {}
            }
            // Someone who reaches the store has to be left for a promise to be kept.
            if running.iter().all(|one| *one.link.borrow() != Link::Up) {
                running.push(world.start(&format!("i-{seed}-{event}-more"), &all));
            }
            sleep(Duration::from_millis(next(1500))).await;
        }
        let began = Instant::now();
        while running.iter().any(|one| *one.link.borrow() != Link::Up) {
            assert!(began.elapsed() < LEASE * 5);
            sleep(BEAT).await;
        }
        let names: Vec<&str> = running.iter().map(|one| one.name.as_str()).collect();
        let taken = world.until_even(&names, 20).await;
        assert!(taken <= LEASE * 2, "seed {seed}: {taken:?}");
        let gap = world.longest_gap();
        assert!(
            gap <= LEASE * 3,
            "seed {seed}: a lane was left alone for {gap:?}"
        );
        world.check();
    }
}
