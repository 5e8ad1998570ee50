//! One attempt at a delivery, and what its answer means.

use std::time::Duration;

use baton_coord::Key;
use baton_lanes::record::{RequestRecord, decode, key};

use super::body::{self, cut};
use super::record::OutboxEvent;
use super::window::Due;
use super::{CourierError, LaneHooks, Reply, Webhook};
use crate::driver::LaneContext;

/// First pause behind a failed attempt; each is twice the one before.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// Longest pause between attempts: how long a receiver that is back may have to wait.
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(15 * 60);
/// Statuses with which a receiver asks for another time: it is in trouble, the event is not to blame.
const NOT_NOW: [u16; 3] = [408, 425, 429];

/// How a receiver took an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Taken,
    /// This event, and perhaps no other.
    Refused,
    /// It takes nothing now.
    Trouble,
}

impl Verdict {
    pub(super) fn of(answer: &Result<Reply, CourierError>) -> Self {
        match answer {
            Ok(reply) if (200..300).contains(&reply.status) => Self::Taken,
            Ok(reply) if reply.status >= 500 || NOT_NOW.contains(&reply.status) => Self::Trouble,
            Ok(_) => Self::Refused,
            Err(CourierError::Forbidden(_) | CourierError::NoAnswer(_)) => Self::Trouble,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Taken => "delivered",
            Self::Refused => "refused",
            Self::Trouble => "no_answer",
        }
    }
}

pub(super) async fn attempt(
    context: &LaneContext,
    hooks: &LaneHooks,
    due: &Due,
) -> Result<Reply, CourierError> {
    let event = &due.event;
    let mut record = None;
    if let Some(id) = body::needs_record(event) {
        let name = Key::from(key::request(id));
        let found = context.store.get(&context.relayer.lane(), &name).await;
        let found = found.map_err(|error| CourierError::NoAnswer(error.to_string()))?;
        record = found.and_then(|found| decode::<RequestRecord>(&found.value).ok());
    }
    let body = body::body(event, record.as_ref(), &context.relayer);
    let body = body.map_err(|reason| CourierError::NoAnswer(reason.to_owned()))?;
    let notification = &hooks.notification;
    let Some(url) = notification.url.clone() else {
        let reason = "the notification has no url".to_owned();
        return Err(CourierError::Forbidden(reason));
    };
    let (key, now) = (notification.signing_key.as_ref(), context.clock.now());
    let headers = body::headers(event, due.tries + 1, &body, key, now);
    hooks.courier.deliver(Webhook { url, headers, body }).await
}

pub(super) fn told(answer: &Result<Reply, CourierError>) -> (Option<u16>, Option<String>) {
    match answer {
        Ok(reply) => {
            let excerpt = Some(cut(&reply.excerpt)).filter(|text| !text.is_empty());
            (Some(reply.status), excerpt)
        }
        Err(error) => (None, Some(cut(&error.to_string()))),
    }
}

/// The pause behind the attempt of this number, up to a fifth longer or shorter by chance: of the event's id, so that
/// what happened can be repeated.
pub(super) fn pause(event: &OutboxEvent, attempts: u32) -> Duration {
    let doublings = attempts.saturating_sub(1).min(20);
    let pause = PAUSE_MIN.saturating_mul(1 << doublings).min(PAUSE_MAX);
    let spread = (event.id.as_u128() >> (attempts % 64)) % 401;
    let permille = 800 + u32::try_from(spread).unwrap_or(0);
    pause * permille / 1000
}

#[cfg(test)]
mod tests {
    use baton_model::{Timestamp, TxStatus};
    use uuid::Uuid;

    use super::*;
    use crate::events::Happened;

    fn reply(status: u16) -> Result<Reply, CourierError> {
        Ok(Reply {
            status,
            retry_after: None,
            excerpt: String::new(),
        })
    }

    #[test]
    fn only_success_is_success_and_only_some_failures_are_the_receivers() {
        for (status, expected) in [
            (200, Verdict::Taken),
            (204, Verdict::Taken),
            (301, Verdict::Refused),
            (400, Verdict::Refused),
            (404, Verdict::Refused),
            (408, Verdict::Trouble),
            (429, Verdict::Trouble),
            (500, Verdict::Trouble),
            (503, Verdict::Trouble),
        ] {
            assert_eq!(Verdict::of(&reply(status)), expected, "{status}");
        }
        let silent = Err(CourierError::NoAnswer(String::new()));
        assert_eq!(Verdict::of(&silent), Verdict::Trouble);
    }

    #[test]
    fn pauses_double_up_to_a_limit_and_differ() {
        let id = "00000000-0000-4000-8000-000000000001".parse().unwrap();
        let event = |random| OutboxEvent {
            number: 1,
            id: Uuid::from_u128(random),
            at: Timestamp::from_millis(0),
            what: Happened::Status(id, TxStatus::Mined),
            payload: None,
            data_left: false,
        };
        let one = event(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        for attempts in 1..=10 {
            let middle = PAUSE_MIN * (1 << (attempts - 1));
            let found = pause(&one, attempts);
            assert!(
                found >= middle * 8 / 10 && found <= middle * 12 / 10,
                "{found:?}"
            );
        }
        assert!(pause(&one, 11) >= PAUSE_MAX * 8 / 10);
        assert!(pause(&one, 4_000_000_000) <= PAUSE_MAX * 12 / 10);
        assert_ne!(pause(&one, 3), pause(&event(7), 3));
    }
}
