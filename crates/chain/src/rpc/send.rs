//! Queues of sends: at each endpoint everything is offered once and in the order of the broadcasts.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::keccak256;
use baton_model::{B256, Bytes};
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::http::FaultKind;
use super::node::Node;
use super::pool::Pool;
use super::wire::{Ask, Reply};
use crate::{NodeAnswer, RpcError};

/// Broadcasts that wait at one endpoint. A broadcast returns when the fastest endpoint accepts it,
/// so only a slow endpoint's queue grows; beyond this its share is given up and reported as
/// unknown.
const QUEUE_MAX: usize = 256;
/// Longest wait in a queue. By then whoever asked has offered the transaction again.
const STALE_AFTER: Duration = Duration::from_secs(30);
/// Most transactions taken from the queue at once.
const TAKE_MAX: usize = 500;

/// What one endpoint said to one transaction of a broadcast.
pub(crate) struct Spoken {
    place: usize,
    answer: NodeAnswer,
}

/// The queue of every endpoint that takes calls.
pub(crate) struct SendQueues {
    queues: Vec<(Arc<Node>, mpsc::Sender<Job>)>,
}

struct Job {
    raws: Arc<[Bytes]>,
    answers: mpsc::Sender<Spoken>,
    since: Instant,
}

impl SendQueues {
    /// Starts a worker per endpoint. Workers end when the queues are dropped and empty.
    pub(crate) fn start(pool: &Pool, tasks: &mut JoinSet<()>) -> Self {
        let queues = pool
            .nodes
            .iter()
            .map(|node| {
                let (sender, jobs) = mpsc::channel(QUEUE_MAX);
                tasks.spawn(work(Arc::clone(node), jobs));
                (Arc::clone(node), sender)
            })
            .collect();
        Self { queues }
    }

    /// Puts a broadcast into the queues of the usable endpoints, at once and in order. Returns
    /// where the answers come and how many endpoints will speak.
    pub(crate) fn offer(&self, pool: &Pool, raws: &[Bytes]) -> (mpsc::Receiver<Spoken>, usize) {
        let raws: Arc<[Bytes]> = raws.into();
        let usable: Vec<usize> = pool.usable().iter().map(|node| node.index).collect();
        let speakers = usable.len();
        let (answers, spoken) = mpsc::channel((raws.len() * speakers).max(1));
        let chosen = self
            .queues
            .iter()
            .filter(|(node, _)| usable.contains(&node.index));
        for (node, queue) in chosen {
            let job = Job {
                raws: Arc::clone(&raws),
                answers: answers.clone(),
                since: Instant::now(),
            };
            if let Err(refused) = queue.try_send(job) {
                give_up(node, &refused.into_inner(), "its queue of sends is full");
            }
        }
        (spoken, speakers)
    }
}

/// Gathers answers until each transaction was accepted somewhere or every endpoint has spoken about
/// each.
pub(crate) async fn collect(
    count: usize,
    speakers: usize,
    mut spoken: mpsc::Receiver<Spoken>,
) -> Vec<Vec<NodeAnswer>> {
    let mut answers: Vec<Vec<NodeAnswer>> = vec![Vec::new(); count];
    let settled = |answers: &[Vec<NodeAnswer>]| {
        let accepted = |said: &[NodeAnswer]| {
            said.iter()
                .any(|answer| matches!(answer, NodeAnswer::Accepted(_)))
        };
        answers.iter().all(|said| accepted(said))
            || answers.iter().all(|said| said.len() == speakers)
    };
    while !settled(&answers) {
        match spoken.recv().await {
            Some(Spoken { place, answer }) => answers[place].push(answer),
            None => break,
        }
    }
    for said in answers.iter_mut().filter(|said| said.is_empty()) {
        said.push(NodeAnswer::Unknown {
            reason: "the client was shut down".to_owned(),
        });
    }
    answers
}

async fn work(node: Arc<Node>, mut jobs: mpsc::Receiver<Job>) {
    while let Some(first) = jobs.recv().await {
        let mut taken = vec![first];
        let mut size = taken[0].raws.len();
        while size < TAKE_MAX {
            let Ok(next) = jobs.try_recv() else { break };
            size += next.raws.len();
            taken.push(next);
        }
        taken.retain(|job| {
            let fresh = job.since.elapsed() < STALE_AFTER;
            if !fresh {
                give_up(&node, job, "it waited too long in the queue of sends");
            }
            fresh
        });
        offer_all(&node, &taken).await;
    }
}

fn give_up(node: &Node, job: &Job, why: &str) {
    tracing::warn!(endpoint = %node.host, count = job.raws.len(), why, "not offered");
    for place in 0..job.raws.len() {
        job.tell(
            place,
            NodeAnswer::Unknown {
                reason: format!("{}: not offered, {why}", node.host),
            },
        );
    }
}

impl Job {
    fn tell(&self, place: usize, answer: NodeAnswer) {
        // Nobody listens any more once another endpoint has accepted everything.
        let _nobody_listens = self.answers.try_send(Spoken { place, answer });
    }
}

/// Offers the transactions of several broadcasts in order, in as few exchanges as the endpoint's
/// limits allow.
async fn offer_all(node: &Node, jobs: &[Job]) {
    let items: Vec<(&Job, usize)> = jobs
        .iter()
        .flat_map(|job| (0..job.raws.len()).map(move |place| (job, place)))
        .collect();
    let asks: Vec<Ask> = items
        .iter()
        .map(|(job, place)| Ask::new("eth_sendRawTransaction", &[&job.raws[*place]]))
        .collect();
    let mut done = 0;
    while done < asks.len() {
        let chunk = &asks[done..][..node.chunk_len(&asks[done..])];
        let result = node.exchange(chunk).await;
        if matches!(&result, Err(fault) if fault.kind == FaultKind::BatchRefused) {
            // Nothing was executed: the same transactions follow in smaller batches.
            continue;
        }
        let answers: Vec<NodeAnswer> = match result {
            Ok(replies) => replies
                .into_iter()
                .zip(&items[done..])
                .map(|(reply, (job, place))| answer(node, reply, &job.raws[*place]))
                .collect(),
            Err(fault) => {
                node.failed();
                vec![
                    NodeAnswer::Unknown {
                        reason: fault.reason
                    };
                    chunk.len()
                ]
            }
        };
        for (answer, (job, place)) in answers.into_iter().zip(&items[done..]) {
            job.tell(*place, answer);
        }
        done += chunk.len();
    }
}

fn answer(node: &Node, reply: Reply, raw: &Bytes) -> NodeAnswer {
    match reply {
        Ok(result) => accepted(node, &result, raw),
        Err(RpcError::Answered { code, message, .. }) => NodeAnswer::Rejected { code, message },
        Err(RpcError::NoAnswer { reason }) => NodeAnswer::Unknown { reason },
    }
}

/// A node that names another hash has not taken these bytes, or is not the node we think it is.
fn accepted(node: &Node, result: &RawValue, raw: &Bytes) -> NodeAnswer {
    match serde_json::from_str::<B256>(result.get()) {
        Ok(hash) if hash == keccak256(raw) => NodeAnswer::Accepted(hash),
        Ok(hash) => NodeAnswer::Unknown {
            reason: format!("{}: it answered with another hash, {hash}", node.host),
        },
        Err(_) => NodeAnswer::Unknown {
            reason: format!("{}: its answer is not a transaction hash", node.host),
        },
    }
}
