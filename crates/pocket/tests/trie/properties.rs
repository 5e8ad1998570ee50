//! What holds for all tries.

use std::borrow::Cow;

use baton_pocket::gob;
use baton_pocket::smst::{
    ClosestProof, Digest, DigestError, Inline, Inserted, ProofError, Trie, TrieError, Value, Values,
};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use crate::plain::Node;
use crate::{Threads, leaf, sealed_of, trie_of};

fn leaves(max: usize) -> impl Strategy<Value = Vec<(Vec<u8>, u64)>> {
    let weight = prop_oneof![Just(100), any::<u64>()];
    btree_map(vec(any::<u8>(), 0..40), weight, 1..max).prop_map(|map| map.into_iter().collect())
}

fn pairs(leaves: &[(Vec<u8>, u64)]) -> impl Iterator<Item = (&[u8], u64)> {
    leaves.iter().map(|(value, weight)| (&value[..], *weight))
}

/// Many small values, one weight: what sessions look like.
fn relays(count: u32) -> Vec<(Vec<u8>, u64)> {
    (0..count)
        .map(|index| (index.to_be_bytes().to_vec(), 7))
        .collect()
}

/// Whether a proof's bytes say something that no part of the chain or of Baton depends on: what an extension's path
/// says below the extension.
fn differs_only_below_extension(a: &ClosestProof, b: &ClosestProof) -> bool {
    let (Some([2, _, end, old @ ..]), Some([2, _, _, new @ ..])) =
        (a.sibling.as_deref(), b.sibling.as_deref())
    else {
        return false;
    };
    let same_but_for_sibling = ClosestProof {
        sibling: b.sibling.clone(),
        ..a.clone()
    };
    let first = (0..32 * 8).find(|i| (old[i / 8] ^ new[i / 8]) << (i % 8) & 0x80 != 0);
    same_but_for_sibling == *b
        && old[32..] == new[32..]
        && first.is_some_and(|first| first >= usize::from(*end))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn the_root_does_not_depend_on_the_order(
        (ordered, shuffled) in leaves(400)
            .prop_flat_map(|leaves| (Just(leaves.clone()), Just(leaves).prop_shuffle())),
        stop in 0_usize..400,
    ) {
        let mut one = trie_of(pairs(&ordered));
        let mut other = Trie::new();
        for (index, (value, weight)) in shuffled.iter().enumerate() {
            prop_assert_eq!(other.insert(&leaf(value, *weight)).unwrap(), Inserted::New);
            if index == stop {
                other.root(&Inline);
            }
        }
        prop_assert_eq!(one.root(&Threads(2)), other.root(&Inline));
        prop_assert_eq!(one.count(), ordered.len() as u64);
    }

    #[test]
    fn roots_and_proofs_are_those_of_the_trie_built_node_by_node(
        leaves in leaves(300),
        seeds in vec(any::<[u8; 32]>(), 4),
    ) {
        let sealed = sealed_of(pairs(&leaves));
        let plain = pairs(&leaves).fold(Node::Empty, |node, (value, weight)| {
            node.insert(value, weight)
        });
        prop_assert_eq!(*sealed.root().as_bytes(), plain.digest());
        for path in &seeds {
            let proof = sealed.prove(path).unwrap();
            let expected = plain.prove(path);
            let sides: Vec<_> = proof.side_nodes.iter().map(|node| *node.as_bytes()).collect();
            prop_assert_eq!(&proof.flipped_bits, &expected.flipped_bits);
            prop_assert_eq!(proof.depth, expected.depth);
            prop_assert_eq!(proof.closest_path, expected.closest_path);
            prop_assert_eq!(&proof.closest_value, &expected.closest_value);
            prop_assert_eq!(sides, expected.side_nodes);
            prop_assert_eq!(&proof.sibling, &expected.sibling);
            prop_assert_eq!(proof.verify(&sealed.root(), path), Ok(()));
            let stream = gob::encode(&proof.compact());
            prop_assert_eq!(gob::decode(&stream).unwrap().expand().unwrap(), proof);
        }
    }

    #[test]
    fn a_value_that_comes_again_replaces_its_leaf(
        leaves in leaves(60),
        again in vec((any::<prop::sample::Index>(), any::<u64>()), 1..20),
    ) {
        let mut trie = trie_of(pairs(&leaves));
        let mut expected = leaves.clone();
        for (index, weight) in again {
            let (value, last) = index.get(&expected).clone();
            let done = trie.insert(&leaf(&value, weight)).unwrap();
            prop_assert_eq!(done == Inserted::Known, weight == last);
            prop_assert_ne!(done, Inserted::New);
            let place = expected.iter().position(|(known, _)| *known == value).unwrap();
            expected[place].1 = weight;
        }
        let mut fresh = trie_of(pairs(&expected));
        prop_assert_eq!((trie.count(), trie.sum()), (fresh.count(), fresh.sum()));
        prop_assert_eq!(trie.root(&Inline), fresh.root(&Inline));
        let path = [0x5a; 32];
        let (trie, fresh) = (trie.seal(&Inline), fresh.seal(&Inline));
        prop_assert_eq!(trie.prove(&path), fresh.prove(&path));
    }

}

