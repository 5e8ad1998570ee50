//! The part of the outbox that is in memory: what is due, in which order, and what is done. No I/O, no clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use baton_coord::Version;
use baton_model::{RequestId, Timestamp};
use tokio::time::Instant;

use super::record::OutboxEvent;
use crate::events::Happened;

/// Events that are waiting or under way.
#[derive(Debug, Default)]
pub(super) struct Window {
    items: BTreeMap<u64, Item>,
    /// Events that are told one after the other; the first of each is waiting or under way.
    lines: BTreeMap<Line, BTreeSet<u64>>,
    /// Waiting events that are the first of their line, by when they are due.
    waiting: BTreeSet<(Instant, u64)>,
    chunks: BTreeMap<u64, Chunk>,
    /// Chunks of which events are done.
    touched: BTreeSet<u64>,
}

#[derive(Debug)]
struct Item {
    event: Arc<OutboxEvent>,
    chunk: u64,
    tries: u32,
    is_under_way: bool,
}

/// What keeps its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Line {
    Transaction(RequestId),
    Relayer,
}

#[derive(Debug)]
struct Chunk {
    version: Version,
    left: BTreeSet<u64>,
}

/// A chunk as it is to be stored: what is left of it, if anything is.
pub(super) struct Rewrite {
    /// Its first number, which is its key.
    pub(super) first: u64,
    /// As it is stored now.
    pub(super) version: Version,
    pub(super) left: Vec<Arc<OutboxEvent>>,
}

/// An event to be tried.
pub(super) struct Due {
    pub(super) event: Arc<OutboxEvent>,
    /// How often it was tried before.
    pub(super) tries: u32,
}

