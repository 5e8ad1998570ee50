//! An exchange whose calls are looked at one by one: faults of single calls, old state, and the
//! rules of the strict pool. What reaches the node keeps its order.

use hyper::body::Bytes;
use serde_json::value::RawValue;

use super::control::Plan;
use super::exchange::Shared;
use super::fault::{Fault, Stale};
use super::pool::{Admission, Candidate, NodeSaid, PoolRules, Refusal, RefusalReason, Verdict};
use super::recover;
use super::stale::{self, Rewrite};
use super::upstream::{Forwarded, NoAnswer};
use super::wire::{self, Answer, Call, Calls, SEND, Sent};

pub(super) struct Careful<'a> {
    shared: &'a Shared,
    calls: &'a Calls<'a>,
    plan: &'a Plan,
    /// The newest block that a stale node admits to.
    head: Option<u64>,
    answers: Vec<Option<Answer>>,
    queue: Vec<Queued>,
}

/// A call that is to be forwarded.
struct Queued {
    place: usize,
    /// Parameters other than the call's own.
    params: Option<Box<RawValue>>,
    admission: Option<Admission>,
}

impl<'a> Careful<'a> {
    pub(super) fn new(shared: &'a Shared, calls: &'a Calls<'a>, plan: &'a Plan) -> Self {
        Self {
            shared,
            calls,
            plan,
            head: None,
            answers: vec![None; calls.list.len()],
            queue: Vec::new(),
        }
    }

    pub(super) async fn run(mut self) -> Result<Forwarded, NoAnswer> {
        self.head = match self.plan.stale {
            Some(Stale::Behind(blocks)) => {
                Some(self.shared.upstream.head().await?.saturating_sub(blocks))
            }
            Some(Stale::At(number)) => Some(number),
            None => None,
        };
        for (place, call) in self.calls.list.iter().enumerate() {
            self.take(place, call).await?;
        }
        self.flush().await?;
        Ok(self.written())
    }

    async fn take(&mut self, place: usize, call: &Call<'_>) -> Result<(), NoAnswer> {
        let fault = self.fault(place);
        if let Some(Fault::Refused { code, message }) = fault {
            self.answers[place] = Some(Answer::error(*code, message));
            self.shared.trace.count_fault("refused");
            return Ok(());
        }
        let forgets = fault == Some(&Fault::Forgotten);
        if call.method == SEND
            && (forgets || self.plan.pool.is_some())
            && let Some(sent) = wire::sent(call)
        {
            return self.take_send(place, sent, forgets).await;
        }
        let rewritten = match self.head {
            Some(head) => stale::rewrite(&call.method, call.params, head),
            None => Rewrite::Keep,
        };
        match rewritten {
            Rewrite::Keep => self.enqueue(place, None, None),
            Rewrite::Params(params) => self.enqueue(place, Some(params), None),
            Rewrite::Answer(answer) => self.answers[place] = Some(answer),
        }
        Ok(())
    }

    async fn take_send(&mut self, place: usize, sent: Sent, forgets: bool) -> Result<(), NoAnswer> {
        let admission = match self.plan.pool.as_ref().zip(candidate(&sent)) {
            Some((rules, candidate)) => match self.judge(rules, &candidate).await? {
                Verdict::Forward(admission) => Some(admission),
                Verdict::Refuse(refusal) => {
                    self.answers[place] = Some(self.refused(&refusal));
                    return Ok(());
                }
                Verdict::Forget => {
                    self.shared.trace.count_forgotten();
                    self.answers[place] = Some(Answer::result(&sent.hash));
                    return Ok(());
                }
            },
            // A type that the pool does not know is the node's affair.
            None => None,
        };
        if !forgets {
            self.enqueue(place, None, admission);
            return Ok(());
        }
        if let Some(admission) = &admission {
            self.shared.pool.settle(admission, NodeSaid::Refused);
        }
        self.shared.trace.count_fault("forgotten");
        self.shared.trace.count_forgotten();
        self.answers[place] = Some(Answer::result(&sent.hash));
        Ok(())
    }

    async fn judge(&mut self, rules: &PoolRules, tx: &Candidate) -> Result<Verdict, NoAnswer> {
        let pool = &self.shared.pool;
        if let Some(verdict) = pool.judge(rules, tx) {
            return Ok(verdict);
        }
        // What goes before must be in the node's pool before this one is held against it.
        self.flush().await?;
        Ok(pool.judge_afresh(rules, tx).await)
    }

