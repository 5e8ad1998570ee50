//! Chains that forget, get expensive and change their mind, and accounts that run dry: S4, S9, S10,
//! S13.

use crate::play_whole;

#[tokio::test]
async fn s4_a_dropped_transaction_is_offered_again() {
    let played = play_whole("S4", &[], 40).await;
    assert!(played.figure("recovery") > 0.0);
}

#[tokio::test]
async fn s9_a_fee_spike_is_outbid_or_waited_out() {
    let played = play_whole("S9", &[], 40).await;
    assert!(played.figure("base fee rose") >= 10.0);
    assert!(played.figure("higher bids") >= 1.0);
}

#[tokio::test]
async fn s10_what_is_taken_back_is_executed_again_and_told_as_the_chain_has_it() {
    let played = play_whole("S10", &[], 40).await;
    assert!(played.figure("transactions taken back") >= 1.0);
    assert_eq!(played.figure("statuses that disagree"), 0.0);
}

#[tokio::test]
async fn s13_an_account_without_funds_holds_its_own_work_only() {
    let played = play_whole("S13", &[], 80).await;
    assert!(played.figure("held") >= 10.0);
}
