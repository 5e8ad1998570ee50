//! Blocks, state, receipts, market and estimates of a real node.

use std::time::Duration;

use baton_chain::tx::EncodedTx;
use baton_chain::{
    ChainClient, ChainIdError, Estimate, EvmClient, EvmClientConfig, NodeAnswer, Receipt,
};
use baton_model::{Address, B256, Bytes, Call, Fees, U256, UnsignedTx};
use baton_testkit::{Anvil, Mining};

use crate::support::{Account, anvil, config, head, start, transfer};

#[tokio::test]
async fn transactions_go_in_order_and_one_block_tells_all() {
    let anvil = anvil(Mining::OnRequest).await;
    let client = start(&config(&[&anvil.http_url()]));
    let (sender, other) = (Account::dev(0), Account::dev(1));
    // More than one batch.
    let signed: Vec<_> = (0..150).map(|nonce| sender.transfer(nonce)).collect();
    let raws: Vec<Bytes> = signed.iter().map(|tx| tx.raw.clone()).collect();
    let answers = client.broadcast(&raws).await;
    for (tx, said) in signed.iter().zip(&answers) {
        assert_eq!(said, &[NodeAnswer::Accepted(tx.hash)]);
    }
    let accounts = [sender.address, other.address];
    assert_eq!(client.pending_nonces(&accounts).await.unwrap(), [150, 0]);
    anvil.mine(1).await.unwrap();
    head(&client, |head| head.number == 1).await;

    let block = client.block(None, &accounts).await.unwrap().unwrap();
    assert_eq!(block.number, 1);
    let hashes: Vec<B256> = signed.iter().map(|tx| tx.hash).collect();
    assert_eq!(block.transactions, hashes);
    assert_eq!(block.accounts[0].nonce, 150);
    assert_eq!(block.accounts[1].nonce, 0);
    assert_eq!(client.accounts(&accounts).await.unwrap(), block.accounts);
    assert!(block.base_fee.is_some() && block.gas_limit == 30_000_000);

    let before = client.block(Some(0), &accounts).await.unwrap().unwrap();
    assert_eq!(before.hash, block.parent);
    assert_eq!(
        (before.accounts[0].nonce, before.transactions.len()),
        (0, 0)
    );
    assert!(before.accounts[0].balance > block.accounts[0].balance);
    assert_eq!(client.block(Some(2), &accounts).await.unwrap(), None);

    // Many, by the block; few, by hash; and one that is not in the block.
    let stranger = B256::repeat_byte(7);
    let all = client.block_receipts(&block, &hashes).await.unwrap();
    assert_eq!(all.len(), 150);
    for (receipt, hash) in all.iter().zip(&hashes) {
        assert_eq!((receipt.hash, receipt.block_hash), (*hash, block.hash));
        assert!(receipt.success && receipt.gas_used == 21_000);
        assert!(receipt.effective_gas_price > 1_000_000_000);
    }
    let few = client.block_receipts(&block, &[hashes[3], stranger]).await;
    assert_eq!(few.unwrap(), [all[3].clone()]);
    let anywhere = client.receipts(&[stranger, hashes[149]]).await.unwrap();
    assert_eq!(anywhere, [None, Some(all[149].clone())]);
}

#[tokio::test]
async fn state_of_many_accounts_is_of_the_block_asked_for() {
    let anvil = anvil(Mining::OnRequest).await;
    let client = start(&config(&[&anvil.http_url()]));
    let many: Vec<Address> = (0..180_u8).map(Address::repeat_byte).collect();
    anvil.set_balance(many[170], U256::from(5)).await.unwrap();
    anvil.mine(2).await.unwrap();
    let block = client.block(Some(2), &many).await.unwrap().unwrap();
    assert_eq!(block.accounts.len(), 180);
    assert_eq!(block.accounts[170].balance, U256::from(5));
    assert!(
        block
            .accounts
            .iter()
            .zip(&many)
            .all(|(view, address)| view.address == *address)
    );
}

