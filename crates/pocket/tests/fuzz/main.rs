//! Fuzzing without a nightly compiler: damaged messages and noise for every decoder, from a fixed seed.
//!
//! The checks themselves are in `targets`, which `crates/pocket/fuzz` gives to cargo-fuzz. Here each has to hold for
//! a few thousand inputs, and no decoder may allocate more than its documentation says.

mod targets;

use peak_alloc::PeakAlloc;
use targets::{Target, seeds};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Inputs for each decoder in a run of the tests.
const ROUNDS: u32 = 3_000;
/// Most bytes that a damaged input grows to.
const LENGTH_MAX: usize = 4_096;

/// One test for all decoders: the allocator counts what the whole process allocates.
#[test]
fn decoders_stand_whatever_they_are_given() {
    let mut random = Random(0x5eed_0123_4567_89ab);
    for target in Target::ALL {
        let seeds = seeds(target);
        let mut accepted = 0;
        for seed in &seeds {
            assert!(target.run(seed), "{target:?} takes its own seeds");
        }
        for round in 0..ROUNDS {
            let input = random.damage(&seeds);
            let before = ALLOCATOR.current_usage();
            ALLOCATOR.reset_peak_usage();
            let decoded = target.decode(&input);
            let peak = ALLOCATOR.peak_usage().saturating_sub(before);
            let bound = target.memory(input.len());
            assert!(
                peak <= bound,
                "{target:?}, round {round}: {peak} of {bound} bytes, {input:02x?}"
            );
            assert_eq!(target.run(&input), decoded, "{target:?}, round {round}");
            accepted += u32::from(decoded);
        }
        let share = f64::from(accepted) / f64::from(ROUNDS);
        // A body of short lines is always taken, and so are a few damaged inputs of every other kind.
        let expected = matches!(target, Target::Lines) || share < 0.99;
        assert!(
            accepted > 0 && expected,
            "{target:?} takes {accepted} of {ROUNDS}"
        );
    }
}

/// Xorshift: the same inputs in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit.max(1)).expect("a small number");
        usize::try_from(self.next() % limit).expect("below a small number")
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[3]
    }

    fn damage(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = seeds[self.below(seeds.len())].clone();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len() + 1);
            match self.below(8) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, self.byte()),
                2 => {
                    let other = &seeds[self.below(seeds.len())];
                    let from = self.below(other.len() + 1);
                    bytes.splice(at.., other[from..].iter().copied());
                }
                3 => {
                    let noise: Vec<u8> = (0..self.below(64)).map(|_| self.byte()).collect();
                    bytes.splice(at..at, noise);
                }
                4 => {
                    let again = bytes[at..].to_vec();
                    bytes.extend(again);
                }
                5 if at < bytes.len() => {
                    bytes.remove(at);
                }
                _ if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                _ => {}
            }
            bytes.truncate(LENGTH_MAX);
        }
        bytes
    }
}
