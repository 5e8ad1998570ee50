//! The heads that endpoints reported, and the one that the network is at. Time is an argument.

use std::time::Duration;

use tokio::time::Instant;

use crate::HeadRef;

/// Reports of a lower number in a row until it is believed. Behind one URL there may be several
/// nodes, of which some lag: their answers alternate. A chain that really went back says so every
/// time.
const LOWER_REPORTS: u8 = 3;

/// Heads by endpoint. Not every one is believed at once.
#[derive(Debug)]
pub(crate) struct Board {
    entries: Vec<Option<Entry>>,
    /// How long a report counts although its endpoint went silent, so that the network's head does
    /// not go back when the most advanced endpoint drops out. Must be longer than endpoints are
    /// silent in good health.
    hold: Duration,
    current: Option<(HeadRef, usize)>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    head: HeadRef,
    at: Instant,
    lower: u8,
}

impl Board {
    pub(crate) fn new(endpoints: usize, hold: Duration) -> Self {
        Self {
            hold,
            entries: vec![None; endpoints],
            current: None,
        }
    }

    /// Takes a report; returns the network's head if that changed it.
    pub(crate) fn report(&mut self, from: usize, head: HeadRef, now: Instant) -> Option<HeadRef> {
        self.entries[from] = Some(next_entry(self.entries[from], head, now));
        let (source, best) = self.best(from, now)?;
        let changed = match self.current {
            None => true,
            Some((current, _)) if current.number != best.number => true,
            Some((current, old_source)) => {
                // Endpoints may disagree on a block for a moment; only the one that was believed
                // may correct itself.
                source == old_source && best.hash.is_some() && best.hash != current.hash
            }
        };
        if changed {
            self.current = Some((best, source));
        }
        changed.then_some(best)
    }

    /// The endpoint's head as far as it is believed.
    pub(crate) fn of(&self, endpoint: usize) -> Option<u64> {
        self.entries[endpoint].map(|entry| entry.head.number)
    }

    pub(crate) fn current(&self) -> Option<HeadRef> {
        self.current.map(|(head, _)| head)
    }

    /// The highest report that still counts. Among equals the one believed so far stays; else the
    /// newest reporter.
    fn best(&self, newest: usize, now: Instant) -> Option<(usize, HeadRef)> {
        let believed = self.current.map(|(_, source)| source);
        self.entries
            .iter()
            .enumerate()
            .filter_map(|(index, entry)| entry.map(|entry| (index, entry)))
            .filter(|(_, entry)| now.duration_since(entry.at) < self.hold)
            .max_by_key(|(index, entry)| {
                let standing = (Some(*index) == believed, *index == newest);
                (entry.head.number, standing)
            })
            .map(|(index, entry)| (index, entry.head))
    }
}

fn next_entry(old: Option<Entry>, head: HeadRef, now: Instant) -> Entry {
    match old {
        Some(old) if head.number < old.head.number && old.lower + 1 < LOWER_REPORTS => Entry {
            head: old.head,
            at: now,
            lower: old.lower + 1,
        },
        // A poll does not tell the hash: it must not erase one that is known.
        Some(old) if head.number == old.head.number && head.hash.is_none() => Entry {
            head: old.head,
            at: now,
            lower: 0,
        },
        Some(_) | None => Entry {
            head,
            at: now,
            lower: 0,
        },
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;

    use super::*;

    const HOLD: Duration = Duration::from_secs(10);

    fn head(number: u64) -> HeadRef {
        HeadRef { number, hash: None }
    }

    fn hashed(number: u64, byte: u8) -> HeadRef {
        HeadRef {
            number,
            hash: Some(B256::repeat_byte(byte)),
        }
    }

    #[test]
    fn a_lagging_endpoint_does_not_take_the_head_back() {
        let now = Instant::now();
        let mut board = Board::new(2, HOLD);
        assert_eq!(board.report(0, head(10), now), Some(head(10)));
        for _ in 0..9 {
            assert_eq!(board.report(1, head(8), now), None);
        }
        assert_eq!(board.of(1), Some(8));
        assert_eq!(board.report(1, head(11), now), Some(head(11)));
    }

    #[test]
    fn the_head_of_a_silent_endpoint_is_held_and_then_given_up() {
        let now = Instant::now();
        let mut board = Board::new(2, HOLD);
        board.report(0, head(10), now);
        assert_eq!(board.report(1, head(8), now + HOLD / 2), None);
        assert_eq!(board.report(1, head(8), now + HOLD), Some(head(8)));
    }

    #[test]
    fn a_chain_that_went_back_is_believed_at_the_third_report() {
        let now = Instant::now();
        let mut board = Board::new(1, HOLD);
        board.report(0, head(10), now);
        assert_eq!(board.report(0, head(9), now), None);
        assert_eq!(board.report(0, head(10), now), None);
        assert_eq!(board.report(0, head(9), now), None);
        assert_eq!(board.report(0, head(9), now), None);
        assert_eq!(board.report(0, head(9), now), Some(head(9)));
    }

    #[test]
    fn another_block_at_the_same_height_is_news_from_the_believed_endpoint_only() {
        let now = Instant::now();
        let mut board = Board::new(2, HOLD);
        board.report(0, hashed(10, 1), now);
        assert_eq!(board.report(1, hashed(10, 2), now), None);
        assert_eq!(board.report(0, head(10), now), None);
        assert_eq!(board.current(), Some(hashed(10, 1)));
        assert_eq!(board.report(0, hashed(10, 3), now), Some(hashed(10, 3)));
    }
}
