//! The network as one process sees it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use baton_chain::{
    AccountView, BlockView, ChainClient, Estimate, HeadRef, Market, NodeAnswer, ObservedTx,
    Receipt, RpcError, tx,
};
use baton_model::{Address, B256, Bytes, Call, Fees};
use tokio::sync::watch;
use tokio::time::sleep;

use super::node::Refusal;
use super::pool::{Kind, PooledTx};
use super::{CHAIN_ID, Flavour, REVERTING};
use crate::fault::{Effect, Fault};
use crate::gate::Gate;
use crate::signer::account_of;
use crate::world::World;

/// How long a sequencer waits for a missing predecessor, and how often it looks.
const GAP_WAIT_MS: u64 = 1_000;
const GAP_LOOK_MS: u64 = 100;

/// How late an offer can reach a node, in milliseconds: after the engine gave up waiting, too.
const LATE_MS: std::ops::RangeInclusive<u64> = 500..=90_000;

/// One process's client.
pub(crate) struct SimChain {
    gate: Arc<Gate>,
    pub(crate) heads: watch::Sender<Option<HeadRef>>,
}

/// What becomes of one offer at one node.
enum Fate {
    Reaches,
    ReplyLost,
    Dropped,
    Late(u64),
    Twice(u64),
    Busy { taken: bool },
    Forgotten,
}

impl SimChain {
    pub(crate) fn new(gate: Arc<Gate>, head: HeadRef) -> Self {
        Self {
            gate,
            heads: watch::Sender::new(Some(head)),
        }
    }

    /// Asks a node.
    async fn ask<T>(
        &self,
        effect: Effect,
        answer: impl FnOnce(&mut World, usize) -> T + Send,
    ) -> Result<T, RpcError> {
        self.gate.enter(effect).await;
        if let Some(millis) = self.gate.delay(Fault::Unanswered, &(50..=5_000)) {
            sleep(Duration::from_millis(millis)).await;
            return Err(RpcError::NoAnswer {
                reason: "simulated".to_owned(),
            });
        }
        if self.gate.strikes(Fault::ErrorAnswered) {
            return Err(RpcError::Answered {
                code: -32_000,
                message: "header not found".to_owned(),
                data: None,
            });
        }
        let answer = {
            let mut world = self.gate.world();
            let node = world.node_to_ask();
            answer(&mut world, node)
        };
        if let Some(millis) = self.gate.delay(Fault::AnswerSlow, &(500..=8_000)) {
            sleep(Duration::from_millis(millis)).await;
        }
        self.gate.leave(effect).await;
        Ok(answer)
    }

    /// What nodes say to each transaction, node by node; `None` where one waits for a predecessor.
    fn offer(&self, offered: &[PooledTx]) -> Vec<Vec<Option<NodeAnswer>>> {
        let mut world = self.gate.world();
        let nodes = world.chain.nodes.len();
        let mut answers = vec![Vec::with_capacity(nodes); offered.len()];
        for node in 0..nodes {
            let mut order: Vec<usize> = (0..offered.len()).collect();
            if offered.len() > 1 && world.strikes(Fault::OfferShuffled) {
                let by = world.rng.index(offered.len());
                order.rotate_left(by);
                order.swap(0, offered.len() - 1);
            }
            for index in order {
                let answer = self.offer_to(&mut world, node, &offered[index]);
                answers[index].push(answer);
            }
        }
        answers
    }

    fn offer_to(&self, world: &mut World, node: usize, tx: &PooledTx) -> Option<NodeAnswer> {
        let fate = Fate::draw(world);
        let unknown = |why: &str| {
            Some(NodeAnswer::Unknown {
                reason: format!("simulated: {why}"),
            })
        };
        match fate {
            Fate::Reaches => self.put(world, node, tx),
            Fate::ReplyLost => {
                self.put(world, node, tx);
                unknown("reply lost")
            }
            Fate::Dropped => unknown("dropped"),
            Fate::Late(at_ms) => {
                world.late_offers.push((at_ms, node, tx.clone()));
                unknown("late")
            }
            Fate::Twice(at_ms) => {
                world.late_offers.push((at_ms, node, tx.clone()));
                self.put(world, node, tx)
            }
            Fate::Busy { taken } => {
                if taken {
                    self.put(world, node, tx);
                }
                Some(NodeAnswer::Rejected {
                    code: 429,
                    message: "Too Many Requests".to_owned(),
                })
            }
            Fate::Forgotten => Some(NodeAnswer::Accepted(tx.hash)),
        }
    }

