//! A lane in a model world: a chain, a store, signers and callers, all of which may misbehave as real ones do.

pub(crate) mod chain;
mod check;
mod execute;
mod ledger;
pub(crate) mod rng;
pub(crate) mod store;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use baton_lanes::record::{self, InboxRecord, ReceiptRecord, RequestRecord};
use baton_lanes::{
    AccountInput, AccountView, Alarm, BlockInput, Changes, Command, Input, Lane, LaneConfig, Offer,
    Output, Timing,
};
use baton_model::{
    Address, Bytes, ChainProfile, EvmPolicy, Fees, Mempool, RequestId, Timestamp, TxSpec, TxStatus,
    U256,
};

use chain::{Block, Chain, State};
pub(crate) use ledger::{Entry, request_id};
use rng::Rng;
use store::Store;

/// What a world is like.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) accounts: u8,
    pub(crate) cap: u32,
    pub(crate) confirmations: u64,
    pub(crate) eip1559: bool,
    pub(crate) mempool: Mempool,
    pub(crate) gas_price_cap: Option<u128>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            accounts: 1,
            cap: 16,
            confirmations: 3,
            eip1559: true,
            mempool: Mempool::Public,
            gas_price_cap: None,
        }
    }
}

/// Receipts that a lane is given at a time: few, so that most blocks come in parts.
const MINED_MAX: usize = 2;

/// What does not work at the moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    /// Nodes do not answer; half of what is offered arrives all the same.
    pub(crate) nodes_down: bool,
    pub(crate) signers_down: bool,
    /// Percent of answers that are lost, late or wrong, within what a correct lane survives.
    pub(crate) lies: u64,
    /// Nodes cannot tell which transaction stands at a nonce.
    pub(crate) blind: bool,
    /// Surveys come without pool counts.
    pub(crate) poolless: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Event {
    Block(Block),
    Rollback(u64),
}

/// A commit on its way.
#[derive(Clone, Debug)]
pub(crate) struct Flight {
    pub(crate) changes: Changes,
    pub(crate) applied: bool,
}

pub(crate) struct World {
    pub(crate) rng: Rng,
    pub(crate) now: u64,
    pub(crate) config: LaneConfig,
    pub(crate) lane: Lane,
    pub(crate) chain: Chain,
    pub(crate) store: Store,
    pub(crate) faults: Faults,
    /// What the lane wants done and nobody has done yet.
    pub(crate) tasks: Vec<Output>,
    /// Answers that the lane has not heard yet.
    pub(crate) answers: Vec<Input>,
    /// Blocks and rollbacks that the lane has not heard yet.
    pub(crate) events: VecDeque<Event>,
    pub(crate) flight: Option<Flight>,
    /// Offers of a process that is gone, still on their way.
    pub(crate) orphans: Vec<Bytes>,
    pub(crate) ledger: BTreeMap<RequestId, Entry>,
    pub(crate) alarms: Vec<Alarm>,
    pub(crate) broadcasts: Vec<Offer>,
    pub(crate) statuses: Vec<(RequestId, TxStatus)>,
    /// Bids signed so far, by slot.
    pub(crate) bids: BTreeMap<(Address, u64), Vec<Fees>>,
    /// Accounts as they were before the last input.
    before: BTreeMap<Address, AccountView>,
    /// Slots that were seen opened.
    opened: BTreeSet<(Address, u64)>,
    pub(crate) snapshots: Vec<Store>,
    next_request: u64,
}

pub(crate) fn account(index: u8) -> Address {
    Address::repeat_byte(0xa0 + index)
}

/// An account's first balance in wei: more than any test spends.
pub(crate) const RICH: u64 = 1_000_000_000_000_000_000;

