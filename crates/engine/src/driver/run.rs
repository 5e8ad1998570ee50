//! The life of a lane in this process: waiting for its baton, running it, giving it back.

use std::sync::Arc;
use std::time::Duration;

use baton_chain::BlockView;
use baton_lanes::record::ReceiptRecord;
use baton_lanes::{AccountInput, BlockInput, Input, Lane};
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinSet;

use super::baton::Baton;
use super::follow::ChainEvent;
use super::load;
use super::session::{CommitEnd, Commits, Session};
use super::work;
use super::{LaneContext, LaneState, retention};

/// Pause before a lane that could not run is tried again.
const FAILED_RETRY: Duration = Duration::from_secs(5);

/// How often finished requests whose time has come are looked for.
const RETENTION_PERIOD: Duration = Duration::from_secs(30);

/// How long the last commit may take when the process stops.
const FINISH_MAX: Duration = Duration::from_secs(5);

/// Inputs taken in between two looks at everything else.
const INPUT_BATCHES: usize = 64;

/// Why a lane stopped running.
enum Ended {
    /// The process stops.
    Stopping,
    /// The baton is somebody else's, or may be.
    Lost,
    /// The lane has to start over from what is durable.
    Restart,
    /// It cannot run.
    Failed(String),
}

/// Runs a lane until `stop` is true: whenever its baton is free, it is taken.
pub async fn run_lane(context: Arc<LaneContext>, mut stop: watch::Receiver<bool>) {
    let lane = context.relayer.lane();
    loop {
        context.status.set(LaneState::Waiting);
        let acquired = Baton::acquire(
            &context.store,
            &lane,
            &context.options.holder,
            context.options.lease,
        );
        let mut baton = match acquired.await {
            Ok(baton) => baton,
            Err(pause) => {
                if sleep_unless(&mut stop, pause).await {
                    return;
                }
                continue;
            }
        };
        let ended = loop {
            match hold(&context, &mut baton, &mut stop).await {
                Ended::Restart => tracing::warn!(%lane, "starting over from what is durable"),
                ended @ (Ended::Stopping | Ended::Lost | Ended::Failed(_)) => break ended,
            }
        };
        match ended {
            Ended::Stopping => return baton.release().await,
            Ended::Failed(reason) => {
                tracing::error!(%lane, reason, "the lane cannot run");
                context.status.set(LaneState::Failed(reason));
                baton.release().await;
                if sleep_unless(&mut stop, FAILED_RETRY).await {
                    return;
                }
            }
            Ended::Lost | Ended::Restart => tracing::warn!(%lane, "the baton was lost"),
        }
    }
}

/// True when the process stops before the time has passed.
async fn sleep_unless(stop: &mut watch::Receiver<bool>, time: Duration) -> bool {
    tokio::select! {
        () = tokio::time::sleep(time) => false,
        () = stopped(stop) => true,
    }
}

/// Ends when the process stops.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // Nobody can stop it any more: the process is ending anyway.
    let _: Result<(), _> = stop.wait_for(|stop| *stop).await.map(drop);
}

/// Runs the lane under a baton.
async fn hold(
    context: &Arc<LaneContext>,
    baton: &mut Baton,
    stop: &mut watch::Receiver<bool>,
) -> Ended {
    context.status.set(LaneState::Starting);
    // Subscribed before the chain is looked at, so that no block falls in between.
    let events = context.follower.subscribe();
    let accounts = &context.relayer.accounts;
    let restored = match load::load(&context.store, &context.relayer.lane(), accounts).await {
        Ok(restored) => restored,
        Err(error) => return Ended::Failed(error.to_string()),
    };
    let lane = match Lane::restore(context.lane_config(), restored, context.clock.now()) {
        Ok(lane) => lane,
        Err(error) => return Ended::Failed(error.to_string()),
    };
    let (mut session, inputs) = Session::start(context, baton.epoch(), lane);
    let mut commits = Commits::default();
    let sources = Sources {
        inputs,
        blocks: Blocks {
            events,
            work: JoinSet::new(),
        },
    };
    let ended = drive(context, &mut session, &mut commits, sources, baton, stop).await;
    if matches!(ended, Ended::Stopping)
        && tokio::time::timeout(FINISH_MAX, commits.finish())
            .await
            .is_err()
    {
        tracing::warn!(
            "the last commit did not end in time; a successor finds out what became of it"
        );
    }
    ended
}

