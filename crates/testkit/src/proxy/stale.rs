//! A node that is behind: which calls are answered from an older block, and how.

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::upstream::quantity;
use super::wire::{self, Answer};

/// What becomes of a call at a stale node.
#[derive(Debug)]
pub(super) enum Rewrite {
    /// It is asked as it is.
    Keep,
    /// It is asked with other parameters.
    Params(Box<RawValue>),
    /// The proxy answers.
    Answer(Answer),
}

/// Methods that read state or blocks at a block, and the place of that block in their parameters.
const AT_BLOCK: &[(&str, usize)] = &[
    ("eth_call", 1),
    ("eth_estimateGas", 1),
    ("eth_feeHistory", 1),
    ("eth_getBalance", 1),
    ("eth_getBlockByNumber", 0),
    ("eth_getBlockReceipts", 0),
    ("eth_getCode", 1),
    ("eth_getStorageAt", 2),
    ("eth_getTransactionCount", 1),
];

/// Methods whose answer to a block that does not exist is `null`; the others answer an error.
const NULL_IF_UNKNOWN: [&str; 2] = ["eth_getBlockByNumber", "eth_getBlockReceipts"];

/// How a call is asked when `head` is the newest block that the node admits to.
pub(super) fn rewrite(method: &str, params: Option<&RawValue>, head: u64) -> Rewrite {
    let number = format!("{head:#x}");
    if method == "eth_blockNumber" {
        return Rewrite::Answer(Answer::result(&number));
    }
    let Some((_, place)) = AT_BLOCK.iter().find(|(name, _)| *name == method) else {
        return Rewrite::Keep;
    };
    let parsed = params.map(|params| serde_json::from_str::<Vec<Value>>(params.get()));
    let Ok(mut list) = parsed.transpose().map(Option::unwrap_or_default) else {
        return Rewrite::Keep;
    };
    let tag = list.get(*place).cloned().unwrap_or(Value::Null);
    let is_newest = match tag.as_str() {
        Some(tag) => matches!(tag, "latest" | "pending" | "safe" | "finalized"),
        None => tag.is_null(),
    };
    if is_newest {
        if list.len() < *place {
            // Something in front is missing as well, which the node is to say.
            return Rewrite::Keep;
        }
        match list.get_mut(*place) {
            Some(tag) => *tag = json!(number),
            None => list.push(json!(number)),
        }
        return Rewrite::Params(wire::raw(&list));
    }
    if quantity(&tag).is_some_and(|asked| asked > head && is_number(&tag)) {
        return Rewrite::Answer(if NULL_IF_UNKNOWN.contains(&method) {
            Answer::result(&Value::Null)
        } else {
            Answer::error(-32_000, "header not found")
        });
    }
    Rewrite::Keep
}

/// Takes out of an answer what happened after `head`.
pub(super) fn hide(method: &str, answer: Answer, head: u64) -> Answer {
    let place = match method {
        "eth_getTransactionReceipt"
        | "eth_getTransactionByHash"
        | "eth_getTransactionBySenderAndNonce" => "blockNumber",
        "eth_getBlockByHash" => "number",
        _ => return answer,
    };
    let Some(mut value) = answer.value() else {
        return answer;
    };
    if quantity(&value[place]).is_none_or(|number| number <= head) {
        return answer;
    }
    if matches!(method, "eth_getTransactionReceipt" | "eth_getBlockByHash") {
        return Answer::result(&Value::Null);
    }
    // To a node that is behind, the transaction is still in the pool.
    for field in ["blockNumber", "blockHash", "transactionIndex"] {
        value[field] = Value::Null;
    }
    Answer::result(&value)
}

/// Block hashes are 32 bytes, numbers are shorter.
fn is_number(tag: &Value) -> bool {
    tag.as_str().is_some_and(|text| text.len() <= 18)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(method: &str, params: &Value) -> String {
        match rewrite(method, Some(&wire::raw(params)), 5) {
            Rewrite::Keep => "as it is".to_owned(),
            Rewrite::Params(params) => params.get().to_owned(),
            Rewrite::Answer(Answer::Result(result)) => format!("= {}", result.get()),
            Rewrite::Answer(Answer::Error(error)) => format!("! {}", error.get()),
        }
    }

    #[test]
    fn the_newest_block_becomes_the_old_one_and_later_ones_do_not_exist() {
        let hash = format!("0x{}", "1".repeat(64));
        let missing = r#"! {"code":-32000,"message":"header not found"}"#;
        for (method, asked, becomes) in [
            ("eth_blockNumber", json!([]), r#"= "0x5""#),
            (
                "eth_getTransactionCount",
                json!(["0xa"]),
                r#"["0xa","0x5"]"#,
            ),
            (
                "eth_getTransactionCount",
                json!(["0xa", "latest"]),
                r#"["0xa","0x5"]"#,
            ),
            (
                "eth_getTransactionCount",
                json!(["0xa", "pending"]),
                r#"["0xa","0x5"]"#,
            ),
            ("eth_getTransactionCount", json!(["0xa", "0x5"]), "as it is"),
            ("eth_getTransactionCount", json!(["0xa", "0x6"]), missing),
            (
                "eth_getTransactionCount",
                json!(["0xa", "earliest"]),
                "as it is",
            ),
            ("eth_getBalance", json!(["0xa", hash]), "as it is"),
            (
                "eth_getBlockByNumber",
                json!(["latest", false]),
                r#"["0x5",false]"#,
            ),
            ("eth_getBlockByNumber", json!(["0x9", false]), "= null"),
            ("eth_getBlockReceipts", json!(["0x9"]), "= null"),
            ("eth_call", json!([{}]), r#"[{},"0x5"]"#),
            ("eth_call", json!([]), "as it is"),
            (
                "eth_feeHistory",
                json!(["0x4", "latest", []]),
                r#"["0x4","0x5",[]]"#,
            ),
            ("eth_gasPrice", json!([]), "as it is"),
        ] {
            assert_eq!(params(method, &asked), becomes, "{method} {asked}");
        }
    }

    #[test]
    fn what_was_mined_later_is_not_mined_yet() {
        let shown = |method: &str, value: Value| {
            let shown = hide(method, Answer::result(&value), 5);
            shown.value().unwrap()
        };
        let mined =
            |number: &str| json!({"blockNumber": number, "blockHash": "0x1", "nonce": "0x1"});
        let pending = json!({
            "blockNumber": null, "blockHash": null, "transactionIndex": null, "nonce": "0x1"
        });
        assert_eq!(
            shown("eth_getTransactionReceipt", mined("0x6")),
            Value::Null
        );
        assert_eq!(
            shown("eth_getTransactionReceipt", mined("0x5")),
            mined("0x5")
        );
        assert_eq!(shown("eth_getTransactionByHash", mined("0x6")), pending);
        assert_eq!(
            shown("eth_getBlockByHash", json!({"number": "0x6"})),
            Value::Null
        );
        assert_eq!(shown("eth_getTransactionReceipt", Value::Null), Value::Null);
    }
}
