//! What a trie takes beyond the bytes of its values, as its tests' allocator counts it.
//!
//! `cargo bench -p baton-pocket --bench smst_memory`

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use baton_pocket::smst::{Inline, Leaf, Trie, Value};
use peak_alloc::PeakAlloc;

/// Counts what is allocated; the system's allocator does the work.
#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Bytes of a relay.
const VALUE: usize = 600;
/// From a small session to a large one, with the numbers just before and after buckets are split.
const SIZES: [u64; 8] = [
    100, 1_000, 10_000, 100_000, 500_000, 1_000_000, 1_048_576, 1_048_577,
];

fn main() {
    println!("bytes a leaf beyond values of {VALUE} bytes");
    println!(
        "{:>10} {:>10} {:>24}",
        "leaves", "kept", "at most, with the root"
    );
    for leaves in SIZES {
        let before = ALLOCATOR.current_usage();
        ALLOCATOR.reset_peak_usage();
        let mut trie = Trie::new();
        for index in 0..leaves {
            let mut value = [0x55; VALUE];
            value[..8].copy_from_slice(&index.to_be_bytes());
            let value = Value::new(&value).expect("it is short");
            trie.insert(&Leaf::new(value, 1_000))
                .expect("there is room");
        }
        trie.root(&Inline);
        let kept = per_leaf(ALLOCATOR.current_usage() - before, leaves);
        let peak = per_leaf(ALLOCATOR.peak_usage() - before, leaves);
        println!("{leaves:>10} {kept:>10.1} {peak:>24.1}");
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn per_leaf(bytes: usize, leaves: u64) -> f64 {
    bytes as f64 / leaves as f64 - VALUE as f64
}
