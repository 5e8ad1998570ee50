//! Delivers a lane's webhooks for as long as its baton is held.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use baton_coord::{Batch, CommitError, Epoch, Key, Scan, Version, Wakeups};
use baton_lanes::record::decode;
use baton_model::{Classified, Retry};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};

use super::attempt::{PAUSE_MAX, Verdict, attempt, pause, told};
use super::record::{
    DELIVERIES, DeliveryRecord, DeliveryState, OUTBOX, OutboxChunk, OutboxEvent, WISHES,
    delivery_key, wish_key,
};
use super::settle::{self, Log, Outcome};
use super::window::{Due, Window};
use super::{Bell, CourierError, LaneHooks, Reply, wished_topic};
use crate::driver::LaneContext;
use crate::events::number_in;

/// Deliveries under way to a receiver that answers: enough for a thousand a second to one that takes 8 ms.
const UNDER_WAY_MAX: usize = 8;
/// Events in memory; the others wait in the store. A megabyte or two of transfers.
const WINDOW_MAX: usize = 1024;
/// Chunks read at a time.
const PAGE: usize = 16;
/// Records of the log read at a time.
const LOG_PAGE: usize = 256;
/// Redeliveries taken up at a time.
const WISHES_MAX: usize = 8;
/// Outcomes written at a time: with what is left of as many chunks, a few megabytes.
const SETTLE_MAX: usize = 32;
/// When an event is this old, a failed attempt is its last.
const GIVE_UP: Duration = Duration::from_secs(24 * 3600);
/// The same for an event that its receiver refuses while it takes others: mending the receiver's mistake may need a
/// person, but not a day, and meanwhile the transaction's other events wait.
const GIVE_UP_REFUSED: Duration = Duration::from_secs(3600);
/// Attempts that even an old event gets before it is given up as refused.
const REFUSED_TRIES_MIN: u32 = 5;
/// Events that may follow one that is not delivered: bounds the space that a dead receiver takes, about 1.5 GB.
const BEHIND_MAX: u64 = 1_000_000;
/// How often redeliveries are looked for without a wake-up.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// Pause behind a store that fails.
const STORE_RETRY: Duration = Duration::from_millis(500);
/// Why the deliverer has to begin again from what is stored, or must not go on.
enum Broken {
    Reload,
    Fenced,
}

type Attempted = (Due, bool, Instant, Result<Reply, CourierError>);

/// The deliveries of one tenure.
pub(super) struct Delivery {
    context: Arc<LaneContext>,
    hooks: LaneHooks,
    epoch: Epoch,
    bell: Arc<Bell>,
    window: Window,
    log: Log,
    /// The last chunk in memory.
    after: Option<Key>,
    /// Whether the store may have more.
    has_more: bool,
    /// Whether somebody may have asked for a redelivery.
    may_be_wished: bool,
    /// Redeliveries that are under way.
    granted: BTreeSet<u64>,
    under_way: JoinSet<Attempted>,
    outcomes: Vec<Outcome>,
    /// Failures of the receiver in a row, and until when it is left alone.
    failures: u32,
    quiet_until: Instant,
}

/// Shows nothing of a lane any more when its tenure ends.
struct Shown(LaneHooks, String);

impl Drop for Shown {
    fn drop(&mut self) {
        self.0.metrics.clear(&self.1);
    }
}

