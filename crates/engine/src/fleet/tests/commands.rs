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
    let (instances, each) = (100, 100);
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
    let (instances, lanes) = (instances as u64, all.len() as u64);
    let leases = u64::from(leases);
    let per_lease = [
        ("commit", instances * 4),
        ("scan", instances * 4),
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