    fn put(&self, world: &mut World, node: usize, tx: &PooledTx) -> Option<NodeAnswer> {
        let taken = world.chain.offer(node, tx.clone());
        let (nonce, hash) = (tx.tx.nonce, tx.hash);
        let process = Some(self.gate.process);
        match taken {
            Ok(()) => {
                world.coverage.input("offer accepted");
                world.say(process, || format!("node {node} takes {nonce} {hash}"));
                Some(NodeAnswer::Accepted(hash))
            }
            Err(refusal) => {
                world.coverage.refusal(refusal.what);
                let message = refusal.message.clone();
                world.say(process, || {
                    format!("node {node} refuses {nonce} {hash}: {message}")
                });
                let waits =
                    world.chain.flavour == Flavour::Sequencer && refusal.is_missing_predecessor();
                (!waits).then(|| rejected(refusal))
            }
        }
    }

    /// A sequencer keeps what misses a predecessor for a second.
    async fn wait_for_gaps(
        &self,
        offered: &[PooledTx],
        answers: Vec<Vec<Option<NodeAnswer>>>,
    ) -> Vec<Vec<NodeAnswer>> {
        let mut answers = answers;
        let mut waited = 0;
        while waited < GAP_WAIT_MS && answers.iter().flatten().any(Option::is_none) {
            sleep(Duration::from_millis(GAP_LOOK_MS)).await;
            waited += GAP_LOOK_MS;
            let mut world = self.gate.world();
            for (tx, answers) in offered.iter().zip(&mut answers) {
                for (node, answer) in answers.iter_mut().enumerate() {
                    if answer.is_none() {
                        *answer = self.put(&mut world, node, tx);
                    }
                }
            }
        }
        let late = || NodeAnswer::Rejected {
            code: -32_000,
            message: "nonce too high: the predecessor did not come".to_owned(),
        };
        let told = answers.into_iter().map(|of_tx| {
            let of_tx = of_tx.into_iter();
            of_tx.map(|answer| answer.unwrap_or_else(late)).collect()
        });
        told.collect()
    }
}

impl Fate {
    fn draw(world: &mut World) -> Self {
        let late = |world: &mut World| world.now_ms + world.rng.within(&LATE_MS);
        if world.strikes(Fault::OfferDropped) {
            Self::Dropped
        } else if world.strikes(Fault::OfferReplyLost) {
            Self::ReplyLost
        } else if world.strikes(Fault::OfferLate) {
            Self::Late(late(world))
        } else if world.strikes(Fault::OfferTwice) {
            Self::Twice(late(world))
        } else if world.strikes(Fault::NodeBusy) {
            let taken = world.rng.percent(50);
            Self::Busy { taken }
        } else if world.strikes(Fault::TxForgotten) {
            Self::Forgotten
        } else {
            Self::Reaches
        }
    }
}

#[async_trait]
impl ChainClient for SimChain {
    fn heads(&self) -> watch::Receiver<Option<HeadRef>> {
        self.heads.subscribe()
    }

    async fn block(
        &self,
        number: Option<u64>,
        accounts: &[Address],
    ) -> Result<Option<BlockView>, RpcError> {
        self.ask(Effect::Block, |world, node| {
            let chain = &world.chain;
            let head = chain.nodes[node].head;
            let number = number.unwrap_or(chain.blocks.get(head).number);
            let block = chain.blocks.on_branch(head, number);
            let view = block.map(|block| block.view(accounts, chain.eip1559));
            if view.is_some() {
                world.coverage.input("block");
            }
            view
        })
        .await
    }

    async fn broadcast(&self, transactions: &[Bytes]) -> Vec<Vec<NodeAnswer>> {
        self.gate.enter(Effect::Offer).await;
        let offered: Vec<PooledTx> = transactions.iter().map(decode).collect();
        self.gate.world().check_offered(self.gate.process, &offered);
        let answers = self.offer(&offered);
        let answers = self.wait_for_gaps(&offered, answers).await;
        self.gate.leave(Effect::Offer).await;
        answers
    }

    async fn block_receipts(
        &self,
        block: &BlockView,
        hashes: &[B256],
    ) -> Result<Vec<Receipt>, RpcError> {
        self.ask(Effect::BlockReceipts, |world, node| {
            let head = world.chain.nodes[node].head;
            let found = world.chain.blocks.on_branch(head, block.number);
            let Some(found) = found.filter(|found| found.hash == block.hash) else {
                return Vec::new();
            };
            hashes
                .iter()
                .filter_map(|hash| found.receipt(*hash))
                .collect()
        })
        .await
    }

