//! Offers signed bytes to nodes, in the order in which the lane wanted them offered.

use std::sync::Arc;
use std::time::Duration;

use baton_chain::{ChainClient, NodeAnswer};
use baton_lanes::{Answer, Input, Offer, triage};
use baton_model::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Offers that go to nodes in one call.
pub(super) const BATCH: usize = 256;
/// Calls under way: a node that is slow to answer does not keep the next offers from being sent, and its client keeps
/// them in order.
const CALLS: usize = 8;
/// Longest wait for answers to one call: several of a client's own time-outs. Beyond, "unknown" is the answer, and the
/// same bytes are offered again.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// Takes offers until the lane ends.
pub(super) async fn broadcast(
    chain: Arc<dyn ChainClient>,
    mut offers: mpsc::Receiver<Vec<Offer>>,
    inputs: mpsc::Sender<Vec<Input>>,
) {
    let mut calls = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            Some(answers) = calls.next() => {
                if inputs.send(answers).await.is_err() {
                    return;
                }
            }
            batch = offers.recv(), if calls.len() < CALLS => {
                let Some(batch) = batch else { return };
                calls.push(offer(Arc::clone(&chain), batch));
            }
        }
    }
}

async fn offer(chain: Arc<dyn ChainClient>, offers: Vec<Offer>) -> Vec<Input> {
    let raw: Vec<Bytes> = offers.iter().map(|offer| offer.raw.clone()).collect();
    let answers = timeout(ANSWER_MAX, chain.broadcast(&raw)).await;
    let mut answers = answers.unwrap_or_default().into_iter();
    offers
        .into_iter()
        .map(|offer| Input::Answered {
            account: offer.account,
            nonce: offer.nonce,
            hash: offer.hash,
            // No answer at all means that a node may have it.
            answers: answers.next().into_iter().flatten().map(answer).collect(),
        })
        .collect()
}

fn answer(answer: NodeAnswer) -> Answer {
    match answer {
        NodeAnswer::Accepted(_) => Answer::Accepted,
        NodeAnswer::Rejected { code, message } => Answer::Refused {
            verdict: triage(code, &message),
            message,
        },
        NodeAnswer::Unknown { .. } => Answer::Unknown,
    }
}
