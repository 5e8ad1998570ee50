//! Who asks for transactions, and what they were told.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::hex;
use baton_engine::service::{IdempotencyKey, Sent, Service, ServiceError};
use baton_model::{Address, RequestId, Speed};
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};

use crate::gate::Gate;
use crate::plan::{Nature, Plan, Price, Request};
use crate::world::{EPOCH_MS, World};

/// How long a caller waits for an answer, in milliseconds, before it asks elsewhere.
const PATIENCE_MS: u64 = 8_000;

/// The relayer's id.
pub(crate) const RELAYER: &str = "main";

/// All callers.
pub(crate) struct Callers {
    pub(crate) calls: Vec<Call>,
    by_target: BTreeMap<Address, usize>,
}

/// One request, and what its caller knows.
pub(crate) struct Call {
    pub(crate) request: Request,
    state: State,
    /// Ids that were given for it. More than one is a breach.
    pub(crate) accepted: Option<RequestId>,
    /// Whether some answer left open whether it was accepted.
    pub(crate) maybe: bool,
    /// Whether the caller was told for good that it is not accepted.
    pub(crate) refused: bool,
    accepted_ms: u64,
    cancel_sent: bool,
    replace_sent: bool,
    /// Whether a cancel may have been taken.
    pub(crate) cancel_asked: bool,
    /// Whether the store that knew of it was rolled back.
    pub(crate) lost: bool,
}

/// What a caller is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Asks at this time of the world, in milliseconds.
    Waiting(u64),
    /// Has asked a process, at this time.
    Asked(usize, u64),
    Done,
}

/// Something that a caller does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Send(usize),
    Cancel(usize, RequestId),
    Replace(usize, RequestId),
}

impl Callers {
    pub(crate) fn new(plan: &Plan) -> Self {
        let calls = plan.requests.iter().map(|request| Call {
            state: State::Waiting(request.at_ms),
            request: request.clone(),
            accepted: None,
            maybe: false,
            refused: false,
            accepted_ms: 0,
            cancel_sent: false,
            replace_sent: false,
            cancel_asked: false,
            lost: false,
        });
        let targets = (0..plan.requests.len()).map(|index| (target(index), index));
        Self {
            calls: calls.collect(),
            by_target: targets.collect(),
        }
    }

    /// Whose request calls this target.
    pub(crate) fn of_target(&self, target: Address) -> Option<usize> {
        self.by_target.get(&target).copied()
    }

    /// Whether nobody waits for an answer any more.
    pub(crate) fn all_done(&self) -> bool {
        self.calls.iter().all(|call| call.state == State::Done)
    }

    /// What is to be done now.
    pub(crate) fn due(&mut self, now_ms: u64) -> Vec<Action> {
        let mut due = Vec::new();
        for (index, call) in self.calls.iter_mut().enumerate() {
            if let State::Asked(_, at_ms) = call.state
                && now_ms >= at_ms + PATIENCE_MS
            {
                call.leave_open(now_ms);
            }
            if let State::Waiting(at_ms) = call.state
                && at_ms <= now_ms
            {
                due.push(Action::Send(index));
                if call.request.doubled && call.request.keyed {
                    due.push(Action::Send(index));
                }
            }
            let Some(id) = call.accepted else { continue };
            let passed = now_ms.saturating_sub(call.accepted_ms);
            if call
                .request
                .cancel_after_ms
                .is_some_and(|after| passed >= after)
                && !std::mem::replace(&mut call.cancel_sent, true)
            {
                call.cancel_asked = true;
                due.push(Action::Cancel(index, id));
            }
            if call
                .request
                .replace_after_ms
                .is_some_and(|after| passed >= after)
                && !std::mem::replace(&mut call.replace_sent, true)
            {
                due.push(Action::Replace(index, id));
            }
        }
        due
    }

    /// A call is on its way.
    pub(crate) fn asked(&mut self, index: usize, process: usize, now_ms: u64) {
        self.calls[index].state = State::Asked(process, now_ms);
    }

    /// A process died: whoever waited for its answer hears nothing.
    pub(crate) fn forget_process(&mut self, process: usize, now_ms: u64) {
        for call in &mut self.calls {
            if matches!(call.state, State::Asked(asked, _) if asked == process) {
                call.leave_open(now_ms);
            }
        }
    }
}

impl Call {
    /// No answer came: a caller with a key asks again, another one has to live with it.
    fn leave_open(&mut self, now_ms: u64) {
        self.maybe = true;
        self.state = if self.request.keyed {
            State::Waiting(now_ms + 500)
        } else {
            State::Done
        };
    }
}

