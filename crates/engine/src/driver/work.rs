//! Questions that a lane wants answered, each asked until there is an answer or the lane ends.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use baton_chain::{BlockView, ChainClient, Estimate, Market, ObservedTx, Receipt, RpcError, tx};
use baton_lanes::record::ReceiptRecord;
use baton_lanes::{
    GasEstimate, Input, MarketView, Observation, SPEED_PERCENTILES, Signed, Survey,
    SurveyedAccount, Ticket,
};
use baton_model::{Address, B256, Bytes, Call, Fees, RequestId, UnsignedTx};
use baton_vault::{Signature, Signer};
use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use tokio::time::{sleep, timeout};

/// First and longest pause before a question to a node is repeated.
const RETRY_MIN: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Times that a node is asked before "cannot tell" is the answer, where that is one.
const TRIES: u32 = 5;

/// JSON-RPC errors that say that a method, or an argument such as `pending`, is not offered.
const NOT_OFFERED: [i64; 2] = [-32601, -32602];

/// Longest wait for one answer, whatever a client's own time-outs are: a question that is lost holds a lane up for
/// ever.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// Signatures asked for at a time: hides the latency of a remote key service, within what such services allow.
const SIGNATURES: usize = 16;
/// Longest wait for a signature. Then the signer counts as failing, and is asked again.
const SIGN_MAX: Duration = Duration::from_secs(30);

/// Estimates asked for in one question, and questions at a time: one call that takes a node long keeps few others
/// waiting.
const ESTIMATES: usize = 32;
const ESTIMATE_CALLS: usize = 8;

/// Slots whose receipts are asked for in one question, and questions at a time.
const LOOKUPS: usize = 256;
const LOOKUP_CALLS: usize = 4;

/// Unknown nonces looked at a time: each may take a node some forty questions.
const OBSERVATIONS: usize = 4;

/// What a signature is asked for.
pub(super) struct SignTask {
    pub(super) ticket: Ticket,
    pub(super) signer: Arc<dyn Signer>,
    pub(super) tx: UnsignedTx,
}

/// A slot whose receipts are looked for.
pub(super) struct LookupTask {
    pub(super) account: Address,
    pub(super) nonce: u64,
    pub(super) hashes: Vec<B256>,
}

/// Signatures, as they come: a slow one does not keep the others back.
pub(super) fn sign(tasks: Vec<SignTask>) -> impl Stream<Item = Vec<Input>> + Send {
    stream::iter(tasks)
        .map(sign_one)
        .buffer_unordered(SIGNATURES)
        .ready_chunks(SIGNATURES)
}

async fn sign_one(task: SignTask) -> Input {
    let SignTask { ticket, signer, tx } = task;
    let account = signer.address();
    let failed = |error: String| {
        tracing::warn!(%account, error, "cannot sign; trying again");
        None
    };
    let signed = match timeout(SIGN_MAX, signer.sign_hash(tx::signing_hash(&tx))).await {
        Ok(Ok(signature)) => Some(signed(&tx, signature)),
        Ok(Err(error)) => failed(error.to_string()),
        Err(_) => failed(format!("no answer within {SIGN_MAX:?}")),
    };
    Input::Signed { ticket, signed }
}

fn signed(tx: &UnsignedTx, signature: Signature) -> Signed {
    let Signature { r, s, y_parity } = signature;
    let encoded = tx::encode_signed(tx, r, s, y_parity);
    let mut bytes = [0; 65];
    bytes[..32].copy_from_slice(&r.to_be_bytes::<32>());
    bytes[32..64].copy_from_slice(&s.to_be_bytes::<32>());
    bytes[64] = u8::from(y_parity);
    Signed {
        raw: encoded.raw,
        hash: encoded.hash,
        signature: Bytes::copy_from_slice(&bytes),
    }
}

pub(super) fn estimate(
    chain: Arc<dyn ChainClient>,
    asked: Vec<(RequestId, Address, Call)>,
) -> impl Stream<Item = Vec<Input>> + Send {
    stream::iter(chunks(asked, ESTIMATES))
        .map(move |asked| estimate_chunk(Arc::clone(&chain), asked))
        .buffer_unordered(ESTIMATE_CALLS)
}

async fn estimate_chunk(
    chain: Arc<dyn ChainClient>,
    asked: Vec<(RequestId, Address, Call)>,
) -> Vec<Input> {
    let (ids, calls): (Vec<_>, Vec<_>) = asked
        .into_iter()
        .map(|(id, from, call)| (id, (from, call)))
        .unzip();
    let answers = timeout(ANSWER_MAX, chain.estimate(&calls)).await;
    let mut answers = answers.unwrap_or_default().into_iter();
    let inputs = ids.into_iter().map(|id| {
        let estimate = match answers.next() {
            Some(Estimate::Gas(gas)) => GasEstimate::Gas(gas),
            Some(Estimate::Reverts { reason }) => GasEstimate::Reverts(reason),
            Some(Estimate::Unknown(error)) => {
                tracing::debug!(%id, %error, "cannot estimate gas; trying again");
                GasEstimate::Unknown
            }
            None => GasEstimate::Unknown,
        };
        Input::Estimated { id, estimate }
    });
    inputs.collect()
}