#[tokio::test]
async fn receipts_of_a_block_that_was_replaced_are_none() {
    let anvil = anvil(Mining::OnRequest).await;
    let client = start(&config(&[&anvil.http_url()]));
    let sender = Account::dev(0);
    let raws = sender.transfers(0..5);
    client.broadcast(&raws).await;
    anvil.mine(1).await.unwrap();
    let block = client.block(Some(1), &[]).await.unwrap().unwrap();
    assert_eq!(block.transactions.len(), 5);
    anvil.reorg(1).await.unwrap();
    let after = client.block(Some(1), &[]).await.unwrap().unwrap();
    assert_ne!(after.hash, block.hash);
    for count in [1, 5] {
        let hashes = &block.transactions[..count];
        let receipts = client.block_receipts(&block, hashes).await.unwrap();
        assert_eq!(receipts, []);
    }
}

#[tokio::test]
async fn a_rejection_is_handed_on_word_for_word() {
    let anvil = anvil(Mining::OnRequest).await;
    let client = start(&config(&[&anvil.http_url()]));
    let sender = Account::dev(0);
    let first = sender.transfer(0);
    client.broadcast(std::slice::from_ref(&first.raw)).await;
    let answers = client
        .broadcast(&[
            first.raw,
            Bytes::from_static(&[0x02, 0x00]),
            sender.transfer(1).raw,
        ])
        .await;
    let [NodeAnswer::Rejected { message, .. }] = &answers[0][..] else {
        panic!("{answers:?}");
    };
    assert_eq!(message, "transaction already imported");
    assert!(
        matches!(answers[1][..], [NodeAnswer::Rejected { .. }]),
        "{answers:?}"
    );
    assert!(
        matches!(answers[2][..], [NodeAnswer::Accepted(_)]),
        "{answers:?}"
    );
}

/// Mines one transaction and returns its receipt.
async fn mined(client: &EvmClient, anvil: &Anvil, tx: EncodedTx) -> Receipt {
    client.broadcast(&[tx.raw]).await;
    anvil.mine(1).await.unwrap();
    let receipts = client.receipts(&[tx.hash]).await.unwrap();
    receipts[0].clone().unwrap()
}

fn with_data(to: Option<Address>, data: &'static [u8]) -> Call {
    Call {
        to,
        value: U256::ZERO,
        data: Bytes::from_static(data),
    }
}

#[tokio::test]
async fn contracts_are_created_and_reverts_are_seen() {
    let anvil = anvil(Mining::OnRequest).await;
    let client = start(&config(&[&anvil.http_url()]));
    let sender = Account::dev(0);
    let send = |nonce, call| {
        sender.sign(&UnsignedTx {
            gas_limit: 200_000,
            call,
            ..transfer(nonce)
        })
    };
    // Returns 10 bytes of code: mstore(0, 0) and revert(0, 0).
    let init = &alloy_primitives::hex!("69 60006000526000 6000fd 600052 600a 6016 f3");
    let created = mined(&client, &anvil, send(0, with_data(None, init))).await;
    assert!(created.success);

    let reverting = with_data(created.contract, &[]);
    let reverted = mined(&client, &anvil, send(1, reverting.clone())).await;
    assert!(!reverted.success);

    let accepting = Address::repeat_byte(0xac);
    anvil
        .set_code(accepting, &Bytes::from_static(&[0]))
        .await
        .unwrap();
    let unaffordable = Call {
        value: U256::MAX / U256::from(2),
        ..with_data(Some(accepting), &[])
    };
    let calls = [transfer(0).call, reverting, unaffordable].map(|call| (sender.address, call));
    let estimates = client.estimate(&calls).await;
    assert!(
        matches!(
            &estimates[..],
            [
                Estimate::Gas(21_000),
                Estimate::Reverts { .. },
                Estimate::Unknown(_)
            ]
        ),
        "{estimates:?}"
    );
}