    async fn receipts(&self, hashes: &[B256]) -> Result<Vec<Option<Receipt>>, RpcError> {
        self.ask(Effect::Lookup, |world, node| {
            let head = world.chain.nodes[node].head;
            let find = |hash: &B256| {
                world
                    .chain
                    .blocks
                    .branch(head)
                    .find_map(|b| b.receipt(*hash))
            };
            let found: Vec<Option<Receipt>> = hashes.iter().map(find).collect();
            let some = found.iter().any(Option::is_some);
            world.coverage.input(if some {
                "receipt found"
            } else {
                "receipt not found"
            });
            found
        })
        .await
    }

    async fn market(&self, percentiles: &[u8]) -> Result<Market, RpcError> {
        let count = percentiles.len() as u128;
        self.ask(Effect::Market, |world, _| {
            world.coverage.input("market");
            let (base_fee, tip) = (world.chain.base_fee, world.tip());
            Market {
                base_fee: world.chain.eip1559.then_some(base_fee),
                tips: (1..=count).map(|step| tip * step).collect(),
                gas_price: base_fee + tip,
            }
        })
        .await
    }

    async fn estimate(&self, calls: &[(Address, Call)]) -> Vec<Estimate> {
        let estimate = |call: &Call| {
            if call.data.first() == Some(&REVERTING) {
                return Estimate::Reverts {
                    reason: "execution reverted: simulated".to_owned(),
                };
            }
            Estimate::Gas(21_000 + 16 * call.data.len() as u64)
        };
        let asked = self.ask(Effect::Estimate, |world, _| {
            let answers = calls.iter().map(|(_, call)| estimate(call));
            for answer in answers.clone() {
                world.coverage.input(match answer {
                    Estimate::Reverts { .. } => "gas estimate reverts",
                    Estimate::Gas(_) | Estimate::Unknown(_) => "gas estimated",
                });
            }
            answers.collect()
        });
        let unknown = |error| vec![Estimate::Unknown(error); calls.len()];
        asked.await.unwrap_or_else(unknown)
    }

    async fn accounts(&self, addresses: &[Address]) -> Result<Vec<AccountView>, RpcError> {
        let block = self.block(None, addresses).await?;
        Ok(block.map(|block| block.accounts).unwrap_or_default())
    }

    async fn pending_nonces(&self, addresses: &[Address]) -> Result<Vec<u64>, RpcError> {
        self.ask(Effect::Survey, |world, node| {
            world.coverage.input("surveyed");
            let pending = |account: &Address| world.pending_at(node, *account);
            addresses.iter().map(pending).collect()
        })
        .await
    }

    async fn transaction_at(
        &self,
        account: Address,
        nonce: u64,
    ) -> Result<Option<ObservedTx>, RpcError> {
        self.ask(Effect::Observe, |world, node| {
            let blind = world.strikes(Fault::NodeBlind);
            let found = world.find_at(node, account, nonce).filter(|_| !blind);
            world.coverage.input(if found.is_some() {
                "transaction observed"
            } else {
                "no transaction observed"
            });
            found
        })
        .await
    }

    fn healthy(&self) -> bool {
        true
    }
}

/// What a node shows of a transaction.
pub(crate) fn observed(pooled: &PooledTx, block_number: Option<u64>) -> ObservedTx {
    ObservedTx {
        from: pooled.from,
        nonce: pooled.tx.nonce,
        hash: pooled.hash,
        call: pooled.tx.call.clone(),
        gas_limit: pooled.tx.gas_limit,
        max_fee: pooled.tx.fees.max_per_gas(),
        max_priority_fee: match pooled.tx.fees {
            Fees::Legacy { .. } => None,
            Fees::Eip1559 {
                max_priority_fee, ..
            } => Some(max_priority_fee),
        },
        raw: Some(pooled.raw.clone()),
        block_number,
    }
}

fn decode(raw: &Bytes) -> PooledTx {
    let decoded = tx::decode_signed(raw).expect("only signed transactions are offered");
    debug_assert_eq!(decoded.tx.chain_id, CHAIN_ID, "for this chain");
    PooledTx {
        from: account_of(decoded.r),
        hash: decoded.hash,
        tx: decoded.tx,
        raw: raw.clone(),
        kind: Kind::Plain,
    }
}

fn rejected(refusal: Refusal) -> NodeAnswer {
    NodeAnswer::Rejected {
        code: -32_000,
        message: refusal.message,
    }
}
