//! Which events a notification is told of.

use baton_model::TxStatus;

use crate::events::Happened;

/// What a notification's `events` may name. The names of the reference stand for all events of their kind.
pub const EVENT_WORDS: [&str; 11] = [
    "transaction_update",
    "sent",
    "submitted",
    "mined",
    "confirmed",
    "failed",
    "canceled",
    "expired",
    "relayer_state_update",
    "relayer_disabled",
    "relayer_enabled",
];

/// Checks a word of `events`.
///
/// # Errors
/// The rule that it breaks.
pub fn check_event(word: &str) -> Result<(), String> {
    if EVENT_WORDS.contains(&word) {
        return Ok(());
    }
    let known = EVENT_WORDS.join(", ");
    Err(format!("must be one of {known}; found {word:?}"))
}

/// Whether a notification with these `events` is told of something; without any it is told of everything.
pub(crate) fn wants(events: &[String], happened: &Happened) -> bool {
    let own = match happened {
        Happened::Status(_, TxStatus::Pending) => return false,
        Happened::Status(_, status) => status.as_str(),
        Happened::Disabled(_) => "relayer_disabled",
        Happened::Enabled => "relayer_enabled",
    };
    let named = |word: &String| word == own || word == happened.name();
    events.is_empty() || events.iter().any(named)
}

#[cfg(test)]
mod tests {
    use baton_model::RequestId;

    use super::*;

    #[test]
    fn words_choose_events() {
        let id: RequestId = "00000000-0000-4000-8000-000000000001".parse().unwrap();
        let mined = Happened::Status(id, TxStatus::Mined);
        let failed = Happened::Status(id, TxStatus::Failed);
        let disabled = Happened::Disabled(String::new());
        let words = |list: &[&str]| -> Vec<String> { list.iter().map(|w| (*w).into()).collect() };
        for (list, expected) in [
            (words(&[]), [true, true, true]),
            (words(&["transaction_update"]), [true, true, false]),
            (words(&["failed", "relayer_disabled"]), [false, true, true]),
            (words(&["relayer_enabled"]), [false, false, false]),
            (words(&["relayer_state_update"]), [false, false, true]),
        ] {
            let told = [&mined, &failed, &disabled].map(|one| wants(&list, one));
            assert_eq!(told, expected, "{list:?}");
        }
    }

    #[test]
    fn every_status_of_an_event_is_a_word() {
        for status in TxStatus::ALL {
            let is_told = status != TxStatus::Pending;
            assert_eq!(check_event(status.as_str()).is_ok(), is_told, "{status:?}");
        }
        let error = check_event("minted").unwrap_err();
        assert!(error.ends_with("found \"minted\""), "{error}");
    }
}
