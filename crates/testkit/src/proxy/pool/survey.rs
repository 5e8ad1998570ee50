//! Reading an account from the node, all of it at one moment.

use baton_model::{Address, B256, U256};
use serde_json::{Value, json};

use super::rules::{Account, Entry, Head};
use crate::proxy::upstream::{NoAnswer, Upstream, quantity};

/// An account as the node sees it.
#[derive(Debug)]
pub(super) struct Survey {
    pub(super) head: Head,
    nonce: u64,
    balance: U256,
    delegated: bool,
    /// Transactions that were asked for and are no longer in the node's pool.
    gone: Vec<B256>,
    /// The node's pool, for an account that was not known.
    found: Vec<(u64, Entry)>,
}

impl Survey {
    /// Reads the account, and whether the transactions `asked` for are still in the pool. With
    /// `whole`, reads the account's part of the pool. `Ok(None)` when a block came in between.
    pub(super) async fn take(
        upstream: &Upstream,
        address: Address,
        asked: Vec<B256>,
        whole: bool,
    ) -> Result<Option<Self>, NoAnswer> {
        let before = block(upstream).await?;
        let mut calls = vec![
            ("eth_getTransactionCount", json!([address, "latest"])),
            ("eth_getBalance", json!([address, "latest"])),
            ("eth_getCode", json!([address, "latest"])),
        ];
        if whole {
            calls.push(("txpool_content", json!([])));
        }
        let by_hash = calls.len();
        calls.extend(
            asked
                .iter()
                .map(|hash| ("eth_getTransactionByHash", json!([hash]))),
        );
        let answers = upstream.ask(&calls).await?;
        let after = block(upstream).await?;
        if before["hash"] != after["hash"] {
            return Ok(None);
        }
        let in_pool = |found: &Value| found.is_object() && found["blockNumber"].is_null();
        let gone = asked
            .into_iter()
            .zip(&answers[by_hash..])
            .filter(|(_, found)| !in_pool(found))
            .map(|(hash, _)| hash);
        let survey = Self {
            head: Head {
                base_fee: wide(&after["baseFeePerGas"]).map_or(0, low),
                gas_limit: quantity(&after["gasLimit"]).ok_or(NoAnswer)?,
            },
            nonce: quantity(&answers[0]).ok_or(NoAnswer)?,
            balance: wide(&answers[1]).ok_or(NoAnswer)?,
            delegated: answers[2].as_str().is_some_and(|code| code.len() > 2),
            gone: gone.collect(),
            found: if whole {
                part_of(&answers[3], address)
            } else {
                Vec::new()
            },
        };
        Ok(Some(survey))
    }

    /// Brings what is known about the account up to date. What is under way is left alone.
    pub(super) fn apply(self, account: &mut Account) {
        account.nonce = self.nonce;
        account.balance = self.balance;
        account.delegated = self.delegated;
        account.entries.retain(|nonce, entry| {
            let gone = entry.settled && (*nonce < self.nonce || self.gone.contains(&entry.hash));
            !gone
        });
        for (nonce, entry) in self.found {
            account.entries.entry(nonce).or_insert(entry);
        }
    }
}

async fn block(upstream: &Upstream) -> Result<Value, NoAnswer> {
    let call = ("eth_getBlockByNumber", json!(["latest", false]));
    let mut answers = upstream.ask(&[call]).await?;
    Ok(answers.swap_remove(0))
}

/// The transactions of one account in the answer of `txpool_content`.
fn part_of(content: &Value, address: Address) -> Vec<(u64, Entry)> {
    let account = format!("{address:#x}");
    let parts = ["pending", "queued"].map(|part| content[part][&account].as_object());
    let all = parts.into_iter().flatten().flat_map(|part| part.values());
    all.filter_map(entry).collect()
}

fn entry(tx: &Value) -> Option<(u64, Entry)> {
    let price = wide(&tx["gasPrice"]);
    let max_fee = wide(&tx["maxFeePerGas"]).or(price)?;
    let tip = wide(&tx["maxPriorityFeePerGas"]).or(price)?;
    let gas = wide(&tx["gas"])?;
    let value = wide(&tx["value"])?;
    let entry = Entry {
        hash: tx["hash"].as_str()?.parse().ok()?,
        max_fee: low(max_fee),
        tip: low(tip),
        cost: gas.saturating_mul(max_fee).saturating_add(value),
        settled: true,
        displaced: None,
    };
    Some((quantity(&tx["nonce"])?, entry))
}

fn wide(value: &Value) -> Option<U256> {
    U256::from_str_radix(value.as_str()?.strip_prefix("0x")?, 16).ok()
}

/// Fees fit 128 bits on every chain; what does not is taken as the most.
fn low(value: U256) -> u128 {
    u128::try_from(value).unwrap_or(u128::MAX)
}