pub(super) async fn survey(chain: Arc<dyn ChainClient>, accounts: Vec<Address>) -> Vec<Input> {
    let heads = chain.heads();
    let block = retry("the head", || async {
        let behind = |reason: &str| RpcError::NoAnswer {
            reason: reason.to_owned(),
        };
        let block = chain.block(None, &accounts).await?;
        let block = block.ok_or_else(|| behind("the node has no head"))?;
        let head = heads.borrow().map(|head| head.number);
        // Nonces of an old block would have to be taken back at once.
        if head.is_some_and(|head| block.number < head) {
            return Err(behind("the node is behind the network's head"));
        }
        Ok(block)
    });
    let block = block.await;
    let pending = pending_nonces(&*chain, &accounts).await;
    let accounts = block
        .accounts
        .iter()
        .enumerate()
        .map(|(place, view)| SurveyedAccount {
            address: view.address,
            nonce: view.nonce,
            pending: pending.get(place).copied(),
            balance: view.balance,
        })
        .collect();
    let survey = Survey {
        block: block.number,
        gas_limit: block.gas_limit,
        accounts,
    };
    vec![Input::Surveyed(survey)]
}

/// Empty when no node can tell what is in its pool: then only what is mined is compared.
async fn pending_nonces(chain: &dyn ChainClient, accounts: &[Address]) -> Vec<u64> {
    let asked = retry_unless_told("pending nonces", || chain.pending_nonces(accounts));
    asked.await.unwrap_or_else(|error| {
        tracing::warn!(%error, "no node counts pending transactions; starting without them");
        Vec::new()
    })
}

/// Receipts of slots, as far as may be in the order asked: a lane settles its slots from the lowest up, and so never
/// many at once.
pub(super) fn look_up(
    chain: Arc<dyn ChainClient>,
    slots: Vec<LookupTask>,
) -> impl Stream<Item = Vec<Input>> + Send {
    stream::iter(chunks(slots, LOOKUPS))
        .map(move |slots| look_up_chunk(Arc::clone(&chain), slots))
        .buffered(LOOKUP_CALLS)
        .flatten_unordered(None)
}

/// A node that answers a question for many receipts with an error may not like one of them: then each slot is asked for
/// on its own, and only that one waits. There is no "cannot tell" here: "none" would mean that somebody else used a
/// nonce.
async fn look_up_chunk(
    chain: Arc<dyn ChainClient>,
    slots: Vec<LookupTask>,
) -> BoxStream<'static, Vec<Input>> {
    let hashes: Vec<B256> = slots.iter().flat_map(|s| s.hashes.clone()).collect();
    let error = match retry_unless_told("receipts", || receipts(&*chain, &hashes)).await {
        Ok(receipts) => {
            let mut receipts = receipts.into_iter();
            let found = slots
                .iter()
                .map(|slot| slot.found(receipts.by_ref().take(slot.hashes.len())));
            return stream::iter([found.collect()]).boxed();
        }
        Err(error) => error,
    };
    tracing::warn!(%error, "a node refuses to tell of receipts; asking for each slot");
    stream::iter(slots)
        .map(move |slot| look_up_one(Arc::clone(&chain), slot))
        .buffer_unordered(LOOKUPS)
        .ready_chunks(LOOKUPS)
        .boxed()
}

async fn look_up_one(chain: Arc<dyn ChainClient>, slot: LookupTask) -> Input {
    let asked = retry("receipts of a slot", || receipts(&*chain, &slot.hashes));
    slot.found(asked.await.into_iter())
}

async fn receipts(
    chain: &dyn ChainClient,
    hashes: &[B256],
) -> Result<Vec<Option<Receipt>>, RpcError> {
    let receipts = chain.receipts(hashes).await?;
    if receipts.len() == hashes.len() {
        return Ok(receipts);
    }
    Err(RpcError::NoAnswer {
        reason: format!("{} receipts for {} hashes", receipts.len(), hashes.len()),
    })
}

impl LookupTask {
    fn found(&self, receipts: impl Iterator<Item = Option<Receipt>>) -> Input {
        Input::Found {
            account: self.account,
            nonce: self.nonce,
            // All of them are taken out, although at most one is mined.
            receipt: receipts.fold(None, |found, next| {
                found.or_else(|| next.as_ref().map(receipt))
            }),
        }
    }
}

/// What stands at nonces.
pub(super) fn observe(
    chain: Arc<dyn ChainClient>,
    chain_id: u64,
    asked: Vec<(Address, u64)>,
) -> impl Stream<Item = Vec<Input>> + Send {
    stream::iter(asked)
        .map(move |(account, nonce)| observe_one(Arc::clone(&chain), chain_id, account, nonce))
        .buffered(OBSERVATIONS)
        .ready_chunks(OBSERVATIONS)
}

