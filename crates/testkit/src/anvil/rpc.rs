//! Calls to anvil, its own `anvil_` methods among them.

use std::time::Duration;

use baton_model::{Address, B256, Bytes, U256};
use serde_json::{Value, json};

use super::{Anvil, AnvilError};

/// Longest wait for an answer: mining a thousand blocks in a debug build takes some seconds.
const ANSWER_MAX: Duration = Duration::from_secs(30);

impl Anvil {
    /// Number of the latest block.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn block_number(&self) -> Result<u64, AnvilError> {
        let number = self.call("eth_blockNumber", json!([])).await?;
        let digits = number.as_str().and_then(|text| text.strip_prefix("0x"));
        digits
            .and_then(|digits| u64::from_str_radix(digits, 16).ok())
            .ok_or_else(|| AnvilError::Call {
                method: "eth_blockNumber".to_owned(),
                reason: format!("not a number: {number}"),
            })
    }

    /// Makes blocks at once.
    ///
    /// # Errors
    /// When anvil refuses or does not answer; so for all methods that follow.
    pub async fn mine(&self, blocks: u64) -> Result<(), AnvilError> {
        self.act("anvil_mine", json!([format!("{blocks:#x}")]))
            .await
    }

    /// Changes when blocks are made.
    ///
    /// # Errors
    /// When anvil refuses or does not answer.
    pub async fn mine_each_transaction(&self, on: bool) -> Result<(), AnvilError> {
        self.act("evm_setAutomine", json!([on])).await
    }

    /// Sets a balance, in wei.
    ///
    /// # Errors
    /// When anvil refuses or does not answer.
    pub async fn set_balance(&self, account: Address, wei: U256) -> Result<(), AnvilError> {
        self.act("anvil_setBalance", json!([account, format!("{wei:#x}")]))
            .await
    }

    /// Sets the nonce of an account, as if somebody else had used its key.
    ///
    /// # Errors
    /// When anvil refuses or does not answer.
    pub async fn set_nonce(&self, account: Address, nonce: u64) -> Result<(), AnvilError> {
        self.act("anvil_setNonce", json!([account, format!("{nonce:#x}")]))
            .await
    }

    /// Puts code at an address.
    ///
    /// # Errors
    /// When anvil refuses or does not answer.
    pub async fn set_code(&self, address: Address, code: &Bytes) -> Result<(), AnvilError> {
        self.act("anvil_setCode", json!([address, code])).await
    }

    /// Takes a transaction out of the pool, as a node that restarts or runs full does.
    ///
    /// # Errors
    /// When anvil refuses or does not answer.
    pub async fn drop_transaction(&self, hash: B256) -> Result<(), AnvilError> {
        self.act("anvil_dropTransaction", json!([hash])).await
    }

    /// Takes all transactions out of the pool.
    ///
    /// # Errors
    /// When anvil refuses or does not answer.
    pub async fn drop_all_transactions(&self) -> Result<(), AnvilError> {
        self.act("anvil_dropAllTransactions", json!([])).await
    }

    /// Sets the base fee of the next block, in wei per gas.
    ///
    /// # Errors
    /// When anvil refuses or does not answer.
    pub async fn set_next_base_fee(&self, wei: u128) -> Result<(), AnvilError> {
        self.act(
            "anvil_setNextBlockBaseFeePerGas",
            json!([format!("{wei:#x}")]),
        )
        .await
    }

    /// Replaces the last blocks by empty ones: the transactions in them are gone.
    ///
    /// # Errors
    /// When anvil refuses or does not answer.
    pub async fn reorg(&self, depth: u64) -> Result<(), AnvilError> {
        self.act("anvil_reorg", json!([depth, []])).await
    }

    /// Remembers the state of the chain.
    ///
    /// # Errors
    /// When anvil refuses or does not answer.
    pub async fn snapshot(&self) -> Result<Value, AnvilError> {
        self.call("evm_snapshot", json!([])).await
    }

    /// Goes back to a remembered state, which can be done once.
    ///
    /// # Errors
    /// When anvil refuses, does not know the state, or does not answer.
    pub async fn revert(&self, snapshot: &Value) -> Result<(), AnvilError> {
        let answer = self.call("evm_revert", json!([snapshot])).await?;
        if answer == true {
            return Ok(());
        }
        Err(AnvilError::Call {
            method: "evm_revert".to_owned(),
            reason: format!("it answered {answer}"),
        })
    }

    async fn act(&self, method: &str, params: Value) -> Result<(), AnvilError> {
        self.call(method, params).await.map(drop)
    }
}

pub(super) fn client() -> reqwest::Client {
    // The HTTP library asks for a TLS provider even where no TLS is used; whoever comes first
    // installs it.
    let _already_installed = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .timeout(ANSWER_MAX)
        .no_proxy()
        .build()
        .expect("the settings are constants")
}

pub(super) async fn call(
    client: &reqwest::Client,
    url: &str,
    method: &str,
    params: Value,
) -> Result<Value, AnvilError> {
    let failed = |reason: String| AnvilError::Call {
        method: method.to_owned(),
        reason,
    };
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let response = client.post(url).json(&body).send().await;
    let response = response.map_err(|error| failed(error.to_string()))?;
    let mut answer: Value = response
        .json()
        .await
        .map_err(|error| failed(error.to_string()))?;
    match answer.get("error") {
        Some(error) => Err(failed(error.to_string())),
        None => Ok(answer["result"].take()),
    }
}
