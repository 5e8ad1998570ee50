//! The JSON-RPC passthrough: callers' own questions to the network's nodes.
//!
//! Answers come back as the node gave them, revert data included. What may be asked is a list of methods; a
//! transaction that was signed elsewhere goes the way of all broadcasts, to every node and never twice for a time-out.

use std::time::Duration;

use alloy_primitives::hex;
use baton_chain::{NodeAnswer, PassedAnswer, PassedCall, RpcError};
use baton_model::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use tokio::time::timeout;

use super::error::ServiceError;
use super::{Service, check_running};
use crate::Relayer;

/// Methods that may be called when nothing else is configured: what reads, estimates or simulates, and the offering of
/// transactions that were signed elsewhere. Nothing that signs with a node's key, changes a node, or holds state there.
pub const RPC_METHODS: &[&str] = &[
    "eth_accounts",
    "eth_blobBaseFee",
    "eth_blockNumber",
    "eth_call",
    "eth_chainId",
    "eth_createAccessList",
    "eth_estimateGas",
    "eth_feeHistory",
    "eth_gasPrice",
    "eth_getBalance",
    "eth_getBlockByHash",
    "eth_getBlockByNumber",
    "eth_getBlockReceipts",
    "eth_getBlockTransactionCountByHash",
    "eth_getBlockTransactionCountByNumber",
    "eth_getCode",
    "eth_getLogs",
    "eth_getProof",
    "eth_getStorageAt",
    "eth_getTransactionByBlockHashAndIndex",
    "eth_getTransactionByBlockNumberAndIndex",
    "eth_getTransactionByHash",
    "eth_getTransactionCount",
    "eth_getTransactionReceipt",
    "eth_maxPriorityFeePerGas",
    "eth_sendRawTransaction",
    "eth_simulateV1",
    "eth_syncing",
    "net_listening",
    "net_version",
    "web3_clientVersion",
    "web3_sha3",
];

/// Most calls in one batch: what the client asks of a node at once.
const BATCH_MAX: usize = 100;
/// Longest wait for the nodes: well within a request's own time-out, so that the caller hears what happened.
const WAIT_MAX: Duration = Duration::from_secs(20);
const SEND_RAW: &str = "eth_sendRawTransaction";
/// Most bytes of a signed transaction: what nodes take, and twice that, for those that take more.
const RAW_BYTES_MAX: usize = 256 * 1024;

// JSON-RPC's own codes, and those that the reference gives to what happens on the way.
const INVALID_REQUEST: i64 = -32600;
const NOT_FOUND: i64 = -32601;
const INVALID_PARAMS: i64 = -32602;
const TIMEOUT: i64 = -33000;
const BAD_GATEWAY: i64 = -33002;

/// The answer to a body: to one call, or to a batch.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum RpcReply {
    /// To one call.
    One(RpcAnswer),
    /// To a batch, in its order.
    Batch(Vec<RpcAnswer>),
}

/// The answer to one call.
#[derive(Debug, Serialize)]
pub struct RpcAnswer {
    jsonrpc: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<RpcFailure>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Box<RawValue>>,
}

#[derive(Debug, Serialize)]
struct RpcFailure {
    code: i64,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Box<RawValue>>,
    /// The message again, where callers of the reference look.
    description: String,
}

#[derive(Deserialize)]
struct Written<'a> {
    #[serde(borrow)]
    jsonrpc: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<&'a RawValue>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
}

/// A call that was read.
struct Asked {
    id: Option<Box<RawValue>>,
    call: Result<PassedCall, RpcFailure>,
}

