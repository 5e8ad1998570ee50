//! The life of a lane in this process: waiting for its baton, running it, giving it back.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use baton_lanes::{Input, Lane};
use baton_model::LaneId;
use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::baton::Baton;
use super::blocks::Blocks;
use super::commit::{CommitEnd, Commits};
use super::load::{self, LoadError};
use super::retention::Retention;
use super::seek::Seeker;
use super::session::Session;
use super::sources::{Event, Sources};
use super::{LaneContext, LaneState};
use crate::fleet::Fleet;
use crate::webhooks::{Bell, Deliverer};

/// Pause before a lane that could not run is tried again.
const FAILED_RETRY: Duration = Duration::from_secs(5);

/// Pause before a baton that was lost is asked for again: whoever took it is about to answer.
const LOST_RETRY: Duration = Duration::from_millis(100);

/// How long the last commit, or an answer about the baton, may take when the process stops.
pub(super) const FINISH_MAX: Duration = Duration::from_secs(5);

/// How long webhooks under way may still take when the baton is given back. What is not written down by then is
/// delivered again.
const DELIVERIES_MAX: Duration = Duration::from_secs(2);

/// The same where another process waits for the lane.
const HAND_OVER_MAX: Duration = Duration::from_millis(30);

/// Why a lane stopped running.
#[derive(Debug)]
enum Ended {
    /// The process stops.
    Stopping,
    /// Another process is to run it.
    Ceded,
    /// The baton is somebody else's, or may be.
    Lost,
    /// The lane has to start over from what is durable.
    Restart,
    /// It cannot run.
    Failed(String),
}

impl Ended {
    /// Whoever lost the baton without noticing may have read what its successor was writing, or half from a store that
    /// went back in time: that is no damage.
    async fn unless_lost(self, baton: &Baton) -> Self {
        match self {
            Self::Failed(reason) if baton.is_lost().await => {
                tracing::debug!(
                    reason,
                    "what was read after the baton was lost means nothing"
                );
                Self::Lost
            }
            ended @ (Self::Stopping
            | Self::Ceded
            | Self::Lost
            | Self::Restart
            | Self::Failed(_)) => ended,
        }
    }
}

/// Runs a lane until `stop` is true: whenever its baton is free, it is taken.
pub async fn run_lane(context: Arc<LaneContext>, mut stop: watch::Receiver<bool>) {
    let lane = context.relayer.lane();
    context.status.set(LaneState::Waiting);
    let mut seeker = Seeker::new(&context);
    let waits = || context.status.set(LaneState::Waiting);
    while let Some(baton) = seeker.baton(&mut stop, waits).await {
        // Whoever waits for what this lane does must not wait for ever because of a defect.
        let held = AssertUnwindSafe(hold(&context, &baton, &mut seeker, &mut stop)).catch_unwind();
        let ended = held
            .await
            .unwrap_or_else(|panic| Ended::Failed(describe(&*panic)));
        let pause = match ended.unless_lost(&baton).await {
            Ended::Stopping => {
                context.status.clear();
                return seeker.release(baton).await;
            }
            Ended::Restart if *stop.borrow() => return seeker.release(baton).await,
            Ended::Ceded => {
                tracing::info!(%lane, "the lane is handed over");
                context.status.set(LaneState::Waiting);
                seeker.release(baton).await;
                Duration::ZERO
            }
            Ended::Lost => {
                tracing::warn!(%lane, "the baton was lost");
                seeker.lost();
                context.status.set(LaneState::Waiting);
                LOST_RETRY
            }
            // Asked for again, it comes with a new epoch: a commit that is still under way somewhere comes to nothing.
            Ended::Restart => {
                tracing::warn!(%lane, "starting over from what is durable");
                Duration::ZERO
            }
            Ended::Failed(reason) => {
                tracing::error!(%lane, reason, "the lane cannot run");
                context.status.set(LaneState::Failed(reason));
                if seeker.fail(baton).await {
                    Duration::ZERO
                } else {
                    FAILED_RETRY
                }
            }
        };
        context.status.clear();
        if sleep_unless(&mut stop, pause).await {
            return;
        }
    }
}

/// Ends when the process stops.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // Nobody can stop it any more: the process is ending anyway.
    let _: Result<(), _> = stop.wait_for(|stop| *stop).await.map(drop);
}

/// True when the process stops before the time has passed.
async fn sleep_unless(stop: &mut watch::Receiver<bool>, time: Duration) -> bool {
    tokio::select! {
        biased;
        () = stopped(stop) => true,
        () = sleep(time) => false,
    }
}