/// "Cannot tell" needs nodes that answered, and may stop the account. Nodes that do not answer are waited for.
async fn observe_one(
    chain: Arc<dyn ChainClient>,
    chain_id: u64,
    account: Address,
    nonce: u64,
) -> Input {
    let mut transaction = None;
    for attempt in 0..TRIES {
        let what = "the transaction at a nonce";
        let asked = retry_unless_told(what, || chain.transaction_at(account, nonce));
        match asked.await {
            Ok(Some(found)) => {
                transaction = Some(observation(found, chain_id));
                break;
            }
            Ok(None) => tracing::debug!(%account, nonce, "no node shows the transaction"),
            Err(error) => {
                tracing::warn!(%account, nonce, %error, "no node can tell what has a nonce");
                break;
            }
        }
        if attempt + 1 < TRIES {
            sleep(pause(attempt)).await;
        }
    }
    Input::Observed {
        account,
        nonce,
        transaction,
    }
}

pub(super) async fn market(chain: Arc<dyn ChainClient>) -> Vec<Input> {
    let Market {
        base_fee,
        tips,
        gas_price,
    } = retry("the fee market", || chain.market(&SPEED_PERCENTILES)).await;
    // Empty where there is no base fee, and then none is looked at.
    let tips = <[u128; 4]>::try_from(tips).unwrap_or([0; 4]);
    vec![Input::Market(MarketView {
        base_fee,
        tips,
        gas_price,
    })]
}

/// Receipts of a block's transactions; empty when no node gives them, and then the lane looks them up one by one.
pub(super) async fn block_receipts(
    chain: &dyn ChainClient,
    block: &BlockView,
    hits: &[B256],
) -> Vec<ReceiptRecord> {
    for attempt in 0..TRIES {
        match answer_of(chain.block_receipts(block, hits)).await {
            Ok(receipts) => return receipts.iter().map(receipt).collect(),
            Err(error) => {
                tracing::warn!(block = block.number, %error, "cannot read receipts; trying again");
                sleep(pause(attempt)).await;
            }
        }
    }
    Vec::new()
}

/// Asks for as long as it takes: without the answer nothing can be done.
async fn retry<T, F>(what: &'static str, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, RpcError>>,
{
    let mut attempt = 0;
    loop {
        match answer_of(ask()).await {
            Ok(answer) => return answer,
            Err(error) => tracing::warn!(%error, "cannot read {what}; trying again"),
        }
        sleep(pause(attempt)).await;
        attempt = attempt.saturating_add(1);
    }
}

/// Asks until a node answers, be it with an error that it repeats.
async fn retry_unless_told<T, F>(
    what: &'static str,
    mut ask: impl FnMut() -> F,
) -> Result<T, RpcError>
where
    F: Future<Output = Result<T, RpcError>>,
{
    let (mut attempt, mut told) = (0, 0);
    loop {
        let error = match answer_of(ask()).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        match &error {
            RpcError::NoAnswer { .. } => {}
            RpcError::Answered { code, .. } if NOT_OFFERED.contains(code) => return Err(error),
            RpcError::Answered { .. } => told += 1,
        }
        if told >= TRIES {
            return Err(error);
        }
        tracing::warn!(%error, "cannot read {what}; trying again");
        sleep(pause(attempt)).await;
        attempt = attempt.saturating_add(1);
    }
}

async fn answer_of<T>(asked: impl Future<Output = Result<T, RpcError>>) -> Result<T, RpcError> {
    timeout(ANSWER_MAX, asked).await.unwrap_or_else(|_| {
        Err(RpcError::NoAnswer {
            reason: format!("none within {ANSWER_MAX:?}"),
        })
    })
}

fn pause(attempt: u32) -> Duration {
    RETRY_MIN.saturating_mul(1 << attempt.min(8)).min(RETRY_MAX)
}

/// The items in order, at most `size` of them at a time.
pub(super) fn chunks<T>(mut items: Vec<T>, size: usize) -> Vec<Vec<T>> {
    let mut chunks = Vec::with_capacity(items.len().div_ceil(size));
    while items.len() > size {
        let rest = items.split_off(size);
        chunks.push(std::mem::replace(&mut items, rest));
    }
    if !items.is_empty() {
        chunks.push(items);
    }
    chunks
}

fn receipt(receipt: &Receipt) -> ReceiptRecord {
    ReceiptRecord {
        hash: receipt.hash,
        block_number: receipt.block_number,
        block_hash: receipt.block_hash,
        success: receipt.success,
        gas_used: receipt.gas_used,
        effective_gas_price: receipt.effective_gas_price,
        l1_fee: receipt.l1_fee,
        contract: receipt.contract,
    }
}

fn observation(found: ObservedTx, chain_id: u64) -> Observation {
    let fees = match found.max_priority_fee {
        Some(max_priority_fee) => Fees::Eip1559 {
            max_fee: found.max_fee,
            max_priority_fee,
        },
        None => Fees::Legacy {
            gas_price: found.max_fee,
        },
    };
    Observation {
        tx: UnsignedTx {
            chain_id,
            nonce: found.nonce,
            gas_limit: found.gas_limit,
            fees,
            call: found.call,
        },
        hash: found.hash,
        raw: found.raw.unwrap_or_default(),
    }
}
