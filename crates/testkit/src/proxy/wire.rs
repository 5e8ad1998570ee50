//! JSON-RPC as the proxy reads and writes it. What it need not understand stays as it came.

use std::borrow::Cow;

use alloy_primitives::hex;
use baton_chain::tx::{DecodedTx, decode_signed};
use baton_model::B256;
use hyper::body::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

/// The one method that changes a chain.
pub(super) const SEND: &str = "eth_sendRawTransaction";

/// One call of a request.
#[derive(Debug, Deserialize)]
pub(super) struct Call<'a> {
    #[serde(borrow, default)]
    pub(super) id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) method: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) params: Option<&'a RawValue>,
}

/// The calls of a request, in order.
#[derive(Debug)]
pub(super) struct Calls<'a> {
    pub(super) list: Vec<Call<'a>>,
    pub(super) is_batch: bool,
}

/// What is answered to one call.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    Result(Box<RawValue>),
    Error(Box<RawValue>),
}

/// The signed bytes of a send.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) raw: Vec<u8>,
    pub(super) hash: B256,
    /// `None` for types that Baton does not make.
    pub(super) tx: Option<DecodedTx>,
}

#[derive(Serialize)]
struct Ask<'a> {
    jsonrpc: &'static str,
    id: usize,
    method: &'a str,
    params: &'a RawValue,
}

#[derive(Deserialize)]
struct Reply {
    id: Value,
    #[serde(default, deserialize_with = "present")]
    result: Option<Box<RawValue>>,
    #[serde(default)]
    error: Option<Box<RawValue>>,
}

/// The calls of a body; `None` when it is not JSON-RPC, which the node is to say.
pub(super) fn calls(body: &[u8]) -> Option<Calls<'_>> {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    let is_batch = first == Some(&b'[');
    let list = if is_batch {
        serde_json::from_slice(body).ok()?
    } else {
        vec![serde_json::from_slice(body).ok()?]
    };
    Some(Calls { list, is_batch })
}

/// The transaction that a call sends, if it sends one.
pub(super) fn sent(call: &Call<'_>) -> Option<Sent> {
    if call.method != SEND {
        return None;
    }
    let (digits,): (Cow<'_, str>,) = serde_json::from_str(call.params?.get()).ok()?;
    let raw = hex::decode(digits.as_bytes()).ok()?;
    let tx = decode_signed(&raw).ok();
    let hash = match &tx {
        Some(tx) => tx.hash,
        None => alloy_primitives::keccak256(&raw),
    };
    Some(Sent { raw, hash, tx })
}

/// A batch whose ids are places in the list.
pub(super) fn batch<'a>(asks: impl Iterator<Item = (&'a str, &'a RawValue)>) -> Bytes {
    let asks: Vec<Ask<'_>> = asks
        .enumerate()
        .map(|(id, (method, params))| Ask {
            jsonrpc: "2.0",
            id,
            method,
            params,
        })
        .collect();
    let body = serde_json::to_vec(&asks);
    body.expect("calls are plain data with text keys").into()
}

/// What a node answered to such a batch, in the order of the calls. `None` when it is no answer to
/// all of them.
pub(super) fn replies(body: &[u8], count: usize) -> Option<Vec<Answer>> {
    let replies: Vec<Reply> = serde_json::from_slice(body).ok()?;
    let mut answers: Vec<Option<Answer>> = vec![None; count];
    for reply in replies {
        let id = usize::try_from(reply.id.as_u64()?).ok()?;
        *answers.get_mut(id)? = match (reply.error, reply.result) {
            (Some(error), _) => Some(Answer::Error(error)),
            (None, Some(result)) => Some(Answer::Result(result)),
            (None, None) => return None,
        };
    }
    answers.into_iter().collect()
}

/// One answer as it goes out, under an id given as JSON.
pub(super) fn answer(id: &str, answer: &Answer) -> String {
    let (key, value) = match answer {
        Answer::Result(result) => ("result", result),
        Answer::Error(error) => ("error", error),
    };
    format!(r#"{{"jsonrpc":"2.0","id":{id},"{key}":{}}}"#, value.get())
}

impl Answer {
    pub(super) fn result(value: &impl Serialize) -> Self {
        Self::Result(raw(value))
    }

    pub(super) fn error(code: i64, message: &str) -> Self {
        Self::Error(raw(&serde_json::json!({"code": code, "message": message})))
    }

    /// The result read as JSON; `None` for an error.
    pub(super) fn value(&self) -> Option<Value> {
        match self {
            Self::Result(result) => serde_json::from_str(result.get()).ok(),
            Self::Error(_) => None,
        }
    }
}

/// Plain data as JSON.
pub(super) fn raw(value: &impl Serialize) -> Box<RawValue> {
    to_raw_value(value).expect("answers are plain data with text keys")
}

/// Keeps a `null` result apart from no result.
fn present<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(from).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_read_alone_and_in_batches() {
        let one = calls(br#" {"jsonrpc":"2.0","id":"x","method":"m"}"#).unwrap();
        assert!(!one.is_batch && one.list.len() == 1 && one.list[0].params.is_none());
        assert_eq!(one.list[0].id.unwrap().get(), r#""x""#);
        let two = calls(br#"[{"id":1,"method":"a","params":[1]},{"method":"b"}]"#).unwrap();
        assert!(two.is_batch && two.list.len() == 2 && two.list[1].id.is_none());
        for body in [&b""[..], b"garbage", b"[1]", b"{}", br#"{"id":1}"#] {
            assert!(calls(body).is_none(), "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn replies_are_placed_by_id_and_a_missing_one_spoils_all() {
        let body = br#"[{"id":1,"error":{"code":1}},{"id":0,"result":null}]"#;
        let placed = replies(body, 2).unwrap();
        assert_eq!(
            answer("7", &placed[0]),
            r#"{"jsonrpc":"2.0","id":7,"result":null}"#
        );
        assert!(matches!(placed[1], Answer::Error(_)));
        assert!(replies(body, 3).is_none());
        assert!(replies(br#"{"id":null,"error":{}}"#, 1).is_none());
        assert!(replies(br#"[{"id":5,"result":1}]"#, 1).is_none());
    }

    #[test]
    fn what_is_sent_is_known_by_the_hash_of_its_bytes() {
        let body = br#"{"id":1,"method":"eth_sendRawTransaction","params":["0x01c0"]}"#;
        let calls = calls(body).unwrap();
        let sent = sent(&calls.list[0]).unwrap();
        assert!(sent.tx.is_none());
        assert_eq!(sent.hash, alloy_primitives::keccak256([1, 0xc0]));
    }
}
