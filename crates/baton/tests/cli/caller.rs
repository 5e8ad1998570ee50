//! What the commands that call an engine refuse before they call it.

use crate::support::{Place, Run};

const TO: &str = "0x000000000000000000000000000000000000dEaD";

fn run(place: &Place, arguments: &[&str]) -> Run {
    let run = place.run(arguments);
    assert_eq!(run.out, "", "{arguments:?}");
    run
}

#[test]
fn wrong_arguments_are_told_with_their_rule() {
    let place = Place::new();
    for (words, expected) in [
        ("tx send main", "--to <ADDRESS>|--data <HEX>"),
        (
            "tx send main --to 0x12",
            "invalid value '0x12' for '--to <ADDRESS>'",
        ),
        ("tx send main --to TO --value 1.5", "digits after the point"),
        ("tx send main --to TO --value ten", "2.5gwei, 0.1ether"),
        (
            "tx send main --to TO --speed fast --gas-price 1",
            "cannot be used with",
        ),
        (
            "tx send main --to TO --max-fee 1",
            "--priority-fee <AMOUNT>",
        ),
        (
            "tx send main --to TO --priority-fee 1",
            "--max-fee <AMOUNT>",
        ),
        ("tx send main --to TO --timeout 1s", "--wait [<STATUS>]"),
        (
            "tx send main --to TO --wait mined --timeout 5",
            "90s, 5m, 2h",
        ),
        (
            "tx list main --status done",
            "possible values: pending, sent",
        ),
        ("tx list main --per-page 1001", "1001 is not in 1..=1000"),
        ("tx list main --page 0", "0 is not in 1.."),
        ("tx watch main", "<ID>"),
        ("relayers show", "<RELAYER>"),
    ] {
        let words = words.replace("TO", TO);
        let words: Vec<&str> = words.split(' ').collect();
        let run = run(&place, &words);
        assert_eq!(run.code, 2, "{words:?}: {run:?}");
        assert!(run.err.contains(expected), "{words:?}: {}", run.err);
    }
}

#[test]
fn without_a_key_or_an_engine_nothing_is_called() {
    let list = ["relayers", "list"];
    let refused = run(&Place::new().without("API_KEY"), &list);
    assert_eq!(refused.code, 1);
    assert!(
        refused
            .err
            .starts_with("baton: API_KEY must be set to a key of the engine"),
        "{}",
        refused.err
    );
    for url in [
        "nowhere",
        "ftp://localhost",
        "http://user:secret@localhost",
        "",
    ] {
        let refused = run(&Place::new(), &["relayers", "list", "--url", url]);
        assert_eq!(refused.code, 1, "{url}");
        assert!(
            refused
                .err
                .starts_with("baton: --url or BATON_URL must be an http or https URL"),
            "{}",
            refused.err
        );
        assert!(!refused.err.contains("secret"));
    }
    // Port 1 is nobody's.
    let silent = run(&Place::new().with("BATON_URL", "http://127.0.0.1:1"), &list);
    assert_eq!(silent.code, 1);
    assert!(
        silent
            .err
            .starts_with("baton: no answer from http://127.0.0.1:1/: "),
        "{}",
        silent.err
    );
}
