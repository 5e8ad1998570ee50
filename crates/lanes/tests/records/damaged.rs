//! Stored bytes that are no records.

use baton_lanes::record::{AccountRecord, InboxRecord, Record, RequestRecord, SlotRecord, decode};
use baton_model::B256;

/// What is wrong, the bytes, and what the error says of it.
type Case<'a> = (&'a str, &'a str, &'a str);

const ACCOUNTS: [Case; 11] = [
    ("nothing", "", "account record is damaged: EOF"),
    (
        "zeros",
        "\0\0\0\0",
        "account record is damaged: expected value",
    ),
    (
        "no format",
        r#"{"r":{"next_nonce":1,"settled":1}}"#,
        "missing field `v`",
    ),
    ("no record", r#"{"v":1}"#, "missing field `r`"),
    (
        "a newer release",
        r#"{"v":2,"r":{"next_nonce":1,"settled":1}}"#,
        "account record has format 2, this release reads up to 1",
    ),
    (
        "a format that never was",
        r#"{"v":0,"r":{"next_nonce":1,"settled":1}}"#,
        "account record is damaged: there is no format 0",
    ),
    (
        "a format that is no number",
        r#"{"v":"1","r":{"next_nonce":1,"settled":1}}"#,
        "invalid type: string \"1\", expected u16",
    ),
    (
        "a missing field",
        r#"{"v":1,"r":{"next_nonce":1}}"#,
        "missing field `settled`",
    ),
    (
        "a negative nonce",
        r#"{"v":1,"r":{"next_nonce":-1,"settled":1}}"#,
        "invalid value: integer `-1`, expected u64",
    ),
    (
        "a nonce beyond 64 bits",
        r#"{"v":1,"r":{"next_nonce":18446744073709551616,"settled":1}}"#,
        "expected u64",
    ),
    (
        "more after the end",
        r#"{"v":1,"r":{"next_nonce":1,"settled":1}}{}"#,
        "trailing characters",
    ),
];

const SLOTS: [Case; 3] = [
    ("not JSON", "PNG", "slot record is damaged: expected value"),
    (
        "a much newer release, with another shape",
        r#"{"v":900,"r":[]}"#,
        "slot record has format 900, this release reads up to 1",
    ),
    (
        "another record",
        r#"{"v":1,"r":{"next_nonce":1,"settled":1}}"#,
        "missing field `attempts`",
    ),
];

const INBOX: [Case; 2] = [
    (
        "an unknown command",
        r#"{"v":1,"r":{"pause":{}}}"#,
        "unknown variant `pause`",
    ),
    (
        "an id that is none",
        r#"{"v":1,"r":{"accept":{"id":"7"}}}"#,
        "UUID",
    ),
];

#[test]
fn bytes_that_are_no_account_are_refused() {
    refuses::<AccountRecord>(&ACCOUNTS);
}

#[test]
fn bytes_that_are_no_slot_are_refused() {
    refuses::<SlotRecord>(&SLOTS);
}

#[test]
fn bytes_that_are_no_inbox_entry_are_refused() {
    refuses::<InboxRecord>(&INBOX);
}

#[test]
fn requests_with_one_thing_wrong_are_refused() {
    let golden = include_str!("../golden/request.json");
    let with = |from: &str, to: &str| {
        assert!(golden.contains(from), "{from} is not in the golden request");
        golden.replacen(from, to, 1)
    };
    let half = &golden[..golden.len() / 2];
    let status = with("\"confirmed\"", "\"done\"");
    let hash = with(&B256::repeat_byte(0x22).to_string(), "0x2222");
    let fee = with(
        &u128::MAX.to_string(),
        "340282366920938463463374607431768211456",
    );
    let speed = with("safeLow", "slow");
    refuses::<RequestRecord>(&[
        ("torn", half, "request record is damaged: EOF"),
        ("an unknown status", &status, "unknown variant `done`"),
        ("a short hash", &hash, "invalid string length"),
        ("a fee beyond 128 bits", &fee, "request record is damaged"),
        ("an unknown speed", &speed, "unknown variant `slow`"),
    ]);
}

fn refuses<T: Record>(cases: &[Case]) {
    for (case, bytes, text) in cases {
        let error = decode::<T>(bytes.as_bytes()).err();
        let said = error.map(|e| e.to_string()).unwrap_or_default();
        assert!(
            said.contains(text),
            "{case}: {said:?} does not say {text:?}"
        );
    }
}
