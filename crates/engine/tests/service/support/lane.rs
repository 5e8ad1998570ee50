//! The real lane engine, driven by hand: what a driver does, with a chain that does what the test
//! says.

use std::sync::Arc;
use std::time::Duration;

use baton_coord::{Batch, Clock, Epoch, HolderId, Lease, Log, ManualClock, Position, Table, Wake};
use baton_engine::changed_topic;
use baton_lanes::record::{self, InboxRecord, ReceiptRecord, key};
use baton_lanes::{
    AccountInput, Answer, BlockInput, Command, Input, Lane, LaneConfig, MarketView, Offer, Output,
    Restored, Signed, Survey, SurveyedAccount, Timing,
};
use baton_model::{Address, B256, Bytes, EvmPolicy, LaneId, RelayerId, RequestId, TxStatus, U256};
use tokio::task::JoinHandle;

use super::store::FaultyStore;
use super::{World, profile};

const GAS_LIMIT: u64 = 30_000_000;
const FOREVER: Duration = Duration::from_secs(3600);

/// A lane and its holder's hands.
pub(crate) struct LaneHand {
    store: Arc<FaultyStore>,
    clock: Arc<ManualClock>,
    id: LaneId,
    epoch: Epoch,
    lane: Lane,
    accounts: Vec<Address>,
    block: u64,
    /// What was offered to nodes and not mined yet.
    pub(crate) offers: Vec<Offer>,
    /// Whether its accounts have money.
    funded: bool,
    /// How many events it told of.
    pub(crate) told: u64,
}

impl LaneHand {
    /// Takes the baton of a relayer's lane and answers the first survey. Without money nothing gets
    /// a nonce.
    pub(crate) async fn take(world: &World, relayer: &str, funded: bool) -> Self {
        let id = RelayerId::new(relayer).unwrap().lane();
        let accounts = world
            .service
            .relayer(relayer)
            .unwrap()
            .relayer
            .accounts
            .clone();
        let holder = HolderId("test".to_owned());
        let acquired = world.store.acquire(&id, &holder, FOREVER).await.unwrap();
        let profile = profile();
        let config = LaneConfig {
            accounts: accounts.clone(),
            policy: EvmPolicy::default(),
            timing: Timing::for_chain(&profile),
            profile,
            paused: false,
            adopt: false,
            retention: FOREVER,
        };
        let lane = Lane::restore(config, Restored::default(), world.clock.now()).unwrap();
        let mut hand = Self {
            store: world.store.clone(),
            clock: world.clock.clone(),
            id,
            epoch: acquired.epoch,
            lane,
            accounts,
            block: 100,
            offers: Vec::new(),
            funded,
            told: 0,
        };
        hand.settle().await;
        hand
    }

    /// Takes in everything that is in the inbox, and does what follows from it.
    pub(crate) async fn take_in(&mut self) {
        let after = Position(self.lane.summary().inbox);
        let entries = self.store.read(&self.id, after, 4096, Duration::ZERO).await;
        for entry in entries.unwrap() {
            let command = match record::decode(&entry.value).unwrap() {
                InboxRecord::Accept { id } => {
                    let name = key::request(id).into();
                    let found = self.store.get(&self.id, &name).await.unwrap().unwrap();
                    Command::Accept(Box::new(record::decode(&found.value).unwrap()))
                }
                InboxRecord::Cancel { id, command } => Command::Cancel { id, command },
                InboxRecord::Replace { id, command, spec } => Command::Replace {
                    id,
                    command,
                    spec: Box::new(spec),
                },
            };
            let position = entry.position.0;
            self.lane
                .handle(Input::Inbox { position, command }, self.clock.now());
        }
        self.settle().await;
    }

    /// Runs the lane in a task of its own until it is aborted.
    pub(crate) fn run(mut self) -> JoinHandle<()> {
        tokio::spawn(async move {
            loop {
                self.take_in().await;
                let after = Position(self.lane.summary().inbox);
                self.store.read(&self.id, after, 1, FOREVER).await.unwrap();
            }
        })
    }

    /// A block that mines everything offered, and one on top that makes it final.
    pub(crate) async fn mine(&mut self) {
        self.mine_one().await;
        self.finalize().await;
    }

    /// A block that mines everything offered.
    pub(crate) async fn mine_one(&mut self) {
        self.block += 1;
        let mut offers = std::mem::take(&mut self.offers);
        // The dearest attempt of a nonce is the last that was offered.
        offers.reverse();
        offers.sort_by_key(|offer| offer.nonce);
        offers.dedup_by_key(|offer| (offer.account, offer.nonce));
        let mined = offers
            .iter()
            .map(|offer| self.receipt(offer.hash))
            .collect();
        self.block_with(mined).await;
    }