proptest! {
    // Each case tries some thousand bits.
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn any_flipped_bit_of_a_proof_is_noticed(leaves in leaves(200), path in any::<[u8; 32]>()) {
        let sealed = sealed_of(pairs(&leaves));
        let proof = sealed.prove(&path).unwrap();
        let stream = gob::encode(&proof.compact());
        for at in 0..stream.len() * 8 {
            let mut changed = stream.clone();
            changed[at / 8] ^= 0x80 >> (at % 8);
            let Ok(compact) = gob::decode(&changed) else { continue };
            let Ok(read) = compact.expand() else { continue };
            let noticed = read.verify(&sealed.root(), &path).is_err();
            prop_assert!(noticed || differs_only_below_extension(&proof, &read), "bit {}", at);
        }
    }
}

/// Enough leaves for several splits, and for leaves that share the first 4 bytes of their paths to be likely where the
/// number is larger. The bucket's own order is checked against such leaves in `leaves_that_share_a_prefix`.
#[test]
fn a_large_trie_grows_and_proves_as_the_plain_one_does() {
    let leaves = relays(20_000);
    let mut trie = Trie::new();
    let mut plain = Node::Empty;
    for (index, (value, weight)) in leaves.iter().enumerate() {
        trie.insert(&leaf(value, *weight)).unwrap();
        plain = plain.insert(value, *weight);
        if index % 3_000 == 0 {
            assert_eq!(trie.root(&Threads(2)).as_bytes(), &plain.digest());
        }
    }
    let sealed = trie.seal(&Threads(2));
    assert_eq!(sealed.root().as_bytes(), &plain.digest());
    for seed in 0_u32..12 {
        let path = Sha256::digest(seed.to_be_bytes()).into();
        let (proof, expected) = (sealed.prove(&path).unwrap(), plain.prove(&path));
        assert_eq!(proof.closest_path, expected.closest_path);
        assert_eq!(proof.sibling, expected.sibling);
        assert_eq!(proof.flipped_bits, expected.flipped_bits);
        proof.verify(&sealed.root(), &path).unwrap();
    }
}

/// Pairs of numbers whose paths share their first 32 bits, found by search.
const COLLISIONS: [(u32, u32); 4] = [
    (28_975, 100_722),
    (29_639, 131_211),
    (103_021, 168_548),
    (31_792, 215_622),
];

#[test]
fn leaves_that_share_a_prefix() {
    for (a, b) in COLLISIONS {
        let [x, y] = [a, b].map(|number| *leaf(&number.to_be_bytes(), 1).path());
        assert_eq!(x[..4], y[..4]);
        assert_ne!(x, y);
    }
    let mut leaves = relays(300);
    leaves.extend(
        COLLISIONS
            .iter()
            .flat_map(|(a, b)| [*a, *b])
            .map(|number| (number.to_be_bytes().to_vec(), u64::from(number))),
    );
    let sealed = sealed_of(pairs(&leaves));
    let plain = pairs(&leaves).fold(Node::Empty, |node, (value, weight)| {
        node.insert(value, weight)
    });
    assert_eq!(sealed.root().as_bytes(), &plain.digest());
    for number in COLLISIONS.iter().flat_map(|(a, b)| [*a, *b]) {
        let value = number.to_be_bytes();
        let path = *leaf(&value, 1).path();
        let (proof, expected) = (sealed.prove(&path).unwrap(), plain.prove(&path));
        assert_eq!(proof.value(), value);
        assert!(proof.depth > 32);
        assert_eq!(proof.sibling, expected.sibling);
        proof.verify(&sealed.root(), &path).unwrap();
        // Beside the pair: the walk passes it, so it stands in the proof as an extension of the other side.
        let mut beside = path;
        beside[3] ^= 1;
        let (proof, expected) = (sealed.prove(&beside).unwrap(), plain.prove(&beside));
        assert_eq!(proof.sibling, expected.sibling);
        assert_eq!(proof.flipped_bits, expected.flipped_bits);
        proof.verify(&sealed.root(), &beside).unwrap();
    }
}

/// Values that are kept outside, as a driver's log would, under positions of its own.
struct Log(Vec<Vec<u8>>);

impl Values for Log {
    fn put(&mut self, value: &[u8]) -> Option<u64> {
        self.0.push(value.to_vec());
        Some(self.0.len() as u64 * 1_000)
    }

    fn get(&self, position: u64) -> Cow<'_, [u8]> {
        let index = usize::try_from(position / 1_000 - 1).expect("an index");
        Cow::Owned(self.0[index].clone())
    }
}

