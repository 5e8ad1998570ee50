//! What is kept about keys, within a bound.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::hash::point_of;
use crate::curve::{Affine, Comb, Window};

/// Digits of kept tables. Wider ones take fewer additions and more memory: see docs/performance.md.
const WINDOW: Window = Window::bits(8);

/// Appearances after which a key gets tables. Making one costs as much as a dozen products with it save.
const WORTH_A_TABLE: u32 = 4;

/// What an entry takes besides tables, in bytes: its points, its places in two maps, and what the allocator adds.
const ENTRY_MEMORY: usize = 768;

/// The least memory of a verifier: the tables of one ring of 8.
pub const VERIFIER_MEMORY_MIN: usize = 17 * (WINDOW.memory() + ENTRY_MEMORY);

/// A compressed point and its role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    is_member: bool,
    bytes: [u8; 33],
}

/// What was computed about a key.
pub(super) struct Known {
    /// The point, and for a member the point it hashes to.
    points: Vec<Affine>,
    /// A table for each point, or none.
    pub(super) combs: Vec<Comb>,
}

/// Known keys, the least recently used of which go when memory is used up.
pub(super) struct Cache {
    limit: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    entries: BTreeMap<Key, Entry>,
    /// Keys by when they were used last.
    order: BTreeMap<u64, Key>,
    clock: u64,
    memory: usize,
}

struct Entry {
    known: Arc<Known>,
    seen: u32,
    used: u64,
}

impl Key {
    pub(super) fn image(bytes: &[u8; 33]) -> Self {
        Self {
            is_member: false,
            bytes: *bytes,
        }
    }

    pub(super) fn member(bytes: &[u8; 33]) -> Self {
        Self {
            is_member: true,
            bytes: *bytes,
        }
    }
}

impl Known {
    /// Decompresses a key, and hashes a member's. `None` if it is no point.
    pub(super) fn compute(key: &Key) -> Option<Self> {
        let mut points = vec![Affine::from_bytes(&key.bytes)?];
        if key.is_member {
            points.push(point_of(&key.bytes));
        }
        Some(Self {
            points,
            combs: Vec::new(),
        })
    }

    /// The points that have no table.
    pub(super) fn cold(&self) -> &[Affine] {
        if self.combs.is_empty() {
            &self.points
        } else {
            &[]
        }
    }

    fn with_tables(&self) -> Self {
        Self {
            points: self.points.clone(),
            combs: self
                .points
                .iter()
                .map(|point| Comb::new(*point, WINDOW))
                .collect(),
        }
    }

    fn memory(&self) -> usize {
        ENTRY_MEMORY + self.combs.len() * WINDOW.memory()
    }
}

impl Cache {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit: limit.max(VERIFIER_MEMORY_MIN),
            state: Mutex::default(),
        }
    }

    /// What is known about each key.
    pub(super) fn find(&self, keys: &[Key]) -> Vec<Option<Arc<Known>>> {
        let state = self.lock();
        keys.iter()
            .map(|key| state.entries.get(key).map(|entry| entry.known.clone()))
            .collect()
    }

    /// Notes that keys appeared in a valid signature, and makes tables for those that now are worth them.
    pub(super) fn remember(&self, keys: impl Iterator<Item = (Key, Arc<Known>)>) {
        let worth: Vec<(Key, Arc<Known>)> = {
            let mut state = self.lock();
            let worth = keys
                .filter_map(|(key, known)| state.touch(key, &known).then_some((key, known)))
                .collect();
            state.shrink(self.limit);
            worth
        };
        for (key, known) in worth {
            let known = Arc::new(known.with_tables());
            let mut state = self.lock();
            state.improve(&key, known);
            state.shrink(self.limit);
        }
    }

    /// Bytes in use.
    pub(super) fn memory(&self) -> usize {
        self.lock().memory
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half way; what a panicking thread left is still a cache.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Counts an appearance. Answers whether the key has just become worth a table.
    fn touch(&mut self, key: Key, known: &Arc<Known>) -> bool {
        self.clock += 1;
        let entry = self.entries.entry(key).or_insert_with(|| {
            self.memory += known.memory();
            Entry {
                known: known.clone(),
                seen: 0,
                used: 0,
            }
        });
        self.order.remove(&entry.used);
        self.order.insert(self.clock, key);
        entry.used = self.clock;
        entry.seen = entry.seen.saturating_add(1);
        entry.seen == WORTH_A_TABLE && entry.known.combs.is_empty()
    }

    fn improve(&mut self, key: &Key, known: Arc<Known>) {
        if let Some(entry) = self.entries.get_mut(key) {
            self.memory = self.memory + known.memory() - entry.known.memory();
            entry.known = known;
        }
    }

    fn shrink(&mut self, limit: usize) {
        while self.memory > limit
            && let Some((_, key)) = self.order.pop_first()
            && let Some(entry) = self.entries.remove(&key)
        {
            self.memory -= entry.known.memory();
        }
    }
}