impl Window {
    /// Takes in a chunk of the outbox; chunks come in order. `tries` tells how often an event was tried already.
    pub(super) fn add(
        &mut self,
        first: u64,
        version: Version,
        events: Vec<OutboxEvent>,
        tries: impl Fn(u64) -> u32,
        now: Instant,
    ) {
        let left = events.iter().map(|event| event.number).collect();
        self.chunks.insert(first, Chunk { version, left });
        for event in events {
            let number = event.number;
            let line = self.lines.entry(line_of(&event)).or_default();
            if line.is_empty() {
                self.waiting.insert((now, number));
            }
            line.insert(number);
            let item = Item {
                event: Arc::new(event),
                chunk: first,
                tries: tries(number),
                is_under_way: false,
            };
            self.items.insert(number, item);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// The oldest event that is not done: its number and when it happened.
    pub(super) fn oldest(&self) -> Option<(u64, Timestamp)> {
        let (number, item) = self.items.first_key_value()?;
        Some((*number, item.event.at))
    }

    /// When the next event is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.waiting.first().map(|(due, _)| *due)
    }

    /// The next event that is due. It is under way until it is [`Window::again`] or [`Window::done`].
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Due> {
        let first = self.waiting.first().filter(|(due, _)| *due <= now);
        let (_, number) = *first?;
        self.waiting.pop_first();
        let item = self.items.get_mut(&number)?;
        item.is_under_way = true;
        Some(item.due())
    }

    /// Some events with lower numbers that are not under way; each is to be [`Window::done`].
    pub(super) fn take_before(&self, number: u64, most: usize) -> Vec<Due> {
        let before = self.items.range(..number);
        let idle = before.filter(|(_, item)| !item.is_under_way);
        idle.take(most).map(|(_, item)| item.due()).collect()
    }

    /// An event was tried in vain and waits for its next time.
    pub(super) fn again(&mut self, number: u64, due: Instant) {
        if let Some(item) = self.items.get_mut(&number) {
            item.tries += 1;
            item.is_under_way = false;
            self.waiting.insert((due, number));
        }
    }

    /// An event needs no more tries: the next of its line is due.
    pub(super) fn done(&mut self, number: u64, now: Instant) {
        let Some(item) = self.items.remove(&number) else {
            return;
        };
        if let Some(chunk) = self.chunks.get_mut(&item.chunk) {
            chunk.left.remove(&number);
            self.touched.insert(item.chunk);
        }
        let line = line_of(&item.event);
        let Some(members) = self.lines.get_mut(&line) else {
            return;
        };
        let was_first = members.first() == Some(&number);
        members.remove(&number);
        match members.first() {
            Some(next) if was_first => {
                self.waiting.retain(|(_, waiting)| *waiting != number);
                self.waiting.insert((now, *next));
            }
            Some(_) => {}
            None => {
                self.waiting.retain(|(_, waiting)| *waiting != number);
                self.lines.remove(&line);
            }
        }
    }

    /// Chunks that are to be stored anew.
    pub(super) fn rewrites(&self) -> Vec<Rewrite> {
        let touched = self.touched.iter();
        let chunks = touched.filter_map(|first| Some((*first, self.chunks.get(first)?)));
        let rewrite = |(first, chunk): (u64, &Chunk)| {
            let left = chunk.left.iter().filter_map(|n| self.items.get(n));
            Rewrite {
                first,
                version: chunk.version,
                left: left.map(|item| Arc::clone(&item.event)).collect(),
            }
        };
        chunks.map(rewrite).collect()
    }

    /// They are stored.
    pub(super) fn rewritten(&mut self, version: Version) {
        for first in std::mem::take(&mut self.touched) {
            let Some(chunk) = self.chunks.get_mut(&first) else {
                continue;
            };
            chunk.version = version;
            if chunk.left.is_empty() {
                self.chunks.remove(&first);
            }
        }
    }
}

impl Item {
    fn due(&self) -> Due {
        Due {
            event: Arc::clone(&self.event),
            tries: self.tries,
        }
    }
}

const fn line_of(event: &OutboxEvent) -> Line {
    match event.what {
        Happened::Status(id, _) => Line::Transaction(id),
        Happened::Disabled(_) | Happened::Enabled => Line::Relayer,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use baton_model::TxStatus;
    use uuid::Uuid;

    use super::*;

    fn event(number: u64, transaction: u128) -> OutboxEvent {
        let id = RequestId::from_uuid(Uuid::from_u128(transaction));
        OutboxEvent {
            number,
            id: Uuid::from_u128(u128::from(number)),
            at: Timestamp::from_millis(number),
            what: Happened::Status(id, TxStatus::Mined),
            payload: None,
            data_left: false,
        }
    }

    fn due(window: &mut Window, now: Instant) -> Vec<u64> {
        std::iter::from_fn(|| window.take_due(now).map(|due| due.event.number)).collect()
    }

    #[test]
    fn events_of_one_transaction_wait_for_each_other_and_others_do_not() {
        let now = Instant::now();
        let mut window = Window::default();
        let events = vec![event(1, 7), event(2, 7), event(3, 8)];
        window.add(1, Version(1), events, |_| 0, now);
        window.add(4, Version(2), vec![event(4, 8), event(5, 9)], |_| 3, now);
        assert_eq!(due(&mut window, now), [1, 3, 5]);
        let later = now + Duration::from_secs(5);
        window.again(1, later);
        window.done(3, now);
        assert_eq!(due(&mut window, now), [4], "2 waits for 1");
        assert_eq!(window.next_due(), Some(later));
        assert_eq!(window.oldest(), Some((1, Timestamp::from_millis(1))));
        let again = window.take_due(later).unwrap();
        assert_eq!((again.event.number, again.tries), (1, 1));
        window.done(1, later);
        assert_eq!(due(&mut window, later), [2]);
        assert_eq!(window.len(), 3);
    }

    #[test]
    fn what_is_given_up_makes_way() {
        let now = Instant::now();
        let mut window = Window::default();
        let events = vec![event(1, 7), event(2, 7), event(3, 8), event(4, 8)];
        window.add(1, Version(1), events, |_| 0, now);
        window.take_due(now).unwrap();
        let old = window.take_before(4, 9);
        let numbers: Vec<u64> = old.iter().map(|due| due.event.number).collect();
        assert_eq!(numbers, [2, 3], "1 is under way");
        for number in numbers {
            window.done(number, now);
        }
        assert_eq!(due(&mut window, now), [4]);
        window.done(1, now);
        assert_eq!(window.len(), 1);
        assert_eq!(window.next_due(), None);
    }

    #[test]
    fn chunks_are_stored_anew_until_nothing_is_left() {
        let now = Instant::now();
        let mut window = Window::default();
        window.add(1, Version(1), vec![event(1, 7), event(2, 8)], |_| 0, now);
        assert!(window.rewrites().is_empty());
        window.done(2, now);
        let left = |window: &Window| -> Vec<(u64, Version, Vec<u64>)> {
            let numbers = |r: &Rewrite| r.left.iter().map(|e| e.number).collect();
            let rewrites = window.rewrites();
            rewrites
                .iter()
                .map(|r| (r.first, r.version, numbers(r)))
                .collect()
        };
        assert_eq!(left(&window), [(1, Version(1), vec![1])]);
        window.rewritten(Version(5));
        assert!(window.rewrites().is_empty());
        window.done(1, now);
        assert_eq!(left(&window), [(1, Version(5), vec![])]);
        window.rewritten(Version(6));
        assert!(window.rewrites().is_empty());
        assert_eq!(window.len(), 0);
    }
}
