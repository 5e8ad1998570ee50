//! The fast verifier of ring signatures answers what the plain one answers, cold and with tables.
#![no_main]

use std::sync::LazyLock;

use baton_pocket::keys::SecretKey;
use baton_pocket::ring::{self, Ring, Verifier, plain};
use libfuzzer_sys::fuzz_target;

static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| Verifier::new(16 << 20));

fuzz_target!(|input: ([u8; 32], [u8; 32], u8, u8, Vec<(u16, u8)>)| {
    let (message, entropy, count, signer, changes) = input;
    let count = 2 + count % 3;
    let secret = |seed: u8| SecretKey::from_known_text(&format!("fuzz key {seed}"));
    let ring = Ring::new((0..count).map(|seed| secret(seed).public_key()).collect());
    let signature = ring::sign(&ring, &secret(signer % count), &message, &entropy).expect("a member");
    let mut bytes = signature.to_bytes();
    assert_eq!(VERIFIER.verify(&bytes, &message, &ring), Ok(()));
    for (at, value) in changes.into_iter().take(4) {
        let at = usize::from(at) % bytes.len();
        bytes[at] = value;
    }
    let fast = VERIFIER.verify(&bytes, &message, &ring);
    assert_eq!(fast, plain::verify(&bytes, &message, &ring));
});
