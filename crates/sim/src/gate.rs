//! Where a process touches the world. Every effect passes here, before and after: this is where a process can die or
//! stand still, with everything else going on.

use std::ops::RangeInclusive;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use baton_coord::Clock;
use baton_model::Timestamp;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use crate::fault::{Effect, Fault, Moment};
use crate::world::{EPOCH_MS, Shared, World};

/// How long a process stands still, in milliseconds: from less than a renewal to several leases.
const FREEZE_MS: RangeInclusive<u64> = 500..=40_000;

/// How much more often a process dies around an effect that is rare.
const RARE_WEIGHT: u64 = 20;

/// Whether a process goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Halt {
    Running,
    /// Until this time of the world, in milliseconds.
    Frozen(u64),
    Dead,
}

/// One process's door to the world.
pub(crate) struct Gate {
    world: Shared,
    /// Number of the process, over all that ever ran.
    pub(crate) process: usize,
    started: Instant,
    started_ms: u64,
    /// How much its clock is ahead of the world's when it starts, in milliseconds.
    skew_ms: i64,
    state: Mutex<State>,
}

struct State {
    halt: Halt,
    stepping: Option<Waker>,
    waiting: Vec<Waker>,
}

impl Gate {
    /// To be called within the process's runtime: its clock begins now.
    pub(crate) fn new(world: &Shared, process: usize, skew_ms: i64) -> Self {
        Self {
            world: Arc::clone(world),
            process,
            started: Instant::now(),
            started_ms: lock(world).now_ms,
            skew_ms,
            state: Mutex::new(State {
                halt: Halt::Running,
                stepping: None,
                waiting: Vec::new(),
            }),
        }
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }

    pub(crate) fn halt(&self) -> Halt {
        lock(&self.state).halt
    }

    /// Ends, or stops for a while, whatever the process does.
    pub(crate) fn set(&self, halt: Halt) {
        let (stepping, waiting) = {
            let mut state = lock(&self.state);
            state.halt = halt;
            (state.stepping.take(), std::mem::take(&mut state.waiting))
        };
        stepping.into_iter().chain(waiting).for_each(Waker::wake);
    }

    /// Runs the process's tasks until its own clock shows this time, or it halts.
    pub(crate) async fn run_until(&self, end: Instant) {
        let mut end = pin!(sleep_until(end));
        std::future::poll_fn(|cx| self.poll_run(end.as_mut(), cx)).await;
    }

    fn poll_run(&self, end: Pin<&mut Sleep>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = lock(&self.state);
        if state.halt != Halt::Running {
            return Poll::Ready(());
        }
        state.stepping = Some(cx.waker().clone());
        drop(state);
        end.poll(cx)
    }

    /// When the process's clock has run for as long as the world has since it started, at a rate in millionths.
    pub(crate) fn local(&self, world_ms: u64, rate_ppm: u64) -> Instant {
        let passed = world_ms.saturating_sub(self.started_ms);
        self.started + Duration::from_millis(passed * rate_ppm / 1_000_000)
    }

    /// Before an effect: it may never begin. Then it takes its time.
    pub(crate) async fn enter(&self, effect: Effect) {
        self.pass(effect, Moment::Before).await;
        let latency = self.world().latency();
        if latency > 0 {
            sleep(Duration::from_millis(latency)).await;
        }
        self.running().await;
    }

    /// After an effect: its answer may never be heard.
    pub(crate) async fn leave(&self, effect: Effect) {
        self.pass(effect, Moment::After).await;
    }

    /// Whether a fault happens now.
    pub(crate) fn strikes(&self, fault: Fault) -> bool {
        self.world().strikes(fault)
    }

    /// How long a fault takes, if it happens now.
    pub(crate) fn delay(&self, fault: Fault, millis: &RangeInclusive<u64>) -> Option<u64> {
        let mut world = self.world();
        world.strikes(fault).then(|| world.rng.within(millis))
    }

    /// Writes a line of the trace.
    pub(crate) fn say(&self, text: impl FnOnce() -> String) {
        self.world().say(Some(self.process), text);
    }

    async fn pass(&self, effect: Effect, moment: Moment) {
        self.running().await;
        self.decide(effect, moment);
        self.running().await;
    }

    fn decide(&self, effect: Effect, moment: Moment) {
        let mut world = self.world();
        if moment == Moment::Before {
            world.coverage.effect(effect);
        }
        // What a lane rarely asks is rarely interrupted: there it dies more often.
        let weight = if effect == Effect::Observe {
            RARE_WEIGHT
        } else {
            1
        };
        let halt = if world.strikes_times(Fault::Crash, weight) {
            world.coverage.crash(effect, moment);
            Halt::Dead
        } else if world.strikes(Fault::Freeze) {
            let pause = world.rng.within(&FREEZE_MS);
            Halt::Frozen(world.now_ms + pause)
        } else {
            return;
        };
        world.say(Some(self.process), || {
            format!("{halt:?} {} {}", moment.name(), effect.name())
        });
        drop(world);
        self.set(halt);
    }

    async fn running(&self) {
        std::future::poll_fn(|cx| {
            let mut state = lock(&self.state);
            if state.halt == Halt::Running {
                return Poll::Ready(());
            }
            state.waiting.push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Clock for Gate {
    fn now(&self) -> Timestamp {
        let begun = (EPOCH_MS + self.started_ms).saturating_add_signed(self.skew_ms);
        Timestamp::from_millis(begun).saturating_add(self.started.elapsed())
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whoever panicked under the lock has failed the run already.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
