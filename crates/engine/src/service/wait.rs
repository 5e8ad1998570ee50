//! Waiting for a transaction to get somewhere.

use std::time::Duration;

use baton_coord::Wakeups;
use baton_model::{RequestId, TxStatus};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::Service;
use super::error::ServiceError;
use super::view::TransactionView;
use crate::changed_topic;

/// How long to wait before looking again without being woken: what a lost wake-up costs.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Shortest time between two looks: a busy lane commits a hundred times a second, and each wakes all who wait.
const LOOK_PAUSE: Duration = Duration::from_millis(20);
/// What a caller waits for when it does not say how long.
const WAIT_DEFAULT: Duration = Duration::from_secs(20);
/// What can be waited for, in the order of a life.
const GOALS: [TxStatus; 4] = [
    TxStatus::Sent,
    TxStatus::Submitted,
    TxStatus::Mined,
    TxStatus::Confirmed,
];

/// What a caller waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    goal: TxStatus,
    longest: Duration,
}

/// How waiting ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// The transaction got there, or has ended.
    Reached,
    /// The time is over.
    Timeout,
    /// Too many wait already.
    Busy,
}

impl Wait {
    /// Reads the parameters of a query: `wait` names a status, and `timeout` is a time such as `20s` or `500ms`.
    ///
    /// # Errors
    /// The rule that one breaks.
    pub fn parse(
        wait: Option<&str>,
        timeout: Option<&str>,
        max: Duration,
    ) -> Result<Option<Self>, String> {
        let Some(text) = wait else {
            return match timeout {
                Some(_) => Err("timeout needs wait, which says what to wait for".to_owned()),
                None => Ok(None),
            };
        };
        let goal = GOALS.into_iter().find(|goal| goal.as_str() == text);
        let goal = goal.ok_or_else(|| {
            let names = GOALS.map(TxStatus::as_str).join(", ");
            format!("wait must be one of {names}; found {text:?}")
        })?;
        let longest = match timeout {
            None => WAIT_DEFAULT.min(max),
            Some(text) => duration(text)
                .filter(|time| !time.is_zero() && *time <= max)
                .ok_or_else(|| {
                    let max = max.as_millis();
                    format!(
                        "timeout must be a time from 1ms to {max}ms, such as 20s or 500ms; found \
                         {text:?}"
                    )
                })?,
        };
        Ok(Some(Self { goal, longest }))
    }

    fn is_over(self, status: TxStatus) -> bool {
        status >= self.goal
    }
}

/// A whole number of seconds or, with `ms`, of milliseconds.
fn duration(text: &str) -> Option<Duration> {
    let number = |digits: &str| -> Option<u64> {
        let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse().ok().filter(|_| is_plain)
    };
    if let Some(digits) = text.strip_suffix("ms") {
        return number(digits).map(Duration::from_millis);
    }
    number(text.strip_suffix('s').unwrap_or(text)).map(Duration::from_secs)
}

impl Service {
    /// Most that a caller may wait.
    pub const fn wait_max(&self) -> Duration {
        self.options.wait_max
    }

    /// Waits until a transaction has the status that is waited for, a later one, or a final one. Gives it as it is
    /// then.
    ///
    /// # Errors
    /// See [`Service::transaction`].
    pub async fn wait(
        &self,
        relayer: &str,
        id: &str,
        wait: Wait,
    ) -> Result<(TransactionView, Waited), ServiceError> {
        let relayer = &self.relayer(relayer)?.relayer;
        let Ok(_permit) = self.waiters.try_acquire() else {
            let record = self.record(relayer, id).await?;
            let view = TransactionView::of(&record, relayer);
            return Ok((view, Waited::Busy));
        };
        let deadline = Instant::now() + wait.longest;
        // Listens before it looks, so that no change falls in between.
        let topic = changed_topic(&relayer.lane());
        let mut changes = self.store.subscribe(&topic).await?;
        loop {
            let record = self.record(relayer, id).await?;
            let is_reached = wait.is_over(record.status);
            if is_reached || Instant::now() >= deadline {
                let waited = if is_reached {
                    Waited::Reached
                } else {
                    Waited::Timeout
                };
                return Ok((TransactionView::of(&record, relayer), waited));
            }
            change(&mut *changes, deadline).await;
        }
    }

    /// Waits for an accepted transaction. Whatever goes wrong with waiting, it is accepted, and the caller is told so.
    pub async fn wait_for_sent(
        &self,
        relayer: &str,
        sent: TransactionView,
        wait: Wait,
    ) -> (TransactionView, Waited) {
        let id: Option<RequestId> = sent.id.parse().ok();
        let Some(id) = id else {
            return (sent, Waited::Timeout);
        };
        match self.wait(relayer, &id.to_string(), wait).await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(%id, %error, "nobody could be waited for");
                (sent, Waited::Timeout)
            }
        }
    }
}

/// Ends with the next change, or when it is time to look again; not at once, so that many changes are one look.
pub(super) async fn change(changes: &mut dyn Wakeups, deadline: Instant) {
    sleep(LOOK_PAUSE).await;
    let look_again = (Instant::now() + LOOK_AGAIN).min(deadline);
    if let Ok(None) = timeout_at(look_again, changes.next()).await {
        // The store closed its wake-ups; only time can tell.
        sleep_until(look_again).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: Duration = Duration::from_secs(28);

    #[test]
    fn times_have_a_unit_and_a_limit() {
        let longest = |timeout: Option<&str>| {
            let wait = Wait::parse(Some("mined"), timeout, MAX);
            wait.map(|wait| wait.unwrap().longest)
        };
        assert_eq!(longest(None), Ok(WAIT_DEFAULT));
        assert_eq!(longest(Some("20s")), Ok(Duration::from_secs(20)));
        assert_eq!(longest(Some("7")), Ok(Duration::from_secs(7)));
        assert_eq!(longest(Some("250ms")), Ok(Duration::from_millis(250)));
        for bad in [
            "", "s", "0", "0s", "29s", "28001ms", "+1s", "1.5s", "1m", "-1",
        ] {
            let error = longest(Some(bad)).unwrap_err();
            assert!(
                error.starts_with("timeout must be a time"),
                "{bad}: {error}"
            );
        }
    }

    #[test]
    fn a_goal_is_one_of_a_life() {
        assert_eq!(Wait::parse(None, None, MAX), Ok(None));
        assert!(Wait::parse(None, Some("1s"), MAX).is_err());
        for bad in ["", "pending", "failed", "Mined"] {
            let error = Wait::parse(Some(bad), None, MAX).unwrap_err();
            assert!(error.starts_with("wait must be one of sent, "), "{error}");
        }
        let wait = Wait::parse(Some("mined"), None, MAX).unwrap().unwrap();
        let over: Vec<&str> = TxStatus::ALL
            .into_iter()
            .filter(|status| wait.is_over(*status))
            .map(TxStatus::as_str)
            .collect();
        assert_eq!(
            over,
            ["mined", "confirmed", "failed", "canceled", "expired"]
        );
    }
}
