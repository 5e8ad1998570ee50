//! Relayers that end in the middle of their work: S8.

use crate::{play, play_whole};

#[tokio::test]
async fn s8_twenty_kills_lose_nothing_and_double_nothing() {
    let played = play_whole("S8-kill", &[], 200).await;
    assert_eq!(played.figure("ends"), 20.0);
}

#[tokio::test]
async fn s8_twenty_drains_answer_truthfully() {
    let played = play("S8-term", &[]).await;
    assert_eq!(played.figure("ends"), 20.0);
    assert_eq!(played.figure("of these executed"), 0.0);
    assert!(played.count("accepted") >= 100, "{}", played.0);
}