    fn enqueue(
        &mut self,
        place: usize,
        params: Option<Box<RawValue>>,
        admission: Option<Admission>,
    ) {
        self.queue.push(Queued {
            place,
            params,
            admission,
        });
    }

    /// Forwards what is queued, in one batch.
    async fn flush(&mut self) -> Result<(), NoAnswer> {
        let queue = std::mem::take(&mut self.queue);
        let no_params: &RawValue = serde_json::from_str("[]").expect("a JSON text");
        let calls = queue.iter().map(|queued| {
            let call = &self.calls.list[queued.place];
            let params = queued.params.as_deref().or(call.params);
            (&*call.method, params.unwrap_or(no_params))
        });
        let answers = self.shared.upstream.call(calls).await;
        let pool = &self.shared.pool;
        let admitted = queue.iter().map(|queued| queued.admission.as_ref());
        let Ok(answers) = answers else {
            for admission in admitted.flatten() {
                pool.settle(admission, NodeSaid::Nothing);
            }
            return Err(NoAnswer);
        };
        for (admission, answer) in admitted.zip(&answers) {
            if let Some(admission) = admission {
                pool.settle(admission, said(answer));
            }
        }
        for (queued, answer) in queue.into_iter().zip(answers) {
            let answer = self.node_answered(&queued, answer).await;
            self.answers[queued.place] = Some(answer);
        }
        Ok(())
    }

    /// The node's answer in geth's words, and without what a stale node cannot know.
    async fn node_answered(&self, queued: &Queued, answer: Answer) -> Answer {
        if let Some(head) = self.head {
            return stale::hide(&self.calls.list[queued.place].method, answer, head);
        }
        let (Some(admission), Some(rules), Answer::Error(_)) =
            (&queued.admission, &self.plan.pool, &answer)
        else {
            return answer;
        };
        if is_known(&answer) {
            return self.refused(&Refusal {
                reason: RefusalReason::AlreadyKnown,
                message: "already known".to_owned(),
            });
        }
        let pool = &self.shared.pool;
        match pool.refusal_now(rules, admission.candidate()).await {
            Some(refusal) => self.refused(&refusal),
            None => answer,
        }
    }

    fn refused(&self, refusal: &Refusal) -> Answer {
        self.shared.trace.count_refusal(refusal);
        Answer::error(-32_000, &refusal.message)
    }

    fn fault(&self, place: usize) -> Option<&'a Fault> {
        let of_place = self.plan.calls.iter().find(|(at, _)| *at == place);
        of_place.map(|(_, fault)| fault)
    }

    fn written(self) -> Forwarded {
        let mut parts = Vec::with_capacity(self.answers.len());
        for (place, answer) in self.answers.iter().enumerate() {
            // Every call was answered here or by the node; else the exchange has failed.
            let Some(answer) = answer else { continue };
            let id = self.calls.list[place].id.map_or("null", RawValue::get);
            match self.fault(place) {
                Some(Fault::Omitted) => self.shared.trace.count_fault("omitted"),
                Some(Fault::WrongId) => {
                    self.shared.trace.count_fault("wrong-id");
                    parts.push(wire::answer(&another_id(id), answer));
                }
                Some(_) | None => parts.push(wire::answer(id, answer)),
            }
        }
        let body = if self.calls.is_batch {
            format!("[{}]", parts.join(","))
        } else {
            parts.concat()
        };
        Forwarded {
            status: 200,
            body: Bytes::from(body),
        }
    }
}

fn candidate(sent: &Sent) -> Option<Candidate> {
    let decoded = sent.tx.as_ref()?;
    let from = recover::sender(decoded)?;
    Some(Candidate::new(from, decoded, sent.raw.len()))
}

fn said(answer: &Answer) -> NodeSaid {
    match answer {
        Answer::Result(_) => NodeSaid::Accepted,
        Answer::Error(_) if is_known(answer) => NodeSaid::Accepted,
        Answer::Error(_) => NodeSaid::Refused,
    }
}

/// Whether the node has these very bytes: anvil says so in other words than geth.
fn is_known(answer: &Answer) -> bool {
    match answer {
        Answer::Result(_) => false,
        Answer::Error(error) => ["already imported", "already known"]
            .iter()
            .any(|words| error.get().contains(words)),
    }
}

/// An id that is not in a batch of fewer than a million calls.
fn another_id(id: &str) -> String {
    match id.parse::<u64>() {
        Ok(number) => number.wrapping_add(1_000_003).to_string(),
        Err(_) => r#""nobody""#.to_owned(),
    }
}