#[tokio::test]
async fn the_reason_of_a_revert_is_decoded() {
    let anvil = anvil(Mining::OnRequest).await;
    let client = start(&config(&[&anvil.http_url()]));
    let contract = Address::repeat_byte(0xcc);
    // Copies its own tail, Error("no"), to memory and reverts with it.
    let code = alloy_primitives::hex!(
        "6064 600c 6000 39 6064 6000 fd
         08c379a0
         0000000000000000000000000000000000000000000000000000000000000020
         0000000000000000000000000000000000000000000000000000000000000002
         6e6f000000000000000000000000000000000000000000000000000000000000"
    );
    anvil.set_code(contract, &Bytes::from(code)).await.unwrap();
    let call = with_data(Some(contract), &[]);
    let estimates = client.estimate(&[(Account::dev(0).address, call)]).await;
    assert!(
        matches!(&estimates[..], [Estimate::Reverts { reason }] if reason.ends_with("no")),
        "{estimates:?}"
    );
}

#[tokio::test]
async fn the_market_is_that_of_the_next_block() {
    let anvil = anvil(Mining::OnRequest).await;
    let client = start(&config(&[&anvil.http_url()]));
    let sender = Account::dev(0);
    for nonce in 0..4 {
        client.broadcast(&[sender.transfer(nonce).raw]).await;
        anvil.mine(1).await.unwrap();
    }
    let market = client.market(&[30, 50, 99]).await.unwrap();
    assert_eq!(market.tips, [1_000_000_000; 3]);
    let base_fee = market.base_fee.unwrap();
    anvil.mine(1).await.unwrap();
    let next = client.block(Some(5), &[]).await.unwrap().unwrap();
    assert_eq!(next.base_fee, Some(base_fee));
    assert!(market.gas_price >= base_fee);

    let legacy = start(&EvmClientConfig {
        eip1559: false,
        ..config(&[&anvil.http_url()])
    });
    let market = legacy.market(&[50]).await.unwrap();
    assert_eq!((market.base_fee, market.tips), (None, Vec::new()));
    assert!(market.gas_price > 0);
}

#[tokio::test]
async fn legacy_transactions_are_mined_too() {
    let anvil = anvil(Mining::OnRequest).await;
    let client = start(&config(&[&anvil.http_url()]));
    let tx = Account::dev(0).sign(&UnsignedTx {
        fees: Fees::Legacy {
            gas_price: 5_000_000_000,
        },
        ..transfer(0)
    });
    assert_eq!(
        client.broadcast(&[tx.raw]).await,
        [[NodeAnswer::Accepted(tx.hash)]]
    );
    anvil.mine(1).await.unwrap();
    let receipts = client.receipts(&[tx.hash]).await.unwrap();
    assert_eq!(
        receipts[0].as_ref().unwrap().effective_gas_price,
        5_000_000_000
    );
}

#[tokio::test]
async fn the_chain_id_is_checked_at_every_endpoint() {
    let (right, wrong) = tokio::join!(anvil(Mining::OnRequest), anvil(Mining::OnRequest));
    let call = wrong.call("anvil_setChainId", serde_json::json!([5])).await;
    call.unwrap();
    let down = "http://127.0.0.1:9";
    let client = start(&config(&[down, &right.http_url()]));
    client.check_chain_id(31_337).await.unwrap();
    let client = start(&config(&[&right.http_url(), &wrong.http_url()]));
    assert!(matches!(
        client.check_chain_id(31_337).await,
        Err(ChainIdError::Mismatch {
            found: 5,
            expected: 31_337,
            ..
        })
    ));
    let client = start(&config(&[down]));
    assert!(matches!(
        client.check_chain_id(31_337).await,
        Err(ChainIdError::Unchecked(_))
    ));
}

#[tokio::test]
async fn a_paused_node_delays_nobody_and_gets_everything_in_order() {
    let (fast, slow) = tokio::join!(anvil(Mining::OnRequest), anvil(Mining::OnRequest));
    let client = start(&config(&[&fast.http_url(), &slow.http_url()]));
    let sender = Account::dev(0);
    slow.pause().unwrap();
    for nonces in [0..10, 10..20] {
        let answers = client.broadcast(&sender.transfers(nonces)).await;
        assert!(
            answers
                .iter()
                .all(|said| matches!(said[..], [NodeAnswer::Accepted(_)]))
        );
    }
    slow.resume().unwrap();
    client.shutdown(Duration::from_secs(20)).await;
    let direct = start(&config(&[&slow.http_url()]));
    assert_eq!(
        direct.pending_nonces(&[sender.address]).await.unwrap(),
        [20]
    );
}
