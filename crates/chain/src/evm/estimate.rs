//! Estimates of gas, and what a refusal to estimate means.

use alloy_primitives::hex;
use baton_model::{Address, Bytes, Call, U256};
use serde::Serialize;
use serde_json::Value;

use super::parse;
use super::quantity::Quantity;
use crate::client::{Estimate, RpcError};
use crate::rpc::{Ask, Pool, Read, Reply};

pub(super) async fn estimate(pool: &Pool, calls: &[(Address, Call)]) -> Vec<Estimate> {
    if calls.is_empty() {
        return Vec::new();
    }
    let asks: Vec<Ask> = calls
        .iter()
        .map(|(from, call)| Ask::new(METHOD, &[JsonCall::new(from, call)]))
        .collect();
    match pool.read(&Read::latest(&asks)).await {
        Ok((_, replies)) => replies.into_iter().map(understand).collect(),
        Err(error) => vec![Estimate::Unknown(error); calls.len()],
    }
}

const METHOD: &str = "eth_estimateGas";
/// Most bytes of undecoded revert data that a reason shows. It is meant for people.
const SHOWN_MAX: usize = 68;
/// Most characters of a contract's own text that a reason shows.
const TEXT_MAX: usize = 256;

#[derive(Serialize)]
struct JsonCall<'a> {
    from: &'a Address,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<&'a Address>,
    value: String,
    data: &'a Bytes,
}

impl<'a> JsonCall<'a> {
    fn new(from: &'a Address, call: &'a Call) -> Self {
        Self {
            from,
            to: call.to.as_ref(),
            value: format!("{:#x}", call.value),
            data: &call.data,
        }
    }
}

fn understand(reply: Reply) -> Estimate {
    match parse::<Quantity<u64>>(METHOD, reply) {
        Ok(gas) => Estimate::Gas(gas.0),
        Err(RpcError::Answered {
            code,
            message,
            data,
        }) if is_revert(code, &message, data.as_deref()) => Estimate::Reverts {
            reason: reason(message, data.as_deref()),
        },
        Err(error) => Estimate::Unknown(error),
    }
}

/// Reverts, and the other ways in which the code itself ends for good. Not so "insufficient funds",
/// which is a matter of the balance, and "gas required exceeds allowance", where the allowance is
/// the node's own.
fn is_revert(code: i64, message: &str, data: Option<&str>) -> bool {
    let text = message.to_ascii_lowercase();
    let has = |known: &[&str]| known.iter().any(|known| text.contains(known));
    if has(&["insufficient", "exceeds allowance", "outoffund"]) {
        return false;
    }
    let by_data = data.is_some_and(|data| data.starts_with("\"Reverted"));
    let by_text = has(&[
        "revert",
        "invalid opcode",
        "invalidfeopcode",
        "opcodenotfound",
        "invalid jump",
        "invalidjump",
        "stack underflow",
        "stackunderflow",
    ]);
    code == 3 || by_text || by_data
}

fn reason(message: String, data: Option<&str>) -> String {
    let Some(bytes) = data.and_then(revert_data) else {
        return message;
    };
    match decode(&bytes) {
        Some(text) if message.contains(&text) => message,
        Some(text) => format!("{message}: {text}"),
        None if bytes.is_empty() => message,
        None if bytes.len() > SHOWN_MAX => format!(
            "{message}: 0x{}… ({} bytes)",
            hex::encode(&bytes[..SHOWN_MAX]),
            bytes.len()
        ),
        None => format!("{message}: 0x{}", hex::encode(&bytes)),
    }
}

/// The bytes in an error's `data`: a text that ends in them, or an object that holds such a text as
/// `data`.
fn revert_data(json: &str) -> Option<Vec<u8>> {
    let value: Value = serde_json::from_str(json).ok()?;
    let text = value
        .as_str()
        .or_else(|| value.get("data").and_then(Value::as_str))?;
    let digits = &text[text.find("0x")? + 2..];
    hex::decode(digits).ok()
}

/// `Error(string)` and `Panic(uint256)`.
fn decode(data: &[u8]) -> Option<String> {
    let (selector, rest) = data.split_at_checked(4)?;
    match selector {
        [0x08, 0xc3, 0x79, 0xa0] => {
            let offset = word(rest, 0)?;
            let length = word(rest, offset)?;
            let start = offset.checked_add(32)?;
            let text = rest.get(start..start.checked_add(length)?)?;
            let text = String::from_utf8_lossy(text);
            Some(text.chars().take(TEXT_MAX).collect())
        }
        [0x4e, 0x48, 0x7b, 0x71] => Some(format!("panic {:#04x}", word(rest, 0)?)),
        _ => None,
    }
}

/// The 32-byte number at a place, if it is small enough to be an index.
fn word(data: &[u8], at: usize) -> Option<usize> {
    let bytes = data.get(at..at.checked_add(32)?)?;
    usize::try_from(U256::from_be_slice(bytes)).ok()
}

#[cfg(test)]
mod tests;
