//! What one core does with ring signatures, each figure beside what a straightforward implementation with k256 does in
//! the same run.

use std::hint::black_box;

use baton_pocket::keys::SecretKey;
use baton_pocket::ring::{self, Ring, Verifier, hash_to_point, plain};
use divan::Bencher;

const SIZES: [u8; 3] = [2, 4, 8];
/// How often rings that were never seen are verified, and how many of them there are.
const SAMPLES: u32 = 100;
const CASES: usize = 200;

fn main() {
    divan::main();
}

#[divan::bench_group]
mod seen_before {
    use super::*;

    #[divan::bench(args = SIZES)]
    fn fast(bencher: Bencher<'_, '_>, size: u8) {
        let case = Case::new(0, size);
        let verifier = Verifier::new(64 << 20);
        for _ in 0..8 {
            case.verify(&verifier);
        }
        bencher.bench(|| case.verify(&verifier));
    }

    #[divan::bench(args = SIZES)]
    fn plain(bencher: Bencher<'_, '_>, size: u8) {
        let case = Case::new(0, size);
        bencher.bench(|| case.verify_plain());
    }
}

#[divan::bench_group]
mod never_seen {
    use super::*;

    #[divan::bench(args = SIZES, sample_count = SAMPLES, sample_size = 1)]
    fn fast(bencher: Bencher<'_, '_>, size: u8) {
        let verifier = Verifier::new(64 << 20);
        let mut cases = (0..CASES).map(|seed| Case::new(seed, size));
        bencher
            .with_inputs(|| cases.next().expect("there are more cases than samples"))
            .bench_local_refs(|case| case.verify(&verifier));
    }

    #[divan::bench(args = SIZES, sample_count = SAMPLES, sample_size = 1)]
    fn plain(bencher: Bencher<'_, '_>, size: u8) {
        let mut cases = (0..CASES).map(|seed| Case::new(seed, size));
        bencher
            .with_inputs(|| cases.next().expect("there are more cases than samples"))
            .bench_local_refs(|case| case.verify_plain());
    }
}

#[divan::bench(args = SIZES)]
fn sign(bencher: Bencher<'_, '_>, size: u8) {
    let case = Case::new(0, size);
    let key = secret(0, 0);
    bencher.bench(|| {
        ring::sign(black_box(&case.ring), &key, &case.message, &[1; 32]).expect("a member")
    });
}

#[divan::bench]
fn a_new_verifier(bencher: Bencher<'_, '_>) {
    bencher.bench(|| Verifier::new(0));
}

#[divan::bench_group]
mod hash_to_a_point {
    use super::*;

    #[divan::bench]
    fn fast(bencher: Bencher<'_, '_>) {
        let key = secret(0, 0).public_key();
        bencher.bench(|| hash_to_point(black_box(&key)));
    }

    #[divan::bench]
    fn plain(bencher: Bencher<'_, '_>) {
        let key = secret(0, 0).public_key();
        bencher.bench(|| super::plain::hash(black_box(&key)));
    }
}

struct Case {
    ring: Ring,
    message: [u8; 32],
    signature: Vec<u8>,
}

impl Case {
    fn new(seed: usize, size: u8) -> Self {
        let members = (0..size).map(|member| secret(seed, member).public_key());
        let ring = Ring::new(members.collect());
        let message = [7; 32];
        let signature = ring::sign(&ring, &secret(seed, 0), &message, &[9; 32]).expect("a member");
        Self {
            ring,
            message,
            signature: signature.to_bytes(),
        }
    }

    fn verify(&self, verifier: &Verifier) {
        let answer = verifier.verify(black_box(&self.signature), &self.message, &self.ring);
        answer.expect("the signature is right");
    }

    fn verify_plain(&self) {
        let answer = plain::verify(black_box(&self.signature), &self.message, &self.ring);
        answer.expect("the signature is right");
    }
}

fn secret(seed: usize, member: u8) -> SecretKey {
    SecretKey::from_known_text(&format!("bench key {seed} {member}"))
}
