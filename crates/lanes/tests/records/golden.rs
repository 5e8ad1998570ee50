//! What format 1 looks like.

use baton_lanes::record::{
    AccountRecord, AttemptKind, AttemptRecord, AttemptSummary, CancelReason, CommandOutcome,
    IdempotencyRecord, InboxRecord, ReceiptRecord, Record, ReplaceRecord, RequestRecord,
    SlotRecord, SummaryRecord, decode, encode,
};
use baton_model::{
    Address, B256, Bytes, Call, Fees, Pricing, RequestId, Speed, Timestamp, TxSpec, TxStatus, U256,
    UnsignedTx,
};

/// These files are never changed: a release that cannot read them loses what its users stored.
#[test]
fn golden_files_of_format_1_can_be_read() {
    fn is<T: Record + PartialEq + std::fmt::Debug>(stored: &str, record: &T) {
        let stored = stored.trim_end().as_bytes();
        assert_eq!(decode::<T>(stored).as_ref(), Ok(record));
        let written = String::from_utf8(encode(record)).expect("JSON is text");
        assert_eq!(written.as_bytes(), stored, "what is written now: {written}");
    }
    is(include_str!("../golden/request.json"), &golden_request());
    is(include_str!("../golden/slot.json"), &golden_slot());
    let account = AccountRecord {
        next_nonce: u64::MAX,
        settled: 5,
    };
    is(include_str!("../golden/account.json"), &account);
    let summary = SummaryRecord {
        chain_id: Some(31_337),
        inbox: 9,
        counts: [1, 2, 3, 4, 5, 6, 7, 8],
        last_confirmed_at: Some(Timestamp::from_millis(6)),
        accounts: vec![(Address::repeat_byte(0xa0), 7)],
        alarms: vec!["low_balance".to_owned()],
    };
    is(include_str!("../golden/summary.json"), &summary);
    is(
        include_str!("../golden/inbox-accept.json"),
        &InboxRecord::Accept { id: id() },
    );
    let (id, command) = (id(), id());
    is(
        include_str!("../golden/inbox-cancel.json"),
        &InboxRecord::Cancel { id, command },
    );
    let spec = golden_spec();
    is(
        include_str!("../golden/inbox-replace.json"),
        &InboxRecord::Replace { id, command, spec },
    );
    let body = "cd".to_owned();
    is(
        include_str!("../golden/idempotency.json"),
        &IdempotencyRecord { id, body },
    );
}

/// A slot as releases wrote it before replacements were part of it.
#[test]
fn fields_that_came_later_may_be_missing() {
    let mut slot = golden_slot();
    slot.replacing = None;
    let stored = encode(&slot);
    let text = String::from_utf8(stored.clone()).expect("JSON is text");
    assert!(!text.contains("replacing"));
    assert_eq!(decode::<SlotRecord>(&stored), Ok(slot));
}

/// During a rolling upgrade an instance reads what a newer one wrote under the same format.
#[test]
fn fields_of_a_newer_release_are_passed_over() {
    fn is<T: Record + PartialEq + std::fmt::Debug>(record: &T) {
        let stored = String::from_utf8(encode(record)).expect("JSON is text");
        let structs = [
            "\"r\":{",
            "\"call\":{",
            "\"receipt\":{",
            "\"current\":{",
            "\"attempts\":[{",
            "\"tx\":{",
        ];
        let stored = structs.iter().fold(stored, |stored, begin| {
            stored.replace(begin, &format!("{begin}\"added\":{{\"by\":[1]}},"))
        });
        let stored = stored.replacen('{', "{\"added\":null,", 1);
        assert!(stored.contains("\"r\":{\"added\""), "{stored}");
        assert_eq!(
            decode::<T>(stored.as_bytes()).as_ref(),
            Ok(record),
            "{stored}"
        );
    }
    is(&golden_request());
    is(&golden_slot());
    is(&AccountRecord {
        next_nonce: 7,
        settled: 5,
    });
    is(&SummaryRecord::default());
    let body = "cd".to_owned();
    is(&IdempotencyRecord { id: id(), body });
}

fn id() -> RequestId {
    "00000000-0000-4000-8000-000000000001"
        .parse()
        .expect("a UUID")
}

fn golden_spec() -> TxSpec {
    TxSpec {
        call: Call {
            to: Some(Address::repeat_byte(0x77)),
            value: U256::MAX,
            data: Bytes::from(vec![0xab, 0xcd]),
        },
        gas_limit: Some(u64::MAX),
        pricing: Pricing::Speed(Speed::SafeLow),
        valid_until: Timestamp::MAX,
    }
}

fn golden_attempt() -> AttemptRecord {
    let spec = golden_spec();
    AttemptRecord {
        kind: AttemptKind::Payload,
        tx: UnsignedTx {
            chain_id: 1,
            nonce: 7,
            gas_limit: 21_000,
            fees: Fees::Eip1559 {
                max_fee: u128::MAX,
                max_priority_fee: 1,
            },
            call: Call {
                to: None,
                ..spec.call
            },
        },
        hash: B256::repeat_byte(0x11),
        raw: Bytes::from(vec![2, 3]),
        signature: Bytes::from(vec![4; 65]),
        created_at: Timestamp::from_millis(1_700_000_000_000),
        acknowledged_at: None,
    }
}

fn golden_slot() -> SlotRecord {
    let noop = AttemptRecord {
        kind: AttemptKind::Noop,
        acknowledged_at: Some(Timestamp::from_millis(1_700_000_001_000)),
        ..golden_attempt()
    };
    SlotRecord {
        request: Some(id()),
        cancelling: Some(CancelReason::Refused("no".to_owned())),
        replacing: Some(ReplaceRecord {
            command: id(),
            spec: TxSpec {
                pricing: Pricing::Legacy { gas_price: 5 },
                ..golden_spec()
            },
        }),
        attempts: vec![golden_attempt(), noop],
    }
}

fn golden_request() -> RequestRecord {
    let attempt = golden_attempt();
    let at = |millis| Some(Timestamp::from_millis(millis));
    RequestRecord {
        id: id(),
        created_at: Timestamp::from_millis(1_700_000_000_000),
        accepted: golden_spec(),
        spec: TxSpec {
            pricing: Pricing::Eip1559 {
                max_fee: 9,
                max_priority_fee: 8,
            },
            gas_limit: None,
            ..golden_spec()
        },
        idempotency: Some("ab".to_owned()),
        status: TxStatus::Confirmed,
        status_reason: Some("why".to_owned()),
        is_canceled: true,
        sent_at: at(1),
        mined_at: at(2),
        finished_at: at(3),
        current: Some(AttemptSummary {
            account: Address::repeat_byte(0xa0),
            nonce: 7,
            hash: attempt.hash,
            gas_limit: 21_000,
            fees: Fees::Legacy {
                gas_price: u128::MAX,
            },
            signature: attempt.signature,
        }),
        hashes: vec![attempt.hash],
        history: Vec::new(),
        receipt: Some(ReceiptRecord {
            hash: attempt.hash,
            block_number: 100,
            block_hash: B256::repeat_byte(0x22),
            success: true,
            gas_used: 21_000,
            effective_gas_price: u128::MAX,
            l1_fee: Some(U256::from(5)),
            contract: Some(Address::repeat_byte(0x33)),
        }),
        last_command: Some(CommandOutcome {
            command: id(),
            refused: Some("no".to_owned()),
        }),
        delete_at: at(4),
        trace: None,
    }
}
