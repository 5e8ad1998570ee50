//! What the bytes that went to the node, and the chain, say about requests and nonces.

use std::collections::{BTreeMap, BTreeSet};

use baton_model::Address;
use baton_testkit::Broadcast;

use crate::commands::bench::load::{Outcome, Record};
use crate::commands::bench::stats::{float, ratio};

/// A nonce of an account.
type Slot = (Address, u64);

/// What was sent, by nonce and by request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sends {
    /// Nonces under which transactions were sent.
    pub(super) slots: usize,
    /// Different transactions beyond the first of their nonce.
    pub(super) replacements: usize,
    /// Sends of bytes that had been sent before.
    pub(super) repeats: u64,
    /// Nonces for which a transfer to oneself was signed, which uses them up and does nothing.
    pub(super) no_ops: usize,
    /// Nonces that were signed for more than one request.
    pub(super) shared: Vec<Slot>,
    /// Requests that were signed under more than one nonce.
    pub(super) moved: Vec<Address>,
    /// Nonces with a bid that is less than a tenth above the next lower one, in either fee: geth's
    /// rule for what displaces a transaction.
    pub(super) low_bids: Vec<Slot>,
}

impl Sends {
    pub(super) fn of(broadcasts: &[Broadcast]) -> Self {
        let mut targets: BTreeMap<Slot, BTreeSet<Option<Address>>> = BTreeMap::new();
        let mut slots: BTreeMap<Address, BTreeSet<Slot>> = BTreeMap::new();
        let mut bids: BTreeMap<Slot, Vec<[u128; 2]>> = BTreeMap::new();
        let mut no_ops: BTreeSet<Slot> = BTreeSet::new();
        for sent in broadcasts {
            let Some(slot) = sent.from.zip(sent.nonce) else {
                continue;
            };
            let requested = targets.entry(slot).or_default();
            if sent.to == sent.from {
                no_ops.insert(slot);
            } else {
                requested.insert(sent.to);
            }
            let bid = sent
                .fees
                .map(|fees| [fees.max_per_gas(), fees.tip_per_gas()]);
            bids.entry(slot).or_default().extend(bid);
            if let Some(to) = sent.to.filter(|_| sent.to != sent.from) {
                slots.entry(to).or_default().insert(slot);
            }
        }
        let several = |set: &BTreeSet<Option<Address>>| set.len() > 1;
        Self {
            slots: targets.len(),
            replacements: broadcasts.len().saturating_sub(targets.len()),
            repeats: broadcasts.iter().map(|sent| sent.count - 1).sum(),
            no_ops: no_ops.len(),
            shared: targets
                .iter()
                .filter(|(_, set)| several(set))
                .map(|(slot, _)| *slot)
                .collect(),
            moved: slots
                .iter()
                .filter(|(_, set)| set.len() > 1)
                .map(|(to, _)| *to)
                .collect(),
            low_bids: bids
                .into_iter()
                .filter(|(_, bids)| has_low_bid(bids))
                .map(|(slot, _)| slot)
                .collect(),
        }
    }
}

fn has_low_bid(bids: &[[u128; 2]]) -> bool {
    let mut bids = bids.to_vec();
    bids.sort_unstable();
    let enough = |low: u128, high: u128| high >= (low * 11).div_ceil(10);
    bids.windows(2)
        .any(|pair| !(enough(pair[0][0], pair[1][0]) && enough(pair[0][1], pair[1][1])))
}

/// The largest count divided by the least one; `None` without counts or with a zero.
pub(super) fn spread(counts: &[u64]) -> Option<f64> {
    let number = |count: &u64| usize::try_from(*count).ok().map(float);
    let (most, least) = (counts.iter().max()?, counts.iter().min()?);
    ratio(number(most)?, number(least)?)
}

/// How many units something rises per second, by least squares over (seconds, units); `None`
/// without two different moments.
pub(super) fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let count = float(points.len());
    let mean = |of: &dyn Fn(&(f64, f64)) -> f64| ratio(points.iter().map(of).sum(), count);
    let (x, y) = (mean(&|p| p.0)?, mean(&|p| p.1)?);
    let along: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    let width: f64 = points.iter().map(|p| (p.0 - x) * (p.0 - x)).sum();
    ratio(along, width)
}

