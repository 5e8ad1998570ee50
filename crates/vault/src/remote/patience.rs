//! Asking again: how often, how long, and when not.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use super::RemoteLimits;
use super::fault::{Fault, FaultKind};

/// Repeats questions to one service, and leaves it alone when it asks for that.
#[derive(Debug)]
pub(super) struct Patience {
    limits: RemoteLimits,
    not_before: Mutex<Option<Instant>>,
}

impl Patience {
    pub(super) fn new(limits: RemoteLimits) -> Self {
        Self {
            limits,
            not_before: Mutex::new(None),
        }
    }

    /// Asks until there is an answer, a lasting failure, or no time or try left.
    pub(super) async fn run<T, F>(&self, mut ask: impl FnMut() -> F) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let deadline = Instant::now() + self.limits.total;
        let mut backoff = self.limits.backoff;
        let mut renewed = false;
        let mut tries = 0;
        let mut last = None;
        loop {
            self.pause(deadline).await?;
            tries += 1;
            let Ok(answer) = timeout_at(deadline, ask()).await else {
                return Err(last.unwrap_or_else(|| self.out_of_time()));
            };
            let fault = match answer {
                Ok(answer) => return Ok(answer),
                Err(fault) => fault,
            };
            match fault.kind {
                FaultKind::Credentials if !renewed => renewed = true,
                FaultKind::Passing if tries < self.limits.tries => {
                    self.leave_alone(fault.wait.unwrap_or(backoff), fault.wait.is_some());
                    let next = Instant::now() + backoff;
                    if next >= deadline {
                        return Err(fault);
                    }
                    sleep_until(next).await;
                    backoff *= 2;
                    last = Some(fault);
                }
                FaultKind::Passing | FaultKind::Credentials | FaultKind::Lasting => {
                    self.leave_alone(fault.wait.unwrap_or_default(), fault.wait.is_some());
                    return Err(fault);
                }
            }
        }
    }

    /// Waits for as long as the service asked for, if there is the time.
    async fn pause(&self, deadline: Instant) -> Result<(), Fault> {
        let until = *self.lock();
        let Some(until) = until.filter(|until| *until > Instant::now()) else {
            return Ok(());
        };
        if until >= deadline {
            let seconds = until.duration_since(Instant::now()).as_secs_f32().ceil();
            return Err(Fault::passing(format!(
                "the service asked to be left alone (Retry-After) for {seconds} s more"
            )));
        }
        sleep_until(until).await;
        Ok(())
    }

    fn leave_alone(&self, wait: Duration, asked: bool) {
        if asked {
            *self.lock() = Some(Instant::now() + wait);
        }
    }

    fn out_of_time(&self) -> Fault {
        Fault::passing(format!(
            "no answer within {} ms",
            self.limits.total.as_millis()
        ))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.not_before
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