impl Service {
    /// Hands a JSON-RPC call, or a batch of up to 100, on to the relayer's network.
    ///
    /// # Errors
    /// When nothing is asked, or the relayer is paused or not there. What the nodes say, and that they say nothing, is
    /// part of the reply.
    pub async fn rpc(&self, relayer: &str, body: &RawValue) -> Result<RpcReply, ServiceError> {
        let served = self.relayer(relayer)?;
        let relayer = &served.relayer;
        check_running(relayer)?;
        let methods = self.options.rpc_methods;
        if !body.get().starts_with('[') {
            let asked = one(body, methods)?;
            let mut answers = answers(relayer, vec![asked]).await;
            let answer = answers.pop();
            return answer
                .map(RpcReply::One)
                .ok_or_else(|| ServiceError::Defect("a call without an answer".to_owned()));
        }
        let calls: Vec<&RawValue> = serde_json::from_str(body.get())
            .map_err(|error| ServiceError::Invalid(format!("body: {error}")))?;
        if calls.is_empty() || calls.len() > BATCH_MAX {
            let text = format!(
                "a batch must have 1 to {BATCH_MAX} calls; found {}",
                calls.len()
            );
            return Ok(RpcReply::One(RpcAnswer::failed(
                None,
                RpcFailure::new(INVALID_REQUEST, text),
            )));
        }
        let asked = calls
            .into_iter()
            .map(|call| one(call, methods).unwrap_or_else(|error| Asked::broken(&error)))
            .collect();
        Ok(RpcReply::Batch(answers(relayer, asked).await))
    }
}