    /// An empty block.
    pub(crate) async fn finalize(&mut self) {
        self.block += 1;
        self.block_with(Vec::new()).await;
    }

    async fn block_with(&mut self, mined: Vec<ReceiptRecord>) {
        let count = mined.len() as u64;
        let lane = &self.lane;
        let accounts = lane.accounts().map(|account| AccountInput {
            address: account.address,
            nonce: account.chain_nonce + if self.accounts.len() == 1 { count } else { 0 },
            balance: account.balance,
        });
        let block = BlockInput {
            number: self.block,
            gas_limit: GAS_LIMIT,
            mined,
            accounts: accounts.collect(),
        };
        self.lane.handle(Input::Block(block), self.clock.now());
        self.settle().await;
    }

    fn receipt(&self, hash: B256) -> ReceiptRecord {
        ReceiptRecord {
            hash,
            block_number: self.block,
            block_hash: B256::with_last_byte(u8::try_from(self.block).unwrap()),
            success: true,
            gas_used: 21_000,
            effective_gas_price: 1_000_000_007,
            l1_fee: None,
            contract: None,
        }
    }

    /// Commits and answers until nothing is left to do.
    async fn settle(&mut self) {
        loop {
            let mut busy = false;
            while let Some(output) = self.lane.poll_output() {
                busy = true;
                if let Some(input) = self.answer(output) {
                    self.lane.handle(input, self.clock.now());
                }
            }
            while let Some(changes) = self.lane.poll_commit() {
                busy = true;
                let mut batch = Batch::new(self.id.clone()).fenced(self.epoch);
                let puts = changes.puts.into_iter();
                batch.puts = puts
                    .map(|(key, value)| (key.into(), value.into()))
                    .collect();
                batch.deletes = changes.deletes.into_iter().map(Into::into).collect();
                batch.trim = changes.trim.map(Position);
                self.tell(&changes.statuses, &mut batch);
                self.store.commit(batch).await.unwrap();
                let stage = changes.stage;
                self.lane
                    .handle(Input::Committed { stage }, self.clock.now());
                self.store.publish(&changed_topic(&self.id)).await.ok();
            }
            if !busy {
                return;
            }
        }
    }

    /// Writes down what happened, as a driver does.
    fn tell(&mut self, statuses: &[(RequestId, TxStatus)], batch: &mut Batch) {
        if statuses.is_empty() {
            return;
        }
        let first = self.told + 1;
        self.told += statuses.len() as u64;
        let events = statuses.iter();
        let events: Vec<_> = events
            .map(|one| serde_json::json!({ "status": one }))
            .collect();
        let at = self.clock.now();
        let chunk =
            serde_json::json!({ "v": 1, "r": { "first": first, "at": at, "events": events } });
        let key = format!("e/{:020}", self.told);
        batch.puts.push((key.into(), chunk.to_string().into()));
    }

    fn answer(&mut self, output: Output) -> Option<Input> {
        match output {
            Output::Survey => Some(Input::Surveyed(self.survey())),
            Output::FetchMarket => Some(Input::Market(MarketView {
                base_fee: Some(1_000_000_000),
                tips: [1, 2, 3, 4],
                gas_price: 1_000_000_000,
            })),
            Output::Sign { ticket, .. } => {
                let mut signature = vec![0xab; 65];
                signature[64] = 1;
                let hash = B256::from(U256::from(0x1000 + ticket.0));
                let signed = Some(Signed {
                    raw: Bytes::from(hash.to_vec()),
                    hash,
                    signature: signature.into(),
                });
                Some(Input::Signed { ticket, signed })
            }
            Output::Broadcast(offer) => {
                let (account, nonce, hash) = (offer.account, offer.nonce, offer.hash);
                self.offers.push(offer);
                Some(Input::Answered {
                    account,
                    nonce,
                    hash,
                    answers: vec![Answer::Accepted],
                })
            }
            Output::Lookup { .. }
            | Output::Observe { .. }
            | Output::Estimate { .. }
            | Output::Status { .. }
            | Output::Alarm(_) => None,
        }
    }

    fn survey(&self) -> Survey {
        let balance = if self.funded {
            U256::from(10_u64).pow(U256::from(21))
        } else {
            U256::ZERO
        };
        let accounts = self.accounts.iter().map(|address| SurveyedAccount {
            address: *address,
            nonce: 7,
            pending: Some(7),
            balance,
        });
        Survey {
            block: self.block,
            gas_limit: GAS_LIMIT,
            accounts: accounts.collect(),
        }
    }
}
