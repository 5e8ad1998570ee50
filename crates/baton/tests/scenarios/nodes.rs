//! Nodes that lose answers, lie, go away, and keep rules: S5, S6, S7, S11.

use crate::play_whole;

#[tokio::test]
async fn s5_lost_answers_cost_nothing() {
    let played = play_whole("S5", &[], 360).await;
    assert!(played.figure("answers lost") >= 10.0);
    assert!(played.figure("batches without answer") >= 2.0);
}

#[tokio::test]
async fn s6_stale_counts_lead_to_no_nonce_twice() {
    let played = play_whole("S6", &[], 100).await;
    assert_eq!(played.figure("nonces reused"), 0.0);
}

#[tokio::test]
async fn s7_an_outage_fails_no_request() {
    let played = play_whole("S7", &[], 100).await;
    for name in ["after 429", "after 503", "after hanging", "after refusing"] {
        assert!(played.figure(name) > 0.0, "{name}");
    }
}

#[tokio::test]
async fn s11_a_strict_pool_and_a_relayer_that_opens_more_get_on() {
    let played = play_whole("S11", &[], 240).await;
    assert!(played.figure("sends refused") >= 1.0);
}