/// Reads a call.
///
/// # Errors
/// When it is no call at all; what is wrong with a call is part of it.
fn one(raw: &RawValue, methods: &[&'static str]) -> Result<Asked, ServiceError> {
    let invalid = |text: &str| ServiceError::Invalid(text.to_owned());
    if !raw.get().starts_with('{') {
        return Err(invalid("a call must be a JSON object"));
    }
    let written: Written<'_> = serde_json::from_str(raw.get())
        .map_err(|error| ServiceError::Invalid(format!("body: {error}")))?;
    let method: Option<String> = written
        .method
        .and_then(|method| serde_json::from_str(method.get()).ok());
    let method = method.filter(|method| !method.is_empty());
    let method = method.ok_or_else(|| invalid("Missing 'method' field"))?;
    let id = match written.id {
        None => to_raw_value(&1).ok(),
        Some(id) if id.get() == "null" => None,
        Some(id) if is_id(id) => Some(id.to_owned()),
        Some(_) => return Err(invalid("id must be a string, a whole number or null")),
    };
    if written
        .jsonrpc
        .is_some_and(|version| version.get() != "\"2.0\"")
    {
        return Err(invalid("jsonrpc must be \"2.0\""));
    }
    Ok(Asked {
        call: call(&method, written.params, methods),
        id,
    })
}

fn call(
    method: &str,
    params: Option<&RawValue>,
    methods: &[&'static str],
) -> Result<PassedCall, RpcFailure> {
    let Some(known) = methods.iter().find(|known| **known == method) else {
        let shown: String = method.chars().take(64).collect();
        let text = format!("the method {shown} is not allowed through this relayer");
        return Err(RpcFailure::new(NOT_FOUND, text));
    };
    let none = RawValue::from_string("[]".to_owned());
    let params = match params {
        Some(params) if params.get().starts_with(['[', '{']) => Ok(params.to_owned()),
        Some(params) if params.get() != "null" => {
            let text = "params must be a list or an object";
            return Err(RpcFailure::new(INVALID_PARAMS, text.to_owned()));
        }
        Some(_) | None => none,
    };
    let params = params.map_err(|error| RpcFailure::new(INVALID_PARAMS, error.to_string()))?;
    Ok(PassedCall {
        method: known,
        params,
    })
}

fn is_id(raw: &RawValue) -> bool {
    let text = raw.get();
    let digits = text.strip_prefix('-').unwrap_or(text);
    text.starts_with('"') || digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Asks the nodes everything that may be asked, and puts the answers where their questions were.
async fn answers(relayer: &Relayer, asked: Vec<Asked>) -> Vec<RpcAnswer> {
    let mut reads = Vec::new();
    for asked in &asked {
        if let Ok(call) = &asked.call
            && call.method != SEND_RAW
        {
            reads.push(call.clone());
        }
    }
    let mut read = read(relayer, &reads).await.into_iter();
    let mut answers = Vec::with_capacity(asked.len());
    for Asked { id, call } in asked {
        let outcome = match call {
            Err(failure) => Err(failure),
            Ok(call) if call.method == SEND_RAW => send_raw(relayer, &call).await,
            Ok(_) => read.next().unwrap_or_else(|| {
                let text = "the node left this call out".to_owned();
                Err(RpcFailure::new(BAD_GATEWAY, text))
            }),
        };
        answers.push(match outcome {
            Ok(result) => RpcAnswer {
                jsonrpc: "2.0",
                result: Some(result),
                error: None,
                id,
            },
            Err(failure) => RpcAnswer::failed(id, failure),
        });
    }
    answers
}

async fn read(relayer: &Relayer, calls: &[PassedCall]) -> Vec<Result<Box<RawValue>, RpcFailure>> {
    if calls.is_empty() {
        return Vec::new();
    }
    let asked = timeout(WAIT_MAX, relayer.network.chain.pass(calls)).await;
    let all = |failure: fn() -> RpcFailure| calls.iter().map(|_| Err(failure())).collect();
    match asked {
        Ok(Ok(answers)) => answers
            .into_iter()
            .map(|answer: PassedAnswer| answer.map_err(RpcFailure::from))
            .collect(),
        Ok(Err(error)) => {
            tracing::debug!(relayer_id = %relayer.id, %error, "no node answered a caller's calls");
            all(|| {
                let text = "no node of the relayer's network answered";
                RpcFailure::new(BAD_GATEWAY, text.to_owned())
            })
        }
        Err(_) => all(|| {
            let text = format!("no answer within {} s", WAIT_MAX.as_secs());
            RpcFailure::new(TIMEOUT, text)
        }),
    }
}

/// Offers a transaction that was signed elsewhere to every node, once.
async fn send_raw(relayer: &Relayer, call: &PassedCall) -> Result<Box<RawValue>, RpcFailure> {
    let raw = raw_transaction(&call.params).ok_or_else(|| {
        let text = format!(
            "params must be one signed transaction in hex, of at most {RAW_BYTES_MAX} bytes"
        );
        RpcFailure::new(INVALID_PARAMS, text)
    })?;
    let chain = &relayer.network.chain;
    let offered = timeout(WAIT_MAX, chain.broadcast(std::slice::from_ref(&raw))).await;
    let said = offered
        .ok()
        .and_then(|mut said| said.pop())
        .unwrap_or_default();
    let mut refused = None;
    let mut is_unknown = said.is_empty();
    for answer in said {
        match answer {
            NodeAnswer::Accepted(hash) => {
                return to_raw_value(&hash).map_err(|_| {
                    RpcFailure::new(BAD_GATEWAY, "the hash cannot be written".to_owned())
                });
            }
            NodeAnswer::Rejected { code, message } => {
                refused.get_or_insert(RpcFailure::new(code, message));
            }
            NodeAnswer::Unknown { .. } => is_unknown = true,
        }
    }
    match refused {
        Some(refused) if !is_unknown => Err(refused),
        Some(_) | None => {
            let text = "no node confirmed the transaction; whether one has it is unknown";
            Err(RpcFailure::new(BAD_GATEWAY, text.to_owned()))
        }
    }
}

fn raw_transaction(params: &RawValue) -> Option<Bytes> {
    let [text]: [String; 1] = serde_json::from_str(params.get()).ok()?;
    let digits = text.strip_prefix("0x")?;
    if digits.is_empty() || digits.len() / 2 > RAW_BYTES_MAX || digits.starts_with("0x") {
        return None;
    }
    hex::decode(digits).map(Bytes::from).ok()
}

impl Asked {
    fn broken(error: &ServiceError) -> Self {
        Self {
            id: None,
            call: Err(RpcFailure::new(INVALID_REQUEST, error.to_string())),
        }
    }
}

impl RpcAnswer {
    const fn failed(id: Option<Box<RawValue>>, error: RpcFailure) -> Self {
        Self {
            jsonrpc: "2.0",
            result: None,
            error: Some(error),
            id,
        }
    }
}

impl RpcFailure {
    fn new(code: i64, message: String) -> Self {
        Self {
            code,
            description: message.clone(),
            message,
            data: None,
        }
    }
}

impl From<RpcError> for RpcFailure {
    fn from(error: RpcError) -> Self {
        match error {
            RpcError::Answered {
                code,
                message,
                data,
            } => Self {
                data: data.and_then(|data| RawValue::from_string(data).ok()),
                ..Self::new(code, message)
            },
            RpcError::NoAnswer { .. } => {
                Self::new(BAD_GATEWAY, "the node left this call out".to_owned())
            }
        }
    }
}

/// Keeps null apart from absence.
fn present<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}
