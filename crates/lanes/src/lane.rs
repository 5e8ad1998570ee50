//! The engine of one lane: a state machine without I/O, clock or chance.
//!
//! Feed it with [`Lane::handle`], take what it wants done from [`Lane::poll_output`], write what [`Lane::poll_commit`]
//! gives and tell it with [`Input::Committed`]. Whatever depends on a write comes out only after that.
//!
//! Every question that comes out ([`Output::Survey`], [`Output::Lookup`], [`Output::Observe`], [`Output::Estimate`],
//! [`Output::Sign`], [`Output::FetchMarket`], [`Output::Broadcast`]) is to be answered once, however late and in
//! whatever order; a new market is asked for with every block that needs one, answered or not. A lane that is restored
//! starts with new questions: answers to those of the one before it must not be given to it. Blocks and rollbacks come
//! in the order in which they happened.

mod attempt;
mod bind;
mod chain;
mod foreign;
mod inbox;
mod mend;
mod offer;
mod queue;
mod stage;
mod start;
mod survey;
mod view;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use baton_model::{Address, B256, RequestId, Timestamp};

pub use bind::gas_with_margin;
pub use stage::Changes;
pub use start::{RestoreError, Restored};
pub use view::{AccountView, SlotState, SlotView};

use crate::account::Account;
use crate::config::LaneConfig;
use crate::event::{Input, Output, Ticket};
use crate::fees::MarketView;
use crate::record::{RequestRecord, SummaryRecord};
use baton_model::TxSpec;
use queue::Queue;
use stage::Stage;

/// How often a lane with open work looks at its clocks: the finest retry pause is not shorter.
const TICK: Duration = Duration::from_millis(250);

/// The engine of one lane.
#[derive(Debug)]
pub struct Lane {
    config: LaneConfig,
    accounts: BTreeMap<Address, Account>,
    /// Open requests.
    requests: BTreeMap<RequestId, Request>,
    /// Requests without a slot.
    queue: Queue,
    /// Requests with a replacement under way.
    replacing: BTreeSet<RequestId>,
    /// Requests without a slot that were cancelled while they may have been sent.
    cancelled: BTreeSet<RequestId>,
    /// When open requests lapse.
    expiries: BTreeSet<(Timestamp, RequestId)>,
    /// Whether some have lapsed that the last stage had no room for.
    expiring: bool,
    /// Attempts by hash; only looked up, never iterated.
    attempts: HashMap<B256, (Address, u64)>,
    /// Which slot waits for a signature.
    tickets: BTreeMap<Ticket, (Address, u64)>,
    next_ticket: u64,
    /// Signatures that failed, by the time to ask again.
    unsigned: BTreeMap<(Timestamp, Ticket), (Address, u64)>,
    /// The head that was last taken in.
    head: Option<Head>,
    /// How often blocks were taken back.
    rollbacks: u64,
    market: Option<Market>,
    market_asked: bool,
    surveyed: bool,
    /// The entry of the inbox without which unknown nonces are not judged.
    inbox_awaited: u64,
    /// See [`Restored::has_lost`].
    has_lost: bool,
    stage: Stage,
    summary: SummaryRecord,
    outputs: VecDeque<Output>,
}

#[derive(Clone, Copy, Debug)]
struct Head {
    number: u64,
    gas_limit: u64,
}

#[derive(Clone, Debug)]
struct Market {
    view: MarketView,
    block: u64,
}

/// An open request.
#[derive(Clone, Debug)]
struct Request {
    record: RequestRecord,
    /// Its place in the order of acceptance.
    position: u64,
    slot: Option<(Address, u64)>,
    gas: Gas,
    replacing: Option<Replacing>,
    /// The question for gas that is not answered yet. One at a time, since answers only name the request.
    estimating: Option<Estimating>,
}

/// What an answer about gas will be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Estimating {
    Request,
    Replacement,
    /// A call that was replaced since.
    Nothing,
}

/// What is known of the gas that a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gas {
    /// To be estimated from a time on.
    Unknown {
        from: Timestamp,
        tries: u32,
    },
    Asked {
        tries: u32,
    },
    Known(u64),
}

impl Gas {
    fn of(spec: &TxSpec, now: Timestamp) -> Self {
        let unknown = Self::Unknown {
            from: now,
            tries: 0,
        };
        spec.gas_limit.map_or(unknown, Self::Known)
    }
}

/// A replacement that waits for its gas or for the market.
#[derive(Clone, Debug)]
struct Replacing {
    command: RequestId,
    spec: TxSpec,
    gas: Gas,
}

impl Lane {
    /// Takes in what happened. `now` must not go back between calls.
    pub fn handle(&mut self, input: Input, now: Timestamp) {
        match input {
            Input::Inbox { position, command } => self.handle_inbox(position, command, now),
            Input::Surveyed(survey) => self.handle_surveyed(&survey, now),
            Input::Found {
                account,
                nonce,
                receipt,
            } => {
                self.handle_found(account, nonce, receipt, now);
            }
            Input::Observed {
                account,
                nonce,
                transaction,
            } => {
                self.handle_observed(account, nonce, transaction, now);
            }
            Input::Estimated { id, estimate } => self.handle_estimated(id, estimate, now),
            Input::Signed { ticket, signed } => self.handle_signed(ticket, signed, now),
            Input::Committed { stage } => self.handle_committed(stage, now),
            Input::Answered {
                account,
                nonce,
                hash,
                answers,
            } => {
                self.handle_answered(account, nonce, hash, &answers, now);
            }
            Input::Mined(receipts) => self.handle_mined(receipts, now),
            Input::Block(block) => self.handle_block(block, now),
            Input::Rollback { to } => self.handle_rollback(to, now),
            Input::Market(view) => self.handle_market(view, now),
            Input::Tick => self.handle_tick(now),
        }
        self.end_cancelled(now);
        self.bind_ready(now);
    }

    /// The next thing to do, in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Tick`] is due at the latest; `None` while nothing is open.
    pub fn poll_timeout(&self, now: Timestamp) -> Option<Timestamp> {
        let idle = self.requests.is_empty() && self.accounts.values().all(|a| a.slots.is_empty());
        (!idle).then(|| now.saturating_add(TICK))
    }

    fn handle_market(&mut self, view: MarketView, now: Timestamp) {
        let Some(head) = self.head else { return };
        self.market_asked = false;
        self.market = Some(Market {
            view,
            block: head.number,
        });
        self.queue.look_again(0);
        self.mend_underpriced(now);
        self.resume_surveys(now);
    }

    fn ask_market(&mut self) {
        if !self.market_asked {
            self.market_asked = true;
            self.outputs.push_back(Output::FetchMarket);
        }
    }

    fn account(&mut self, address: Address) -> Option<&mut Account> {
        self.accounts.get_mut(&address)
    }
}
