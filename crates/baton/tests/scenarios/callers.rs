//! Callers that repeat themselves: S12.

use crate::play_whole;

#[tokio::test]
async fn s12_a_request_that_is_posted_three_times_is_executed_once() {
    let played = play_whole("S12", &[], 160).await;
    assert_eq!(played.figure("posts"), 480.0);
}
