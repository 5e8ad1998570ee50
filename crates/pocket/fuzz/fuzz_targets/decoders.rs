//! Gives the input to the decoder that its first byte names.
#![no_main]

#[allow(dead_code, reason = "the seeds and bounds are for the driver in tests/fuzz")]
#[path = "../../tests/fuzz/targets.rs"]
mod targets;

use libfuzzer_sys::fuzz_target;
use targets::Target;

fuzz_target!(|input: &[u8]| {
    if let Some((first, rest)) = input.split_first() {
        let target = Target::ALL[usize::from(*first) % Target::ALL.len()];
        target.run(rest);
    }
});
