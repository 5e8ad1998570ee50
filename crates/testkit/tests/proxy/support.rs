use std::time::Duration;

use baton_chain::tx::{EncodedTx, encode_signed, signing_hash};
use baton_model::{Address, B256, Bytes, Call, Fees, U256, UnsignedTx};
use baton_testkit::{Anvil, AnvilOptions, Mining, Proxy, ProxyControl, ProxyOptions, ProxyTrace};
use baton_vault::LocalSigner;
use serde_json::{Value, json};

/// Longest wait for anything in these tests; the machine may be compiling at the same time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// What a client that is given no answer waits.
pub(crate) const SHORT: Duration = Duration::from_millis(300);
pub(crate) const SEND: &str = "eth_sendRawTransaction";
pub(crate) const GWEI: u128 = 1_000_000_000;

/// anvil that mines on request, a proxy in front of it, and a client of the proxy.
pub(crate) struct World {
    pub(crate) anvil: Anvil,
    pub(crate) proxy: Proxy,
    pub(crate) control: ProxyControl,
    pub(crate) trace: ProxyTrace,
    client: reqwest::Client,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::with_seed(1).await
    }

    pub(crate) async fn with_seed(seed: u64) -> Self {
        let options = AnvilOptions {
            mining: Mining::OnRequest,
            ..AnvilOptions::default()
        };
        let anvil = Anvil::start(&options).await.unwrap();
        let options = ProxyOptions { port: 0, seed };
        let proxy = Proxy::start(&anvil.http_url(), options).unwrap();
        Self {
            control: proxy.control(),
            trace: proxy.trace(),
            anvil,
            proxy,
            client: client(),
        }
    }

    /// Posts a body; gives the status and the body of the answer.
    pub(crate) async fn post(&self, body: &Value) -> Result<(u16, String), reqwest::Error> {
        let request = self.client.post(self.proxy.url()).json(body);
        let response = request.send().await?;
        Ok((response.status().as_u16(), response.text().await?))
    }

    /// Posts a body to a proxy that may not answer: `None` when the wait was in vain.
    pub(crate) async fn post_briefly(
        &self,
        body: &Value,
    ) -> Option<Result<(u16, String), reqwest::Error>> {
        tokio::time::timeout(SHORT, self.post(body)).await.ok()
    }

    /// Makes a call; gives the whole answer.
    pub(crate) async fn answer(&self, method: &str, params: Value) -> Value {
        let (status, body) = self.post(&request(7, method, &params)).await.unwrap();
        assert_eq!(status, 200, "{body}");
        let answer: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(answer["id"], 7, "{answer}");
        answer
    }

    /// Makes a call that succeeds.
    pub(crate) async fn result(&self, method: &str, params: Value) -> Value {
        let mut answer = self.answer(method, params).await;
        assert!(answer.get("error").is_none(), "{answer}");
        answer["result"].take()
    }

    /// Sends a transaction; gives the hash or the text of the refusal, whose code is geth's.
    pub(crate) async fn send(&self, tx: &EncodedTx) -> Result<B256, String> {
        let answer = self.answer(SEND, json!([tx.raw])).await;
        outcome(&answer)
    }

    /// Sends transactions in one batch.
    pub(crate) async fn send_batch(&self, txs: &[EncodedTx]) -> Vec<Result<B256, String>> {
        let (_, body) = self.post(&sends(txs)).await.unwrap();
        let answers: Vec<Value> = serde_json::from_str(&body).unwrap();
        let ids: Vec<u64> = answers
            .iter()
            .map(|one| one["id"].as_u64().unwrap())
            .collect();
        assert!(ids.iter().copied().eq(0..txs.len() as u64), "{ids:?}");
        answers.iter().map(outcome).collect()
    }

    /// Whether anvil itself knows a transaction.
    pub(crate) async fn at_node(&self, tx: &EncodedTx) -> bool {
        let params = json!([tx.hash]);
        let found = self.anvil.call("eth_getTransactionByHash", params).await;
        !found.unwrap().is_null()
    }
}

pub(crate) fn client() -> reqwest::Client {
    let _already_installed = rustls::crypto::ring::default_provider().install_default();
    let builder = reqwest::Client::builder().timeout(PATIENCE).no_proxy();
    builder.build().unwrap()
}

pub(crate) fn request(id: u64, method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

pub(crate) fn sends(txs: &[EncodedTx]) -> Value {
    let numbered = txs.iter().zip(0..);
    numbered
        .map(|(tx, id)| request(id, SEND, &json!([tx.raw])))
        .collect()
}

fn outcome(answer: &Value) -> Result<B256, String> {
    match answer.get("error") {
        Some(error) => {
            let text = error["message"].as_str().unwrap().to_owned();
            assert!(error["code"] == -32000 || text.is_empty(), "{error}");
            Err(text)
        }
        None => Ok(serde_json::from_value(answer["result"].clone()).unwrap()),
    }
}

/// One of anvil's funded accounts.
pub(crate) struct Account {
    signer: LocalSigner,
    pub(crate) address: Address,
}

/// What a test cares about in a transaction.
#[derive(Clone, Copy)]
pub(crate) struct Bid {
    pub(crate) nonce: u64,
    pub(crate) max_fee: u128,
    pub(crate) tip: u128,
    pub(crate) value: U256,
    pub(crate) gas: u64,
    pub(crate) data: usize,
}

impl Bid {
    pub(crate) fn at(nonce: u64) -> Self {
        Self {
            nonce,
            max_fee: 10 * GWEI,
            tip: GWEI,
            value: U256::from(1),
            gas: 21_000,
            data: 0,
        }
    }

    pub(crate) fn paying(self, max_fee: u128, tip: u128) -> Self {
        Self {
            max_fee,
            tip,
            ..self
        }
    }
}

impl Account {
    pub(crate) fn dev(index: usize) -> Self {
        let signer = LocalSigner::from_hex(Anvil::DEV_KEYS[index]).unwrap();
        let address = baton_vault::Signer::address(&signer);
        Self { signer, address }
    }

    pub(crate) fn sign(&self, bid: Bid) -> EncodedTx {
        self.sign_to(bid, Address::repeat_byte(0x42))
    }

    pub(crate) fn sign_to(&self, bid: Bid, to: Address) -> EncodedTx {
        let tx = UnsignedTx {
            chain_id: 31_337,
            nonce: bid.nonce,
            gas_limit: bid.gas,
            fees: Fees::Eip1559 {
                max_fee: bid.max_fee,
                max_priority_fee: bid.tip,
            },
            call: Call {
                to: Some(to),
                value: bid.value,
                data: Bytes::from(vec![0; bid.data]),
            },
        };
        let signature = self.signer.sign(signing_hash(&tx));
        encode_signed(&tx, signature.r, signature.s, signature.y_parity)
    }

    pub(crate) fn transfer(&self, nonce: u64) -> EncodedTx {
        self.sign(Bid::at(nonce))
    }

    pub(crate) fn transfers(&self, nonces: std::ops::Range<u64>) -> Vec<EncodedTx> {
        nonces.map(|nonce| self.transfer(nonce)).collect()
    }
}