impl World {
    pub(crate) fn new(setup: &Setup, seed: u64) -> Self {
        let accounts: Vec<Address> = (0..setup.accounts).map(account).collect();
        let state = accounts.iter().map(|a| {
            let balance = U256::from(RICH);
            (*a, State { nonce: 7, balance })
        });
        let chain = Chain::new(
            state.collect(),
            setup.eip1559,
            setup.mempool,
            setup.confirmations,
        );
        let config = config(setup, accounts);
        let now = 1_000_000;
        let lane = Lane::restore(
            config.clone(),
            baton_lanes::Restored::default(),
            Timestamp::from_millis(now),
        );
        let mut world = Self {
            rng: Rng::new(seed),
            now,
            config,
            lane: lane.expect("an empty store is fine"),
            chain,
            store: Store::default(),
            faults: Faults::default(),
            tasks: Vec::new(),
            answers: Vec::new(),
            events: VecDeque::new(),
            flight: None,
            orphans: Vec::new(),
            ledger: BTreeMap::new(),
            alarms: Vec::new(),
            broadcasts: Vec::new(),
            statuses: Vec::new(),
            bids: BTreeMap::new(),
            before: BTreeMap::new(),
            opened: BTreeSet::new(),
            snapshots: Vec::new(),
            next_request: 0,
        };
        world.drain();
        world
    }

    pub(crate) fn time(&self) -> Timestamp {
        Timestamp::from_millis(self.now)
    }

    /// Gives the lane an input and checks everything that has to hold after it.
    pub(crate) fn feed(&mut self, input: Input) {
        let now = self.time();
        self.lane.handle(input, now);
        self.drain();
        self.check();
    }

    fn drain(&mut self) {
        while let Some(output) = self.lane.poll_output() {
            self.note_output(&output);
            match output {
                Output::Status { id, status } => self.statuses.push((id, status)),
                Output::Alarm(alarm) => self.alarms.push(alarm),
                Output::Broadcast(offer) => {
                    self.broadcasts.push(offer.clone());
                    self.tasks.push(Output::Broadcast(offer));
                }
                task @ (Output::Survey
                | Output::Lookup { .. }
                | Output::Observe { .. }
                | Output::Estimate { .. }
                | Output::Sign { .. }
                | Output::FetchMarket) => self.tasks.push(task),
            }
        }
    }

    /// Accepts a request as the API does.
    pub(crate) fn accept(&mut self, spec: TxSpec) -> RequestId {
        self.next_request += 1;
        let id = request_id(self.next_request);
        let data = vec![spec.call.data.clone()];
        self.ledger.insert(id, Entry::new(data));
        self.store.accept(&RequestRecord {
            id,
            created_at: self.time(),
            accepted: spec.clone(),
            spec,
            idempotency: None,
            status: TxStatus::Pending,
            status_reason: None,
            is_canceled: false,
            sent_at: None,
            mined_at: None,
            finished_at: None,
            current: None,
            hashes: Vec::new(),
            history: Vec::new(),
            receipt: None,
            last_command: None,
            delete_at: None,
            trace: None,
        });
        id
    }

    /// Asks to cancel; gives the command's id.
    pub(crate) fn cancel(&mut self, id: RequestId) -> RequestId {
        self.next_request += 1;
        let command = request_id(self.next_request);
        self.store.append(&InboxRecord::Cancel { id, command });
        command
    }

    /// Asks to replace; gives the command's id.
    pub(crate) fn replace(&mut self, id: RequestId, spec: TxSpec) -> RequestId {
        self.next_request += 1;
        let command = request_id(self.next_request);
        if let Some(entry) = self.ledger.get_mut(&id)
            && !entry.data.contains(&spec.call.data)
        {
            entry.data.push(spec.call.data.clone());
        }
        self.store
            .append(&InboxRecord::Replace { id, command, spec });
        command
    }

    /// Lets the lane read the next entry of its inbox; false when there is none.
    pub(crate) fn read_inbox(&mut self) -> bool {
        let read = self.lane.summary().inbox;
        let Some((position, entry)) = self.store.inbox.range(read + 1..).next() else {
            return false;
        };
        let position = *position;
        let entry = record::decode(entry).expect("a stored entry can be read");
        let command = match entry {
            InboxRecord::Accept { id } => {
                let record = self.store.request(id).expect("accepted with its record");
                Command::Accept(Box::new(record))
            }
            InboxRecord::Cancel { id, command } => Command::Cancel { id, command },
            InboxRecord::Replace { id, command, spec } => Command::Replace {
                id,
                command,
                spec: Box::new(spec),
            },
        };
        self.feed(Input::Inbox { position, command });
        true
    }

