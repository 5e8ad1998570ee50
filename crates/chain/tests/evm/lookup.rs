//! Finding the transaction that used a nonce.

use baton_chain::{ChainClient, EvmClient};
use baton_model::{Fees, UnsignedTx};
use baton_testkit::{Anvil, Mining};
use serde_json::{Value, json};

use crate::fake::{Fake, Reply};
use crate::support::{Account, anvil, config, head, start, transfer};

/// Transactions 0 to 3 mined, each in its block with empty ones between; 4 and 5 in the pool.
async fn chain(client: &EvmClient, anvil: &Anvil) -> Vec<baton_chain::tx::EncodedTx> {
    let sender = Account::dev(0);
    let mut signed = Vec::new();
    for nonce in 0..6 {
        let fees = match nonce {
            0..3 => transfer(0).fees,
            _ => Fees::Legacy {
                gas_price: 3_000_000_000,
            },
        };
        let tx = sender.sign(&UnsignedTx {
            fees,
            ..transfer(nonce)
        });
        client.broadcast(std::slice::from_ref(&tx.raw)).await;
        if nonce < 4 {
            anvil.mine(1 + nonce * 5).await.unwrap();
        }
        signed.push(tx);
    }
    signed
}

async fn check(client: &EvmClient, signed: &[baton_chain::tx::EncodedTx]) {
    let sender = Account::dev(0).address;
    for (nonce, tx) in (0_u64..).zip(signed) {
        let found = client.transaction_at(sender, nonce).await.unwrap().unwrap();
        assert_eq!(
            (found.from, found.nonce, found.hash),
            (sender, nonce, tx.hash)
        );
        assert_eq!(found.raw, Some(tx.raw.clone()));
        assert_eq!(found.call, transfer(0).call);
        assert_eq!(found.block_number.is_some(), nonce < 4);
        assert_eq!(found.max_priority_fee.is_some(), nonce < 3);
        let max_fee = if nonce < 3 {
            10_000_000_000
        } else {
            3_000_000_000
        };
        assert_eq!((found.max_fee, found.gas_limit), (max_fee, 21_000));
    }
    assert_eq!(client.transaction_at(sender, 6).await.unwrap(), None);
    let idle = Account::dev(1).address;
    assert_eq!(client.transaction_at(idle, 0).await.unwrap(), None);
}

#[tokio::test]
async fn a_node_with_an_index_is_asked_for_it() {
    let anvil = anvil(Mining::OnRequest).await;
    let client = start(&config(&[&anvil.http_url()]));
    let signed = chain(&client, &anvil).await;
    check(&client, &signed).await;
}

#[tokio::test]
async fn without_an_index_blocks_and_pool_are_searched() {
    let anvil = anvil(Mining::OnRequest).await;
    for lacking in [
        &["eth_getTransactionBySenderAndNonce"][..],
        &["eth_getTransactionBySenderAndNonce", "txpool_contentFrom"],
    ] {
        let snapshot = anvil.snapshot().await.unwrap();
        let url = anvil.http_url();
        let fake = Fake::start(move |body: &Value| {
            let method = body["method"].as_str().unwrap_or_default();
            if lacking.contains(&method) {
                let error = json!({"code": -32601, "message": "method not found"});
                Reply::Json(json!({"jsonrpc": "2.0", "id": body["id"], "error": error}))
            } else {
                Reply::Forward(url.clone())
            }
        })
        .await;
        let client = start(&config(&[&fake.url]));
        let signed = chain(&client, &anvil).await;
        let number = anvil.block_number().await.unwrap();
        head(&client, |head| head.number == number).await;
        check(&client, &signed).await;
        for method in lacking {
            assert_eq!(fake.requests(method).len(), 1, "{method} is asked for once");
        }
        anvil.drop_all_transactions().await.unwrap();
        anvil.revert(&snapshot).await.unwrap();
    }
}
