//! Records of every shape.

use baton_lanes::record::{
    AttemptKind, AttemptRecord, AttemptSummary, CancelReason, CommandOutcome, PastAttempt,
    ReceiptRecord, ReplaceRecord, RequestRecord, SlotRecord,
};
use baton_model::{
    Address, B256, Bytes, Call, Fees, Pricing, RequestId, Speed, Timestamp, TxSpec, TxStatus, U256,
    UnsignedTx,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::strategy::Union;

/// Numbers at both ends as often as in between: those are what a format loses.
pub(crate) fn numbers() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(u64::MAX), any::<u64>()]
}

fn wide() -> impl Strategy<Value = u128> {
    let beyond_floats = (1_u128 << 53) + 1;
    prop_oneof![Just(0), Just(u128::MAX), Just(beyond_floats), any::<u128>()]
}

fn words() -> impl Strategy<Value = U256> {
    prop_oneof![
        Just(U256::ZERO),
        Just(U256::MAX),
        any::<[u8; 32]>().prop_map(U256::from_be_bytes)
    ]
}

pub(crate) fn times() -> impl Strategy<Value = Timestamp> {
    numbers().prop_map(Timestamp::from_millis)
}

pub(crate) fn ids() -> impl Strategy<Value = RequestId> {
    any::<u64>().prop_map(|n| {
        let text = format!("00000000-0000-4000-8000-{:012x}", n >> 16);
        text.parse().expect("a UUID")
    })
}

fn hashes() -> impl Strategy<Value = B256> {
    any::<[u8; 32]>().prop_map(B256::from)
}

pub(crate) fn addresses() -> impl Strategy<Value = Address> {
    any::<[u8; 20]>().prop_map(Address::from)
}

fn bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..80).prop_map(Bytes::from)
}

pub(crate) fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "\\PC{0,30}",
        Just("\"\\\u{0}\n".to_owned())
    ]
}

fn fees() -> impl Strategy<Value = Fees> {
    prop_oneof![
        wide().prop_map(|gas_price| Fees::Legacy { gas_price }),
        (wide(), wide()).prop_map(|(max_fee, max_priority_fee)| Fees::Eip1559 {
            max_fee,
            max_priority_fee
        }),
    ]
}

fn pricings() -> impl Strategy<Value = Pricing> {
    let speeds = [Speed::SafeLow, Speed::Average, Speed::Fast, Speed::Fastest];
    prop_oneof![
        proptest::sample::select(speeds.to_vec()).prop_map(Pricing::Speed),
        wide().prop_map(|gas_price| Pricing::Legacy { gas_price }),
        (wide(), wide()).prop_map(|(max_fee, max_priority_fee)| Pricing::Eip1559 {
            max_fee,
            max_priority_fee
        }),
    ]
}

fn calls() -> impl Strategy<Value = Call> {
    let parts = (option::of(addresses()), words(), bytes());
    parts.prop_map(|(to, value, data)| Call { to, value, data })
}

pub(crate) fn specs() -> impl Strategy<Value = TxSpec> {
    let parts = (calls(), option::of(numbers()), pricings(), times());
    parts.prop_map(|(call, gas_limit, pricing, valid_until)| TxSpec {
        call,
        gas_limit,
        pricing,
        valid_until,
    })
}

fn receipts() -> impl Strategy<Value = ReceiptRecord> {
    let parts = (
        (hashes(), numbers(), hashes(), any::<bool>()),
        (
            numbers(),
            wide(),
            option::of(words()),
            option::of(addresses()),
        ),
    );
    parts.prop_map(|((hash, block_number, block_hash, success), rest)| {
        let (gas_used, effective_gas_price, l1_fee, contract) = rest;
        ReceiptRecord {
            hash,
            block_number,
            block_hash,
            success,
            gas_used,
            effective_gas_price,
            l1_fee,
            contract,
        }
    })
}

