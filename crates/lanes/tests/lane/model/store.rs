//! A store that keeps what it acknowledged, unless it is told to forget.

use std::collections::{BTreeMap, BTreeSet};

use baton_lanes::record::{
    self, AccountRecord, InboxRecord, RequestRecord, SlotRecord, SummaryRecord, key,
};
use baton_lanes::{Changes, Restored};
use baton_model::{Address, RequestId};

#[derive(Clone, Debug, Default)]
pub(crate) struct Store {
    pub(crate) table: BTreeMap<String, Vec<u8>>,
    pub(crate) inbox: BTreeMap<u64, Vec<u8>>,
    /// Position of the last entry ever appended.
    pub(crate) last: u64,
    /// Whether it is known that it lost what it held.
    pub(crate) has_lost: bool,
    /// The table's slots and accounts as they read now, so that checks need not read them again.
    slots: BTreeMap<(Address, u64), SlotRecord>,
    accounts: BTreeMap<Address, AccountRecord>,
}

/// What a store takes in one batch (`baton_coord::BATCH_BYTES_MAX`, `BATCH_OPS_MAX`): lanes do not know stores, so the
/// figures stand here again.
const BATCH_BYTES_MAX: usize = 16 << 20;
const BATCH_OPS_MAX: usize = 16 << 10;

impl Store {
    /// What the API does to accept a request.
    pub(crate) fn accept(&mut self, record: &RequestRecord) {
        let id = record.id;
        self.table.insert(key::request(id), record::encode(record));
        self.table
            .insert(key::created(record.created_at, id), Vec::new());
        self.append(&InboxRecord::Accept { id });
    }

    pub(crate) fn append(&mut self, entry: &InboxRecord) {
        self.last += 1;
        self.inbox.insert(self.last, record::encode(entry));
    }

    /// Applies a commit, atomically. Doing it twice has the effect of doing it once.
    pub(crate) fn apply(&mut self, changes: &Changes) {
        let bytes: usize = changes.puts.iter().map(|(_, value)| value.len()).sum();
        assert!(
            bytes <= BATCH_BYTES_MAX,
            "{bytes} bytes are more than a store takes at once"
        );
        let operations = changes.puts.len() + changes.deletes.len();
        assert!(
            operations <= BATCH_OPS_MAX,
            "{operations} operations are too many"
        );
        for (key, value) in &changes.puts {
            self.table.insert(key.clone(), value.clone());
            self.mirror(key, Some(value));
        }
        for key in &changes.deletes {
            self.table.remove(key);
            self.mirror(key, None);
        }
        if let Some(trim) = changes.trim {
            self.inbox.retain(|position, _| *position > trim);
        }
    }

    pub(crate) fn request(&self, id: RequestId) -> Option<RequestRecord> {
        let value = self.table.get(&key::request(id))?;
        Some(record::decode(value).expect("a stored request can be read"))
    }

    fn mirror(&mut self, key: &str, value: Option<&Vec<u8>>) {
        if let Some(slot) = key.strip_prefix(key::SLOTS) {
            let place = slot_key(slot);
            let read = |value: &Vec<u8>| record::decode(value).expect("a slot can be read");
            match value.map(read) {
                Some(record) => self.slots.insert(place, record),
                None => self.slots.remove(&place),
            };
        } else if let (Some(account), Some(value)) = (key.strip_prefix("a/"), value) {
            let record = record::decode(value).expect("an account can be read");
            let account = account.parse().expect("an address");
            self.accounts.insert(account, record);
        }
    }

    pub(crate) fn slot(&self, account: Address, nonce: u64) -> Option<&SlotRecord> {
        self.slots.get(&(account, nonce))
    }

    pub(crate) fn account(&self, account: Address) -> Option<AccountRecord> {
        self.accounts.get(&account).copied()
    }

    /// What a lane starts from.
    pub(crate) fn load(&self, accounts: &[Address]) -> Restored {
        let requests = self
            .prefix(key::OPEN)
            .map(|(key, value)| {
                let position = key[key::OPEN.len()..].parse().expect("a position");
                let id = std::str::from_utf8(value).expect("an id is text");
                let record = self.request(id.parse().expect("an id"));
                (position, record.expect("an open request has a record"))
            })
            .collect();
        let summary = self.table.get(key::SUMMARY);
        Restored {
            requests,
            slots: self
                .prefix(key::SLOTS)
                .map(|(key, value)| {
                    let (account, nonce) = slot_key(&key[key::SLOTS.len()..]);
                    let record = record::decode(value).expect("a stored slot can be read");
                    (account, nonce, record)
                })
                .collect(),
            accounts: accounts
                .iter()
                .filter_map(|a| Some((*a, self.account(*a)?)))
                .collect(),
            inbox: self.last,
            has_lost: self.has_lost,
            summary: summary.map(|value| {
                record::decode::<SummaryRecord>(value).expect("a stored summary can be read")
            }),
        }
    }

    fn prefix(&self, prefix: &'static str) -> impl Iterator<Item = (&String, &Vec<u8>)> {
        self.table
            .range(prefix.to_owned()..)
            .take_while(move |(key, _)| key.starts_with(prefix))
    }

    /// Durable invariants 1 and 2: slots end at the next nonce without a gap, and no request has two.
    pub(crate) fn check(&self) {
        let mut owners = BTreeSet::new();
        let mut nonces: BTreeMap<Address, Vec<u64>> = BTreeMap::new();
        for ((account, nonce), slot) in &self.slots {
            nonces.entry(*account).or_default().push(*nonce);
            if let Some(id) = slot.request {
                assert!(owners.insert(id), "request {id} has two durable slots");
            }
            assert!(
                !slot.attempts.is_empty(),
                "slot {nonce} is durable and empty"
            );
        }
        for (account, nonces) in nonces {
            let record = self
                .account(account)
                .expect("an account with slots has a record");
            let first = nonces.first().copied().unwrap_or_default();
            let whole: Vec<u64> = (first..record.next_nonce).collect();
            assert_eq!(nonces, whole, "durable slots of {account} have a gap");
        }
    }
}

fn slot_key(key: &str) -> (Address, u64) {
    let (account, nonce) = key.split_once('/').expect("an account and a nonce");
    (
        account.parse().expect("an address"),
        nonce.parse().expect("a nonce"),
    )
}
