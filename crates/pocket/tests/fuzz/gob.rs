//! Streams of closest proofs: what must be true of those that are taken, and some that are.

use baton_pocket::gob;
use baton_pocket::smst::{CompactProof, Inline, Leaf, Trie, Value};

/// Where the value begins in a stream with the numbers of a fresh process.
const VALUE: usize = 287;

pub(crate) fn check(stream: &[u8]) {
    let proof = gob::decode(stream).expect("taken before");
    let written = gob::encode(&proof);
    if stream.starts_with(&written[..VALUE]) {
        assert_eq!(
            written, stream,
            "but for the numbers of types there is one form"
        );
    }
    assert_eq!(gob::decode(&written).as_ref(), Ok(&proof));
    if let Ok(expanded) = proof.expand() {
        assert_eq!(expanded.compact(), proof);
        let other = Leaf::new(Value::new(b"another trie").expect("it is short"), 1);
        assert!(expanded.verify(other.digest(), &expanded.path).is_err());
    }
}

/// Proofs of tries of several sizes, one that no trie makes, and one with other numbers of types.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut streams: Vec<Vec<u8>> = [1, 2, 3, 5, 40, 300].into_iter().flat_map(proofs).collect();
    streams.push(renumbered(&streams[0]));
    streams.push(gob::encode(&CompactProof {
        flipped_bits: vec![Vec::new(); 257],
        side_nodes: vec![vec![1]; 256],
        num_side_nodes: i64::MIN,
        non_membership_leaf: vec![0],
        ..CompactProof::default()
    }));
    streams
}

fn proofs(leaves: u32) -> Vec<Vec<u8>> {
    let mut trie = Trie::new();
    for index in 0..leaves {
        let value = index.to_be_bytes().repeat(1 + index as usize % 50);
        let value = Value::new(&value).expect("it is short");
        trie.insert(&Leaf::new(value, 100)).expect("there is room");
    }
    let sealed = trie.seal(&Inline);
    let proof = |path| sealed.prove(&path).expect("it has leaves").compact();
    [[0; 32], [0x5a; 32], [0xff; 32]]
        .map(|path| gob::encode(&proof(path)))
        .to_vec()
}

/// The same stream from a process that numbered its types otherwise: 65 and 66 exchanged.
fn renumbered(stream: &[u8]) -> Vec<u8> {
    let mut renumbered = stream.to_vec();
    let mut at = 0;
    while at + 1 < renumbered.len() {
        let other = match renumbered[at..at + 2] {
            [0xff, id @ (0x81 | 0x82)] => id + 2,
            [0xff, id @ (0x83 | 0x84)] => id - 2,
            _ => {
                at += 1;
                continue;
            }
        };
        renumbered[at + 1] = other;
        at += 2;
    }
    assert_eq!(gob::decode(&renumbered), gob::decode(stream));
    renumbered
}
