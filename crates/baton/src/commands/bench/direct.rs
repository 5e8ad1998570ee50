//! What the node takes without a relayer: transactions that were signed before, sent as fast as it
//! answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use baton_model::{Address, Bytes, U256};
use baton_vault::Signer;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::blocks::Watcher;
use super::keys::{BenchKey, targets, transfer};
use super::plan::{CHAIN_ID, Plan, Subject};
use super::rpc::Rpc;
use super::stats::mined_rate;
use super::tap::Tap;
use super::world::Node;

/// Transactions in one batch, as Baton sends them.
const BATCH: usize = 100;
/// Senders that each wait for their answer before they go on, with an account each: while one
/// prepares, the other keeps the node busy.
const SENDERS: usize = 2;
/// Most transactions of each sender: signing them takes some seconds of one processor.
const EACH_MAX: usize = 40_000;
/// Least transactions per second that are signed for: no node of this kind is faster.
const RATE_MAX: usize = 4000;
/// Transactions that may be without a receipt while receipts are read, one run each: the best counts. With few a block
/// is not full, with many some nodes take longer for its receipts than for the block.
const UNREAD: [usize; 3] = [1500, 2500, 4000];
/// Runs that [`run`] makes, each with a number of its own: one without receipts, and those with.
pub(super) const RUNS: usize = 1 + UNREAD.len();
/// More receipts than transactions: where there are none to read, nobody waits for them.
const ALL_READ: usize = usize::MAX / 2;
/// How often a sender looks whether it may go on.
const UNREAD_POLL: Duration = Duration::from_millis(5);
/// How often the reader of receipts looks for a block: as often as Baton does with one-second
/// blocks.
const HEAD_POLL: Duration = Duration::from_millis(250);
/// How long the node may take for what is sent but not mined at the end.
const DRAIN_MAX: Duration = Duration::from_secs(120);

/// The node's ceiling.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Direct {
    /// Transactions that the node took.
    pub(super) sent: usize,
    pub(super) sent_per_second: f64,
    /// Between the first and the last block of the time measured.
    pub(super) mined_per_second: f64,
    /// The same while every block's receipts are read, and as fast as they can be, as a relayer has
    /// to that says what became of its transactions.
    pub(super) with_receipts_per_second: Option<f64>,
}

/// Measures fresh nodes of the plan's kind, without and with receipts. `None` if it is not the
/// bench's to fund accounts on.
pub(super) async fn run(plan: &Plan, steps: [u32; RUNS]) -> Result<Option<Direct>> {
    let [first, others @ ..] = steps;
    let Some(direct) = measure(plan, first, None).await? else {
        return Ok(None);
    };
    let mut followed = None;
    for (step, unread) in others.into_iter().zip(UNREAD) {
        let measured = measure(plan, step, Some(unread)).await?;
        let rate = measured.map(|measured| measured.mined_per_second);
        followed = [followed, rate].into_iter().flatten().reduce(f64::max);
    }
    Ok(Some(Direct {
        with_receipts_per_second: followed,
        ..direct
    }))
}

async fn measure(plan: &Plan, step: u32, unread: Option<usize>) -> Result<Option<Direct>> {
    let node = match &plan.subject {
        Subject::Own(own) => Node::start(own.node, own.gas_limit).await?,
        Subject::Other(_) => Node::Other,
    };
    let url = match &plan.subject {
        Subject::Own(_) => node.url().context("an own node has an address")?,
        Subject::Other(other) => other.node.clone(),
    };
    let rpc = Rpc::new(&url)?;
    let senders = if matches!(node, Node::Null(_)) {
        1
    } else {
        SENDERS
    };
    let seconds = usize::try_from((plan.warm_up + plan.measure).as_secs()).unwrap_or(usize::MAX);
    let each = (seconds.saturating_mul(RATE_MAX) / senders).clamp(BATCH, EACH_MAX);
    let all = targets(plan.seed, step, senders * each);
    let chain_id = match &plan.subject {
        Subject::Own(_) => CHAIN_ID,
        Subject::Other(_) => rpc.number("eth_chainId").await?,
    };
    let mut signed = Vec::new();
    for (sender, targets) in all.chunks(each).enumerate() {
        let key = BenchKey::derive(plan.seed, &format!("direct-{step}-{sender}"))?;
        if node.fund(&rpc, key.signer.address()).await.is_err() {
            return Ok(None);
        }
        signed.push(sign(key, chain_id, targets.to_vec()));
    }
    let mut ready = Vec::new();
    for signing in signed {
        ready.push(signing.await.context("signing ended badly")?);
    }
    let tap = Tap::start(&url, 0, plan.seed)?;
    let watcher = Watcher::start(rpc.clone(), Some(tap.targets())).await?;
    watcher.expect(&all);
    let read = Arc::new(AtomicUsize::new(0));
    let reader = unread.map(|_| tokio::spawn(read_receipts(rpc.clone(), Arc::clone(&read))));
    let room = Room {
        read,
        unread: unread.map_or(usize::MAX, |unread| unread / senders),
    };
    let start = Instant::now();
    let (from, until) = (start + plan.warm_up, start + plan.warm_up + plan.measure);
    let sent = flood(&Rpc::new(&tap.url())?, ready, until, &room).await?;
    let ended = Instant::now().min(until);
    if let Some(reader) = reader {
        reader.abort();
    }
    let taken: usize = sent.iter().sum();
    drain(&watcher, taken).await?;
    check(&rpc, &all, &sent, each).await?;
    let (_, blocks) = watcher.take();
    let mined_per_second = mined_rate(&blocks, from, ended, plan.block_time()).context(
        "fewer than two blocks came while the direct run was measured: --measure is too short",
    )?;
    let seconds = ended.duration_since(start).as_secs_f64();
    let sent_per_second = super::stats::float(taken) / seconds;
    Ok(Some(Direct {
        sent: taken,
        sent_per_second,
        mined_per_second,
        with_receipts_per_second: None,
    }))
}

