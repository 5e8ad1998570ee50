//! Offers signed bytes to nodes, in the order in which the lane wanted them offered.

use std::sync::Arc;

use baton_chain::{ChainClient, NodeAnswer};
use baton_lanes::{Answer, Input, Offer, triage};
use baton_model::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::mpsc;

/// Offers that go to nodes in one call.
pub(super) const BATCH: usize = 256;
/// Calls under way: a node that is slow to answer does not keep the next offers from being sent, and its client keeps
/// them in order.
const CALLS: usize = 8;

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
    let answers = chain.broadcast(&raw).await;
    offers
        .into_iter()
        .zip(answers)
        .map(|(offer, answers)| Input::Answered {
            account: offer.account,
            nonce: offer.nonce,
            hash: offer.hash,
            answers: answers.into_iter().map(answer).collect(),
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
