//! One HTTP exchange, from the body that was read to what becomes of the connection.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use tokio::time::{Instant, sleep};

use super::careful::Careful;
use super::control::{Plan, ProxyControl};
use super::fault::{Fault, Moment, Outage};
use super::pool::StrictPool;
use super::trace::ProxyTrace;
use super::upstream::{Forwarded, NoAnswer, Upstream};
use super::wire::{self, Calls};

/// What all exchanges of a proxy share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) upstream: Upstream,
    pub(super) control: ProxyControl,
    pub(super) trace: ProxyTrace,
    pub(super) pool: StrictPool,
}

/// What the client gets.
#[derive(Debug)]
pub(super) enum Outcome {
    Answer(Forwarded),
    /// The connection is closed.
    Cut,
    /// Nothing, ever.
    Silence,
}

/// The end of an exchange, and how long its answer is on its way.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) outcome: Outcome,
    pub(super) wait: Duration,
}

/// Runs an exchange to its end, also when the client has gone: what a node has received it acts on.
pub(super) async fn run(shared: Arc<Shared>, body: Bytes, read_at: Instant) -> Done {
    let calls = wire::calls(&body);
    let list = calls.as_ref().map_or(&[][..], |calls| &calls.list);
    let methods = list.iter().map(|call| &*call.method);
    let note = || {
        let sends = list.iter().filter_map(wire::sent);
        shared.trace.note(read_at, methods.clone(), sends);
    };
    if let Some(outcome) = away(&shared.control, &note).await {
        return Done {
            outcome,
            wait: Duration::ZERO,
        };
    }
    let plan = shared.control.plan(&methods);
    let outcome = match early(plan.exchange.as_ref()) {
        Some((name, outcome)) => {
            note();
            pause(plan.before_forwarding).await;
            shared.trace.count_fault(name);
            outcome
        }
        None => {
            // Sending goes first: noting takes some microseconds for each transaction, during which
            // the node can work.
            let forwarded = async {
                pause(plan.before_forwarding).await;
                forward(&shared, &body, calls.as_ref(), &plan).await
            };
            let (forwarded, ()) = tokio::join!(forwarded, async { note() });
            late(&shared.trace, plan.exchange.as_ref(), forwarded)
        }
    };
    Done {
        outcome,
        wait: plan.before_answering,
    }
}

/// What an outage makes of a request; `None` when there is none.
async fn away(control: &ProxyControl, note: &impl Fn()) -> Option<Outcome> {
    let mut outages = control.outages();
    let outage = *outages.borrow_and_update();
    match outage? {
        Outage::Refuse => note(),
        Outage::Hang => {
            note();
            // The sender lives as long as `control`.
            let hanging = |now: &Option<Outage>| *now == Some(Outage::Hang);
            let _ended = outages.wait_for(|now| !hanging(now)).await;
        }
    }
    Some(Outcome::Cut)
}

async fn pause(time: Duration) {
    // A timer's shortest sleep is a millisecond.
    if !time.is_zero() {
        sleep(time).await;
    }
}

async fn forward(
    shared: &Shared,
    body: &Bytes,
    calls: Option<&Calls<'_>>,
    plan: &Plan,
) -> Result<Forwarded, NoAnswer> {
    let touched = !plan.calls.is_empty() || plan.stale.is_some() || plan.pool.is_some();
    match calls {
        Some(calls) if touched && !calls.list.is_empty() => {
            Careful::new(shared, calls, plan).run().await
        }
        Some(_) | None => shared.upstream.forward(body.clone()).await,
    }
}

/// The faults that keep a request from the node.
fn early(fault: Option<&Fault>) -> Option<(&'static str, Outcome)> {
    match fault? {
        Fault::Cut(Moment::Before) => Some(("cut", Outcome::Cut)),
        Fault::NoReply(Moment::Before) => Some(("no-reply", Outcome::Silence)),
        Fault::Status(code, Moment::Before) => Some(("status", status(*code))),
        Fault::Garbage(Moment::Before) => Some(("garbage", garbage())),
        Fault::Empty(Moment::Before) => Some(("empty", answer(200, Bytes::new()))),
        Fault::Cut(Moment::After)
        | Fault::NoReply(Moment::After)
        | Fault::Status(_, Moment::After)
        | Fault::Garbage(Moment::After)
        | Fault::Empty(Moment::After)
        | Fault::Truncated
        | Fault::WrongId
        | Fault::Omitted
        | Fault::Refused { .. }
        | Fault::Forgotten => None,
    }
}

/// The faults that spoil the node's answer.
fn late(
    trace: &ProxyTrace,
    fault: Option<&Fault>,
    forwarded: Result<Forwarded, NoAnswer>,
) -> Outcome {
    let Ok(forwarded) = forwarded else {
        trace.count_fault("node-silent");
        return Outcome::Cut;
    };
    let (name, outcome) = match fault {
        Some(Fault::Cut(_)) => ("cut", Outcome::Cut),
        Some(Fault::NoReply(_)) => ("no-reply", Outcome::Silence),
        Some(Fault::Status(code, _)) => ("status", status(*code)),
        Some(Fault::Garbage(_)) => ("garbage", garbage()),
        Some(Fault::Empty(_)) => ("empty", answer(200, Bytes::new())),
        Some(Fault::Truncated) => {
            let half = forwarded.body.slice(..forwarded.body.len() / 2);
            ("truncated", answer(forwarded.status, half))
        }
        Some(Fault::WrongId | Fault::Omitted | Fault::Refused { .. } | Fault::Forgotten) | None => {
            return Outcome::Answer(forwarded);
        }
    };
    trace.count_fault(name);
    outcome
}

fn status(code: u16) -> Outcome {
    answer(code, Bytes::from_static(b"the proxy was told so\n"))
}

fn garbage() -> Outcome {
    answer(200, Bytes::from_static(b"<html>\x00\xff{\"id\":"))
}

fn answer(status: u16, body: Bytes) -> Outcome {
    Outcome::Answer(Forwarded { status, body })
}
