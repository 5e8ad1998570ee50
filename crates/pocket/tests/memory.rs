//! What is kept in memory stays within what the documentation says, as the allocator counts it.

use std::sync::{Mutex, PoisonError};

use baton_pocket::keys::{FILE_MAX, KeysFault, SecretKey, parse_keys_file};
use baton_pocket::ring::{self, Ring, Verifier};
use baton_pocket::smst::{Inline, Leaf, Trie, Value};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// The allocator counts the whole process, so tests take turns.
static TURN: Mutex<()> = Mutex::new(());

/// Bytes allocated by some work: what is still held after it, and the most at any time.
fn counted<T>(work: impl FnOnce() -> T) -> (usize, usize, T) {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let result = work();
    let kept = ALLOCATOR.current_usage().saturating_sub(before);
    let most = ALLOCATOR.peak_usage().saturating_sub(before);
    (kept, most, result)
}

fn secret(seed: u32) -> SecretKey {
    SecretKey::from_known_text(&format!("memory key {seed}"))
}

/// A signature by the first of two keys, and its ring.
fn signed(first: u32, second: u32, message: &[u8; 32]) -> (Vec<u8>, Ring) {
    let ring = Ring::new(
        [first, second]
            .map(|seed| secret(seed).public_key())
            .to_vec(),
    );
    let signature = ring::sign(&ring, &secret(first), message, &[1; 32]);
    (signature.expect("a member").to_bytes(), ring)
}

#[test]
fn a_verifier_keeps_what_it_says_and_no_more_than_it_may() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let message = [7; 32];
    // 40 keys seen once, then 20 rings seen often enough to have tables, of which the limit holds the last.
    let cases: Vec<_> = (0..20)
        .map(|seed| signed(2 * seed, 2 * seed + 1, &message))
        .collect();
    let limit = 4 << 20;
    let (generator, _, verifier) = counted(|| Verifier::new(limit));
    assert!(generator < 450_000, "{generator} bytes for the generator");
    let (cold, _, ()) = counted(|| verify_all(&verifier, &cases, &message));
    assert!(
        cold <= verifier.memory() && verifier.memory() <= limit,
        "{cold} bytes are kept, {} are known",
        verifier.memory()
    );
    let (warm, most, ()) = counted(|| (0..4).for_each(|_| verify_all(&verifier, &cases, &message)));
    let kept = cold + warm;
    assert!(
        kept <= verifier.memory() && verifier.memory() <= limit,
        "{kept} bytes are kept, {} are known",
        verifier.memory()
    );
    assert!(kept > limit / 2, "{kept} bytes: tables were made");
    assert!(cold + most < limit + 1_000_000, "{most} bytes on the way");
}

fn verify_all(verifier: &Verifier, cases: &[(Vec<u8>, Ring)], message: &[u8; 32]) {
    for (signature, ring) in cases {
        assert_eq!(verifier.verify(signature, message, ring), Ok(()));
    }
}

/// The goal for a million leaves is 48 bytes a leaf; `benches/smst_memory.rs` measures those.
#[test]
fn a_trie_keeps_little_beyond_its_values() {
    const LEAVES: u32 = 20_000;
    const VALUE: usize = 600;
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let (kept, most, mut trie) = counted(|| {
        let mut trie = Trie::new();
        for index in 0..LEAVES {
            let mut value = [0x55; VALUE];
            value[..4].copy_from_slice(&index.to_be_bytes());
            let value = Value::new(&value).expect("it is short");
            trie.insert(&Leaf::new(value, 1_000))
                .expect("there is room");
        }
        trie
    });
    let beyond = |bytes: usize| bytes / LEAVES as usize - VALUE;
    assert!(beyond(kept) <= 100, "{} bytes a leaf", beyond(kept));
    assert!(
        beyond(most) <= 150,
        "{} bytes a leaf while it grows",
        beyond(most)
    );
    let (digests, scratch, root) = counted(|| trie.root(&Inline));
    assert!(
        digests + scratch < 100_000,
        "{digests} and {scratch} bytes for the root"
    );
    assert_eq!(root.count(), u64::from(LEAVES));
}

/// The largest files, where the parser holds most: one text, an unused list of many texts, a text of many lines.
#[test]
fn a_file_of_keys_takes_no_more_than_its_bound() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let room = FILE_MAX - 16;
    for text in [
        format!("x: {}", "a".repeat(room)),
        format!("x: [{}]", "a,".repeat(room / 2)),
        format!("x: |\n{}", " a\n".repeat(room / 3)),
        format!("x: \"{}\"", "\\n".repeat(room / 2)),
    ] {
        let (_, most, answer) = counted(|| parse_keys_file(&text).map(|keys| keys.len()));
        let fault = answer.map_err(|error| error.fault);
        assert_eq!(fault, Err(KeysFault::Missing), "{}", &text[..8]);
        let bound = 64 * text.len() + (32 << 10);
        assert!(most <= bound, "{most} of {bound} bytes for {}", &text[..8]);
    }
}

#[test]
fn what_is_shown_is_short_and_holds_no_relay() {
    let mut trie = Trie::new();
    for relay in [&b"relay-0"[..], b"relay-1"] {
        trie.insert(&Leaf::new(Value::new(relay).unwrap(), 100))
            .unwrap();
    }
    assert_eq!(format!("{trie:?}"), "Trie { count: 2, sum: 200, .. }");
    let sealed = trie.seal(&Inline);
    assert_eq!(
        format!("{sealed:?}"),
        format!("Sealed({:?})", sealed.root())
    );
    assert_eq!(
        format!("{:?}", Verifier::new(0)),
        "Verifier { memory: 0, .. }"
    );
}