async fn drive(
    context: &Arc<LaneContext>,
    session: &mut Session,
    commits: &mut Commits,
    mut sources: Sources,
    baton: &mut Baton,
    stop: &mut watch::Receiver<bool>,
) -> Ended {
    let mut inbox = std::pin::pin!(session.inbox());
    let mut retention = tokio::time::interval(RETENTION_PERIOD);
    loop {
        session.act(commits);
        session.show();
        let now = session.now();
        let tick = session
            .lane
            .poll_timeout(now)
            .map_or(RETENTION_PERIOD, |at| at.since(now));
        let tick = if session.has_backlog() {
            Duration::from_millis(5)
        } else {
            tick
        };
        tokio::select! {
            biased;
            () = stopped(stop) => return Ended::Stopping,
            () = baton.lost() => return Ended::Lost,
            end = commits.next() => match end {
                CommitEnd::Durable(stage) => session.handle([Input::Committed { stage }]),
                CommitEnd::Fenced => return Ended::Lost,
                CommitEnd::Refused(error) => return Ended::Failed(error.to_string()),
            },
            batch = sources.inputs.recv() => take_in(session, &mut sources.inputs, batch),
            input = sources.blocks.next(context, &session.lane) => match input {
                Some(input) => session.handle([input]),
                None => return Ended::Restart,
            },
            error = &mut inbox => return Ended::Failed(error.to_string()),
            _ = retention.tick() => forget(context, session).await,
            () = tokio::time::sleep(tick) => session.handle([Input::Tick]),
        }
    }
}

/// Takes in a batch of inputs and what has come behind it.
fn take_in(
    session: &mut Session,
    inputs: &mut mpsc::Receiver<Vec<Input>>,
    batch: Option<Vec<Input>>,
) {
    session.handle(batch.into_iter().flatten());
    for _ in 1..INPUT_BATCHES {
        let Ok(batch) = inputs.try_recv() else { return };
        session.handle(batch);
    }
}

async fn forget(context: &LaneContext, session: &mut Session) {
    let now = session.now();
    match retention::due(&context.store, &context.relayer.lane(), now).await {
        Ok(records) => {
            for record in &records {
                session.lane.forget(record);
            }
        }
        Err(error) => tracing::warn!(%error, "cannot look for old requests; trying again later"),
    }
}

/// Where a lane's inputs come from, besides its commits and the time.
struct Sources {
    /// Answers to what the lane asked, and its inbox.
    inputs: mpsc::Receiver<Vec<Input>>,
    blocks: Blocks,
}

/// The network's events as the lane's inputs, in order.
struct Blocks {
    events: broadcast::Receiver<Arc<ChainEvent>>,
    /// The block whose receipts are being read; the next one waits for it.
    work: JoinSet<Input>,
}

impl Blocks {
    /// The next input; `None` when events were missed. May be dropped and called again at any point.
    async fn next(&mut self, context: &Arc<LaneContext>, lane: &Lane) -> Option<Input> {
        if let Some(done) = self.work.join_next().await {
            return done.ok();
        }
        let event = match self.events.recv().await {
            Ok(event) => event,
            Err(broadcast::error::RecvError::Lagged(_)) => return None,
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        };
        let block = match &*event {
            ChainEvent::Rollback { to } => return Some(Input::Rollback { to: *to }),
            ChainEvent::Block(block) => block,
        };
        let hits = lane.hits(&block.transactions);
        if hits.is_empty() {
            return Some(block_input(context, block, Vec::new()));
        }
        let (context, event) = (Arc::clone(context), Arc::clone(&event));
        self.work.spawn(async move {
            let ChainEvent::Block(block) = &*event else {
                return Input::Tick;
            };
            let mined = work::block_receipts(&context.relayer.network.chain, block, &hits).await;
            block_input(&context, block, mined)
        });
        self.work.join_next().await.and_then(Result::ok)
    }
}

fn block_input(context: &LaneContext, block: &BlockView, mined: Vec<ReceiptRecord>) -> Input {
    let accounts = block
        .accounts
        .iter()
        .filter(|view| context.relayer.accounts.contains(&view.address))
        .map(|view| AccountInput {
            address: view.address,
            nonce: view.nonce,
            balance: view.balance,
        })
        .collect();
    let (number, gas_limit) = (block.number, block.gas_limit);
    Input::Block(BlockInput {
        number,
        gas_limit,
        mined,
        accounts,
    })
}