impl Delivery {
    pub(super) fn new(
        context: &Arc<LaneContext>,
        hooks: LaneHooks,
        epoch: Epoch,
        bell: Arc<Bell>,
    ) -> Self {
        Self {
            context: Arc::clone(context),
            hooks,
            epoch,
            bell,
            window: Window::default(),
            log: Log::default(),
            after: None,
            has_more: true,
            may_be_wished: true,
            granted: BTreeSet::new(),
            under_way: JoinSet::new(),
            outcomes: Vec::new(),
            failures: 0,
            quiet_until: Instant::now(),
        }
    }

    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let relayer = self.context.relayer.id.to_string();
        let _shown = Shown(self.hooks.clone(), relayer);
        loop {
            match self.work(&mut stop).await {
                Ok(()) => return,
                // The lane finds out by itself, and ends this.
                Err(Broken::Fenced) => return,
                Err(Broken::Reload) => sleep(STORE_RETRY).await,
            }
            let Self {
                context,
                hooks,
                epoch,
                bell,
                ..
            } = self;
            self = Self::new(&context, hooks, epoch, bell);
        }
    }

    /// Ends in peace when `stop` is true.
    async fn work(&mut self, stop: &mut watch::Receiver<bool>) -> Result<(), Broken> {
        self.read_log().await?;
        let topic = wished_topic(&self.context.relayer.lane());
        let mut wishes = self.context.store.subscribe(&topic).await.ok();
        loop {
            self.fill().await?;
            self.give_up_far_behind().await?;
            self.grant_wishes().await?;
            self.start_due();
            self.show();
            let wake_at = self.wake_at();
            tokio::select! {
                biased;
                () = stopped(stop) => return self.finish().await,
                Some(ended) = self.under_way.join_next() => {
                    self.note(ended)?;
                    self.settle().await?;
                }
                () = self.bell.rung() => self.has_more = true,
                () = heard(&mut wishes) => self.may_be_wished = true,
                () = sleep_until(wake_at) => {}
                () = sleep(LOOK_AGAIN) => self.may_be_wished = true,
            }
        }
    }

    async fn finish(&mut self) -> Result<(), Broken> {
        while let Some(ended) = self.under_way.join_next().await {
            self.note(ended)?;
            self.settle().await?;
        }
        Ok(())
    }

    async fn read_log(&mut self) -> Result<(), Broken> {
        let lane = self.context.relayer.lane();
        let mut scan = Scan::prefix(DELIVERIES, LOG_PAGE);
        loop {
            let page = self.context.store.scan(&lane, &scan).await;
            let page = page.map_err(|error| self.reload(&error))?;
            for entry in &page {
                let record = decode::<DeliveryRecord>(&entry.value);
                if let (Some(number), Ok(record)) = (number_in(&entry.key), record) {
                    self.log.know(number, &record);
                }
            }
            if page.len() < LOG_PAGE {
                return Ok(());
            }
            scan.after = page.last().map(|entry| entry.key.clone());
        }
    }

    /// Reads as much of the outbox as there is room for.
    async fn fill(&mut self) -> Result<(), Broken> {
        let lane = self.context.relayer.lane();
        while self.has_more && self.window.len() < WINDOW_MAX {
            let mut scan = Scan::prefix(OUTBOX, PAGE);
            scan.after.clone_from(&self.after);
            let page = self.context.store.scan(&lane, &scan).await;
            let page = page.map_err(|error| self.reload(&error))?;
            self.has_more = page.len() == PAGE;
            for entry in page {
                self.after = Some(entry.key.clone());
                let chunk = decode::<OutboxChunk>(&entry.value);
                let (Some(first), Ok(chunk)) = (number_in(&entry.key), chunk) else {
                    tracing::error!(%lane, key = %entry.key.escape_ascii(), "damaged webhooks");
                    continue;
                };
                let tried = &self.log.tried;
                let tries = |number| tried.get(&number).copied().unwrap_or(0);
                let now = Instant::now();
                self.window
                    .add(first, entry.version, chunk.events, tries, now);
            }
        }
        Ok(())
    }

    /// Tries again what was asked for by hand, once.
    async fn grant_wishes(&mut self) -> Result<(), Broken> {
        if !self.may_be_wished || !self.granted.is_empty() {
            return Ok(());
        }
        let store = Arc::clone(&self.context.store);
        let lane = self.context.relayer.lane();
        let page = store.scan(&lane, &Scan::prefix(WISHES, WISHES_MAX)).await;
        let page = page.map_err(|error| self.reload(&error))?;
        self.may_be_wished = page.len() == WISHES_MAX;
        let mut void = Vec::new();
        for entry in page {
            let Some(number) = number_in(&entry.key) else {
                continue;
            };
            let found = store.get(&lane, &delivery_key(number).into()).await;
            let found = found.map_err(|error| self.reload(&error))?;
            let record = found.and_then(|found| decode::<DeliveryRecord>(&found.value).ok());
            match record.filter(|record| record.state != DeliveryState::Pending) {
                Some(record) => {
                    let due = Due {
                        event: Arc::new(record.event),
                        tries: record.attempts,
                    };
                    self.granted.insert(number);
                    self.try_now(due, true);
                }
                // It is being tried anyway, or is forgotten.
                None => void.push(wish_key(number).into()),
            }
        }
        if void.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::new(lane).fenced(self.epoch);
        batch.deletes = void;
        self.commit(batch).await.map(drop)
    }

    fn start_due(&mut self) {
        let now = Instant::now();
        // A receiver that fails is asked by one attempt at a time whether it is back.
        let most = if self.failures == 0 { UNDER_WAY_MAX } else { 1 };
        while now >= self.quiet_until && self.under_way.len() < most {
            let Some(due) = self.window.take_due(now) else {
                return;
            };
            self.try_now(due, false);
        }
    }

    fn try_now(&mut self, due: Due, wished: bool) {
        let context = Arc::clone(&self.context);
        let hooks = self.hooks.clone();
        self.under_way.spawn(async move {
            let started = Instant::now();
            let answer = attempt(&context, &hooks, &due).await;
            (due, wished, started, answer)
        });
    }

    /// Takes in what became of attempts.
    fn note(&mut self, ended: Result<Attempted, JoinError>) -> Result<(), Broken> {
        let mut ended = Some(ended);
        while let Some(attempted) = ended {
            let (due, wished, started, answer) = attempted.map_err(|error| self.reload(&error))?;
            self.judge(due, wished, started, &answer);
            if self.outcomes.len() >= SETTLE_MAX {
                break;
            }
            ended = self.under_way.try_join_next();
        }
        Ok(())
    }

    /// Gives up what too many events follow: nobody can wait for ever, and the store is not endless.
    async fn give_up_far_behind(&mut self) -> Result<(), Broken> {
        let Some(limit) = self.bell.newest().checked_sub(BEHIND_MAX) else {
            return Ok(());
        };
        loop {
            let old = self.window.take_before(limit, SETTLE_MAX);
            if old.is_empty() {
                return Ok(());
            }
            let (now, tried_at) = (Instant::now(), self.context.clock.now());
            for Due { event, tries } in old {
                self.hooks
                    .metrics
                    .count_failed(self.context.relayer.id.as_str());
                self.window.done(event.number, now);
                self.outcomes.push(Outcome {
                    event,
                    state: DeliveryState::Failed,
                    attempts: tries,
                    tried_at,
                    status: None,
                    detail: Some(format!("more than {BEHIND_MAX} events followed it")),
                    wished: false,
                });
            }
            self.settle().await?;
            self.fill().await?;
        }
    }

    fn judge(
        &mut self,
        due: Due,
        wished: bool,
        started: Instant,
        answer: &Result<Reply, CourierError>,
    ) {
        let now = Instant::now();
        let verdict = Verdict::of(answer);
        let relayer = self.context.relayer.id.as_str();
        let metrics = &self.hooks.metrics;
        metrics.count(relayer, verdict.name(), now - started);
        let number = due.event.number;
        let attempts = due.tries + 1;
        let tried_at = self.context.clock.now();
        let age = tried_at.since(due.event.at);
        let over = match verdict {
            Verdict::Taken => false,
            Verdict::Refused => age >= GIVE_UP_REFUSED && attempts >= REFUSED_TRIES_MIN,
            Verdict::Trouble => age >= GIVE_UP,
        };
        let state = match verdict {
            Verdict::Taken => DeliveryState::Delivered,
            Verdict::Refused | Verdict::Trouble if over || wished => DeliveryState::Failed,
            Verdict::Refused | Verdict::Trouble => DeliveryState::Pending,
        };
        let (status, detail) = told(answer);
        if state == DeliveryState::Failed {
            metrics.count_failed(relayer);
            let event = due.event.id;
            tracing::warn!(relayer_id = relayer, %event, ?status, detail, "a webhook is given up");
        }
        self.mind_receiver(verdict, answer, &due.event, now);
        if wished {
            self.granted.remove(&number);
        } else {
            match state {
                DeliveryState::Pending => {
                    self.window.again(number, now + pause(&due.event, attempts));
                }
                DeliveryState::Delivered | DeliveryState::Failed => self.window.done(number, now),
            }
        }
        self.outcomes.push(Outcome {
            event: due.event,
            state,
            attempts,
            tried_at,
            status,
            detail,
            wished,
        });
    }

    /// Leaves a receiver alone that is in trouble, longer each time.
    fn mind_receiver(
        &mut self,
        verdict: Verdict,
        answer: &Result<Reply, CourierError>,
        event: &OutboxEvent,
        now: Instant,
    ) {
        if verdict != Verdict::Trouble {
            self.failures = 0;
            self.quiet_until = now;
            return;
        }
        // Those that were under way together are one failure.
        if now < self.quiet_until {
            return;
        }
        self.failures = self.failures.saturating_add(1);
        let asked = answer.as_ref().ok().and_then(|reply| reply.retry_after);
        let asked = asked.unwrap_or_default().min(PAUSE_MAX);
        self.quiet_until = now + pause(event, self.failures).max(asked);
        if self.failures == 1 {
            let relayer = self.context.relayer.id.as_str();
            let (status, detail) = told(answer);
            tracing::warn!(
                relayer_id = relayer,
                notification_id = self.hooks.notification.id,
                ?status,
                detail,
                "webhooks are not taken; trying again"
            );
        }
    }

    /// Writes down what became of attempts.
    async fn settle(&mut self) -> Result<(), Broken> {
        if self.outcomes.is_empty() {
            return Ok(());
        }
        let batch = settle::batch(
            self.context.relayer.lane(),
            self.epoch,
            &self.hooks.notification.id,
            &self.window.rewrites(),
            &std::mem::take(&mut self.outcomes),
            &mut self.log,
        );
        let version = self.commit(batch).await?;
        self.window.rewritten(version);
        Ok(())
    }

    async fn commit(&self, batch: Batch) -> Result<Version, Broken> {
        loop {
            let error = match self.context.store.commit(batch.clone()).await {
                Ok(committed) => return Ok(committed.version),
                Err(CommitError::Fenced { .. }) => return Err(Broken::Fenced),
                // Applied before its answer was lost, perhaps: what is stored tells.
                Err(error @ CommitError::Precondition { .. }) => return Err(self.reload(&error)),
                Err(error) if error.retry() == Retry::Never => return Err(self.reload(&error)),
                Err(error) => error,
            };
            tracing::warn!(%error, "cannot write down deliveries; trying again");
            sleep(STORE_RETRY).await;
        }
    }

    fn reload(&self, error: &dyn std::fmt::Display) -> Broken {
        let relayer_id = &self.context.relayer.id;
        tracing::warn!(%relayer_id, %error, "webhooks begin again from what is stored");
        Broken::Reload
    }

    fn wake_at(&self) -> Instant {
        let due = self.window.next_due();
        // More attempts than may be under way wait for one to end.
        let due = due.filter(|_| self.under_way.is_empty() || self.failures == 0);
        let has_room = self.under_way.len() < UNDER_WAY_MAX;
        let far = Instant::now() + LOOK_AGAIN;
        due.filter(|_| has_room)
            .map_or(far, |due| due.max(self.quiet_until))
    }

    fn show(&self) {
        let now = self.context.clock.now();
        let oldest = self.window.oldest();
        let lag = oldest.map_or(Duration::ZERO, |(_, at)| now.since(at));
        let relayer = self.context.relayer.id.as_str();
        self.hooks.metrics.show(relayer, self.window.len(), lag);
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // Whoever could stop it is gone: it is over anyway.
    let _: Result<(), _> = stop.wait_for(|stop| *stop).await.map(drop);
}

/// Ends when a redelivery was asked for; never when nothing can be heard: then it is looked for.
async fn heard(wishes: &mut Option<Box<dyn Wakeups>>) {
    let Some(wakeups) = wishes else {
        return std::future::pending().await;
    };
    if wakeups.next().await.is_none() {
        *wishes = None;
        std::future::pending::<()>().await;
    }
}
