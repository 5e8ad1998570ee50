//! What it costs the store.

use std::time::Duration;

use tokio::time::sleep;

use super::support::{Instance, LEASE, World, lanes};

/// Each instance writes one beat and reads all of them four times per lease, and renews each lane three times.
#[tokio::test(start_paused = true)]
async fn at_rest_each_beat_costs_two_commands_and_each_lane_its_renewals() {
    let world = World::new();
    let all = lanes(0..3);
    let names = ["a", "b", "c"];
    let _all: Vec<Instance> = names.iter().map(|name| world.start(name, &all)).collect();
    world.until_even(&names, 3).await;
    sleep(Duration::from_secs(10)).await;
    let _start = world.counted();
    let time = LEASE * 100;
    sleep(time).await;
    let counted = world.counted();
    println!("3 instances, 3 lanes, {time:?}: {counted:?}");
    for (operation, per_lease) in [("commit", 3 * 4), ("scan", 3 * 4), ("renew", 3 * 3)] {
        let expected = per_lease * 100;
        let counted = counted[operation];
        assert!(
            counted.abs_diff(expected) <= expected / 50,
            "{operation}: {counted}"
        );
    }
    for operation in ["acquire", "get", "publish", "release", "subscribe"] {
        assert_eq!(counted[operation], 0, "{operation}");
    }
}

/// Larger fleets pay for instances and for lanes, not for their product.
#[tokio::test(start_paused = true)]
async fn at_rest_many_instances_and_lanes_cost_their_sum() {
    let (instances, each) = (20, 20);
    let world = World::new();
    let all: Vec<_> = lanes(0..instances * each).into_iter().collect();
    let known = all.iter().cloned().collect();
    let mut running = Vec::new();
    for (number, own) in all.chunks(each).enumerate() {
        let mut one = world.join(&format!("i-{number:03}"), &known);
        own.iter().for_each(|lane| one.add(lane));
        running.push(one);
    }
    world.until_running(all.len()).await;
    sleep(Duration::from_secs(10)).await;
    let _start = world.counted();
    let leases = 10;
    sleep(LEASE * leases).await;
    let counted = world.counted();
    println!(
        "{instances} instances, {} lanes, {:?}: {counted:?}",
        all.len(),
        LEASE * leases
    );
    let (count, lanes) = (instances as u64, all.len() as u64);
    let leases = u64::from(leases);
    let per_lease = [
        ("commit", count * 4),
        ("scan", count * 4),
        ("renew", lanes * 3),
    ];
    for (operation, per_lease) in per_lease {
        let expected = per_lease * leases;
        let counted = counted[operation];
        assert!(
            counted.abs_diff(expected) <= expected / 20,
            "{operation}: {counted}"
        );
    }
    for operation in ["acquire", "get", "publish", "release", "subscribe"] {
        assert_eq!(counted[operation], 0, "{operation}");
    }
}

/// Whatever moves costs a few commands for each lane that moves, and each instance looks a few times more.
#[tokio::test(start_paused = true)]
async fn what_moves_costs_in_proportion() {
    let (instances, each) = (12usize, 22usize);
    let world = World::new();
    let all = lanes(0..instances * each);
    let names: Vec<String> = (0..=instances)
        .map(|number| format!("i-{number:03}"))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut running: Vec<Instance> = names[..instances]
        .iter()
        .map(|name| world.start(name, &all))
        .collect();
    world.until_even(&names[..instances], all.len()).await;
    sleep(LEASE * 2).await;
    let moves = ["one stops", "one joins", "one is killed"];
    for what in moves {
        let _start = world.counted();
        let (tenures, before) = (world.tenures(), running.len());
        match what {
            "one stops" => running.pop().unwrap().stop().await,
            "one joins" => running.push(world.start(names[instances], &all)),
            _ => running.pop().unwrap().kill().await,
        }
        let left: Vec<&str> = running.iter().map(|one| one.name.as_str()).collect();
        world.until_even(&left, all.len()).await;
        sleep(LEASE * 2).await;
        let (moved, counted) = (world.tenures() - tenures, world.counted());
        println!(
            "{before} instances, {} lanes, {what}: {moved} moved, {counted:?}",
            all.len()
        );
        assert!(
            (each - 2..=each + 2).contains(&moved),
            "{what}: {moved} moved"
        );
        let moved = moved as u64;
        for (operation, most) in [("acquire", 4), ("release", 1), ("subscribe", 2)] {
            let counted = counted[operation];
            assert!(counted <= most * moved + 1, "{what}: {operation} {counted}");
        }
        assert!(
            counted["publish"] <= 2 * moved + 2 * instances as u64,
            "{what}: {counted:?}"
        );
    }
}
