//! Questions to a node on the bench's own account, past the proxy.

use std::time::Duration;

use alloy_primitives::hex;
use anyhow::{Context, Result, bail};
use baton_model::{Address, B256, U256};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Longest wait for an answer: a node that was given far too much answers late.
const ANSWER_MAX: Duration = Duration::from_secs(180);
/// Balances asked for in one batch.
const BALANCES: usize = 500;

/// A node.
#[derive(Clone, Debug)]
pub(super) struct Rpc {
    http: reqwest::Client,
    url: String,
}

/// What the bench wants to know of a block.
#[derive(Debug, Deserialize)]
struct Block<T> {
    transactions: Vec<T>,
}

/// What the bench wants to know of a mined transaction.
#[derive(Debug, Deserialize)]
struct Mined {
    to: Option<Address>,
}

#[derive(Deserialize)]
struct Reply {
    #[serde(default)]
    id: Value,
    result: Option<Value>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct BlockReply<T> {
    result: Option<Block<T>>,
}

impl Rpc {
    pub(super) fn new(url: &str) -> Result<Self> {
        let http = reqwest::Client::builder()
            .timeout(ANSWER_MAX)
            .no_proxy()
            .build()?;
        Ok(Self {
            http,
            url: url.to_owned(),
        })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) async fn call(&self, method: &str, params: Value) -> Result<Value> {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let answer = self.post(method, &body).await?;
        let reply: Reply =
            serde_json::from_slice(&answer).with_context(|| format!("{method}: not an answer"))?;
        match reply.error {
            Some(error) => bail!("{method}: {error}"),
            None => Ok(reply.result.unwrap_or_default()),
        }
    }

    pub(super) async fn number(&self, method: &str) -> Result<u64> {
        let number = self.call(method, json!([])).await?;
        let digits = number.as_str().and_then(|text| text.strip_prefix("0x"));
        let digits = digits.with_context(|| format!("{method}: not a number: {number}"))?;
        u64::from_str_radix(digits, 16).with_context(|| format!("{method}: {number}"))
    }

    /// Hashes of a block's transactions, `None` while there is no block of that number.
    pub(super) async fn block_hashes(&self, number: u64) -> Result<Option<Vec<B256>>> {
        self.transactions(number, false).await
    }

    /// Where a block's transactions go, `None` while there is no block of that number. This is a
    /// megabyte of JSON for a full block, and anvil takes 0.2 ms for each transaction.
    pub(super) async fn block_targets(&self, number: u64) -> Result<Option<Vec<Address>>> {
        let mined: Option<Vec<Mined>> = self.transactions(number, true).await?;
        Ok(mined.map(|mined| mined.into_iter().filter_map(|mined| mined.to).collect()))
    }

    async fn transactions<T: DeserializeOwned>(
        &self,
        number: u64,
        full: bool,
    ) -> Result<Option<Vec<T>>> {
        let params = json!([format!("{number:#x}"), full]);
        let body = json!({
            "jsonrpc": "2.0", "id": 1, "method": "eth_getBlockByNumber", "params": params,
        });
        let answer = self.post("eth_getBlockByNumber", &body).await?;
        let reply: BlockReply<T> = serde_json::from_slice(&answer).context("not a block")?;
        Ok(reply.result.map(|block| block.transactions))
    }

    /// Sends signed transactions in one batch, in order. How many the node took.
    pub(super) async fn send(&self, raws: &[baton_model::Bytes]) -> Result<usize> {
        let calls = raws
            .iter()
            .map(|raw| ("eth_sendRawTransaction", json!([hex::encode_prefixed(raw)])));
        let replies = self.batch(calls).await?;
        Ok(replies.iter().filter(|reply| reply.error.is_none()).count())
    }

    /// Balances at the latest block.
    pub(super) async fn balances(&self, addresses: &[Address]) -> Result<Vec<U256>> {
        let mut balances = Vec::with_capacity(addresses.len());
        for chunk in addresses.chunks(BALANCES) {
            let calls = chunk
                .iter()
                .map(|address| ("eth_getBalance", json!([address, "latest"])));
            for reply in self.batch(calls).await? {
                let balance = reply.result.with_context(|| format!("{:?}", reply.error))?;
                balances.push(serde_json::from_value(balance).context("not a balance")?);
            }
        }
        Ok(balances)
    }

    async fn batch(&self, calls: impl Iterator<Item = (&str, Value)>) -> Result<Vec<Reply>> {
        let body: Vec<Value> = calls
            .enumerate()
            .map(|(id, (method, params))| {
                json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
            })
            .collect();
        let count = body.len();
        let answer = self.post("a batch", &Value::Array(body)).await?;
        let mut replies: Vec<Reply> =
            serde_json::from_slice(&answer).context("not an answer to a batch")?;
        if replies.len() != count {
            bail!("{} answers to a batch of {count} calls", replies.len());
        }
        // Nodes may answer a batch in any order.
        replies.sort_by_key(|reply| reply.id.as_u64());
        Ok(replies)
    }

    async fn post(&self, what: &str, body: &Value) -> Result<bytes::Bytes> {
        let exchange = async {
            let answer = self.http.post(&self.url).json(body).send().await?;
            answer.bytes().await
        };
        exchange.await.with_context(|| format!("{what}: no answer"))
    }
}
