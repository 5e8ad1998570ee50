//! Loads that go well: S1, S2, S3, S14.

use crate::play_whole;

#[tokio::test]
async fn s1_one_sender_keeps_up_and_signs_each_request_once() {
    let played = play_whole("S1", &[], 320).await;
    assert!(played.figure("mined") > 20.0);
    // Cores that others use too make it slow, but not as slow as waiting in turn would.
    assert!(played.figure("to the node p50") < 2000.0);
}

#[tokio::test]
async fn s2_a_pool_of_ten_shares_the_load() {
    let played = play_whole("S2", &[], 400).await;
    let spread = played.figure("most by least busy account");
    assert!((1.0..=1.5).contains(&spread), "{spread}");
}

#[tokio::test]
async fn s3_a_burst_is_accepted_whole_and_mined() {
    let played = play_whole("S3", &[], 500).await;
    assert!(played.figure("memory at most") < 250.0);
}

#[tokio::test]
async fn s14_a_soak_leaves_no_counter_behind_and_logs_little() {
    let played = play_whole("S14", &[], 480).await;
    assert_eq!(played.figure("pending counters left"), 0.0);
    assert!(played.figure("log per request") < 100.0);
    assert!(played.figure("memory in the end") < 200.0);
}