/// Requests that were answered with an error and executed all the same, by index.
pub(super) fn errors_executed(records: &[Record], executed: &dyn Fn(usize) -> bool) -> Vec<usize> {
    records
        .iter()
        .filter(|record| match record.outcome {
            Outcome::Refused(_) | Outcome::Failed(_) => executed(record.index),
            Outcome::Accepted | Outcome::Unknown(_) | Outcome::Split => false,
        })
        .map(|record| record.index)
        .collect()
}

#[cfg(test)]
mod tests {
    use baton_model::{B256, Fees, U256};
    use tokio::time::Instant;

    use super::*;

    fn sent(hash: u8, from: u8, nonce: u64, to: u8, count: u64) -> Broadcast {
        Broadcast {
            hash: B256::repeat_byte(hash),
            from: Some(Address::repeat_byte(from)),
            nonce: Some(nonce),
            to: Some(Address::repeat_byte(to)),
            value: U256::ONE,
            fees: None,
            first: Instant::now(),
            count,
        }
    }

    #[test]
    fn a_nonce_for_two_requests_and_a_request_under_two_nonces_are_found() {
        let fine = [
            sent(1, 7, 0, 21, 3),
            sent(2, 7, 0, 21, 1),
            sent(3, 8, 0, 22, 1),
        ];
        let expected = Sends {
            slots: 2,
            replacements: 1,
            repeats: 2,
            ..Sends::default()
        };
        assert_eq!(Sends::of(&fine), expected);

        let shared = Sends::of(&[sent(1, 7, 0, 21, 1), sent(2, 7, 0, 22, 1)]);
        assert_eq!(shared.shared, [(Address::repeat_byte(7), 0)]);
        assert!(shared.moved.is_empty());
        let skipped = Sends::of(&[
            sent(1, 7, 0, 21, 1),
            sent(2, 7, 0, 7, 1),
            sent(3, 7, 1, 7, 1),
        ]);
        assert_eq!((skipped.no_ops, skipped.slots), (2, 2));
        assert!(skipped.shared.is_empty() && skipped.moved.is_empty());
        let moved = Sends::of(&[sent(1, 7, 0, 21, 1), sent(2, 7, 1, 21, 1)]);
        assert_eq!(moved.moved, [Address::repeat_byte(21)]);
        assert!(moved.shared.is_empty());
    }

    #[test]
    fn a_bid_that_displaces_nothing_is_found() {
        let bid = |hash, max_fee, max_priority_fee| Broadcast {
            fees: Some(Fees::Eip1559 {
                max_fee,
                max_priority_fee,
            }),
            ..sent(hash, 7, 0, 21, 1)
        };
        let low = |bids: &[Broadcast]| Sends::of(bids).low_bids.len();
        assert_eq!(low(&[bid(1, 100, 10), bid(2, 110, 11)]), 0);
        assert_eq!(low(&[bid(2, 110, 11), bid(1, 100, 10)]), 0, "in any order");
        assert_eq!(low(&[bid(1, 100, 10), bid(2, 109, 11)]), 1);
        assert_eq!(low(&[bid(1, 100, 10), bid(2, 110, 10)]), 1);
        assert_eq!(low(&[bid(1, 101, 10), bid(2, 111, 11)]), 1, "rounded up");
    }

    #[test]
    fn spreads_and_slopes() {
        assert_eq!(spread(&[30, 20, 25]), Some(1.5));
        assert_eq!(spread(&[3, 0]), None);
        assert_eq!(spread(&[]), None);
        assert_eq!(slope(&[(0.0, 5.0), (1.0, 7.0), (2.0, 9.0)]), Some(2.0));
        assert_eq!(slope(&[(1.0, 5.0)]), None);
    }

    #[test]
    fn an_error_must_not_have_been_executed() {
        let record = |index, outcome| Record {
            index,
            due: Instant::now(),
            sent: Instant::now(),
            answered: Instant::now(),
            outcome,
            id: None,
        };
        let text = String::new;
        let records = [
            record(0, Outcome::Accepted),
            record(1, Outcome::Failed(text())),
            record(2, Outcome::Refused(text())),
            record(3, Outcome::Unknown(text())),
            record(4, Outcome::Failed(text())),
        ];
        assert_eq!(errors_executed(&records, &|index| index != 4), [1, 2]);
    }
}