/// Reads the receipts of every block, one block after the other, until it is ended. A node that has
/// none, or no answer, only means that there is nothing to read.
async fn read_receipts(rpc: Rpc, count: Arc<AtomicUsize>) {
    let mut read = rpc.number("eth_blockNumber").await.unwrap_or(0);
    loop {
        let head = rpc.number("eth_blockNumber").await.unwrap_or(read);
        if head > read {
            read += 1;
            let number = json!([format!("{read:#x}")]);
            match rpc.call("eth_getBlockReceipts", number).await {
                Ok(Value::Array(receipts)) => {
                    count.fetch_add(receipts.len(), Ordering::Relaxed);
                }
                Ok(_) | Err(_) => count.store(ALL_READ, Ordering::Relaxed),
            }
        } else {
            tokio::time::sleep(HEAD_POLL).await;
        }
    }
}

fn sign(
    key: BenchKey,
    chain_id: u64,
    targets: Vec<Address>,
) -> tokio::task::JoinHandle<Vec<Bytes>> {
    tokio::task::spawn_blocking(move || {
        let nonces = 0_u64..;
        let numbered = nonces.zip(targets);
        numbered
            .map(|(nonce, to)| transfer(&key.signer, chain_id, nonce, to))
            .collect()
    })
}

/// How far senders may be ahead of the receipts that were read.
#[derive(Clone)]
struct Room {
    /// Receipts that were read, of all senders.
    read: Arc<AtomicUsize>,
    /// Transactions of one sender that may be without one.
    unread: usize,
}

impl Room {
    /// Whether one of `senders`, which has sent so many, may go on: all are about equally fast.
    fn has_some(&self, sent: usize, senders: usize) -> bool {
        sent.saturating_sub(self.read.load(Ordering::Relaxed) / senders) < self.unread
    }
}

/// How many of each sender's transactions the node took.
async fn flood(
    rpc: &Rpc,
    signed: Vec<Vec<Bytes>>,
    until: Instant,
    room: &Room,
) -> Result<Vec<usize>> {
    let mut senders = JoinSet::new();
    let count = signed.len();
    for (sender, raws) in signed.into_iter().enumerate() {
        let (rpc, room) = (rpc.clone(), room.clone());
        senders.spawn(async move {
            let mut sent = 0;
            for batch in raws.chunks(BATCH) {
                while !room.has_some(sent, count) && Instant::now() < until {
                    tokio::time::sleep(UNREAD_POLL).await;
                }
                if Instant::now() >= until {
                    break;
                }
                let taken = rpc.send(batch).await?;
                ensure!(
                    taken == batch.len(),
                    "the node took {taken} of {} transactions",
                    batch.len()
                );
                sent += taken;
            }
            Ok((sender, sent))
        });
    }
    let mut sent = vec![0; senders.len()];
    while let Some(ended) = senders.join_next().await {
        let (sender, count) = ended.context("a sender ended badly")??;
        sent[sender] = count;
    }
    Ok(sent)
}

async fn drain(watcher: &Watcher, sent: usize) -> Result<()> {
    let deadline = Instant::now() + DRAIN_MAX;
    while watcher.mined_count() < sent {
        ensure!(
            Instant::now() < deadline,
            "the node mined {} of {sent} transactions within {DRAIN_MAX:?}",
            watcher.mined_count()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// The node is part of the oracle, so it is held to it too.
async fn check(rpc: &Rpc, all: &[Address], sent: &[usize], each: usize) -> Result<()> {
    for (targets, sent) in all.chunks(each).zip(sent) {
        let balances = rpc.balances(&targets[..*sent]).await?;
        let wrong = balances
            .iter()
            .filter(|balance| **balance != U256::ONE)
            .count();
        ensure!(
            wrong == 0,
            "{wrong} transactions of the direct run were not executed once"
        );
    }
    Ok(())
}
