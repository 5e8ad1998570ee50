//! JSON-RPC 2.0 on the wire.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use crate::RpcError;

/// One call.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) method: &'static str,
    params: Box<RawValue>,
}

impl Ask {
    pub(crate) fn new(method: &'static str, params: &impl Serialize) -> Self {
        Self {
            method,
            params: to_raw_value(params).expect("parameters are plain data with text keys"),
        }
    }

    /// A call whose parameters are JSON already.
    pub(crate) const fn raw(method: &'static str, params: Box<RawValue>) -> Self {
        Self { method, params }
    }

    /// About how many bytes the call takes in a body.
    pub(crate) fn size(&self) -> usize {
        // The fixed part is `{"jsonrpc":"2.0","id":,"method":"","params":},` and an id of up to 4
        // digits.
        self.params.get().len() + self.method.len() + 50
    }
}

/// What was answered to one call. The result is `null` when the node says so.
pub(crate) type Reply = Result<Box<RawValue>, RpcError>;

/// Why a body holds no answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BodyFault {
    /// One error for the whole batch: nothing of it was executed.
    Whole {
        code: i64,
        message: String,
        data: Option<String>,
    },
    /// Not JSON-RPC.
    Unreadable(String),
}

/// Ids are the places in the list.
pub(crate) fn encode(asks: &[Ask]) -> Vec<u8> {
    let requests: Vec<Request<'_>> = asks
        .iter()
        .enumerate()
        .map(|(id, ask)| Request {
            jsonrpc: "2.0",
            id,
            method: ask.method,
            params: &ask.params,
        })
        .collect();
    match requests.as_slice() {
        [one] => serde_json::to_vec(one),
        _ => serde_json::to_vec(&requests),
    }
    .expect("requests are plain data with text keys")
}

/// Answers in the order of the calls, whatever their order in the body. A call without an answer
/// has `NoAnswer`.
pub(crate) fn decode(body: &[u8], count: usize) -> Result<Vec<Reply>, BodyFault> {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    if first == Some(&b'[') {
        let responses: Vec<Response> = read(body)?;
        return Ok(place(responses, count));
    }
    let response: Response = read(body)?;
    if count == 1 && (response.place() == Some(0) || response.error.is_some()) {
        return Ok(vec![response.reply()]);
    }
    match response.reply() {
        Err(RpcError::Answered {
            code,
            message,
            data,
        }) => Err(BodyFault::Whole {
            code,
            message,
            data,
        }),
        Err(RpcError::NoAnswer { reason }) => Err(BodyFault::Unreadable(reason)),
        Ok(_) => Err(BodyFault::Unreadable(
            "the answer does not belong to the question".to_owned(),
        )),
    }
}

fn place(responses: Vec<Response>, count: usize) -> Vec<Reply> {
    let mut replies: Vec<Option<Reply>> = (0..count).map(|_| None).collect();
    for response in responses {
        let slot = response.place().and_then(|id| replies.get_mut(id));
        if let Some(slot @ None) = slot {
            *slot = Some(response.reply());
        }
    }
    replies
        .into_iter()
        .map(|reply| reply.unwrap_or_else(|| Err(no_answer("the batch's answer leaves it out"))))
        .collect()
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, BodyFault> {
    // The decoder's text tells line and column only; the body itself may be anything and is not
    // repeated.
    serde_json::from_slice(body)
        .map_err(|error| BodyFault::Unreadable(format!("the answer is not JSON-RPC: {error}")))
}

fn no_answer(reason: &str) -> RpcError {
    RpcError::NoAnswer {
        reason: reason.to_owned(),
    }
}

#[derive(Serialize)]
struct Request<'a> {
    jsonrpc: &'static str,
    id: usize,
    method: &'static str,
    params: &'a RawValue,
}

#[derive(Deserialize)]
struct Response {
    #[serde(default)]
    id: Value,
    #[serde(default, deserialize_with = "present")]
    result: Option<Box<RawValue>>,
    #[serde(default)]
    error: Option<Value>,
}

impl Response {
    /// Some gateways turn number ids into text.
    fn place(&self) -> Option<usize> {
        match &self.id {
            Value::Number(number) => number.as_u64().and_then(|id| usize::try_from(id).ok()),
            Value::String(text) => text.parse().ok(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }

    fn reply(self) -> Reply {
        match (self.error, self.result) {
            (Some(error), _) => Err(answered(&error)),
            (None, Some(result)) => Ok(result),
            (None, None) => Err(no_answer("the answer has neither result nor error")),
        }
    }
}

/// Keeps a `null` result apart from no result.
fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(from).map(Some)
}

/// Error objects as the specification has them, and bare texts as some gateways send.
fn answered(error: &Value) -> RpcError {
    let code = error.get("code").and_then(|code| {
        code.as_i64()
            .or_else(|| code.as_str().and_then(|text| text.parse().ok()))
    });
    let message = error
        .get("message")
        .and_then(Value::as_str)
        .or_else(|| error.as_str())
        .unwrap_or_default();
    RpcError::Answered {
        code: code.unwrap_or_default(),
        message: message.to_owned(),
        data: error
            .get("data")
            .filter(|data| !data.is_null())
            .map(Value::to_string),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(reply: &Reply) -> &str {
        reply.as_ref().unwrap().get()
    }

    #[test]
    fn answers_find_their_calls_in_any_order() {
        let body = br#" [{"id":"1","result":"b"},{"id":0,"result":null},{"id":7,"result":1}]"#;
        let replies = decode(body, 3).unwrap();
        assert_eq!(result(&replies[0]), "null");
        assert_eq!(result(&replies[1]), "\"b\"");
        assert!(matches!(replies[2], Err(RpcError::NoAnswer { .. })));
    }

    #[test]
    fn one_error_for_a_batch_is_not_an_answer_to_each() {
        let body = br#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no batches"}}"#;
        assert!(matches!(
            decode(body, 2),
            Err(BodyFault::Whole { code: -32600, .. })
        ));
        assert!(matches!(
            decode(body, 1).unwrap()[0],
            Err(RpcError::Answered { code: -32600, .. })
        ));
    }

    #[test]
    fn odd_errors_are_read() {
        let body = br#"{"id":0,"error":{"code":"-32000","message":"m","data":{"a":1}}}"#;
        assert_eq!(
            decode(body, 1).unwrap()[0].as_ref().unwrap_err(),
            &RpcError::Answered {
                code: -32000,
                message: "m".into(),
                data: Some(r#"{"a":1}"#.into())
            }
        );
        let body = br#"{"id":0,"error":"slow down"}"#;
        let reply = decode(body, 1).unwrap().remove(0);
        assert!(reply.unwrap_err().to_string().contains("slow down"));
    }

    #[test]
    fn what_is_not_json_rpc_is_unreadable() {
        for body in [
            &b""[..],
            b"<html>",
            b"[1]",
            b"{}",
            b"null",
            br#"{"id":1,"result":1}"#,
        ] {
            let read = decode(body, 1);
            let is_answer = matches!(&read, Ok(replies) if replies[0].is_ok());
            assert!(!is_answer, "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn one_call_is_not_wrapped_in_a_batch() {
        let ask = Ask::new("eth_chainId", &[0; 0]);
        assert_eq!(
            String::from_utf8(encode(std::slice::from_ref(&ask))).unwrap(),
            r#"{"jsonrpc":"2.0","id":0,"method":"eth_chainId","params":[]}"#
        );
        let two = encode(&[ask.clone(), ask.clone()]);
        assert!(two.starts_with(b"[") && two.len() <= 2 * ask.size() + 2);
    }
}