fn attempts() -> impl Strategy<Value = AttemptRecord> {
    let tx = (numbers(), numbers(), numbers(), fees(), calls());
    let parts = (
        any::<bool>(),
        tx,
        hashes(),
        bytes(),
        bytes(),
        times(),
        option::of(times()),
    );
    parts.prop_map(
        |(payload, tx, hash, raw, signature, created_at, acknowledged_at)| {
            let (chain_id, nonce, gas_limit, fees, call) = tx;
            AttemptRecord {
                kind: if payload {
                    AttemptKind::Payload
                } else {
                    AttemptKind::Noop
                },
                tx: UnsignedTx {
                    chain_id,
                    nonce,
                    gas_limit,
                    fees,
                    call,
                },
                hash,
                raw,
                signature,
                created_at,
                acknowledged_at,
            }
        },
    )
}

pub(crate) fn slots() -> impl Strategy<Value = SlotRecord> {
    let reasons = prop_oneof![
        Just(CancelReason::Canceled),
        Just(CancelReason::Expired),
        texts().prop_map(CancelReason::Refused)
    ];
    let replacing = (ids(), specs()).prop_map(|(command, spec)| ReplaceRecord { command, spec });
    let parts = (
        option::of(ids()),
        option::of(reasons),
        option::of(replacing),
        vec(attempts(), 1..4),
    );
    parts.prop_map(|(request, cancelling, replacing, attempts)| SlotRecord {
        request,
        cancelling,
        replacing,
        attempts,
    })
}

fn statuses() -> impl Strategy<Value = TxStatus> {
    Union::new(TxStatus::ALL.map(Just))
}

fn past() -> impl Strategy<Value = PastAttempt> {
    let stands = (addresses(), numbers(), hashes(), any::<bool>());
    let times = (times(), option::of(times()));
    (stands, numbers(), fees(), times).prop_map(|(stands, gas_limit, fees, times)| {
        let (account, nonce, hash, is_noop) = stands;
        let (created_at, acknowledged_at) = times;
        PastAttempt {
            account,
            nonce,
            hash,
            kind: if is_noop {
                AttemptKind::Noop
            } else {
                AttemptKind::Payload
            },
            gas_limit,
            fees,
            created_at,
            acknowledged_at,
        }
    })
}

pub(crate) fn requests() -> impl Strategy<Value = RequestRecord> {
    let summaries = (addresses(), numbers(), hashes(), numbers(), fees(), bytes()).prop_map(
        |(account, nonce, hash, gas_limit, fees, signature)| AttemptSummary {
            account,
            nonce,
            hash,
            gas_limit,
            fees,
            signature,
        },
    );
    let outcomes = (ids(), option::of(texts()))
        .prop_map(|(command, refused)| CommandOutcome { command, refused });
    let named = (option::of(texts()), option::of(texts()));
    let identity = (ids(), times(), specs(), specs(), named);
    let state = (statuses(), option::of(texts()), any::<bool>());
    let times = (
        option::of(times()),
        option::of(times()),
        option::of(times()),
        option::of(times()),
    );
    let chain = (
        option::of(summaries),
        (vec(hashes(), 0..4), vec(past(), 0..3)),
        option::of(receipts()),
        option::of(outcomes),
    );
    (identity, state, times, chain).prop_map(|(identity, state, times, chain)| {
        let (id, created_at, accepted, spec, (idempotency, trace)) = identity;
        let (status, status_reason, is_canceled) = state;
        let (sent_at, mined_at, finished_at, delete_at) = times;
        let (current, (hashes, history), receipt, last_command) = chain;
        RequestRecord {
            id,
            created_at,
            accepted,
            spec,
            idempotency,
            status,
            status_reason,
            is_canceled,
            sent_at,
            mined_at,
            finished_at,
            current,
            hashes,
            history,
            receipt,
            last_command,
            delete_at,
            trace,
        }
    })
}
