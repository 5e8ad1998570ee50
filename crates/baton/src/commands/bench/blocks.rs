//! Watches the chain: when a transfer was mined is the chain's word, not the relayer's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use baton_model::Address;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::rpc::Rpc;
use super::tap::Targets;

/// How often the next block is looked for: times are this much too late at most.
const POLL: Duration = Duration::from_millis(20);

/// A task that reads every block. It ends with this value.
#[derive(Debug)]
pub(super) struct Watcher {
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Seen {
    targets: HashMap<Address, usize>,
    mined: Vec<Option<Instant>>,
    mined_count: usize,
    blocks: Vec<(Instant, usize)>,
}

impl Watcher {
    /// Watches from the next block on. What was sent through a proxy is known by its hash; without
    /// one, the node has to be asked for whole transactions, which takes some of its speed.
    pub(super) async fn start(rpc: Rpc, sent: Option<Targets>) -> Result<Self> {
        let head = rpc.number("eth_blockNumber").await?;
        let seen = Arc::<Mutex<Seen>>::default();
        let noted = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            let mut next = head + 1;
            loop {
                match targets_of(&rpc, sent.as_ref(), next).await {
                    Ok(Some(targets)) => {
                        lock(&noted).note(&targets, Instant::now());
                        next += 1;
                    }
                    Ok(None) => tokio::time::sleep(POLL).await,
                    Err(error) => {
                        tracing::warn!(%error, block = next, "a block could not be read");
                        tokio::time::sleep(POLL).await;
                    }
                }
            }
        });
        Ok(Self { seen, task })
    }

    /// Looks out for transfers to these addresses from now on, and for none before.
    pub(super) fn expect(&self, targets: &[Address]) {
        let mut seen = lock(&self.seen);
        *seen = Seen {
            targets: targets
                .iter()
                .enumerate()
                .map(|(index, to)| (*to, index))
                .collect(),
            mined: vec![None; targets.len()],
            mined_count: 0,
            blocks: Vec::new(),
        };
    }

    /// How many of the expected transfers were mined.
    pub(super) fn mined_count(&self) -> usize {
        lock(&self.seen).mined_count
    }

    /// How many blocks came since the expectation.
    pub(super) fn block_count(&self) -> usize {
        lock(&self.seen).blocks.len()
    }

    /// When each expected transfer was first seen in a block, and what each block held of them.
    pub(super) fn take(&self) -> (Vec<Option<Instant>>, Vec<(Instant, usize)>) {
        let mut seen = lock(&self.seen);
        (
            std::mem::take(&mut seen.mined),
            std::mem::take(&mut seen.blocks),
        )
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Seen {
    fn note(&mut self, targets: &[Address], now: Instant) {
        let mut count = 0;
        for to in targets {
            let Some(mined) = self
                .targets
                .get(to)
                .and_then(|index| self.mined.get_mut(*index))
            else {
                continue;
            };
            count += 1;
            if mined.is_none() {
                *mined = Some(now);
                self.mined_count += 1;
            }
        }
        self.blocks.push((now, count));
    }
}

async fn targets_of(
    rpc: &Rpc,
    sent: Option<&Targets>,
    number: u64,
) -> Result<Option<Vec<Address>>> {
    let Some(sent) = sent else {
        return rpc.block_targets(number).await;
    };
    let hashes = rpc.block_hashes(number).await?;
    Ok(hashes.map(|hashes| {
        hashes
            .into_iter()
            .filter_map(|hash| sent.of(hash))
            .collect()
    }))
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
