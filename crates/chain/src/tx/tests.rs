use alloy_primitives::{address, b256, hex};
use k256::ecdsa::SigningKey;
use proptest::prelude::*;

use super::*;

/// Signs as a key service would.
fn sign(tx: &UnsignedTx, key: &[u8; 32]) -> EncodedTx {
    let key = SigningKey::from_slice(key).unwrap();
    let hash = signing_hash(tx);
    let (signature, id) = key.sign_prehash_recoverable(hash.as_slice());
    let (r, s) = signature.split_bytes();
    encode_signed(
        tx,
        U256::from_be_slice(&r),
        U256::from_be_slice(&s),
        id.is_y_odd(),
    )
}

/// The example of EIP-155.
#[test]
fn eip_155_example() {
    let tx = UnsignedTx {
        chain_id: 1,
        nonce: 9,
        gas_limit: 21_000,
        fees: Fees::Legacy {
            gas_price: 20_000_000_000,
        },
        call: Call {
            to: Some(Address::repeat_byte(0x35)),
            value: U256::from(1_000_000_000_000_000_000_u64),
            data: Bytes::new(),
        },
    };
    assert_eq!(
        signing_hash(&tx),
        b256!("daf5a779ae972f972197303d7b574746c7ef83eadac0f2791ad23db92e4c8e53")
    );
    let signed = sign(&tx, &[0x46; 32]);
    assert_eq!(
        signed.raw[..],
        hex!(
            "f86c098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a7640000\
             8025a028ef61340bd939bc2195fe537567866003e1a15d3c71ff63e1590620aa636276\
             a067cbe9d8997f761aecb703304b3800ccf555c9f3dc64214b297fb1966a3b6d83"
        )
    );
}

#[test]
fn eip_1559_bytes_follow_the_specification() {
    let tx = UnsignedTx {
        chain_id: 1,
        nonce: 0,
        gas_limit: 21_000,
        fees: Fees::Eip1559 {
            max_fee: 2_000_000_000,
            max_priority_fee: 1_000_000_000,
        },
        call: Call {
            to: Some(address!("70997970C51812dc3A010C7d01b50e0d17dc79C8")),
            value: U256::from(1),
            data: hex!("c0ffee").into(),
        },
    };
    let signed = encode_signed(&tx, U256::from(1), U256::from(2), true);
    // 0x02 || rlp([chain, nonce, tip, max fee, gas, to, value, data, [], parity, r, s]), written
    // out by hand.
    assert_eq!(
        signed.raw[..],
        hex!(
            "02 ed 01 80 84 3b9aca00 84 77359400 82 5208
             94 70997970c51812dc3a010c7d01b50e0d17dc79c8 01 83 c0ffee c0 01 01 02"
        )
    );
    assert_eq!(signed.hash, alloy_primitives::keccak256(&signed.raw));
}

#[test]
fn other_bytes_are_refused_with_the_rule() {
    let tx = UnsignedTx {
        chain_id: 1,
        nonce: 0,
        gas_limit: 21_000,
        fees: Fees::Legacy { gas_price: 1 },
        call: Call {
            to: None,
            value: U256::ZERO,
            data: Bytes::new(),
        },
    };
    let mut raw = sign(&tx, &[1; 32]).raw.to_vec();
    raw.extend([0, 0]);
    let cases: [(&[u8], &str); 7] = [
        (&[], "not a signed transaction"),
        (&[0x02], "not a signed transaction"),
        (&[0xff; 40], "not a signed transaction"),
        (&raw, "2 bytes follow"),
        (
            // Pre-EIP-155: v = 27.
            &hex!("cb 80 01 82 5208 80 80 80 1b 01 02"),
            "must carry its chain id",
        ),
        (
            &hex!("01 ce 01 80 01 82 5208 80 80 80 c0 80 01 02 03"),
            "not a signed transaction",
        ),
        (
            &hex!("01 cd 01 80 01 82 5208 80 80 80 c0 80 01 02"),
            "type 1 is not supported",
        ),
    ];
    for (raw, rule) in cases {
        let text = decode_signed(raw).unwrap_err().to_string();
        assert!(text.contains(rule), "{}: {text}", hex::encode(raw));
    }
}

#[test]
fn access_lists_are_not_dropped_silently() {
    let list = alloy_eips::eip2930::AccessList(vec![Default::default()]);
    let tx = TxEip1559 {
        access_list: list,
        ..TxEip1559::default()
    };
    let signature = Signature::new(U256::from(1), U256::from(1), false);
    let raw = encoded(&tx.into_signed(signature).into()).raw;
    assert_eq!(
        decode_signed(&raw),
        Err(TxDecodeError::AccessList { entries: 1 })
    );
}

prop_compose! {
    fn any_tx()(
        // EIP-155 stores 2 * chain id + 36 in 64 bits.
        chain_id in 1..=(u64::MAX - 36) / 2,
        nonce: u64,
        gas_limit: u64,
        fees in (any::<bool>(), any::<u128>(), any::<u128>()),
        to in proptest::option::of(any::<[u8; 20]>()),
        value: [u8; 32],
        data in proptest::collection::vec(any::<u8>(), 0..300),
    ) -> UnsignedTx {
        UnsignedTx {
            chain_id,
            nonce,
            gas_limit,
            fees: if fees.0 {
                Fees::Legacy { gas_price: fees.1 }
            } else {
                Fees::Eip1559 { max_fee: fees.1, max_priority_fee: fees.2 }
            },
            call: Call {
                to: to.map(Address::from),
                value: U256::from_be_bytes(value),
                data: data.into(),
            },
        }
    }
}

proptest! {
    #[test]
    fn decoding_undoes_encoding(tx in any_tx(), r in 1..u128::MAX, s in 1..u128::MAX, odd: bool) {
        let encoded = encode_signed(&tx, U256::from(r), U256::from(s), odd);
        let decoded = decode_signed(&encoded.raw).unwrap();
        prop_assert_eq!(decoded.hash, encoded.hash);
        prop_assert_eq!(encoded.hash, alloy_primitives::keccak256(&encoded.raw));
        prop_assert_eq!((decoded.r, decoded.s), (U256::from(r), U256::from(s)));
        prop_assert_eq!(decoded.y_parity, odd);
        prop_assert_eq!(decoded.tx, tx);
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(raw in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(decoded) = decode_signed(&raw) {
            let again = encode_signed(&decoded.tx, decoded.r, decoded.s, decoded.y_parity);
            prop_assert_eq!(again.raw.as_ref(), raw.as_slice());
        }
    }
}
