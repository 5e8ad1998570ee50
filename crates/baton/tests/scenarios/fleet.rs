//! Several instances on a shared store that are killed, drained and cut off, while the store is
//! killed, damaged, moved, filled and slowed down: F1 to F13.

use crate::{play_but_forgotten, play_whole};

#[tokio::test]
async fn f1_a_fleet_behind_nginx_shares_the_calls() {
    let played = play_whole("F1", &[], 240).await;
    assert!(played.figure("mined") > 20.0);
    let spread = played.figure("POSTs, most by least busy instance");
    assert!((1.0..=2.0).contains(&spread), "{spread}");
}

#[tokio::test]
async fn f2_lanes_of_killed_instances_go_on_at_others() {
    let played = play_whole("F2", &[], 200).await;
    assert_eq!(played.figure("kills"), 5.0);
    assert!(played.figure("lanes taken over") >= 5.0);
    assert!(played.figure("posts that failed") > 0.0);
}

#[tokio::test]
async fn f3_a_rolling_restart_is_not_noticed() {
    let played = play_whole("F3", &[], 100).await;
    assert_eq!(played.figure("restarts"), 3.0);
    assert!(played.figure("answers \"not ready\" meanwhile") >= 3.0);
    assert!(played.figure("lanes taken over") >= 2.0);
}

#[tokio::test]
async fn f4_a_killed_store_is_noticed_and_doubles_nothing() {
    let played = play_but_forgotten("F4-kill", 100).await;
    assert_eq!(played.figure("kills"), 3.0);
    // Redis writes before it answers, unless the disk is busy with a flush at that moment.
    assert!(played.figure("forgotten") <= 20.0);
}

#[tokio::test]
async fn f4_what_a_crash_takes_is_told_and_nothing_is_executed_twice() {
    let played = play_but_forgotten("F4-cut", 100).await;
    assert_eq!(played.figure("crashes"), 2.0);
    assert!(played.figure("bytes cut off") > 10_000.0);
    // Two crashes take a second each of 45 requests a second; what of it was sent is executed.
    let taken = played.figure("forgotten") + played.figure("executed and then forgotten");
    assert!((10.0..=300.0).contains(&taken), "{taken}");
}

#[tokio::test]
async fn f5_an_empty_store_is_noticed_and_adopted() {
    let played = play_but_forgotten("F5", 100).await;
    assert_eq!(played.figure("losses of everything"), 2.0);
    assert_eq!(played.figure("restarts with --adopt"), 2.0);
    assert!(played.figure("nonces skipped") >= 1.0);
    assert!(played.figure("executed and then forgotten") >= 1.0);
}

#[tokio::test]
async fn f6_sentinel_replaces_the_master() {
    let played = play_but_forgotten("F6", 60).await;
    assert_eq!(played.figure("failovers"), 1.0);
}

#[tokio::test]
async fn f7_a_cluster_replaces_a_master() {
    let played = play_but_forgotten("F7", 60).await;
    assert_eq!(played.figure("failovers"), 1.0);
}

#[tokio::test]
async fn f8_lanes_follow_their_slots() {
    let played = play_whole("F8", &[], 60).await;
    assert_eq!(played.figure("slots moved"), 3.0);
}

#[tokio::test]
async fn f9_a_full_store_refuses_and_evicts_nothing() {
    let played = play_whole("F9", &[], 60).await;
    assert_eq!(played.figure("evicting stores refused"), 1.0);
    assert_eq!(played.figure("keys evicted"), 0.0);
    assert!(played.figure("posts refused") >= 10.0);
}

#[tokio::test]
async fn f10_a_store_that_pauses_costs_leases_and_nothing_else() {
    let played = play_whole("F10", &[], 200).await;
    assert!(played.figure("batons lost") >= 1.0);
    assert!(played.figure("pause") >= 3.0);
}

#[tokio::test]
async fn f11_a_slow_wire_costs_two_round_trips_for_a_post() {
    let played = play_whole("F11", &[], 180).await;
    assert!(played.figure("accepted p50") >= 50.0);
}

#[tokio::test]
async fn f12_a_flood_of_connections_and_forgotten_scripts_stop_nobody() {
    let played = play_whole("F12", &[], 60).await;
    assert!(played.figure("refused") >= 1000.0);
    assert!(played.figure("SCRIPT FLUSH") >= 10.0);
}

#[tokio::test]
async fn f13_who_is_cut_off_stops_and_others_go_on() {
    let played = play_whole("F13", &[], 60).await;
    assert!(played.figure("lanes taken over") >= 1.0);
    assert_eq!(
        played.figure("sent by who was cut off after its lease"),
        0.0
    );
}

#[tokio::test]
async fn what_is_deployed_survives_the_death_of_each_part() {
    let played = play_whole("topology", &[], 200).await;
    assert!(played.figure("in the middle of them") >= 1.0);
    assert!(played.figure("lanes taken over") >= 2.0);
}