#[test]
fn values_may_be_kept_elsewhere() {
    let leaves = relays(1_000);
    let mut outside = Trie::over(Log(Vec::new()));
    for (value, weight) in &leaves {
        assert_eq!(outside.insert(&leaf(value, *weight)), Ok(Inserted::New));
        assert_eq!(outside.insert(&leaf(value, *weight)), Ok(Inserted::Known));
    }
    let (outside, inside) = (outside.seal(&Threads(2)), sealed_of(pairs(&leaves)));
    assert_eq!(outside.root(), inside.root());
    assert_eq!(outside.prove(&[9; 32]), inside.prove(&[9; 32]));
}

/// A keeper without room, or with positions beyond what a trie tells apart.
struct Full(Option<u64>);

impl Values for Full {
    fn put(&mut self, _value: &[u8]) -> Option<u64> {
        self.0
    }

    fn get(&self, _position: u64) -> Cow<'_, [u8]> {
        unreachable!("nothing was ever taken")
    }
}

#[test]
fn a_trie_without_room_is_left_as_it_was() {
    for position in [None, Some(1 << 39), Some(u64::MAX)] {
        let mut trie = Trie::over(Full(position));
        assert_eq!(trie.insert(&leaf(b"relay", 1)), Err(TrieError::Full));
        assert_eq!((trie.count(), trie.sum()), (0, 0));
        assert_eq!(trie.root(&Inline), Digest::EMPTY);
    }
}

#[test]
fn an_empty_trie_has_the_empty_root_and_proves_nothing() {
    let sealed = Trie::new().seal(&Inline);
    assert_eq!(sealed.root(), Digest::EMPTY);
    assert_eq!(sealed.prove(&[0; 32]), Err(TrieError::Empty));
    assert_eq!(sealed.root().check_claimable(), Err(DigestError::NoLeaf));
    let weightless = sealed_of([(&b"relay"[..], 0)]).root();
    assert_eq!(weightless.check_claimable(), Err(DigestError::NoSum));
    assert_eq!(
        sealed_of([(&b"relay"[..], 1)]).root().check_claimable(),
        Ok(())
    );
    assert_eq!(
        Digest::try_from(&[0; 47][..]),
        Err(DigestError::Length { found: 47 })
    );
}

#[test]
fn a_value_that_is_too_long_is_refused() {
    let long = vec![0; (32 << 20) + 1];
    let refusal = Value::new(&long).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "leaf value: 33554433 bytes, at most 33554432 are allowed"
    );
    assert!(Value::new(&long[1..]).is_ok());
}

#[test]
fn sums_wrap_as_the_chains_do() {
    let mut trie = trie_of([(&b"a"[..], u64::MAX), (&b"b"[..], 3)]);
    assert_eq!(trie.sum(), 2);
    assert_eq!(trie.root(&Inline).sum(), 2);
}

/// A proof that holds, changed in every way that a rule forbids.
#[test]
fn refused_proofs_say_why() {
    let leaves = relays(64);
    let sealed = sealed_of(pairs(&leaves));
    let (root, path) = (sealed.root(), [0x33; 32]);
    let proof = sealed.prove(&path).unwrap();
    let depth = proof.depth;
    let changed = |change: &dyn Fn(&mut ClosestProof)| {
        let mut proof = proof.clone();
        change(&mut proof);
        proof.verify(&root, &path).unwrap_err()
    };
    let sides = depth.into();
    assert_eq!(changed(&|p| p.path[31] ^= 1), ProofError::OtherPath);
    assert_eq!(
        changed(&|p| p.depth += 1),
        ProofError::SideNodes {
            found: sides,
            depth: depth + 1
        }
    );
    assert_eq!(
        changed(&|p| p.flipped_bits.push(depth)),
        ProofError::FlippedBit {
            index: proof.flipped_bits.len(),
            found: depth
        }
    );
    assert_eq!(
        changed(&|p| p.flipped_bits.insert(0, 0)),
        ProofError::FlippedBit { index: 0, found: 0 }
    );
    assert_eq!(
        changed(&|p| p.closest_path[0] ^= 0x80),
        ProofError::Elsewhere { depth }
    );
    assert_eq!(
        changed(&|p| p.closest_value.truncate(15)),
        ProofError::Value
    );
    assert_eq!(changed(&|p| p.closest_value.push(0)), ProofError::Value);
    assert_eq!(changed(&|p| p.sibling = None), ProofError::Sibling);
    assert_eq!(
        changed(&|p| p.sibling = Some(vec![3; 99])),
        ProofError::Sibling
    );
    assert!(matches!(
        changed(&|p| p.closest_value[0] ^= 1),
        ProofError::Root { .. }
    ));
    assert!(matches!(
        proof.verify(&Digest::EMPTY, &path),
        Err(ProofError::Root { .. })
    ));
    let mut deep = proof.clone();
    deep.depth = 257;
    let refusal = Err(ProofError::Depth { found: 257 });
    assert_eq!(deep.verify_as_chain(&root), refusal);
    deep.side_nodes.resize(257, Digest::EMPTY);
    deep.sibling = Some([&[2, 1, 2], &[0; 96][..]].concat());
    assert_eq!(
        deep.verify(&root, &path),
        refusal,
        "with as many side nodes"
    );
}
