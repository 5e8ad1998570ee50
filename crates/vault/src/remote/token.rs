//! Credentials that expire.

use std::time::Duration;

use baton_model::Timestamp;
use tokio::sync::Mutex;

use super::Clock;
use super::fault::Fault;

/// How long before its end a credential is renewed: a token must outlast the exchange it is used
/// in. Short-lived ones are renewed after half of their life.
const AHEAD_MAX: Duration = Duration::from_secs(120);

/// A credential, got when it is first needed and again before it ends.
pub(super) struct Held<T> {
    clock: Clock,
    state: Mutex<State<T>>,
}

struct State<T> {
    /// Which credential this is, so that a late complaint about the one before does no harm.
    serial: u64,
    held: Option<Fresh<T>>,
    renew_at: Timestamp,
}

/// A credential and its end.
#[derive(Clone)]
pub(super) struct Fresh<T> {
    pub(super) value: T,
    /// `None` for one that does not end.
    pub(super) ends: Option<Timestamp>,
}

/// A credential to use, and to complain about.
#[derive(Clone)]
pub(super) struct Lent<T> {
    pub(super) value: T,
    serial: u64,
}

impl<T: Clone> Held<T> {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            state: Mutex::new(State {
                serial: 0,
                held: None,
                renew_at: Timestamp::MAX,
            }),
        }
    }

    /// The credential; `fetch` gets one if there is none, or it is about to end. Everybody else
    /// waits for it.
    pub(super) async fn get(
        &self,
        fetch: impl Future<Output = Result<Fresh<T>, Fault>>,
    ) -> Result<Lent<T>, Fault> {
        let mut state = self.state.lock().await;
        let now = (self.clock)();
        if let Some(held) = &state.held
            && now < state.renew_at
        {
            return Ok(state.lend(held));
        }
        match fetch.await {
            Ok(fresh) => {
                state.serial += 1;
                state.renew_at = fresh
                    .ends
                    .map_or(Timestamp::MAX, |ends| renew_at(now, ends));
                let lent = state.lend(&fresh);
                state.held = Some(fresh);
                Ok(lent)
            }
            Err(fault) => match &state.held {
                Some(held) if held.ends.is_none_or(|ends| now < ends) => Ok(state.lend(held)),
                Some(_) | None => Err(fault),
            },
        }
    }

    /// The credential, if there is one, which is held no longer.
    #[cfg(feature = "vault")]
    pub(super) async fn take(&self) -> Option<T> {
        self.state.lock().await.held.take().map(|held| held.value)
    }

    /// Drops a credential that was not taken.
    pub(super) async fn refuse(&self, lent: &Lent<T>) {
        let mut state = self.state.lock().await;
        if state.serial == lent.serial {
            state.held = None;
        }
    }
}

impl<T: Clone> State<T> {
    fn lend(&self, held: &Fresh<T>) -> Lent<T> {
        Lent {
            value: held.value.clone(),
            serial: self.serial,
        }
    }
}

impl<T> Fresh<T> {
    /// One that lasts for some seconds from now.
    pub(super) fn lasting(value: T, clock: &Clock, seconds: u64) -> Self {
        Self {
            value,
            ends: Some(clock().saturating_add(Duration::from_secs(seconds))),
        }
    }
}

fn renew_at(now: Timestamp, ends: Timestamp) -> Timestamp {
    let life = ends.since(now);
    now.saturating_add(life.saturating_sub(AHEAD_MAX).max(life / 2))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    fn held(now: &Arc<AtomicU64>) -> Held<u32> {
        let now = Arc::clone(now);
        Held::new(Arc::new(move || {
            Timestamp::from_millis(now.load(Ordering::SeqCst))
        }))
    }

    fn until(value: u32, ends: u64) -> Result<Fresh<u32>, Fault> {
        let ends = Some(Timestamp::from_millis(ends));
        Ok(Fresh { value, ends })
    }

    fn never() -> Result<Fresh<u32>, Fault> {
        panic!("no credential is to be got")
    }

    #[tokio::test]
    async fn a_credential_is_kept_and_renewed_before_its_end() {
        let now = Arc::new(AtomicU64::new(0));
        let held = held(&now);
        let first = held.get(async { until(1, 3_600_000) }).await.unwrap();
        assert_eq!(first.value, 1);
        now.store(3_479_999, Ordering::SeqCst);
        assert_eq!(held.get(async { never() }).await.unwrap().value, 1);
        now.store(3_480_000, Ordering::SeqCst);
        let second = held.get(async { until(2, 3_500_000) }).await.unwrap();
        assert_eq!(second.value, 2);
        now.store(3_489_999, Ordering::SeqCst);
        assert_eq!(held.get(async { never() }).await.unwrap().value, 2);
    }

    #[tokio::test]
    async fn a_failed_renewal_leaves_the_old_one_until_its_end() {
        let now = Arc::new(AtomicU64::new(0));
        let held = held(&now);
        held.get(async { until(1, 3_600_000) }).await.unwrap();
        let fails = || async { Err(Fault::passing("down")) };
        now.store(3_599_999, Ordering::SeqCst);
        assert_eq!(held.get(fails()).await.unwrap().value, 1);
        now.store(3_600_000, Ordering::SeqCst);
        let refused = held.get(fails()).await.err().map(|fault| fault.reason);
        assert_eq!(refused.as_deref(), Some("down"));
    }

    #[tokio::test]
    async fn a_late_complaint_does_not_drop_the_next_credential() {
        let held = held(&Arc::new(AtomicU64::new(0)));
        let forever = |value| Ok(Fresh { value, ends: None });
        let first = held.get(async { forever(1) }).await.unwrap();
        held.refuse(&first).await;
        assert_eq!(held.get(async { forever(2) }).await.unwrap().value, 2);
        held.refuse(&first).await;
        assert_eq!(held.get(async { never() }).await.unwrap().value, 2);
    }
}
