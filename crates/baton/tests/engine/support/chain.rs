//! The chain as an observer sees it.

use baton_model::{Address, U256};
use baton_testkit::Anvil;
use serde_json::{Value, json};

use super::until;

/// Balances asked for at once.
const BALANCES: usize = 100;

/// Runtime code that reverts, whatever it is called with.
pub(super) const REVERTS: &str = "0x5f5ffd";

/// The chain, to look at.
#[derive(Clone, Copy)]
pub(crate) struct Chain<'a>(pub(super) &'a Anvil);

impl Chain<'_> {
    pub(crate) async fn ask(&self, method: &str, parameters: Value) -> Value {
        self.0.call(method, parameters).await.unwrap()
    }

    pub(crate) async fn balance(&self, address: Address) -> U256 {
        let found = self.ask("eth_getBalance", json!([address, "latest"])).await;
        serde_json::from_value(found).unwrap()
    }

    pub(crate) async fn balances(&self, addresses: &[Address]) -> Vec<U256> {
        let mut all = Vec::new();
        for some in addresses.chunks(BALANCES) {
            let asked = some.iter().map(|address| self.balance(*address));
            all.extend(futures_util::future::join_all(asked).await);
        }
        all
    }

    /// Transactions of an account that are mined.
    pub(crate) async fn nonce(&self, account: Address) -> u64 {
        let found = self
            .ask("eth_getTransactionCount", json!([account, "latest"]))
            .await;
        let found: U256 = serde_json::from_value(found).unwrap();
        found.to()
    }

    /// Transactions in the node's pool: ready ones, and ones that wait for a nonce.
    pub(crate) async fn pool(&self) -> (u64, u64) {
        let found = self.ask("txpool_status", json!([])).await;
        let count = |name: &str| {
            serde_json::from_value::<U256>(found[name].clone())
                .unwrap()
                .to()
        };
        (count("pending"), count("queued"))
    }

    /// The transactions of an account that are ready in the node's pool.
    pub(crate) async fn pooled(&self, account: Address) -> Vec<Value> {
        let content = self.ask("txpool_content", json!([])).await;
        let name = account.to_string();
        let own = content["pending"].as_object().unwrap().iter();
        let own = own.filter(|(address, _)| address.eq_ignore_ascii_case(&name));
        own.flat_map(|(_, by_nonce)| by_nonce.as_object().unwrap().values().cloned())
            .collect()
    }

    /// Waits until so many transactions are ready in the node's pool.
    pub(crate) async fn pool_has(&self, count: u64) {
        let what = format!("{count} transactions are in the pool");
        until(&what, async || (self.pool().await.0 == count).then_some(())).await;
    }

    /// Each of these got exactly 1 wei, and the pool holds nothing that could change it.
    pub(crate) async fn assert_each_once(&self, targets: &[Address]) {
        assert_eq!(self.pool().await, (0, 0), "the pool is empty");
        let balances = self.balances(targets).await;
        let wrong: Vec<_> = targets
            .iter()
            .zip(balances)
            .filter(|(_, b)| *b != U256::ONE)
            .collect();
        assert!(wrong.is_empty(), "not executed exactly once: {wrong:?}");
    }

    /// Mines blocks.
    pub(crate) async fn mine(&self, blocks: u64) {
        self.0.mine(blocks).await.unwrap();
    }

    /// A transfer of 1 wei signed by the node itself, as if somebody else had the account's key.
    pub(crate) async fn foreign_transfer(&self, from: Address, to: Address) -> Value {
        self.ask(
            "eth_sendTransaction",
            json!([{ "from": from, "to": to, "value": "0x1" }]),
        )
        .await
    }
}
