use serde::Deserialize;

use super::table::GROUPS;
use super::{Client, Rule, Verdict, find};

#[derive(Deserialize)]
struct Fixture {
    client: String,
    code: i64,
    message: String,
}

fn rules() -> impl Iterator<Item = &'static Rule> {
    GROUPS.iter().flat_map(|group| group.rules)
}

fn fixtures() -> Vec<Fixture> {
    serde_json::from_str(include_str!("../../tests/fixtures/refusals.json"))
        .expect("the fixtures are a list of messages")
}

#[test]
fn every_claim_of_the_table_is_backed_by_a_recorded_message() {
    let decided: Vec<(String, &Rule)> = fixtures()
        .into_iter()
        .filter_map(|one| find(one.code, &one.message).map(|(_, rule)| (one.client, rule)))
        .collect();
    let unbacked: Vec<(&str, Client)> = rules()
        .flat_map(|rule| rule.clients.iter().map(move |client| (rule, *client)))
        .filter(|(rule, client)| {
            !decided
                .iter()
                .any(|(name, by)| *name == format!("{client:?}") && std::ptr::eq(*by, *rule))
        })
        .map(|(rule, client)| (rule.text, client))
        .collect();
    assert!(
        unbacked.is_empty(),
        "no recorded message decides by {unbacked:?}"
    );
}

#[test]
fn every_recorded_message_that_a_rule_decides_is_claimed_for_its_client() {
    for one in fixtures() {
        let Some((_, rule)) = find(one.code, &one.message) else {
            continue;
        };
        let claimed = rule
            .clients
            .iter()
            .any(|client| format!("{client:?}") == one.client);
        assert!(
            claimed,
            "{} also says {:?}: {:?}",
            one.client, rule.text, one.message
        );
    }
}

#[test]
fn texts_are_lower_case_and_a_rule_without_text_has_a_code() {
    for rule in rules() {
        assert_eq!(rule.text, rule.text.to_ascii_lowercase());
        assert_eq!(rule.text, rule.text.trim());
        assert!(!rule.text.is_empty() || rule.code.is_some());
    }
}

#[test]
fn meanings_are_tried_from_the_safest_to_the_most_final() {
    let last_of_texts = GROUPS
        .iter()
        .rposition(|group| group.rules.iter().any(|rule| !rule.text.is_empty()))
        .unwrap();
    assert_eq!(
        GROUPS[0].verdict,
        Verdict::RevertsNow,
        "quoted words must not be read"
    );
    assert_eq!(GROUPS[last_of_texts].verdict, Verdict::NeverMinable);
    let never = GROUPS
        .iter()
        .filter(|group| group.verdict == Verdict::NeverMinable)
        .count();
    assert_eq!(never, 1);
}
