//! Questions that a lane wants answered, each asked until there is an answer or the lane ends.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use baton_chain::{ChainClient, Estimate, Market, ObservedTx, Receipt, RpcError, tx};
use baton_lanes::record::ReceiptRecord;
use baton_lanes::{
    GasEstimate, Input, MarketView, Observation, SPEED_PERCENTILES, Signed, Survey,
    SurveyedAccount, Ticket,
};
use baton_model::{Address, B256, Bytes, Call, Fees, RequestId, UnsignedTx};
use baton_vault::{Signature, Signer};
use futures_util::stream::{self, StreamExt};

/// First and longest pause before a question to a node is repeated.
const RETRY_MIN: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Times that a node is asked for an unknown transaction before "cannot tell" is the answer.
const OBSERVE_TRIES: u32 = 5;

/// Signatures asked for at a time: hides the latency of a remote key service, within what such services allow.
const SIGNATURES: usize = 16;

/// What a signature is asked for.
pub(super) struct SignTask {
    pub(super) ticket: Ticket,
    pub(super) signer: Arc<dyn Signer>,
    pub(super) tx: UnsignedTx,
}

pub(super) async fn sign(tasks: Vec<SignTask>) -> Vec<Input> {
    stream::iter(tasks)
        .map(sign_one)
        .buffer_unordered(SIGNATURES)
        .collect()
        .await
}

async fn sign_one(task: SignTask) -> Input {
    let SignTask { ticket, signer, tx } = task;
    let signed = match signer.sign_hash(tx::signing_hash(&tx)).await {
        Ok(signature) => {
            let Signature { r, s, y_parity } = signature;
            let encoded = tx::encode_signed(&tx, r, s, y_parity);
            let mut bytes = [0; 65];
            bytes[..32].copy_from_slice(&r.to_be_bytes::<32>());
            bytes[32..64].copy_from_slice(&s.to_be_bytes::<32>());
            bytes[64] = u8::from(y_parity);
            let signature = Bytes::copy_from_slice(&bytes);
            Some(Signed {
                raw: encoded.raw,
                hash: encoded.hash,
                signature,
            })
        }
        Err(error) => {
            tracing::warn!(account = %signer.address(), %error, "cannot sign; trying again");
            None
        }
    };
    Input::Signed { ticket, signed }
}

pub(super) async fn estimate(
    chain: Arc<dyn ChainClient>,
    asked: Vec<(RequestId, Address, Call)>,
) -> Vec<Input> {
    let (ids, calls): (Vec<_>, Vec<_>) = asked
        .into_iter()
        .map(|(id, from, call)| (id, (from, call)))
        .unzip();
    let answers = chain.estimate(&calls).await;
    let inputs = ids.into_iter().zip(answers).map(|(id, answer)| {
        let estimate = match answer {
            Estimate::Gas(gas) => GasEstimate::Gas(gas),
            Estimate::Reverts { reason } => GasEstimate::Reverts(reason),
            Estimate::Unknown(error) => {
                tracing::debug!(%id, %error, "cannot estimate gas; trying again");
                GasEstimate::Unknown
            }
        };
        Input::Estimated { id, estimate }
    });
    inputs.collect()
}

pub(super) async fn survey(chain: Arc<dyn ChainClient>, accounts: Vec<Address>) -> Vec<Input> {
    let block = retry("the head", || async {
        let block = chain.block(None, &accounts).await?;
        block.ok_or_else(|| RpcError::NoAnswer {
            reason: "the node has no head".to_owned(),
        })
    });
    let block = block.await;
    let pending = retry("pending nonces", || chain.pending_nonces(&accounts)).await;
    let accounts = block
        .accounts
        .iter()
        .zip(pending)
        .map(|(view, pending)| SurveyedAccount {
            address: view.address,
            nonce: view.nonce,
            pending: Some(pending),
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

pub(super) async fn look_up(
    chain: Arc<dyn ChainClient>,
    slots: Vec<(Address, u64, Vec<B256>)>,
) -> Vec<Input> {
    let hashes: Vec<B256> = slots
        .iter()
        .flat_map(|(_, _, hashes)| hashes.clone())
        .collect();
    let mut receipts = retry("receipts", || chain.receipts(&hashes))
        .await
        .into_iter();
    let inputs = slots.into_iter().map(|(account, nonce, hashes)| {
        let own = receipts.by_ref().take(hashes.len()).collect::<Vec<_>>();
        let receipt = own.iter().flatten().next().map(receipt);
        Input::Found {
            account,
            nonce,
            receipt,
        }
    });
    inputs.collect()
}

pub(super) async fn observe(
    chain: Arc<dyn ChainClient>,
    account: Address,
    nonce: u64,
    chain_id: u64,
) -> Vec<Input> {
    let mut found = None;
    for attempt in 0..OBSERVE_TRIES {
        match chain.transaction_at(account, nonce).await {
            Ok(Some(transaction)) => {
                found = Some(observation(transaction, chain_id));
                break;
            }
            Ok(None) => tracing::debug!(%account, nonce, "no node shows the transaction"),
            Err(error) => tracing::warn!(%account, nonce, %error, "cannot find a transaction"),
        }
        tokio::time::sleep(pause(attempt)).await;
    }
    vec![Input::Observed {
        account,
        nonce,
        transaction: found,
    }]
}

pub(super) async fn market(chain: Arc<dyn ChainClient>) -> Vec<Input> {
    let Market {
        base_fee,
        tips,
        gas_price,
    } = retry("the fee market", || chain.market(&SPEED_PERCENTILES)).await;
    let tips = <[u128; 4]>::try_from(tips).unwrap_or([0; 4]);
    vec![Input::Market(MarketView {
        base_fee,
        tips,
        gas_price,
    })]
}

/// Receipts of a block's transactions; empty when no node gives them, and then the lane looks them up one by one.
pub(super) async fn block_receipts(
    chain: &Arc<dyn ChainClient>,
    block: &baton_chain::BlockView,
    hits: &[B256],
) -> Vec<ReceiptRecord> {
    for attempt in 0..OBSERVE_TRIES {
        match chain.block_receipts(block, hits).await {
            Ok(receipts) => return receipts.iter().map(receipt).collect(),
            Err(error) => {
                tracing::warn!(block = block.number, %error, "cannot read receipts; trying again");
                tokio::time::sleep(pause(attempt)).await;
            }
        }
    }
    Vec::new()
}

async fn retry<T, F>(what: &'static str, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, RpcError>>,
{
    let mut attempt = 0;
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) => tracing::warn!(%error, "cannot read {what}; trying again"),
        }
        tokio::time::sleep(pause(attempt)).await;
        attempt += 1;
    }
}

fn pause(attempt: u32) -> Duration {
    RETRY_MIN.saturating_mul(1 << attempt.min(8)).min(RETRY_MAX)
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
