//! What nodes say when they refuse a transaction, and what it means.

use std::collections::BTreeSet;

use baton_lanes::{Verdict, next_nonce_hint, triage};
use proptest::prelude::*;
use serde::Deserialize;

/// A message as a client words it, with the place in its sources (or pages) that words it so.
#[derive(Debug, Deserialize)]
struct Fixture {
    client: String,
    code: i64,
    message: String,
    verdict: String,
    from: String,
}

fn fixtures() -> Vec<Fixture> {
    serde_json::from_str(include_str!("fixtures/refusals.json"))
        .expect("the fixtures are a list of messages")
}

fn named(verdict: Verdict) -> String {
    format!("{verdict:?}")
}

#[test]
fn recorded_messages_have_their_meaning() {
    let wrong: Vec<String> = fixtures()
        .iter()
        .filter(|one| named(triage(one.code, &one.message)) != one.verdict)
        .map(|one| format!("{one:?} is {:?}", triage(one.code, &one.message)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_recorded_messages_cover_every_client_and_verdict() {
    let all = fixtures();
    assert!(all.len() >= 250, "{} messages", all.len());
    assert!(all.iter().all(|one| !one.from.is_empty()));
    let clients: BTreeSet<&str> = all.iter().map(|one| one.client.as_str()).collect();
    for client in [
        "Anvil",
        "Besu",
        "Erigon",
        "Geth",
        "Nethermind",
        "Nitro",
        "Provider",
        "Reth",
        "ZkSync",
    ] {
        assert!(clients.contains(client), "{client}");
    }
    let verdicts: BTreeSet<&str> = all.iter().map(|one| one.verdict.as_str()).collect();
    assert_eq!(verdicts.len(), 15, "{verdicts:?}");
}

#[test]
fn the_meaning_survives_case_wrapping_and_line_ends() {
    for one in fixtures() {
        for text in [
            one.message.to_uppercase(),
            format!("err: {} (supplied gas 21000)", one.message),
            format!("call failed: [node-1] {}\r\n", one.message),
            format!("{{\"error\":\"{}\"}}", one.message),
        ] {
            assert_eq!(named(triage(one.code, &text)), one.verdict, "{text}");
        }
    }
}

#[test]
fn a_text_with_two_meanings_is_never_final() {
    let all = fixtures();
    let (never, other): (Vec<&Fixture>, Vec<&Fixture>) = all
        .iter()
        .filter(|one| one.verdict != "Unknown" && !one.message.is_empty())
        // A meaning that comes from the code alone belongs to no text.
        .filter(|one| triage(0, &one.message) == triage(one.code, &one.message))
        .partition(|one| one.verdict == "NeverMinable");
    for (never, other) in never
        .iter()
        .flat_map(|one| other.iter().map(move |two| (one, two)))
    {
        for text in [
            format!("{}; {}", never.message, other.message),
            format!("{}; {}", other.message, never.message),
        ] {
            assert_eq!(named(triage(0, &text)), other.verdict, "{text}");
        }
    }
}

#[test]
fn the_words_of_a_contract_mean_nothing() {
    for one in fixtures() {
        let quoted = format!("execution reverted: {}", one.message);
        assert_eq!(triage(3, &quoted), Verdict::RevertsNow, "{quoted}");
        assert_eq!(next_nonce_hint(&quoted), None, "{quoted}");
    }
}

#[test]
fn texts_that_only_look_alike_are_unknown() {
    for (code, text) in [
        (0, ""),
        (-32000, ""),
        (-32603, "internal error"),
        (
            -32000,
            "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>",
        ),
        (
            -32000,
            "<!DOCTYPE html><p>The page you requested was not found.</p>",
        ),
        (
            -32601,
            "the method eth_sendRawTransaction does not exist/is not available",
        ),
        (-32602, "missing value for required argument 0"),
        (-32700, "parse error"),
        (-32002, "request timed out"),
        (-32000, "unknown transaction"),
        (-32000, "unknown transaction type 9"),
        (-32000, "the nonce is fine"),
        (-32000, "nonce too lowly"),
        (-32000, "nonce  too low"),
        (-32000, "nonce_too_low"),
        (-32000, "a funds transfer that was insufficient"),
        (-32000, "previously known transactions are listed below"),
        (-32000, "intrinsic gasoline"),
        (-32000, "header not found"),
        (
            -32000,
            "missing trie node 8a2c (path ) state 0x1 is not available",
        ),
        (-32000, "connection reset by peer"),
        (-32000, "i/o timeout"),
        (-32001, "invalid signature of the access token"),
        (-32000, "Incorrect nonce"),
        (-32000, "invalid transaction type"),
        (-32000, "EXECUTION_REVERTED"),
        (i64::MIN, "\u{0}\u{fffd}nonce\u{200b} too low"),
        (i64::MAX, "n\u{f6}nce too low"),
    ] {
        assert_eq!(triage(code, text), Verdict::Unknown, "{code} {text:?}");
    }
}

#[test]
fn overload_is_told_by_text_or_by_code() {
    for (code, text) in [
        (429, "anything"),
        (-32005, "limit exceeded"),
        (-32029, ""),
        (-32000, "<html><h1>429 Too Many Requests</h1></html>"),
        (-32000, "Rate Limit exceeded for this key"),
    ] {
        assert_eq!(triage(code, text), Verdict::Busy, "{code} {text:?}");
    }
    assert_eq!(
        triage(-32005, "Nonce too low"),
        Verdict::NonceTooLow,
        "the text is more precise"
    );
}

#[test]
fn only_the_start_of_a_long_text_is_read() {
    let page = "\u{e9}".repeat(4096);
    assert_eq!(
        triage(0, &format!("{page} nonce too low")),
        Verdict::Unknown
    );
    assert_eq!(
        triage(0, &format!("nonce too low {page}")),
        Verdict::NonceTooLow
    );
}

#[test]
fn the_next_nonce_is_read_from_refusals_that_tell_it() {
    let account = "0x8ba1f109551bD432803012645Ac136ddd64DBA72";
    let nonce = |text: &str| next_nonce_hint(&text.replace("{account}", account));
    for (text, expected) in [
        ("nonce too low: next nonce 5, tx nonce 3", Some(5)),
        ("NONCE TOO LOW: NEXT NONCE 5, TX NONCE 3", Some(5)),
        (
            "err: nonce too low: next nonce 5, tx nonce 3 (supplied gas 21000)",
            Some(5),
        ),
        ("nonce too low: address {account}, tx: 3 state: 5", Some(5)),
        ("nonce too high: address {account}, tx: 9 state: 5", Some(5)),
        (
            "INTERNAL_ERROR: nonce too low: address {account}, tx: 3 state: 5",
            Some(5),
        ),
        (
            "nonce too low: address {account} current nonce (5833) > tx nonce (5511)",
            Some(5833),
        ),
        (
            "nonce too low, Current nonce: 5, nonce of rejected tx: 3",
            Some(5),
        ),
        (
            "OldNonce, Current nonce: 5, nonce of rejected tx: 3",
            Some(5),
        ),
        (
            "nonce too low. allowed nonce range: 5 - 55, actual: 3",
            Some(5),
        ),
        (
            "nonce too high. allowed nonce range: 5 - 55, actual: 90",
            Some(5),
        ),
        ("nonce too low: next nonce 0, tx nonce 0", Some(0)),
        (
            "nonce too low: next nonce 18446744073709551615.",
            Some(u64::MAX),
        ),
        ("nonce too low: next nonce 18446744073709551616", None),
        ("nonce too low: next nonce -5", None),
        ("nonce too low: next nonce 0x12", None),
        ("nonce too low: next nonce 1.5", None),
        ("nonce too low: next nonce ", None),
        ("nonce too low", None),
        ("INTERNAL_ERROR: nonce too low", None),
        ("nonce too high: tx nonce 9, gapped nonce 5", None),
        ("nonce too high, Future nonce. Expected nonce: 7", None),
        ("authority nonce too low: next nonce 5", None),
        ("already known: next nonce 5", None),
        ("execution reverted: nonce too low: next nonce 99", None),
        ("next nonce 5", None),
        ("the state: 5", None),
        ("", None),
    ] {
        assert_eq!(nonce(text), expected, "{text}");
    }
}

proptest! {
    #[test]
    fn any_text_and_code_get_an_answer(code: i64, text in any::<String>()) {
        let _ = (triage(code, &text), next_nonce_hint(&text));
    }

    #[test]
    fn unrelated_text_is_unknown(code in -32004_i64..0, text in "[ -~]{0,300}") {
        prop_assert_eq!(triage(code, &text), Verdict::Unknown);
        prop_assert_eq!(next_nonce_hint(&text), None);
    }

    #[test]
    fn a_letter_too_much_makes_a_text_unknown(
        at in any::<proptest::sample::Index>(),
        letter in "[a-z0-9]",
    ) {
        let texts = ["already known", "nonce too low", "txpool is full", "oversized data"];
        let text = texts[at.index(texts.len())];
        prop_assert_ne!(triage(0, text), Verdict::Unknown);
        prop_assert_eq!(triage(0, &format!("{letter}{text}")), Verdict::Unknown);
        prop_assert_eq!(triage(0, &format!("{text}{letter}")), Verdict::Unknown);
    }

    #[test]
    fn noise_around_a_message_does_not_change_its_meaning(
        at in any::<proptest::sample::Index>(),
        before in "([b-df-hj-np-tv-z]{1,9} ){0,9}",
        after in "( [b-df-hj-np-tv-z]{1,9}){0,9}",
    ) {
        let all = fixtures();
        let one = &all[at.index(all.len())];
        let text = format!("{before}{}{after}", one.message);
        prop_assert_eq!(named(triage(one.code, &text)), one.verdict.clone(), "{}", text);
    }

    #[test]
    fn any_next_nonce_is_read(state: u64, tx: u64) {
        let geth = format!("nonce too low: next nonce {state}, tx nonce {tx}");
        let nitro = format!("nonce too high: address 0x00, tx: {tx} state: {state}");
        prop_assert_eq!(next_nonce_hint(&geth), Some(state));
        prop_assert_eq!(next_nonce_hint(&nitro), Some(state));
    }
}