/// Runs the lane under a baton.
async fn hold(
    context: &Arc<LaneContext>,
    baton: &Baton,
    seeker: &mut Seeker,
    stop: &mut watch::Receiver<bool>,
) -> Ended {
    context.status.set(LaneState::Starting);
    let signers = &context.signers;
    let accounts = &context.relayer.accounts;
    let unsigned = accounts
        .iter()
        .find(|account| !signers.iter().any(|s| s.address() == **account));
    if let Some(account) = unsigned {
        return Ended::Failed(format!("account {account} has no signer"));
    }
    // Subscribed before the chain is looked at, so that no block falls in between.
    let blocks = Blocks::subscribe(context);
    let bell = Arc::new(Bell::default());
    let prepared = tokio::select! {
        biased;
        () = stopped(stop) => return Ended::Stopping,
        () = baton.lost() => return Ended::Lost,
        () = seeker.ceded() => return Ended::Ceded,
        prepared = prepare(context, baton, &bell) => prepared,
    };
    let (lane, mut commits) = match prepared {
        Ok(prepared) => prepared,
        Err(reason) => return Ended::Failed(reason),
    };
    let (mut session, received) = Session::start(context, lane);
    let sources = Sources::new(received, blocks, Retention::new(context));
    let deliverer = Deliverer::start(context, baton.epoch(), bell);
    let ended = drive(&mut session, &mut commits, sources, (baton, seeker), stop).await;
    if matches!(ended, Ended::Stopping | Ended::Ceded) {
        if timeout(FINISH_MAX, commits.finish()).await.is_err() {
            tracing::warn!("the last commit did not end in time; it is taken back with the baton");
        }
        let others = context.fleet.as_ref();
        deliverer
            .finish(others.map_or(DELIVERIES_MAX, |_| HAND_OVER_MAX))
            .await;
    }
    ended
}

/// Reads what is durable.
async fn prepare(
    context: &Arc<LaneContext>,
    baton: &Baton,
    bell: &Arc<Bell>,
) -> Result<(Lane, Commits), String> {
    let lane = context.relayer.lane();
    let text = |error: LoadError| error.to_string();
    let commits = Commits::begin(context, baton.epoch(), Arc::clone(bell)).await;
    let commits = commits.map_err(text)?;
    let mut restored = load::load(&context.store, &lane, &context.relayer.accounts)
        .await
        .map_err(text)?;
    if let Some(fleet) = &context.fleet {
        restored.has_lost = has_lost(fleet, &lane).await;
    }
    let lane = Lane::restore(context.lane_config(), restored, context.clock.now());
    Ok((lane.map_err(|error| error.to_string())?, commits))
}

/// Asks until there is an answer; whoever asks gives up when the baton is lost.
async fn has_lost(fleet: &Fleet, lane: &LaneId) -> bool {
    loop {
        match fleet.has_lost(lane).await {
            Ok(has_lost) => return has_lost,
            Err(reason) => {
                tracing::warn!(%lane, reason, "cannot see whether the store has lost anything; trying again");
                sleep(LOST_RETRY).await;
            }
        }
    }
}

async fn drive(
    session: &mut Session,
    commits: &mut Commits,
    mut sources: Sources,
    (baton, seeker): (&Baton, &mut Seeker),
    stop: &mut watch::Receiver<bool>,
) -> Ended {
    loop {
        if !baton.may_act() {
            return Ended::Lost;
        }
        session.act(commits);
        let (mut wake_at, has_room) = (session.wake_at(), session.has_room());
        if commits.is_idle() && commits.due_at() > Instant::now() {
            wake_at = wake_at.min(commits.due_at());
        }
        let Session {
            lane,
            tasks,
            offers,
            ..
        } = session;
        // What ends the tenure, and the end of a commit, come rarely and go first; all else takes turns.
        tokio::select! {
            biased;
            () = stopped(stop) => return Ended::Stopping,
            () = baton.lost() => return Ended::Lost,
            () = seeker.ceded() => return Ended::Ceded,
            end = commits.next() => match end {
                CommitEnd::Durable(stage) => session.handle(Input::Committed { stage }),
                CommitEnd::Fenced => return Ended::Lost,
                CommitEnd::Refused(error) => return Ended::Failed(error.to_string()),
            },
            failure = tasks.failure() => return Ended::Failed(failure),
            event = sources.next(lane), if has_room => match event {
                Event::Inputs(inputs) => session.arrive(inputs),
                Event::Due(records) => session.forget(&records),
                Event::Missed => return Ended::Restart,
                Event::Failed(reason) => return Ended::Failed(reason),
            },
            () = offers.room() => {}
            () = sleep_until(wake_at) => {}
        }
    }
}

fn describe(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("a defect: {}", text.unwrap_or("panic"))
}
