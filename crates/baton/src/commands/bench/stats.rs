//! Percentiles and rates.

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

/// What is known of a set of times, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Percentiles {
    /// How many times there are.
    pub(super) count: usize,
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
}

impl Percentiles {
    /// By nearest rank, over all times: nothing is put into buckets. `None` without times.
    pub(super) fn of(mut times: Vec<Duration>) -> Option<Self> {
        times.sort_unstable();
        let max = milliseconds(*times.last()?);
        let at = |percent: usize| {
            let rank = (times.len() * percent).div_ceil(100).max(1);
            milliseconds(times[rank - 1])
        };
        Some(Self {
            count: times.len(),
            p50: at(50),
            p90: at(90),
            p99: at(99),
            max,
        })
    }
}

/// Transactions per second in the blocks that came between two moments. The first block only starts
/// the clock: what it holds was sent before it. Without two blocks there is no rate.
///
/// Blocks are seen late while the node is busy, and then several at once. None comes sooner than
/// `block_time` after the one before, so they took that long at least.
pub(super) fn mined_rate(
    blocks: &[(Instant, usize)],
    from: Instant,
    until: Instant,
    block_time: Duration,
) -> Option<f64> {
    let within: Vec<&(Instant, usize)> = blocks
        .iter()
        .filter(|(at, _)| (from..=until).contains(at))
        .collect();
    let (first, last) = (within.first()?, within.last()?);
    let seen = last.0.duration_since(first.0).as_secs_f64();
    let seconds = seen.max(float(within.len() - 1) * block_time.as_secs_f64());
    let count: usize = within[1..].iter().map(|(_, count)| count).sum();
    (seconds > 0.0).then(|| float(count) / seconds)
}

/// A duration in milliseconds.
pub(super) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// A count as a number with a fraction; exact up to 2^53.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of a run are far below 2^53"
)]
pub(super) fn float(count: usize) -> f64 {
    count as f64
}

/// What is left of a share of something; `None` when there is nothing to share by.
pub(super) fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let times: Vec<Duration> = (1..=200).rev().map(ms).collect();
        let found = Percentiles::of(times).unwrap();
        assert_eq!(
            (found.count, found.p50, found.p90, found.p99, found.max),
            (200, 100.0, 180.0, 198.0, 200.0)
        );
        let one = Percentiles::of(vec![ms(7)]).unwrap();
        assert_eq!((one.p50, one.p99, one.max), (7.0, 7.0, 7.0));
        let two = Percentiles::of(vec![ms(9), ms(1)]).unwrap();
        assert_eq!((two.p50, two.p90), (1.0, 9.0));
        assert_eq!(Percentiles::of(Vec::new()), None);
    }

    #[test]
    fn a_rate_is_over_whole_blocks_within_the_window() {
        let start = Instant::now();
        let at = |second: u64| start + Duration::from_secs(second);
        let blocks: Vec<(Instant, usize)> =
            [(0, 900), (1, 50), (2, 100), (3, 120), (4, 80), (9, 500)]
                .map(|(second, count)| (at(second), count))
                .into();
        let rate = |from, until| mined_rate(&blocks, at(from), at(until), Duration::ZERO);
        assert_eq!(rate(1, 5), Some(100.0));
        assert_eq!(rate(4, 5), None);
        assert_eq!(rate(5, 8), None);
    }

    #[test]
    fn blocks_that_are_seen_all_at_once_took_their_time_all_the_same() {
        let start = Instant::now();
        let late: Vec<(Instant, usize)> =
            (0..5).map(|block| (start + ms(10 * block), 200)).collect();
        let rate = mined_rate(&late, start, start + ms(100), Duration::from_secs(1));
        assert_eq!(rate, Some(200.0));
    }
}