impl World {
    /// A caller hears what became of its request.
    pub(crate) fn answered(
        &mut self,
        process: usize,
        index: usize,
        answer: Result<Sent, ServiceError>,
    ) {
        let now_ms = self.now_ms;
        self.say(Some(process), || match &answer {
            Ok(sent) => format!("call {index} is {}", sent.transaction.id),
            Err(error) => format!("call {index}: {error}"),
        });
        let call = &mut self.callers.calls[index];
        let done = call.state == State::Done;
        match answer {
            Ok(sent) => {
                let id: RequestId = sent.transaction.id.parse().expect("an id");
                call.state = State::Done;
                if call.accepted.is_none() {
                    call.accepted_ms = now_ms;
                    self.coverage.input("request accepted");
                }
                let before = call.accepted.replace(id);
                // What was accepted just before the store went back in time, and is told of only now, is as lost as
                // what was told before.
                let is_forgotten = self.watch.has_forgotten(id);
                if let Some(before) = before.filter(|_| is_forgotten) {
                    call.accepted = Some(before);
                }
                call.lost |= is_forgotten && before.is_none();
                let other = before.filter(|before| *before != id && !call.lost && !is_forgotten);
                if let Some(before) = other {
                    self.fail(format!("call {index} was accepted as {before} and as {id}"));
                } else if call.refused {
                    self.fail(format!(
                        "call {index} was refused for good and then accepted"
                    ));
                }
            }
            Err(ServiceError::UnknownAccept { .. }) if !done => call.leave_open(now_ms),
            // Nothing was changed by this call; one before it may still have been.
            Err(ServiceError::Unavailable(_) | ServiceError::Table(_)) if !done => {
                call.state = if call.request.keyed {
                    State::Waiting(now_ms + 1_000)
                } else {
                    call.refused = !call.maybe;
                    State::Done
                };
            }
            // Its time had passed, by the clock of this process; a copy may have come to another one.
            Err(ServiceError::Invalid(_)) if !done && call.request.valid_ms.is_some() => {
                call.refused = !call.maybe && !call.request.doubled;
                call.state = State::Done;
            }
            Err(
                ServiceError::UnknownAccept { .. }
                | ServiceError::Unavailable(_)
                | ServiceError::Table(_),
            ) => {}
            Err(error) => {
                if !done {
                    self.fail(format!("call {index} was answered with: {error}"));
                }
            }
        }
    }
}

/// What request number `index` calls.
pub(crate) fn target(index: usize) -> Address {
    Address::left_padding_from(&(0xdead_0000_0000_u64 + index as u64).to_be_bytes())
}

/// Sends a request.
pub(crate) async fn send(gate: Arc<Gate>, service: Arc<Service>, index: usize, request: Request) {
    let key = request.keyed.then(|| format!("key-{index}"));
    let key = key.map(|key| IdempotencyKey::new(key.as_bytes()).expect("a fine key"));
    let body = body(index, &request, 1);
    let answer = service.send(RELAYER, &body, key.as_ref()).await;
    gate.world().answered(gate.process, index, answer);
}

/// Cancels a request. The answer says nothing that its record does not.
pub(crate) async fn cancel(gate: Arc<Gate>, service: Arc<Service>, id: RequestId) {
    let answer = service.cancel(RELAYER, &id.to_string()).await;
    gate.world()
        .commanded(gate.process, "cancel", id, answer.err());
}

/// Replaces a request by one that does something else to the same target.
pub(crate) async fn replace(
    gate: Arc<Gate>,
    service: Arc<Service>,
    index: usize,
    request: Request,
    id: RequestId,
) {
    let body = body(index, &request, 2);
    let answer = service.replace(RELAYER, &id.to_string(), &body).await;
    gate.world()
        .commanded(gate.process, "replace", id, answer.err());
}

impl World {
    fn commanded(
        &mut self,
        process: usize,
        what: &'static str,
        id: RequestId,
        error: Option<ServiceError>,
    ) {
        self.coverage.input(what);
        self.say(Some(process), || {
            let outcome = error
                .as_ref()
                .map_or_else(|| "taken".to_owned(), ToString::to_string);
            format!("{what} {id}: {outcome}")
        });
        if let Some(ServiceError::Defect(text)) = error {
            self.fail(text);
        }
    }
}

fn body(index: usize, request: &Request, value: u64) -> Box<RawValue> {
    let data = match request.nature {
        // Such a call would end before it has a nonce, unless it says how much gas it needs.
        Nature::Plain | Nature::Reverts | Nature::Poison => [request.nature.byte(), 0x05],
    };
    let mut body = json!({
        "to": target(index),
        "value": value,
        "data": format!("0x{}", hex::encode(data)),
    });
    let fields = body.as_object_mut().expect("an object");
    if request.gas_given {
        fields.insert("gas_limit".to_owned(), json!(30_000));
    }
    match request.price {
        Price::Speed(speed) => {
            fields.insert("speed".to_owned(), json!(name_of(speed)));
        }
        Price::Legacy(price) => {
            fields.insert("gas_price".to_owned(), json!(price.to_string()));
        }
        Price::Dynamic(max, tip) => {
            fields.insert("max_fee_per_gas".to_owned(), json!(max.to_string()));
            fields.insert(
                "max_priority_fee_per_gas".to_owned(),
                json!(tip.to_string()),
            );
        }
    }
    if let Some(valid_ms) = request.valid_ms {
        let at = EPOCH_MS + request.at_ms + valid_ms;
        fields.insert("valid_until".to_owned(), json!(rfc3339(at)));
    }
    to_raw_value(&body).expect("a value can be written")
}

const fn name_of(speed: Speed) -> &'static str {
    match speed {
        Speed::SafeLow => "safeLow",
        Speed::Average => "average",
        Speed::Fast => "fast",
        Speed::Fastest => "fastest",
    }
}

/// Runs begin on 2023-11-14 at 22:13:20 and end before midnight.
fn rfc3339(millis: u64) -> String {
    let of_day = (millis / 1000) % 86_400;
    let (hours, minutes, seconds) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("2023-11-14T{hours:02}:{minutes:02}:{seconds:02}Z")
}