    /// Takes the commit one step further: start, apply, answer. False when there is nothing to commit.
    pub(crate) fn commit(&mut self, reply_lost: bool) -> bool {
        let Some(flight) = &mut self.flight else {
            let Some(changes) = self.lane.poll_commit() else {
                return false;
            };
            self.flight = Some(Flight {
                changes,
                applied: false,
            });
            return true;
        };
        if !flight.applied || reply_lost {
            flight.applied = true;
            self.store.apply(&flight.changes);
            self.store.check();
            return true;
        }
        let stage = flight.changes.stage;
        self.flight = None;
        self.feed(Input::Committed { stage });
        true
    }

    /// Tells the lane the next block or rollback; false when there is none.
    pub(crate) fn tell_event(&mut self) -> bool {
        let Some(event) = self.events.pop_front() else {
            return false;
        };
        let input = match event {
            Event::Rollback(to) => Input::Rollback { to },
            Event::Block(block) => {
                let hashes: Vec<_> = block.transactions.iter().map(|t| t.receipt.hash).collect();
                let hits = self.lane.hits(&hashes);
                let mined = hits.iter().filter_map(|hash| block.find(*hash));
                let mut mined: Vec<ReceiptRecord> = mined.map(|t| t.receipt.clone()).collect();
                // In parts, as of a block that holds thousands, with whatever is committed in between.
                while mined.len() > MINED_MAX {
                    let rest = mined.split_off(MINED_MAX);
                    self.feed(Input::Mined(std::mem::replace(&mut mined, rest)));
                    self.commit(false);
                }
                Self::block_input(&block, mined)
            }
        };
        self.feed(input);
        true
    }

    fn block_input(block: &Block, mined: Vec<ReceiptRecord>) -> Input {
        Input::Block(BlockInput {
            number: block.number,
            gas_limit: chain::BLOCK_GAS,
            mined,
            accounts: block
                .state
                .iter()
                .map(|(address, state)| AccountInput {
                    address: *address,
                    nonce: state.nonce,
                    balance: state.balance,
                })
                .collect(),
        })
    }

    /// Makes a block that the lane will hear of.
    pub(crate) fn mine(&mut self, skip: u64) {
        let block = self.chain.mine(&mut self.rng, skip).clone();
        for mined in &block.transactions {
            self.check_single(&mined.tx.tx.call.data);
        }
        self.events.push_back(Event::Block(block));
    }

    /// Takes blocks back.
    pub(crate) fn reorg(&mut self, depth: u64, lose: u64) {
        if let Some(to) = self.chain.reorg(depth, lose, &mut self.rng) {
            self.events.push_back(Event::Rollback(to));
        }
    }

    /// The process dies and another one starts from what is durable.
    pub(crate) fn restart(&mut self, adopt: bool) {
        if let Some(flight) = self.flight.take()
            && (flight.applied || self.rng.percent(50))
        {
            self.store.apply(&flight.changes);
            self.store.check();
        }
        for task in std::mem::take(&mut self.tasks) {
            if let Output::Broadcast(offer) = task
                && self.rng.percent(50)
            {
                self.orphans.push(offer.raw);
            }
        }
        self.answers.clear();
        self.events.clear();
        self.config.adopt = adopt;
        let restored = self.store.load(&self.config.accounts);
        let lane = Lane::restore(self.config.clone(), restored, self.time());
        self.lane = lane.expect("what a lane left can be restored");
        self.before.clear();
        self.drain();
    }

    /// The store forgets what came after a snapshot, and the process starts from that.
    pub(crate) fn roll_back_store(&mut self, snapshot: Store) {
        self.flight = None;
        self.store = snapshot;
        self.forget_lost();
        self.restart(true);
    }
}

fn config(setup: &Setup, accounts: Vec<Address>) -> LaneConfig {
    let profile = ChainProfile {
        name: "model".to_owned(),
        chain_id: 31_337,
        required_confirmations: setup.confirmations,
        average_block_time_ms: 1_000,
        eip1559: setup.eip1559,
        symbol: "ETH".to_owned(),
        is_testnet: true,
        tags: Vec::new(),
        mempool: setup.mempool,
        in_flight_max: setup.cap,
        nonce_window: None,
        l1_data_fee: false,
    };
    LaneConfig {
        accounts,
        policy: EvmPolicy {
            gas_price_cap: setup.gas_price_cap,
            ..EvmPolicy::default()
        },
        timing: Timing::for_chain(&profile),
        profile,
        paused: false,
        adopt: false,
        retention: Duration::from_hours(1),
    }
}
